//! Is the trail as it was written? Walks every node's chain from its first record, beside what was
//! signed of it and what of that lies outside, and names the first bad record. Must never call a
//! record covered whose checkpoint no place outside has.

use std::collections::{BTreeSet, HashMap};

use super::archived::{self, Beginning};
use super::block::{self, Bad, Link};
use super::end::UNREADABLE_ROW;
use super::walk::{CUT_TAIL, Vouchers, Walk};
use super::{Ledger, lock, marks, push};
use crate::store::{self, Checkpoint, RecordBlock, Store};

const BLOCKS_A_READ: u32 = 8;
const CHECKPOINTS_A_READ: u32 = 1_000;
const HIDDEN: &str = "what searches go by, in the table record_marks, is not what its block holds";
const UNREADABLE: &str = "a row of the table record_checkpoints says what cannot be";
const REMOVED: &str = "a checkpoint that vouches for it was taken out of the database";

/// What a verification found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verified {
    /// How many records hold, of all nodes.
    pub(crate) records: u64,
    /// The first bad one of the first node that has any.
    pub(crate) first_bad: Option<Bad>,
    pub(crate) nodes: Vec<Covered>,
}

/// How far a node's records are vouched for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Covered {
    pub(crate) node: String,
    /// The number of the last one that holds.
    pub(crate) records: u64,
    /// Those up to here lie in files, and were not looked at.
    pub(crate) archived: u64,
    /// The last record that a checkpoint covers; 0: none.
    pub(crate) signed_through: u64,
    /// The last one whose checkpoint lies outside; 0: none.
    pub(crate) pushed_through: u64,
    /// The key that has signed, if any has.
    pub(crate) public_key: Option<[u8; 32]>,
}

impl Covered {
    /// Records that somebody who owns this machine could still have altered.
    pub(crate) fn not_covered(&self) -> u64 {
        self.records.saturating_sub(self.pushed_through.max(self.archived))
    }
}

/// What is known of a node beside its rows.
struct Known {
    least: Link,
    outside: Vec<Checkpoint>,
    /// The key that must have signed: the node's own where it is at hand, else what was pushed
    /// outside.
    key: Option<[u8; 32]>,
    /// Its newest checkpoint, where that is known.
    newest: Option<Checkpoint>,
}

impl Ledger {
    /// Recomputes every node's chain from its first record on.
    pub(crate) async fn verify(&self) -> Result<Verified, store::Error> {
        // Noted before anything is read: the database may only have more than this.
        let head = *lock(&self.0.head);
        let newest = lock(&self.0.proof.last).clone();
        let mut outside = self.outside();
        let store = self.0.sink.store();
        let mut nodes = nodes(store).await?;
        nodes.insert(self.0.node.clone());
        // Whose rows were all taken away.
        nodes.extend(outside.keys().cloned());
        let mut verified = Verified { records: 0, first_bad: None, nodes: Vec::new() };
        for node in &nodes {
            let is_own = *node == self.0.node;
            let outside = outside.remove(node).unwrap_or_default();
            let of_outside = outside.first().map(|one| one.public_key);
            let known = Known {
                least: if is_own { head } else { Link::genesis(node) },
                key: if is_own { Some(self.0.proof.signing.public_key()) } else { of_outside },
                newest: newest.clone().filter(|_| is_own),
                outside,
            };
            let (mut covered, bad) = verify_node(store, node, known).await?;
            if is_own {
                covered.pushed_through = covered.pushed_through.max(self.0.proof.pushed_through());
            }
            verified.take(covered, bad);
        }
        // Found by an earlier start: what was stored since then hides it, and must not.
        if let (None, Some(sequence)) = (&verified.first_bad, self.0.journal.cut()) {
            let node = self.0.node.clone();
            verified.first_bad = Some(Bad { node, sequence, id: None, reason: CUT_TAIL });
        }
        Ok(verified)
    }

    fn outside(&self) -> HashMap<String, Vec<Checkpoint>> {
        let mut all: HashMap<String, Vec<Checkpoint>> = HashMap::new();
        for path in self.0.proof.files() {
            match push::read_lines(path) {
                Ok(held) => held.into_iter().for_each(|(node, held)| {
                    all.entry(node).or_default().extend(held);
                }),
                Err(error) => tracing::warn!(%error, "The checkpoints outside cannot be read."),
            }
        }
        all
    }
}

