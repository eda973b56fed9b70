//! The only way out: sends an `Outbound` to the provider it was made for and hands its answer back.
//! One per thread, with its own connections; nothing here is shared between threads. Follows no
//! redirect, tries again only what was never sent or may be sent twice.

mod again;
mod budget;
mod fault;
mod pool;
mod protocol;
mod reply;

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::task::Poll;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;

use self::again::{Again, Copy};
use self::pool::{Lease, Making, Pool, Taken, Turn, Unsent, Wish};
use self::protocol::{for_h1, for_h2, wish};
pub(crate) use self::reply::{Reply, ReplyBody, ReplyFault};
use crate::clock::Clock;
use crate::inject::{Flaw, Goal, Outbound, OutboundBody};
use crate::ledger::BytesIn;
use crate::net::{
    ConnectError, Connector, Deadlines, Destination, Patience, Seen, TimedOut, Trust,
};
use crate::provider::{Catalogue, Host, Hosts, Provider};
use crate::refusal::Refusal;

/// Connections that nobody uses are looked through this often.
const SWEEP_EVERY: Duration = Duration::from_secs(10);

/// Every provider's way out, decided once at start.
pub(crate) struct Origins {
    connector: Connector,
    /// Looked at when a connection is made; grows when the catalogue changes.
    destinations: RwLock<HashMap<Arc<str>, Destination>>,
    again: Again,
}

/// One thread's way out.
pub(crate) struct Upstream {
    origins: Arc<Origins>,
    pool: Pool,
    deadlines: Deadlines,
    clock: Clock,
}

/// Asked before a call leaves once more than at first: on a connection that was waited for, or
/// (true) a second time.
pub(crate) type MayLeave<'a> = dyn FnMut(bool) -> Result<(), Refusal> + Send + 'a;

/// Why a try failed, and what can be sent again.
struct Failed {
    refusal: Refusal,
    /// None of it was sent.
    unsent: Option<Request<OutboundBody>>,
    /// The connection died before it answered: what can be repeated may be.
    died: bool,
    /// The provider says that it has not looked at it.
    is_unprocessed: bool,
}

impl Origins {
    /// `trusts` are the trust anchors by provider; `trust` is everybody else's.
    pub(crate) fn new(
        connector: Connector,
        catalogue: &Catalogue,
        trust: &Trust,
        trusts: &HashMap<Arc<str>, Trust>,
    ) -> Self {
        let again = Again::default();
        let origins = Self { connector, destinations: RwLock::default(), again };
        origins.take(catalogue, trust, trusts);
        origins
    }

    /// The ways of a catalogue that is about to be in force. Former ones stay for the calls that
    /// are under way; no later one leads there.
    pub(crate) fn take(
        &self,
        catalogue: &Catalogue,
        trust: &Trust,
        trusts: &HashMap<Arc<str>, Trust>,
    ) {
        // What is known of an address outlives a change of the entry.
        let health = |host: &Host| self.of(&host.key).map(|known| known.health);
        let destination = |provider: &Provider, host: &Host| {
            let destination = Destination {
                health: health(host).unwrap_or_default(),
                host: host.base.host.clone(),
                port: host.base.port,
                tls: host.base.scheme.is_tls(),
                allow_private: provider.allow_private_network,
                trust: trusts.get(&provider.id).unwrap_or(trust).clone(),
                patience: provider.timeouts.connect,
            };
            (Arc::clone(&host.key), destination)
        };
        let destinations: Vec<(Arc<str>, Destination)> = catalogue
            .iter()
            .flat_map(|provider| {
                let sockets = provider.sockets.iter().flat_map(Hosts::iter);
                let hosts = provider.hosts.iter().chain(sockets);
                hosts.map(|host| destination(provider, host))
            })
            .collect();
        self.destinations.write().unwrap_or_else(PoisonError::into_inner).extend(destinations);
    }

    /// Can this provider be reached at all, at every host it has? For `doctor`; sends nothing.
    pub(crate) async fn reach(&self, provider: &Provider) -> Result<(), ConnectError> {
        let hosts = provider.hosts.iter().filter_map(|host| self.of(&host.key));
        for destination in hosts {
            self.connector.connect(&destination, true).await?;
        }
        Ok(())
    }

    /// What is known of every address that was connected to.
    pub(crate) fn addresses(&self) -> Vec<(String, Seen)> {
        let destinations = self.destinations.read().unwrap_or_else(PoisonError::into_inner);
        let mut seen: Vec<(String, Seen)> = Vec::new();
        for (key, destination) in destinations.iter() {
            let provider = key.split(' ').next().unwrap_or_default();
            seen.extend(
                destination.health.seen().into_iter().map(|one| (provider.to_owned(), one)),
            );
        }
        seen.sort_unstable_by(|(one, a), (other, b)| (one, a.address).cmp(&(other, b.address)));
        // Two ways to one address may stand beside each other while an entry changes.
        seen.dedup_by(|(one, a), (other, b)| (one, a.address) == (other, b.address));
        seen
    }

