//! The trail on its way to an auditor: every node's records in order, each with the bytes that were
//! chained, and the checkpoints that vouch for them. What comes out can be verified with nothing
//! but the public keys. Must never leave out a record silently: where rows cannot be read, the gap
//! is found by whoever verifies.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;

use serde_json::json;

use super::Ledger;
use super::archived;
use super::block::{Link, Unpacked};
use super::checkpoint::{hex, public_key_text, signature_text};
use super::offline::{Shown, proven_line};
use super::query::Filter;
use super::record::StoredRecord;
use super::verify::{self, Pages};
use crate::store::{self, Checkpoint, RecordBlock, Store};

const BLOCKS_A_READ: u32 = 2;
/// What an export ends with is signed under this, so that no checkpoint can stand for it.
const END_LABEL: &[u8] = b"sealgate/v1/export/";
const CHAIN_END_LABEL: &[u8] = b"sealgate/v1/export-chain/";
pub(super) const GOES_ON: &str = ":more";
/// In place of where a chain ended that was had before.
pub(super) const HAD: &str = ":had";

/// One line of an export.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Exported {
    /// The records of a node follow: the first number, and the hash before it.
    Chain {
        node: String,
        first: u64,
        before: [u8; 32],
    },
    /// A record, its chain's hash, and the bytes that the chain hashes.
    Record {
        record: Box<StoredRecord>,
        hash: [u8; 32],
        frames: Vec<u8>,
    },
    Checkpoint(Checkpoint),
    /// Where the chain before it ended, and this node's word for it.
    ChainEnd {
        chain: String,
        public_key: [u8; 32],
        signature: Vec<u8>,
    },
    /// Where every chain ended, and this node's word for it.
    End {
        chains: String,
        public_key: [u8; 32],
        signature: Vec<u8>,
    },
}

/// An export under way.
pub(crate) struct Export {
    ledger: Ledger,
    filter: Filter,
    nodes: VecDeque<String>,
    at: Option<At>,
    /// As `end_of` says it, apart by spaces.
    chains: Vec<String>,
    /// Of an archive: the last record.
    through: Option<u64>,
    resume: Option<(String, u64)>,
    is_over: bool,
}

struct At {
    node: String,
    /// What the chain began with in this export.
    first: u64,
    link: Link,
    /// Records up to here were had already.
    had: u64,
    pages: Pages,
    signed: VecDeque<Checkpoint>,
}

impl Ledger {
    /// Everything that is stored by now, or what of it the filter wants; behind a record of a node,
    /// if an earlier export was broken off there.
    pub(crate) async fn export(
        &self,
        filter: Filter,
        resume: Option<(String, u64)>,
    ) -> Result<Export, store::Error> {
        self.0.sign_asked.store(true, Ordering::Release);
        let _all_stored = self.flush().await;
        let nodes = verify::nodes(self.0.sink.store()).await?;
        let is_left = |node: &String| resume.as_ref().is_none_or(|(from, _)| node >= from);
        let (nodes, had): (Vec<String>, Vec<String>) = nodes.into_iter().partition(is_left);
        let nodes = nodes.into();
        // Where those ended, their own lines say.
        let chains = had.into_iter().map(|node| node + HAD).collect();
        let (at, through, is_over) = (None, None, false);
        let ledger = self.clone();
        Ok(Export { ledger, filter, nodes, at, chains, through, resume, is_over })
    }
}

impl Exported {
    /// What proves something stands in whole exports alone.
    pub(crate) fn into_line(self, shown: Shown, is_whole: bool) -> Option<String> {
        let value = match self {
            Self::Record { record, .. } if !is_whole => shown(*record),
            Self::Record { record, hash, frames } => {
                return proven_line(shown(*record), &hash, &frames);
            }
            Self::Chain { .. } | Self::Checkpoint(_) | Self::ChainEnd { .. } | Self::End { .. }
                if !is_whole =>
            {
                return None;
            }
            Self::Chain { node, first, before } => {
                json!({"chain": node, "first": first, "before": hex(&before)})
            }
            Self::Checkpoint(checkpoint) => checkpoint.to_json(),
            Self::ChainEnd { chain, public_key, signature } => json!({
                "chain_end": chain,
                "public_key": public_key_text(&public_key),
                "signature": signature_text(&signature),
            }),
            Self::End { chains, public_key, signature } => json!({
                "end": 1,
                "chains": chains,
                "public_key": public_key_text(&public_key),
                "signature": signature_text(&signature),
            }),
        };
        Some(value.to_string())
    }
}

impl Export {
    /// The oldest records of this node that are in the database, for an archive.
    pub(super) fn of_old(ledger: &Ledger, through: u64) -> Self {
        Self {
            ledger: ledger.clone(),
            filter: Filter::default(),
            nodes: VecDeque::from([ledger.0.node.clone()]),
            at: None,
            chains: Vec::new(),
            through: Some(through),
            resume: None,
            is_over: false,
        }
    }