impl Verified {
    fn take(&mut self, covered: Covered, bad: Option<Bad>) {
        self.records += covered.records.saturating_sub(covered.archived);
        self.nodes.push(covered);
        self.first_bad = self.first_bad.take().or(bad);
    }
}

/// Every chain of a database that no ledger runs on. What was cut off its end only the journal
/// knows, and the places outside.
pub(crate) async fn verify_stored(store: &Store) -> Result<Verified, store::Error> {
    let mut verified = Verified { records: 0, first_bad: None, nodes: Vec::new() };
    for node in &nodes(store).await? {
        let least = Link::genesis(node);
        let known = Known { least, outside: Vec::new(), key: None, newest: None };
        let (covered, bad) = verify_node(store, node, known).await?;
        verified.take(covered, bad);
    }
    Ok(verified)
}

pub(super) async fn nodes(store: &Store) -> Result<BTreeSet<String>, store::Error> {
    let mut nodes: BTreeSet<String> = store.record_nodes().await?.into_iter().collect();
    nodes.extend(store.checkpoint_nodes().await?);
    nodes.extend(store.all_record_archives().await?.into_iter().map(|archive| archive.node));
    Ok(nodes)
}

/// What a node has signed, a page at a time: a year of it fills no memory.
pub(super) struct Pages {
    after: u64,
    through: u64,
}

impl Pages {
    /// Those that end at `from` or behind it, of all that stand there now.
    pub(super) async fn from(store: &Store, node: &str, from: u64) -> Result<Self, store::Error> {
        let through = match store.last_checkpoint(node).await {
            Ok(last) => last.map_or(0, |last| last.last),
            // Found where it is read again, in its turn.
            Err(store::Error::Contradiction { .. }) => u64::MAX,
            Err(fault) => return Err(fault),
        };
        Ok(Self { after: from.saturating_sub(1), through })
    }

    /// The next ones, if those that were had do not reach as far as this.
    pub(super) async fn up_to(
        &mut self,
        store: &Store,
        (node, sequence): (&str, u64),
    ) -> Result<Vec<Checkpoint>, store::Error> {
        let mut all = Vec::new();
        while self.after < sequence.min(self.through) {
            let page = store.checkpoints_after(node, self.after, CHECKPOINTS_A_READ).await?;
            self.after = page.last().map_or(u64::MAX, |last| last.last);
            all.extend(page.into_iter().filter(|one| one.last <= self.through));
        }
        Ok(all)
    }
}

/// Records that are carried out into a file meanwhile are no missing ones: as long as the chain's
/// beginning moves, it is walked again.
async fn verify_node(
    store: &Store,
    node: &str,
    known: Known,
) -> Result<(Covered, Option<Bad>), store::Error> {
    let mut archived = None;
    loop {
        let (covered, bad) = verify_once(store, node, &known).await?;
        let has_moved = archived.is_none_or(|before| before < covered.archived);
        let begins = archived::beginning(store, node, covered.public_key).await?;
        let is_behind = begins.bad.is_none() && begins.link.next_sequence > covered.archived + 1;
        if bad.is_none() || !has_moved || !is_behind {
            return Ok((covered, bad));
        }
        archived = Some(covered.archived);
    }
}

async fn verify_once(
    store: &Store,
    node: &str,
    known: &Known,
) -> Result<(Covered, Option<Bad>), store::Error> {
    let Known { least, outside, key, newest } = known;
    let mut covered = Covered {
        node: node.to_owned(),
        records: 0,
        archived: 0,
        signed_through: 0,
        pushed_through: outside.iter().map(|one| one.last).max().unwrap_or(0),
        public_key: *key,
    };
    let first = next_signed(store, node, 0).await?;
    let known_key = first.as_ref().ok().and_then(|first| Some(first.as_ref()?.public_key));
    covered.public_key = covered.public_key.or(known_key);
    let Beginning { mut link, bad } = archived::beginning(store, node, covered.public_key).await?;
    covered.archived = link.next_sequence - 1;
    covered.records = covered.archived;
    if bad.is_some() {
        return Ok((covered, bad));
    }
    let (Ok(_), Ok(met)) = (first, signed_within(store, node, covered.archived).await?) else {
        return Ok((covered, Some(Bad::here(node, &link, UNREADABLE))));
    };
    let removed = match newest {
        Some(newest) => {
            let held = next_signed(store, node, newest.last.saturating_sub(1)).await?;
            (held.ok().flatten().as_ref() != Some(newest)).then_some(newest.first)
        }
        None => None,
    };
    let keys = covered.public_key.into_iter().collect();
    let (signed, outside) = (met.into_iter().collect(), outside.clone());
    let mut walk = Walk::new(Vouchers { signed, outside, keys }, link.next_sequence);
    let bad = walk_through(store, (node, &mut link), &mut walk).await?;
    let holding = |bad: &Bad| (bad.sequence - 1).min(link.next_sequence - 1);
    covered.records = bad.as_ref().map_or(link.next_sequence - 1, holding);
    covered.signed_through = walk.signed_through().max(covered.archived);
    let is_cut = link.next_sequence < least.next_sequence
        || (link.next_sequence == least.next_sequence && link.hash != least.hash);
    let cut = if is_cut { Some(CUT_TAIL) } else { walk.end() };
    let bad = bad.or_else(|| cut.map(|reason| Bad::here(node, &link, reason))).or_else(|| {
        let sequence = removed?;
        Some(Bad { node: node.to_owned(), sequence, id: None, reason: REMOVED })
    });
    covered.pushed_through = covered.pushed_through.min(covered.records);
    Ok((covered, bad))
}

