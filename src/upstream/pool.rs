//! Connections of one thread: HTTP/1.1 ones last in, first out; HTTP/2 ones shared. A connection
//! comes back only when its answer ended well; after any anomaly it is dropped, so that no answer
//! can reach the wrong call. None is used whose address is left alone.

mod drive;
mod lease;
mod making;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::client::conn::{http1, http2};
use hyper_util::rt::TokioIo;

use self::drive::{Driver, Landing, UNSAID, driven, driven_shared};
use self::lease::Sender;
pub(super) use self::lease::{Lease, Unsent};
use self::making::Makings;
pub(super) use self::making::{Awaited, Making};
use super::budget::Budget;
use crate::clock::Clock;
use crate::inject::OutboundBody;
use crate::net::{Connected, Line};

/// Beyond this many, idle connections to one provider are closed.
const MOST_IDLE: usize = 256;
/// Providers close idle connections after a minute or so; ours go first.
const IDLE_FOR: Duration = Duration::from_secs(50);
/// A name may lead elsewhere by now.
const OLDEST: Duration = Duration::from_secs(15 * 60);
/// Calls at once on one HTTP/2 connection, where its provider allows as many: most do.
const MOST_STREAMS: usize = 100;
/// Beyond this many HTTP/2 connections calls wait for each other.
const MOST_SHARED: usize = 8;
/// A connection that lay idle this long may be closing at this moment. Busy ones are younger, and
/// keep nothing for a second try.
const DOUBTFUL_AFTER: Duration = Duration::from_millis(10);
/// Once one connection died under a call, all are doubted for a while: whoever restarts closes more
/// than one.
const DOUBT_FOR: Duration = Duration::from_secs(60);
const BUFFER_BYTES: usize = 64 * 1024;
/// As large a head as HTTP/1.1's buffer takes; hyper's own bound for HTTP/2 is a quarter of it.
const HEAD_BYTES: u32 = 64 * 1024;
/// What a provider may send ahead of a client that reads slowly.
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
/// As much as all of its calls together: were it less, a few slow readers would stop the others.
const CONNECTION_WINDOW_BYTES: u32 = STREAM_WINDOW_BYTES * MOST_STREAMS as u32;

/// The lock is only ever taken by its own thread, so nobody waits for it.
#[derive(Clone)]
pub(super) struct Pool {
    hosts: Arc<Mutex<HashMap<Arc<str>, Connections>>>,
    clock: Clock,
}

/// Those to one host.
#[derive(Default)]
struct Connections {
    h1: Vec<Idle>,
    h2: Vec<Arc<Shared>>,
    makings: Makings,
    /// As many calls at once as the last HTTP/2 connection took.
    most_streams: Option<usize>,
    /// It was offered HTTP/2 last time, and did not take it.
    is_h1_only: bool,
    budget: Budget,
    doubted_until_ns: u64,
}

struct Idle {
    sender: http1::SendRequest<OutboundBody>,
    origin: Arc<Origin>,
    since_ns: u64,
}

/// One connection's other end.
struct Origin {
    line: Line,
    born_ns: u64,
}

/// An HTTP/2 connection; each call on it holds one of these.
struct Shared {
    sender: http2::SendRequest<OutboundBody>,
    origin: Arc<Origin>,
    used_ns: AtomicU64,
    /// Calls at once, as the provider says.
    most: Arc<AtomicUsize>,
    /// A call on it was given up or turned away: it may be dead, or going away, and not know it.
    is_distrusted: AtomicBool,
}

/// Which protocol a call wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    H1,
    /// HTTP/2 if there is such a connection, or when a new one is made.
    Either,
    /// HTTP/2 wherever the provider speaks it.
    H2,
}

/// A connection that is ready.
pub(super) struct Taken {
    pub(super) lease: Lease,
    /// It may be closing at this moment.
    pub(super) is_doubtful: bool,
}

/// How a call comes to a connection where none lay ready.
pub(super) enum Turn {
    Ready(Lease),
    /// For one that another call makes.
    Wait(Awaited),
    /// By making one; others wait for it where they can share it.
    Make(Option<Making>),
}

impl Pool {
    pub(super) fn new(clock: Clock) -> Self {
        Self { hosts: Arc::default(), clock }
    }

