//! What verification finds, and what it must not: seven kinds of edits, each at random places and
//! in two strengths, a careless one and one by somebody who knows the format and mends the chain
//! behind his edit. All are found at or before the last checkpoint that lies outside; an untouched
//! trail never is. Rounds: `PROOF`, 50 without it.

use super::super::block::tests::stranger;
use super::super::block::{Bad, Link, Packer, Unpacked, verify_each};
use super::super::checkpoint::Words;
use super::super::checkpoint::tests::signing;
use super::super::cover::Cover;
use super::super::frame::{self, Birth, Closing};
use super::super::view::View;
use super::super::walk::{Vouchers, Walk};
use super::*;
use crate::store::{Checkpoint, RecordBlock};

const NODE: &str = "node-a";
const RECORDS: u64 = 2_100;
/// Small blocks, so that there are many borders.
const A_BLOCK: u64 = 170;

/// A trail as it stands in a database, with what lies outside.
#[derive(Clone)]
struct Trail {
    blocks: Vec<RecordBlock>,
    signed: Vec<Checkpoint>,
    outside: Vec<Checkpoint>,
}

fn frames(number: u64) -> Vec<u8> {
    let request_id = format!("r{number}");
    let birth = Birth {
        id: Uuid::from_u128(u128::from(number) + 1_000),
        started_at_ms: 1_800_000_000_000 + i64::try_from(number).unwrap(),
        started_at_ns: number,
    };
    let closing = Closing {
        complete: true,
        fault: None,
        retries: 0,
        scrub_hits: 0,
        duration_ns: number,
        upstream_ns: 3,
        bytes_in: 4,
        bytes_out: 5,
    };
    let mut bytes = frame::open(&begin("/v2/aggs", &request_id), &birth).bytes().to_vec();
    bytes.extend_from_slice(frame::answered((200, None), None, None, None).bytes());
    bytes.extend_from_slice(frame::closed(&closing).bytes());
    bytes
}

/// Chains and packs frames as the writer does, from a number on.
fn packed(node: &str, all: &[Vec<u8>]) -> (Vec<RecordBlock>, Vec<[u8; 32]>) {
    let (mut packer, mut link) = (Packer::new(node), Link::genesis(node));
    let (mut blocks, mut hashes) = (Vec::new(), Vec::new());
    for page in all.chunks(usize::try_from(A_BLOCK).unwrap()) {
        packer.restart(link);
        for frames in page {
            let time = View::read(frames).map_or(0, |view| view.started_at_ms);
            packer.add(|body| body.extend_from_slice(frames), |_| time);
        }
        hashes.extend_from_slice(packer.hashes());
        link = packer.link();
        blocks.push(packer.finish());
    }
    (blocks, hashes)
}

fn signed(node: &str, hashes: &[[u8; 32]]) -> Vec<Checkpoint> {
    let signing = signing(7);
    let words = Words { signing: &signing, node, inventory_epoch: 3, now_ms: 9 };
    let mut cover = Cover::begin(1, [0; 32]);
    let mut all: Vec<_> = hashes.iter().filter_map(|hash| cover.add(hash, &words)).collect();
    all.extend(cover.close(&words));
    all
}

fn all_frames() -> Vec<Vec<u8>> {
    (1..=RECORDS).map(frames).collect()
}

fn written(node: &str, all: &[Vec<u8>]) -> Trail {
    let (blocks, hashes) = packed(node, all);
    let signed = signed(node, &hashes);
    Trail { blocks, outside: signed.clone(), signed }
}

/// As the ledger does it: the first bad record, if any is.
fn judged(trail: &Trail) -> Option<u64> {
    let keys = vec![signing(7).public_key()];
    let vouchers = Vouchers { signed: trail.signed.clone(), outside: trail.outside.clone(), keys };
    let mut walk = Walk::new(vouchers, 1);
    let mut link = Link::genesis(NODE);
    // The database answers in the order of their numbers.
    let mut blocks: Vec<&RecordBlock> = trail.blocks.iter().collect();
    blocks.sort_by_key(|block| block.first_sequence);
    for block in blocks {
        let mut each = |sequence, hash: &[u8; 32]| walk.step(sequence, hash);
        match verify_each(block, &link, &mut each) {
            Ok(after) => link = after,
            Err(bad) => return Some(bad.sequence),
        }
    }
    walk.end().map(|_| link.next_sequence)
}

