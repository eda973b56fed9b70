//! What a provider gives for one secret: the window that its entry names, what its answers say is
//! left, what its refusals teach, and until when it is closed. One for all threads; a secret that
//! knows no limit costs its calls one load. Pure: every moment is handed in.
//! Must never let a call leave that the provider is known to refuse.

mod door;
mod learnt;
mod span;
mod ticket;
mod told;

use std::sync::atomic::{AtomicBool, Ordering};

use uuid::Uuid;

use self::door::Door;
use self::learnt::Learnt;
use self::span::Span;
pub(crate) use self::ticket::Ticket;
use self::ticket::Times;
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
    /// The same, or until nothing is left no more.
    pub(crate) rests_until_ns: Option<u64>,
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

/// One of those that may serve whoever waits.
pub(crate) struct Source {
    pub(crate) secret: Uuid,
    pub(crate) supply: Arc<Supply>,
    /// Whoever names none may be served with it, too.
    pub(crate) serves_any: bool,
}

/// Who they are at this moment.
pub(crate) type Sources = Arc<dyn Fn() -> Vec<Source> + Send + Sync>;

#[derive(Default)]
struct State {
    /// Given away, and not answered yet.
    under_way: u64,
    door: Door,
    span: Option<Span>,
    told: Option<Told>,
    learnt: Option<Learnt>,
}

/// How a call came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Came {
    /// Answered by whoever counts calls.
    Well,
    /// Answered, which proves nothing.
    Somehow,
    /// It may have been counted, and nobody says so.
    NotAtAll,
}

