//! What an earlier process left in the journal: closed records that were not stored yet, and calls
//! whose end nobody knows. Each is stored exactly once, then its segment goes. A slot that cannot
//! be read becomes a record of its own; nothing here panics over damaged bytes.
//!
//! The writer frees a block's slots before it packs the next, so after a kill only the newest
//! block's records can stand in both places. A power cut may bring older pages of the journal back;
//! therefore blocks are read back as far as the oldest record that was found.

use std::collections::HashSet;

use serde_json::json;
use uuid::Uuid;

use super::Error;
use super::block::{Bad, Link, Packer, Unpacked};
use super::end::{self, End};
use super::frame::{self, Birth, Closing};
use super::journal::Journal;
use super::look;
use super::mapping::Segment;
use super::marks;
use super::record::{ActorRef, Begin, Kind};
use super::sink::Sink;
use super::slot::{Content, Slot};
use super::tally::{Batch, Counting};
use super::view::View;
use crate::clock::Clock;
use crate::crypto::{Sha256, label};
use crate::store::{self, Along, Counted, RecordBlock};

/// A million records: more than any journal holds.
const MOST_BLOCKS_BACK: usize = 256;
const BLOCKS_A_READ: u32 = 4;

/// Where the chain goes on, and what there is to say.
pub(super) struct Recovered {
    pub(super) link: Link,
    /// Counts of what was stored, for the metrics and the client keys.
    pub(super) batch: Batch,
    pub(super) findings: Vec<serde_json::Value>,
}

/// A slot that holds something.
struct Found {
    id: Uuid,
    started_at_ms: i64,
    /// When it closed, or at least began: the order in which it is stored.
    last_seen_ms: i64,
    segment: usize,
    slot: u32,
    /// What is stored in place of frames that cannot be read.
    instead: Option<Vec<u8>>,
}

pub(super) async fn run(
    journal: &Journal,
    sink: &Sink,
    clock: &Clock,
    (node, counting): (&str, &Counting),
) -> Result<Recovered, Error> {
    let left = journal.left_behind()?;
    let (paths, segments): (Vec<_>, Vec<_>) = left.segments.into_iter().unzip();
    let mut findings = left.findings;
    let remembered = journal.remembered();
    let End { link, broken } = end::find(sink.store(), node, remembered).await?;
    if let Some(bad) = &broken {
        journal.note_cut(bad.sequence);
        findings.push(trail_broken(bad));
    } else if let Some(missing) = missing_tail(remembered, link) {
        journal.note_cut(link.next_sequence);
        findings.push(missing);
    }
    if remembered.is_none() && link.next_sequence > 1 {
        findings.push(integrity(look::no_head(journal.place())));
    }
    let counted = counted(sink, node, link, &mut findings).await?;
    let batch = Batch::new(counting.span_ms());
    let mut recovered = Recovered { link, batch, findings };
    let mut found = scan(&segments, clock.unix_ms());
    let stored = stored_ids(sink, node, &found).await?;
    found.retain(|one| {
        let is_new = !stored.contains(&one.id);
        if !is_new {
            free(&segments, one);
        }
        is_new
    });
    found.sort_by_key(|one| one.last_seen_ms);
    if !found.is_empty() {
        tracing::info!(records = found.len(), "Records of an earlier run are stored now.");
    }
    store(&mut recovered, sink, node, (&segments, &found)).await?;
    journal.remember(&recovered.link);
    count(sink, (node, counting), (counted, recovered.link, clock)).await?;
    drop(segments);
    for path in &paths {
        journal.remove(path)?;
    }
    Ok(recovered)
}

/// The journal remembers a longer chain than the database has, or another one.
fn missing_tail(remembered: Option<Link>, found: Link) -> Option<serde_json::Value> {
    let remembered = remembered?;
    let is_shorter = found.next_sequence < remembered.next_sequence;
    let is_other = found.next_sequence == remembered.next_sequence && found.hash != remembered.hash;
    (is_shorter || is_other).then(|| {
        json!({
            "finding": "trail_cut",
            "expected_next_sequence": remembered.next_sequence,
            "found_next_sequence": found.next_sequence,
        })
    })
}

