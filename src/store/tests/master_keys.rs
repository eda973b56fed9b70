//! Master keys that a passphrase opens, and the step that says of older rows which master key
//! wrapped them. Must never hold a real passphrase or key: bytes are bytes here.

use super::*;

pub(super) fn row(master_id: &str) -> PassphraseRow {
    PassphraseRow {
        master_id: master_id.to_owned(),
        wrapped: vec![1, 2, 3],
        salt: vec![4; 16],
        memory_kib: 65_536,
        passes: 3,
        lanes: 4,
        created_at: NOW_MS,
        updated_at: NOW_MS,
    }
}

async fn a_passphrase_row_is_replaced_only_where_it_is_what_was_read(bed: Bed) {
    let (first, second) = (row("aa"), PassphraseRow { created_at: NOW_MS + 1, ..row("bb") });
    bed.store.insert_master_passphrase(&first).await.unwrap();
    bed.store.insert_master_passphrase(&second).await.unwrap();
    let twice = bed.store.insert_master_passphrase(&first).await.unwrap_err();
    assert_eq!(twice, Error::Duplicate { table: String::from("master_passphrases") });

    let raised = PassphraseRow {
        wrapped: vec![9],
        salt: vec![5; 16],
        passes: 4,
        updated_at: NOW_MS + 5,
        ..first.clone()
    };
    assert!(!bed.store.replace_master_passphrase(&raised, &[7]).await.unwrap());
    assert!(bed.store.replace_master_passphrase(&raised, &first.wrapped).await.unwrap());
    assert_eq!(bed.store.master_passphrases().await.unwrap().rows, [second, raised]);
    assert!(bed.store.delete_master_passphrase("bb").await.unwrap());
    assert!(!bed.store.delete_master_passphrase("bb").await.unwrap());
}

async fn a_row_that_names_no_master_key_contradicts_the_model(bed: Bed) {
    bed.store.insert_kek(&secrets::kek("ai", 1)).await.unwrap();
    assert_eq!(bed.tamper("UPDATE keks SET master_kind = NULL").await, 1);
    let loaded = bed.store.keks().await.unwrap();
    assert!(loaded.rows.is_empty());
    let line = loaded.contradictions[0].to_string();
    assert!(line.contains("master_kind is missing"), "{line}");
}

on_both!(
    a_passphrase_row_is_replaced_only_where_it_is_what_was_read,
    a_row_that_names_no_master_key_contradicts_the_model,
);