/// Small numbers in an order that nobody chose, the same at every run.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888);
        (self.0 >> 33) % most
    }

    pub(super) fn place(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap()
    }
}

/// One record's frames, altered so that they are still a record's.
fn alter(frames: &mut [u8], dice: &mut Dice) {
    // The moment, the times and the bytes of the closing frame: any value is a value.
    let places: Vec<usize> = (32..48).chain(frames.len() - 32..frames.len()).collect();
    let at = places[dice.place(places.len())];
    frames[at] ^= 1 << dice.below(8);
}

type Edit = fn(&mut Trail, &[Vec<u8>], &mut Dice, bool) -> u64;

/// The same edit of the frames, chained and packed anew; what was signed stays.
fn forged(trail: &mut Trail, all: &[Vec<u8>]) {
    trail.blocks = packed(NODE, all).0;
}

fn change(trail: &mut Trail, all: &[Vec<u8>], dice: &mut Dice, careful: bool) -> u64 {
    let place = dice.place(all.len());
    if careful {
        let mut edited = all.to_vec();
        alter(&mut edited[place], dice);
        forged(trail, &edited);
    } else {
        let block = place / usize::try_from(A_BLOCK).unwrap();
        let body = &mut trail.blocks[block].body;
        let at = dice.place(body.len());
        body[at] ^= 1 << dice.below(8);
    }
    place as u64 + 1
}

fn deletion(trail: &mut Trail, all: &[Vec<u8>], dice: &mut Dice, careful: bool) -> u64 {
    let place = dice.place(all.len());
    if careful {
        let mut edited = all.to_vec();
        edited.remove(place);
        forged(trail, &edited);
    } else {
        let block = dice.place(trail.blocks.len());
        trail.blocks.remove(block);
    }
    place as u64 + 1
}

fn insertion(trail: &mut Trail, all: &[Vec<u8>], dice: &mut Dice, careful: bool) -> u64 {
    let place = dice.place(all.len());
    if careful {
        let mut edited = all.to_vec();
        edited.insert(place, frames(RECORDS + 50));
        forged(trail, &edited);
    } else {
        let block = dice.place(trail.blocks.len());
        let mut second = trail.blocks[block].clone();
        second.first_sequence += 1 + dice.below(A_BLOCK - 1);
        trail.blocks.push(second);
    }
    place as u64 + 1
}

fn reordering(trail: &mut Trail, all: &[Vec<u8>], dice: &mut Dice, careful: bool) -> u64 {
    let place = dice.place(all.len() - 1);
    let other = place + 1 + dice.place(all.len() - place - 1);
    if careful {
        let mut edited = all.to_vec();
        edited.swap(place, other);
        forged(trail, &edited);
    } else {
        let size = usize::try_from(A_BLOCK).unwrap();
        let (one, two) = (place / size, other / size);
        let two = if one == two { (one + 1) % trail.blocks.len() } else { two };
        let body = std::mem::take(&mut trail.blocks[one].body);
        trail.blocks[one].body = std::mem::replace(&mut trail.blocks[two].body, body);
    }
    place as u64 + 1
}

fn cut_tail(trail: &mut Trail, all: &[Vec<u8>], dice: &mut Dice, careful: bool) -> u64 {
    let left = dice.place(all.len());
    if careful {
        // With every checkpoint that tells of it.
        forged(trail, &all[..left]);
        trail.signed.retain(|one| one.last <= left as u64);
    } else {
        trail.blocks.truncate(dice.place(trail.blocks.len()));
    }
    left as u64 + 1
}

fn swapped_segment(trail: &mut Trail, all: &[Vec<u8>], dice: &mut Dice, careful: bool) -> u64 {
    let size = usize::try_from(A_BLOCK).unwrap();
    let block = dice.place(trail.blocks.len());
    // Of another node, whose records are as good as these.
    let other = stranger("node-b", trail.blocks[block].first_sequence);
    if careful {
        let mut edited = all.to_vec();
        edited[block * size] = Unpacked::read(&other.body).unwrap().frames_of(0).to_vec();
        forged(trail, &edited);
    } else {
        trail.blocks[block] = RecordBlock { node: NODE.to_owned(), ..other };
    }
    (block * size) as u64 + 1
}

