//! Exports, and what somebody with nothing but the public key finds in them. Every edit of a line
//! is one of the seven kinds. Rounds: `PROOF`, 50 without it.

use serde_json::Value;

use super::proof::{Dice, rounds};
use super::*;
use crate::store::Checkpoint;

pub(super) fn shown(record: StoredRecord) -> Value {
    json!({
        "node": record.node,
        "sequence": record.sequence,
        "id": record.id.to_string(),
        "status": record.status,
        "request_id": record.request_id,
    })
}

pub(super) async fn exported(ledger: &Ledger, resume: Option<(String, u64)>) -> Vec<String> {
    let mut export = ledger.export(Filter::default(), resume).await.unwrap();
    let mut lines = Vec::new();
    loop {
        let page = export.next().await.unwrap();
        if page.is_empty() {
            return lines;
        }
        lines.extend(page.into_iter().filter_map(|line| line.into_line(shown, true)));
    }
}

pub(super) fn judged(lines: &[String], key: [u8; 32], outside: &[Checkpoint]) -> Option<u64> {
    let mut offline = Offline::new(vec![key], outside.to_vec(), shown);
    lines.iter().for_each(|line| offline.take_voucher(line));
    let _whole = lines.iter().all(|line| offline.take(line));
    offline.finish().first_bad.map(|bad| bad.sequence)
}

#[tokio::test]
async fn an_export_is_verified_offline_and_every_edit_of_it_is_found() {
    let house = House { budget_bytes: 32 << 20, ..House::new().await };
    let (ledger, lanes) = house.open().await.unwrap();
    let writer = tokio::spawn(ledger.writer());
    for number in 0..1_200 {
        call(&lanes[0], &format!("r{number}"));
    }
    let older = exported(&ledger, None).await;
    for number in 0..300 {
        call(&lanes[0], &format!("later{number}"));
    }
    let whole = exported(&ledger, None).await;
    let key = ledger.0.proof.signing.public_key();
    let outside = house.store.checkpoints_after("node-a", 0, 100).await.unwrap();
    assert_eq!(judged(&whole, key, &outside), None);
    assert_eq!(judged(&older, key, &[]), None, "it was whole in its time");
    assert_eq!(judged(&older, key, &outside), Some(1_201), "but is an older copy");
    assert!(judged(&whole, [7; 32], &[]).is_some(), "another key");

    // One that broke off anywhere goes on as if it had not.
    for had in [1, 999, 1_000, 1_001, 1_499] {
        let is_last = |line: &String| line.contains(&format!("\"sequence\":{had},"));
        let place = whole.iter().position(is_last).unwrap();
        let rest = exported(&ledger, Some((String::from("node-a"), had))).await;
        let mut joined = whole[..=place].to_vec();
        joined.extend(rest);
        assert_eq!(joined, whole, "behind {had}");
    }

    let mut dice = Dice(11);
    for round in 0..rounds() * 5 {
        let mut edited = whole.clone();
        let at = 1 + dice.place(whole.len() - 1);
        let other = 1 + dice.place(whole.len() - 1);
        match round % 5 {
            0 => {
                let mut line = edited[at].clone().into_bytes();
                let byte = dice.place(line.len());
                line[byte] = if line[byte] == b'7' { b'8' } else { b'7' };
                edited[at] = String::from_utf8(line).unwrap();
            }
            1 => drop(edited.remove(at)),
            2 => edited.insert(at, whole[other].clone()),
            3 => edited.truncate(at),
            _ => edited.swap(at, other),
        }
        if edited == whole {
            continue;
        }
        let is_harmless = has_all_records(&edited, &whole);
        assert!(judged(&edited, key, &[]).is_some() || is_harmless, "round {round}, line {at}");
    }
    ledger.stop();
    writer.await.unwrap();
}

/// Where checkpoints stand says nothing, nor whether all are there: the end vouches, too.
fn has_all_records(edited: &[String], whole: &[String]) -> bool {
    let records = |lines: &[String]| -> Vec<String> {
        lines.iter().filter(|line| !line.starts_with("{\"checkpoint\"")).cloned().collect()
    };
    records(edited) == records(whole)
}
