//! The only way a socket leaves the house: resolve once, judge every address, connect to one that
//! was judged, speak TLS. Several addresses are tried side by side (RFC 8305), and what fails is
//! left alone for a while. Literal addresses pass the same judgement.

use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::Sleep;

use super::breaker::Try;
use super::health::{Candidate, Health};
use super::race::Race;
use super::{Stream, Trust, is_private};
use crate::clock::Clock;

/// Where to connect, decided long before any request came.
#[derive(Clone)]
pub(crate) struct Destination {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) tls: bool,
    pub(crate) allow_private: bool,
    pub(crate) trust: Trust,
    /// For resolving, connecting and TLS together.
    pub(crate) patience: Duration,
    pub(crate) health: Arc<Health>,
}

/// Makes guarded connections.
#[derive(Clone)]
pub(crate) struct Connector {
    allow_private_networks: bool,
    clock: Clock,
    names: Names,
}

/// A fresh connection, and whom to tell how it serves.
pub(crate) struct Connected {
    pub(crate) stream: Stream,
    pub(crate) line: Line,
}

/// The address at the other end of a connection, as far as its breaker is concerned.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    candidate: Candidate,
    health: Arc<Health>,
}

/// Who knows the addresses of a name.
#[derive(Clone)]
enum Names {
    System,
    #[cfg(test)]
    Scripted(Arc<dyn Fn() -> Vec<IpAddr> + Send + Sync>),
}

#[derive(Debug)]
pub(crate) enum ConnectError {
    Unresolved(String),
    /// Every address of the name is private, and that was not allowed.
    Forbidden,
    Unreachable(String),
    Tls(String),
    TimedOut,
    /// It failed several times in a row, and is left alone for a while.
    Rests {
        rest: Duration,
        cause: String,
    },
}

impl std::fmt::Display for ConnectError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unresolved(cause) => write!(formatter, "the name does not resolve: {cause}"),
            Self::Forbidden => formatter.write_str(
                "its address is private, loopback or link-local; set allow_private_network = true for \
                 this provider if that is meant",
            ),
            Self::Unreachable(cause) => write!(formatter, "no connection: {cause}"),
            Self::Tls(cause) => write!(formatter, "TLS failed: {cause}"),
            Self::TimedOut => formatter.write_str("no connection within the time-out"),
            Self::Rests { rest, cause } => write!(
                formatter,
                "it failed several times in a row and is tried again in {} s ({cause})",
                whole_seconds(*rest)
            ),
        }
    }
}

/// Up, and never none.
pub(crate) fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0)).max(1)
}

impl Connector {
    pub(crate) fn new(allow_private_networks: bool, clock: Clock) -> Self {
        Self { allow_private_networks, clock, names: Names::System }
    }

    /// `wants_h2` offers HTTP/2 beside HTTP/1.1.
    pub(crate) async fn connect(
        &self,
        to: &Destination,
        wants_h2: bool,
    ) -> Result<Connected, ConnectError> {
        let connected = match to.health.rest(self.clock.monotonic_ns()) {
            Some(rest) => Err(rests(to, rest)),
            None => self.connect_now(to, wants_h2).await,
        };
        connected.inspect_err(|fault| match fault {
            ConnectError::Rests { .. } | ConnectError::Forbidden => {}
            ConnectError::Unresolved(_)
            | ConnectError::Unreachable(_)
            | ConnectError::Tls(_)
            | ConnectError::TimedOut => to.health.note(fault.to_string()),
        })
    }

    async fn connect_now(
        &self,
        to: &Destination,
        wants_h2: bool,
    ) -> Result<Connected, ConnectError> {
        let mut deadline = pin!(tokio::time::sleep(to.patience));
        let found = tokio::select! {
            biased;
            found = self.judged(to) => found?,
            () = &mut deadline => {
                to.health.name.failed(self.clock.monotonic_ns(), true);
                return Err(ConnectError::TimedOut);
            }
        };
        let candidates = to.health.candidates(found, self.clock.monotonic_ns());
        let candidates = candidates.map_err(|rest| rests(to, rest))?;
        let mut race = Race::of(candidates, self.clock.clone());
        let mut last = ConnectError::TimedOut;
        loop {
            let won = tokio::select! {
                biased;
                won = race.winner() => won,
                () = &mut deadline => {
                    race.all_failed();
                    return Err(last);
                }
            };
            let (socket, candidate) = match won {
                Ok(won) => won,
                Err(None) => return Err(last),
                Err(Some(cause)) => return Err(ConnectError::Unreachable(cause.to_string())),
            };
            let (is_last, health) = (race.is_over(), Arc::clone(&to.health));
            match self.secured(to, socket, wants_h2, (deadline.as_mut(), is_last)).await {
                Ok(stream) => return Ok(Connected { stream, line: Line { candidate, health } }),
                Err(fault) => {
                    Line { candidate, health }.failed(&self.clock, &fault);
                    last = fault;
                }
            }
            if is_last || deadline.is_elapsed() {
                return Err(last);
            }
        }
    }

