//! What a provider gives for one secret: the window that its entry names, what its answers say is
//! left, what its refusals teach, and until when it is closed. One for all threads; a secret that
//! knows no limit costs its calls one load. Pure: every moment is handed in.
//! Must never let a call leave that the provider is known to refuse.

mod learnt;
mod span;
mod told;

use std::sync::atomic::{AtomicBool, Ordering};

use self::learnt::Learnt;
use self::span::Span;
use self::told::Told;
use super::sync::{Arc, Mutex, MutexGuard, PoisonError};
use crate::clock::Clock;

/// What one answer says of the provider's limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Notice {
    pub(crate) limit: Option<u64>,
    pub(crate) remaining: Option<u64>,
    /// From the moment in which it came.
    pub(crate) reset_in_ns: Option<u64>,
    /// Until then it fills up little by little; else all at once.
    pub(crate) refills: bool,
    /// It was one call too many.
    pub(crate) is_refusal: bool,
    pub(crate) retry_in_ns: Option<u64>,
}

/// When the next call may leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wait {
    pub(crate) until_ns: u64,
    /// Nothing that may happen until then makes it sooner.
    pub(crate) is_certain: bool,
}

/// The limit as it stands, for whoever is refused or looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Calls, and in how many seconds, where somebody knows.
    pub(crate) limit: Option<(u64, u64)>,
    pub(crate) under_way: u64,
    /// By the monotonic clock.
    pub(crate) closed_until_ns: Option<u64>,
    /// Learnt from refusals alone: calls in a minute.
    pub(crate) learnt_per_minute: Option<u64>,
}

/// What is kept of a limit while the house is down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lesson {
    pub(crate) closed_in_ns: Option<u64>,
    /// Calls in a thousand seconds, and at once; where a rate is proven.
    pub(crate) rate: Option<(u32, u32)>,
}

/// What the provider gives for one secret.
#[derive(Default)]
pub(crate) struct Supply {
    is_bound: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Given away, and not answered yet.
    under_way: u64,
    closed_at_ns: u64,
    closed_until_ns: u64,
    span: Option<Span>,
    told: Option<Told>,
    learnt: Option<Learnt>,
}

/// The right to one call with this secret; goes back unused where it is dropped before the call
/// left.
pub(crate) struct Ticket {
    supply: Arc<Supply>,
    clock: Clock,
    state: Mutex<Trip>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trip {
    Here,
    /// Since then.
    Away(u64),
    Over,
}

const SECOND_NS: u64 = 1_000_000_000;
/// A provider that says no without a word on when: so long at first, twice as long each time.
const FIRST_PAUSE_NS: u64 = SECOND_NS;
const LONGEST_PAUSE_NS: u64 = 60 * SECOND_NS;
/// A time that goes with a refusal, and is no word to come back then.
const LONGEST_RESET_NS: u64 = 3_600 * SECOND_NS;
/// Longer than any ban that a provider has announced.
const LONGEST_BAN_NS: u64 = 4 * 86_400 * SECOND_NS;
/// For clocks and networks that do not run alike.
const MARGIN_NS: u64 = 20_000_000;

impl Supply {
    /// Does any limit hold? One load.
    pub(crate) fn is_bound(&self) -> bool {
        self.is_bound.load(Ordering::Acquire)
    }

    /// The window that the provider's entry names, and its length.
    pub(crate) fn allow(&self, window: Option<(u64, u64)>) {
        if window.is_none() && !self.is_bound() {
            return;
        }
        let mut state = self.state();
        if state.span.as_ref().map(Span::is_of) != window {
            state.span = window.map(|(calls, window_ns)| Span::new(calls, window_ns));
        }
        self.is_bound.store(true, Ordering::Release);
    }

    /// None where no call may leave now.
    pub(crate) fn take(self: &Arc<Self>, clock: &Clock) -> Option<Ticket> {
        let now_ns = clock.monotonic_ns();
        let mut state = self.state();
        if state.wait(now_ns).is_some() {
            return None;
        }
        state.give(now_ns);
        Some(self.ticket(clock, Trip::Here))
    }

