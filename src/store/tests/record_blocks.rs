//! The trail's blocks: stored once with what they leave on client keys, read in both directions.
//! A block and its touches stand or fall together, whichever half fails.
//! Must never accept a page that skips a block.

use super::client_keys::{counted, stored, touch};
use super::*;
use crate::client::Role;

fn block(node: &str, first_sequence: u64, last_time: i64) -> RecordBlock {
    RecordBlock {
        node: node.to_owned(),
        first_sequence,
        records: 10,
        first_time: last_time - 5,
        last_time,
        head_hash: [u8::try_from(first_sequence % 251).unwrap(); 32],
        body: vec![0, 0xff, b'\''],
    }
}

fn along(counted: &Counted) -> Along<'_> {
    Along { counted: Some(counted), ..Along::default() }
}

async fn a_block_is_stored_once_with_its_touches(bed: Bed) {
    let key = stored(&bed.store, "busy", Role::User).await;
    let first = block("a", 0, 100);
    assert_eq!(bed.store.last_record_block("a", u64::MAX).await.unwrap(), None);
    bed.store
        .append_record_block(&first, &along(&counted(10, vec![touch(key.id, 100, 10)])))
        .await
        .unwrap();
    let again = bed
        .store
        .append_record_block(&first, &along(&counted(10, vec![touch(key.id, 100, 10)])))
        .await;
    assert_eq!(again.unwrap_err(), Error::Duplicate { table: String::from("record_blocks") });
    let count = bed.store.client_key(key.id).await.unwrap().unwrap().request_count;
    assert_eq!(count, 10, "the second time counted nothing");

    bed.store.append_record_block(&block("a", 10, 90), &Along::default()).await.unwrap();
    bed.store.append_record_block(&block("b", 500, 110), &Along::default()).await.unwrap();
    let last = bed.store.last_record_block("a", u64::MAX).await.unwrap();
    assert_eq!(last, Some(block("a", 10, 90)), "by number, not by time");
    assert_eq!(bed.store.record_nodes().await.unwrap(), ["a", "b"]);
}

async fn a_block_whose_touches_fail_is_not_stored(bed: Bed) {
    let key = stored(&bed.store, "busy", Role::User).await;
    bed.tamper("ALTER TABLE client_keys RENAME COLUMN request_count TO elsewhere").await;
    let answer = bed
        .store
        .append_record_block(&block("a", 0, 9), &along(&counted(10, vec![touch(key.id, 9, 1)])))
        .await;
    assert!(matches!(answer, Err(Error::Lacking { .. })), "{answer:?}");
    assert_eq!(bed.store.last_record_block("a", u64::MAX).await.unwrap(), None);
}

async fn of_one_block_stored_twice_at_once_one_counts(bed: Bed) {
    let key = stored(&bed.store, "busy", Role::User).await;
    let mut appending = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let (store, counted) = (bed.store.clone(), counted(10, vec![touch(key.id, 100, 10)]));
        appending.spawn(async move {
            store.append_record_block(&block("a", 0, 100), &along(&counted)).await
        });
    }
    let answers = appending.join_all().await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1, "{answers:?}");
    assert_eq!(bed.store.client_key(key.id).await.unwrap().unwrap().request_count, 10);
}

async fn verification_reads_a_node_from_a_number_on(bed: Bed) {
    for (node, number) in [("a", 20), ("a", 0), ("b", 10), ("a", 10)] {
        bed.store.append_record_block(&block(node, number, 50), &Along::default()).await.unwrap();
    }
    let numbers = async |from, limit| {
        let blocks = bed.store.record_blocks_from("a", from, limit).await.unwrap();
        blocks.iter().map(|block| block.first_sequence).collect::<Vec<_>>()
    };
    assert_eq!(numbers(0, 10).await, [0, 10, 20]);
    assert_eq!(numbers(10, 1).await, [10]);
    assert_eq!(numbers(21, 10).await, [0; 0]);
}

async fn pages_go_back_in_time_and_skip_no_twin(bed: Bed) {
    let blocks = [("a", 0, 10), ("b", 0, 20), ("a", 10, 20), ("c", 0, 20), ("a", 20, 30)];
    for (node, number, time) in blocks {
        bed.store.append_record_block(&block(node, number, time), &Along::default()).await.unwrap();
    }
    let page = async |node, before, limit| {
        let page = bed.store.record_blocks_before(node, before, limit).await.unwrap();
        page.blocks.into_iter().map(|block| (block.node, block.last_time)).collect::<Vec<_>>()
    };
    let shown = |blocks: &[(&str, i64)]| {
        blocks.iter().map(|(node, time)| ((*node).to_owned(), *time)).collect::<Vec<_>>()
    };
    // Two were asked for; the twins of the second come along.
    let first = page(None, None, 2).await;
    assert_eq!(first, shown(&[("a", 30), ("a", 20), ("b", 20), ("c", 20)]));
    assert_eq!(page(None, Some(20), 2).await, shown(&[("a", 10)]));
    assert_eq!(page(None, Some(10), 2).await, shown(&[]));
    assert_eq!(page(Some("a"), None, 2).await, shown(&[("a", 30), ("a", 20)]));
    assert_eq!(page(Some("b"), Some(21), 9).await, shown(&[("b", 20)]));
}

async fn a_block_that_contradicts_the_model_is_named(bed: Bed) {
    bed.store.append_record_block(&block("a", 7, 10), &Along::default()).await.unwrap();
    bed.tamper("UPDATE record_blocks SET records = -3").await;
    let expected = Error::Contradiction {
        table: "record_blocks",
        row: String::from("a from 7"),
        column: "records",
        fault: String::from("is -3, below zero"),
    };
    assert_eq!(bed.store.last_record_block("a", u64::MAX).await.unwrap_err(), expected);
    assert_eq!(
        expected.to_string(),
        "The row a from 7 of table record_blocks contradicts the model: column records is -3, \
         below zero. Somebody changed it by hand, or a newer program wrote it; restore the row \
         from a backup."
    );
}

on_both!(
    a_block_is_stored_once_with_its_touches,
    a_block_that_contradicts_the_model_is_named,
    a_block_whose_touches_fail_is_not_stored,
    of_one_block_stored_twice_at_once_one_counts,
    pages_go_back_in_time_and_skip_no_twin,
    verification_reads_a_node_from_a_number_on,
);