    /// TLS on a connection. An address that accepts and then says nothing must leave time for the
    /// others.
    async fn secured(
        &self,
        to: &Destination,
        socket: TcpStream,
        wants_h2: bool,
        (deadline, is_last): (Pin<&mut Sleep>, bool),
    ) -> Result<Stream, ConnectError> {
        socket.set_nodelay(true).map_err(|cause| ConnectError::Unreachable(cause.to_string()))?;
        if !to.tls {
            return Ok(Stream::Plain(socket));
        }
        let tls = |cause: String| ConnectError::Tls(cause);
        let connector = to.trust.connector(wants_h2).map_err(|cause| tls(cause.to_string()))?;
        let name = ServerName::try_from(to.host.clone())
            .map_err(|_| tls(String::from("the host is no name for a certificate")))?;
        let share = if is_last { to.patience } else { to.patience / 2 };
        tokio::select! {
            biased;
            done = connector.connect(name, socket) => match done {
                Ok(stream) => Ok(Stream::Tls(Box::new(stream.into()))),
                Err(cause) => Err(tls(cause.to_string())),
            },
            () = deadline => Err(ConnectError::TimedOut),
            () = tokio::time::sleep(share) => Err(ConnectError::TimedOut),
        }
    }

    /// The addresses of the name that may be connected to. Asked once for each connection: what is
    /// judged is what is connected to.
    async fn judged(&self, to: &Destination) -> Result<Vec<SocketAddr>, ConnectError> {
        let found = match to.host.parse::<IpAddr>() {
            Ok(literal) => vec![SocketAddr::new(literal, to.port)],
            Err(_) => self.resolved(to).await?,
        };
        let allows_private = self.allow_private_networks || to.allow_private;
        let may = |address: &SocketAddr| allows_private || !is_private(address.ip());
        let allowed: Vec<SocketAddr> = found.into_iter().filter(may).collect();
        if allowed.is_empty() { Err(ConnectError::Forbidden) } else { Ok(allowed) }
    }

    async fn resolved(&self, to: &Destination) -> Result<Vec<SocketAddr>, ConnectError> {
        let name = &to.health.name;
        if let Try::Rests(rest) = name.ask(self.clock.monotonic_ns()) {
            return Err(rests(to, rest));
        }
        let found = match self.looked_up(&to.host, to.port).await {
            Ok(found) if found.is_empty() => Err(String::from("it has no address")),
            Ok(found) => Ok(found),
            Err(cause) => Err(cause.to_string()),
        };
        match &found {
            Ok(_) => drop(name.succeeded()),
            Err(_) => drop(name.failed(self.clock.monotonic_ns(), true)),
        }
        found.map_err(ConnectError::Unresolved)
    }

    async fn looked_up(&self, host: &str, port: u16) -> std::io::Result<Vec<SocketAddr>> {
        match &self.names {
            Names::System => Ok(tokio::net::lookup_host((host, port)).await?.collect()),
            #[cfg(test)]
            Names::Scripted(names) => {
                Ok(names().into_iter().map(|ip| SocketAddr::new(ip, port)).collect())
            }
        }
    }
}

fn rests(to: &Destination, rest: Duration) -> ConnectError {
    ConnectError::Rests { rest, cause: to.health.cause() }
}

impl Line {
    /// May its connections be used? A load.
    pub(crate) fn is_well(&self) -> bool {
        self.candidate.breaker.is_closed()
    }

    /// It answered. A load, where nothing was held against it.
    pub(crate) fn answered(&self) {
        if self.candidate.breaker.succeeded() {
            let address = self.candidate.address;
            tracing::info!(%address, "an address of a provider answers again");
        }
    }

    /// Its connections are of no use, for this reason.
    pub(crate) fn failed(&self, clock: &Clock, cause: &impl std::fmt::Display) {
        let Candidate { breaker, is_probe, .. } = &self.candidate;
        let opens = breaker.failed(clock.monotonic_ns(), *is_probe);
        self.note(opens, cause.to_string());
    }