    /// For a call that leaves whatever the limit says.
    pub(crate) fn take_anyhow(self: &Arc<Self>, clock: &Clock) -> Ticket {
        self.state().give(clock.monotonic_ns());
        self.ticket(clock, Trip::Here)
    }

    /// None where a call may leave now.
    pub(crate) fn wait(&self, now_ns: u64) -> Option<Wait> {
        self.state().wait(now_ns)
    }

    pub(crate) fn standing(&self, now_ns: u64) -> Standing {
        if self.is_bound() { self.state().standing(now_ns) } else { Standing::default() }
    }

    /// What an answer said to a call that had no ticket, as nobody knew of a limit when it left.
    pub(crate) fn heard(&self, notice: Notice, now_ns: u64) {
        let mut state = self.state();
        state.heard(notice, (0, now_ns));
        self.is_bound.store(true, Ordering::Release);
    }

    /// For the next start.
    pub(crate) fn lesson(&self, now_ns: u64) -> Lesson {
        if !self.is_bound() {
            return Lesson::default();
        }
        let state = self.state();
        let closed_in_ns = state.closed_until_ns.checked_sub(now_ns).filter(|ns| *ns > 0);
        Lesson { closed_in_ns, rate: state.learnt.as_ref().and_then(Learnt::lesson) }
    }

    /// Of before this start; what was learnt since holds.
    pub(crate) fn recall(&self, lesson: Lesson, now_ns: u64) {
        let mut state = self.state();
        if let Some(closed_in_ns) = lesson.closed_in_ns {
            let until_ns = now_ns.saturating_add(closed_in_ns.min(LONGEST_BAN_NS));
            state.closed_until_ns = state.closed_until_ns.max(until_ns);
        }
        if state.learnt.is_none() {
            state.learnt = lesson.rate.map(|rate| Learnt::recalled(rate, now_ns));
        }
        self.is_bound.store(true, Ordering::Release);
    }

    fn ticket(self: &Arc<Self>, clock: &Clock, trip: Trip) -> Ticket {
        Ticket { supply: Arc::clone(self), clock: clock.clone(), state: Mutex::new(trip) }
    }

    /// Nothing behind this lock is left half-changed by a panic.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn wait(&mut self, now_ns: u64) -> Option<Wait> {
        if now_ns < self.closed_until_ns {
            return Some(Wait { until_ns: self.closed_until_ns, is_certain: true });
        }
        let under_way = self.under_way;
        let span = self.span.as_mut().and_then(|span| span.wait(under_way, now_ns));
        let told = self.told.as_mut().and_then(|told| told.wait(under_way, now_ns));
        let learnt = self.learnt.as_mut().and_then(|learnt| learnt.wait(now_ns));
        [span, told, learnt].into_iter().flatten().max_by_key(|wait| wait.until_ns)
    }

    fn give(&mut self, now_ns: u64) {
        self.under_way += 1;
        if let Some(learnt) = &mut self.learnt {
            learnt.take(now_ns);
        }
    }

    /// A ticket that was not used.
    fn give_back(&mut self) {
        self.under_way = self.under_way.saturating_sub(1);
        if let Some(learnt) = &mut self.learnt {
            learnt.give_back();
        }
    }

    fn came_back(&mut self, (left_ns, now_ns): (u64, u64), notice: Option<Notice>) {
        self.under_way = self.under_way.saturating_sub(1);
        if let Some(span) = &mut self.span {
            span.count(now_ns);
        }
        let is_refusal = notice.is_some_and(|notice| notice.is_refusal);
        if let (false, Some(learnt)) = (is_refusal, &mut self.learnt) {
            learnt.passed(left_ns);
        }
        if let Some(notice) = notice {
            self.heard(notice, (left_ns, now_ns));
        }
    }

    /// It may have been counted, and nobody says so.
    fn lost(&mut self, now_ns: u64) {
        self.came_back((now_ns, now_ns), None);
        if let Some(told) = &mut self.told {
            told.lose();
        }
    }

