//! Lists that were deleted or put back, with their rows and the counts beside them: what a node has
//! seen is not forgotten, and what is legitimate is no alarm.

use std::path::Path;

use super::*;
use crate::store::{JobKind, JobState};
use crate::vault::ANCHORS;

const VALUE: &str = "polygon-key-0123456789";

/// Another start of the same node: the same folder.
async fn started(house: &House, folder: &Path) -> Arc<Vault> {
    let (store, clock) = (house.store.clone(), house.clock.clone());
    let installation = house.vault.installation;
    let vault = Vault::sealed(store, clock, house.catalogue.clone(), installation);
    let vault = vault.anchored(folder);
    vault.unseal(masters(3)).await.unwrap();
    Arc::new(vault)
}

/// A house whose node keeps anchors, with secrets of these names.
/// These houses have no client keys, which is a finding of its own.
async fn examined(vault: &Vault) -> Vec<String> {
    let mut found = vault.examine().await.unwrap();
    found.retain(|line| line != NO_ADMIN);
    found
}

async fn filled(names: &[&str]) -> (House, tempfile::TempDir, Vec<Uuid>) {
    let mut house = house().await;
    let folder = tempfile::tempdir().unwrap();
    house.vault = started(&house, folder.path()).await;
    let mut ids = Vec::new();
    for name in names {
        ids.push(house.vault.add(new("polygon", name, VALUE)).await.unwrap().id);
    }
    (house, folder, ids)
}

async fn keep_copies(house: &House) {
    for sql in [
        "CREATE TABLE kept_secrets AS SELECT * FROM secrets",
        "CREATE TABLE kept_versions AS SELECT * FROM secret_versions",
        "CREATE TABLE kept_lists AS SELECT * FROM inventories",
    ] {
        house.store.tamper(sql).await;
    }
}

async fn put_rows_back(house: &House) {
    for sql in [
        "DELETE FROM secret_versions",
        "DELETE FROM secrets",
        "INSERT INTO secrets SELECT * FROM kept_secrets",
        "INSERT INTO secret_versions SELECT * FROM kept_versions",
    ] {
        house.store.tamper(sql).await;
    }
}

async fn put_lists_back(house: &House) {
    house.store.tamper("DELETE FROM inventories").await;
    house.store.tamper("INSERT INTO inventories SELECT * FROM kept_lists").await;
}

fn serves(house: &House, vault: &Vault, name: &str) -> bool {
    opened_by(vault, &permit(house, "polygon", Some(name))).is_ok()
}

#[tokio::test]
async fn a_deleted_list_hides_no_secret_that_was_destroyed_and_put_back() {
    let (house, folder, ids) = filled(&["a", "b"]).await;
    keep_copies(&house).await;
    house.vault.destroy(ids[0]).await.unwrap();
    put_rows_back(&house).await;
    house.store.tamper("DELETE FROM inventories").await;
    for _ in 0..2 {
        let vault = started(&house, folder.path()).await;
        assert!(!serves(&house, &vault, "a") && serves(&house, &vault, "b"));
        let findings = vault.findings();
        assert_eq!(findings.len(), 2, "{findings:?}");
        assert!(findings.iter().any(|finding| finding.contains("is not there")), "{findings:?}");
    }
    // The first change writes the list again, and what differs stays found.
    let vault = started(&house, folder.path()).await;
    let owner = SecretPatch { owner: Some(Some(String::from("desk"))), ..SecretPatch::default() };
    vault.set(ids[1], owner).await.unwrap();
    let vault = started(&house, folder.path()).await;
    assert!(!serves(&house, &vault, "a") && serves(&house, &vault, "b"));
    assert_eq!(vault.findings().len(), 1);
    assert!(vault.destroy(ids[0]).await.unwrap());
    assert_eq!(vault.findings(), Vec::<String>::new());
}