fn older_copy(trail: &mut Trail, all: &[Vec<u8>], dice: &mut Dice, careful: bool) -> u64 {
    let left = dice.place(all.len());
    // Everything in the database is as it once was, to the last signature.
    let older = written(NODE, &all[..left]);
    (trail.blocks, trail.signed) = (older.blocks, older.signed);
    if careful {
        // And went on from there with other records, signed by the node that knows no better.
        let mut edited = all[..left].to_vec();
        edited.extend((0..400).map(|number| frames(RECORDS + 1 + number)));
        let newer = written(NODE, &edited);
        (trail.blocks, trail.signed) = (newer.blocks, newer.signed);
    }
    left as u64 + 1
}

#[expect(clippy::disallowed_methods, reason = "a proof is as long as whoever runs it wants")]
pub(super) fn rounds() -> u64 {
    std::env::var("PROOF").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(50)
}

#[test]
fn seven_kinds_of_edits_are_found_wherever_they_are_made() {
    let all = all_frames();
    let whole = written(NODE, &all);
    assert_eq!(whole.signed.len(), 3);
    assert_eq!(judged(&whole), None);
    let kinds: [(&str, Edit); 7] = [
        ("change", change),
        ("deletion", deletion),
        ("insertion", insertion),
        ("reordering", reordering),
        ("cut tail", cut_tail),
        ("swapped segment", swapped_segment),
        ("restored older copy", older_copy),
    ];
    let mut dice = Dice(20_261_121);
    for (name, edit) in kinds {
        for round in 0..rounds() {
            let mut edited = whole.clone();
            let at = edit(&mut edited, &all, &mut dice, round % 2 == 1);
            let judged = judged(&edited);
            assert!(judged.is_some(), "{name}, round {round}, at record {at}");
            // Never later than the checkpoint that covers it; a careless edit to the record.
            let bound = whole.signed.iter().find(|one| at <= one.last).map_or(at, |one| one.last);
            assert!(round % 2 == 0 || judged <= Some(bound), "{name}: {judged:?} for {at}");
        }
    }
}

#[test]
fn an_untouched_trail_is_never_suspected() {
    let all = all_frames();
    let mut dice = Dice(5);
    for round in 0..rounds().max(100) {
        let length = dice.place(all.len()) + 1;
        let mut whole = written(NODE, &all[..length]);
        // Outside may lie less than was signed, and the same twice; a stranger's line says nothing.
        whole.outside.truncate(dice.place(whole.outside.len() + 1));
        whole.outside.extend(whole.outside.clone());
        let mut strange = whole.signed[0].clone();
        strange.head = [1; 32];
        whole.outside.push(strange);
        assert_eq!(judged(&whole), None, "round {round}, {length} records");
    }
}

#[test]
fn checkpoints_that_were_edited_or_removed_are_found() {
    let all = all_frames();
    let whole = written(NODE, &all);
    for at in 0..2 {
        let mut edited = whole.clone();
        edited.signed.remove(at);
        assert!(judged(&edited).is_some(), "{at} removed");
        let mut edited = whole.clone();
        edited.signed[at].inventory_epoch += 1;
        assert!(judged(&edited).is_some(), "{at} edited");
        // Signed by whoever made a key of his own.
        let mut edited = whole.clone();
        edited.signed[at] = signing(8).sign(edited.signed[at].clone());
        assert!(judged(&edited).is_some(), "{at} signed by another");
    }
}

/// Of a build without optimisation less is asked; the bench asks for all of it.
#[test]
fn a_million_records_are_verified_within_a_minute() {
    let least = if cfg!(debug_assertions) { 150_000.0 } else { 1_000_000.0 };
    let all = all_frames();
    let whole = written(NODE, &all);
    let clock = Clock::system();
    let begun_ns = clock.monotonic_ns();
    let mut records = 0;
    while records < 20_000 {
        assert_eq!(judged(&whole), None);
        records += RECORDS;
    }
    let took_ns = clock.monotonic_ns() - begun_ns;
    let a_minute = records as f64 / took_ns as f64 * 60e9;
    assert!(a_minute >= least, "{a_minute:.0} records a minute");
}

