//! Reading the trail back: a search, newest first. Must never show what does not decode as if it
//! were a record: a search leaves it out, verification names it. Records that still wait in the
//! journal are seen after `flush`.

use uuid::Uuid;

use super::Ledger;
use super::block::Unpacked;
use super::record::{Kind, StoredRecord};
use super::view::View;
use crate::store::{self, RecordBlock};

const BLOCKS_A_READ: u32 = 8;
/// After so many blocks a search answers with what it has, and with a cursor to go on from.
const MOST_BLOCKS_A_PAGE: usize = 256;

/// What a record must be like. None: anything.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    pub(crate) kind: Option<Kind>,
    pub(crate) actor_id: Option<Uuid>,
    pub(crate) provider: Option<String>,
    pub(crate) secret_id: Option<Uuid>,
    pub(crate) status: Option<u16>,
    /// From this moment on.
    pub(crate) from_ms: Option<i64>,
    /// Before this moment.
    pub(crate) to_ms: Option<i64>,
    /// The one that was answered with, the one that came, or the one that was sent.
    pub(crate) request_id: Option<String>,
}

/// Where a search goes on: behind the last record that it looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    last_time: i64,
    node: String,
    first_sequence: u64,
    /// How many records of that block are still to be looked at.
    records_left: usize,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Page {
    pub(crate) items: Vec<StoredRecord>,
    pub(crate) next: Option<Cursor>,
}

impl Cursor {
    /// Opaque to whoever carries it.
    pub(crate) fn to_text(&self) -> String {
        let Self { last_time, node, first_sequence, records_left } = self;
        format!("{last_time}.{first_sequence}.{records_left}.{node}")
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(4, '.');
        Some(Self {
            last_time: parts.next()?.parse().ok()?,
            first_sequence: parts.next()?.parse().ok()?,
            records_left: parts.next()?.parse().ok()?,
            node: parts.next()?.to_owned(),
        })
    }

    fn at(block: &RecordBlock, records_left: usize) -> Self {
        Self {
            last_time: block.last_time,
            node: block.node.clone(),
            first_sequence: block.first_sequence,
            records_left,
        }
    }

    /// How many records of the block are still to be looked at; blocks come newest first, those of
    /// one time by node, those of one node from the last to the first.
    fn left_of(&self, block: &RecordBlock) -> usize {
        let place = |node: &str, sequence: u64, time: i64| {
            (std::cmp::Reverse(time), node.to_owned(), std::cmp::Reverse(sequence))
        };
        let here = place(&block.node, block.first_sequence, block.last_time);
        match here.cmp(&place(&self.node, self.first_sequence, self.last_time)) {
            std::cmp::Ordering::Less => 0,
            std::cmp::Ordering::Equal => self.records_left,
            std::cmp::Ordering::Greater => usize::MAX,
        }
    }
}

impl Filter {
    /// Does it want everything?
    pub(crate) fn is_whole(&self) -> bool {
        let Self { kind, actor_id, provider, secret_id, status, from_ms, to_ms, request_id } = self;
        kind.is_none()
            && actor_id.is_none()
            && provider.is_none()
            && secret_id.is_none()
            && status.is_none()
            && from_ms.is_none()
            && to_ms.is_none()
            && request_id.is_none()
    }

    pub(super) fn admits(&self, view: &View<'_>) -> bool {
        let is = |wanted: &Option<String>, bytes: &[u8]| {
            wanted.as_ref().is_none_or(|wanted| wanted.as_bytes() == bytes)
        };
        self.kind.is_none_or(|kind| kind == view.kind)
            && self.actor_id.is_none_or(|id| view.actor_id == Some(id))
            && self.secret_id.is_none_or(|id| view.secret.is_some_and(|secret| secret.id == id))
            && self.status.is_none_or(|status| view.answer.is_some_and(|a| a.status == status))
            && self.from_ms.is_none_or(|from| view.started_at_ms >= from)
            && self.to_ms.is_none_or(|to| view.started_at_ms < to)
            && is(&self.provider, view.provider)
            && (is(&self.request_id, view.request_id)
                || is(&self.request_id, view.final_request_id())
                || view.request_id_sent.is_some_and(|sent| is(&self.request_id, sent)))
    }
}

impl Ledger {
    /// Records as the filter wants them, newest first, at most `limit`. A page may hold fewer and
    /// still have a next one.
    pub(crate) async fn query(
        &self,
        filter: &Filter,
        limit: usize,
        cursor: Option<&Cursor>,
    ) -> Result<Page, store::Error> {
        let store = self.0.sink.store();
        let mut page = Page::default();
        let mut before = cursor.map(|cursor| cursor.last_time.saturating_add(1));
        let mut looked_at = 0;
        loop {
            let found = store.record_blocks_before(None, before, BLOCKS_A_READ).await?;
            if found.before.is_none() {
                return Ok(page);
            }
            before = found.before;
            let blocks = found.blocks;
            for block in &blocks {
                if filter.from_ms.is_some_and(|from| block.last_time < from) {
                    return Ok(page);
                }
                let left = cursor.map_or(usize::MAX, |cursor| cursor.left_of(block));
                if let Some(left) = search_block(filter, block, left, (limit, &mut page.items)) {
                    page.next = Some(Cursor::at(block, left));
                    return Ok(page);
                }
            }
            looked_at += blocks.len();
            if let Some(last) = blocks.last()
                && looked_at >= MOST_BLOCKS_A_PAGE
            {
                page.next = Some(Cursor::at(last, 0));
                return Ok(page);
            }
        }
    }
}

/// Searches a block from its end; `left` of its records are to be looked at. Answers how many are
/// left once the items are full, None if the block was searched through.
fn search_block(
    filter: &Filter,
    block: &RecordBlock,
    left: usize,
    (limit, items): (usize, &mut Vec<StoredRecord>),
) -> Option<usize> {
    if left == 0 || filter.to_ms.is_some_and(|to| block.first_time >= to) {
        return None;
    }
    let unpacked = Unpacked::read(&block.body).ok()?;
    let left = left.min(unpacked.items.len());
    for (place, item) in unpacked.items.iter().enumerate().take(left).rev() {
        if items.len() >= limit {
            return Some(place + 1);
        }
        if item.view().is_some_and(|view| filter.admits(&view)) {
            items.extend(item.to_stored(&block.node));
        }
    }
    None
}
