//! Old records in files: what is carried out is verified with what stays, whatever happens on the
//! way; and nobody who writes to the database passes a deletion off as an archive.

use super::super::checkpoint::tests::signing;
use super::export::{exported, judged, shown};
use super::*;
use crate::store::{Checkpoint, RecordArchive};

const A_DAY_MS: u64 = 86_400_000;

fn archiving(house: &House) -> Archiving {
    let folder = house.folder.path().join("archive");
    Archiving { folder, keep_ms: 90 * 86_400_000, shown }
}

/// Runs a while for each of some days, `calls` each.
async fn days(house: &House, ledger: &Ledger, lane: &Lane, (days, calls): (u64, u64)) {
    for day in 0..days {
        for number in 0..calls {
            call(lane, &format!("{day}-{number}"));
        }
        ledger.0.sign_asked.store(true, Ordering::Release);
        assert!(ledger.flush().await);
        house.clock.advance(Duration::from_millis(A_DAY_MS));
    }
}

fn lines_of(house: &House, archive: &RecordArchive) -> Vec<String> {
    let path = archiving(house).folder.join(&archive.file);
    let bytes = std::fs::read(path).unwrap();
    assert_eq!(bytes.len() as u64, archive.bytes);
    let mut digest = crate::crypto::Sha256::new(b"");
    digest.update(&bytes);
    assert_eq!(digest.finish(), archive.digest);
    let text = zstd::stream::decode_all(bytes.as_slice()).unwrap();
    String::from_utf8(text).unwrap().lines().map(str::to_owned).collect()
}

/// Its beginning cut off, and what it begins with set right.
fn without_a_beginning(lines: &[String]) -> Vec<String> {
    let is_record = |line: &&String| line.contains("\"frames\"");
    let cut = lines.iter().filter(is_record).nth(9).unwrap();
    let value: serde_json::Value = serde_json::from_str(cut).unwrap();
    let sequence = value["sequence"].as_u64().unwrap();
    let at = lines.iter().position(|line| line == cut).unwrap();
    let chain = json!({"chain": "node-a", "first": sequence + 1, "before": value["hash"]});
    let mut edited = vec![lines[0].clone(), chain.to_string()];
    edited.extend_from_slice(&lines[at + 1..]);
    edited
}

/// Several files, one after the other.
fn judged_together(
    files: &[&[String]],
    key: [u8; 32],
    outside: &[Checkpoint],
) -> (u64, Option<u64>) {
    let mut offline = Offline::new(vec![key], outside.to_vec(), shown);
    for lines in files {
        offline.begin_file();
        lines.iter().for_each(|line| offline.take_voucher(line));
        let _whole = lines.iter().all(|line| offline.take(line));
    }
    let verified = offline.finish();
    (verified.records, verified.first_bad.map(|bad| bad.sequence))
}

