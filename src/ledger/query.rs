//! Reading the trail back: a search, newest first. Must never show what does not decode as if it
//! were a record: a search leaves it out, verification names it. Records that still wait in the
//! journal are seen after `flush`.

use uuid::Uuid;

use super::Ledger;
use super::block::Unpacked;
use super::marks::{self, Mark};
use super::record::{Kind, StoredRecord};
use super::view::View;
use crate::store::{self, RecordBlock};

/// One is enough where it is full; where calls are few, blocks are small.
const MOST_BLOCKS_A_READ: u32 = 8;
const MARKS_A_READ: u32 = 64;
/// After so many blocks or records that were read, or so many blocks or bytes of marks that were
/// looked at, a search answers with what it has, and with a cursor to go on from.
const MOST_READ: (usize, u64) = (16, 8_192);
const MOST_LOOKED_AT: (usize, usize) = (512, 1 << 20);

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

/// Of a block: its node, its first record, and its last one's time.
type Place<'a> = (&'a str, u64, i64);

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

    fn at((node, first_sequence, last_time): Place<'_>, records_left: usize) -> Self {
        Self { last_time, node: node.to_owned(), first_sequence, records_left }
    }

    /// How many records of the block are still to be looked at; blocks come newest first, those of
    /// one time by node, those of one node from the last to the first.
    fn left_of(&self, (node, first_sequence, last_time): Place<'_>) -> usize {
        let place = |node, sequence: u64, time: i64| {
            (std::cmp::Reverse(time), node, std::cmp::Reverse(sequence))
        };
        let here = place(node, first_sequence, last_time);
        match here.cmp(&place(self.node.as_str(), self.first_sequence, self.last_time)) {
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

    /// What a record must have, so that others need not be read.
    fn marks(&self) -> Vec<Mark> {
        let Self { kind, actor_id, provider, secret_id, status, request_id, .. } = self;
        let mut marks = Vec::new();
        marks.extend(kind.map(Mark::kind));
        marks.extend(actor_id.map(Mark::actor));
        marks.extend(provider.as_ref().map(|id| Mark::provider(id.as_bytes())));
        marks.extend(secret_id.map(Mark::secret));
        marks.extend(status.map(Mark::status));
        marks.extend(request_id.as_ref().map(|id| Mark::request(id.as_bytes())));
        marks
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
        let wanted = filter.marks();
        let mut search = Search { filter, limit, cursor, page: Page::default(), read: (0, 0) };
        match filter.is_whole() {
            true => self.look_through(&mut search).await?,
            false => self.look_where(&mut search, &wanted).await?,
        }
        Ok(search.page)
    }

    /// Every block has something.
    async fn look_through(&self, search: &mut Search<'_>) -> Result<(), store::Error> {
        let (mut before, mut blocks) = (search.before(), 1);
        loop {
            let store = self.0.sink.store();
            let found = store.record_blocks_before(None, before, blocks).await?;
            blocks = (blocks * 2).min(MOST_BLOCKS_A_READ);
            for block in &found.blocks {
                if search.is_over(block.last_time) || search.takes(block) {
                    return Ok(());
                }
            }
            before = found.before;
            if before.is_none() {
                return Ok(());
            }
        }
    }

    /// Few have, and their marks say which.
    async fn look_where(
        &self,
        search: &mut Search<'_>,
        wanted: &[Mark],
    ) -> Result<(), store::Error> {
        let (mut before, mut looked_at, mut bytes) = (search.before(), 0, 0);
        loop {
            let store = self.0.sink.store();
            let to = search.filter.to_ms;
            let found = store.marked_blocks_before(before, to, MARKS_A_READ).await?;
            for one in &found.blocks {
                if search.is_over(one.last_time) {
                    return Ok(());
                }
                let place = (one.node.as_str(), one.first_sequence, one.last_time);
                if search.left_of(place) == 0 {
                    continue;
                }
                looked_at += 1;
                bytes += one.marks.as_ref().map_or(0, Vec::len);
                if marks::may_hold(one.marks.as_deref(), wanted)
                    && let Some(block) = store.record_block(&one.node, one.first_sequence).await?
                    && search.takes(&block)
                {
                    return Ok(());
                }
                if looked_at >= MOST_LOOKED_AT.0 || bytes >= MOST_LOOKED_AT.1 {
                    search.page.next = Some(Cursor::at(place, 0));
                    return Ok(());
                }
            }
            before = found.before;
            if before.is_none() {
                return Ok(());
            }
        }
    }
}

/// A search under way.
struct Search<'a> {
    filter: &'a Filter,
    limit: usize,
    cursor: Option<&'a Cursor>,
    page: Page,
    /// How many blocks and records were read.
    read: (usize, u64),
}

impl Search<'_> {
    fn before(&self) -> Option<i64> {
        self.cursor.map(|cursor| cursor.last_time.saturating_add(1))
    }

    fn is_over(&self, last_time: i64) -> bool {
        self.filter.from_ms.is_some_and(|from| last_time < from)
    }

    fn left_of(&self, place: Place<'_>) -> usize {
        self.cursor.map_or(usize::MAX, |cursor| cursor.left_of(place))
    }

    /// True once the page has all that it may have.
    fn takes(&mut self, block: &RecordBlock) -> bool {
        let place = (block.node.as_str(), block.first_sequence, block.last_time);
        let left = self.left_of(place);
        let items = (self.limit, &mut self.page.items);
        if let Some(left) = search_block(self.filter, block, left, items) {
            self.page.next = Some(Cursor::at(place, left));
            return true;
        }
        if left > 0 {
            self.read = (self.read.0 + 1, self.read.1.saturating_add(block.records));
        }
        // Where everything is wanted, what was asked for bounds it.
        let is_many = self.read.1 >= MOST_READ.1 && !self.filter.is_whole();
        let is_enough = self.read.0 >= MOST_READ.0 || is_many;
        if is_enough {
            self.page.next = Some(Cursor::at(place, 0));
        }
        is_enough
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
