//! The ledger as a whole, on a real SQLite store: what a killed process leaves, what a failing
//! database does, what a full journal does, and what verification finds. Must never look at a
//! record but through the ledger's own doors.

mod archive;
mod export;
mod proof;
mod scale;
mod strict;
mod usage;

use std::collections::HashSet;
use std::time::Duration;

use serde_json::json;
use uuid::Uuid;

use super::block::Bad;
use super::record::{Actor, End};
use super::sink::Fault;
use super::tally::Tally;
use super::*;
use crate::clock::Clock;
use crate::refusal::Fault as Blame;
use crate::store::{self, Along, Store};

const INSTALLATION: Uuid = Uuid::from_u128(7);
const KEY: Uuid = Uuid::from_u128(8);
const SECRET: Uuid = Uuid::from_u128(9);

/// A data folder and the processes that live on it one after the other.
struct House {
    folder: tempfile::TempDir,
    store: Store,
    clock: Clock,
    budget_bytes: u64,
    workers: usize,
    is_strict: bool,
}

impl House {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::settable(1_800_000_000_000);
        let store = open_store(&folder.path().join("sealgate.db"), &clock).await;
        Self { folder, store, clock, budget_bytes: 8 << 20, workers: 2, is_strict: false }
    }

    async fn open(&self) -> Result<(Ledger, Vec<Lane>), Error> {
        Ledger::open(self.opening("node-a")).await
    }

    fn opening(&self, node: &str) -> Opening {
        Opening {
            settings: Settings {
                folder: self.folder.path().join("journal"),
                retention_days: 90,
                archives: PathBuf::new(),
                is_strict: self.is_strict,
                budget_bytes: self.budget_bytes,
                checkpoints: None,
            },
            store: self.store.clone(),
            clock: self.clock.clone(),
            installation: INSTALLATION,
            node: node.to_owned(),
            workers: self.workers,
            meter: Box::new(|_| {}),
            counting: Counting { window_ms: 3_600_000, time_zone: jiff::tz::TimeZone::UTC },
            post: None,
        }
    }

    /// Opens once more, drains everything, and reads the whole trail, newest first.
    async fn trail_after_restart(&self) -> Vec<StoredRecord> {
        let (trail, bad) = self.judged_after_restart().await;
        assert_eq!(bad, None);
        trail
    }

    /// The same, with what verification says of it.
    async fn judged_after_restart(&self) -> (Vec<StoredRecord>, Option<Bad>) {
        let (ledger, _lanes) = self.open().await.unwrap();
        ledger.stop();
        ledger.writer().await;
        let verified = ledger.verify().await.unwrap();
        let page = ledger.query(&Filter::default(), usize::MAX, None).await.unwrap();
        assert_eq!(page.items.len() as u64, verified.records);
        (page.items, verified.first_bad)
    }
}

async fn open_store(path: &std::path::Path, clock: &Clock) -> Store {
    let settings = store::Settings { target: store::Target::Sqlite(path.to_owned()) };
    Store::open(&settings, clock.clone()).await.unwrap()
}

fn begin<'a>(path: &'a str, request_id: &'a str) -> Begin<'a> {
    Begin {
        kind: Kind::Usage,
        actor: ActorRef { kind: ActorKind::Key, id: Some(KEY), name: "nightly batch" },
        address: Some("192.0.2.7".parse().unwrap()),
        provider: "polygon",
        method: "GET",
        path,
        request_id,
    }
}

fn call(lane: &Lane, request_id: &str) {
    let mut record = lane.seat().unwrap().open(&begin("/v2/aggs", request_id));
    record.answered(200, request_id, None);
    record.complete();
}

/// What `kill -9` does to a record: nobody closes it.
fn kill(record: Record) {
    std::mem::forget(record);
}

async fn drain(ledger: &Ledger) {
    ledger.stop();
    ledger.writer().await;
}

