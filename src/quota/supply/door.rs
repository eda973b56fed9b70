//! What a refusal closes, and how it opens again: at the time that was named, within an hour at
//! most; and where nobody believes in it, for one call at a time until one has passed. Pure.
//! Must never open sooner for a refusal that came while it was closed.

use super::{SECOND_NS, Wait};

#[derive(Default)]
pub(super) struct Door {
    closed_at_ns: u64,
    opens_ns: u64,
    /// Nobody has said that it opens then.
    is_doubtful: bool,
    /// Who went through since it opened, in doubt, and is not back.
    out: u64,
    went_ns: u64,
}

/// Whoever has gone ahead and is not back by then holds nobody up.
const PATIENCE_NS: u64 = 2 * SECOND_NS;
const SOON_NS: u64 = 20_000_000;

impl Door {
    pub(super) fn wait(&self, now_ns: u64) -> Option<Wait> {
        if now_ns < self.opens_ns {
            return Some(Wait { until_ns: self.opens_ns, is_certain: true });
        }
        let is_patient = now_ns < self.went_ns.saturating_add(PATIENCE_NS);
        let is_full = self.is_doubtful && self.out > 0 && is_patient;
        is_full.then(|| Wait { until_ns: now_ns.saturating_add(SOON_NS), is_certain: false })
    }

    /// Was this call on its way when it closed?
    pub(super) fn is_late(&self, left_ns: u64) -> bool {
        self.closed_at_ns > 0 && left_ns <= self.closed_at_ns
    }

    pub(super) fn close(&mut self, now_ns: u64, until_ns: u64, is_doubtful: bool) {
        self.closed_at_ns = now_ns;
        self.extend(until_ns);
        self.is_doubtful = is_doubtful;
    }

    /// Never shorter than it was.
    pub(super) fn extend(&mut self, until_ns: u64) {
        self.opens_ns = self.opens_ns.max(until_ns);
        self.out = 0;
    }

    /// For one call first.
    pub(super) fn open(&mut self, now_ns: u64) {
        if now_ns < self.opens_ns {
            (self.opens_ns, self.is_doubtful, self.out) = (now_ns, true, 0);
        }
    }

    /// When it was closed last, and until when.
    pub(super) fn closed(&self) -> (u64, u64) {
        (self.closed_at_ns, self.opens_ns)
    }

    pub(super) fn closed_until(&self, now_ns: u64) -> Option<u64> {
        (now_ns < self.opens_ns).then_some(self.opens_ns)
    }

    pub(super) fn goes(&mut self, now_ns: u64) {
        if self.is_doubtful && now_ns >= self.opens_ns {
            (self.out, self.went_ns) = (self.out + 1, now_ns);
        }
    }

    /// Whoever went then is back.
    pub(super) fn comes(&mut self, went_ns: u64, has_passed: bool) {
        if self.is_doubtful && went_ns >= self.opens_ns {
            self.out = self.out.saturating_sub(1);
            self.is_doubtful = !has_passed;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_door_that_opens_in_doubt_lets_one_through_at_a_time_until_one_has_passed() {
        let mut door = Door::default();
        door.close(1, SECOND_NS, true);
        assert!(door.wait(SECOND_NS - 1).unwrap().is_certain);
        assert_eq!(door.wait(SECOND_NS), None);
        door.goes(SECOND_NS);
        assert!(!door.wait(SECOND_NS + 1).unwrap().is_certain);
        // Somebody who had left before says nothing of it.
        door.comes(SECOND_NS - 1, true);
        assert!(door.wait(SECOND_NS + 1).is_some());
        door.comes(SECOND_NS, false);
        door.goes(SECOND_NS + 2);
        assert!(door.wait(SECOND_NS + 2).is_some());
        assert_eq!(door.wait(SECOND_NS + 2 + PATIENCE_NS), None, "nobody waits for ever");
        door.comes(SECOND_NS + 2, true);
        (0..100).for_each(|_| door.goes(SECOND_NS + 3));
        assert_eq!(door.wait(SECOND_NS + 3), None);
    }

    #[test]
    fn a_refusal_that_comes_while_it_is_closed_opens_it_no_sooner() {
        let mut door = Door::default();
        door.close(1, 60 * SECOND_NS, false);
        door.close(2, 5 * SECOND_NS, true);
        assert_eq!(door.wait(59 * SECOND_NS).unwrap().until_ns, 60 * SECOND_NS);
        door.open(30 * SECOND_NS);
        assert_eq!(door.wait(30 * SECOND_NS), None);
        door.goes(30 * SECOND_NS);
        assert!(door.wait(30 * SECOND_NS).is_some(), "for one call first");
    }
}
