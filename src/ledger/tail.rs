//! The trail as it grows: every record behind a place, of every node, as soon as it is stored.
//! Woken by this node's writer, looks by itself for what others store. Must never hold more than
//! one block, nor hold up whoever writes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::sync::watch;

use super::block::Unpacked;
use super::query::Filter;
use super::record::StoredRecord;
use super::{Ledger, verify};
use crate::store::{self, RecordBlock};

/// How long other nodes' records may be late, and how soon a reader learns that he is no longer
/// one.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How far a reader has come: the last number that he had, of each node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Places(BTreeMap<String, u64>);

/// One reader.
pub(crate) struct Tail {
    ledger: Ledger,
    filter: Filter,
    places: Places,
    /// Where the next block of a node begins, once that is known.
    next: BTreeMap<String, u64>,
    heard: watch::Receiver<u64>,
    /// Whose block was read last: the others' turn is before its.
    last: String,
    /// What stood there before, newest last.
    before: Vec<StoredRecord>,
}

/// A record, and how far the reader has come with it.
pub(crate) struct Passed {
    pub(crate) record: StoredRecord,
    pub(crate) places: String,
}

impl Places {
    /// `node:number`, apart by commas. No node's name has either.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let place = |part: &str| {
            let (node, had) = part.rsplit_once(':')?;
            Some((node.to_owned(), had.parse().ok()?))
        };
        text.split(',').map(place).collect::<Option<_>>().map(Self)
    }

    fn to_text(&self) -> String {
        let parts = self.0.iter().map(|(node, had)| format!("{node}:{had}"));
        parts.collect::<Vec<_>>().join(",")
    }

    fn had(&self, node: &str) -> u64 {
        self.0.get(node).copied().unwrap_or(0)
    }
}

impl Ledger {
    /// Goes on behind those places; without any, behind what is stored now, and with the last few
    /// records before it.
    pub(crate) async fn tail(
        &self,
        filter: Filter,
        places: Option<Places>,
        last: usize,
    ) -> Result<Tail, store::Error> {
        let heard = self.0.stored.subscribe();
        let store = self.0.sink.store();
        let mut tail = Tail {
            ledger: self.clone(),
            filter,
            places: Places::default(),
            next: BTreeMap::new(),
            heard,
            last: String::new(),
            before: Vec::new(),
        };
        if let Some(places) = places {
            tail.places = places;
            return Ok(tail);
        }
        for node in verify::nodes(store).await? {
            let end = match store.last_record_block(&node, u64::MAX).await {
                Ok(Some(block)) => block.first_sequence.saturating_add(block.records),
                Ok(None) => 1,
                // Whoever verifies names the row; here it is passed over.
                Err(store::Error::Contradiction { .. }) => {
                    store.last_sequence(&node, u64::MAX).await?.unwrap_or(0).saturating_add(1)
                }
                Err(fault) => return Err(fault),
            };
            tail.places.0.insert(node.clone(), end.saturating_sub(1));
            tail.next.insert(node, end);
        }
        if last > 0 {
            // A page may hold fewer than asked for and still have a next one; for a look back that
            // is enough.
            let mut before = self.query(&tail.filter, last, None).await?.items;
            before.retain(|record| record.sequence <= tail.places.had(&record.node));
            before.reverse();
            tail.before = before;
        }
        Ok(tail)
    }
}

impl Tail {
    /// What came since, or nothing after a while. Yields soon: whoever reads looks after each
    /// time whether he still may.
    pub(crate) async fn next(&mut self) -> Result<Vec<Passed>, store::Error> {
        if !self.before.is_empty() {
            let places = self.places.to_text();
            let before = std::mem::take(&mut self.before).into_iter();
            return Ok(before.map(|record| Passed { record, places: places.clone() }).collect());
        }
        if let Some(passed) = self.stored().await? {
            return Ok(passed);
        }
        // A ledger that is gone wakes nobody: then the look is all there is.
        if let Ok(Err(_)) = tokio::time::timeout(LOOK_EVERY, self.heard.changed()).await {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(self.stored().await?.unwrap_or_default())
    }

    /// What is wanted of the next block, of whichever node; None where there is no block.
    async fn stored(&mut self) -> Result<Option<Vec<Passed>>, store::Error> {
        let ledger = self.ledger.clone();
        let store = ledger.0.sink.store();
        for node in self.in_turn(verify::nodes(store).await?) {
            let from = match self.next.get(&node) {
                Some(from) => *from,
                None => self.begin_of(store, &node).await?,
            };
            let block = match store.record_blocks_from(&node, from, 1).await {
                Ok(blocks) => blocks.into_iter().next(),
                Err(store::Error::Contradiction { .. }) => {
                    let ahead = from.saturating_add(1);
                    self.next.insert(node, ahead);
                    continue;
                }
                Err(fault) => return Err(fault),
            };
            let Some(block) = block else {
                self.next.insert(node, from);
                continue;
            };
            let behind = block.first_sequence.saturating_add(block.records.max(1));
            self.last = node.clone();
            self.next.insert(node, behind);
            return Ok(Some(self.passed(&block)));
        }
        Ok(None)
    }

    fn in_turn(&self, nodes: BTreeSet<String>) -> Vec<String> {
        let (before, behind): (Vec<String>, Vec<String>) =
            nodes.into_iter().partition(|node| *node <= self.last);
        behind.into_iter().chain(before).collect()
    }

    /// The block in which the reader's place lies.
    async fn begin_of(&self, store: &store::Store, node: &str) -> Result<u64, store::Error> {
        let had = self.places.had(node);
        let last = store.last_sequence(node, had.saturating_add(1)).await?;
        Ok(last.unwrap_or(1).max(1))
    }

    fn passed(&mut self, block: &RecordBlock) -> Vec<Passed> {
        let Ok(unpacked) = Unpacked::read(&block.body) else { return Vec::new() };
        let had = self.places.had(&block.node);
        let mut passed = Vec::new();
        for item in unpacked.items.iter().filter(|item| item.sequence > had) {
            self.places.0.insert(block.node.clone(), item.sequence);
            if item.view().is_some_and(|view| self.filter.admits(&view))
                && let Some(record) = item.to_stored(&block.node)
            {
                passed.push(Passed { record, places: self.places.to_text() });
            }
        }
        passed
    }
}