#[tokio::test]
async fn a_record_says_everything_that_the_call_said_of_itself() {
    let house = House::new().await;
    let (ledger, lanes) = house.open().await.unwrap();
    let mut record = lanes[0].seat().unwrap().open(&begin("/v2/aggs/AAPL", "caller-1"));
    let id = record.id();
    record.secret(SECRET, 3);
    record.upstream_began();
    record.forwarded("caller-1");
    house.clock.advance(Duration::from_millis(40));
    record.secret(SECRET, 2);
    record.forwarded("sent-2");
    record.upstream_ended();
    record.answered(200, "polygons-own", None);
    record.bytes_in_counter().add(11);
    record.bytes_out(20);
    record.bytes_out(2);
    record.fault(Blame::Provider);
    house.clock.advance(Duration::from_millis(2));
    record.complete();
    drop(record);
    drain(&ledger).await;
    let page = ledger.query(&Filter::default(), 10, None).await.unwrap();
    let expected = StoredRecord {
        node: "node-a".to_owned(),
        sequence: 1,
        id,
        kind: Kind::Usage,
        started_at_ms: 1_800_000_000_000,
        started_at_ns: 1,
        actor: Actor { kind: ActorKind::Key, id: Some(KEY), name: "nightly batch".to_owned() },
        address: Some("192.0.2.7".parse().unwrap()),
        provider: "polygon".to_owned(),
        method: "GET".to_owned(),
        path: "/v2/aggs/AAPL".to_owned(),
        request_id: "polygons-own".to_owned(),
        request_id_sent: Some("sent-2".to_owned()),
        secret_id: Some(SECRET),
        version: Some(2),
        status: Some(200),
        error_code: None,
        fault: Some(Blame::Provider),
        end: End::Complete,
        duration_ns: 42_000_000,
        upstream_ns: 40_000_000,
        bytes_in: 11,
        bytes_out: 22,
        retries: 1,
        meter: None,
        scrub_hits: 0,
        detail: None,
    };
    assert_eq!(page.items, [expected]);
}

#[tokio::test]
async fn a_kill_at_any_step_leaves_what_was_said_until_then() {
    let house = House::new().await;
    let (ledger, lanes) = house.open().await.unwrap();
    drop(lanes[0].seat());
    let open = |request_id| lanes[0].seat().unwrap().open(&begin("/x", request_id));
    kill(open("opened"));
    let mut record = open("forwarded");
    record.secret(SECRET, 1);
    record.forwarded("sent");
    kill(record);
    let mut record = open("answered");
    record.forwarded("answered");
    record.answered(404, "own", None);
    kill(record);
    drop(open("cut"));
    let mut record = open("refused");
    record.answered(429, "refused", Some(Reason::RateLimited));
    record.complete();
    drop(record);
    drop((ledger, lanes));

    let trail = house.trail_after_restart().await;
    let find = |request_id: &str| trail.iter().find(|r| r.request_id == request_id).unwrap();
    assert_eq!(trail.len(), 5);
    let opened = find("opened");
    assert_eq!((opened.end, opened.status, opened.version), (End::Unknown, None, None));
    let forwarded = find("forwarded");
    assert_eq!(forwarded.request_id_sent.as_deref(), Some("sent"));
    assert_eq!((forwarded.end, forwarded.version), (End::Unknown, Some(1)));
    let answered = find("own");
    assert_eq!((answered.end, answered.status), (End::Unknown, Some(404)));
    assert_eq!(answered.request_id_sent.as_deref(), Some("answered"));
    assert_eq!((find("cut").end, find("cut").status), (End::Cut, None));
    let refused = find("refused");
    assert_eq!((refused.end, refused.status), (End::Complete, Some(429)));
    assert_eq!(refused.error_code.as_deref(), Some("rate_limited"));
    assert_eq!(refused.fault, Some(Blame::Client));
    assert_eq!(house.trail_after_restart().await, trail);
}

#[tokio::test]
async fn a_crash_between_commit_and_marking_stores_nothing_twice() {
    for committed in [false, true] {
        let house = House::new().await;
        let (ledger, lanes) = house.open().await.unwrap();
        for number in 0..50 {
            call(&lanes[number % 2], &format!("r{number}"));
        }
        ledger.0.sink.faults.lock().unwrap().push_back(Fault::Silence { committed });
        let writer = tokio::spawn(ledger.writer());
        let asleep = tokio::time::timeout(Duration::from_millis(300), ledger.flush()).await;
        assert!(asleep.is_err());
        writer.abort();
        let _ = writer.await;
        assert!(ledger.degraded().unwrap().contains("writer ended"));
        assert!(!ledger.flush().await);
        let last = house.store.last_record_block("node-a", u64::MAX).await.unwrap();
        assert_eq!(last.is_some(), committed);
        call(&lanes[0], "later");
        drop((ledger, lanes));
        let trail = house.trail_after_restart().await;
        let ids: HashSet<_> = trail.iter().map(|record| record.id).collect();
        assert_eq!((trail.len(), ids.len()), (51, 51), "committed: {committed}");
    }
}

