//! Repeated calls: bounded by day, and none lost.

use super::*;
use crate::store::{Counted, Repeated, RepeatedCalls};

const KEY: Uuid = Uuid::from_u128(7);
const SECRET: Uuid = Uuid::from_u128(9);
const A_DAY_MS: i64 = 86_400_000;

fn on(day: i64, path: &str) -> RepeatedCalls {
    RepeatedCalls {
        client_id: KEY,
        day_ms: day * A_DAY_MS,
        secret_id: Some(SECRET),
        provider: String::from("acme"),
        path: path.to_owned(),
    }
}

fn once(fresh_seconds: u32) -> Repeated {
    Repeated { calls: 1, bytes: 10, cost: 2_000, fresh_seconds }
}

async fn count(bed: &Bed, repeated: Vec<(RepeatedCalls, Repeated)>, batch: u64) {
    let counted = Counted { repeated, next_sequence: batch, ..Counted::default() };
    bed.store.count_records("node", &counted).await.unwrap();
}

async fn within(bed: &Bed, from: i64, to: i64) -> Vec<(RepeatedCalls, Repeated)> {
    let span = (from * A_DAY_MS, to * A_DAY_MS);
    bed.store.repeated_calls(span, 1_000).await.unwrap().unwrap()
}

async fn repeated_calls_add_up_by_day_and_keep_the_shortest_time(bed: Bed) {
    let first = || vec![(on(1, "/v1/x"), once(60)), (on(2, "/v1/x"), once(60))];
    count(&bed, first(), 1).await;
    // The same once more: it was committed already.
    count(&bed, first(), 1).await;
    count(&bed, vec![(on(1, "/v1/x"), once(300))], 2).await;
    count(&bed, vec![(on(1, "/v1/x"), once(30))], 3).await;
    let nobodys = RepeatedCalls { secret_id: None, ..on(1, "/v1/x") };
    count(&bed, vec![(nobodys.clone(), once(5))], 4).await;
    let sum = Repeated { calls: 3, bytes: 30, cost: 6_000, fresh_seconds: 30 };
    let wanted = vec![(nobodys, once(5)), (on(1, "/v1/x"), sum)];
    assert_eq!(within(&bed, 1, 2).await, wanted);
    assert_eq!(within(&bed, 2, 9).await, [(on(2, "/v1/x"), once(60))]);
    let both = Repeated { calls: 4, bytes: 40, cost: 8_000, fresh_seconds: 30 };
    assert!(within(&bed, 0, 9).await.contains(&(on(1, "/v1/x"), both)), "days together");
    assert_eq!(bed.store.repeated_calls((0, i64::MAX), 1).await.unwrap(), None);
}

async fn ways_beyond_the_bound_are_one_row_and_no_call_is_lost(bed: Bed) {
    for batch in 1..=3 {
        let all = (0..200).map(|n| (on(1, &format!("/way{n}")), once(60))).collect();
        count(&bed, all, batch).await;
    }
    let held = within(&bed, 1, 2).await;
    assert_eq!(held.len(), 65);
    assert_eq!(held.iter().map(|(_, sum)| sum.calls).sum::<u64>(), 600);
    let (_, rest) = held.iter().find(|(calls, _)| calls.path == "/**").unwrap();
    assert_eq!(rest.calls, 136 * 3);
    // Another day has room of its own.
    count(&bed, vec![(on(2, "/way0"), once(60))], 4).await;
    assert_eq!(within(&bed, 2, 3).await, [(on(2, "/way0"), once(60))]);
}

async fn repeated_calls_are_forgotten_with_time(bed: Bed) {
    count(&bed, vec![(on(1, "/a"), once(60)), (on(300, "/a"), once(60))], 1).await;
    let later =
        Counted { forget_usage_at: Some(402 * A_DAY_MS), next_sequence: 2, ..Counted::default() };
    bed.store.count_records("another", &later).await.unwrap();
    let held = within(&bed, 0, 400).await;
    let calls: u64 = held.iter().map(|(_, sum)| sum.calls).sum();
    assert_eq!(calls, 2, "they are another node's");
    bed.store.count_records("node", &later).await.unwrap();
    assert_eq!(within(&bed, 0, 400).await, [(on(300, "/a"), once(60))]);
}

async fn edited_counts_stop_nothing(bed: Bed) {
    count(&bed, vec![(on(1, "/a"), once(60))], 1).await;
    let edit = "UPDATE repeated_calls SET calls = -5, bytes = 9223372036854775807";
    assert!(bed.store.tamper(edit).await > 0);
    count(&bed, vec![(on(1, "/a"), once(60))], 2).await;
    let sum = Repeated { calls: 1, bytes: 10, cost: 4_000, fresh_seconds: 60 };
    assert_eq!(within(&bed, 1, 2).await, [(on(1, "/a"), sum)]);
}

on_both!(
    repeated_calls_add_up_by_day_and_keep_the_shortest_time,
    ways_beyond_the_bound_are_one_row_and_no_call_is_lost,
    repeated_calls_are_forgotten_with_time,
    edited_counts_stop_nothing,
);
