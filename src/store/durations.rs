//! How long calls took, as counts in steps of an eighth of each power of two: two such counts add
//! up to one, and a share of the calls is told within some six in a hundred. Must never fail on
//! bytes that somebody edited: what is no step counts for nothing.

/// Sixteen exact steps of a microsecond, then eight for each doubling up to the largest number.
const EXACT: u64 = 16;
const MOST_STEPS: u16 = 16 + 60 * 8;
const ENTRY_BYTES: usize = 10;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Durations {
    /// Step and count, by step.
    counts: Vec<(u16, u64)>,
}

impl Durations {
    pub(crate) fn add(&mut self, duration_ns: u64) {
        self.count(step_of(duration_ns / 1_000), 1);
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        other.counts.iter().for_each(|(step, count)| self.count(*step, *count));
    }

    /// In nanoseconds: no more than this took a share of all calls. 0 where there are none.
    pub(crate) fn quantile(&self, share: f64) -> u64 {
        let all: u64 = self.counts.iter().fold(0, |sum, (_, count)| sum.saturating_add(*count));
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of a count, rounded up"
        )]
        let wanted = ((all as f64 * share).ceil() as u64).max(1);
        let mut seen: u64 = 0;
        for (step, count) in &self.counts {
            seen = seen.saturating_add(*count);
            if seen >= wanted {
                return middle_of(*step).saturating_mul(1_000);
            }
        }
        0
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.counts.len() * ENTRY_BYTES);
        for (step, count) in &self.counts {
            bytes.extend_from_slice(&step.to_le_bytes());
            bytes.extend_from_slice(&count.to_le_bytes());
        }
        bytes
    }

    pub(super) fn of_bytes(bytes: &[u8]) -> Self {
        let mut durations = Self::default();
        for entry in bytes.as_chunks::<ENTRY_BYTES>().0 {
            let [a, b, count @ ..] = *entry;
            let step = u16::from_le_bytes([a, b]);
            if step < MOST_STEPS {
                durations.count(step, u64::from_le_bytes(count).min(1 << 50));
            }
        }
        durations
    }

    fn count(&mut self, step: u16, count: u64) {
        match self.counts.binary_search_by_key(&step, |(step, _)| *step) {
            Ok(place) => {
                if let Some((_, held)) = self.counts.get_mut(place) {
                    *held = held.saturating_add(count);
                }
            }
            Err(place) => self.counts.insert(place, (step, count)),
        }
    }
}

fn step_of(us: u64) -> u16 {
    if us < EXACT {
        return u16::try_from(us).unwrap_or(0);
    }
    let power = us.ilog2();
    let eighth = (us >> (power - 3)) & 7;
    u16::try_from(u64::from(power - 4) * 8 + eighth + EXACT).unwrap_or(MOST_STEPS - 1)
}

fn middle_of(step: u16) -> u64 {
    let step = u64::from(step);
    if step < EXACT {
        return step;
    }
    let (power, eighth) = ((step - EXACT) / 8 + 4, (step - EXACT) % 8);
    let width = 1_u64 << (power - 3);
    (8 + eighth).saturating_mul(width).saturating_add(width / 2)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_duration_is_told_within_seven_in_a_hundred(us in 0_u64..1 << 54) {
            let mut one = Durations::default();
            one.add(us * 1_000);
            let told = one.quantile(0.5) / 1_000;
            prop_assert!(told.abs_diff(us) <= us * 7 / 100, "{us} told as {told}");
        }

        #[test]
        fn parts_add_up_to_the_whole(
            left in proptest::collection::vec(0_u64..1 << 40, 0..60),
            right in proptest::collection::vec(0_u64..1 << 40, 0..60),
        ) {
            let of = |all: &[u64]| {
                let mut durations = Durations::default();
                all.iter().for_each(|ns| durations.add(*ns));
                durations
            };
            let mut both = of(&left);
            both.merge(&of(&right));
            let whole = of(&[left, right].concat());
            prop_assert_eq!(&both, &whole);
            prop_assert_eq!(&Durations::of_bytes(&both.to_bytes()), &whole);
        }

        #[test]
        fn edited_bytes_are_no_fault(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let read = Durations::of_bytes(&bytes);
            read.quantile(0.99);
        }
    }

    #[test]
    fn shares_are_those_of_the_calls() {
        let mut durations = Durations::default();
        (1..=1_000).for_each(|ms: u64| durations.add(ms * 1_000_000));
        for (share, ms) in [(0.5, 500_u64), (0.95, 950), (0.99, 990)] {
            let told = durations.quantile(share) / 1_000_000;
            assert!(told.abs_diff(ms) <= ms * 7 / 100, "{share}: {told}");
        }
        assert_eq!(Durations::default().quantile(0.5), 0);
    }
}