#[tokio::test]
async fn a_database_that_fails_makes_records_wait_and_loses_none() {
    for fault in [Fault::BeforeCommit, Fault::AfterCommit] {
        let house = House::new().await;
        let (ledger, lanes) = house.open().await.unwrap();
        let faults = [fault, Fault::BeforeCommit, fault, fault];
        ledger.0.sink.faults.lock().unwrap().extend([Fault::BeforeCommit; 100]);
        let writer = tokio::spawn(ledger.writer());
        call(&lanes[0], "a");
        assert!(!ledger.flush().await);
        assert!(ledger.degraded().unwrap().contains("as the test wants it"));
        *ledger.0.sink.faults.lock().unwrap() = faults.into();
        call(&lanes[1], "b");
        ledger.flush().await;
        call(&lanes[0], "c");
        while !ledger.flush().await {}
        assert_eq!((ledger.degraded(), ledger.fill().0), (None, 0));
        ledger.stop();
        writer.await.unwrap();
        drop((ledger, lanes));
        assert_eq!(house.trail_after_restart().await.len(), 3, "{fault:?}");
    }
}

#[tokio::test]
async fn without_a_free_slot_there_is_no_seat_until_records_are_stored() {
    let mut house = House::new().await;
    house.budget_bytes = 2 << 20;
    let (ledger, lanes) = house.open().await.unwrap();
    let mut seats = Vec::new();
    while let Some(seat) = lanes[0].seat() {
        seats.push(seat);
    }
    let slots = seats.len();
    assert!(slots >= 64);
    assert!(lanes[0].seat().is_none());
    assert!(lanes[1].seat().is_some());
    let long_lived = seats.pop().unwrap().open(&begin("/socket", "long"));
    drop(seats);
    let mut seats = Vec::new();
    while let Some(seat) = lanes[0].seat() {
        seats.push(seat);
    }
    assert_eq!(seats.len(), slots - 1, "unopened seats come back at once");
    for seat in seats {
        drop(seat.open(&begin("/x", "r")));
    }
    assert!(lanes[0].seat().is_none());
    drain(&ledger).await;
    assert_eq!(ledger.fill().0, 1, "the long-lived record alone holds its slot");
    for _ in 0..slots - 1 {
        call(&lanes[0], "again");
    }
    kill(long_lived);
    drop((ledger, lanes));
    assert_eq!(house.trail_after_restart().await.len(), 2 * slots - 1);
}

