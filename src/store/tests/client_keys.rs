//! Client keys and their digests: what goes in comes out, what contradicts is named, usage is
//! never lost by a change of settings, and the last active admin stays whatever happens at once.
//! Must never rely on luck for a race: one side is held still, or many rounds are run.

use std::time::Duration;

use super::*;
use crate::client::{Role, Tier};
use crate::store::client_key_standing::RowFault;
use crate::store::dialect::Lock;
use crate::store::dialect::changing;

pub(super) fn client_key(name: &str, role: Role) -> ClientKeyRow {
    ClientKeyRow {
        id: Uuid::now_v7(),
        name: name.to_owned(),
        role,
        tier: Tier::Standard,
        scopes: None,
        allowed_ips: None,
        allowed_origins: None,
        description: None,
        owner: None,
        expires_at: None,
        quota_limit: None,
        monthly_quota: None,
        max_concurrent: None,
        secrets: Vec::new(),
        active: true,
        created_at: NOW_MS,
        created_by: String::from("local"),
        updated_at: NOW_MS,
        last_used_at: None,
        last_used_endpoint: None,
        last_used_address: None,
        request_count: 0,
    }
}

fn digest(id: Uuid) -> [u8; 32] {
    let mut digest = [0; 32];
    digest[..16].copy_from_slice(id.as_bytes());
    digest
}

pub(super) async fn stored(store: &Store, name: &str, role: Role) -> ClientKeyRow {
    let key = client_key(name, role);
    store.insert_client_key(&key, &digest(key.id), Some("mdw_abcd")).await.unwrap();
    key
}

pub(super) fn counted(next_sequence: u64, touches: Vec<Touch>) -> Counted {
    Counted { touches, next_sequence, ..Counted::default() }
}

pub(super) fn touch(id: Uuid, last_used_at: i64, calls: u64) -> Touch {
    let endpoint = format!("/polygon/{last_used_at}");
    Touch { id, last_used_at, endpoint, address: String::from("192.0.2.7"), calls }
}

async fn every_column_comes_back_as_it_went_in(bed: Bed) {
    let plain = stored(&bed.store, "plain", Role::User).await;
    let full = ClientKeyRow {
        tier: Tier::Premium,
        scopes: Some(vec![String::from("polygon:GET:/v2/**"), String::from("!*:GET:/x \"é\"")]),
        allowed_ips: Some(Vec::new()),
        allowed_origins: Some(vec![String::from("https://app.example")]),
        description: Some(String::from("O'Reilly; -- ")),
        owner: Some(String::from("team")),
        expires_at: Some(NOW_MS + 1),
        quota_limit: Some(7),
        monthly_quota: Some(u64::from(u32::MAX) * 2),
        max_concurrent: Some(0),
        secrets: vec![(String::from("z"), String::from("b")), (String::from("a"), String::new())],
        active: false,
        last_used_at: Some(5),
        last_used_endpoint: Some(String::from("/e")),
        last_used_address: Some(String::from("::1")),
        request_count: 9,
        ..client_key("full", Role::Auditor)
    };
    bed.store.insert_client_key(&full, &[7; 32], None).await.unwrap();
    for key in [plain, full] {
        assert_eq!(bed.store.client_key(key.id).await.unwrap(), Some(key));
    }
    assert_eq!(bed.store.client_key(Uuid::now_v7()).await.unwrap(), None);
}

async fn a_digest_finds_its_key_and_no_two_keys_share_one(bed: Bed) {
    let key = stored(&bed.store, "one", Role::User).await;
    let found = bed.store.client_key_by_digest(&digest(key.id)).await.unwrap();
    assert_eq!(found, Some((key.clone(), None)));
    assert_eq!(bed.store.client_key_by_digest(&[9; 32]).await.unwrap(), None);

    let twin = client_key("two", Role::User);
    let error = bed.store.insert_client_key(&twin, &digest(key.id), None).await.unwrap_err();
    assert_eq!(error, Error::Duplicate { table: String::from("client_key_hashes") });
    assert_eq!(bed.store.client_key(twin.id).await.unwrap(), None, "the row went with its digest");
}