#[tokio::test]
async fn old_records_go_into_files_that_are_verified_with_what_stays() {
    let house = House { budget_bytes: 32 << 20, ..House::new().await };
    let (ledger, lanes) = house.open().await.unwrap();
    let writer = tokio::spawn(ledger.writer());
    days(&house, &ledger, &lanes[0], (3, 700)).await;
    let outside = house.store.checkpoints_after("node-a", 0, 100).await.unwrap();
    assert!(ledger.archive(&archiving(&house)).await.unwrap().is_none(), "nothing is old yet");
    let before = exported(&ledger, None).await;

    house.clock.advance(Duration::from_millis(89 * A_DAY_MS));
    let first = ledger.archive(&archiving(&house)).await.unwrap().unwrap();
    assert_eq!(
        (first.first, first.last),
        (1, 1_400),
        "two days are old, of the third they are not"
    );
    house.clock.advance(Duration::from_millis(2 * A_DAY_MS));
    call(&lanes[0], "new");
    assert!(ledger.flush().await);
    let second = ledger.archive(&archiving(&house)).await.unwrap().unwrap();
    assert_eq!(second.first, 1_401);
    assert!(ledger.archive(&archiving(&house)).await.unwrap().is_none(), "the rest is new");

    let verified = ledger.verify().await.unwrap();
    assert_eq!(verified.first_bad, None);
    assert_eq!(verified.nodes[0].archived, second.last);
    let page = ledger.query(&Filter::default(), 5_000, None).await.unwrap();
    let oldest = page.items.iter().map(|item| item.sequence).min().unwrap();
    assert_eq!(oldest, second.last + 1, "what is carried out is not there twice");

    // The files and the rest are the trail, and the very lines that they would have been.
    let rest = exported(&ledger, None).await;
    let (one, two) = (lines_of(&house, &first), lines_of(&house, &second));
    let key = ledger.0.proof.signing.public_key();
    let all = ledger.verify().await.unwrap().nodes[0].records;
    assert_eq!(judged_together(&[&one, &two, &rest], key, &outside), (all, None));
    let records = |lines: &[String]| -> Vec<String> {
        lines.iter().filter(|line| line.contains("\"frames\"")).cloned().collect()
    };
    let joined = [records(&one), records(&two), records(&rest)].concat();
    assert_eq!(joined[..records(&before).len()], records(&before));
    // Each by itself is what it says that it is.
    assert_eq!(judged_together(&[&one], key, &outside), (1_400, None));
    assert_eq!(judged_together(&[&two], key, &outside), (second.last - 1_400, None));
    assert_eq!(judged_together(&[&rest], key, &outside), (all - second.last, None));
    // A file between is missing, or one is there that is not the next.
    assert_eq!(judged_together(&[&one, &rest], key, &outside).1, Some(1_401));
    assert!(judged_together(&[&two, &one, &rest], key, &outside).1.is_some());
    // What a node signs for whoever asks for nothing ends no file but a whole one.
    let nothing = exported(&ledger, Some((String::from("zzzz"), 1))).await;
    assert_eq!(nothing.len(), 1);
    for lines in [&one, &before] {
        let mut cut = lines[..lines.len() / 2].to_vec();
        cut.extend_from_slice(&nothing);
        assert!(judged(&cut, key, &[]).is_some());
    }
    // Whoever looks at the last blocks alone finds nothing amiss.
    assert_eq!(ledger.examine().await.unwrap(), Vec::<String>::new());
    assert!(
        [&one, &two].iter().all(|lines| judged(&without_a_beginning(lines), key, &[]).is_some())
    );
    // A restart goes on behind what is there.
    ledger.stop();
    writer.await.unwrap();
    drop((ledger, lanes));
    let (_, bad) = house.judged_after_restart().await;
    assert_eq!(bad, None);
}

