//! Key-encryption keys, secrets and versions: one active generation, one name in a provider,
//! numbers that are taken once, and nothing left of what was destroyed.
//! Must never take the database's word for a destruction: the files themselves are searched.

use super::*;

pub(super) fn kek(category: &str, generation: u32) -> KekRow {
    KekRow {
        id: Uuid::now_v7(),
        category: category.to_owned(),
        generation,
        wrapped: vec![0, 1, 0xff],
        master: MasterId { kind: MasterKind::AwsKms, id: String::from("arn:aws:kms:x:1:key/2") },
        state: KekState::Active,
        wraps: 0,
        wraps_seal: None,
        created_at: NOW_MS,
    }
}

fn secret(kek: &KekRow, name: &str) -> SecretRow {
    SecretRow {
        id: Uuid::now_v7(),
        provider: String::from("polygon"),
        name: name.to_owned(),
        category: kek.category.clone(),
        owner: None,
        labels: Vec::new(),
        expires_at: None,
        active: true,
        kek_id: kek.id,
        data_key: vec![0xd0; 40],
        fingerprint: String::from("f1"),
        created_at: NOW_MS,
        created_by: String::from("local"),
        updated_at: NOW_MS,
    }
}

fn version(secret_id: Uuid, number: u32, state: VersionState) -> VersionRow {
    VersionRow {
        secret_id,
        version: number,
        state,
        envelope: Some(vec![0xe0; 60]),
        destinations: [3; 32],
        created_at: NOW_MS,
        created_by: String::from("local"),
        last_used_at: None,
    }
}

async fn stored(store: &Store, name: &str) -> StoredSecret {
    let kek = match store.active_kek("market-data").await.unwrap() {
        Some(kek) => kek,
        None => {
            let kek = kek("market-data", 1);
            store.insert_kek(&kek).await.unwrap();
            kek
        }
    };
    let secret = secret(&kek, name);
    let first = version(secret.id, 1, VersionState::Active);
    store.insert_secret(&secret, &first, None).await.unwrap();
    StoredSecret { secret, versions: vec![first] }
}

async fn a_new_generation_retires_the_former(bed: Bed) {
    let (first, second, other) = (kek("ai", 1), kek("ai", 2), kek("trading", 1));
    for kek in [&first, &other, &second] {
        bed.store.insert_kek(kek).await.unwrap();
    }
    let retired = KekRow { state: KekState::Retired, ..first };
    let loaded = bed.store.keks().await.unwrap();
    assert_eq!(loaded.rows, [retired, second.clone(), other]);
    assert!(loaded.contradictions.is_empty());
    assert_eq!(bed.store.active_kek("ai").await.unwrap(), Some(second.clone()));
    assert_eq!(bed.store.active_kek("none").await.unwrap(), None);

    let error = bed.store.insert_kek(&kek("ai", 2)).await.unwrap_err();
    assert_eq!(error, Error::Duplicate { table: String::from("keks") });
    assert_eq!(bed.store.active_kek("ai").await.unwrap(), Some(second.clone()), "untouched");

    bed.store.count_wrap(second.id).await.unwrap();
    assert_eq!(bed.store.count_wrap(Uuid::now_v7()).await.unwrap_err(), Error::Stale);
    assert_eq!(bed.store.active_kek("ai").await.unwrap().unwrap().wraps, 1);
}