async fn pages_go_from_the_newest_to_the_oldest(bed: Bed) {
    let mut keys = Vec::new();
    for number in 0..5 {
        keys.push(stored(&bed.store, &format!("key {number}"), Role::User).await);
    }
    keys.reverse();
    let first = bed.store.client_keys_page(None, 2).await.unwrap();
    assert_eq!(first.iter().map(|listed| &listed.key).collect::<Vec<_>>(), [&keys[0], &keys[1]]);
    let shown = KeyPreview {
        preview: Some(String::from("mdw_abcd")),
        created_at: NOW_MS,
        valid_until: None,
    };
    assert!(first.iter().all(|listed| listed.previews == [shown.clone()]));
    let rest = bed.store.client_keys_page(Some(keys[1].id), 100).await.unwrap();
    assert_eq!(rest.into_iter().map(|listed| listed.key).collect::<Vec<_>>(), keys[2..]);
    assert!(bed.store.client_keys_page(Some(keys[4].id), 100).await.unwrap().is_empty());
}

async fn a_rotation_leaves_two_digests_at_most(bed: Bed) {
    let key = stored(&bed.store, "rotated", Role::User).await;
    for (number, until) in [(1_u8, NOW_MS + 100), (2, NOW_MS + 200)] {
        bed.clock.advance(Duration::from_millis(1));
        let digest = [number; 32];
        let next = NextDigest { digest: &digest, preview: "mdw_next", former_valid_until: until };
        assert!(bed.store.rotate_client_key(key.id, next).await.unwrap());
    }
    let valid_until = async |digest: [u8; 32]| {
        let found = bed.store.client_key_by_digest(&digest).await.unwrap();
        found.map(|(_, valid_until)| valid_until)
    };
    assert_eq!(valid_until(digest(key.id)).await, None);
    assert_eq!(valid_until([1; 32]).await, Some(Some(NOW_MS + 200)));
    assert_eq!(valid_until([2; 32]).await, Some(None));
    let previews = bed.store.client_key_previews(key.id).await.unwrap();
    let shown: Vec<_> = previews.iter().map(|shown| shown.valid_until).collect();
    assert_eq!(shown, [None, Some(NOW_MS + 200)], "the present one first");

    let next = NextDigest { digest: &[3; 32], preview: "mdw_none", former_valid_until: 0 };
    assert!(!bed.store.rotate_client_key(Uuid::now_v7(), next).await.unwrap());
}

async fn a_change_keeps_what_calls_left_behind(bed: Bed) {
    let key = stored(&bed.store, "old name", Role::User).await;
    bed.store.count_records("a", &counted(1, vec![touch(key.id, 50, 3)])).await.unwrap();
    let renamed = ClientKeyRow {
        name: String::from("new name"),
        role: Role::Guest,
        scopes: Some(Vec::new()),
        updated_at: NOW_MS + 1,
        ..key.clone()
    };
    assert!(bed.store.update_client_key(&renamed).await.unwrap());
    let expected = ClientKeyRow {
        last_used_at: Some(50),
        last_used_endpoint: Some(String::from("/polygon/50")),
        last_used_address: Some(String::from("192.0.2.7")),
        request_count: 3,
        ..renamed
    };
    assert_eq!(bed.store.client_key(key.id).await.unwrap(), Some(expected));
    let absent = client_key("absent", Role::User);
    assert!(!bed.store.update_client_key(&absent).await.unwrap());
}

async fn calls_add_up_and_last_used_never_goes_back(bed: Bed) {
    let key = stored(&bed.store, "busy", Role::User).await;
    let gone = Uuid::now_v7();
    let touches = vec![touch(key.id, 70, 2), touch(gone, 70, 1), touch(key.id, 60, 5)];
    bed.store.count_records("a", &counted(1, touches)).await.unwrap();
    bed.store.count_records("a", &counted(2, vec![touch(key.id, 65, 1)])).await.unwrap();
    bed.store.count_records("a", &counted(3, Vec::new())).await.unwrap();
    let now = bed.store.client_key(key.id).await.unwrap().unwrap();
    assert_eq!((now.request_count, now.last_used_at), (8, Some(70)));
    assert_eq!(now.last_used_endpoint.as_deref(), Some("/polygon/70"));
}

async fn a_deleted_key_takes_its_digests_with_it(bed: Bed) {
    let key = stored(&bed.store, "gone", Role::User).await;
    assert!(bed.store.delete_client_key(key.id).await.unwrap());
    assert!(!bed.store.delete_client_key(key.id).await.unwrap());
    assert_eq!(bed.store.client_key_by_digest(&digest(key.id)).await.unwrap(), None);
    assert_eq!(bed.tamper("DELETE FROM client_key_hashes").await, 0);
}

