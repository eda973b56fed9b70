//! The calls that wait for a provider's own limit: one queue for each secret, clients in turn, the
//! house behind all of them. Bounded in length and, for clients, in time; who leaves loses nobody's
//! place.
//! Must never let a call leave that the provider is known to refuse.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use uuid::Uuid;

use super::Limiter;
use super::line::Line;
use crate::clock::Clock;
use crate::policy::Permit;
use crate::provider::Provider;
use crate::quota::{Supply, Ticket, Wait};
use crate::refusal::{Exceeded, LimitKind, Refusal};
use crate::telemetry::Waits;

/// How soon a clock that was set is noticed, and what an answer has changed.
const LOOK_EVERY: Duration = Duration::from_millis(20);
const SHORTEST_SLEEP: Duration = Duration::from_millis(1);

/// By secret; none for those that know no limit.
#[derive(Default)]
pub(super) struct Turns {
    queues: Mutex<HashMap<Uuid, Arc<Queue>>>,
    counts: Counts,
}

#[derive(Default)]
struct Counts {
    waiting: AtomicU64,
    waited: AtomicU64,
    waited_ns: AtomicU64,
    refused: AtomicU64,
    full: AtomicU64,
}

struct Queue {
    supply: Arc<Supply>,
    lines: Mutex<Lines>,
}

struct Lines {
    clients: Line<oneshot::Sender<Ticket>>,
    house: Line<oneshot::Sender<Ticket>>,
    /// Somebody hands out turns.
    is_served: bool,
}

/// Somebody in the queue; leaves it when he is dropped.
struct Waiter<'a> {
    queue: &'a Queue,
    counts: &'a Counts,
    who: Uuid,
    is_house: bool,
    turn: oneshot::Receiver<Ticket>,
}

/// Why nobody waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum No {
    Full,
    /// It will be later than he may wait.
    TooLate,
    TooLong,
}

impl Turns {
    fn of(&self, secret: Uuid, supply: &Arc<Supply>, longest: usize) -> Arc<Queue> {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        let queue = queues.entry(secret).or_insert_with(|| Queue::new(supply, longest));
        queue.lines().clients.bound(longest);
        Arc::clone(queue)
    }

    pub(super) fn waits(&self) -> Waits {
        let Counts { waiting, waited, waited_ns, refused, full } = &self.counts;
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Waits {
            waiting: read(waiting),
            waited: read(waited),
            waited_ns: read(waited_ns),
            refused: read(refused),
            full: read(full),
        }
    }

    /// Queues in which nobody waits.
    pub(super) fn sweep(&self) {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        queues.retain(|_, queue| Arc::strong_count(queue) > 1 || queue.lines().length() > 0);
    }
}

impl Lines {
    fn length(&self) -> usize {
        self.clients.len() + self.house.len()
    }

    /// Clients first.
    fn next(&mut self) -> Option<oneshot::Sender<Ticket>> {
        self.clients.pop().or_else(|| self.house.pop())
    }
}

impl Queue {
    fn new(supply: &Arc<Supply>, longest: usize) -> Arc<Self> {
        let (clients, house) = (Line::new(longest), Line::new(usize::MAX));
        let lines = Mutex::new(Lines { clients, house, is_served: false });
        Arc::new(Self { supply: Arc::clone(supply), lines })
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Without waiting, where nobody stands before him.
    fn pass(&self, is_house: bool, clock: &Clock) -> Option<Ticket> {
        let lines = self.lines();
        let before = if is_house { lines.length() } else { lines.clients.len() };
        if before > 0 { None } else { self.supply.take(clock) }
    }

    /// None where the queue is full.
    fn enqueue<'a>(
        self: &'a Arc<Self>,
        (who, is_house): (Uuid, bool),
        clock: &Clock,
        counts: &'a Counts,
    ) -> Option<Waiter<'a>> {
        let (sender, turn) = oneshot::channel();
        let mut lines = self.lines();
        let is_in = match is_house {
            true => lines.house.push_beyond(who, sender),
            false => lines.clients.push(who, sender),
        };
        if !is_in {
            return None;
        }
        counts.waiting.fetch_add(1, Ordering::Relaxed);
        if !std::mem::replace(&mut lines.is_served, true) {
            tokio::spawn(serve(Arc::clone(self), clock.clone()));
        }
        drop(lines);
        Some(Waiter { queue: self, counts, who, is_house, turn })
    }

    /// Hands out what there is. None where nobody waits any more; else how long to sleep.
    fn hand_out(&self, clock: &Clock) -> Option<Duration> {
        let mut lines = self.lines();
        while lines.length() > 0 {
            let Some(mut ticket) = self.supply.take(clock) else {
                let now_ns = clock.monotonic_ns();
                let wait = self.supply.wait(now_ns).map_or(0, |wait| wait.until_ns);
                let sleep = Duration::from_nanos(wait.saturating_sub(now_ns));
                return Some(sleep.clamp(SHORTEST_SLEEP, LOOK_EVERY));
            };
            // Whoever left in this moment hands his turn on.
            while let Some(next) = lines.next() {
                match next.send(ticket) {
                    Ok(()) => break,
                    Err(refused) => ticket = refused,
                }
            }
        }
        lines.is_served = false;
        None
    }
}