const SECOND_NS: u64 = 1_000_000_000;
/// A provider that says no without a word on when: so long at first, twice as long each time.
const FIRST_PAUSE_NS: u64 = SECOND_NS;
const LONGEST_PAUSE_NS: u64 = 60 * SECOND_NS;
/// Whatever was said: then one call asks. It may have been said of one route, or of a key that is
/// in service no more.
const LONGEST_BAN_NS: u64 = 3_600 * SECOND_NS;
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
        self.take_if(false, clock)
    }

    /// Whoever can wait spares a fifth of the limit, so that somebody who cannot finds a place.
    pub(crate) fn take_if(self: &Arc<Self>, spares: bool, clock: &Clock) -> Option<Ticket> {
        let now_ns = clock.monotonic_ns();
        let mut state = self.state();
        if state.wait(spares, now_ns).is_some() {
            return None;
        }
        state.give(now_ns);
        Some(Ticket::new(self, clock, now_ns))
    }

    /// For a call that leaves whatever the limit says.
    pub(crate) fn take_anyhow(self: &Arc<Self>, clock: &Clock) -> Ticket {
        let now_ns = clock.monotonic_ns();
        self.state().give(now_ns);
        Ticket::new(self, clock, now_ns)
    }

    /// None where a call may leave now.
    pub(crate) fn wait(&self, now_ns: u64) -> Option<Wait> {
        self.wait_if(false, now_ns)
    }

    pub(crate) fn wait_if(&self, spares: bool, now_ns: u64) -> Option<Wait> {
        self.state().wait(spares, now_ns)
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
        let closed_in_ns = state.door.closed_until(now_ns).map(|until_ns| until_ns - now_ns);
        Lesson { closed_in_ns, rate: state.learnt.as_ref().and_then(Learnt::lesson) }
    }

    /// Calls of before this start that the provider has counted: how old they are, oldest first.
    pub(crate) fn recall_calls(&self, window: (u64, u64), ages_ns: &[u64], now_ns: u64) {
        self.allow(Some(window));
        if let Some(span) = &mut self.state().span {
            ages_ns.iter().for_each(|age_ns| span.count_back(now_ns, *age_ns));
        }
    }

    /// Of before this start; what was learnt since holds.
    pub(crate) fn recall(&self, lesson: Lesson, now_ns: u64) {
        let mut state = self.state();
        if let Some(closed_in_ns) = lesson.closed_in_ns {
            state.door.extend(now_ns.saturating_add(closed_in_ns.min(LONGEST_BAN_NS)));
        }
        if state.learnt.is_none() {
            state.learnt = lesson.rate.map(|rate| Learnt::recalled(rate, now_ns));
        }
        self.is_bound.store(true, Ordering::Release);
    }

    /// A check has found the key good: the door is opened, for one call first.
    pub(crate) fn open(&self, now_ns: u64) {
        self.state().open(now_ns);
    }

    /// Another version of the key serves: what was said of the one before holds no more, but for
    /// the rate, which is the account's as a rule.
    pub(crate) fn renew(&self, now_ns: u64) {
        let mut state = self.state();
        state.open(now_ns);
        if let Some(told) = &mut state.told {
            told.renew();
        }
        if let Some(learnt) = &mut state.learnt {
            learnt.renew();
        }
    }

    /// Somebody knows better: all that was learnt and said.
    pub(crate) fn forget(&self) {
        let mut state = self.state();
        let (under_way, span) = (state.under_way, state.span.take());
        *state = State { under_way, span, ..State::default() };
    }

    fn came_back(&self, times: Times, how: Came, notice: Option<Notice>) {
        self.state().came_back(times, how, notice);
    }

    fn given_back(&self, given_ns: u64) {
        self.state().give_back(given_ns);
    }

    /// Nothing behind this lock is left half-changed by a panic.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// As if a fifth of the limit were under way besides, for one that spares it.
    fn wait(&mut self, spares: bool, now_ns: u64) -> Option<Wait> {
        if let Some(wait) = self.door.wait(now_ns) {
            return Some(wait);
        }
        let spared = if spares { self.fifth() } else { 0 };
        let under_way = self.under_way.saturating_add(spared);
        let span = self.span.as_mut().and_then(|span| span.wait(under_way, now_ns));
        let told = self.told.as_mut().and_then(|told| told.wait(under_way, now_ns));
        let learnt = self.learnt.as_mut().and_then(|learnt| learnt.wait(now_ns));
        [span, told, learnt].into_iter().flatten().max_by_key(|wait| wait.until_ns)
    }

    /// Of the calls of the window, and one at least where there are two.
    fn fifth(&self) -> u64 {
        let told = self.told.as_ref().and_then(Told::limit).map(|(calls, _)| calls);
        let calls = told.or_else(|| self.span.as_ref().map(|span| span.is_of().0)).unwrap_or(0);
        if calls < 2 { 0 } else { (calls / 5).max(1) }
    }

    fn give(&mut self, now_ns: u64) {
        self.under_way += 1;
        self.door.goes(now_ns);
        if let Some(learnt) = &mut self.learnt {
            learnt.take(now_ns);
        }
    }

    /// A ticket that was not used.
    fn give_back(&mut self, given_ns: u64) {
        self.under_way = self.under_way.saturating_sub(1);
        self.door.comes(given_ns, false);
        if let Some(learnt) = &mut self.learnt {
            learnt.give_back();
        }
    }

    fn came_back(&mut self, times: Times, how: Came, notice: Option<Notice>) {
        let Times { given_ns, left_ns, now_ns } = times;
        self.under_way = self.under_way.saturating_sub(1);
        if let Some(span) = &mut self.span {
            span.count(now_ns);
        }
        let has_passed = how == Came::Well && !notice.is_some_and(|notice| notice.is_refusal);
        self.door.comes(given_ns, has_passed);
        if has_passed {
            if let Some(learnt) = &mut self.learnt {
                learnt.passed(left_ns);
            }
            if !notice.is_some_and(|notice| notice.is_figure()) {
                Told::unsaid(&mut self.told, left_ns);
            }
        }
        if let (Came::NotAtAll, Some(told)) = (how, &mut self.told) {
            told.lose();
        }
        if let Some(notice) = notice {
            self.heard(notice, (left_ns, now_ns));
        }
    }

    fn heard(&mut self, notice: Notice, (left_ns, now_ns): (u64, u64)) {
        Told::hear(&mut self.told, &notice, now_ns);
        if !notice.is_refusal {
            return;
        }
        let said_ns = notice.comes_back_in();
        // It was on its way when the door closed: it teaches nothing but how long.
        if self.door.is_late(left_ns) {
            if let Some(said_ns) = said_ns {
                self.door.extend(until(now_ns, said_ns));
                self.resume();
            }
            return;
        }
        let mut pause_ns = said_ns.unwrap_or(FIRST_PAUSE_NS);
        let mut is_doubtful = pause_ns > LONGEST_BAN_NS;
        // Whoever says what is left, or when, need not be guessed at.
        if self.told.is_none() || said_ns.is_none() {
            let learnt = self.learnt.get_or_insert_with(Learnt::default);
            let pauses = learnt.refused(left_ns);
            if said_ns.is_none() {
                is_doubtful = pauses > 0;
                let doubled = FIRST_PAUSE_NS.checked_shl(pauses).unwrap_or(LONGEST_PAUSE_NS);
                pause_ns = doubled.min(LONGEST_PAUSE_NS);
            }
        }
        self.door.close(now_ns, until(now_ns, pause_ns), is_doubtful);
        self.resume();
    }

    fn open(&mut self, now_ns: u64) {
        if self.door.closed_until(now_ns).is_some() {
            self.door.open(now_ns);
            self.resume();
        }
    }

    fn resume(&mut self) {
        let (closed_at_ns, opens_ns) = self.door.closed();
        if let Some(learnt) = &mut self.learnt {
            learnt.begin(opens_ns, opens_ns.saturating_sub(closed_at_ns));
        }
    }

    fn standing(&mut self, now_ns: u64) -> Standing {
        let learnt = self.learnt.as_ref().and_then(Learnt::per_minute);
        let span = self.span.as_ref().map(Span::is_of);
        let span = span.map(|(calls, ns)| (calls, ns / SECOND_NS));
        let told = self.told.as_ref().and_then(Told::limit);
        let under_way = self.under_way;
        let empty = self.told.as_mut().and_then(|told| told.wait(under_way, now_ns));
        let empty = empty.filter(|wait| wait.is_certain).map(|wait| wait.until_ns);
        let closed_until_ns = self.door.closed_until(now_ns);
        Standing {
            limit: told.or(span).or_else(|| learnt.map(|calls| (calls, 60))),
            under_way: self.under_way,
            closed_until_ns,
            rests_until_ns: closed_until_ns.max(empty),
            learnt_per_minute: learnt,
        }
    }
}

impl Notice {
    /// Does it say what is left, and until when?
    fn is_figure(&self) -> bool {
        self.remaining.is_some() && self.reset_in_ns.is_some()
    }

    /// When the provider wants the next call, by its own word. Nought is none.
    fn comes_back_in(&self) -> Option<u64> {
        let said_ns = self.retry_in_ns.filter(|ns| *ns > 0);
        // Where something is left it is another limit that said no, and nobody knows until when.
        let is_empty = self.remaining.is_none_or(|left| left == 0);
        said_ns.or_else(|| {
            let reset_ns = self.reset_in_ns.filter(|ns| is_empty && *ns > 0)?;
            match (self.refills, self.limit) {
                (false, _) => Some(reset_ns),
                // When it is full; the first one comes sooner.
                (true, Some(limit)) => Some((reset_ns / limit.max(1)).max(1)),
                (true, None) => None,
            }
        })
    }
}

fn until(now_ns: u64, pause_ns: u64) -> u64 {
    now_ns.saturating_add(pause_ns.min(LONGEST_BAN_NS)).saturating_add(MARGIN_NS)
}

#[cfg(test)]
mod tests;