    /// How many calls were sent a second time, and how many were not because too many had been.
    pub(crate) fn second_tries(&self) -> (u64, u64) {
        self.again.counts()
    }

    fn of(&self, key: &Arc<str>) -> Option<Destination> {
        self.destinations.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }
}

impl Upstream {
    pub(crate) fn new(origins: Arc<Origins>, deadlines: Deadlines, clock: Clock) -> Self {
        let pool = Pool::new(clock.clone());
        Self { origins, pool, deadlines, clock }
    }

    /// Closes what lies idle; a connection that serves a call is not here.
    pub(crate) fn forget_connections(&self) {
        self.pool.clear();
    }

    /// Closes what has been idle for long. Never ends; spawned once per thread.
    pub(crate) fn sweep(&self) -> impl Future<Output = ()> + use<> {
        let pool = self.pool.clone();
        async move {
            loop {
                tokio::time::sleep(SWEEP_EVERY).await;
                pool.sweep();
            }
        }
    }

    /// The provider's answer, whatever its status.
    pub(crate) async fn send(
        &self,
        outbound: Outbound,
        now_ns: u64,
        may_leave: &mut MayLeave<'_>,
    ) -> Result<Reply, Refusal> {
        let (goal, request) = outbound.into_parts();
        let Some(total) = goal.provider().timeouts.total else {
            return self.send_within(&goal, request, (now_ns, None), may_leave).await;
        };
        let end_ns = now_ns.saturating_add(u64::try_from(total.as_nanos()).unwrap_or(u64::MAX));
        // Boxed: few providers have a bound on the whole.
        let sending = Box::pin(self.send_within(&goal, request, (now_ns, Some(end_ns)), may_leave));
        let sent = self.deadlines.within(total, sending).await;
        sent.unwrap_or_else(|_timed_out| Err(fault::too_long(goal.provider())))
    }

    async fn send_within(
        &self,
        goal: &Goal,
        mut request: Request<OutboundBody>,
        (now_ns, end_ns): (u64, Option<u64>),
        may_leave: &mut MayLeave<'_>,
    ) -> Result<Reply, Refusal> {
        let wish = wish(goal, &request);
        let key = &goal.host().key;
        let Some(Taken { mut lease, is_doubtful }) = self.pool.take(key, wish, now_ns) else {
            // Boxed, like the second try: what is rare must not swell every call.
            return Box::pin(self.send_afresh(goal, request, (wish, end_ns), may_leave)).await;
        };
        let copy = Copy::of(&request, (lease.is_h2(), is_doubtful));
        if lease.is_h2() {
            for_h2(goal, &mut request)?;
        }
        let progress = request.body().progress();
        let sending = lease.send(request);
        let failed = match self.sent(goal, (lease, false), sending, (progress, end_ns)).await {
            Ok(reply) => return Ok(reply),
            Err(failed) => failed,
        };
        Box::pin(self.send_again(goal, (failed, copy), (wish, end_ns), may_leave)).await
    }

    /// On a connection that nobody has used, or that others of this moment share.
    async fn send_afresh(
        &self,
        goal: &Goal,
        mut request: Request<OutboundBody>,
        (wish, end_ns): (Wish, Option<u64>),
        may_leave: &mut MayLeave<'_>,
    ) -> Result<Reply, Refusal> {
        let (mut lease, is_fresh) = self.ready(goal, wish).await?;
        may_leave(false)?;
        let copy = Copy::of(&request, (lease.is_h2(), false));
        let is_h2 = lease.is_h2();
        if is_h2 {
            for_h2(goal, &mut request)?;
        }
        let progress = request.body().progress();
        let sending = lease.send(request);
        match self.sent(goal, (lease, is_fresh), sending, (progress, end_ns)).await {
            Ok(reply) => Ok(reply),
            Err(failed) if is_h2 => {
                let sending = self.send_again(goal, (failed, copy), (wish, end_ns), may_leave);
                Box::pin(sending).await
            }
            Err(failed) => Err(failed.refusal),
        }
    }

    /// Once more, and not a third time.
    async fn send_again(
        &self,
        goal: &Goal,
        (failed, copy): (Failed, Option<Copy>),
        (wish, end_ns): (Wish, Option<u64>),
        may_leave: &mut MayLeave<'_>,
    ) -> Result<Reply, Refusal> {
        let key = &goal.host().key;
        // A connection that had served before may have been closed meanwhile: that says nothing
        // against the provider.
        if failed.died || failed.unsent.is_some() {
            self.pool.doubt(key);
        }
        let may_copy = |copy: &Copy| failed.is_unprocessed || failed.died && copy.may_be_repeated;
        let copy = copy.filter(may_copy).map(Copy::request);
        let was_unsent = failed.unsent.is_some();
        let Some(mut request) = failed.unsent.or(copy) else { return Err(failed.refusal) };
        if !self.origins.again.may(&self.pool, key) {
            return Err(failed.refusal);
        }
        may_leave(true)?;
        // The first try may have been done.
        let unready = |refusal: Refusal| refusal.unsent(was_unsent);
        let (mut lease, is_fresh) = self.ready(goal, wish).await.map_err(unready)?;
        may_leave(false)?;
        if lease.is_h2() {
            for_h2(goal, &mut request)?;
        }
        let progress = request.body().progress();
        let sending = lease.send(request);
        let sent = self.sent(goal, (lease, is_fresh), sending, (progress, end_ns)).await;
        sent.map_err(|failed| failed.refusal)
    }

