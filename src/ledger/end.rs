//! Where a node's chain ends in the database, as far as that can be believed. A row that its own
//! records contradict is named and not built on: the chain goes on behind it, from what this node
//! remembers, so that nobody stops the trail by editing its end. Must never make such a trail pass
//! for a whole one.

use super::block::{self, Bad, Link, MOST_RECORDS, Unpacked};
use crate::store::{self, RecordBlock, Store};

/// More than a power cut can take from what the journal remembers.
const MOST_AHEAD: u64 = 1 << 20;
/// No node comes near this.
const MOST: u64 = 1 << 60;
pub(super) const UNREADABLE_ROW: &str = "the row of its block says what cannot be";

pub(super) struct End {
    pub(super) link: Link,
    /// The last row is not as it was written.
    pub(super) broken: Option<Bad>,
}

pub(super) async fn find(
    store: &Store,
    node: &str,
    remembered: Option<Link>,
) -> Result<End, store::Error> {
    let bound = remembered.map_or(MOST, |link| link.next_sequence.saturating_add(MOST_AHEAD));
    let reason = match store.last_record_block(node, bound).await {
        Ok(None) => return Ok(End { link: Link::genesis(node), broken: None }),
        Ok(Some(block)) => match sound(&block) {
            Ok(link) => return Ok(End { link, broken: None }),
            Err(bad) => bad.reason,
        },
        Err(store::Error::Contradiction { .. }) => UNREADABLE_ROW,
        Err(fault) => return Err(fault),
    };
    // Behind whatever stands there, so that no number is taken.
    let highest = store.last_sequence(node, bound).await?.unwrap_or(0);
    let link = match remembered {
        Some(link) if link.next_sequence > highest => link,
        Some(Link { hash, .. }) => Link { next_sequence: behind(highest), hash },
        None => Link { next_sequence: behind(highest), ..Link::genesis(node) },
    };
    let broken = Bad { node: node.to_owned(), sequence: highest, id: None, reason };
    Ok(End { link, broken: Some(broken) })
}

fn behind(highest: u64) -> u64 {
    highest.saturating_add(MOST_RECORDS as u64)
}

/// The end of the chain behind a block that agrees with itself; what came before it is not asked.
pub(super) fn sound(block: &RecordBlock) -> Result<Link, Bad> {
    let hash = Unpacked::read(&block.body).map_or([0; 32], |unpacked| unpacked.before);
    block::verify(block, &Link { next_sequence: block.first_sequence, hash })
}
