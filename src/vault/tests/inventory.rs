//! Rows that somebody with the database's password has edited, moved, deleted, inserted or put back.

use super::*;
use crate::vault::verify::opens;

const VALUE: &str = "polygon-key-0123456789";

async fn filled(names: &[&str]) -> (House, Vec<Uuid>) {
    let house = house().await;
    let mut ids = Vec::new();
    for name in names {
        ids.push(house.vault.add(new("polygon", name, VALUE)).await.unwrap().id);
    }
    (house, ids)
}

async fn restarted(house: &House) {
    let changing = house.vault.changing.lock().await;
    house.vault.reload_locked(&changing).await.unwrap();
}

#[tokio::test]
async fn of_fifty_secrets_no_row_opens_in_the_place_of_another() {
    let names: Vec<String> = (0..50).map(|number| format!("s{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (house, _) = filled(&names).await;
    let rows = house.store.secrets().await.unwrap().rows;
    let keyring = house.vault.unsealed().unwrap().keyring.share();
    let mut refused = 0;
    for here in 0..50 {
        assert!(opens(&keyring, &rows[here]).is_ok());
        for there in (0..50).filter(|there| *there != here) {
            // The envelope, the data key, both, and the whole version row.
            let mut moved = [(); 4].map(|()| rows[here].clone());
            moved[0].versions[0].envelope.clone_from(&rows[there].versions[0].envelope);
            moved[1].secret.data_key.clone_from(&rows[there].secret.data_key);
            moved[2].versions[0].envelope.clone_from(&rows[there].versions[0].envelope);
            moved[2].secret.data_key.clone_from(&rows[there].secret.data_key);
            moved[3].versions.clone_from(&rows[there].versions);
            assert!(moved.iter().all(|row| opens(&keyring, row).is_err()), "{here} {there}");
            refused += 1;
        }
    }
    assert_eq!(refused, 2_450);

    // And in the database itself: every row in the place of its neighbour.
    let moved = "UPDATE secret_versions SET envelope = (SELECT other.envelope
        FROM secret_versions AS other WHERE other.secret_id > secret_versions.secret_id
        ORDER BY other.secret_id LIMIT 1)
        WHERE secret_id < (SELECT MAX(id) FROM secrets)";
    assert_eq!(house.store.tamper(moved).await, 49);
    restarted(&house).await;
    for name in names.iter().take(49) {
        assert_eq!(opened(&house, "polygon", Some(name)), Err(Reason::NoSecret));
    }
    assert!(opened(&house, "polygon", Some("s49")).is_ok());
}

#[tokio::test]
async fn a_deleted_row_is_missed_and_can_be_struck_off() {
    let (house, ids) = filled(&["a", "b"]).await;
    house.store.tamper("DELETE FROM secrets WHERE name = 'a'").await;
    restarted(&house).await;
    let findings = house.vault.findings();
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert!(findings[0].starts_with(&format!("secret {} of category market-data", ids[0])));
    assert!(opened(&house, "polygon", Some("b")).is_ok());
    // A change of another secret mends nothing.
    let off = SecretPatch { active: Some(false), ..SecretPatch::default() };
    house.vault.set(ids[1], off).await.unwrap();
    assert_eq!(house.vault.findings().len(), 1);
    assert!(house.vault.is_missing(ids[0]));
    assert!(house.vault.destroy(ids[0]).await.unwrap());
    assert_eq!(house.vault.findings(), Vec::<String>::new());
    assert!(!house.vault.destroy(ids[0]).await.unwrap());
}

#[tokio::test]
async fn a_secret_that_was_destroyed_and_is_put_back_serves_nobody() {
    let (house, ids) = filled(&["a", "b"]).await;
    house.store.tamper("CREATE TABLE kept AS SELECT * FROM secrets WHERE name = 'a'").await;
    house.store.tamper("CREATE TABLE kept_versions AS SELECT * FROM secret_versions").await;
    house.vault.destroy(ids[0]).await.unwrap();
    house.store.tamper("INSERT INTO secrets SELECT * FROM kept").await;
    let back = "INSERT INTO secret_versions SELECT * FROM kept_versions
        WHERE secret_id IN (SELECT id FROM kept)";
    house.store.tamper(back).await;
    restarted(&house).await;
    assert_eq!(opened(&house, "polygon", Some("a")), Err(Reason::NoSecret));
    assert!(opened(&house, "polygon", Some("b")).is_ok());
    assert_eq!(house.vault.findings().len(), 1);
    let on = SecretPatch { active: Some(true), ..SecretPatch::default() };
    assert!(matches!(house.vault.set(ids[0], on).await, Err(VaultError::Tampered)));
    assert!(house.vault.destroy(ids[0]).await.unwrap());
    assert_eq!(house.vault.findings(), Vec::<String>::new());
}

#[tokio::test]
async fn a_row_of_an_earlier_time_and_an_edited_one_serve_nobody() {
    let (house, ids) = filled(&["a", "b", "c"]).await;
    house.store.tamper("CREATE TABLE kept AS SELECT * FROM secret_versions").await;
    house.store.tamper("CREATE TABLE kept_secrets AS SELECT * FROM secrets").await;
    let fields = || vec![(String::from("api_key"), SecretBytes::copy_of(b"polygon-key-new-98765"))];
    house.vault.replace(ids[0], fields(), "test").await.unwrap();
    let off = SecretPatch { active: Some(false), ..SecretPatch::default() };
    house.vault.set(ids[1], off).await.unwrap();
    // The former value of one, complete; the switch of another.
    house.store.tamper("DELETE FROM secret_versions WHERE version = 2").await;
    let back = "UPDATE secret_versions SET state = 'active', envelope = (SELECT envelope FROM kept
        WHERE kept.secret_id = secret_versions.secret_id)";
    house.store.tamper(back).await;
    let print = "UPDATE secrets SET fingerprint = (SELECT fingerprint FROM kept_secrets
        WHERE kept_secrets.id = secrets.id)";
    house.store.tamper(print).await;
    house.store.tamper("UPDATE secrets SET active = 1").await;
    restarted(&house).await;
    for (name, expected) in [("a", false), ("b", false), ("c", true)] {
        assert_eq!(opened(&house, "polygon", Some(name)).is_ok(), expected, "{name}");
    }
    assert_eq!(house.vault.findings().len(), 2);
}

