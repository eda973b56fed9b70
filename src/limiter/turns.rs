//! The calls that wait for a provider's own limit: one queue for each secret, or for all that
//! share the load, where whoever waits is served by the one that is free first. Clients in turn,
//! the house behind all of them. Bounded in length and, for clients, in time.
//! Must never let a call leave that the provider is known to refuse.

mod queue;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use uuid::Uuid;

use self::queue::{Counts, Queue, Wants, as_f64};
use super::Limiter;
use crate::clock::Clock;
use crate::policy::Permit;
use crate::provider::Provider;
use crate::quota::{Sources, Supply, Ticket, Wait};
use crate::refusal::{Exceeded, LimitKind, Refusal};
use crate::telemetry::Waits;

/// None for secrets that know no limit.
#[derive(Default)]
pub(super) struct Turns {
    queues: Mutex<HashMap<Whose, Arc<Queue>>>,
    counts: Counts,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Whose {
    Secret(Uuid),
    /// All secrets of this provider.
    Pool(Arc<str>),
}

/// The right to one call with that secret.
pub(crate) type Granted = (Uuid, Ticket);

/// What a call asks for: the secret that was selected for it, and who else may serve it.
pub(crate) struct Asking {
    pub(crate) secret: Uuid,
    pub(crate) supply: Arc<Supply>,
    pub(crate) sources: Sources,
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
    fn of(&self, provider: &Provider, asking: &Asking) -> Arc<Queue> {
        let whose = match provider.pool {
            true => Whose::Pool(Arc::clone(&provider.id)),
            false => Whose::Secret(asking.secret),
        };
        let longest = provider.max_waiting;
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        let queue = queues.entry(whose).or_insert_with(|| Queue::new(&asking.sources, longest));
        queue.bound(longest);
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

    /// Queues in which nobody waits, and no client is expected.
    pub(super) fn sweep(&self, clock: &Clock) {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        let is_used = |queue: &Arc<Queue>| {
            Arc::strong_count(queue) > 1 || !queue.is_empty() || queue.expects_clients(clock)
        };
        queues.retain(|_, queue| is_used(queue));
    }
}

impl Limiter {
    /// A call's right to leave, when it is its turn: within the time that it may wait still, or a
    /// refusal that says when. None where what was selected for it serves nobody any more.
    pub(crate) async fn ticket(
        &self,
        permit: &Permit,
        asking: &Asking,
        at_most: Duration,
    ) -> Result<Option<Granted>, Refusal> {
        let (provider, who) = (permit.provider(), permit.client().id);
        let wants = Wants::of(permit, asking);
        let queue = self.turns.of(provider, asking);
        if let Some(turn) = queue.pass((wants, false), asking, &self.clock) {
            return Ok(Some(turn));
        }
        let waited = self.wait_for(&queue, (who, wants), at_most).await;
        waited.map_err(|no| {
            let counts = &self.turns.counts;
            counts.refused.fetch_add(1, Ordering::Relaxed);
            if no == No::Full {
                counts.full.fetch_add(1, Ordering::Relaxed);
            }
            self.too_many(provider, (&queue, wants), (&asking.supply, no))
        })
    }

    async fn wait_for(
        &self,
        queue: &Arc<Queue>,
        (who, wants): (Uuid, Wants),
        at_most: Duration,
    ) -> Result<Option<Granted>, No> {
        let now_ns = self.clock.monotonic_ns();
        let is_hopeless = |wait: Wait| {
            let wait_ns = u128::from(wait.until_ns.saturating_sub(now_ns));
            wait.is_certain && wait_ns > at_most.as_nanos()
        };
        if at_most.is_zero() || queue.outlook(wants, now_ns).0.is_some_and(is_hopeless) {
            return Err(No::TooLate);
        }
        let counts = &self.turns.counts;
        let entered = queue.enqueue((who, wants, false), &self.clock, counts);
        let mut waiter = entered.ok_or(No::Full)?;
        match tokio::time::timeout(at_most, &mut waiter.turn).await {
            Ok(Ok(turn)) => {
                let waited_ns = self.clock.monotonic_ns().saturating_sub(now_ns);
                counts.waited.fetch_add(1, Ordering::Relaxed);
                counts.waited_ns.fetch_add(waited_ns, Ordering::Relaxed);
                Ok(turn)
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
        asking: &Asking,
    ) -> Option<Granted> {
        let wants = Wants::of(permit, asking);
        let queue = self.turns.of(permit.provider(), asking);
        loop {
            if let Some(turn) = queue.pass((wants, true), asking, &self.clock) {
                return Some(turn);
            }
            let who = (permit.client().id, wants, true);
            if let Some(mut waiter) = queue.enqueue(who, &self.clock, &self.turns.counts)
                && let Ok(turn) = (&mut waiter.turn).await
            {
                return turn;
            }
        }
    }

    /// Of calls that had to wait for a provider.
    pub(crate) fn waits(&self) -> Waits {
        self.turns.waits()
    }

    fn too_many(
        &self,
        provider: &Provider,
        (queue, wants): (&Queue, Wants),
        (supply, no): (&Supply, No),
    ) -> Refusal {
        let now = self.clock.now();
        let (wait, rate) = queue.outlook(wants, now.monotonic_ns);
        let until_ns = wait.map_or(0, |wait| wait.until_ns);
        let wait_ms = until_ns.saturating_sub(now.monotonic_ns).div_ceil(1_000_000);
        // Whoever waits already comes before him.
        let before = u64::try_from(queue.clients()).unwrap_or(u64::MAX);
        let queue_s = if rate > 0.0 { as_f64(before) / rate } else { 0.0 };
        let queue_ms = Duration::try_from_secs_f64(queue_s).map_or(0, |queue| queue.as_millis());
        let wait_ms = wait_ms.saturating_add(u64::try_from(queue_ms).unwrap_or(0));
        let free_at_ms = now.unix_ms.saturating_add(i64::try_from(wait_ms).unwrap_or(i64::MAX));
        let standing = supply.standing(now.monotonic_ns);
        let quota = standing.limit.map_or(0, |(calls, _)| calls);
        let times = (free_at_ms, now.unix_ms);
        let exceeded = Exceeded::at(LimitKind::Provider, (quota, quota), times);
        let limit = said(&provider.title, standing.limit);
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

fn said(title: &str, limit: Option<(u64, u64)>) -> String {
    match limit {
        Some((calls, 1)) => format!("{title} allows {calls} requests per second"),
        Some((calls, 60)) => format!("{title} allows {calls} requests per minute"),
        Some((calls, seconds)) => format!("{title} allows {calls} requests in {seconds} seconds"),
        None => format!("{title} takes no more requests for now"),
    }
}