/// Told by whoever goes on behind it, at a start or while the house runs.
pub(super) fn trail_broken(bad: &Bad) -> serde_json::Value {
    json!({
        "alert": "integrity",
        "finding": "trail_broken",
        "sequence": bad.sequence,
        "reason": bad.reason,
    })
}

fn integrity(finding: String) -> serde_json::Value {
    json!({"alert": "integrity", "finding": finding})
}

/// Where counting goes on; a row that cannot be is set right, and told.
async fn counted(
    sink: &Sink,
    node: &str,
    link: Link,
    findings: &mut Vec<serde_json::Value>,
) -> Result<u64, Error> {
    match sink.store().counted_records(node).await {
        Ok(None) => return Ok(link.next_sequence),
        Ok(Some(counted)) if counted <= link.next_sequence => return Ok(counted),
        Ok(Some(_)) | Err(store::Error::Contradiction { .. }) => {}
        Err(fault) => return Err(fault.into()),
    }
    findings.push(integrity(look::miscounted(node)));
    let anew = Counted { next_sequence: link.next_sequence, ..Counted::default() };
    sink.store().count_records(node, &anew).await?;
    Ok(link.next_sequence)
}

fn scan(segments: &[Segment], now_ms: i64) -> Vec<Found> {
    let mut found = Vec::new();
    let mut bytes = Vec::new();
    for (place, segment) in segments.iter().enumerate() {
        for index in 0..segment.shape().slots {
            bytes.clear();
            let slot = Slot(segment.slot(index));
            let whole = match slot.read(&mut bytes) {
                Content::Free => continue,
                Content::Whole(_, _) => View::read(&bytes),
                Content::Torn => None,
            };
            found.push(match whole {
                Some(view) => Found {
                    id: view.id,
                    started_at_ms: view.started_at_ms,
                    last_seen_ms: last_seen_ms(&view),
                    segment: place,
                    slot: index,
                    instead: None,
                },
                None => torn(segment, (place, index), now_ms),
            });
        }
    }
    found
}

fn last_seen_ms(view: &View<'_>) -> i64 {
    let duration_ms = view.closing.map_or(0, |closing| closing.duration_ns / 1_000_000);
    view.started_at_ms.saturating_add(i64::try_from(duration_ms).unwrap_or(i64::MAX))
}

/// The id comes from what stands there, so that the finding too is stored only once.
fn torn(segment: &Segment, (place, index): (usize, u32), now_ms: i64) -> Found {
    let shape = segment.shape();
    let mut digest = Sha256::new(label::RECORD);
    digest.update(b"/torn/");
    digest.update(&shape.lane.to_le_bytes());
    digest.update(&shape.segment.to_le_bytes());
    digest.update(&index.to_le_bytes());
    digest.update(&Slot(segment.slot(index)).copy_all());
    let digest = digest.finish();
    let id = Uuid::from_bytes(digest.first_chunk().copied().unwrap_or_default());
    let birth = Birth { id, started_at_ms: now_ms, started_at_ns: 0 };
    let begin = Begin {
        kind: Kind::Security,
        actor: ActorRef::house("ledger"),
        address: None,
        provider: "",
        method: "",
        path: "",
        request_id: "",
    };
    let detail = json!({
        "finding": "torn_slot",
        "lane": shape.lane,
        "segment": shape.segment,
        "slot": index,
    });
    let closing = Closing {
        complete: true,
        fault: None,
        retries: 0,
        scrub_hits: 0,
        duration_ns: 0,
        upstream_ns: 0,
        bytes_in: 0,
        bytes_out: 0,
    };
    let mut frames = frame::open(&begin, &birth).bytes().to_vec();
    frames.extend_from_slice(&frame::detail(detail.to_string().as_bytes()));
    frames.extend_from_slice(frame::closed(&closing).bytes());
    let instead = Some(frames);
    Found { id, started_at_ms: now_ms, last_seen_ms: now_ms, segment: place, slot: index, instead }
}