#[tokio::test]
async fn a_list_that_is_gone_or_edited_is_found_and_begun_anew_and_everything_served() {
    for sql in [
        "DELETE FROM inventories",
        "UPDATE inventories SET epoch = epoch + 1",
        "UPDATE inventories SET sealed = x'0102'",
    ] {
        let (house, _) = filled(&["a", "b"]).await;
        house.store.tamper(sql).await;
        restarted(&house).await;
        let findings = house.vault.findings();
        assert_eq!(findings.len(), 1, "{sql}: {findings:?}");
        assert!(findings[0].starts_with("the inventory of category market-data "), "{findings:?}");
        assert!(opened(&house, "polygon", Some("a")).is_ok());
        restarted(&house).await;
        assert_eq!(house.vault.findings(), Vec::<String>::new(), "said once");
        house.vault.add(new("polygon", "c", VALUE)).await.unwrap();
        assert!(opened(&house, "polygon", Some("c")).is_ok());
    }
}

#[tokio::test]
async fn a_provider_that_is_edited_in_the_database_closes_its_secret() {
    let (house, _) = filled(&["a", "b"]).await;
    house.store.tamper("UPDATE secrets SET provider = 'massive' WHERE name = 'a'").await;
    let digest = "UPDATE secret_versions SET destinations = x'\
        0000000000000000000000000000000000000000000000000000000000000000'
        WHERE secret_id = (SELECT id FROM secrets WHERE name = 'b')";
    house.store.tamper(digest).await;
    restarted(&house).await;
    assert_eq!(opened(&house, "massive", Some("a")), Err(Reason::NoSecret));
    assert_eq!(opened(&house, "polygon", Some("b")), Err(Reason::NoSecret));
    let rows = house.store.secrets().await.unwrap().rows;
    let keyring = house.vault.unsealed().unwrap().keyring.share();
    assert!(rows.iter().all(|row| opens(&keyring, row).is_err()), "without the list too");
}