/// A house that pushes to a file, and the file.
async fn pushing(house: &House) -> (Ledger, Vec<Lane>, PathBuf) {
    let path = house.folder.path().join("elsewhere.checkpoints");
    let opening = house.opening(NODE);
    let settings = Settings { checkpoints: Some(path.clone()), ..opening.settings };
    let (ledger, lanes) = Ledger::open(Opening { settings, ..opening }).await.unwrap();
    (ledger, lanes, path)
}

fn lines(path: &std::path::Path) -> Vec<Checkpoint> {
    read_lines(path).unwrap().remove(NODE).unwrap_or_default()
}

#[tokio::test]
async fn every_thousand_records_are_signed_and_pushed_and_the_rest_when_the_house_stops() {
    let house = House { budget_bytes: 32 << 20, ..House::new().await };
    let (ledger, lanes, path) = pushing(&house).await;
    let writer = tokio::spawn(ledger.writer());
    for number in 0..2_500 {
        call(&lanes[0], &format!("r{number}"));
    }
    assert!(ledger.flush().await);
    let verified = ledger.verify().await.unwrap();
    assert_eq!((verified.records, verified.first_bad), (2_500, None));
    assert_eq!(verified.nodes[0].signed_through, 2_000);
    // Ten seconds later the rest is signed too.
    house.clock.advance(Duration::from_secs(10));
    assert!(ledger.flush().await);
    assert_eq!(ledger.verify().await.unwrap().nodes[0].signed_through, 2_500);
    call(&lanes[0], "last");
    ledger.stop();
    writer.await.unwrap();
    let spans: Vec<_> = lines(&path).iter().map(|one| (one.first, one.last)).collect();
    assert_eq!(spans, [(1, 1_000), (1_001, 2_000), (2_001, 2_500), (2_501, 2_501)]);
    let covered = ledger.verify().await.unwrap().nodes.remove(0);
    assert_eq!((covered.pushed_through, covered.not_covered()), (2_501, 0));
    drop((ledger, lanes));

    // A database of yesterday, with all that was signed then; nothing in the data folder tells.
    house.store.tamper("DELETE FROM record_blocks WHERE first_sequence > 1").await;
    house.store.tamper("DELETE FROM record_checkpoints WHERE last_sequence > 1000").await;
    std::fs::remove_dir_all(house.folder.path().join("journal")).unwrap();
    let (ledger, _lanes, _) = pushing(&house).await;
    let bad = ledger.verify().await.unwrap().first_bad;
    assert!(bad.is_some_and(|bad| bad.reason.contains("brought back")));
}

#[tokio::test]
async fn a_place_that_was_away_gets_everything_later_and_an_interrupted_house_signs_on() {
    let house = House { budget_bytes: 32 << 20, ..House::new().await };
    let (ledger, lanes, path) = pushing(&house).await;
    // A folder of that name cannot be written as a file.
    std::fs::create_dir(&path).unwrap();
    let writer = tokio::spawn(ledger.writer());
    for number in 0..1_200 {
        call(&lanes[0], &format!("r{number}"));
    }
    assert!(ledger.flush().await);
    push::once(&ledger.0, true).await;
    assert!(ledger.flush().await);
    let page = ledger.query(&Filter::default(), 1, None).await.unwrap();
    let told = page.items[0].detail.clone().unwrap_or_default();
    assert_eq!(told["alert"], "ledger_degraded", "{told}");
    writer.abort();
    let _killed = writer.await;
    drop((ledger, lanes));
    std::fs::remove_dir(&path).unwrap();
    let (ledger, lanes, _) = pushing(&house).await;
    let writer = tokio::spawn(ledger.writer());
    call(&lanes[0], "later");
    ledger.stop();
    writer.await.unwrap();
    let spans: Vec<_> = lines(&path).iter().map(|one| (one.first, one.last)).collect();
    assert_eq!(spans, [(1, 1_000), (1_001, 1_202)]);
    assert_eq!(ledger.verify().await.unwrap().first_bad, None);
    house.store.tamper("DELETE FROM record_checkpoints WHERE last_sequence > 1000").await;
    let bad: Option<Bad> = ledger.verify().await.unwrap().first_bad;
    assert!(bad.is_some());
}
