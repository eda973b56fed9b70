//! Blocks: many records chained and packed into one row of the database, and read back. The chain
//! runs through the records, not through the blocks, and starts from the node's name:
//! `hash_n = SHA-256(label ‖ hash_{n-1} ‖ record n)`. Reading never panics; it says what is wrong
//! and where. Must never hash anything but the bytes that are stored.
//!
//! Body, little-endian: `"SGRB" | format u32 | first sequence u64 | count u32 | hash before 32`,
//! then per record `length u32 | sequence u64 | frames | first 8 bytes of its hash`. Those bytes
//! are not needed to verify: they tell which record of a bad block is the first bad one.

use std::fmt;

use uuid::Uuid;

use super::record::StoredRecord;
use super::view::{Reader, View};
use super::walk::Flaw;
use crate::crypto::{Sha256, label};
use crate::store::RecordBlock;

pub(super) const MOST_RECORDS: usize = 4096;
const MOST_BODY_BYTES: usize = 4 * 1024 * 1024;
const IDLE_BODY_BYTES: usize = 64 * 1024;
const MAGIC: [u8; 4] = *b"SGRB";
const FORMAT: [u8; 4] = [1, 0, 0, 0];
const COUNT_AT: usize = 16;
const MARK_BYTES: usize = 8;

/// The end of a node's chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) next_sequence: u64,
    pub(super) hash: [u8; 32],
}

/// What is wrong with a block, and with which record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bad {
    pub(crate) node: String,
    pub(crate) sequence: u64,
    pub(crate) id: Option<Uuid>,
    pub(crate) reason: &'static str,
}

impl fmt::Display for Bad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "record {} of node {}: {}", self.sequence, self.node, self.reason)
    }
}

/// A block that is being filled.
pub(super) struct Packer {
    node: String,
    before: Link,
    link: Link,
    first_time: i64,
    last_time: i64,
    body: Vec<u8>,
    /// Of each record, for what is signed of them.
    hashes: Vec<[u8; 32]>,
}

/// A body taken apart, nothing verified but its shape.
pub(super) struct Unpacked<'a> {
    pub(super) before: [u8; 32],
    pub(super) first_sequence: u64,
    pub(super) items: Vec<Item<'a>>,
}

/// One record inside a body.
#[derive(Clone, Copy)]
pub(super) struct Item<'a> {
    /// What the chain hashes.
    pub(super) bytes: &'a [u8],
    mark: [u8; MARK_BYTES],
    pub(super) sequence: u64,
    pub(super) frames: &'a [u8],
}

impl Bad {
    /// The record that should come next in the chain.
    pub(super) fn here(node: &str, link: &Link, reason: &'static str) -> Self {
        Self { node: node.to_owned(), sequence: link.next_sequence, id: None, reason }
    }
}

impl Link {
    /// Before a node's first record.
    pub(super) fn genesis(node: &str) -> Self {
        let mut hash = Sha256::new(label::RECORD);
        hash.update(b"/genesis/");
        hash.update(node.as_bytes());
        Self { next_sequence: 1, hash: hash.finish() }
    }

    /// The end of the chain once this block stands.
    #[cfg(test)]
    pub(super) fn after(block: &RecordBlock) -> Self {
        let next_sequence = block.first_sequence.saturating_add(block.records);
        Self { next_sequence, hash: block.head_hash }
    }

    pub(super) fn add(&mut self, item: &[u8]) {
        let mut hash = Sha256::new(label::RECORD);
        hash.update(&self.hash);
        hash.update(item);
        *self = Self { next_sequence: self.next_sequence.saturating_add(1), hash: hash.finish() };
    }

    fn mark(&self) -> [u8; MARK_BYTES] {
        self.hash.first_chunk().copied().unwrap_or_default()
    }
}

impl Packer {
    pub(super) fn new(node: &str) -> Self {
        let nowhere = Link { next_sequence: 1, hash: [0; 32] };
        Self {
            node: node.to_owned(),
            before: nowhere,
            link: nowhere,
            first_time: i64::MAX,
            last_time: i64::MIN,
            body: Vec::new(),
            hashes: Vec::new(),
        }
    }