#[tokio::test]
async fn a_deleted_list_hides_no_swap_of_names() {
    let (house, folder, _) = filled(&["a", "b", "c"]).await;
    for sql in [
        "UPDATE secrets SET name = 'x' WHERE name = 'a'",
        "UPDATE secrets SET name = 'a' WHERE name = 'b'",
        "UPDATE secrets SET name = 'b' WHERE name = 'x'",
        "DELETE FROM inventories",
        "UPDATE keks SET wraps = 0",
    ] {
        house.store.tamper(sql).await;
    }
    let vault = started(&house, folder.path()).await;
    assert!(!serves(&house, &vault, "a") && !serves(&house, &vault, "b"));
    assert!(serves(&house, &vault, "c"));
    let views = vault.list().await.unwrap();
    assert_eq!(views.iter().filter(|view| view.fault.is_some()).count(), 2);
}

#[tokio::test]
async fn rows_and_list_that_are_put_back_together_are_seen() {
    let (house, folder, ids) = filled(&["a", "b"]).await;
    keep_copies(&house).await;
    let fields = vec![(String::from("api_key"), SecretBytes::copy_of(b"polygon-key-new-9876543"))];
    house.vault.replace(ids[0], fields, "test").await.unwrap();
    let late = house.vault.add(new("polygon", "c", VALUE)).await.unwrap().id;
    put_rows_back(&house).await;
    put_lists_back(&house).await;
    // Beside the house that runs, too.
    let told = house.vault.examine().await.unwrap().join("\n");
    assert!(told.contains("was put back to an earlier state"), "{told}");
    let vault = started(&house, folder.path()).await;
    assert!(!serves(&house, &vault, "a") && serves(&house, &vault, "b"));
    let told = vault.findings().join("\n");
    assert!(told.contains("was put back to an earlier state"), "{told}");
    assert!(told.contains(&late.to_string()), "{told}");
    // Whoever meant it says so where the database's owner cannot: in the data folder.
    let settled = vault.accept_lists().await.unwrap();
    assert!(settled.iter().any(|line| line.contains("was put back")), "{settled:?}");
    for vault in [vault, started(&house, folder.path()).await] {
        assert!(serves(&house, &vault, "a") && serves(&house, &vault, "b"));
        assert_eq!(vault.findings(), Vec::<String>::new());
        assert_eq!(examined(&vault).await, Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_list_that_is_gone_with_its_anchor_is_taken_as_it_stands_and_told_until_somebody_looks() {
    for gone in ["DELETE FROM inventories", "SELECT 1"] {
        let (house, folder, _) = filled(&["a", "b"]).await;
        std::fs::create_dir(folder.path().join("journal")).unwrap();
        std::fs::write(folder.path().join("journal/head"), "").unwrap();
        std::fs::remove_file(folder.path().join(ANCHORS)).unwrap();
        house.store.tamper(gone).await;
        for _ in 0..2 {
            let vault = started(&house, folder.path()).await;
            assert!(serves(&house, &vault, "a"));
            for told in [vault.findings().join("\n"), vault.examine().await.unwrap().join("\n")] {
                assert!(
                    told.contains("is gone, though") && told.contains("secret accept"),
                    "{told}"
                );
            }
        }
        let vault = started(&house, folder.path()).await;
        vault.accept_lists().await.unwrap();
        assert_eq!(examined(&vault).await, Vec::<String>::new());
        let vault = started(&house, folder.path()).await;
        assert_eq!(vault.findings(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn no_job_and_no_change_lifts_a_list_of_an_earlier_time_over_the_anchor() {
    let (house, folder, ids) = filled(&["a", "b"]).await;
    keep_copies(&house).await;
    house.vault.destroy(ids[0]).await.unwrap();
    put_rows_back(&house).await;
    put_lists_back(&house).await;
    let vault = started(&house, folder.path()).await;
    vault.rotate_keks(None).await.unwrap();
    vault.start_job(JobKind::Rewrap, "test", None).await.unwrap();
    let settings =
        Settings { kek_max_age_days: 0, keep_opened: Duration::ZERO, locked_memory_bytes: 0 };
    let tending = tokio::spawn(Arc::clone(&vault).tend_keys(String::from("node"), settings));
    for _ in 0..500 {
        let job = vault.latest_job().await.unwrap().unwrap();
        if job.state != JobState::Running {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tending.abort();
    let vault = started(&house, folder.path()).await;
    assert!(!serves(&house, &vault, "a") && serves(&house, &vault, "b"));
    assert!(!vault.findings().is_empty());
}

#[tokio::test]
async fn a_kill_before_the_anchor_an_upgrade_and_a_second_node_are_no_alarm() {
    let (house, folder, ids) = filled(&["a", "b"]).await;
    let file = folder.path().join(ANCHORS);
    let before = std::fs::read(&file).unwrap();
    house.vault.destroy(ids[0]).await.unwrap();
    // The transaction stands, what follows it was never written.
    std::fs::write(&file, &before).unwrap();
    let vault = started(&house, folder.path()).await;
    assert_eq!(vault.findings(), Vec::<String>::new());
    assert_ne!(std::fs::read(&file).unwrap(), before, "taken over at the start");
    // A house of before has no such file.
    std::fs::remove_file(&file).unwrap();
    let vault = started(&house, folder.path()).await;
    assert_eq!(vault.findings(), Vec::<String>::new());
    assert!(file.exists());

    let elsewhere = tempfile::tempdir().unwrap();
    let other = started(&house, elsewhere.path()).await;
    for name in ["c", "d", "e"] {
        vault.add(new("polygon", name, VALUE)).await.unwrap();
    }
    other.add(new("polygon", "f", VALUE)).await.unwrap();
    for folder in [folder.path(), elsewhere.path()] {
        let vault = started(&house, folder).await;
        assert_eq!(vault.findings(), Vec::<String>::new());
        assert!(serves(&house, &vault, "b") && serves(&house, &vault, "f"));
    }
}

#[tokio::test]
async fn a_category_whose_copy_opens_no_more_is_closed_until_somebody_says_it_was_meant() {
    let (house, folder, ids) = filled(&["a"]).await;
    let other = house.vault.add(new("openai", "default", "sk-0123456789abcdefghij")).await;
    other.unwrap();
    let file = folder.path().join(ANCHORS);
    // As after a rewrap that the database knows nothing of any more.
    let text = std::fs::read_to_string(&file).unwrap();
    let line = text.lines().find(|line| line.ends_with(" market-data")).unwrap();
    let later = format!("9 {} 00ff market-data", Uuid::from_u128(9));
    std::fs::write(&file, text.replace(line, &later)).unwrap();
    let vault = started(&house, folder.path()).await;
    assert!(!serves(&house, &vault, "a"));
    assert!(opened_by(&vault, &permit(&house, "openai", None)).is_ok());
    assert_eq!(vault.findings().len(), 2);
    let off = SecretPatch { active: Some(false), ..SecretPatch::default() };
    assert!(matches!(vault.set(ids[0], off).await, Err(VaultError::Closed(_))));
    std::fs::remove_file(&file).unwrap();
    let vault = started(&house, folder.path()).await;
    assert!(serves(&house, &vault, "a"));
}

#[tokio::test]
async fn a_live_list_that_is_malformed_or_at_the_end_of_numbers_keeps_nobody_from_changes() {
    for sql in [
        "UPDATE inventories SET epoch = 9223372036854775807",
        "UPDATE inventories SET epoch = -5",
        "UPDATE inventories SET sealed = x'00'",
        "DELETE FROM inventories",
    ] {
        for anchored in [true, false] {
            let (house, folder, ids) = filled(&["a"]).await;
            let start = async || match anchored {
                true => started(&house, folder.path()).await,
                false => Arc::new(house.another_node().await),
            };
            let vault = start().await;
            house.store.tamper(sql).await;
            assert_eq!(vault.examine().await.unwrap().len(), 1, "{sql}");
            vault.add(new("polygon", "b", VALUE)).await.unwrap_or_else(|fault| {
                panic!("{sql}: {fault}");
            });
            assert!(serves(&house, &vault, "a") && serves(&house, &vault, "b"), "{sql}");
            // Once more, across a start.
            house.store.tamper(sql).await;
            let vault = start().await;
            vault.destroy(ids[0]).await.unwrap();
            assert!(serves(&house, &vault, "b"), "{sql}");
            let vault = start().await;
            assert_eq!(vault.findings(), Vec::<String>::new(), "{sql}");
        }
    }
}

#[tokio::test]
async fn a_category_without_an_active_key_says_what_to_do_and_the_others_go_on() {
    let (house, _folder, _) = filled(&["a"]).await;
    house.store.tamper("UPDATE keks SET state = 'retired'").await;
    house.vault.rotate_keks(Some("nowhere")).await.unwrap_err();
    let vault = house.another_node().await;
    assert!(serves(&house, &vault, "a"), "what stands opens");
    let refused = vault.add(new("polygon", "b", VALUE)).await.err().unwrap().to_string();
    assert!(refused.contains("kek rotate --category market-data"), "{refused}");
    assert!(vault.findings().contains(&refused));
    vault.add(new("openai", "default", "sk-0123456789abcdefghij")).await.unwrap();
    vault.rotate_keks(Some("market-data")).await.unwrap();
    vault.add(new("polygon", "b", VALUE)).await.unwrap();
    assert_eq!(vault.findings(), Vec::<String>::new());
}

#[tokio::test]
async fn a_job_that_nobody_works_on_is_cancelled_whatever_its_row_says() {
    for (id, kind) in [("0198c0de-7a11-7c0d-8e5a-5ea19a7e0001", "rewrap"), ("ghost", "bogus")] {
        let (house, _folder, _) = filled(&["a"]).await;
        let sql = format!(
            "INSERT INTO key_jobs (id, kind, state, running, holder, lease_until, total, done,
            created_at, created_by) VALUES ('{id}', '{kind}', 'running', 1, 'ghost',
            9223372036854775807, 1, 0, 1, 'ghost')"
        );
        house.store.tamper(Box::leak(sql.into_boxed_str())).await;
        let start = || house.vault.start_job(JobKind::Rewrap, "test", None);
        assert!(matches!(start().await, Err(VaultError::JobRuns)));
        assert!(house.vault.cancel_job("key x").await.unwrap());
        assert!(!house.vault.cancel_job("key x").await.unwrap());
        start().await.unwrap();
    }
}

/// As long as this lives, somebody writes this without a pause.
fn writing(house: &House, sql: &'static str) -> tokio::task::JoinHandle<()> {
    let store = house.store.clone();
    tokio::spawn(async move {
        loop {
            store.tamper(sql).await;
        }
    })
}

async fn reloaded(vault: &Vault) {
    let changing = vault.changing.lock().await;
    vault.reload_locked(&changing).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_never_rests_lets_no_edited_row_through() {
    let (house, _folder, _) = filled(&["a", "b", "c"]).await;
    for sql in [
        "UPDATE secrets SET name = 'x' WHERE name = 'a'",
        "UPDATE secrets SET name = 'a' WHERE name = 'b'",
        "UPDATE secrets SET name = 'b' WHERE name = 'x'",
    ] {
        house.store.tamper(sql).await;
    }
    // Neither one that stays as it is by its meaning, nor one that does not open.
    for sql in [
        "UPDATE inventories SET epoch = epoch + 1",
        "UPDATE inventories SET sealed = randomblob(300)",
    ] {
        let busy = writing(&house, sql);
        for _ in 0..30 {
            reloaded(&house.vault).await;
            assert!(!serves(&house, &house.vault, "a") && !serves(&house, &house.vault, "b"));
            assert!(serves(&house, &house.vault, "c"), "this node's own copy vouches for it");
        }
        busy.abort();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_copy_a_list_that_never_rests_serves_nobody_unjudged() {
    // On a busy machine the node may be faster than the writer, and have a copy at once.
    for _ in 0..20 {
        if looks_without_a_list().await > 0 {
            return;
        }
    }
    panic!("nobody was ever faster than this node");
}

/// How often a node that has no copy saw a list that did not open, until it had begun one anew.
async fn looks_without_a_list() -> usize {
    let (house, _folder, _) = filled(&["a"]).await;
    let vault = house.another_node().await;
    house.store.tamper("UPDATE secrets SET name = 'b' WHERE name = 'a'").await;
    let sql = "UPDATE inventories SET epoch = epoch + 1, sealed = randomblob(99)";
    // Before the first look: else this node has a copy of the list that stood there.
    house.store.tamper(sql).await;
    let busy = writing(&house, sql);
    // Epochs count changes; only one that this node has begun anew is the clock's time.
    let begun_ms = house.clock.unix_ms();
    let has_begun = || {
        let unsealed = vault.opened.load_full().unwrap();
        unsealed.marks.get("market-data").copied() == Some(begun_ms)
    };
    let mut closed = 0;
    while closed < 100 {
        reloaded(&vault).await;
        if has_begun() {
            break;
        }
        assert!(!serves(&house, &vault, "b"), "no list stands that could vouch for it");
        let told = vault.findings().join("\n");
        assert!(told.contains("does not open"), "{told}");
        closed += 1;
    }
    busy.abort();
    drop(busy.await);
    // Now that it rests, it is begun anew where it was not, and serves.
    reloaded(&vault).await;
    assert!(serves(&house, &vault, "b"), "{:?}", vault.findings());
    closed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_neighbour_that_changes_secrets_all_the_time_is_no_finding() {
    let (house, _folder, ids) = filled(&["a", "b"]).await;
    let elsewhere = tempfile::tempdir().unwrap();
    let other = started(&house, elsewhere.path()).await;
    let (busy, first) = (Arc::clone(&house.vault), ids[0]);
    let changing = tokio::spawn(async move {
        for number in 0..60 {
            changed(&busy, first, ("desk", number)).await;
            if number % 10 == 0 {
                busy.rotate_keks(None).await.unwrap();
            }
        }
    });
    let heard = heard(&other);
    let mut number = 0;
    while !changing.is_finished() {
        reloaded(&other).await;
        assert_eq!(other.findings(), Vec::<String>::new());
        assert!(serves(&house, &other, "a") && serves(&house, &other, "b"));
        // It builds on lists of generations of which it has not heard yet.
        number += 1;
        changed(&other, ids[1], ("other", number)).await;
    }
    changing.await.unwrap();
    assert_eq!(*heard.lock().unwrap(), Vec::<String>::new());
    reloaded(&house.vault).await;
    for vault in [&house.vault, &other, &started(&house, elsewhere.path()).await] {
        assert_eq!(vault.findings(), Vec::<String>::new());
        assert!(serves(&house, vault, "a") && serves(&house, vault, "b"));
    }
    // What each has changed last stands.
    let owner = async |id| house.vault.show(id).await.unwrap().unwrap().owner;
    assert_eq!(owner(ids[0]).await, Some(String::from("desk 59")));
    assert_eq!(owner(ids[1]).await, Some(format!("other {number}")));
}

/// A new owner or, each third time, a new value. Others may be faster as often as a change tries.
pub(super) async fn changed(vault: &Vault, id: Uuid, (who, number): (&str, u32)) {
    let owner = Some(Some(format!("{who} {number}")));
    let patch = || SecretPatch { owner: owner.clone(), ..SecretPatch::default() };
    loop {
        if number % 3 == 0 {
            let value = SecretBytes::copy_of(format!("{VALUE}{number}").as_bytes());
            match vault.replace(id, vec![(String::from("api_key"), value)], "test").await {
                Err(VaultError::Stale) => continue,
                done => assert!(done.unwrap().is_some()),
            }
        }
        match vault.set(id, patch()).await {
            Err(VaultError::Stale) => {}
            done => return assert!(done.unwrap().is_some()),
        }
    }
}

/// What a vault finds amiss while it changes something.
pub(super) fn heard(vault: &Vault) -> Arc<Mutex<Vec<String>>> {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&heard);
    vault.tell_to(Box::new(move |happening| {
        if let Happening::Integrity(line) = happening {
            told.lock().unwrap().push(line);
        }
    }));
    heard
}

#[tokio::test]
async fn a_lost_list_without_a_key_to_begin_it_anew_closes_its_rows() {
    let (house, _folder, _) = filled(&["a"]).await;
    house.store.tamper("UPDATE keks SET state = 'retired'").await;
    house.store.tamper("DELETE FROM inventories").await;
    let vault = house.another_node().await;
    assert!(!serves(&house, &vault, "a"), "nothing vouches for it");
    let told = vault.findings().join("\n");
    assert!(told.contains("kek rotate --category market-data"), "{told}");
    vault.rotate_keks(Some("market-data")).await.unwrap();
    assert!(serves(&house, &vault, "a"), "{:?}", vault.findings());
}