    pub(super) fn take(&self, host: &Arc<str>, wish: Wish, now_ns: u64) -> Option<Taken> {
        let mut hosts = self.lock();
        let connections = hosts.get_mut(host)?;
        connections.budget.deposit();
        let is_doubted = now_ns < connections.doubted_until_ns;
        if wish != Wish::H1
            && let Some((shared, idle_ns)) = connections.shared(now_ns)
        {
            let is_doubtful = is_doubted || idle_ns >= nanoseconds(DOUBTFUL_AFTER);
            let lease = self.lease(host, Sender::of_shared(shared));
            return Some(Taken { lease, is_doubtful });
        }
        if wish == Wish::H2 && !connections.is_h1_only {
            return None;
        }
        while let Some(idle) = connections.h1.pop() {
            let idle_ns = now_ns.saturating_sub(idle.since_ns);
            if idle_ns >= nanoseconds(IDLE_FOR) {
                // The rest is older still.
                connections.h1.clear();
                return None;
            }
            if idle.sender.is_ready() && idle.origin.line.is_well() {
                let is_doubtful = is_doubted || idle_ns >= nanoseconds(DOUBTFUL_AFTER);
                let lease = self.lease(host, Sender::H1(idle.sender, idle.origin));
                return Some(Taken { lease, is_doubtful });
            }
        }
        None
    }

    /// Speaks HTTP on a fresh connection; its driver runs on this thread until it closes.
    pub(super) async fn adopt(
        &self,
        host: &Arc<str>,
        (connected, wish): (Connected, Wish),
        making: Option<Making>,
    ) -> Result<Lease, hyper::Error> {
        let Connected { stream, line } = connected;
        let now_ns = self.clock.monotonic_ns();
        let origin = Arc::new(Origin { line, born_ns: now_ns });
        if stream.is_h2() {
            let driver = Driver::default();
            let (sender, connection) = http2::Builder::new(driver.clone())
                .initial_max_send_streams(UNSAID)
                .initial_stream_window_size(STREAM_WINDOW_BYTES)
                .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
                .max_header_list_size(HEAD_BYTES)
                .handshake(TokioIo::new(stream))
                .await?;
            let most = Arc::new(AtomicUsize::new(UNSAID));
            let shared = Arc::new(Shared {
                sender,
                origin,
                used_ns: AtomicU64::new(now_ns),
                most: Arc::clone(&most),
                is_distrusted: AtomicBool::new(false),
            });
            let landing = Landing {
                pool: self.clone(),
                host: Arc::clone(host),
                shared: Arc::downgrade(&shared),
                _making: making,
            };
            tokio::spawn(driven_shared(connection, driver, most, landing));
            return Ok(self.lease(host, Sender::of_shared(shared)));
        }
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(BUFFER_BYTES)
            .handshake(TokioIo::new(stream))
            .await?;
        // Whether a call asks for a socket is not known here.
        tokio::spawn(driven(connection.with_upgrades()));
        if wish != Wish::H1 {
            self.with(host, |connections| connections.is_h1_only = true);
        }
        Ok(self.lease(host, Sender::H1(sender, origin)))
    }

    /// Of a call for which `take` found nothing.
    pub(super) fn turn(&self, host: &Arc<str>, wish: Wish) -> Turn {
        if wish == Wish::H1 {
            return Turn::Make(None);
        }
        let now_ns = self.clock.monotonic_ns();
        let mut hosts = self.lock();
        let connections = hosts.entry(Arc::clone(host)).or_default();
        if connections.is_h1_only {
            return Turn::Make(None);
        }
        if let Some((shared, _)) = connections.shared(now_ns) {
            return Turn::Ready(self.lease(host, Sender::of_shared(shared)));
        }
        let making = connections.makings.count();
        let room = match connections.h2.len().saturating_add(making) < MOST_SHARED {
            true => connections.most_streams.unwrap_or(MOST_STREAMS),
            false => usize::MAX,
        };
        match connections.makings.join(room) {
            Some(awaited) => Turn::Wait(awaited),
            None => Turn::Make(Some(connections.makings.begin())),
        }
    }

