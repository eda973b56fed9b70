//! Renewals: one of two changes is late, one of two nodes goes on, and a row that somebody edited is
//! believed by nobody.
//! Must never stand on a seal that was not looked at.

use super::*;

fn sealed(bed: &Bed) {
    bed.store.seal_rows_by(RowKey::Here(crate::secret::Key::copy_of(&[9; 32])));
}

fn row() -> RenewalRow {
    let (secret_id, run) = (Uuid::from_u128(1), Uuid::from_u128(2));
    RenewalRow { secret_id, run, kind: String::from("webhook"), ..RenewalRow::default() }
}

async fn of_two_changes_one_is_late_and_one_node_goes_on(bed: Bed) {
    let store = &bed.store;
    assert!(store.put_renewal(&row()).await.unwrap().is_none(), "sealed, nothing is written");
    sealed(&bed);
    let first = store.put_renewal(&row()).await.unwrap().unwrap();
    assert!(store.put_renewal(&row()).await.unwrap().is_none(), "it stands already");
    let making = RenewalRow { state: RenewalState::Making, ..first.clone() };
    let second = store.put_renewal(&making).await.unwrap().unwrap();
    assert!(store.put_renewal(&making).await.unwrap().is_none(), "too late");
    assert_eq!(store.renewal(row().secret_id).await.unwrap().unwrap(), second);
    let id = row().secret_id;
    assert!(store.claim_renewal(id, "a", (NOW_MS, NOW_MS + 900_000)).await.unwrap());
    assert!(!store.claim_renewal(id, "b", (NOW_MS, NOW_MS + 900_000)).await.unwrap());
    assert!(!store.claim_renewal(id, "a", (NOW_MS, NOW_MS + 900_000)).await.unwrap());
    store.release_renewals_of("b").await.unwrap();
    let later = NOW_MS + 900_001;
    assert!(store.claim_renewal(id, "b", (later, later + 900_000)).await.unwrap());
    store.release_renewal(id, "b").await.unwrap();
    assert!(store.claim_renewal(id, "a", (later, later + 900_000)).await.unwrap());
}

async fn a_row_that_was_edited_is_believed_by_nobody(bed: Bed) {
    let store = &bed.store;
    sealed(&bed);
    store.put_renewal(&row()).await.unwrap().unwrap();
    const EDIT: &str = "UPDATE renewals SET body = replace(body, 'webhook', 'openai')";
    assert_eq!(store.tamper(EDIT).await, 1);
    assert!(store.renewal(row().secret_id).await.unwrap().is_none());
    let read = store.renewals().await.unwrap().unwrap();
    let [Err(id)] = read.as_slice() else { panic!("it was believed") };
    assert!(store.forget_renewal(id).await.unwrap());
    store.put_renewal(&row()).await.unwrap().unwrap();
    assert_eq!(store.tamper("UPDATE renewals SET revision = 7").await, 1);
    assert!(store.renewal(row().secret_id).await.unwrap().is_none());
}

on_both!(
    of_two_changes_one_is_late_and_one_node_goes_on,
    a_row_that_was_edited_is_believed_by_nobody,
);
