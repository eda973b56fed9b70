//! What of the chain is not signed yet: grows with every stored record, ends in a checkpoint after
//! a thousand of them or ten seconds. Goes on after a restart from what the database holds, if the
//! chain through it still holds. Must never sign what does not follow from what was signed before.

use super::block::{self, Link, Unpacked};
use super::checkpoint::Words;
use super::merkle::Tree;
use crate::store::{self, Checkpoint, RecordBlock, Store};

/// So many records, or so long after the first of them.
pub(super) const EVERY_RECORDS: u64 = 1_000;
const EVERY_MS: i64 = 10_000;
const BLOCKS_A_READ: u32 = 8;
/// A tenth of a million records: far more than a crash can leave without a checkpoint.
const MOST_BLOCKS_BACK: usize = 64;

#[derive(Clone, Debug)]
pub(super) struct Cover {
    tree: Tree,
    /// The first record that is not signed.
    first: u64,
    /// The chain's hash at the last record taken.
    head: [u8; 32],
    /// The digest of the last checkpoint.
    before: [u8; 32],
    since_ms: i64,
}

impl Cover {
    pub(super) fn begin(first: u64, before: [u8; 32]) -> Self {
        Self { tree: Tree::default(), first, head: [0; 32], before, since_ms: 0 }
    }

    /// The same chain of checkpoints, behind a link that nobody expected.
    pub(super) fn moved(&self, link: &Link) -> Self {
        Self::begin(link.next_sequence, self.before)
    }

    /// Takes the hash of the next record; a checkpoint once there are enough.
    pub(super) fn add(&mut self, hash: &[u8; 32], words: &Words<'_>) -> Option<Checkpoint> {
        if self.tree.leaves() == 0 {
            self.since_ms = words.now_ms;
        }
        self.tree.add(hash);
        self.head = *hash;
        (self.tree.leaves() >= EVERY_RECORDS).then(|| self.close(words)).flatten()
    }

    /// Signs what there is; None where there is nothing.
    pub(super) fn close(&mut self, words: &Words<'_>) -> Option<Checkpoint> {
        let records = self.tree.leaves();
        if records == 0 {
            return None;
        }
        let checkpoint = words.signing.sign(Checkpoint {
            node: words.node.to_owned(),
            first: self.first,
            last: self.first + records - 1,
            head: self.head,
            root: self.tree.root(),
            before: self.before,
            inventory_epoch: words.inventory_epoch,
            time_ms: words.now_ms,
            public_key: [0; 32],
            signature: Vec::new(),
        });
        *self = Self::begin(checkpoint.last + 1, checkpoint.digest());
        Some(checkpoint)
    }

    /// Would so many more records end in a checkpoint?
    pub(super) fn ends_within(&self, records: usize) -> bool {
        self.tree.leaves().saturating_add(records as u64) >= EVERY_RECORDS
    }

    pub(super) fn is_due(&self, now_ms: i64) -> bool {
        let waited = now_ms.saturating_sub(self.since_ms);
        self.tree.leaves() > 0 && !(0..EVERY_MS).contains(&waited)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tree.leaves() == 0
    }

    /// After a restart: behind the last checkpoint, through all that is stored since. What does not
    /// follow from that checkpoint is never signed over: then the next one begins at the end.
    pub(super) async fn resume(
        store: &Store,
        (node, link): (&str, Link),
        last: Option<&Checkpoint>,
        now_ms: i64,
    ) -> Result<Self, store::Error> {
        let before = last.map_or([0; 32], Checkpoint::digest);
        let first = last.map_or(1, |last| last.last.saturating_add(1));
        let anchor = last.map_or_else(|| Link::genesis(node).hash, |last| last.head);
        let behind = Self { since_ms: now_ms, ..Self::begin(link.next_sequence, before) };
        if first >= link.next_sequence {
            return Ok(behind);
        }
        match walk(store, (node, first), &anchor).await {
            Ok(Some((hashes, end))) if end == link => {
                let mut cover = Self { since_ms: now_ms, ..Self::begin(first, before) };
                for hash in &hashes {
                    cover.tree.add(hash);
                    cover.head = *hash;
                }
                Ok(cover)
            }
            Ok(_) | Err(store::Error::Contradiction { .. }) => Ok(behind),
            Err(fault) => Err(fault),
        }
    }
}

/// The hashes from `first` on and the end of the chain; None if it is too far, or not that chain.
async fn walk(
    store: &Store,
    (node, first): (&str, u64),
    anchor: &[u8; 32],
) -> Result<Option<(Vec<[u8; 32]>, Link)>, store::Error> {
    let Some(block) = store.last_record_block(node, first.saturating_add(1)).await? else {
        return Ok(None);
    };
    let before = Unpacked::read(&block.body).map_or([0; 32], |unpacked| unpacked.before);
    let mut link = Link { next_sequence: block.first_sequence, hash: before };
    let mut is_anchored = block.first_sequence == first && before == *anchor;
    let (mut hashes, mut blocks) = (Vec::new(), 0);
    loop {
        let page: Vec<RecordBlock> =
            store.record_blocks_from(node, link.next_sequence, BLOCKS_A_READ).await?;
        blocks += page.len();
        if page.is_empty() {
            return Ok(is_anchored.then_some((hashes, link)));
        }
        if blocks > MOST_BLOCKS_BACK {
            return Ok(None);
        }
        for block in &page {
            let after = block::verify_each(block, &link, &mut |sequence, hash| {
                if sequence + 1 == first {
                    is_anchored = hash == anchor;
                } else if sequence >= first {
                    hashes.push(*hash);
                }
                Ok(())
            });
            match after {
                Ok(after) => link = after,
                Err(_) => return Ok(None),
            }
        }
    }
}