    fn heard(&mut self, notice: Notice, (left_ns, now_ns): (u64, u64)) {
        Told::hear(&mut self.told, &notice, now_ns);
        if !notice.is_refusal {
            return;
        }
        let said_ns = notice.retry_in_ns.map(|ns| ns.min(LONGEST_BAN_NS));
        // Where something is left it is another limit that said no, and nobody knows until when.
        let reset_ns = notice.reset_in_ns.filter(|_| notice.remaining.is_none_or(|left| left == 0));
        let said_ns = said_ns.or_else(|| reset_ns.map(|ns| ns.min(LONGEST_RESET_NS)));
        // It was on its way when the door closed: it teaches nothing but how long.
        let is_late = self.closed_at_ns > 0 && left_ns <= self.closed_at_ns;
        let mut pause_ns = said_ns.unwrap_or(FIRST_PAUSE_NS);
        if is_late {
            if let Some(said_ns) = said_ns {
                let until_ns = now_ns.saturating_add(said_ns).saturating_add(MARGIN_NS);
                self.closed_until_ns = self.closed_until_ns.max(until_ns);
                self.resume();
            }
            return;
        }
        // Whoever says what is left, or when, need not be guessed at.
        if self.told.is_none() || said_ns.is_none() {
            let learnt = self.learnt.get_or_insert_with(Learnt::default);
            let pauses = learnt.refused((left_ns, now_ns));
            if said_ns.is_none() {
                let doubled = FIRST_PAUSE_NS.checked_shl(pauses).unwrap_or(LONGEST_PAUSE_NS);
                pause_ns = doubled.min(LONGEST_PAUSE_NS);
            }
        }
        let until_ns = now_ns.saturating_add(pause_ns).saturating_add(MARGIN_NS);
        (self.closed_at_ns, self.closed_until_ns) = (now_ns, until_ns);
        self.resume();
    }

    fn resume(&mut self) {
        let (closed_at_ns, until_ns) = (self.closed_at_ns, self.closed_until_ns);
        if let Some(learnt) = &mut self.learnt {
            learnt.begin(until_ns, until_ns.saturating_sub(closed_at_ns));
        }
    }

    fn standing(&mut self, now_ns: u64) -> Standing {
        let learnt = self.learnt.as_ref().and_then(Learnt::per_minute);
        let span = self.span.as_ref().map(Span::is_of);
        let span = span.map(|(calls, ns)| (calls, ns / SECOND_NS));
        let told = self.told.as_ref().and_then(Told::limit);
        Standing {
            limit: told.or(span).or_else(|| learnt.map(|calls| (calls, 60))),
            under_way: self.under_way,
            closed_until_ns: (now_ns < self.closed_until_ns).then_some(self.closed_until_ns),
            learnt_per_minute: learnt,
        }
    }
}

impl Ticket {
    /// The call leaves: from here on the provider may count it.
    pub(crate) fn leaves(&self) {
        let mut trip = self.trip();
        if *trip == Trip::Here {
            *trip = Trip::Away(self.clock.monotonic_ns());
        }
    }

    /// The provider has counted it, and says this.
    pub(crate) fn answered(&self, notice: Option<Notice>) {
        let mut trip = self.trip();
        let now_ns = self.clock.monotonic_ns();
        let left_ns = match std::mem::replace(&mut *trip, Trip::Over) {
            Trip::Here => now_ns,
            Trip::Away(left_ns) => left_ns,
            Trip::Over => return,
        };
        self.supply.state().came_back((left_ns, now_ns), notice);
    }

    fn trip(&self) -> MutexGuard<'_, Trip> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let trip = *self.trip();
        match trip {
            Trip::Here => self.supply.state().give_back(),
            Trip::Away(_) => self.supply.state().lost(self.clock.monotonic_ns()),
            Trip::Over => {}
        }
    }
}

#[cfg(test)]
mod tests;