    /// Begins a block behind the link; what was packed before is thrown away, its memory kept.
    pub(super) fn restart(&mut self, link: Link) {
        (self.before, self.link) = (link, link);
        (self.first_time, self.last_time) = (i64::MAX, i64::MIN);
        self.hashes.clear();
        self.body.clear();
        self.body.extend_from_slice(&MAGIC);
        self.body.extend_from_slice(&FORMAT);
        self.body.extend_from_slice(&link.next_sequence.to_le_bytes());
        self.body.extend_from_slice(&[0; 4]);
        self.body.extend_from_slice(&link.hash);
    }

    /// Appends one record, whose frames `write` puts at the end of the body. `look` sees the
    /// frames; it answers the time that the record carries.
    pub(super) fn add(
        &mut self,
        write: impl FnOnce(&mut Vec<u8>),
        look: impl FnOnce(&[u8]) -> i64,
    ) {
        let length_at = self.body.len();
        self.body.extend_from_slice(&[0; 4]);
        self.body.extend_from_slice(&self.link.next_sequence.to_le_bytes());
        write(&mut self.body);
        let length = self.body.len() - length_at - 4;
        let length = u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes();
        if let Some(place) = self.body.get_mut(length_at..length_at + 4) {
            place.copy_from_slice(&length);
        }
        let time = look(self.body.get(length_at + 12..).unwrap_or_default());
        self.first_time = self.first_time.min(time);
        self.last_time = self.last_time.max(time);
        self.link.add(self.body.get(length_at + 4..).unwrap_or_default());
        self.hashes.push(self.link.hash);
        let mark = self.link.mark();
        self.body.extend_from_slice(&mark);
    }

    pub(super) fn records(&self) -> usize {
        usize::try_from(self.link.next_sequence - self.before.next_sequence).unwrap_or(usize::MAX)
    }

    pub(super) fn is_full(&self) -> bool {
        self.records() >= MOST_RECORDS || self.body.len() >= MOST_BODY_BYTES
    }

    pub(super) fn link(&self) -> Link {
        self.link
    }

    /// The chain's hashes at its records, in order.
    pub(super) fn hashes(&self) -> &[[u8; 32]] {
        &self.hashes
    }

    /// The block as the store takes it. `reclaim` gives its memory back for the next.
    pub(super) fn finish(&mut self) -> RecordBlock {
        let records = self.records();
        let count = u32::try_from(records).unwrap_or(u32::MAX).to_le_bytes();
        if let Some(place) = self.body.get_mut(COUNT_AT..COUNT_AT + 4) {
            place.copy_from_slice(&count);
        }
        RecordBlock {
            node: self.node.clone(),
            first_sequence: self.before.next_sequence,
            records: records as u64,
            first_time: self.first_time,
            last_time: self.last_time,
            head_hash: self.link.hash,
            body: std::mem::take(&mut self.body),
        }
    }

    pub(super) fn reclaim(&mut self, block: RecordBlock) {
        self.body = block.body;
    }

    /// A rush may have made it large; idle, the writer should weigh next to nothing.
    pub(super) fn shrink(&mut self) {
        if self.body.capacity() > IDLE_BODY_BYTES {
            self.body = Vec::new();
            self.hashes = Vec::new();
        }
    }
}

impl<'a> Unpacked<'a> {
    pub(super) fn read(body: &'a [u8]) -> Result<Self, &'static str> {
        let mut reader = Reader(body);
        let head = (|| {
            let magic: [u8; 4] = reader.array()?;
            let format: [u8; 4] = reader.array()?;
            let first_sequence = u64::from_le_bytes(reader.array()?);
            let count = u32::from_le_bytes(reader.array()?);
            Some((magic, format, first_sequence, count, reader.array::<32>()?))
        })();
        let Some((MAGIC, FORMAT, first_sequence, count, before)) = head else {
            return Err("the block does not begin as a block of this format does");
        };
        let mut items = Vec::with_capacity((count as usize).min(MOST_RECORDS));
        while !reader.0.is_empty() {
            items.push(read_item(&mut reader).ok_or("the block ends inside a record")?);
        }
        if items.len() != count as usize {
            return Err("the block holds another number of records than it says");
        }
        Ok(Self { before, first_sequence, items })
    }
}

#[cfg(test)]
impl Unpacked<'_> {
    pub(super) fn frames_of(&self, place: usize) -> &[u8] {
        self.items[place].frames
    }
}

