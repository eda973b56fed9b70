//! How many calls to one host may be sent a second time: a fifth of them, and a few more now and
//! then, so that a provider in trouble does not get twice the load. One per thread and host, so it
//! costs nothing but an addition.

/// In fifths of a second try.
const TRY: u32 = 5;
/// What quiet hosts have in hand.
const MOST: u32 = 32 * TRY;
/// Where calls are few, second tries may follow each other at this pace all the same.
const PER_SECOND: u64 = TRY as u64;
const SECOND_NS: u64 = 1_000_000_000;

#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    fifths: u32,
    counted_ns: u64,
}

impl Default for Budget {
    fn default() -> Self {
        Self { fifths: MOST, counted_ns: 0 }
    }
}

impl Budget {
    /// A call is made.
    pub(super) fn deposit(&mut self) {
        self.fifths = self.fifths.saturating_add(1).min(MOST);
    }

    /// May one be made again?
    pub(super) fn withdraw(&mut self, now_ns: u64) -> bool {
        let seconds = now_ns.saturating_sub(self.counted_ns) / SECOND_NS;
        if seconds > 0 {
            let earned = u32::try_from(seconds.saturating_mul(PER_SECOND)).unwrap_or(MOST);
            self.fifths = self.fifths.saturating_add(earned).min(MOST);
            self.counted_ns = now_ns;
        }
        match self.fifths.checked_sub(TRY) {
            Some(rest) => {
                self.fifths = rest;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fifth_of_the_calls_may_be_tried_again_once_what_was_in_hand_is_gone() {
        let mut budget = Budget::default();
        let in_hand = (0..1_000).filter(|_| budget.withdraw(1)).count();
        assert_eq!(in_hand, 32);
        let tried = (0..1_000)
            .filter(|_| {
                budget.deposit();
                budget.withdraw(1)
            })
            .count();
        assert_eq!(tried, 200);
        assert!(!budget.withdraw(1));
        assert!(budget.withdraw(1 + SECOND_NS), "one a second, however few the calls");
        assert!(!budget.withdraw(1 + SECOND_NS));
    }
}