#[tokio::test]
async fn a_deletion_is_no_archive() {
    let house = House { budget_bytes: 32 << 20, ..House::new().await };
    let (ledger, lanes) = house.open().await.unwrap();
    let writer = tokio::spawn(ledger.writer());
    days(&house, &ledger, &lanes[0], (4, 300)).await;
    house.clock.advance(Duration::from_millis(90 * A_DAY_MS));
    call(&lanes[0], "new");
    assert!(ledger.flush().await);
    let archive = ledger.archive(&archiving(&house)).await.unwrap().unwrap();
    let bad = async || ledger.verify().await.unwrap().first_bad.map(|bad| bad.sequence);
    assert!(ledger.flush().await);
    assert_eq!(bad().await, None);
    let last = archive.last;
    let delete = format!("DELETE FROM record_blocks WHERE first_sequence = {}", last + 1);
    let edits: [&'static str; 10] = [
        "UPDATE record_archives SET last_sequence = last_sequence + 1",
        "UPDATE record_archives SET file = 'another'",
        "UPDATE record_archives SET digest = zeroblob(32)",
        "UPDATE record_archives SET created_at = created_at - 1",
        "UPDATE record_archives SET first_time = 0",
        "UPDATE record_archives SET hash_before = zeroblob(32)",
        "UPDATE record_archives SET head_hash = zeroblob(31)",
        "UPDATE record_archives SET node = 'node-b'",
        "DELETE FROM record_archives",
        delete.leak(),
    ];
    house.store.tamper("CREATE TABLE kept AS SELECT * FROM record_archives").await;
    house.store.tamper("CREATE TABLE kept_blocks AS SELECT * FROM record_blocks").await;
    for edit in edits {
        house.store.tamper(edit).await;
        assert!(bad().await.is_some(), "{edit}");
        house.store.tamper("DELETE FROM record_archives").await;
        house.store.tamper("INSERT INTO record_archives SELECT * FROM kept").await;
        house.store.tamper("DELETE FROM record_blocks").await;
        house.store.tamper("INSERT INTO record_blocks SELECT * FROM kept_blocks").await;
        assert_eq!(bad().await, None, "{edit}");
    }
    // One that cannot be read is named, and ends the walk.
    house.store.tamper("CREATE TABLE signed AS SELECT * FROM record_checkpoints").await;
    house.store.tamper("UPDATE record_checkpoints SET head_hash = zeroblob(31)").await;
    let named = tokio::time::timeout(Duration::from_secs(30), bad()).await;
    assert_eq!(named.expect("it walks for ever"), Some(last + 1));
    house.store.tamper("DELETE FROM record_checkpoints").await;
    house.store.tamper("INSERT INTO record_checkpoints SELECT * FROM signed").await;
    // Somebody else's signature: rows that another key vouches for.
    let mut forged =
        RecordArchive { first: last + 1, last: last + 1, before: archive.head, ..archive.clone() };
    forged.sign(&signing(9));
    house.store.archive_records(&forged).await.unwrap();
    assert_eq!(bad().await, Some(last + 1));
    ledger.stop();
    writer.await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_written_or_is_not_whole_stays_where_it_is() {
    let house = House { budget_bytes: 32 << 20, ..House::new().await };
    let (ledger, lanes) = house.open().await.unwrap();
    let writer = tokio::spawn(ledger.writer());
    days(&house, &ledger, &lanes[0], (3, 200)).await;
    house.clock.advance(Duration::from_millis(91 * A_DAY_MS));
    call(&lanes[0], "new");
    assert!(ledger.flush().await);
    let folder = archiving(&house).folder;
    std::fs::write(&folder, b"a file is no folder").unwrap();
    let fault = ledger.archive(&archiving(&house)).await.unwrap_err().to_string();
    assert!(fault.contains("audit.archive_folder") && fault.contains("/archive "), "{fault}");
    std::fs::remove_file(&folder).unwrap();

    // A record that was changed goes nowhere, so that it can still be told from a whole one.
    house.store.tamper("CREATE TABLE kept AS SELECT * FROM record_blocks").await;
    house.store.tamper("CREATE TABLE signed AS SELECT * FROM record_checkpoints").await;
    house
        .store
        .tamper("UPDATE record_blocks SET body = zeroblob(40) WHERE first_sequence = 1")
        .await;
    let fault = ledger.archive(&archiving(&house)).await.unwrap_err().to_string();
    assert!(fault.contains("not whole"), "{fault}");
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0, "nothing is left of a try");
    house.store.tamper("DELETE FROM record_blocks").await;
    house.store.tamper("INSERT INTO record_blocks SELECT * FROM kept").await;

    // What a killed process left half-way, before its rows went; what was recorded since stays.
    let made = ledger.archive(&archiving(&house)).await.unwrap().unwrap();
    assert!(ledger.flush().await);
    let (named, part) = (folder.join(&made.file), folder.join(format!("{}.part", made.file)));
    house.store.tamper("DELETE FROM record_archives").await;
    house.store.tamper("INSERT OR IGNORE INTO record_blocks SELECT * FROM kept").await;
    house.store.tamper("INSERT OR IGNORE INTO record_checkpoints SELECT * FROM signed").await;
    std::fs::write(&named, b"of another time").unwrap();
    std::fs::write(&part, b"of another time").unwrap();
    let again = ledger.archive(&archiving(&house)).await.unwrap().unwrap();
    assert_eq!((again.file.as_str(), again.head), (made.file.as_str(), made.head));
    assert!(!part.exists());
    assert_eq!(lines_of(&house, &again).len(), lines_of(&house, &made).len());
    assert_eq!(ledger.verify().await.unwrap().first_bad, None);
    ledger.stop();
    writer.await.unwrap();
}