    /// A connection that was just made, by this call (true) or by one that it waited for; not
    /// longer than a connection may take.
    async fn ready(&self, goal: &Goal, wish: Wish) -> Result<(Lease, bool), Refusal> {
        let provider = goal.provider();
        let mut patience = self.deadlines.patience(provider.timeouts.connect).begun();
        loop {
            let awaited = match self.pool.turn(&goal.host().key, wish) {
                Turn::Ready(lease) => return Ok((lease, false)),
                Turn::Make(making) => {
                    return Ok((self.connect(goal, wish, making).await?, true));
                }
                Turn::Wait(awaited) => awaited,
            };
            let mut end = pin!(awaited.end());
            poll_fn(|context| match end.as_mut().poll(context) {
                Poll::Pending if patience.is_over(context) => {
                    Poll::Ready(Err(fault::unconnected(provider, &ConnectError::TimedOut)))
                }
                polled @ (Poll::Ready(_) | Poll::Pending) => polled,
            })
            .await?;
        }
    }

    async fn connect(
        &self,
        goal: &Goal,
        wish: Wish,
        making: Option<Making>,
    ) -> Result<Lease, Refusal> {
        let provider = goal.provider();
        let key = &goal.host().key;
        let Some(destination) = self.origins.of(key) else {
            return Err(fault::unreachable(provider, "it is not configured"));
        };
        let connecting = self.origins.connector.connect(&destination, wish != Wish::H1);
        let connected = match connecting.await {
            Ok(connected) => connected,
            Err(cause) => {
                let refusal = fault::unconnected(provider, &cause);
                if let Some(making) = making {
                    making.fail(&refusal);
                }
                return Err(refusal);
            }
        };
        let lease = self.pool.adopt(key, (connected, wish), making).await;
        lease.map_err(|cause| fault::unreachable(provider, &cause.to_string()))
    }

    /// Awaits what was handed over before: what is awaited holds nothing of the request.
    async fn sent(
        &self,
        goal: &Goal,
        (mut lease, is_fresh): (Lease, bool),
        sending: impl Future<Output = Result<Response<Incoming>, Unsent>>,
        (progress, end_ns): (Option<Arc<BytesIn>>, Option<u64>),
    ) -> Result<Reply, Failed> {
        let provider = goal.provider();
        let first_byte = self.deadlines.patience(provider.timeouts.first_byte).begun();
        match within(first_byte, progress.as_deref(), sending).await {
            Ok(Ok(response)) => {
                if let Some(line) = lease.line() {
                    line.answered();
                }
                let patience =
                    self.deadlines.patience(provider.timeouts.idle).begun().until(end_ns);
                Ok(Reply::new(response, lease, patience))
            }
            Ok(Err((cause, unsent))) => {
                let refusal = fault::broken(provider, &cause, progress.as_deref());
                let is_unprocessed = fault::is_unprocessed(&cause);
                // A body that broke off says nothing of the provider.
                let is_clients = progress.as_deref().and_then(Flaw::of).is_some();
                let died =
                    unsent.is_none() && !is_unprocessed && !is_clients && fault::is_death(&cause);
                if let (true, true, Some(line)) = (is_fresh, died, lease.line()) {
                    line.was_silent(&self.clock, "the connection broke before it answered");
                }
                match is_unprocessed {
                    true => lease.give_up(),
                    false => lease.discard(),
                }
                Err(Failed { refusal, unsent: unsent.map(for_h1), died, is_unprocessed })
            }
            Err(TimedOut) => {
                let is_clients = progress.is_some_and(|progress| progress.waits());
                match lease.line() {
                    Some(line) if !is_clients => {
                        line.was_silent(&self.clock, "it did not begin to answer in time");
                        lease.give_up();
                    }
                    Some(_) | None => lease.discard(),
                }
                let refusal = fault::silent(provider, is_clients);
                Err(Failed { refusal, unsent: None, died: false, is_unprocessed: false })
            }
        }
    }
}

/// As long as the request's body moves, the answer is not late.
async fn within<F: Future>(
    mut patience: Patience,
    progress: Option<&BytesIn>,
    sending: F,
) -> Result<F::Output, TimedOut> {
    let mut sending = pin!(sending);
    let mut sent = 0;
    poll_fn(|context| {
        if let Poll::Ready(output) = sending.as_mut().poll(context) {
            return Poll::Ready(Ok(output));
        }
        let count = progress.map_or(0, BytesIn::count);
        if std::mem::replace(&mut sent, count) != count {
            patience.renew();
        }
        if patience.is_over(context) { Poll::Ready(Err(TimedOut)) } else { Poll::Pending }
    })
    .await
}