    /// A connection stood, and a call on it got no answer, for this reason.
    pub(crate) fn was_silent(&self, clock: &Clock, cause: &str) {
        let Candidate { breaker, is_probe, .. } = &self.candidate;
        let opens = breaker.was_silent(clock.monotonic_ns(), *is_probe);
        self.note(opens, cause.to_owned());
    }

    fn note(&self, opens: bool, cause: String) {
        if opens {
            let address = self.candidate.address;
            tracing::warn!(%address, cause, "an address of a provider is left alone");
        }
        self.health.note(cause);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::net::{TcpListener, TcpSocket};

    use super::*;

    /// A name whose addresses the test chooses, and how often it was asked.
    fn names(addresses: &[&str]) -> (Connector, Arc<Mutex<Vec<IpAddr>>>, Arc<AtomicUsize>) {
        let parsed: Vec<IpAddr> = addresses.iter().map(|text| text.parse().unwrap()).collect();
        let (script, asked) = (Arc::new(Mutex::new(parsed)), Arc::new(AtomicUsize::new(0)));
        let (told, count) = (Arc::clone(&script), Arc::clone(&asked));
        let names = Names::Scripted(Arc::new(move || {
            count.fetch_add(1, Ordering::SeqCst);
            told.lock().unwrap().clone()
        }));
        let clock = Clock::settable(1_768_478_400_000);
        (Connector { allow_private_networks: false, clock, names }, script, asked)
    }

    fn to(port: u16, allow_private: bool) -> Destination {
        Destination {
            host: String::from("api.example"),
            port,
            tls: false,
            allow_private,
            trust: Trust::new(&[]).unwrap(),
            patience: Duration::from_secs(5),
            health: Arc::default(),
        }
    }

    async fn peer(connector: &Connector, to: &Destination) -> Result<IpAddr, ConnectError> {
        let connected = connector.connect(to, false).await?;
        let Stream::Plain(socket) = &connected.stream else { panic!("it is plain") };
        connected.line.answered();
        Ok(socket.peer_addr().unwrap().ip())
    }

    /// Listens and never accepts, its queue full: whoever connects hangs.
    async fn deaf(address: &str, port: u16) -> (TcpListener, Vec<TcpStream>) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(address.parse().unwrap(), port)).unwrap();
        let listener = socket.listen(1).unwrap();
        let (address, mut held) = (listener.local_addr().unwrap(), Vec::new());
        let short = Duration::from_millis(100);
        while let Ok(socket) = tokio::time::timeout(short, TcpStream::connect(address)).await {
            held.push(socket.unwrap());
        }
        (listener, held)
    }

    #[tokio::test]
    async fn private_addresses_are_refused_by_name_and_by_number_unless_allowed() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let accepted = tokio::spawn(async move { listener.accept().await });
        let (connector, _, asked) = names(&["127.0.0.1", "10.0.0.1", "::1", "169.254.169.254"]);
        let refused = connector.connect(&to(port, false), false).await;
        assert!(matches!(refused, Err(ConnectError::Forbidden)));
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        for literal in ["127.0.0.1", "::1", "::ffff:127.0.0.1", "0.0.0.0", "64:ff9b::7f00:1"] {
            let to = Destination { host: literal.to_owned(), ..to(port, false) };
            let refused = connector.connect(&to, false).await;
            assert!(matches!(refused, Err(ConnectError::Forbidden)), "{literal}");
        }
        assert!(!accepted.is_finished(), "nobody knocked");
        assert_eq!(peer(&connector, &to(port, true)).await.unwrap().to_string(), "127.0.0.1");
    }

    #[tokio::test]
    async fn a_name_that_leads_inside_later_is_refused_then() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let accepted = tokio::spawn(async move { listener.accept().await });
        let (connector, script, asked) = names(&["93.184.216.34"]);
        let to = to(port, false);
        let first = connector.judged(&to).await.unwrap();
        assert_eq!(first[0].ip().to_string(), "93.184.216.34");
        *script.lock().unwrap() = vec!["127.0.0.1".parse().unwrap()];
        assert!(matches!(connector.connect(&to, false).await, Err(ConnectError::Forbidden)));
        // Of a mixed answer only what is public is left.
        *script.lock().unwrap() =
            ["10.0.0.1", "1.1.1.1"].map(|text| text.parse().unwrap()).to_vec();
        let mixed = connector.judged(&to).await.unwrap();
        assert_eq!((mixed.len(), mixed[0].ip().to_string().as_str()), (1, "1.1.1.1"));
        assert_eq!(asked.load(Ordering::SeqCst), 3, "each answer is judged, and none asked twice");
        assert!(!accepted.is_finished(), "nobody knocked");
    }

    #[tokio::test]
    async fn the_next_address_is_tried_at_once_where_one_refuses_and_soon_where_one_hangs() {
        let good = TcpListener::bind("127.0.0.3:0").await.unwrap();
        let port = good.local_addr().unwrap().port();
        let _deaf = deaf("127.0.0.2", port).await;
        let clock = Clock::system();
        let (connector, ..) = names(&["::1", "127.0.0.1", "127.0.0.3"]);
        assert_eq!(peer(&connector, &to(port, true)).await.unwrap().to_string(), "127.0.0.3");
        let refused_ns = clock.monotonic_ns();
        assert!(refused_ns < 200_000_000, "{refused_ns}");
        let (connector, ..) = names(&["127.0.0.2", "127.0.0.3"]);
        let to = to(port, true);
        assert_eq!(peer(&connector, &to).await.unwrap().to_string(), "127.0.0.3");
        let hung_ns = clock.monotonic_ns() - refused_ns;
        assert!((200_000_000..1_500_000_000).contains(&hung_ns), "{hung_ns}");
        // Once it has lost it comes second.
        let before_ns = clock.monotonic_ns();
        assert_eq!(peer(&connector, &to).await.unwrap().to_string(), "127.0.0.3");
        assert!(clock.monotonic_ns() - before_ns < 200_000_000);
    }

    #[tokio::test]
    async fn who_accepts_nothing_costs_the_time_out_and_rests_after_five() {
        let (listener, _held) = deaf("127.0.0.1", 0).await;
        let port = listener.local_addr().unwrap().port();
        let (connector, _, asked) = names(&["127.0.0.1"]);
        let to = Destination { patience: Duration::from_millis(30), ..to(port, true) };
        for _ in 0..5 {
            let late = connector.connect(&to, false).await;
            assert!(matches!(late, Err(ConnectError::TimedOut)));
        }
        let Err(ConnectError::Rests { rest, cause }) = connector.connect(&to, false).await else {
            panic!("it rests");
        };
        assert_eq!((rest, cause.as_str()), (SECOND, "no connection within the time-out"));
        assert_eq!(asked.load(Ordering::SeqCst), 5, "nothing is resolved while it rests");
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test]
    async fn an_address_that_failed_is_tried_again_by_one_and_by_all_once_it_answers() {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let port = socket.local_addr().unwrap().port();
        let (connector, ..) = names(&["127.0.0.1"]);
        let to = to(port, true);
        for _ in 0..5 {
            let refused = connector.connect(&to, false).await;
            assert!(matches!(refused, Err(ConnectError::Unreachable(_))));
        }
        let rests = || connector.connect(&to, false);
        assert!(matches!(rests().await, Err(ConnectError::Rests { .. })));
        connector.clock.advance(SECOND);
        assert!(matches!(rests().await, Err(ConnectError::Unreachable(_))), "the probe");
        let Err(ConnectError::Rests { rest, .. }) = rests().await else { panic!("it rests") };
        assert_eq!(rest, 2 * SECOND);
        let _listener = socket.listen(16).unwrap();
        connector.clock.advance(rest);
        let probe = connector.connect(&to, false).await.unwrap();
        assert!(matches!(rests().await, Err(ConnectError::Rests { .. })), "one at a time");
        probe.line.answered();
        assert!(rests().await.is_ok());
        assert!(to.health.seen().iter().all(|seen| !seen.is_open && seen.openings == 1));
    }

    #[tokio::test]
    async fn a_name_that_does_not_resolve_is_left_alone_after_a_while() {
        let (connector, script, asked) = names(&[]);
        let to = to(1, true);
        for _ in 0..5 {
            let unknown = connector.connect(&to, false).await;
            assert!(matches!(unknown, Err(ConnectError::Unresolved(_))));
        }
        assert!(matches!(connector.connect(&to, false).await, Err(ConnectError::Rests { .. })));
        assert_eq!(asked.load(Ordering::SeqCst), 5);
        script.lock().unwrap().push("127.0.0.1".parse().unwrap());
        connector.clock.advance(SECOND);
        let found = connector.connect(&to, false).await;
        assert!(matches!(found, Err(ConnectError::Unreachable(_))), "it resolves again");
    }
}
