//! What is wrong with the trail and with what is counted of it, as sentences for `doctor`: in the
//! database, and in the journal of a house that does not run. Looks at the last blocks of each
//! node; the whole of the trail is `audit verify`'s. Must never change anything, nor make the
//! journal's folder.

use uuid::Uuid;

use super::archived;
use super::block::{self, Link, Unpacked};
use super::end::{self, UNREADABLE_ROW};
use super::journal::{self, Seen};
use super::{Ledger, Settings, lock};
use crate::store::{self, Store};

/// How many blocks of each node.
const BLOCKS: u32 = 64;
const BLOCKS_A_READ: u32 = 8;
const ROWS_A_READ: u32 = 1_000;

impl Ledger {
    /// The house that runs: its rows, and what its starts have found.
    pub(crate) async fn examine(&self) -> Result<Vec<String>, store::Error> {
        let head = *lock(&self.0.head);
        let own = (self.0.node.as_str(), Some(head));
        let mut findings = of_rows(self.0.sink.store(), own, self.0.clock.unix_ms()).await?;
        findings.extend(self.0.journal.cut().map(|sequence| cut(&self.0.node, sequence)));
        findings.sort_unstable();
        findings.dedup();
        Ok(findings)
    }
}

/// The same of a house that does not run, with the files of its journal.
pub(crate) async fn examine(
    settings: &Settings,
    (store, now_ms): (&Store, i64),
    (installation, node): (Uuid, &str),
) -> Result<Vec<String>, store::Error> {
    let Seen { remembered, cut: cut_at, faults } = journal::look(settings, installation, node);
    let mut findings = faults;
    findings.extend(of_rows(store, (node, remembered), now_ms).await?);
    if remembered.is_none() && store.last_sequence(node, u64::MAX).await?.is_some() {
        findings.push(no_head(&settings.folder.display().to_string()));
    }
    findings.extend(cut_at.map(|sequence| cut(node, sequence)));
    findings.sort_unstable();
    findings.dedup();
    Ok(findings)
}

/// Whose journal this is, of all nodes that have left records: its files say so, whatever stands in
/// the file `node`. None where nothing tells.
pub(crate) async fn owner_of(
    settings: &Settings,
    store: &Store,
    installation: Uuid,
) -> Result<Option<String>, store::Error> {
    let nodes = store.record_nodes().await?;
    Ok(nodes.into_iter().find(|node| journal::is_of(settings, installation, node)))
}

/// Nobody can tell any more whether the end of the trail is missing.
pub(super) fn no_head(folder: &str) -> String {
    format!(
        "the journal in {folder} does not remember where this node's trail ends: its file `head` \
         was emptied or taken away, and what was in the journal alone is lost; run `sealgate audit \
         verify`, then say with `sealgate secret accept` that you have seen it"
    )
}

fn cut(node: &str, sequence: u64) -> String {
    broken(node, sequence, "the end of the trail is missing or was replaced")
}

fn broken(node: &str, sequence: u64, what: &str) -> String {
    format!(
        "the trail of node {node} is not as it was written: record {sequence}: {what} (table \
         record_blocks). It stays so, and `sealgate audit verify` says so for ever; keep the \
         database as evidence, and see a backup for what is missing"
    )
}

async fn of_rows(
    store: &Store,
    (own, remembered): (&str, Option<Link>),
    now_ms: i64,
) -> Result<Vec<String>, store::Error> {
    let mut findings = Vec::new();
    for node in store.record_nodes().await? {
        findings.extend(of_tail(store, &node).await?);
    }
    // Before the end: there may be more by then, and never less.
    let counted = store.counted_records(own).await;
    let end = end::find(store, own, remembered).await?;
    let is_short = |link: &Link| {
        end.link.next_sequence < link.next_sequence
            || (end.link.next_sequence == link.next_sequence && end.link.hash != link.hash)
    };
    if end.broken.is_none() && remembered.as_ref().is_some_and(is_short) {
        findings.push(cut(own, end.link.next_sequence));
    }
    let is_ahead = |counted: u64| counted > end.link.next_sequence;
    match counted {
        Ok(counted) if counted.is_some_and(is_ahead) => findings.push(miscounted(own)),
        Ok(_) => {}
        Err(store::Error::Contradiction { .. }) => findings.push(miscounted(own)),
        Err(fault) => return Err(fault),
    }
    findings.extend(of_recent_calls(store, now_ms).await?);
    Ok(findings)
}

/// The last blocks of a node, each behind the one before it.
async fn of_tail(store: &Store, node: &str) -> Result<Option<String>, store::Error> {
    let Some(first) = store.sequence_back(node, BLOCKS).await? else { return Ok(None) };
    let is_whole = store.last_sequence(node, first).await?.is_none();
    let mut link = match is_whole {
        true => Some(archived::beginning(store, node, None).await?.link),
        false => None,
    };
    let mut from = first;
    loop {
        let page = match store.record_blocks_from(node, from, BLOCKS_A_READ).await {
            Ok(page) => page,
            Err(store::Error::Contradiction { .. }) => {
                return Ok(Some(broken(node, from, UNREADABLE_ROW)));
            }
            Err(fault) => return Err(fault),
        };
        if page.is_empty() {
            return Ok(None);
        }
        for block in &page {
            let before = match link {
                Some(link) => link,
                None => {
                    let read = Unpacked::read(&block.body);
                    let hash = read.map_or([0; 32], |unpacked| unpacked.before);
                    Link { next_sequence: block.first_sequence, hash }
                }
            };
            match block::verify(block, &before) {
                Ok(after) => link = Some(after),
                Err(bad) => return Ok(Some(broken(node, bad.sequence, bad.reason))),
            }
        }
        from = link.map_or(from, |link| link.next_sequence);
    }
}

async fn of_recent_calls(store: &Store, now_ms: i64) -> Result<Option<String>, store::Error> {
    // What the trail knows of was made before a clock was set back, and is nobody's invention.
    let now_ms = now_ms.max(store.newest_record().await?);
    for node in store.counting_nodes().await? {
        let mut behind = None;
        loop {
            let page = store.recent_calls(&node, behind.as_ref(), ROWS_A_READ).await?;
            if page.unread > 0 || page.rows.iter().any(|row| row.is_to_come(now_ms)) {
                return Ok(Some(format!(
                    "rows of the table recent_calls of node {node} say what cannot be: somebody \
                     edited them; they are left out when the window's calls are read, and thrown \
                     away with them"
                )));
            }
            behind = page.last;
            if behind.is_none() {
                break;
            }
        }
    }
    Ok(None)
}

pub(super) fn miscounted(node: &str) -> String {
    format!(
        "the row of node {node} in the table counted_records says what cannot be: somebody edited \
         it; the next start, or the next call that is counted, sets it right, and the counts of \
         client keys (requests, months) may lack some"
    )
}