/// A row that cannot be read.
struct Illegible;

/// The first that ends behind a number.
async fn next_signed(
    store: &Store,
    node: &str,
    after: u64,
) -> Result<Result<Option<Checkpoint>, Illegible>, store::Error> {
    legible(store.checkpoints_after(node, after, 1).await.map(|page| page.into_iter().next()))
}

/// The last that ends at a number or before it.
async fn signed_within(
    store: &Store,
    node: &str,
    last: u64,
) -> Result<Result<Option<Checkpoint>, Illegible>, store::Error> {
    legible(store.checkpoint_within(node, last).await)
}

fn legible<T>(read: Result<T, store::Error>) -> Result<Result<T, Illegible>, store::Error> {
    match read {
        Ok(held) => Ok(Ok(held)),
        Err(store::Error::Contradiction { .. }) => Ok(Err(Illegible)),
        Err(fault) => Err(fault),
    }
}

/// None: a row among them cannot be read.
async fn marks_of(
    store: &Store,
    node: &str,
    blocks: &[RecordBlock],
) -> Result<Option<Vec<(u64, Vec<u8>)>>, store::Error> {
    let number = |block: Option<&RecordBlock>| block.map_or(0, |block| block.first_sequence);
    let span = (number(blocks.first()), number(blocks.last()));
    match store.record_marks(node, span).await {
        Ok(marked) => Ok(Some(marked)),
        Err(store::Error::Contradiction { .. }) => Ok(None),
        Err(fault) => Err(fault),
    }
}

/// Moves the link as far as the records hold.
async fn walk_through(
    store: &Store,
    (node, link): (&str, &mut Link),
    walk: &mut Walk,
) -> Result<Option<Bad>, store::Error> {
    let mut pages = Pages::from(store, node, link.next_sequence).await?;
    loop {
        let blocks = match store.record_blocks_from(node, link.next_sequence, BLOCKS_A_READ).await {
            Ok(blocks) => blocks,
            Err(store::Error::Contradiction { .. }) => {
                return Ok(Some(Bad::here(node, link, UNREADABLE_ROW)));
            }
            Err(error) => return Err(error),
        };
        // Behind the last record nothing may have been signed.
        let end = blocks
            .last()
            .map_or(u64::MAX, |block| block.first_sequence.saturating_add(block.records));
        match legible(pages.up_to(store, (node, end)).await)? {
            Ok(signed) => walk.hear(signed),
            Err(Illegible) => return Ok(Some(Bad::here(node, link, UNREADABLE))),
        }
        if blocks.is_empty() {
            return Ok(None);
        }
        let marked = marks_of(store, node, &blocks).await?;
        for block in &blocks {
            let edited = |(first, held): &(u64, Vec<u8>)| {
                *first == block.first_sequence && *held != marks::of(&block.body)
            };
            if marked.as_ref().is_none_or(|marked| marked.iter().any(edited)) {
                return Ok(Some(Bad::here(node, link, HIDDEN)));
            }
            let mut each = |sequence, hash: &[u8; 32]| walk.step(sequence, hash);
            match block::verify_each(block, link, &mut each) {
                Ok(after) => *link = after,
                Err(bad) => return Ok(Some(bad)),
            }
        }
    }
}
