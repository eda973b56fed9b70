//! When what was not confirmed is tried again: soon at first, then ever more seldom, each time a
//! fifth earlier or later, so that what failed together does not come back together.
//! Must never give up within a day and a half.

use crate::crypto::random_bytes;

/// Seconds between one try and the next; beyond them nobody tries any more.
const PAUSES: [i64; 11] = [5, 30, 120, 600, 1_800, 7_200, 18_000, 36_000, 36_000, 36_000, 36_000];
/// However long a receiver wants to be left alone.
const LONGEST_MS: i64 = 86_400_000;

/// After so many tries that failed; None: it is given up.
pub(super) fn next_at(now_ms: i64, tries: u64, wanted_seconds: Option<u64>) -> Option<i64> {
    let at = usize::try_from(tries.saturating_sub(1)).ok()?;
    let pause_ms = jittered(PAUSES.get(at)?.saturating_mul(1000));
    let wanted_ms = wanted_seconds.and_then(|seconds| i64::try_from(seconds).ok()).unwrap_or(0);
    let wanted_ms = wanted_ms.saturating_mul(1000).min(LONGEST_MS);
    Some(now_ms.saturating_add(pause_ms.max(wanted_ms)))
}

fn jittered(pause_ms: i64) -> i64 {
    // Without randomness there is no jitter, and the house has other troubles.
    let drawn = random_bytes::<2>().map_or(u16::MAX / 2, u16::from_be_bytes);
    let fifth = pause_ms / 5;
    let offset = fifth.saturating_mul(2).saturating_mul(i64::from(drawn)) / i64::from(u16::MAX);
    pause_ms.saturating_sub(fifth).saturating_add(offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_are_never_alike_and_end_after_a_day_and_a_half() {
        let mut all_ms = 0;
        for tries in 1..=11 {
            let pauses: Vec<i64> = (0..40).map(|_| next_at(0, tries, None).unwrap()).collect();
            let usual = PAUSES[usize::try_from(tries).unwrap() - 1] * 1000;
            let bounds = usual * 4 / 5..=usual * 6 / 5;
            assert!(pauses.iter().all(|pause| bounds.contains(pause)), "{tries}: {pauses:?}");
            assert!(pauses.iter().any(|pause| *pause != pauses[0]), "{tries}");
            all_ms += bounds.start();
        }
        assert!(all_ms >= 36 * 3_600_000, "{all_ms}");
        assert_eq!(next_at(0, 12, None), None);
    }

    #[test]
    fn a_receiver_may_ask_for_a_longer_pause_of_a_day_at_most() {
        assert_eq!(next_at(0, 1, Some(600)), Some(600_000));
        assert_eq!(next_at(0, 1, Some(10_000_000)), Some(86_400_000));
        assert!(next_at(0, 5, Some(1)).unwrap() > 1_000_000);
    }
}