#[tokio::test]
async fn a_clock_that_was_wrong_for_a_while_holds_nothing_back() {
    let house = House { budget_bytes: 32 << 20, ..House::new().await };
    let (ledger, lanes) = house.open().await.unwrap();
    let writer = tokio::spawn(ledger.writer());
    days(&house, &ledger, &lanes[0], (1, 100)).await;
    let ahead_ms = 4_000 * i64::try_from(A_DAY_MS).unwrap();
    house.clock.jump_wall(ahead_ms);
    (0..100).for_each(|number| call(&lanes[0], &format!("ahead{number}")));
    assert!(ledger.flush().await);
    house.clock.jump_wall(-ahead_ms);
    days(&house, &ledger, &lanes[0], (2, 100)).await;
    house.clock.advance(Duration::from_millis(91 * A_DAY_MS));
    call(&lanes[0], "new");
    assert!(ledger.flush().await);
    let made = ledger.archive(&archiving(&house)).await.unwrap().unwrap();
    assert!(made.last > 200, "those of a time to come, and more: {}", made.last);
    assert_eq!(ledger.verify().await.unwrap().first_bad, None);

    // What may be of today, for all that anybody knows, stays.
    house.clock.jump_wall(ahead_ms);
    (0..100).for_each(|number| call(&lanes[0], &format!("again{number}")));
    assert!(ledger.flush().await);
    house.clock.jump_wall(-ahead_ms);
    call(&lanes[0], "newest");
    assert!(ledger.flush().await);
    assert!(ledger.archive(&archiving(&house)).await.unwrap().is_none());
    ledger.stop();
    writer.await.unwrap();
}

#[tokio::test]
async fn what_nobody_vouches_for_is_told_and_an_export_beside_an_archive_breaks_off() {
    let house = House { budget_bytes: 32 << 20, ..House::new().await };
    let (ledger, lanes) = house.open().await.unwrap();
    let writer = tokio::spawn(ledger.writer());
    days(&house, &ledger, &lanes[0], (4, 2_000)).await;
    house.clock.advance(Duration::from_millis(92 * A_DAY_MS));
    call(&lanes[0], "new");
    assert!(ledger.flush().await);
    house.store.tamper("CREATE TABLE signed AS SELECT * FROM record_checkpoints").await;
    house.store.tamper("DELETE FROM record_checkpoints").await;
    let fault = ledger.archive(&archiving(&house)).await.unwrap_err().to_string();
    assert!(fault.contains("no checkpoint") && fault.contains("audit.checkpoint_"), "{fault}");
    house.store.tamper("INSERT INTO record_checkpoints SELECT * FROM signed").await;

    let mut export = ledger.export(Filter::default(), None).await.unwrap();
    assert!(!export.next().await.unwrap().is_empty());
    ledger.archive(&archiving(&house)).await.unwrap().unwrap();
    let fault = loop {
        match export.next().await {
            Ok(lines) => assert!(!lines.is_empty(), "it ended as if nothing had been taken away"),
            Err(fault) => break fault,
        }
    };
    assert_eq!(fault, store::Error::Stale);
    ledger.stop();
    writer.await.unwrap();
}