async fn a_secret_comes_back_with_its_versions(bed: Bed) {
    let plain = stored(&bed.store, "default").await;
    let kek = bed.store.active_kek("market-data").await.unwrap().unwrap();
    assert_eq!(kek.wraps, 1);
    let secret = SecretRow {
        owner: Some(String::from("desk")),
        labels: vec![(String::from("plan"), String::from("pro")), (String::from("a"), "é".into())],
        expires_at: Some(1),
        active: false,
        ..secret(&kek, "second")
    };
    let first = version(secret.id, 1, VersionState::Active);
    bed.store.insert_secret(&secret, &first, None).await.unwrap();
    let second = version(secret.id, 2, VersionState::Pending);
    bed.store.insert_version(&second).await.unwrap();
    let full = StoredSecret { secret, versions: vec![first, second] };

    assert_eq!(bed.store.secret(full.secret.id).await.unwrap(), Some(full.clone()));
    let by_name = bed.store.secret_by_name("polygon", "second").await.unwrap();
    assert_eq!(by_name, Some(full.clone()));
    assert_eq!(bed.store.secret_by_name("alpaca", "second").await.unwrap(), None);
    assert_eq!(bed.store.secret(Uuid::now_v7()).await.unwrap(), None);
    assert_eq!(bed.store.secrets().await.unwrap().rows, [plain.clone(), full.clone()]);
    let newest = bed.store.secrets_page(None, 1).await.unwrap();
    assert_eq!(newest, std::slice::from_ref(&full));
    let older = bed.store.secrets_page(Some(full.secret.id), 10).await.unwrap();
    assert_eq!(older, [plain]);
}

async fn of_equal_names_at_once_exactly_one_wins(bed: Bed) {
    stored(&bed.store, "default").await;
    let kek = bed.store.active_kek("market-data").await.unwrap().unwrap();
    let mut inserting = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let store = bed.reopen().await.unwrap();
        let secret = secret(&kek, "wanted");
        let first = version(secret.id, 1, VersionState::Active);
        inserting.spawn(async move { store.insert_secret(&secret, &first, None).await });
    }
    let answers = inserting.join_all().await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1, "{answers:?}");
    let duplicate = Error::Duplicate { table: String::from("secrets") };
    let refused = answers.iter().filter(|answer| answer.as_ref() == Err(&duplicate)).count();
    assert_eq!(refused, 7, "{answers:?}");
    let wraps = bed.store.active_kek("market-data").await.unwrap().unwrap().wraps;
    assert_eq!(wraps, 2, "only what was stored is counted");

    let other = bed.store.secret_by_name("polygon", "wanted").await.unwrap().unwrap().secret;
    let renamed = SecretRow { name: String::from("default"), ..other };
    assert_eq!(bed.store.update_secret(&renamed, None).await.unwrap_err(), duplicate);
}

async fn a_change_leaves_key_material_alone(bed: Bed) {
    let StoredSecret { secret, .. } = stored(&bed.store, "default").await;
    let sent = SecretRow {
        name: String::from("renamed"),
        owner: Some(String::from("desk")),
        active: false,
        updated_at: NOW_MS + 5,
        provider: String::from("alpaca"),
        data_key: vec![1],
        ..secret.clone()
    };
    assert!(bed.store.update_secret(&sent, None).await.unwrap());
    let kept = SecretRow { provider: secret.provider, data_key: secret.data_key, ..sent };
    assert_eq!(bed.store.secret(secret.id).await.unwrap().unwrap().secret, kept);
    assert!(
        !bed.store.update_secret(&SecretRow { id: Uuid::now_v7(), ..kept }, None).await.unwrap()
    );
}

async fn a_new_active_version_retires_the_former(bed: Bed) {
    let StoredSecret { secret, versions } = stored(&bed.store, "default").await;
    let second = version(secret.id, 2, VersionState::Active);
    assert!(bed.store.insert_active_version(&second, "f2", Former::Keep, None).await.unwrap());
    let first = VersionRow { state: VersionState::Retired, ..versions[0].clone() };
    let now = bed.store.secret(secret.id).await.unwrap().unwrap();
    assert_eq!(now.versions, [first.clone(), second.clone()]);
    assert_eq!(now.secret.fingerprint, "f2");

    let third = version(secret.id, 3, VersionState::Active);
    assert!(bed.store.insert_active_version(&third, "f3", Former::Destroy, None).await.unwrap());
    let gone = VersionRow { state: VersionState::Destroyed, envelope: None, ..second };
    let now = bed.store.secret(secret.id).await.unwrap().unwrap();
    assert_eq!(now.versions, [first, gone, third]);

    let taken = version(secret.id, 3, VersionState::Active);
    let error =
        bed.store.insert_active_version(&taken, "f4", Former::Keep, None).await.unwrap_err();
    assert_eq!(error, Error::Duplicate { table: String::from("secret_versions") });
    assert_eq!(bed.store.secret(secret.id).await.unwrap(), Some(now), "all of it was undone");
    let absent = version(Uuid::now_v7(), 1, VersionState::Active);
    assert!(!bed.store.insert_active_version(&absent, "f", Former::Keep, None).await.unwrap());
}

