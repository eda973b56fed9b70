//! Repeatable calls: of many at once one runs, and a repeat gets the same answer.
//! The clock is the bed's, so a claim grows old without anybody waiting.
//! Must never accept two calls that both believe they are the first.

use std::time::Duration;

use super::*;

const CALL: IdempotentCall<'static> =
    IdempotentCall { actor: "key 1", route: "POST /api/v1/admin/api-keys", key: "k" };

async fn of_identical_calls_at_once_exactly_one_runs(bed: Bed) {
    let mut claiming = tokio::task::JoinSet::new();
    for _ in 0..12 {
        let store = bed.reopen().await.unwrap();
        claiming.spawn(async move { store.claim_idempotent(CALL, &[1; 32]).await.unwrap() });
    }
    let claims = claiming.join_all().await;
    assert_eq!(claims.iter().filter(|claim| **claim == Claim::New).count(), 1, "{claims:?}");
    assert_eq!(claims.iter().filter(|claim| **claim == Claim::Running).count(), 11);
}

async fn a_repeat_gets_the_answer_of_the_first(bed: Bed) {
    let store = &bed.store;
    assert_eq!(store.claim_idempotent(CALL, &[1; 32]).await.unwrap(), Claim::New);
    store.finish_idempotent(CALL, 201, "{\"id\":\"1\"}").await.unwrap();
    let done =
        Claim::Done { body_digest: [1; 32], status: 201, answer: String::from("{\"id\":\"1\"}") };
    assert_eq!(store.claim_idempotent(CALL, &[1; 32]).await.unwrap(), done);
    let other_body = store.claim_idempotent(CALL, &[2; 32]).await.unwrap();
    assert_eq!(other_body, done, "the digest tells the caller that the body differs");
    store.release_idempotent(CALL).await.unwrap();
    assert_eq!(store.claim_idempotent(CALL, &[1; 32]).await.unwrap(), done, "it stays");
    for other in [
        IdempotentCall { actor: "key 2", ..CALL },
        IdempotentCall { route: "POST /x", ..CALL },
        IdempotentCall { key: "l", ..CALL },
    ] {
        assert_eq!(store.claim_idempotent(other, &[1; 32]).await.unwrap(), Claim::New);
    }
}

async fn a_failed_call_may_be_tried_again(bed: Bed) {
    let store = &bed.store;
    assert_eq!(store.claim_idempotent(CALL, &[1; 32]).await.unwrap(), Claim::New);
    store.release_idempotent(CALL).await.unwrap();
    assert_eq!(store.claim_idempotent(CALL, &[2; 32]).await.unwrap(), Claim::New);
}

async fn a_claim_of_a_dead_process_passes_on_to_one(bed: Bed) {
    assert_eq!(bed.store.claim_idempotent(CALL, &[1; 32]).await.unwrap(), Claim::New);
    bed.clock.advance(Duration::from_secs(599));
    assert_eq!(bed.store.claim_idempotent(CALL, &[1; 32]).await.unwrap(), Claim::Running);
    bed.clock.advance(Duration::from_secs(1));
    let mut claiming = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let store = bed.store.clone();
        claiming.spawn(async move { store.claim_idempotent(CALL, &[1; 32]).await.unwrap() });
    }
    let claims = claiming.join_all().await;
    assert_eq!(claims.iter().filter(|claim| **claim == Claim::New).count(), 1, "{claims:?}");
}

async fn what_is_old_is_forgotten(bed: Bed) {
    let store = &bed.store;
    assert_eq!(store.claim_idempotent(CALL, &[1; 32]).await.unwrap(), Claim::New);
    store.finish_idempotent(CALL, 201, "{}").await.unwrap();
    assert_eq!(store.prune_idempotent(NOW_MS).await.unwrap(), 0);
    assert_eq!(store.prune_idempotent(NOW_MS + 1).await.unwrap(), 1);
    assert_eq!(store.claim_idempotent(CALL, &[2; 32]).await.unwrap(), Claim::New);
}

on_both!(
    a_claim_of_a_dead_process_passes_on_to_one,
    a_failed_call_may_be_tried_again,
    a_repeat_gets_the_answer_of_the_first,
    of_identical_calls_at_once_exactly_one_runs,
    what_is_old_is_forgotten,
);