#[tokio::test]
async fn a_secret_is_resealed_for_where_its_provider_is_now() {
    let (house, ids) = filled(&["default"]).await;
    let elsewhere = "base_url = \"https://elsewhere.example\"".parse().unwrap();
    let moved = Catalogue::build(&[(String::from("polygon"), elsewhere)]).unwrap();
    let permit = permit_of(&moved, "polygon", None);
    let vault = house.node_with(moved).await;
    let refusal = vault.select(&permit).err().unwrap();
    assert_eq!(refusal.reason, Reason::NoSecret);
    assert!(refusal.detail.contains("secret reseal"), "{}", refusal.detail);
    let before = vault.show(ids[0]).await.unwrap().unwrap();
    let after = vault.reseal(ids[0]).await.unwrap().unwrap();
    assert_eq!(before.fingerprint, after.fingerprint);
    assert_eq!(opened_by(&vault, &permit).unwrap(), VALUE.as_bytes());
    // A call that was on its way when the provider changed does not open for the former place.
    let former = super::permit(&house, "polygon", None);
    assert_eq!(opened_by(&vault, &former), Err(Reason::NoSecret));
    assert_eq!(vault.findings(), Vec::<String>::new());
    assert!(vault.reseal(Uuid::now_v7()).await.unwrap().is_none());
    // The former place is not allowed any more.
    restarted(&house).await;
    assert_eq!(opened(&house, "polygon", None), Err(Reason::NoSecret));
}

#[tokio::test]
async fn a_new_address_for_sockets_closes_no_call() {
    let (house, _) = filled(&["default"]).await;
    let more = "websocket_url = \"wss://elsewhere.example\"".parse().unwrap();
    let grown = Catalogue::build(&[(String::from("polygon"), more)]).unwrap();
    let vault = house.node_with(grown).await;
    assert!(vault.select(&permit(&house, "polygon", None)).is_ok());
}

/// What somebody did to the secret `default`, with another one of the same provider beside it.
const TOUCHED: [&str; 7] = [
    "UPDATE secrets SET active = 7 WHERE name = 'default'",
    "UPDATE secrets SET active = 0 WHERE name = 'default'",
    "UPDATE secrets SET name = 'other' WHERE name = 'default'",
    "UPDATE secrets SET provider = 'massive' WHERE name = 'default'",
    "UPDATE secrets SET active = 7, provider = 'massive' WHERE name = 'default'",
    "UPDATE secret_versions SET destinations = x''
        WHERE secret_id = (SELECT id FROM secrets WHERE name = 'default')",
    "DELETE FROM secrets WHERE name = 'default'",
];

#[tokio::test]
async fn no_call_gets_a_siblings_key_because_somebody_touched_the_one_that_it_meant() {
    for sql in TOUCHED {
        let (house, _) = filled(&["spare", "default"]).await;
        assert!(house.store.tamper(sql).await > 0);
        restarted(&house).await;
        assert_eq!(opened(&house, "polygon", None), Err(Reason::NoSecret), "{sql}");
        assert!(opened(&house, "polygon", Some("spare")).is_ok(), "{sql}");
        assert!(!house.vault.findings().is_empty(), "{sql}");
    }
}

#[tokio::test]
async fn a_secret_that_cannot_be_read_is_closed_alone_and_by_its_name() {
    let (house, _) = filled(&["bad", "default"]).await;
    house.vault.add(new("massive", "first", "massive-key-0123456789")).await.unwrap();
    house.store.tamper("UPDATE secrets SET active = 7 WHERE name = 'bad'").await;
    restarted(&house).await;
    assert_eq!(opened(&house, "polygon", Some("bad")), Err(Reason::NoSecret));
    assert_eq!(opened(&house, "polygon", Some("nobody")), Err(Reason::NotFound));
    // What is as it was left is the default, whatever became of another one.
    assert!(opened(&house, "polygon", None).is_ok());
    assert!(opened(&house, "massive", None).is_ok());
}

#[tokio::test]
async fn a_disabled_default_hands_over_to_the_oldest_as_before() {
    let (house, ids) = filled(&["default", "spare"]).await;
    let off = SecretPatch { active: Some(false), ..SecretPatch::default() };
    house.vault.set(ids[0], off).await.unwrap();
    assert!(opened(&house, "polygon", None).is_ok());
}