async fn of_two_rotations_at_once_one_gets_the_number(bed: Bed) {
    let id = stored(&bed.store, "default").await.secret.id;
    let mut rotating = tokio::task::JoinSet::new();
    for number in 0..6 {
        let store = bed.store.clone();
        let second = version(id, 2, VersionState::Active);
        rotating.spawn(async move {
            store.insert_active_version(&second, &format!("f{number}"), Former::Keep, None).await
        });
    }
    let answers = rotating.join_all().await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1, "{answers:?}");
    let states: Vec<_> = bed.store.secret(id).await.unwrap().unwrap().versions;
    let states: Vec<_> = states.iter().map(|version| version.state).collect();
    assert_eq!(states, [VersionState::Retired, VersionState::Active]);
}

async fn an_envelope_is_replaced_but_not_given_back(bed: Bed) {
    let id = stored(&bed.store, "default").await.secret.id;
    assert!(bed.store.replace_envelope(id, 1, b"anew", &[4; 32]).await.unwrap());
    let now = bed.store.secret(id).await.unwrap().unwrap().versions.remove(0);
    assert_eq!((now.envelope.as_deref(), now.destinations), (Some(&b"anew"[..]), [4; 32]));
    assert!(!bed.store.replace_envelope(id, 2, b"anew", &[4; 32]).await.unwrap());
    bed.tamper("UPDATE secret_versions SET state = 'destroyed', envelope = NULL").await;
    assert!(!bed.store.replace_envelope(id, 1, b"back", &[4; 32]).await.unwrap());
}

async fn a_destroyed_secret_is_gone_with_all_its_versions(bed: Bed) {
    let kept = stored(&bed.store, "kept").await;
    let id = stored(&bed.store, "default").await.secret.id;
    bed.store.insert_version(&version(id, 2, VersionState::Pending)).await.unwrap();
    assert!(bed.store.destroy_secret(id, None).await.unwrap());
    assert!(!bed.store.destroy_secret(id, None).await.unwrap());
    assert_eq!(bed.store.secret(id).await.unwrap(), None);
    assert_eq!(bed.store.secrets().await.unwrap().rows, [kept]);
    assert_eq!(bed.tamper("DELETE FROM secret_versions").await, 1, "only the kept one's");
}

async fn a_contradicting_row_is_left_out_and_named(bed: Bed) {
    let (good, bad) = (stored(&bed.store, "good").await, stored(&bed.store, "bad").await);
    let select = "secret_id = (SELECT id FROM secrets WHERE name = 'bad')";
    for (damage, column, fault) in [
        ("state = 'lost'", "state", "says \"lost\", which is not known"),
        ("state = 'active', envelope = NULL", "envelope", "is missing"),
        (
            "state = 'destroyed', envelope = 'x'",
            "envelope",
            "is there, but the version is destroyed",
        ),
        ("state = 'active', destinations = 'x'", "destinations", "has 1 bytes instead of 32"),
    ] {
        // STRICT tables want bytes to be written as bytes, and the two write them differently.
        let damage = match &bed.home {
            Home::Folder(_) => damage.replace("'x'", "x'78'"),
            Home::Database { .. } => damage.to_owned(),
        };
        let sql = format!("UPDATE secret_versions SET {damage} WHERE {select}");
        assert_eq!(bed.tamper(sql.leak()).await, 1);
        let loaded = bed.store.secrets().await.unwrap();
        assert_eq!(loaded.rows, std::slice::from_ref(&good));
        let expected = Error::Contradiction {
            table: "secret_versions",
            row: format!("{} version 1", bad.secret.id),
            column,
            fault: fault.to_owned(),
        };
        let faults: Vec<_> = loaded.contradictions.into_iter().map(|unread| unread.fault).collect();
        assert_eq!(faults, std::slice::from_ref(&expected));
        assert_eq!(bed.store.secret(bad.secret.id).await.unwrap_err(), expected);
    }
    bed.tamper("UPDATE keks SET state = 'shiny'").await;
    let loaded = bed.store.keks().await.unwrap();
    assert!(loaded.rows.is_empty());
    assert!(loaded.contradictions[0].to_string().contains("of table keks contradicts the model"));
}

