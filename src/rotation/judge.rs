//! Is the new version worse than the old one? Two ways to say so: calls that the provider refused
//! with the new one and took with the old, which prove it one by one; and Fisher's exact test, one
//! side, on refusals and on failures, which holds for few calls as for many. Pure arithmetic.

use crate::vault::{Score, Tally};

/// So many calls that only the old version could make are proof enough.
const PROOFS: u64 = 3;
/// How seldom a version that is as good may be taken for worse, each time that it is judged.
const ALPHA: f64 = 0.001;

/// Why it is worse; None: nothing says so.
pub(super) fn verdict(score: Score) -> Option<String> {
    let Score { new, old, saved, lost } = score;
    if saved >= PROOFS {
        return Some(format!(
            "the provider refused {saved} calls with the new version and took them with the old \
             one"
        ));
    }
    if lost >= PROOFS && old.refused == 0 {
        return Some(format!("the provider refused {lost} calls with the new version"));
    }
    let worse = |what: fn(Tally) -> u64, word: &str| {
        let (ours, theirs) = (what(new), what(old));
        let p = fisher((ours, new.calls), (theirs, old.calls));
        (p < ALPHA).then(|| {
            format!(
                "{ours} of {} calls with the new version were {word}, {theirs} of {} with the old \
                 one (Fisher's exact test: p = {p:.1e})",
                new.calls, old.calls
            )
        })
    };
    worse(|tally| tally.refused, "refused").or_else(|| worse(|tally| tally.failed, "failed"))
}

/// How likely it is that the first side has so many hits or more, if both sides are alike: the
/// upper tail of the hypergeometric distribution.
fn fisher((hits, calls): (u64, u64), (other_hits, other_calls): (u64, u64)) -> f64 {
    let all_hits = hits + other_hits;
    if hits == 0 || calls == 0 || other_calls == 0 {
        return 1.0;
    }
    let total = calls + other_calls;
    let whole = choose(total, all_hits);
    let most = all_hits.min(calls);
    let term = |k: u64| {
        let misses_fit = all_hits.saturating_sub(k) <= other_calls;
        let ways = choose(calls, k) + choose(other_calls, all_hits - k) - whole;
        if misses_fit { ways.exp() } else { 0.0 }
    };
    (hits..=most).map(term).sum::<f64>().min(1.0)
}

/// The logarithm of how many ways there are.
fn choose(n: u64, k: u64) -> f64 {
    if k > n {
        return f64::NEG_INFINITY;
    }
    ln_factorial(n) - ln_factorial(k) - ln_factorial(n - k)
}

/// Exact for few, Stirling's series for many; off by less than a part in ten thousand million.
#[expect(clippy::cast_precision_loss, reason = "calls in a step: far below 2^53")]
fn ln_factorial(n: u64) -> f64 {
    if n < 32 {
        return (2..=n).map(|k| (k as f64).ln()).sum();
    }
    let x = n as f64;
    let tail = 1.0 / (12.0 * x) - 1.0 / (360.0 * x.powi(3));
    (x + 0.5).mul_add(x.ln(), -x) + 0.5 * std::f64::consts::TAU.ln() + tail
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(calls: u64, refused: u64, failed: u64) -> Tally {
        Tally { calls, refused, failed }
    }

    #[test]
    fn the_test_gives_the_values_of_the_tables() {
        for (ours, theirs, p) in [
            // The lady tasting tea.
            ((3, 4), (1, 4), 17.0 / 70.0),
            ((4, 4), (0, 4), 1.0 / 70.0),
            ((2, 2), (0, 20), 1.0 / 231.0),
            ((3, 3), (0, 17), 1.0 / 1140.0),
            ((0, 50), (10, 50), 1.0),
            ((1, 1), (0, 0), 1.0),
        ] {
            assert!((fisher(ours, theirs) - p).abs() < 1e-9, "{ours:?} {theirs:?}");
        }
        // Large figures neither overflow nor lose themselves.
        assert!(fisher((5_000, 10_000), (0, 1_000_000)) < 1e-300);
        assert!((fisher((100, 10_000), (100, 10_000)) - 0.5).abs() < 0.05);
    }

    #[test]
    fn a_worse_version_is_told_from_few_calls_and_an_equal_one_is_not() {
        let score = |new, old| Score { new, old, saved: 0, lost: 0 };
        assert!(verdict(score(tally(2, 2, 0), tally(200, 0, 0))).is_some());
        assert!(verdict(score(tally(4, 0, 4), tally(20, 0, 0))).is_some());
        assert!(verdict(score(tally(1, 1, 0), tally(99, 0, 0))).is_none(), "one is chance");
        assert!(verdict(score(tally(50, 5, 0), tally(50, 5, 0))).is_none(), "as bad as before");
        assert!(verdict(score(tally(100, 0, 10), tally(900, 0, 90))).is_none());
        let proven = Score { saved: 3, ..score(tally(5, 3, 0), tally(3, 0, 0)) };
        assert!(verdict(proven).unwrap().contains("took them with the old one"));
    }
}