/// As long as somebody waits.
async fn serve(queue: Arc<Queue>, clock: Clock) {
    while let Some(sleep) = queue.hand_out(&clock) {
        tokio::time::sleep(sleep).await;
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.counts.waiting.fetch_sub(1, Ordering::Relaxed);
        // Whoever has his turn, or was sent away for it, is in the queue no more.
        self.turn.close();
        let mut lines = self.queue.lines();
        let line = if self.is_house { &mut lines.house } else { &mut lines.clients };
        line.forget(self.who, oneshot::Sender::is_closed);
    }
}

impl Limiter {
    /// A call's right to leave with this secret, when it is its turn: within the provider's
    /// `max_wait_seconds`, or a refusal that says when.
    pub(crate) async fn ticket(
        &self,
        permit: &Permit,
        (secret, supply): (Uuid, &Arc<Supply>),
    ) -> Result<Ticket, Refusal> {
        let (provider, who) = (permit.provider(), permit.client().id);
        let queue = self.turns.of(secret, supply, provider.max_waiting);
        if let Some(ticket) = queue.pass(false, &self.clock) {
            return Ok(ticket);
        }
        let waited = self.wait_for(&queue, who, provider.max_wait).await;
        waited.map_err(|no| {
            let counts = &self.turns.counts;
            counts.refused.fetch_add(1, Ordering::Relaxed);
            if no == No::Full {
                counts.full.fetch_add(1, Ordering::Relaxed);
            }
            self.too_many(provider, supply, no)
        })
    }

    async fn wait_for(
        &self,
        queue: &Arc<Queue>,
        who: Uuid,
        at_most: Duration,
    ) -> Result<Ticket, No> {
        let now_ns = self.clock.monotonic_ns();
        let is_hopeless = |wait: Wait| {
            let wait_ns = u128::from(wait.until_ns.saturating_sub(now_ns));
            wait.is_certain && wait_ns > at_most.as_nanos()
        };
        if at_most.is_zero() || queue.supply.wait(now_ns).is_some_and(is_hopeless) {
            return Err(No::TooLate);
        }
        let counts = &self.turns.counts;
        let entered = queue.enqueue((who, false), &self.clock, counts);
        let mut waiter = entered.ok_or(No::Full)?;
        match tokio::time::timeout(at_most, &mut waiter.turn).await {
            Ok(Ok(ticket)) => {
                let waited_ns = self.clock.monotonic_ns().saturating_sub(now_ns);
                counts.waited.fetch_add(1, Ordering::Relaxed);
                counts.waited_ns.fetch_add(waited_ns, Ordering::Relaxed);
                Ok(ticket)
            }
            // He was sent away for somebody who had less in it.
            Ok(Err(_)) => Err(No::Full),
            Err(_) => Err(No::TooLong),
        }
    }

    /// The same for a call of the house: behind the calls of clients, however long that takes.
    pub(crate) async fn ticket_of_the_house(
        &self,
        permit: &Permit,
        (secret, supply): (Uuid, &Arc<Supply>),
    ) -> Ticket {
        let queue = self.turns.of(secret, supply, permit.provider().max_waiting);
        loop {
            if let Some(ticket) = queue.pass(true, &self.clock) {
                return ticket;
            }
            let who = (permit.client().id, true);
            if let Some(mut waiter) = queue.enqueue(who, &self.clock, &self.turns.counts)
                && let Ok(ticket) = (&mut waiter.turn).await
            {
                return ticket;
            }
        }
    }

    /// Of calls that had to wait for a provider.
    pub(crate) fn waits(&self) -> Waits {
        self.turns.waits()
    }