fn read_item<'a>(reader: &mut Reader<'a>) -> Option<Item<'a>> {
    let length = u32::from_le_bytes(reader.array()?);
    let bytes = reader.take(length as usize)?;
    let mark = reader.array()?;
    let mut inside = Reader(bytes);
    let sequence = u64::from_le_bytes(inside.array()?);
    Some(Item { bytes, mark, sequence, frames: inside.0 })
}

impl<'a> Item<'a> {
    pub(super) fn view(&self) -> Option<View<'a>> {
        View::read(self.frames)
    }

    pub(super) fn to_stored(self, node: &str) -> Option<StoredRecord> {
        self.view().map(|view| view.to_stored(node, self.sequence))
    }
}

/// Recomputes a block behind the link that the block before it left. The new end, or the first
/// record that is bad.
pub(super) fn verify(block: &RecordBlock, before: &Link) -> Result<Link, Bad> {
    verify_each(block, before, &mut |_, _| Ok(()))
}

type Each<'a> = dyn FnMut(u64, &[u8; 32]) -> Result<(), Flaw> + 'a;

/// The same, where `each` sees the number and the hash of every record and may object.
pub(super) fn verify_each(
    block: &RecordBlock,
    before: &Link,
    each: &mut Each<'_>,
) -> Result<Link, Bad> {
    let bad = |sequence: u64, id, reason| Bad { node: block.node.clone(), sequence, id, reason };
    let expected = before.next_sequence;
    let unpacked = match Unpacked::read(&block.body) {
        Ok(unpacked) => unpacked,
        Err(reason) => return Err(bad(expected, None, reason)),
    };
    if block.first_sequence != expected || unpacked.first_sequence != expected {
        return Err(bad(expected, None, "it is missing, or stands in another place"));
    }
    if unpacked.before != before.hash {
        let reason = "the record before it is not the one that it was chained to";
        return Err(bad(expected, None, reason));
    }
    let mut link = *before;
    let (mut first_time, mut last_time) = (i64::MAX, i64::MIN);
    for item in &unpacked.items {
        let view = item.view();
        let id = view.map(|view| view.id);
        let sequence = link.next_sequence;
        link.add(item.bytes);
        if link.mark() != item.mark {
            return Err(bad(sequence, id, "it was changed after it was written"));
        }
        let Some(view) = view.filter(|_| item.sequence == sequence) else {
            return Err(bad(sequence, id, "it is not a record of this place in the chain"));
        };
        each(sequence, &link.hash).map_err(|flaw| {
            let id = id.filter(|_| flaw.from == sequence);
            bad(flaw.from, id, flaw.reason)
        })?;
        first_time = first_time.min(view.started_at_ms);
        last_time = last_time.max(view.started_at_ms);
    }
    let times_hold = (first_time, last_time) == (block.first_time, block.last_time);
    let count_holds = block.records == unpacked.items.len() as u64;
    if link.hash != block.head_hash || !count_holds || !times_hold {
        let reason = "the row says something else of the block than its records do";
        return Err(bad(expected, None, reason));
    }
    Ok(link)
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::super::frame::{self, Birth, Closing};
    use super::super::record::{ActorKind, ActorRef, Begin, Kind};
    use super::*;
    use crate::refusal::{Fault, Reason};

    fn frames(number: u64) -> Vec<u8> {
        let begin = Begin {
            kind: Kind::Usage,
            actor: ActorRef { kind: ActorKind::Key, id: Some(Uuid::from_u128(5)), name: "n" },
            address: Some("2001:db8::1".parse().unwrap()),
            provider: "polygon",
            method: "GET",
            path: "/v2/aggs",
            request_id: &format!("request-{number}"),
        };
        let id = Uuid::from_u128(u128::from(number));
        let birth = Birth { id, started_at_ms: 5_000 - number as i64, started_at_ns: number };
        let closing = Closing {
            complete: true,
            fault: Some(Fault::Us),
            retries: 1,
            scrub_hits: 0,
            duration_ns: 2,
            upstream_ns: 3,
            bytes_in: 4,
            bytes_out: 5,
        };
        let mut bytes = frame::open(&begin, &birth).bytes().to_vec();
        bytes.extend_from_slice(frame::forwarded(Some("other"), None).bytes());
        bytes.extend_from_slice(
            frame::answered((502, None), Some(Reason::Internal), None, None).bytes(),
        );
        bytes.extend_from_slice(&frame::detail(br#"{"a":1}"#));
        bytes.extend_from_slice(frame::closed(&closing).bytes());
        bytes
    }

    fn block(link: Link, records: u64) -> RecordBlock {
        let mut packer = Packer::new("node-a");
        packer.restart(link);
        for number in 1..=records {
            packer.add(|body| body.extend(frames(number)), |_| 5_000 - number as i64);
        }
        packer.finish()
    }

    /// A block of another node's records.
    pub(crate) fn stranger(node: &str, first_sequence: u64) -> RecordBlock {
        let mut packer = Packer::new(node);
        packer.restart(Link { next_sequence: first_sequence, ..Link::genesis(node) });
        packer.add(|body| body.extend(frames(900)), |_| 4_100);
        packer.finish()
    }

    #[test]
    fn blocks_follow_each_other_in_one_chain() {
        let genesis = Link::genesis("node-a");
        let first = block(genesis, 3);
        let after = verify(&first, &genesis).unwrap();
        assert_eq!((after, after.next_sequence), (Link::after(&first), 4));
        let second = block(after, 2);
        assert_eq!(verify(&second, &after).unwrap().next_sequence, 6);
        assert_eq!((second.first_time, second.last_time), (4_998, 4_999));
        assert_eq!(verify(&second, &genesis).unwrap_err().sequence, 1);
        assert_eq!(verify(&first, &Link::genesis("node-b")).unwrap_err().sequence, 1);
    }

    #[test]
    fn where_blocks_begin_and_end_does_not_change_the_chain() {
        let genesis = Link::genesis("node-a");
        let whole = block(genesis, 4);
        let mut packer = Packer::new("node-a");
        let mut link = genesis;
        for number in 1..=4 {
            packer.restart(link);
            packer.add(|body| body.extend(frames(number)), |_| 0);
            link = packer.link();
        }
        assert_eq!(link.hash, whole.head_hash);
    }

    #[test]
    fn any_flipped_bit_is_found_and_its_record_named() {
        let genesis = Link::genesis("node-a");
        let whole = block(genesis, 3);
        let record_bytes = (whole.body.len() - 52) / 3;
        for at in 0..whole.body.len() {
            for bit in [0, 3, 7] {
                let mut edited = whole.clone();
                edited.body[at] ^= 1 << bit;
                let bad = verify(&edited, &genesis).unwrap_err();
                let record = at.saturating_sub(52) / record_bytes + 1;
                let in_length = at < 52 || (at - 52) % record_bytes < 4;
                assert!(in_length || bad.sequence == record as u64, "byte {at}: {bad}");
            }
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = View::read(&bytes).map(|view| view.to_stored("node-a", 1));
            let edited = RecordBlock { body: bytes, ..block(Link::genesis("node-a"), 1) };
            let _ = Unpacked::read(&edited.body);
            prop_assert!(verify(&edited, &Link::genesis("node-a")).is_err());
        }

        #[test]
        fn damaged_frames_never_panic(
            edits in proptest::collection::vec((any::<u16>(), any::<u8>()), 1..6),
            length in any::<u16>(),
        ) {
            let mut bytes = frames(1);
            let whole = bytes.len();
            for (at, byte) in edits {
                bytes[usize::from(at) % whole] = byte;
            }
            let _ = View::read(&bytes).map(|view| view.to_stored("node-a", 1));
            bytes.truncate(usize::from(length) % whole);
            let _ = View::read(&bytes).map(|view| view.to_stored("node-a", 1));
        }
    }
}