    /// Its provider has said how many calls at once it takes: others may join.
    fn share(&self, host: &Arc<str>, shared: Arc<Shared>) {
        self.with(host, |connections| {
            connections.is_h1_only = false;
            connections.most_streams = Some(room(&shared));
            connections.h2.push(shared);
        });
    }

    /// May a call be sent a second time?
    pub(super) fn may_try_again(&self, host: &Arc<str>) -> bool {
        let now_ns = self.clock.monotonic_ns();
        self.with(host, |connections| connections.budget.withdraw(now_ns))
    }

    /// A connection died under a call.
    pub(super) fn doubt(&self, host: &Arc<str>) {
        let until_ns = self.clock.monotonic_ns().saturating_add(nanoseconds(DOUBT_FOR));
        self.with(host, |connections| connections.doubted_until_ns = until_ns);
    }

    /// Closes what lay idle for long, and whose address is left alone.
    pub(super) fn sweep(&self) {
        let now_ns = self.clock.monotonic_ns();
        for connections in self.lock().values_mut() {
            connections.h2.retain(|shared| is_usable(shared, now_ns));
            connections.h1.retain(|idle| {
                let idle_ns = now_ns.saturating_sub(idle.since_ns);
                idle_ns < nanoseconds(IDLE_FOR) && !idle.sender.is_closed()
            });
        }
    }

    /// A connection whose last sender is dropped closes by itself.
    pub(super) fn clear(&self) {
        self.lock().clear();
    }

    fn lease(&self, host: &Arc<str>, sender: Sender) -> Lease {
        Lease::new(sender, Arc::clone(host), self.clone())
    }

    fn give_back(
        &self,
        host: &Arc<str>,
        sender: http1::SendRequest<OutboundBody>,
        origin: Arc<Origin>,
    ) {
        let since_ns = self.clock.monotonic_ns();
        if since_ns.saturating_sub(origin.born_ns) >= nanoseconds(OLDEST) {
            return;
        }
        self.with(host, |connections| {
            if connections.h1.len() < MOST_IDLE {
                connections.h1.push(Idle { sender, origin, since_ns });
            }
        });
    }

    fn with<T>(&self, host: &Arc<str>, act: impl FnOnce(&mut Connections) -> T) -> T {
        let mut hosts = self.lock();
        if let Some(connections) = hosts.get_mut(host) {
            return act(connections);
        }
        act(hosts.entry(Arc::clone(host)).or_default())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Arc<str>, Connections>> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connections {
    /// The first HTTP/2 connection with room, and for how long it lay idle.
    fn shared(&mut self, now_ns: u64) -> Option<(Arc<Shared>, u64)> {
        if self.h2.is_empty() {
            return None;
        }
        self.h2.retain(|shared| is_usable(shared, now_ns));
        let roomy = self.h2.iter().find(|shared| streams(shared) < room(shared));
        let shared = match roomy {
            None if self.h2.len() < MOST_SHARED => None,
            None => self.h2.iter().min_by_key(|shared| streams(shared)),
            some => some,
        }?;
        let is_idle = streams(shared) == 0;
        let used_ns = shared.used_ns.swap(now_ns, Ordering::Relaxed);
        let idle_ns = if is_idle { now_ns.saturating_sub(used_ns) } else { 0 };
        Some((Arc::clone(shared), idle_ns))
    }
}

/// Calls under way on it: each holds one of these, and so does the pool.
fn streams(shared: &Arc<Shared>) -> usize {
    Arc::strong_count(shared).saturating_sub(1)
}

/// Calls at once that it takes.
fn room(shared: &Shared) -> usize {
    shared.most.load(Ordering::Relaxed).min(MOST_STREAMS)
}

fn is_usable(shared: &Arc<Shared>, now_ns: u64) -> bool {
    let is_young = now_ns.saturating_sub(shared.origin.born_ns) < nanoseconds(OLDEST);
    let idle_ns = now_ns.saturating_sub(shared.used_ns.load(Ordering::Relaxed));
    let is_warm = idle_ns < nanoseconds(IDLE_FOR) || streams(shared) > 0;
    is_young
        && is_warm
        && !shared.sender.is_closed()
        && !shared.is_distrusted.load(Ordering::Relaxed)
        && shared.origin.line.is_well()
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