async fn what_was_said_of_the_end_of_a_key_is_not_said_of_the_next_one(bed: Bed) {
    let kept = stored(&bed.store, "ends").await;
    let id = kept.secret.id;
    let check = CheckRow {
        id: Uuid::now_v7(),
        secret_id: id,
        version: 1,
        checked_at: NOW_MS,
        cause: Cause::Asked,
        actor: String::from("local"),
        outcome: Outcome::Good,
        health: Health::Healthy,
        report: String::from("[]"),
    };
    let stands = HealthRow {
        secret_id: id,
        health: Health::Healthy,
        why: String::new(),
        since: NOW_MS,
        checked_at: NOW_MS,
        account: None,
        permissions: None,
        limits: None,
        told_end: Some(NOW_MS + 1),
    };
    bed.store.note_check(&check, Some(&stands)).await.unwrap();
    let told = async || bed.store.secret_health(id).await.unwrap().unwrap().told_end;
    assert_eq!(told().await, Some(NOW_MS + 1));
    let next = version(id, 2, VersionState::Active);
    assert!(bed.store.insert_active_version(&next, "2", Former::Keep, None).await.unwrap());
    assert_eq!(told().await, None);
}

on_both!(what_was_said_of_the_end_of_a_key_is_not_said_of_the_next_one);

on_both!(
    a_change_leaves_key_material_alone,
    a_contradicting_row_is_left_out_and_named,
    a_destroyed_secret_is_gone_with_all_its_versions,
    a_new_active_version_retires_the_former,
    a_new_generation_retires_the_former,
    a_secret_comes_back_with_its_versions,
    an_envelope_is_replaced_but_not_given_back,
    of_equal_names_at_once_exactly_one_wins,
    of_two_rotations_at_once_one_gets_the_number,
);

#[tokio::test]
async fn no_byte_of_a_destroyed_envelope_stays_in_the_files() {
    const MARK: &[u8] = b"envelope-that-was-destroyed";
    let bed = Bed::sqlite().await;
    let kept = stored(&bed.store, "kept").await.secret.id;
    let id = stored(&bed.store, "default").await.secret.id;
    let marked = |number| VersionRow {
        // Larger than a page, so that overflow pages are among what is to be cleaned.
        envelope: Some(MARK.repeat(400)),
        ..version(id, number, VersionState::Active)
    };
    let times_found = || {
        let files = ["", "-wal"].map(|suffix| format!("{}{suffix}", bed.file().display()));
        let bytes = files.map(|file| std::fs::read(file).unwrap()).concat();
        bytes.windows(MARK.len()).filter(|window| *window == MARK).count()
    };
    bed.store.insert_active_version(&marked(2), "f2", Former::Keep, None).await.unwrap();
    assert!(times_found() > 0);
    bed.store
        .insert_active_version(&version(id, 3, VersionState::Active), "f3", Former::Destroy, None)
        .await
        .unwrap();
    assert_eq!(times_found(), 0, "after a rotation that destroys the former");

    bed.store.insert_active_version(&marked(4), "f4", Former::Keep, None).await.unwrap();
    assert!(times_found() > 0);
    assert!(bed.store.destroy_secret(id, None).await.unwrap());
    assert_eq!(times_found(), 0, "after the secret was destroyed");
    assert!(bed.store.secret(kept).await.unwrap().is_some());
}
