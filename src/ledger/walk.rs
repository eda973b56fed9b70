//! Verification, record by record: the chain's hashes against what was signed of them, here and
//! outside. Knows nothing of where records come from, so that database, export and test walk the
//! same way. Must never let a checkpoint pass that was not signed by the node's own key where that
//! key is known.

use std::collections::VecDeque;

use super::merkle::Tree;
use crate::store::Checkpoint;

pub(super) const CUT_TAIL: &str = "the end of the trail is missing or was replaced";
const CUT_OUTSIDE: &str = "the end of the trail, whose checkpoint was pushed outside, is missing: it was cut, or an older \
     copy of the database was brought back";
const NOT_GENUINE: &str = "the checkpoint that vouches for it was not signed by this node";
const MISSING: &str = "a checkpoint before the one that vouches for it is missing";
const NO_ORDER: &str = "the checkpoints that vouch for it do not follow each other";
const OTHERWISE: &str = "it and those behind it are not the records that were signed";
const OTHERWISE_OUTSIDE: &str =
    "it and those behind it are not the records whose checkpoint was pushed outside";

/// From which record on something is wrong, and what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flaw {
    pub(super) from: u64,
    pub(super) reason: &'static str,
}

/// What vouches for a node's records.
#[derive(Clone, Debug, Default)]
pub(super) struct Vouchers {
    /// As they stand beside the records, in order.
    pub(super) signed: Vec<Checkpoint>,
    /// As they were found outside.
    pub(super) outside: Vec<Checkpoint>,
    /// The keys that may have signed; none: any key, but one alone.
    pub(super) keys: Vec<[u8; 32]>,
}

/// The tree of a checkpoint's records, if all of them come by.
enum Grown {
    From(Tree),
    Partly,
}

/// One node's records, walked through in order.
pub(super) struct Walk {
    signed: VecDeque<Checkpoint>,
    outside: VecDeque<Checkpoint>,
    keys: Vec<[u8; 32]>,
    from: u64,
    /// The record that comes.
    next: u64,
    /// The tree of the checkpoint that has begun.
    tree: Option<Grown>,
    /// The records begin in the midst of the next checkpoint, so its tree cannot be drawn.
    is_partial: bool,
    /// The digest of the last checkpoint that was met; None: nobody knows it.
    before: Option<[u8; 32]>,
    /// Everything up to here was vouched for.
    vouched: u64,
    signed_through: u64,
}

impl Walk {
    /// `from`: the first record that will come; what ends before it is not asked for.
    pub(super) fn new(vouchers: Vouchers, from: u64) -> Self {
        let Vouchers { mut signed, mut outside, mut keys } = vouchers;
        if keys.is_empty() {
            keys.extend(signed.first().map(|first| first.public_key));
        }
        signed.sort_by_key(|one| one.last);
        outside.retain(|one| one.is_genuine() && keys.contains(&one.public_key));
        outside.sort_by_key(|one| one.last);
        let met = signed.iter().take_while(|one| one.last < from).count();
        let before = signed.drain(..met).next_back().map(|last| last.digest());
        let is_partial = signed.first().is_some_and(|next| next.first < from);
        outside.retain(|one| one.last >= from);
        Self {
            signed: signed.into(),
            outside: outside.into(),
            keys,
            from,
            next: from,
            tree: None,
            is_partial,
            // The first of all may begin anywhere: an older version signed nothing.
            before: before.or_else(|| (from == 1).then_some([0; 32])),
            vouched: from.saturating_sub(1),
            signed_through: 0,
        }
    }

    /// More that was signed, behind what is known.
    pub(super) fn hear(&mut self, signed: Vec<Checkpoint>) {
        let is_first = self.next == self.from && self.signed.is_empty();
        self.signed.extend(signed);
        if is_first {
            self.is_partial = self.signed.front().is_some_and(|next| next.first < self.from);
        }
    }

    /// The next record of the chain and its hash.
    pub(super) fn step(&mut self, sequence: u64, hash: &[u8; 32]) -> Result<(), Flaw> {
        self.next = sequence.saturating_add(1);
        // Outside first: what was signed again, over an older copy of the database, is genuine.
        while let Some(one) = self.outside.front()
            && one.last <= sequence
        {
            if one.last == sequence && one.head != *hash {
                return Err(self.flaw(OTHERWISE_OUTSIDE));
            }
            self.vouched = self.vouched.max(one.last);
            self.outside.pop_front();
        }
        self.meet_signed(sequence, hash)
    }

    /// After the last record: what is wrong if there is a checkpoint of more.
    pub(super) fn end(&self) -> Option<&'static str> {
        let is_ours = |one: &Checkpoint| self.keys.contains(&one.public_key) && one.is_genuine();
        match (self.signed.front(), self.outside.front()) {
            (None, None) => None,
            (Some(next), _) if !is_ours(next) => Some(NOT_GENUINE),
            (Some(_), _) => Some(CUT_TAIL),
            (None, Some(_)) => Some(CUT_OUTSIDE),
        }
    }

    /// The same where more of the trail lies elsewhere.
    pub(super) fn end_of_part(&self) -> Option<&'static str> {
        self.signed.front().map(|_| CUT_TAIL)
    }

    /// The last record that was signed for; 0: none.
    pub(super) fn signed_through(&self) -> u64 {
        self.signed_through
    }

    fn meet_signed(&mut self, sequence: u64, hash: &[u8; 32]) -> Result<(), Flaw> {
        let Some(next) = self.signed.front() else { return Ok(()) };
        let is_partial = std::mem::take(&mut self.is_partial);
        if next.first == sequence || is_partial {
            if !self.keys.contains(&next.public_key) || !next.is_genuine() {
                return Err(self.flaw(NOT_GENUINE));
            }
            if self.before.is_some_and(|before| next.before != before) {
                return Err(self.flaw(MISSING));
            }
            self.tree = Some(if is_partial { Grown::Partly } else { Grown::From(Tree::default()) });
        }
        if let Some(Grown::From(tree)) = &mut self.tree {
            tree.add(hash);
        }
        let Some(next) = self.signed.front().filter(|next| next.last <= sequence) else {
            return Ok(());
        };
        let Some(tree) = self.tree.take().filter(|_| next.last == sequence) else {
            return Err(self.flaw(NO_ORDER));
        };
        let is_its_tree = match &tree {
            Grown::From(tree) => next.root == tree.root(),
            Grown::Partly => true,
        };
        if next.head != *hash || !is_its_tree {
            return Err(self.flaw(OTHERWISE));
        }
        self.before = Some(next.digest());
        (self.vouched, self.signed_through) = (self.vouched.max(sequence), sequence);
        self.signed.pop_front();
        Ok(())
    }

    fn flaw(&self, reason: &'static str) -> Flaw {
        Flaw { from: self.vouched.saturating_add(1), reason }
    }
}