    fn too_many(&self, provider: &Provider, supply: &Supply, no: No) -> Refusal {
        let now = self.clock.now();
        let until_ns = supply.wait(now.monotonic_ns).map_or(0, |wait| wait.until_ns);
        let wait_ms = until_ns.saturating_sub(now.monotonic_ns).div_ceil(1_000_000);
        let free_at_ms = now.unix_ms.saturating_add(i64::try_from(wait_ms).unwrap_or(i64::MAX));
        let standing = supply.standing(now.monotonic_ns);
        let quota = standing.limit.map_or(0, |(calls, _)| calls);
        let times = (free_at_ms, now.unix_ms);
        let exceeded = Exceeded::at(LimitKind::Provider, (quota, quota), times);
        let title = &provider.title;
        let limit = match standing.limit {
            Some((calls, 1)) => format!("{title} allows {calls} requests per second"),
            Some((calls, 60)) => format!("{title} allows {calls} requests per minute"),
            Some((calls, seconds)) => {
                format!("{title} allows {calls} requests in {seconds} seconds")
            }
            None => format!("{title} takes no more requests for now"),
        };
        let most = provider.max_wait.as_secs();
        let why = match no {
            No::Full => format!("{} calls wait for it already (max_waiting)", provider.max_waiting),
            No::TooLate => {
                format!("its next turn comes later than max_wait_seconds ({most}) allows")
            }
            No::TooLong => format!("this one waited for {most} seconds (max_wait_seconds)"),
        };
        let detail = format!(
            "{limit} with this key, and {why}. It was not sent. Come back when Retry-After says; \
             an operator can spread the load over several secrets with pool = true."
        );
        Refusal::rate_limited(exceeded, detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND_NS: u64 = 1_000_000_000;
    const LONG: Duration = Duration::from_secs(30);

    fn queue(longest: usize) -> (Clock, Arc<Queue>, Arc<Counts>) {
        let (clock, supply) = (Clock::settable(0), Arc::new(Supply::default()));
        supply.allow(Some((1, SECOND_NS)));
        (clock, Queue::new(&supply, longest), Arc::default())
    }

    /// Somebody who waits for one turn, and writes down that he had it.
    fn wait(
        (clock, queue, counts): (&Clock, &Arc<Queue>, &Arc<Counts>),
        (who, is_house): (u128, bool),
        served: &Arc<Mutex<Vec<u128>>>,
    ) -> tokio::task::JoinHandle<bool> {
        let (clock, queue, counts) = (clock.clone(), Arc::clone(queue), Arc::clone(counts));
        let served = Arc::clone(served);
        tokio::spawn(async move {
            let who_is = (Uuid::from_u128(who), is_house);
            let Some(mut waiter) = queue.enqueue(who_is, &clock, &counts) else { return false };
            let Ok(ticket) = (&mut waiter.turn).await else { return false };
            ticket.leaves();
            served.lock().unwrap().push(who);
            ticket.answered(None);
            true
        })
    }

    async fn settle() {
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
    }

    async fn pass_seconds(clock: &Clock, seconds: u32) {
        for _ in 0..seconds {
            clock.advance(Duration::from_millis(1_030));
            tokio::time::sleep(LOOK_EVERY * 2).await;
        }
    }

    #[tokio::test]
    async fn clients_take_turns_and_the_house_comes_behind_them() {
        let (clock, queue, counts) = queue(100);
        let served = Arc::default();
        let first = queue.pass(false, &clock).unwrap();
        first.leaves();
        first.answered(None);
        let all = (&clock, &queue, &counts);
        let mut tasks = vec![wait(all, (9, true), &served)];
        settle().await;
        for who in [1, 1, 1, 2, 2] {
            tasks.push(wait(all, (who, false), &served));
            settle().await;
        }
        assert!(queue.pass(true, &clock).is_none() && queue.pass(false, &clock).is_none());
        pass_seconds(&clock, 7).await;
        for task in tasks {
            assert!(tokio::time::timeout(LONG, task).await.unwrap().unwrap());
        }
        assert_eq!(*served.lock().unwrap(), [1, 2, 1, 2, 1, 9]);
        assert_eq!(counts.waiting.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn whoever_leaves_frees_his_place_and_loses_nobody_a_turn() {
        let (clock, queue, counts) = queue(3);
        let served = Arc::default();
        let held = queue.pass(false, &clock).unwrap();
        let all = (&clock, &queue, &counts);
        let mut tasks = Vec::new();
        for who in [1, 2, 3] {
            tasks.push(wait(all, (who, false), &served));
            settle().await;
        }
        assert!(!wait(all, (4, false), &served).await.unwrap(), "the queue is full");
        tasks.remove(0).abort();
        settle().await;
        assert_eq!(queue.lines().length(), 2);
        tasks.push(wait(all, (4, false), &served));
        settle().await;
        drop(held);
        pass_seconds(&clock, 5).await;
        for task in tasks {
            assert!(tokio::time::timeout(LONG, task).await.unwrap().unwrap());
        }
        assert_eq!(*served.lock().unwrap(), [2, 3, 4]);
    }
}