async fn a_row_that_contradicts_the_model_is_named(bed: Bed) {
    let key = stored(&bed.store, "odd", Role::User).await;
    for (damage, column, fault, repair) in [
        (
            "UPDATE client_keys SET role = 'Superuser'",
            "role",
            "says \"Superuser\", which is not known",
            "UPDATE client_keys SET role = 'user'",
        ),
        (
            "UPDATE client_keys SET active = 2",
            "active",
            "is 2, neither 0 nor 1",
            "UPDATE client_keys SET active = 1",
        ),
        (
            "UPDATE client_keys SET scopes = '[1]'",
            "scopes",
            "is not a JSON list of strings",
            "UPDATE client_keys SET scopes = NULL",
        ),
        (
            "UPDATE client_keys SET secrets = '{\"polygon\": null}'",
            "secrets",
            "is not a JSON object of strings",
            "UPDATE client_keys SET secrets = NULL",
        ),
        (
            "UPDATE client_keys SET quota_limit = -1",
            "quota_limit",
            "is -1, below zero",
            "UPDATE client_keys SET quota_limit = NULL",
        ),
    ] {
        assert_eq!(bed.tamper(damage).await, 1);
        let expected = Error::Contradiction {
            table: "client_keys",
            row: key.id.to_string(),
            column,
            fault: fault.to_owned(),
        };
        assert_eq!(bed.store.client_key(key.id).await.unwrap_err(), expected);
        let by_digest = bed.store.client_key_by_digest(&digest(key.id)).await;
        assert_eq!(by_digest.unwrap_err(), expected);
        // One edited row hides no other: it is listed with what is wrong of it.
        let listed = bed.store.client_keys_page(None, 10).await.unwrap();
        assert_eq!(listed[0].fault, Some(RowFault::Unreadable { column }));
        let standing = bed.store.standing_client_key(key.id).await.unwrap().unwrap();
        assert_eq!((standing.key.id, standing.fault), (key.id, listed[0].fault));
        assert_eq!(bed.tamper(repair).await, 1);
    }
    assert_eq!(bed.store.client_key(key.id).await.unwrap(), Some(key));
}

async fn a_lost_count_closes_no_key_and_is_set_right(bed: Bed) {
    let key = stored(&bed.store, "notebook", Role::User).await;
    for (next, damage) in [
        (1, "UPDATE client_keys SET request_count = -7, last_used_at = -7"),
        (2, "UPDATE client_keys SET request_count = 9223372036854775807, last_used_at = 1"),
    ] {
        assert_eq!(bed.tamper(damage).await, 1);
        let (found, _) = bed.store.client_key_by_digest(&digest(key.id)).await.unwrap().unwrap();
        assert_eq!((found.request_count, found.id), (0, key.id));
        let lines = bed.store.unfit_client_keys(&RowKey::Absent).await.unwrap();
        assert!(lines.len() == 1 && lines[0].contains("request_count"), "{lines:?}");
        let standing = bed.store.standing_client_key(key.id).await.unwrap().unwrap();
        assert_eq!(standing.fault, None);
        assert_eq!(bed.tamper("UPDATE client_keys SET last_used_at = NULL").await, 1);
        let touches = vec![touch(key.id, NOW_MS, 2)];
        bed.store.count_records("a", &counted(next, touches)).await.unwrap();
        let found = bed.store.client_key(key.id).await.unwrap().unwrap();
        assert_eq!((found.request_count, found.last_used_at), (2, Some(NOW_MS)));
    }
    assert_eq!(bed.tamper("UPDATE client_keys SET role = 'x'").await, 1);
    let seals = RowKey::Here(crate::secret::Key::copy_of(&[7; 32]));
    let lines = bed.store.unfit_client_keys(&seals).await.unwrap();
    assert!(lines[0].contains("column role cannot be read"), "{lines:?}");
    assert!(lines[0].contains("client delete") && !lines[0].contains("accept"), "{lines:?}");
}

