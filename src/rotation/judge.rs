//! Is the new version worse than the old one? Two ways to say so: calls that the provider refused
//! with the new one and took with the old, which prove it one by one; and Fisher's exact test, one
//! side, on refusals and on failures, which holds for few calls as for many. It is made again and
//! again while calls come, so each time less is taken for proof: all of a rotation's tests together
//! take a version that is as good for worse once in a thousand rotations. Pure arithmetic; must
//! never take a provider's outage for a bad key.

use crate::vault::{PROOFS, Score};

/// How seldom a version that is as good may be taken for worse, in all of a rotation.
const ALPHA: f64 = 0.001;
/// Tests of one judgement: refusals and failures, in the whole step and in its last moments.
const TESTS: f64 = 4.0;
/// With no call of the old version to compare with, so many failures in a row of calls are worth a
/// question.
const FAILURES: u64 = 5;

/// What the calls of a stretch say.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Verdict {
    Nothing,
    /// The new version is worse, and why.
    Worse(String),
    /// It fails, and none of the old one's calls of this time is there to compare with: the
    /// provider may be out of order for both.
    Fails(String),
}

/// What the new version's calls of a stretch say, against the old one's: those of the same stretch,
/// and all since the rotation began. `judged`: how often it was judged before, by other calls.
pub(super) fn verdict(stretch: Score, since_begin: Score, judged: u32) -> Verdict {
    let enough = alpha(judged);
    let Score { new, old: beside, .. } = stretch;
    let Score { old: before, saved, lost, .. } = since_begin;
    if saved >= PROOFS {
        return Verdict::Worse(format!(
            "the provider refused {saved} calls with the new version and took them with the old \
             one"
        ));
    }
    if lost >= PROOFS && before.refused == 0 {
        return Verdict::Worse(format!("the provider refused {lost} calls with the new version"));
    }
    let told = |what: u64, word: &str, (theirs, of): (u64, u64), p: f64| {
        format!(
            "{what} of {} calls with the new version were {word}, {theirs} of {of} with the old \
             one (Fisher's exact test: p = {p:.1e})",
            new.calls
        )
    };
    // What is refused is so whenever it is asked, so everything that the old one did counts.
    let p = fisher((new.refused, new.calls), (before.refused, before.calls));
    if p < enough {
        let theirs = (before.refused, before.calls);
        return Verdict::Worse(told(new.refused, "refused", theirs, p));
    }
    // A provider fails for a time: what counts is what the other one did meanwhile.
    let p = fisher((new.failed, new.calls), (beside.failed, beside.calls));
    if p < enough {
        let theirs = (beside.failed, beside.calls);
        return Verdict::Worse(told(new.failed, "failed", theirs, p));
    }
    if beside.calls > 0 {
        return Verdict::Nothing;
    }
    let p = fisher((new.failed, new.calls), (before.failed, before.calls));
    let is_most = new.failed >= FAILURES && new.failed * 2 > new.calls;
    match p < enough || before.calls == 0 && is_most {
        true => {
            let theirs = (before.failed, before.calls);
            match before.calls {
                0 => Verdict::Fails(format!(
                    "{} of {} calls with the new version failed, and the provider takes the old \
                     one",
                    new.failed, new.calls
                )),
                _ => Verdict::Fails(told(new.failed, "failed", theirs, p)),
            }
        }
        false => Verdict::Nothing,
    }
}

/// What the next test may take for proof: of one in two, one in six, one in twelve and so on, whose
/// sum is one.
fn alpha(judged: u32) -> f64 {
    let number = f64::from(judged) + 1.0;
    ALPHA / TESTS / (number * (number + 1.0))
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
    use crate::vault::Tally;

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

    fn stretch(new: Tally, old: Tally) -> Score {
        Score { new, old, saved: 0, lost: 0 }
    }

    fn is_worse(score: Score) -> bool {
        matches!(verdict(score, score, 0), Verdict::Worse(_))
    }

    #[test]
    fn a_worse_version_is_told_from_few_calls_and_an_equal_one_is_not() {
        assert!(is_worse(stretch(tally(2, 2, 0), tally(200, 0, 0))));
        assert!(is_worse(stretch(tally(4, 0, 4), tally(20, 0, 0))));
        assert!(!is_worse(stretch(tally(1, 1, 0), tally(99, 0, 0))), "one is chance");
        assert!(!is_worse(stretch(tally(50, 5, 0), tally(50, 5, 0))), "as bad as before");
        assert!(!is_worse(stretch(tally(100, 0, 10), tally(900, 0, 90))));
        let proven = Score { saved: 3, ..stretch(tally(5, 3, 0), tally(3, 0, 0)) };
        let Verdict::Worse(why) = verdict(proven, proven, 0) else { panic!("{proven:?}") };
        assert!(why.contains("took them with the old one"), "{why}");
        // One in each of three steps proves as much as three in one.
        let step = Score { saved: 1, ..stretch(tally(5, 1, 0), tally(3, 0, 0)) };
        assert!(matches!(verdict(step, proven, 9), Verdict::Worse(_)));
    }

    /// A provider that fails now and then, whichever key asks it.
    #[test]
    fn a_version_that_is_as_good_is_hardly_ever_taken_for_worse_however_often_it_is_judged() {
        let mut seed = 7_u64;
        let mut chance = |percent: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
            (seed >> 33) % 100 < percent
        };
        let mut taken_for_worse = 0;
        for _ in 0..200 {
            let (mut score, mut looks) = (Score::default(), vec![Score::default()]);
            for judged in 0..400 {
                for _ in 0..4 {
                    let failed = u64::from(chance(10));
                    let side = if chance(50) { &mut score.new } else { &mut score.old };
                    (side.calls, side.failed) = (side.calls + 1, side.failed + failed);
                }
                looks.push(score);
                let recent = score.since(looks[looks.len().saturating_sub(40)]);
                let found = [score, recent].map(|stretch| verdict(stretch, score, judged));
                if found.iter().any(|verdict| matches!(verdict, Verdict::Worse(_))) {
                    taken_for_worse += 1;
                    break;
                }
            }
        }
        assert_eq!(taken_for_worse, 0, "of 200");
    }

    #[test]
    fn one_that_turns_bad_late_is_still_told_from_fifty_calls() {
        let before =
            Score { new: tally(10_000, 0, 200), ..stretch(tally(0, 0, 0), tally(0, 0, 0)) };
        let before = Score { old: tally(10_000, 0, 200), ..before };
        let recent = stretch(tally(30, 0, 30), tally(30, 0, 1));
        let all = before.and(recent);
        assert!(matches!(verdict(recent, all, 5_000), Verdict::Worse(_)));
    }

    #[test]
    fn with_no_call_of_the_old_version_its_calls_before_are_compared_and_an_outage_is_asked_about()
    {
        let last = stretch(tally(40, 0, 30), tally(0, 0, 0));
        let since = stretch(tally(80, 0, 30), tally(400, 0, 2));
        assert!(matches!(verdict(last, since, 9), Verdict::Fails(_)));
        let never = stretch(tally(40, 0, 30), tally(0, 0, 0));
        assert!(matches!(verdict(last, never, 9), Verdict::Fails(_)), "nothing was there before");
        let few = stretch(tally(4, 0, 4), tally(0, 0, 0));
        assert_eq!(verdict(few, few, 0), Verdict::Nothing);
        // The provider fails for both.
        let beside = stretch(tally(40, 0, 30), tally(40, 0, 31));
        assert_eq!(verdict(beside, since, 0), Verdict::Nothing);
    }
}
