//! Turns: one holder at a time, whatever the number of nodes.

use super::*;

fn span(now_ms: i64, every_ms: i64) -> Span {
    Span { now_ms, due_before_ms: now_ms - every_ms, held_until_ms: now_ms + 60 }
}

async fn a_turn_is_one_nodes_until_it_is_done_given_up_or_not_renewed(bed: Bed) {
    let store = &bed.store;
    let take = async |holder: &str, now_ms: i64| {
        store.take_turn(Turn::Backup, holder, span(now_ms, 1000)).await.unwrap()
    };
    assert_eq!(store.last_turn(Turn::Backup).await.unwrap(), None);
    let (first, second) = tokio::join!(take("a", 10_000), take("b", 10_000));
    assert!(first != second, "of two at once one has it");
    let (holder, other) = if first { ("a", "b") } else { ("b", "a") };
    assert!(!take(other, 10_030).await && take(holder, 10_030).await);
    assert!(store.renew_turn(Turn::Backup, holder, 10_200).await.unwrap());
    assert!(!store.renew_turn(Turn::Backup, other, 10_200).await.unwrap());
    assert!(!take(other, 10_150).await);
    assert!(take(other, 10_201).await, "its holder is late");
    // The one that was late ends nothing any more.
    store.end_turn(Turn::Backup, holder, Some(10_300)).await.unwrap();
    assert_eq!(store.last_turn(Turn::Backup).await.unwrap(), None);
    store.end_turn(Turn::Backup, other, None).await.unwrap();
    assert!(take(holder, 10_202).await, "it was given up");
    store.end_turn(Turn::Backup, holder, Some(10_202)).await.unwrap();
    assert_eq!(store.last_turn(Turn::Backup).await.unwrap(), Some(10_202));
    assert!(!take(other, 11_201).await && take(other, 11_202).await, "due again after a while");
}

async fn a_time_that_is_still_to_come_holds_nobody_off(bed: Bed) {
    let store = &bed.store;
    let now_ms = NOW_MS;
    for column in ["held_until", "done_at"] {
        assert!(store.take_turn(Turn::Backup, "a", span(now_ms, 1000)).await.unwrap());
        store.end_turn(Turn::Backup, "a", None).await.unwrap();
        let far = format!("UPDATE leases SET {column} = 9000000000000000");
        bed.tamper(Box::leak(far.into_boxed_str())).await;
        assert_eq!(store.last_turn(Turn::Backup).await.unwrap(), None);
        let faults = store.turn_faults().await.unwrap();
        assert!(faults.len() == 1 && faults[0].contains("table leases"), "{faults:?}");
        assert!(store.take_turn(Turn::Backup, "b", span(now_ms, 1000)).await.unwrap(), "{column}");
        store.end_turn(Turn::Backup, "b", None).await.unwrap();
        store.mend_turns().await.unwrap();
        assert_eq!(store.turn_faults().await.unwrap(), [""; 0]);
    }
}

async fn a_row_that_is_no_turn_is_told_and_removed(bed: Bed) {
    let store = &bed.store;
    for turn in [Turn::Backup, Turn::Reports] {
        assert!(store.take_turn(turn, "a", span(NOW_MS, 1000)).await.unwrap());
    }
    assert_eq!(store.turn_faults().await.unwrap(), [""; 0]);
    bed.tamper("UPDATE leases SET name = 'nobodys' WHERE name = 'reports'").await;
    let faults = store.turn_faults().await.unwrap();
    assert!(faults.len() == 1 && faults[0].contains("nobodys"), "{faults:?}");
    store.mend_turns().await.unwrap();
    assert_eq!(store.turn_faults().await.unwrap(), [""; 0]);
    assert!(!store.take_turn(Turn::Backup, "b", span(NOW_MS, 1000)).await.unwrap(), "it stays");
}

on_both!(a_row_that_is_no_turn_is_told_and_removed);
on_both!(a_time_that_is_still_to_come_holds_nobody_off);
on_both!(a_turn_is_one_nodes_until_it_is_done_given_up_or_not_renewed);