    /// The next few lines; none at the end.
    pub(crate) async fn next(&mut self) -> Result<Vec<Exported>, store::Error> {
        let mut lines = Vec::new();
        while lines.is_empty() && !self.is_over {
            let Some(at) = self.at.take() else {
                self.begin_chain(&mut lines).await?;
                continue;
            };
            let store = self.ledger.0.sink.store();
            let from = at.link.next_sequence;
            let page = store.record_blocks_from(&at.node, from, BLOCKS_A_READ).await;
            let mut page = match page {
                Ok(page) => page,
                Err(store::Error::Contradiction { .. }) => Vec::new(),
                Err(fault) => return Err(fault),
            };
            page.retain(|block| self.through.is_none_or(|last| block.first_sequence <= last));
            let mut at = at;
            if let Some(block) = page.last() {
                at.hear(store, block.first_sequence.saturating_add(block.records)).await?;
            }
            if let Some(block) = page.first()
                && block.first_sequence > from
                && archived::beginning(store, &at.node, None).await?.link.next_sequence > from
            {
                // Carried out meanwhile: whoever takes it up again begins behind the archive.
                return Err(store::Error::Stale);
            }
            if page.is_empty() {
                let chain = end_of(&at.node, (at.first, &at.link), self.through.is_some());
                let signing = &self.ledger.0.proof.signing;
                let signature = signing.sign_bytes(&chain_end_bytes(&chain));
                self.chains.push(chain.clone());
                let public_key = signing.public_key();
                lines.push(Exported::ChainEnd { chain, public_key, signature });
                continue;
            }
            for block in &page {
                self.lines_of(block, &mut at, &mut lines);
            }
            self.at = Some(at);
        }
        Ok(lines)
    }

    async fn begin_chain(&mut self, lines: &mut Vec<Exported>) -> Result<(), store::Error> {
        let Some(node) = self.nodes.pop_front() else {
            self.is_over = true;
            let chains = self.chains.join(" ");
            let signing = &self.ledger.0.proof.signing;
            let signature = signing.sign_bytes(&end_bytes(&chains));
            lines.push(Exported::End { chains, public_key: signing.public_key(), signature });
            return Ok(());
        };
        let store = self.ledger.0.sink.store();
        let had = match self.resume.take() {
            Some((from, had)) if from == node => had,
            Some(_) | None => 0,
        };
        let mut link = archived::beginning(store, &node, None).await?.link;
        let begins_with = link.next_sequence;
        if had > 0
            && let Some(block) = store.last_record_block(&node, had.saturating_add(1)).await?
            && let Ok(unpacked) = Unpacked::read(&block.body)
        {
            link = Link { next_sequence: block.first_sequence, hash: unpacked.before };
        } else {
            let (first, before) = (link.next_sequence, link.hash);
            lines.push(Exported::Chain { node: node.clone(), first, before });
        }
        // One at the very border was perhaps not had.
        let pages = Pages::from(store, &node, had.max(1)).await?;
        let signed = VecDeque::new();
        self.at = Some(At { node, first: begins_with, link, had, pages, signed });
        Ok(())
    }

    fn lines_of(&self, block: &RecordBlock, at: &mut At, lines: &mut Vec<Exported>) {
        let whole = self.filter.is_whole();
        let Ok(unpacked) = Unpacked::read(&block.body) else {
            at.link.next_sequence = block.first_sequence.saturating_add(block.records.max(1));
            return;
        };
        at.link.next_sequence = at.link.next_sequence.max(block.first_sequence);
        for item in &unpacked.items {
            let sequence = at.link.next_sequence;
            at.link.add(item.bytes);
            let wanted = item.view().is_some_and(|view| self.filter.admits(&view));
            if sequence > at.had
                && wanted
                && let Some(record) = item.to_stored(&block.node)
            {
                let (record, hash) = (Box::new(record), at.link.hash);
                lines.push(Exported::Record { record, hash, frames: item.frames.to_vec() });
            }
            while let Some(one) = at.signed.pop_front_if(|one| one.last <= sequence) {
                if whole {
                    lines.push(Exported::Checkpoint(one));
                }
            }
        }
    }
}

impl At {
    /// What was signed of the records up to a number.
    async fn hear(&mut self, store: &Store, end: u64) -> Result<(), store::Error> {
        match self.pages.up_to(store, (&self.node, end)).await {
            Ok(signed) => self.signed.extend(signed),
            // Whoever verifies misses it.
            Err(store::Error::Contradiction { .. }) => {}
            Err(fault) => return Err(fault),
        }
        Ok(())
    }
}

/// Where a chain ended: `node:last:hash`, and the first record where that is not the node's first.
/// An archive says that the trail goes on elsewhere.
pub(super) fn end_of(node: &str, (first, link): (u64, &Link), goes_on: bool) -> String {
    let (last, head) = (link.next_sequence.saturating_sub(1), hex(&link.hash));
    match (first, goes_on) {
        (1, false) => format!("{node}:{last}:{head}"),
        (first, false) => format!("{node}:{last}:{head}:{first}"),
        (first, true) => format!("{node}:{last}:{head}:{first}{GOES_ON}"),
    }
}

/// What is signed at the end of each chain.
pub(super) fn chain_end_bytes(chain: &str) -> Vec<u8> {
    [CHAIN_END_LABEL, chain.as_bytes()].concat()
}

/// What is signed at the end of an export.
pub(super) fn end_bytes(chains: &str) -> Vec<u8> {
    [END_LABEL, chains.as_bytes()].concat()
}