async fn the_last_active_admin_stays(bed: Bed) {
    let admin = stored(&bed.store, "admin", Role::Admin).await;
    let idle = ClientKeyRow { active: false, ..client_key("idle", Role::Admin) };
    bed.store.insert_client_key(&idle, &[1; 32], None).await.unwrap();
    let expired = ClientKeyRow { expires_at: Some(NOW_MS), ..client_key("late", Role::Admin) };
    bed.store.insert_client_key(&expired, &[2; 32], None).await.unwrap();
    assert_eq!(bed.store.count_active_admins().await.unwrap(), 1);

    for change in [
        ClientKeyRow { active: false, ..admin.clone() },
        ClientKeyRow { role: Role::Operator, ..admin.clone() },
        ClientKeyRow { expires_at: Some(NOW_MS), ..admin.clone() },
    ] {
        let changed = bed.store.update_client_key_guarding_last_admin(&change).await;
        assert_eq!(changed.unwrap_err(), Error::LastAdmin);
    }
    let deleted = bed.store.delete_client_key_guarding_last_admin(admin.id).await;
    assert_eq!(deleted.unwrap_err(), Error::LastAdmin);
    assert_eq!(bed.store.client_key(admin.id).await.unwrap(), Some(admin.clone()));

    let renamed = ClientKeyRow { name: String::from("renamed"), ..admin.clone() };
    assert!(bed.store.update_client_key_guarding_last_admin(&renamed).await.unwrap());
    assert!(bed.store.delete_client_key_guarding_last_admin(idle.id).await.unwrap());
    stored(&bed.store, "second", Role::Admin).await;
    assert!(bed.store.delete_client_key_guarding_last_admin(admin.id).await.unwrap());
}

async fn of_two_admins_removed_at_once_one_stays(bed: Bed) {
    let other_node = bed.reopen().await.unwrap();
    for round in 0..15 {
        let left = stored(&bed.store, "left", Role::Admin).await;
        let right = stored(&bed.store, "right", Role::Admin).await;
        let (here, there) = (bed.store.clone(), other_node.clone());
        let (gone, idle) = (left.id, ClientKeyRow { active: false, ..right.clone() });
        let deleting =
            tokio::spawn(async move { here.delete_client_key_guarding_last_admin(gone).await });
        let revoking =
            tokio::spawn(async move { there.update_client_key_guarding_last_admin(&idle).await });
        let answers = [deleting.await.unwrap(), revoking.await.unwrap()];
        let refused = answers.iter().filter(|answer| **answer == Err(Error::LastAdmin)).count();
        assert_eq!(refused, 1, "round {round}: {answers:?}");
        assert_eq!(bed.store.count_active_admins().await.unwrap(), 1);
        bed.store.delete_client_key(left.id).await.unwrap();
        bed.store.delete_client_key(right.id).await.unwrap();
    }
}

async fn nobody_decides_while_another_removal_is_undecided(bed: Bed) {
    let left = stored(&bed.store, "left", Role::Admin).await;
    let right = stored(&bed.store, "right", Role::Admin).await;
    let other_node = bed.reopen().await.unwrap();
    other_node.ping().await.unwrap();

    let mut undecided = bed.store.begin().await.unwrap();
    undecided.serialise(Lock::Admins).await.unwrap();
    let id = left.id.to_string();
    let sql = "DELETE FROM client_keys WHERE id = $1";
    changing!(&mut undecided, sqlx::query(sql).bind(id)).unwrap();

    let mut revoking = tokio::spawn(async move {
        let idle = ClientKeyRow { active: false, ..right };
        other_node.update_client_key_guarding_last_admin(&idle).await
    });
    let early = tokio::time::timeout(Duration::from_millis(300), &mut revoking).await;
    assert!(early.is_err(), "it did not wait: {early:?}");
    undecided.commit().await.unwrap();
    assert_eq!(revoking.await.unwrap(), Err(Error::LastAdmin));
    assert_eq!(bed.store.count_active_admins().await.unwrap(), 1);
}

on_both!(
    a_change_keeps_what_calls_left_behind,
    a_deleted_key_takes_its_digests_with_it,
    a_lost_count_closes_no_key_and_is_set_right,
    a_digest_finds_its_key_and_no_two_keys_share_one,
    a_rotation_leaves_two_digests_at_most,
    a_row_that_contradicts_the_model_is_named,
    calls_add_up_and_last_used_never_goes_back,
    every_column_comes_back_as_it_went_in,
    nobody_decides_while_another_removal_is_undecided,
    of_two_admins_removed_at_once_one_stays,
    pages_go_from_the_newest_to_the_oldest,
    the_last_active_admin_stays,
);