#[tokio::test]
async fn the_journal_grows_to_its_budget_and_not_beyond() {
    let mut house = House::new().await;
    house.budget_bytes = 4 << 20;
    let (ledger, lanes) = house.open().await.unwrap();
    // The database takes nothing for as long as this goes on.
    ledger.0.sink.faults.lock().unwrap().extend([Fault::BeforeCommit; 1_000]);
    let writer = tokio::spawn(ledger.writer());
    let (mut calls, mut empty) = (0, 0);
    while empty < 40 {
        match lanes[0].seat() {
            Some(seat) => {
                drop(seat.open(&begin("/x", "r")));
                calls += 1;
            }
            None => {
                empty += 1;
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
    let files = std::fs::read_dir(house.folder.path().join("journal")).unwrap();
    let bytes: u64 = files.map(|file| file.unwrap().metadata().unwrap().len()).sum();
    assert!(calls > 2_000, "{calls} calls");
    assert!(bytes < (4 << 20) + 64 * 4096, "{bytes} bytes");
    ledger.0.sink.faults.lock().unwrap().clear();
    while !ledger.flush().await {}
    assert!(lanes[0].seat().is_some());
    ledger.stop();
    writer.await.unwrap();
    drop((ledger, lanes));
    assert_eq!(house.trail_after_restart().await.len(), calls);
}

#[tokio::test]
async fn a_rush_at_the_admin_face_finds_room_that_is_made_meanwhile() {
    let house = House::new().await;
    let (ledger, lanes) = house.open().await.unwrap();
    // Nothing is given back for as long as this goes on.
    ledger.0.sink.faults.lock().unwrap().extend([Fault::BeforeCommit; 1_000]);
    let writer = tokio::spawn(ledger.writer());
    for _ in 0..300 {
        for _ in 0..2 {
            ledger.append(&looked("/api/v1/admin/secrets")).unwrap();
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    ledger.0.sink.faults.lock().unwrap().clear();
    ledger.stop();
    writer.await.unwrap();
    drop((ledger, lanes));
    let trail = house.trail_after_restart().await;
    assert_eq!(trail.iter().filter(|record| record.path == "/api/v1/admin/secrets").count(), 600);
}

fn looked(endpoint: &str) -> Entry<'_> {
    Entry {
        kind: Kind::Access,
        actor: ActorRef { kind: ActorKind::Local, id: None, name: "local" },
        address: None,
        method: "GET",
        endpoint,
        status: 200,
        reason: None,
        request_id: "look",
        detail: None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lanes_and_writer_at_once_lose_nothing_and_repeat_nothing() {
    const CALLS: usize = 5_000;
    let mut house = House::new().await;
    house.workers = 4;
    house.budget_bytes = 16 << 20;
    house.clock = Clock::system();
    let (ledger, lanes) = house.open().await.unwrap();
    let writer = tokio::spawn(ledger.writer());
    let threads: Vec<_> = lanes
        .into_iter()
        .enumerate()
        .map(|(number, lane)| {
            std::thread::spawn(move || {
                let mut held = Vec::new();
                for round in 0..CALLS {
                    let seat = loop {
                        match lane.seat() {
                            Some(seat) => break seat,
                            None => std::thread::yield_now(),
                        }
                    };
                    let request_id = format!("{number}-{round}");
                    let mut record = seat.open(&begin("/v2/aggs", &request_id));
                    record.answered(200, &request_id, None);
                    held.push(record);
                    if held.len() > round % 50 {
                        drop(held.swap_remove(round % held.len()));
                    }
                }
                // Some are dropped elsewhere: a body may end on another thread.
                held
            })
        })
        .collect();
    let mut held = Vec::new();
    for thread in threads {
        held.extend(tokio::task::spawn_blocking(|| thread.join().unwrap()).await.unwrap());
    }
    drop(held);
    ledger.stop();
    writer.await.unwrap();
    assert_eq!(ledger.fill().0, 0);
    let verified = ledger.verify().await.unwrap();
    assert_eq!((verified.records, verified.first_bad), (4 * CALLS as u64, None));
    let page = ledger.query(&Filter::default(), usize::MAX, None).await.unwrap();
    let ids: HashSet<_> = page.items.iter().map(|record| record.id).collect();
    let requests: HashSet<_> = page.items.iter().map(|record| &record.request_id).collect();
    assert_eq!((ids.len(), requests.len()), (4 * CALLS, 4 * CALLS));
}

#[tokio::test]
async fn edits_gaps_and_strangers_in_the_database_are_found() {
    let house = House::new().await;
    let (ledger, lanes) = house.open().await.unwrap();
    let writer = tokio::spawn(ledger.writer());
    for block in 0..4 {
        for number in 0..5 {
            call(&lanes[0], &format!("r{block}-{number}"));
        }
        assert!(ledger.flush().await);
    }
    let blocks = house.store.record_blocks_from("node-a", 1, 10).await.unwrap();
    assert_eq!(blocks.len(), 4);
    let verify = async |blocks: &[store::RecordBlock]| {
        let folder = tempfile::tempdir().unwrap();
        let other = open_store(&folder.path().join("edited.db"), &house.clock).await;
        for block in blocks {
            other.append_record_block(block, &Along::default()).await.unwrap();
        }
        let opening = Opening { store: other, ..house.opening("node-a") };
        let settings = Settings { folder: folder.path().join("journal"), ..opening.settings };
        let (copy, _) = Ledger::open(Opening { settings, ..opening }).await.unwrap();
        // As this node left it, whatever the database says now.
        *lock(&copy.0.head) = *lock(&ledger.0.head);
        copy.verify().await.unwrap().first_bad.map(|bad| bad.sequence)
    };
    assert_eq!(verify(&blocks).await, None);
    for (at, expected) in [(0, 1), (1, 6), (3, 16)] {
        let mut gap = blocks.clone();
        gap.remove(at);
        assert_eq!(verify(&gap).await, Some(expected), "gap at {at}");
    }
    // One byte of the third record of the second block: its status.
    let mut edited = blocks.clone();
    let record = edited[1].body.len() / 5 * 2 + 150;
    edited[1].body[record] ^= 1;
    assert_eq!(verify(&edited).await, Some(8));
    let mut swapped = blocks.clone();
    swapped[1].body.clone_from(&blocks[2].body);
    swapped[2].body.clone_from(&blocks[1].body);
    assert_eq!(verify(&swapped).await, Some(6));
    let mut forged = blocks.clone();
    forged[2].head_hash = [1; 32];
    assert_eq!(verify(&forged).await, Some(11));
    let mut shifted = blocks.clone();
    shifted[3].last_time += 1;
    assert_eq!(verify(&shifted).await, Some(16));
    ledger.stop();
    writer.await.unwrap();
}

#[tokio::test]
async fn a_tail_that_was_cut_while_nobody_ran_is_found_at_the_next_start() {
    let mut house = House::new().await;
    let (ledger, lanes) = house.open().await.unwrap();
    let writer = tokio::spawn(ledger.writer());
    call(&lanes[0], "kept");
    assert!(ledger.flush().await);
    let older = house.store.record_blocks_from("node-a", 1, 10).await.unwrap();
    call(&lanes[0], "cut off");
    ledger.stop();
    writer.await.unwrap();
    drop((ledger, lanes));
    house.store = open_store(&house.folder.path().join("restored.db"), &house.clock).await;
    for block in &older {
        house.store.append_record_block(block, &Along::default()).await.unwrap();
    }
    let (trail, bad) = house.judged_after_restart().await;
    assert_eq!(bad.map(|bad| bad.sequence), Some(2));
    assert_eq!((trail[0].kind, trail[0].sequence), (Kind::Security, 2));
    let expected = json!({
        "finding": "trail_cut",
        "expected_next_sequence": 3,
        "found_next_sequence": 2,
    });
    assert_eq!(trail[0].detail, Some(expected));
    let (trail, bad) = house.judged_after_restart().await;
    assert_eq!(trail.len(), 2, "it is said once");
    assert_eq!(bad.map(|bad| bad.sequence), Some(2), "and verified as cut for ever");
}

#[tokio::test]
async fn a_torn_slot_becomes_one_security_record() {
    let house = House::new().await;
    let (ledger, lanes) = house.open().await.unwrap();
    call(&lanes[1], "fine");
    kill(lanes[1].seat().unwrap().open(&begin("/x", "torn")));
    drop((ledger, lanes));
    for file in std::fs::read_dir(house.folder.path().join("journal")).unwrap() {
        let path = file.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        if let Some(at) = bytes.windows(4).position(|window| window == b"torn") {
            bytes[at] = b'T';
            std::fs::write(&path, bytes).unwrap();
        }
    }
    let trail = house.trail_after_restart().await;
    let torn: Vec<_> = trail.iter().filter(|record| record.kind == Kind::Security).collect();
    let detail = torn[0].detail.as_ref().unwrap();
    assert_eq!((trail.len(), torn.len()), (2, 1));
    assert_eq!((&detail["finding"], &detail["lane"]), (&json!("torn_slot"), &json!(1)));
    assert!(detail["slot"].is_u64());
}

#[tokio::test]
async fn the_journal_of_somebody_else_is_refused_with_one_line() {
    let house = House::new().await;
    drop(house.open().await.unwrap());
    let other = Opening { installation: Uuid::from_u128(70), ..house.opening("node-a") };
    for opening in [other, house.opening("node-b")] {
        let refused = Ledger::open(opening).await.map(|_| ()).unwrap_err().to_string();
        assert!(refused.contains("another installation or node"), "{refused}");
        assert!(!refused.contains('\n'));
    }
    std::fs::write(house.folder.path().join("journal/0-0.journal"), b"not a journal").unwrap();
    let refused = house.open().await.map(|_| ()).unwrap_err().to_string();
    assert!(refused.contains("is not a journal of this program"), "{refused}");
    let settings = Settings { budget_bytes: 1 << 10, ..house.opening("node-a").settings };
    let opening = Opening { settings, ..house.opening("node-a") };
    let refused = Ledger::open(opening).await.map(|_| ()).unwrap_err().to_string();
    assert!(refused.contains("budget of 1024 bytes is too small"), "{refused}");
}

#[tokio::test]
async fn texts_that_do_not_fit_are_cut_with_a_mark() {
    let house = House::new().await;
    let (ledger, lanes) = house.open().await.unwrap();
    let long = "ü".repeat(2_000);
    let path = format!("/{long}");
    let mut record = lanes[0].seat().unwrap().open(&Begin {
        actor: ActorRef { name: &long, ..ActorRef::house("x") },
        address: Some("2001:db8::1".parse().unwrap()),
        provider: &long,
        method: &long,
        ..begin(&path, &long)
    });
    record.secret(SECRET, 1);
    record.forwarded(&long);
    record.forwarded("again");
    record.forwarded(&long);
    record.answered(415, &long, Some(Reason::UnsupportedMediaType));
    record.answered(502, &long, Some(Reason::UpstreamInvalid));
    drop(record);
    drain(&ledger).await;
    let page = ledger.query(&Filter::default(), 10, None).await.unwrap();
    let record = &page.items[0];
    assert!(record.path.starts_with("/üü") && record.path.ends_with("ü…"), "{}", record.path);
    for text in [&record.path, &record.provider, &record.method, &record.actor.name] {
        assert!(text.ends_with("ü…") && text.len() < 600, "{text}");
    }
    assert_eq!((record.status, record.retries, record.end), (Some(502), 2, End::Cut));
    assert_eq!(record.error_code.as_deref(), Some("upstream_invalid"));
}

#[tokio::test]
async fn a_change_is_in_the_journal_before_it_is_made() {
    let house = House::new().await;
    let (ledger, lanes) = house.open().await.unwrap();
    let begin = Begin {
        kind: Kind::Change,
        actor: ActorRef { kind: ActorKind::Local, id: None, name: "local" },
        address: None,
        provider: "",
        method: "PUT",
        path: "/api/v1/admin/api-keys/1",
        request_id: "change-1",
    };
    let change = ledger.begin_change(&begin, Some(&json!({"after": {"tier": "premium"}}))).unwrap();
    let detail = json!({"before": {"tier": "standard"}, "after": {"tier": "premium"}});
    change.done(200, Some(&detail));
    ledger.begin_change(&begin, None).unwrap().refused(Reason::Conflict);
    let unfinished = ledger.begin_change(&begin, Some(&json!({"after": 1}))).unwrap();
    std::mem::forget(unfinished);
    let huge = json!({"after": "x".repeat(5_000)});
    ledger
        .append(&Entry {
            kind: Kind::Access,
            actor: begin.actor,
            address: begin.address,
            method: "GET",
            endpoint: "/api/v1/admin/secrets",
            status: 200,
            reason: None,
            request_id: "look",
            detail: Some(huge),
        })
        .unwrap();
    drop((ledger, lanes));
    let mut trail = house.trail_after_restart().await;
    trail.sort_by_key(|record| record.id);
    let summary: Vec<_> = trail.iter().map(|r| (r.kind, r.status, r.end)).collect();
    assert_eq!(
        summary,
        [
            (Kind::Change, Some(200), End::Complete),
            (Kind::Change, Some(409), End::Complete),
            (Kind::Change, None, End::Unknown),
            (Kind::Access, Some(200), End::Complete),
        ]
    );
    assert_eq!(trail[0].detail, Some(detail));
    assert_eq!(trail[2].detail, Some(json!({"after": 1})));
    let cut = trail[3].detail.as_ref().unwrap();
    assert_eq!((&cut["cut"], &cut["bytes"]), (&json!(true), &json!(5_012)));
}

#[tokio::test]
async fn a_refusal_that_finds_no_room_is_counted_and_stands_in_the_trail_once_there_is_some() {
    let mut house = House::new().await;
    house.budget_bytes = 2 << 20;
    let (ledger, lanes) = house.open().await.unwrap();
    let refused = Begin { kind: Kind::Access, ..begin("/x", "no-1") };
    lanes[0].refused(Reason::Unauthorized, &refused);
    ledger.refused(Reason::Unauthorized, &refused);
    let mut seats = Vec::new();
    while let Some(seat) = lanes[0].seat() {
        seats.push(seat);
    }
    lanes[0].refused(Reason::Unauthorized, &refused);
    drop(seats);
    drain(&ledger).await;
    let page = ledger.query(&Filter::default(), 10, None).await.unwrap();
    assert_eq!(page.items.len(), 3);
    assert!(page.items.iter().all(|record| record.status == Some(401)));
    assert_eq!(page.items[0].detail.as_ref().unwrap()["refusals"], 1);
    assert_eq!(ledger.refusals_summed(), 1);
}

#[tokio::test]
async fn a_call_that_is_dropped_is_its_callers_fault_unless_we_break_off() {
    let house = House::new().await;
    let (ledger, lanes) = house.open().await.unwrap();
    let open = |lane: usize| lanes[lane].seat().unwrap().open(&begin("/x", "dropped"));
    let mut answered = open(0);
    answered.answered(200, "dropped", None);
    drop(answered);
    drop(open(0));
    let mut providers = open(0);
    providers.fault(Blame::Provider);
    drop(providers);
    let change = Begin { kind: Kind::Change, ..begin("/x", "no call") };
    drop(lanes[0].seat().unwrap().open(&change));
    let ours = open(1);
    lanes[1].leave();
    drop(ours);
    drain(&ledger).await;
    let trail = ledger.query(&Filter::default(), 10, None).await.unwrap().items;
    let mut faults: Vec<_> = trail.iter().map(|record| (record.kind, record.fault)).collect();
    assert!(trail.iter().all(|record| record.end == End::Cut));
    faults.sort_by_key(|fault| format!("{fault:?}"));
    assert_eq!(
        faults,
        [
            (Kind::Change, None),
            (Kind::Usage, Some(Blame::Client)),
            (Kind::Usage, Some(Blame::Client)),
            (Kind::Usage, Some(Blame::Provider)),
            (Kind::Usage, Some(Blame::Us)),
        ]
    );
}

/// How many refusals the trail stands for, and in how many records.
async fn refusals(ledger: &Ledger) -> (u64, usize) {
    let page = ledger.query(&Filter::default(), usize::MAX, None).await.unwrap();
    let count = |record: &StoredRecord| match &record.detail {
        Some(detail) => detail["refusals"].as_u64().unwrap(),
        None => 1,
    };
    (page.items.iter().map(count).sum(), page.items.len())
}

#[tokio::test]
async fn a_flood_of_refusals_is_a_few_records_and_none_of_them_is_lost() {
    let house = House::new().await;
    let (ledger, lanes) = house.open().await.unwrap();
    let writer = tokio::spawn(ledger.writer());
    let refused = Begin { kind: Kind::Access, ..begin("/x", "no-1") };
    for _ in 0..5_000 {
        lanes[0].refused(Reason::BadRequest, &refused);
    }
    house.clock.advance(Duration::from_secs(30));
    lanes[0].refused(Reason::BadRequest, &refused);
    assert_eq!(ledger.refusals_summed(), 4_991);
    // Nobody is refused any more: the minute ends all the same.
    house.clock.advance(Duration::from_secs(30));
    assert!(ledger.flush().await);
    assert_eq!(refusals(&ledger).await, (5_001, 11));
    let page = ledger.query(&Filter::default(), 1, None).await.unwrap();
    let sum = &page.items[0];
    let detail = json!({
        "refusals": 4_991,
        "from": "2027-01-15T08:00:00Z",
        "to": "2027-01-15T08:00:30Z",
    });
    assert_eq!(sum.detail, Some(detail));
    assert_eq!((sum.kind, sum.status, sum.end), (Kind::Access, Some(400), End::Complete));
    assert_eq!((sum.fault, sum.error_code.as_deref()), (Some(Blame::Client), Some("bad_request")));
    assert_eq!(sum.address, refused.address);
    assert_eq!((sum.actor.id, sum.path.as_str()), (Some(KEY), ""));
    // A new minute begins with records of their own again.
    lanes[0].refused(Reason::BadRequest, &refused);
    ledger.stop();
    writer.await.unwrap();
    assert_eq!(refusals(&ledger).await, (5_002, 12));
}

#[tokio::test]
async fn a_flood_from_everywhere_is_bounded_too() {
    let house = House::new().await;
    let (ledger, lanes) = house.open().await.unwrap();
    for number in 0..10_000_u32 {
        let address = Some(std::net::Ipv4Addr::from(number).into());
        let refused = Begin { kind: Kind::Access, address, ..begin("/x", "no-1") };
        let reason = if number % 2 == 0 { Reason::BadRequest } else { Reason::Unauthorized };
        lanes[(number % 2) as usize].refused(reason, &refused);
    }
    drain(&ledger).await;
    let (count, records) = refusals(&ledger).await;
    assert_eq!(count, 10_000);
    assert!(records <= 2 * (60 + 64 + 1), "{records} records");
}

#[tokio::test]
async fn a_killed_process_leaves_its_sums_with_an_unknown_end() {
    let house = House::new().await;
    let (ledger, lanes) = house.open().await.unwrap();
    let refused = Begin { kind: Kind::Access, ..begin("/x", "no-1") };
    for _ in 0..20 {
        lanes[0].refused(Reason::Unauthorized, &refused);
    }
    // What `kill -9` does: nobody ends the window.
    std::mem::forget((ledger, lanes));
    let trail = house.trail_after_restart().await;
    let ends: Vec<End> = trail.iter().map(|record| record.end).collect();
    assert_eq!(ends.iter().filter(|end| **end == End::Complete).count(), 10);
    assert_eq!(ends.iter().filter(|end| **end == End::Unknown).count(), 1);
}

#[tokio::test]
async fn pages_follow_each_other_without_a_gap() {
    let house = House::new().await;
    let (ledger, lanes) = house.open().await.unwrap();
    let writer = tokio::spawn(ledger.writer());
    for block in 0..6 {
        for number in 0..7 {
            call(&lanes[number % 2], &format!("{block}-{number}"));
        }
        ledger.flush().await;
        // Some blocks share their time, others do not.
        house.clock.advance(Duration::from_millis(block % 2));
    }
    for limit in [1, 4, 7, 100] {
        let mut sequences = Vec::new();
        let mut cursor: Option<Cursor> = None;
        loop {
            let filter = Filter::default();
            let page = ledger.query(&filter, limit, cursor.as_ref()).await.unwrap();
            sequences.extend(page.items.iter().map(|record| record.sequence));
            let Some(next) = page.next else { break };
            assert_eq!(page.items.len(), limit);
            cursor = Cursor::parse(&next.to_text());
            assert_eq!(cursor.as_ref(), Some(&next));
        }
        assert_eq!(sequences, (1..=42).rev().collect::<Vec<_>>(), "pages of {limit}");
    }
    let count = async |filter: Filter| ledger.query(&filter, 100, None).await.unwrap().items.len();
    assert_eq!(count(Filter { actor_id: Some(KEY), ..Filter::default() }).await, 42);
    assert_eq!(count(Filter { actor_id: Some(SECRET), ..Filter::default() }).await, 0);
    assert_eq!(count(Filter { kind: Some(Kind::Change), ..Filter::default() }).await, 0);
    let request_id = Some("3-3".to_owned());
    assert_eq!(count(Filter { request_id, ..Filter::default() }).await, 1);
    let from_ms = Some(1_800_000_000_002);
    assert_eq!(count(Filter { from_ms, ..Filter::default() }).await, 14);
    let to_ms = Some(1_800_000_000_002);
    assert_eq!(count(Filter { to_ms, ..Filter::default() }).await, 28);
    ledger.stop();
    writer.await.unwrap();
}

#[tokio::test]
async fn the_meter_sees_every_stored_call_once() {
    let house = House::new().await;
    let (sender, receiver) = std::sync::mpsc::channel();
    let meter: Meter = Box::new(move |tally: &Tally| {
        sender.send((tally.provider.clone(), tally.status, tally.durations_ns.len())).unwrap();
    });
    let opening = Opening { meter, ..house.opening("node-a") };
    let (ledger, lanes) = Ledger::open(opening).await.unwrap();
    ledger.0.sink.faults.lock().unwrap().extend([Fault::AfterCommit, Fault::BeforeCommit]);
    for _ in 0..3 {
        call(&lanes[0], "r");
    }
    let writer = tokio::spawn(ledger.writer());
    ledger.flush().await;
    call(&lanes[0], "r");
    while !ledger.flush().await {}
    ledger.stop();
    writer.await.unwrap();
    drop((ledger, lanes));
    let seen: Vec<_> = receiver.try_iter().collect();
    assert!(
        seen.iter().all(|(provider, status, _)| (provider.as_str(), *status) == ("polygon", 200))
    );
    assert_eq!(seen.iter().map(|(_, _, calls)| calls).sum::<usize>(), 4);
}

#[tokio::test]
async fn ids_are_unique_and_rise_within_a_lane() {
    let house = House::new().await;
    let (_ledger, lanes) = house.open().await.unwrap();
    let ids: Vec<_> = (0..40_000)
        .map(|number| {
            house.clock.advance(Duration::from_millis(u64::from(number % 10_000 == 0)));
            lanes[0].seat().unwrap().id()
        })
        .collect();
    assert!(ids.is_sorted_by(|left, right| left < right));
    assert!(ids.iter().all(|id| id.get_version_num() == 7));
    assert_ne!(
        ids[0].as_u128() & 0xFFFF_FFFF_FFFF,
        lanes[1].seat().unwrap().id().as_u128() & 0xFFFF_FFFF_FFFF
    );
}