#[tokio::test]
async fn the_remedy_that_a_finding_names_for_an_unreadable_secret_works() {
    for sql in [TOUCHED[0], TOUCHED[4], TOUCHED[5]] {
        let (house, ids) = filled(&["spare", "default"]).await;
        house.store.tamper(sql).await;
        let findings = house.vault.examine().await.unwrap();
        assert_eq!(findings.len(), 1, "{findings:?}");
        let remedy = format!("`sealgate secret destroy {}`", ids[1]);
        assert!(findings[0].contains(&remedy), "{findings:?}");
        let shown = house.vault.show(ids[1]).await;
        assert!(shown.err().unwrap().to_string().contains(&remedy));
        assert!(matches!(house.vault.check_stored(ids[1]).await, Err(VaultError::Unreadable(_))));
        assert!(house.vault.destroy(ids[1]).await.unwrap());
        assert_eq!(house.vault.examine().await.unwrap(), Vec::<String>::new(), "{sql}");
        assert!(house.vault.show(ids[1]).await.unwrap().is_none());
        house.vault.add(new("polygon", "default", VALUE)).await.unwrap();
        assert!(opened(&house, "polygon", None).is_ok());
    }
}

#[tokio::test]
async fn a_row_whose_id_is_none_is_destroyed_by_what_stands_there() {
    let (house, ids) = filled(&["spare", "default"]).await;
    house
        .store
        .tamper(
            "DELETE FROM secret_versions WHERE secret_id IN
        (SELECT id FROM secrets WHERE name = 'default')",
        )
        .await;
    house.store.tamper("UPDATE secrets SET id = 'zzz' WHERE name = 'default'").await;
    restarted(&house).await;
    assert_eq!(opened(&house, "polygon", None), Err(Reason::NoSecret));
    let findings = house.vault.examine().await.unwrap();
    assert!(findings.iter().any(|line| line.contains("`sealgate secret destroy zzz`")));
    assert!(!house.vault.destroy_row("yyy").await.unwrap());
    assert!(house.vault.destroy_row("zzz").await.unwrap());
    assert!(house.vault.destroy(ids[1]).await.unwrap());
    assert_eq!(house.vault.examine().await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn a_list_from_before_owners_and_dates_were_bound_binds_them_once() {
    let (house, ids) = filled(&["spare", "default"]).await;
    let keyring = house.vault.unsealed().unwrap().keyring.share();
    let category = house.vault.show(ids[0]).await.unwrap().unwrap().category;
    let mut list = house.vault.inventory(&keyring, &category).await.unwrap();
    for stored in &house.store.secrets().await.unwrap().rows {
        list.put_as_before(&stored.secret, &stored.versions);
    }
    let kek = keyring.known_active(&category).unwrap();
    house.store.put_inventory(&list.next(&keyring, &kek).unwrap()).await.unwrap();
    assert_eq!(house.vault.examine().await.unwrap(), Vec::<String>::new());
    house.store.tamper("UPDATE secrets SET owner = 'before' WHERE name = 'spare'").await;
    assert_eq!(house.vault.examine().await.unwrap(), Vec::<String>::new());
    restarted(&house).await;
    house.store.tamper("UPDATE secrets SET owner = 'after' WHERE name = 'default'").await;
    let found = house.vault.examine().await.unwrap();
    assert!(found.len() == 1 && found[0].contains("default"), "{found:?}");
}

#[tokio::test]
async fn a_count_of_wraps_never_falls_below_what_was_committed() {
    let (house, _) = filled(&["spare"]).await;
    house.store.tamper("CREATE TABLE kept AS SELECT id, wraps, wraps_seal FROM keks").await;
    let keks = house.store.keks().await.unwrap().rows;
    let kek = keks.iter().find(|kek| kek.category == "market-data").unwrap();
    house.store.count_wrap(kek.id).await.unwrap();
    // No reload in between.
    let back = "UPDATE keks SET wraps = (SELECT wraps FROM kept WHERE kept.id = keks.id),
        wraps_seal = (SELECT wraps_seal FROM kept WHERE kept.id = keks.id)";
    house.store.tamper(back).await;
    let refused = house.store.count_wrap(kek.id).await;
    assert!(matches!(refused, Err(crate::store::Error::Miscounted { .. })), "{refused:?}");
}
