//! A version that is on trial beside the one that calls use: which of the two serves a call, and
//! what came of it on either side. Counts alone; what follows from them is decided elsewhere. Must
//! never give a call that cannot be repeated to a version that has not stood the trial.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};

use tokio::sync::Notify;
use uuid::Uuid;

/// So many calls that the provider refused with the new version and took with the old one prove
/// that the new one is bad.
pub(crate) const PROOFS: u64 = 3;
/// Below so many callers, each call is dealt out by itself.
const CLIENTS_FOR_STICKING: u32 = 100;
const WORDS: usize = 16;
const ALL: u32 = 100;

/// One rotation as the callers' threads see it. Shared by all of them, and only while it lasts.
#[derive(Default)]
pub(crate) struct Trial {
    /// Percent of the calls that are the new version's.
    share: AtomicU32,
    dealt: AtomicU64,
    /// Which callers were there: a bit for each, by a hash.
    callers: [AtomicU64; WORDS],
    /// The same of the step before, whose callers keep their versions in this one.
    callers_before: [AtomicU64; WORDS],
    new: Side,
    old: Side,
    /// The new version was refused, and the old one served the same call.
    saved: AtomicU64,
    /// The same, where the call could not be repeated.
    lost: AtomicU64,
    /// When the old version was sent last, as the wall clock says.
    old_used_ms: AtomicI64,
    /// Calls that the provider did with the new version: 2xx, 3xx, or a socket that was opened.
    done: AtomicU64,
    /// A call went wrong with the new version: whoever judges is called.
    trouble: Arc<Notify>,
}

/// What came of the calls of one version.
#[derive(Default)]
struct Side {
    calls: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
}

/// What became of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// For what the key is, as far as anybody knows.
    Refused,
    /// The provider is out of order, or said nothing.
    Failed,
    /// Whatever else: what a client asks for in vain is nothing that a key could change.
    Well,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    New,
    Old,
}

/// What is known of one side at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) calls: u64,
    pub(crate) refused: u64,
    pub(crate) failed: u64,
}

/// What is known of a trial at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Score {
    pub(crate) new: Tally,
    pub(crate) old: Tally,
    pub(crate) saved: u64,
    pub(crate) lost: u64,
}

impl Side {
    fn note(&self, outcome: Outcome) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        match outcome {
            Outcome::Refused => drop(self.refused.fetch_add(1, Ordering::Relaxed)),
            Outcome::Failed => drop(self.failed.fetch_add(1, Ordering::Relaxed)),
            Outcome::Well => {}
        }
    }

    fn tally(&self) -> Tally {
        Tally {
            calls: self.calls.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
        }
    }
}

impl Tally {
    fn since(self, earlier: Self) -> Self {
        Self {
            calls: self.calls.saturating_sub(earlier.calls),
            refused: self.refused.saturating_sub(earlier.refused),
            failed: self.failed.saturating_sub(earlier.failed),
        }
    }
}

impl Score {
    /// As it is stored.
    pub(crate) fn counts(self) -> [u64; 8] {
        let Self { new, old, saved, lost } = self;
        let [one, other] = [new, old].map(|side| [side.calls, side.refused, side.failed]);
        let ([a, b, c], [d, e, f]) = (one, other);
        [a, b, c, d, e, f, saved, lost]
    }

    pub(crate) fn of_counts([a, b, c, d, e, f, saved, lost]: [u64; 8]) -> Self {
        let side = |[calls, refused, failed]: [u64; 3]| Tally { calls, refused, failed };
        Self { new: side([a, b, c]), old: side([d, e, f]), saved, lost }
    }

    pub(crate) fn and(self, more: Self) -> Self {
        let (mut counts, more) = (self.counts(), more.counts());
        counts.iter_mut().zip(more).for_each(|(count, more)| *count = count.saturating_add(more));
        Self::of_counts(counts)
    }

    /// What has come since an earlier moment.
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            new: self.new.since(earlier.new),
            old: self.old.since(earlier.old),
            saved: self.saved.saturating_sub(earlier.saved),
            lost: self.lost.saturating_sub(earlier.lost),
        }
    }
}