/// The ids in the newest block, and in older ones that reach back to the oldest record found.
async fn stored_ids(sink: &Sink, node: &str, found: &[Found]) -> Result<HashSet<Uuid>, Error> {
    let mut ids = HashSet::new();
    let Some(oldest_ms) = found.iter().map(|one| one.started_at_ms).min() else {
        return Ok(ids);
    };
    match sink.store().last_record_block(node, u64::MAX).await {
        Ok(newest) => ids.extend(newest.iter().flat_map(ids_of)),
        // Its records are told apart by nobody any more.
        Err(store::Error::Contradiction { .. }) => {}
        Err(fault) => return Err(fault.into()),
    }
    let (mut before, mut blocks) = (None, 0);
    while blocks < MOST_BLOCKS_BACK {
        let page = sink.store().record_blocks_before(Some(node), before, BLOCKS_A_READ).await?;
        blocks += page.blocks.len();
        before = page.before;
        ids.extend(page.blocks.iter().flat_map(ids_of));
        if before.is_none_or(|before| before < oldest_ms) {
            break;
        }
    }
    Ok(ids)
}

fn ids_of(block: &RecordBlock) -> Vec<Uuid> {
    match Unpacked::read(&block.body) {
        Ok(unpacked) => {
            unpacked.items.iter().filter_map(|item| item.view()).map(|view| view.id).collect()
        }
        Err(_) => Vec::new(),
    }
}

async fn store(
    recovered: &mut Recovered,
    sink: &Sink,
    node: &str,
    (segments, found): (&[Segment], &[Found]),
) -> Result<(), Error> {
    let mut packer = Packer::new(node);
    let mut rest = found;
    while !rest.is_empty() {
        packer.restart(recovered.link);
        for one in rest {
            if packer.is_full() {
                break;
            }
            add(&mut packer, segments, one, &mut recovered.batch);
        }
        let (stored, unstored) = rest.split_at_checked(packer.records()).unwrap_or((rest, &[]));
        let link = packer.link();
        let block = packer.finish();
        let marks = marks::of(&block.body);
        sink.append(&block, &Along { marks: &marks, ..Along::default() }).await?;
        recovered.link = link;
        for one in stored {
            free(segments, one);
        }
        rest = unstored;
    }
    Ok(())
}

/// What is stored and not counted yet: a process counts a little later than it stores, and a
/// killed one does not.
async fn count(
    sink: &Sink,
    (node, counting): (&str, &Counting),
    (counted, link, clock): (u64, Link, &Clock),
) -> Result<(), Error> {
    let mut batch = Batch::new(counting.span_ms());
    let mut next = counted;
    while next < link.next_sequence {
        let page = match sink.store().record_blocks_from(node, next, BLOCKS_A_READ).await {
            Ok(page) => page,
            // The rest is told of by whoever verifies the trail.
            Err(store::Error::Contradiction { .. }) => {
                next = link.next_sequence;
                break;
            }
            Err(fault) => return Err(fault.into()),
        };
        let Some(last) = page.last() else { break };
        next = last.first_sequence.saturating_add(last.records);
        // What cannot be read is told of by whoever verifies the trail.
        for block in page.iter().filter_map(|block| Unpacked::read(&block.body).ok()) {
            block.items.iter().filter_map(|item| item.view()).for_each(|view| batch.add(&view));
        }
    }
    if next > counted {
        let through = (link.next_sequence, clock.unix_ms());
        let counted = batch.uses.to_counted(counting, through);
        sink.store().count_records(node, &counted).await?;
    }
    Ok(())
}

fn add(packer: &mut Packer, segments: &[Segment], one: &Found, batch: &mut Batch) {
    let write = |body: &mut Vec<u8>| match (&one.instead, segments.get(one.segment)) {
        (Some(frames), _) => body.extend_from_slice(frames),
        (None, Some(segment)) => {
            Slot(segment.slot(one.slot)).copy_frames(body);
        }
        (None, None) => {}
    };
    packer.add(write, |frames| match View::read(frames) {
        Some(view) => {
            batch.add(&view);
            view.started_at_ms
        }
        None => 0,
    });
}

fn free(segments: &[Segment], one: &Found) {
    if let Some(segment) = segments.get(one.segment) {
        Slot(segment.slot(one.slot)).free();
    }
}
