//! Calls of a large window that Redis has counted for this node beforehand, so that it is not asked
//! for each of them: who asks for them, and who need not ask any more.
//! Must never let two ask at once, nor refuse a call by an answer to a question of before it came.

use super::bucket::Bucket;
use super::mirror::Seen;

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lease {
    /// In which they were counted: they are spent in no other.
    pub(super) part: u64,
    pub(super) left: u64,
    /// How many the last one was.
    pub(super) size: u64,
    /// Somebody asks for more at this moment.
    pub(super) is_asked_for: bool,
    /// So often somebody has asked for one.
    pub(super) asked: u64,
    refused: Option<Refused>,
    pub(super) used_at_us: u64,
}

/// What Redis answered with no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    /// Which question.
    pub(super) question: u64,
    pub(super) seen: Seen,
    /// There is room, but it is kept for a node that may be away.
    pub(super) is_kept: bool,
}

impl Lease {
    /// How many calls to ask for: twice as many as the last time, a hundredth of the quota on all
    /// nodes together at most. None where somebody asks already.
    pub(super) fn wanted(&mut self, bucket: &Bucket, nodes: u64) -> Option<u64> {
        if self.is_asked_for {
            return None;
        }
        self.is_asked_for = true;
        self.asked += 1;
        let most = (bucket.quota / (100 * nodes.max(1))).max(1);
        Some(self.size.saturating_mul(2).clamp(8, 8_192).min(most))
    }

    /// Redis has none left, as it answers to whoever asks now.
    pub(super) fn is_refused(&mut self, seen: Seen, is_kept: bool) {
        self.refused = Some(Refused { question: self.asked, seen, is_kept });
    }

    /// What Redis said to one who asked after that question was on its way.
    pub(super) fn refused_after(&self, question: u64) -> Option<Refused> {
        self.refused.filter(|refused| refused.question > question)
    }
}

#[cfg(test)]
mod tests {
    use super::super::bucket::Span;
    use super::*;

    #[test]
    fn one_asks_for_all_and_a_no_is_for_those_who_were_there_when_it_was_asked_for() {
        let span = Span::Window { seconds: 3600 };
        let bucket = Bucket { name: "w3600:1".into(), span, quota: 20_000 };
        let mut lease = Lease::default();
        assert_eq!([lease.wanted(&bucket, 3), lease.wanted(&bucket, 3)], [Some(8), None]);
        let came = lease.asked;
        let seen = Seen { used: 20_000, left: 0, free_in_ns: 5, at: 7 };
        lease.is_refused(seen, false);
        assert_eq!(lease.refused_after(came), None, "that was asked before it came");
        lease.is_asked_for = false;
        lease.size = 50;
        assert_eq!(lease.wanted(&bucket, 3), Some(66), "a hundredth on three nodes");
        lease.is_refused(seen, true);
        let refused = Refused { question: came + 1, seen, is_kept: true };
        assert_eq!(lease.refused_after(came), Some(refused));
        assert_eq!(lease.refused_after(came + 1), None);
    }
}
