//! The calls that a provider allows in a minute, where its entry says how many: those of clients
//! are counted and never held up, those of the house wait until there is room beside them.
//! Must never let the house make the call that the provider would refuse.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Admission, Limiter};
use crate::clock::Clock;
use crate::policy::Permit;
use crate::refusal::{Reason, Refusal};

/// The minute, and a little for clocks that do not run alike.
const MINUTE_NS: u64 = 60_000_000_000 + MARGIN_NS;
const MARGIN_NS: u64 = 250_000_000;
/// A client's call may be on its way so long before the provider counts it.
const ON_ITS_WAY_NS: u64 = 1_000_000_000;
/// How soon a clock that was set is noticed, and a place that a client has not taken.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// By provider; none for those whose entry names no limit.
#[derive(Default)]
pub(super) struct Paces(Mutex<HashMap<Arc<str>, Arc<Minute>>>);

/// The last minute of one provider.
#[derive(Default)]
struct Minute(Mutex<Taken>);

#[derive(Default)]
struct Taken {
    /// When each place becomes free again.
    until_ns: Vec<u64>,
    /// Calls of the house that are under way.
    house: usize,
}

/// A place in the minute, of a call that is under way. Its minute begins when it is dropped: by
/// then the provider has counted the call.
pub(super) struct Ticket {
    minute: Arc<Minute>,
    clock: Clock,
}

impl Paces {
    fn of(&self, provider: &Arc<str>) -> Arc<Minute> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(all.entry(Arc::clone(provider)).or_default())
    }
}

impl Minute {
    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, now_ns: u64) {
        let mut taken = self.taken();
        taken.sweep(now_ns);
        taken.until_ns.push(now_ns.saturating_add(MINUTE_NS + ON_ITS_WAY_NS));
    }

    fn take(self: &Arc<Self>, most: u32, clock: &Clock) -> Option<Ticket> {
        let mut taken = self.taken();
        taken.sweep(clock.monotonic_ns());
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        if taken.until_ns.len() + taken.house >= most {
            return None;
        }
        taken.house += 1;
        Some(Ticket { minute: Arc::clone(self), clock: clock.clone() })
    }
}

impl Taken {
    fn sweep(&mut self, now_ns: u64) {
        self.until_ns.retain(|until| *until > now_ns);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let until_ns = self.clock.monotonic_ns().saturating_add(MINUTE_NS);
        let mut taken = self.minute.taken();
        taken.house = taken.house.saturating_sub(1);
        taken.until_ns.push(until_ns);
    }
}

impl Limiter {
    /// A client's call is about to leave.
    pub(super) fn note_in_minute(&self, permit: &Permit) {
        let provider = permit.provider();
        if provider.requests_per_minute.is_some() {
            self.paces.of(&provider.id).note(self.clock.monotonic_ns());
        }
    }

    /// For a call of the house: waits for the provider's limit as long as it takes, behind the
    /// calls of clients, then for a place like everybody.
    pub(crate) async fn admit_house(&self, permit: &Permit) -> Result<Admission, Refusal> {
        let ticket = match permit.provider().requests_per_minute {
            Some(most) => Some(self.ticket(permit, most).await),
            None => None,
        };
        loop {
            match self.stand_patiently(permit, true).await {
                Ok(stand) => {
                    let admission = Admission::of(None, None, stand);
                    return Ok(Admission { _ticket: ticket, ..admission });
                }
                Err(refusal) if refusal.reason == Reason::Overloaded => {
                    tokio::time::sleep(LOOK_EVERY).await;
                }
                Err(refusal) => return Err(refusal),
            }
        }
    }

    async fn ticket(&self, permit: &Permit, most: u32) -> Ticket {
        let minute = self.paces.of(&permit.provider().id);
        loop {
            if let Some(ticket) = minute.take(most, &self.clock) {
                return ticket;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_house_waits_a_minute_from_the_end_of_its_calls_and_behind_those_of_clients() {
        let (clock, minute) = (Clock::settable(0), Arc::new(Minute::default()));
        let first = minute.take(3, &clock).unwrap();
        minute.note(clock.monotonic_ns());
        let second = minute.take(3, &clock).unwrap();
        assert!(minute.take(3, &clock).is_none());
        clock.advance(Duration::from_secs(90));
        assert!(minute.take(4, &clock).is_some(), "the client's has become free");
        assert!(minute.take(3, &clock).is_none(), "two are under way, one has just ended");
        drop((first, second));
        clock.advance(Duration::from_secs(60));
        assert!(minute.take(1, &clock).is_none());
        clock.advance(Duration::from_millis(251));
        assert!(minute.take(1, &clock).is_some());
    }
}