impl Trial {
    pub(super) fn new(trouble: &Arc<Notify>) -> Self {
        Self { trouble: Arc::clone(trouble), ..Self::default() }
    }

    pub(crate) fn set_share(&self, percent: u32) {
        if self.share.swap(percent.min(ALL), Ordering::Relaxed) != percent {
            // Whoever was there two steps before may be gone.
            for (word, before) in self.callers.iter().zip(&self.callers_before) {
                before.store(word.swap(0, Ordering::Relaxed), Ordering::Relaxed);
            }
        }
    }

    pub(crate) fn score(&self) -> Score {
        Score {
            new: self.new.tally(),
            old: self.old.tally(),
            saved: self.saved.load(Ordering::Relaxed),
            lost: self.lost.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn old_used_ms(&self) -> i64 {
        self.old_used_ms.load(Ordering::Relaxed)
    }

    /// Which version serves this call. With many callers each stays with one version; with few each
    /// call is dealt out by itself, so that a step is a step whoever calls.
    /// `dealt`: what this call had before it waited, and keeps while that may be.
    pub(super) fn choose(&self, client: Uuid, may_repeat: bool, dealt: Option<Which>) -> Which {
        let share = self.share.load(Ordering::Relaxed);
        match share {
            // Whoever decides on it will see the same; until then no call pays for it.
            _ if self.saved.load(Ordering::Relaxed) >= PROOFS => return Which::Old,
            0 => return Which::Old,
            ALL.. => return Which::New,
            _ if !may_repeat => return Which::Old,
            _ => {}
        }
        if let Some(dealt) = dealt {
            return dealt;
        }
        let hash = mixed(client);
        let is_new = if self.seen(hash) >= CLIENTS_FOR_STICKING {
            hash % u64::from(ALL) < u64::from(share)
        } else {
            // Evenly: of any hundred calls in a row so many.
            let (before, share) = (self.dealt.fetch_add(1, Ordering::Relaxed), u64::from(share));
            let all = u64::from(ALL);
            (before + 1).wrapping_mul(share) / all != before.wrapping_mul(share) / all
        };
        if is_new { Which::New } else { Which::Old }
    }

    /// Another secret serves the call: the next one is dealt what this one was.
    pub(super) fn was_not_dealt(&self) {
        self.dealt.fetch_sub(1, Ordering::Relaxed);
    }

    /// About how many callers there were in this step, this one with them, or in the one before.
    fn seen(&self, hash: u64) -> u32 {
        let bit = hash >> 32;
        let at = usize::try_from(bit / 64).unwrap_or(0) % WORDS;
        if let Some(word) = self.callers.get(at) {
            let mask = 1 << (bit % 64);
            if word.load(Ordering::Relaxed) & mask == 0 {
                word.fetch_or(mask, Ordering::Relaxed);
            }
        }
        let many = |words: &[AtomicU64]| {
            let ones = |word: &AtomicU64| word.load(Ordering::Relaxed).count_ones();
            let set: u32 = words.iter().map(ones).sum();
            // Two may share a bit: a hundred callers set about ninety-five of a thousand.
            set + set / 19
        };
        match many(&self.callers) {
            few if few < CLIENTS_FOR_STICKING => few.max(many(&self.callers_before)),
            enough => enough,
        }
    }

    /// How many calls it has done with the new version.
    pub(crate) fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// What the provider said, where that is no refusal of the key; None: it said nothing.
    pub(super) fn note(&self, which: Which, status: Option<u16>, now_ms: i64) {
        if let (Which::New, Some(..400)) = (which, status) {
            self.done.fetch_add(1, Ordering::Relaxed);
        }
        self.came(
            which,
            now_ms,
            match status {
                Some(500..) | None => Outcome::Failed,
                Some(_) => Outcome::Well,
            },
        );
    }

    pub(super) fn refused(&self, which: Which, now_ms: i64) {
        self.came(which, now_ms, Outcome::Refused);
    }

    fn came(&self, which: Which, now_ms: i64, outcome: Outcome) {
        match which {
            Which::New => {
                self.new.note(outcome);
                match outcome {
                    Outcome::Refused | Outcome::Failed => self.trouble.notify_one(),
                    Outcome::Well => {}
                }
            }
            Which::Old => {
                self.old.note(outcome);
                self.old_used_ms.fetch_max(now_ms, Ordering::Relaxed);
            }
        }
    }

    pub(super) fn saved(&self) {
        self.saved.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn lost(&self) {
        self.lost.fetch_add(1, Ordering::Relaxed);
    }
}

/// Every bit of it depends on every bit of the id, whose beginning is a time.
fn mixed(client: Uuid) -> u64 {
    let (high, low) = client.as_u64_pair();
    let mut hash = high ^ low.rotate_left(32);
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new_of(trial: &Trial, clients: u32, calls: u32) -> usize {
        let one = |call: u32| {
            let client = Uuid::from_u128(u128::from(call % clients) << 64 | 7);
            trial.choose(client, true, None)
        };
        (0..calls).map(one).filter(|which| *which == Which::New).count()
    }

    #[test]
    fn few_callers_share_a_step_call_by_call_and_exactly() {
        for (share, expected) in [(0, 0), (1, 10), (10, 100), (50, 500), (100, 1000)] {
            let trial = Trial::default();
            trial.set_share(share);
            assert_eq!(new_of(&trial, 1, 1000), expected, "{share}");
        }
    }

    #[test]
    fn many_callers_stay_with_their_version_and_those_of_a_step_stay_in_the_next() {
        let trial = Trial::default();
        let clients: Vec<Uuid> = (0..2000_u128)
            .map(|n| Uuid::from_u128(n.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
            .collect();
        let mut before: Vec<Uuid> = Vec::new();
        for share in [10, 50] {
            trial.set_share(share);
            for client in &clients {
                trial.choose(*client, true, None);
            }
            let chosen = |client: &&Uuid| trial.choose(**client, true, None) == Which::New;
            let new: Vec<Uuid> = clients.iter().filter(chosen).copied().collect();
            let again: Vec<Uuid> = clients.iter().filter(chosen).copied().collect();
            assert_eq!(new, again, "a caller stays");
            let part = new.len() * 100 / clients.len();
            assert!(part.abs_diff(usize::try_from(share).unwrap()) <= 3, "{share}: {part}");
            assert!(before.iter().all(|client| new.contains(client)));
            before = new;
        }
        // Nobody of them has called in the next step yet, and each keeps its version all the same.
        trial.set_share(60);
        assert!(before.iter().all(|client| trial.choose(*client, true, None) == Which::New));
    }

    #[test]
    fn what_cannot_be_repeated_waits_for_the_last_step() {
        let trial = Trial::default();
        trial.set_share(50);
        assert!((0..100).all(|_| trial.choose(Uuid::nil(), false, None) == Which::Old));
        trial.set_share(100);
        assert_eq!(trial.choose(Uuid::nil(), false, None), Which::New);
    }

    #[test]
    fn a_call_that_looks_anew_keeps_what_it_was_dealt_while_that_may_be() {
        let trial = Trial::default();
        trial.set_share(50);
        let dealt: Vec<Which> = (0..10).map(|_| trial.choose(Uuid::nil(), true, None)).collect();
        assert_eq!(dealt.iter().filter(|which| **which == Which::New).count(), 5);
        for which in [Which::New, Which::Old] {
            assert_eq!(trial.choose(Uuid::nil(), true, Some(which)), which);
        }
        trial.set_share(0);
        assert_eq!(trial.choose(Uuid::nil(), true, Some(Which::New)), Which::Old);
        trial.set_share(100);
        assert_eq!(trial.choose(Uuid::nil(), true, Some(Which::Old)), Which::New);
    }

    #[test]
    fn what_came_of_calls_is_counted_by_side() {
        let trial = Trial::default();
        for status in [Some(200), Some(404), Some(503), None] {
            trial.note(Which::New, status, 5);
        }
        (0..2).for_each(|_| trial.refused(Which::New, 5));
        trial.note(Which::Old, Some(200), 7);
        let score = trial.score();
        assert_eq!(score.new, Tally { calls: 6, refused: 2, failed: 2 });
        assert_eq!((score.old.calls, trial.old_used_ms()), (1, 7));
    }
}
