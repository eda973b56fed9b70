//! Two nodes of one PostgreSQL that do at the same moment what one of them must wait for.
//! Must never show by luck which one waits: each is held where it is until it was seen to wait.

use std::time::Duration;

use super::*;
use crate::store::dialect::changing;
use crate::store::{inventories, master_passphrases};

/// Long enough for whoever does not wait.
const A_MOMENT: Duration = Duration::from_millis(400);

async fn waits<T>(task: &tokio::task::JoinHandle<T>, what: &str) {
    tokio::time::sleep(A_MOMENT).await;
    assert!(!task.is_finished(), "{what} does not wait");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whether_a_restore_was_committed_is_told_when_it_cannot_be_any_more() {
    let bed = Bed::postgres().await;
    assert_eq!(bed.store.last_restore().await.unwrap(), None);
    for (mark, is_committed) in [("m0", false), ("m1", true), ("m2", false), ("m3", true)] {
        let before = bed.store.last_restore().await.unwrap();
        let mut loading = bed.store.load().await.unwrap();
        loading.is_restore(mark, NOW_MS).await.unwrap();
        let other = bed.reopen().await.unwrap();
        let asked = tokio::spawn(async move { other.last_restore().await.unwrap() });
        waits(&asked, mark).await;
        match is_committed {
            true => loading.commit().await.unwrap(),
            false => drop(loading),
        }
        let expected = if is_committed { Some(mark.to_owned()) } else { before };
        assert_eq!(asked.await.unwrap(), expected, "{mark}");
    }
    // Asking leaves nothing behind.
    assert_eq!(bed.tamper("DELETE FROM leases").await, 1);
    assert_eq!(bed.store.last_restore().await.unwrap(), None);
    assert_eq!(bed.tamper("DELETE FROM leases").await, 0);
}

fn under_passphrase(id: &str, generation: u32) -> KekRow {
    let master = MasterId { kind: MasterKind::Passphrase, id: id.to_owned() };
    KekRow { master, ..secrets::kek("ai", generation) }
}

async fn insert(tx: &mut Tx, kek: &KekRow) {
    const INSERT: &str = "INSERT INTO keks
        (id, category, generation, wrapped, master_kind, master_id, state, wraps, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, 'active', 0, $7)";
    let done = changing!(
        tx,
        sqlx::query(INSERT)
            .bind(kek.id.to_string())
            .bind(kek.category.as_str())
            .bind(i64::from(kek.generation))
            .bind(kek.wrapped.as_slice())
            .bind(kek.master.kind.as_str())
            .bind(kek.master.id.as_str())
            .bind(kek.created_at)
    );
    assert_eq!(done.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_master_key_goes_and_what_it_wraps_comes_one_after_the_other() {
    let bed = Bed::postgres().await;
    for id in ["aa", "bb"] {
        bed.store.insert_master_passphrase(&master_keys::row(id)).await.unwrap();
    }
    // Wrapped first: what is in use stays.
    let kek = under_passphrase("aa", 1);
    let mut tx = bed.store.begin().await.unwrap();
    master_passphrases::hold(&mut tx, &kek.master).await.unwrap();
    insert(&mut tx, &kek).await;
    let other = bed.reopen().await.unwrap();
    let sweeping = tokio::spawn(async move { other.delete_master_passphrase("aa").await.unwrap() });
    waits(&sweeping, "the sweep").await;
    tx.commit().await.unwrap();
    assert!(!sweeping.await.unwrap(), "a key hangs on it");
    // Swept first: nothing is wrapped by it any more, and nothing of it stays.
    assert!(bed.store.delete_master_passphrase("bb").await.unwrap());
    let late = under_passphrase("bb", 2);
    assert_eq!(bed.store.insert_kek(&late).await, Err(Error::MasterGone));
    let rows = bed.store.keks().await.unwrap().rows;
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!((rows[0].id, rows[0].state), (kek.id, KekState::Active), "it is what it was");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_generation_is_destroyed_and_a_list_sealed_under_it_one_after_the_other() {
    let bed = Bed::postgres().await;
    let [first, second] = [1, 2].map(|generation| secrets::kek("ai", generation));
    bed.store.insert_kek(&first).await.unwrap();
    bed.store.insert_kek(&second).await.unwrap();
    let list = |epoch, kek: &KekRow| InventoryRow {
        category: kek.category.clone(),
        epoch,
        kek_id: kek.id,
        sealed: vec![7; 9],
    };
    // A node that has not heard of the second generation seals its list under the first.
    let mut tx = bed.store.begin().await.unwrap();
    let _uncounted = bed.store.count_list_in(&mut tx, first.id).await.unwrap();
    inventories::begin(&mut tx, &list(1, &first)).await.unwrap();
    let other = bed.reopen().await.unwrap();
    let id = first.id;
    let destroying = tokio::spawn(async move { other.destroy_kek(id).await.unwrap() });
    waits(&destroying, "the destruction").await;
    tx.commit().await.unwrap();
    assert!(!destroying.await.unwrap(), "a list hangs on it");
    assert!(bed.store.keks().await.unwrap().rows.iter().all(|kek| !kek.is_gone()));
    // And the other way round: what is gone seals nothing.
    bed.store.put_inventory(&list(2, &second)).await.unwrap();
    assert!(bed.store.destroy_kek(first.id).await.unwrap());
    assert_eq!(bed.store.put_inventory(&list(3, &first)).await, Err(Error::Stale));
    let stands = bed.store.inventory("ai").await.unwrap().unwrap();
    assert_eq!((stands.epoch, stands.kek_id), (2, second.id));
}
