//! The right to one call, from the moment in which it is given to the answer. Goes back unused
//! where the call did not leave, or nothing of it did.
//! Must never be counted twice.

use super::super::sync::{Arc, Mutex, MutexGuard, PoisonError};
use super::{Came, Notice, Supply};
use crate::clock::Clock;

/// The right to one call with this secret; goes back unused where it is dropped before the call
/// left.
pub(crate) struct Ticket {
    supply: Arc<Supply>,
    clock: Clock,
    given_ns: u64,
    state: Mutex<Trip>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trip {
    Here,
    /// Since then.
    Away(u64),
    Over,
}

/// When a call was let go, left and came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Times {
    pub(super) given_ns: u64,
    pub(super) left_ns: u64,
    pub(super) now_ns: u64,
}

impl Ticket {
    pub(super) fn new(supply: &Arc<Supply>, clock: &Clock, given_ns: u64) -> Self {
        let (supply, clock) = (Arc::clone(supply), clock.clone());
        Self { supply, clock, given_ns, state: Mutex::new(Trip::Here) }
    }

    /// The call leaves: from here on the provider may count it.
    pub(crate) fn leaves(&self) {
        let mut trip = self.trip();
        if *trip == Trip::Here {
            *trip = Trip::Away(self.clock.monotonic_ns());
        }
    }

    /// Nothing of it has left after all.
    pub(crate) fn stays(&self) {
        let mut trip = self.trip();
        if let Trip::Away(_) = *trip {
            *trip = Trip::Here;
        }
    }

    /// The provider has counted it, and says this.
    pub(crate) fn answered(&self, notice: Option<Notice>) {
        self.came(Came::Well, notice);
    }

    /// It was answered, and that proves nothing: the provider is out of order, or another limit
    /// was asked.
    pub(crate) fn failed(&self, notice: Option<Notice>) {
        self.came(Came::Somehow, notice);
    }

    fn came(&self, how: Came, notice: Option<Notice>) {
        let mut trip = self.trip();
        let now_ns = self.clock.monotonic_ns();
        let left_ns = match std::mem::replace(&mut *trip, Trip::Over) {
            Trip::Here => now_ns,
            Trip::Away(left_ns) => left_ns,
            Trip::Over => return,
        };
        self.supply.came_back(self.times(left_ns, now_ns), how, notice);
    }

    fn times(&self, left_ns: u64, now_ns: u64) -> Times {
        Times { given_ns: self.given_ns, left_ns, now_ns }
    }

    fn trip(&self) -> MutexGuard<'_, Trip> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let trip = *self.trip();
        match trip {
            Trip::Here => self.supply.given_back(self.given_ns),
            Trip::Away(left_ns) => {
                let times = self.times(left_ns, self.clock.monotonic_ns());
                self.supply.came_back(times, Came::NotAtAll, None);
            }
            Trip::Over => {}
        }
    }
}
