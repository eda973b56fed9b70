//! Generations, and the jobs that move what hangs on them.

use std::time::Duration;

use super::*;
use crate::store::{self, InventoryRow, JobState, JobStep, KekState, Rewrapped};

const VALUE: &str = "polygon-key-0123456789";
const DAY: Duration = Duration::from_hours(24);

fn settings(kek_max_age_days: u32) -> Settings {
    let keep_opened = Duration::ZERO;
    Settings { kek_max_age_days, keep_opened, locked_memory_bytes: 0 }
}

/// A house with this many secrets of polygon, each with a value of its own.
async fn filled(count: usize) -> (House, Vec<Uuid>) {
    let house = house().await;
    let mut ids = Vec::new();
    for number in 0..count {
        let new = new("polygon", &format!("s{number}"), &format!("{VALUE}{number}"));
        ids.push(house.vault.add(new).await.unwrap().id);
    }
    (house, ids)
}

fn all_open(house: &House, count: usize) {
    for number in 0..count {
        let value = opened(house, "polygon", Some(&format!("s{number}"))).unwrap();
        assert_eq!(value, format!("{VALUE}{number}").as_bytes());
    }
}

/// What was told since the house was made.
fn listen(house: &House) -> Arc<Mutex<Vec<Happening>>> {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&heard);
    house.vault.tell_to(Box::new(move |happening| told.lock().unwrap().push(happening)));
    heard
}

/// Tends until the job that runs has ended.
async fn ended(house: &House) -> JobRow {
    let tending = tokio::spawn(Arc::clone(&house.vault).tend_keys(String::from("a"), settings(0)));
    let job = loop {
        let job = house.vault.latest_job().await.unwrap().unwrap();
        if job.state != JobState::Running {
            break job;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    tending.abort();
    job
}

async fn states(house: &House) -> Vec<(u32, KekState, u64)> {
    let keks = house.vault.keks().await.unwrap();
    keks.iter().map(|kek| (kek.generation, kek.state, kek.secrets)).collect()
}

#[tokio::test]
async fn a_new_generation_takes_what_is_new_and_rewrapping_brings_the_rest() {
    let (house, ids) = filled(5).await;
    let rotated = house.vault.rotate_keks(Some("market-data")).await.unwrap();
    assert_eq!(rotated.len(), 1);
    let unknown = house.vault.rotate_keks(Some("nothing")).await;
    assert!(matches!(unknown, Err(VaultError::UnknownCategory)));
    house.vault.add(new("polygon", "s5", &format!("{VALUE}5"))).await.unwrap();
    assert_eq!(states(&house).await, [(1, KekState::Retired, 5), (2, KekState::Active, 1)]);
    all_open(&house, 6);

    let before = house.store.secret(ids[0]).await.unwrap().unwrap();
    house.vault.start_job(JobKind::Rewrap, "test", None).await.unwrap();
    let job = ended(&house).await;
    assert_eq!((job.state, job.done, job.total), (JobState::Done, 5, 5), "{job:?}");
    assert_eq!(states(&house).await, [(1, KekState::Destroyed, 0), (2, KekState::Active, 6)]);
    let after = house.store.secret(ids[0]).await.unwrap().unwrap();
    assert_ne!(before.secret.data_key, after.secret.data_key);
    assert_eq!(before.versions, after.versions, "no value was touched");
    all_open(&house, 6);
    assert!(house.store.keks().await.unwrap().rows[0].wrapped.is_empty());
    assert_eq!(house.vault.findings(), Vec::<String>::new());
}

#[tokio::test]
async fn a_damaged_row_keeps_its_old_generation_and_is_named() {
    let (house, _) = filled(3).await;
    house.vault.rotate_keks(None).await.unwrap();
    house.store.tamper("UPDATE secrets SET data_key = x'00' WHERE name = 's1'").await;
    house.vault.start_job(JobKind::Rewrap, "test", None).await.unwrap();
    let job = ended(&house).await;
    assert_eq!((job.state, job.done), (JobState::Failed, 2), "{job:?}");
    let outcome = job.outcome.unwrap();
    assert!(outcome.contains("polygon/s1 has a data key that does not open"), "{outcome}");
    assert_eq!(states(&house).await, [(1, KekState::Retired, 1), (2, KekState::Active, 2)]);
    assert!(opened(&house, "polygon", Some("s0")).is_ok());
    assert_eq!(opened(&house, "polygon", Some("s1")), Err(Reason::NoSecret));
}

#[tokio::test]
async fn a_value_that_does_not_open_keeps_the_old_generation_though_its_data_key_moved() {
    let (house, ids) = filled(2).await;
    house.vault.rotate_keks(None).await.unwrap();
    house.store.replace_envelope(ids[1], 1, &[1; 200], &[0; 32]).await.unwrap();
    house.vault.start_job(JobKind::Rewrap, "test", None).await.unwrap();
    let job = ended(&house).await;
    assert_eq!((job.state, job.done), (JobState::Failed, 2), "{job:?}");
    assert_eq!(states(&house).await, [(1, KekState::Retired, 0), (2, KekState::Active, 2)]);
}

#[tokio::test]
async fn rekeying_changes_every_key_and_envelope_and_no_value() {
    let (house, ids) = filled(4).await;
    let fields = vec![(String::from("api_key"), SecretBytes::copy_of(b"polygon-key-new-9876543"))];
    house.vault.replace(ids[3], fields, "test").await.unwrap();
    let before = house.store.secrets().await.unwrap().rows;
    house.vault.start_job(JobKind::Rekey, "test", None).await.unwrap();
    let job = ended(&house).await;
    assert_eq!((job.state, job.done, job.total), (JobState::Done, 4, 4), "{job:?}");
    let after = house.store.secrets().await.unwrap().rows;
    for (before, after) in before.iter().zip(&after) {
        assert_ne!(before.secret.data_key, after.secret.data_key);
        assert_eq!(before.secret.fingerprint, after.secret.fingerprint);
        for (before, after) in before.versions.iter().zip(&after.versions) {
            assert_eq!(before.envelope.is_some(), after.envelope.is_some());
            assert!(before.envelope.is_none() || before.envelope != after.envelope);
        }
    }
    all_open(&house, 3);
    assert_eq!(opened(&house, "polygon", Some("s3")).unwrap(), b"polygon-key-new-9876543");
    assert_eq!(house.vault.findings(), Vec::<String>::new());
}

#[tokio::test]
async fn one_job_runs_in_the_house_and_another_node_takes_it_when_its_holder_is_late() {
    let (house, ids) = filled(1).await;
    house.vault.rotate_keks(None).await.unwrap();
    let job = house.vault.start_job(JobKind::Rewrap, "test", None).await.unwrap();
    let second = house.vault.start_job(JobKind::Rekey, "test", None).await;
    assert!(matches!(second, Err(VaultError::JobRuns)));

    let now = house.clock.unix_ms();
    assert!(house.store.claim_job(job.id, "a", (now, now + 60_000)).await.unwrap());
    assert!(!house.store.claim_job(job.id, "b", (now, now + 60_000)).await.unwrap());
    assert!(house.store.claim_job(job.id, "a", (now, now + 60_000)).await.unwrap(), "a restart");
    let late = now + 60_001;
    assert!(house.store.claim_job(job.id, "b", (late, late + 60_000)).await.unwrap());

    // The one that was late moves nothing any more.
    let stored = house.store.secret(ids[0]).await.unwrap().unwrap();
    let kek_id = house.store.active_kek("market-data").await.unwrap().unwrap().id;
    let row = Rewrapped { former: &stored.secret, kek_id, data_key: &[1] };
    let step = JobStep { job: job.id, holder: "a", after: ids[0], lease_until: late };
    let moved = house.store.rewrap_secret(&row, &step).await;
    assert_eq!(moved, Err(store::Error::LeaseLost));
    assert_eq!(house.store.secret(ids[0]).await.unwrap().unwrap(), stored);
    // Nor does anybody over a row that was changed since it was read.
    let edited = store::SecretRow { data_key: vec![9], ..stored.secret.clone() };
    let row = Rewrapped { former: &edited, ..row };
    let step = JobStep { holder: "b", ..step };
    assert_eq!(house.store.rewrap_secret(&row, &step).await, Err(store::Error::Stale));
}

/// As if it had wrapped this often.
async fn have_wrapped(house: &House, wraps: i64) {
    let id = house.store.active_kek("market-data").await.unwrap().unwrap().id;
    let seal = house.store.wraps_seal(id, wraps).unwrap();
    let seal: String = seal.iter().map(|byte| format!("{byte:02x}")).collect();
    let sql = format!("UPDATE keks SET wraps = {wraps}, wraps_seal = x'{seal}'");
    house.store.tamper(Box::leak(sql.into_boxed_str())).await;
}

#[tokio::test]
async fn wraps_are_counted_spoken_of_and_stopped() {
    let (house, _) = filled(2).await;
    let heard = listen(&house);
    assert_eq!(house.vault.keks().await.unwrap()[0].wraps, 2);
    have_wrapped(&house, 1_073_741_824).await;
    let tending = tokio::spawn(Arc::clone(&house.vault).tend_keys(String::from("a"), settings(0)));
    let wearing = |told: &Happening| matches!(told, Happening::Wearing { wraps: 1073741824, .. });
    for _ in 0..500 {
        if heard.lock().unwrap().iter().any(wearing) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tending.abort();
    assert_eq!(heard.lock().unwrap().iter().filter(|told| wearing(told)).count(), 1);

    have_wrapped(&house, 2_147_483_647).await;
    house.vault.add(new("polygon", "last", VALUE)).await.unwrap();
    let refused = house.vault.add(new("polygon", "one-more", VALUE)).await;
    assert!(matches!(refused, Err(VaultError::Worn)));
    all_open(&house, 2);
    house.vault.rotate_keks(None).await.unwrap();
    house.vault.add(new("polygon", "one-more", VALUE)).await.unwrap();
}

#[tokio::test]
async fn an_old_generation_is_rotated_and_rewrapped_by_itself_unless_told_never() {
    for (max_age_days, expected) in [(0, 1), (365, 2)] {
        let (house, _) = filled(3).await;
        let heard = listen(&house);
        house.clock.advance(DAY * 366);
        let tending = tokio::spawn(
            Arc::clone(&house.vault).tend_keys(String::from("a"), settings(max_age_days)),
        );
        for _ in 0..400 {
            let ended = |told: &Happening| matches!(told, Happening::Ended(_));
            if heard.lock().unwrap().iter().any(ended) || max_age_days == 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        if max_age_days == 0 {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        tending.abort();
        let states = states(&house).await;
        assert_eq!(states.last(), Some(&(expected, KekState::Active, 3)), "{states:?}");
        assert_eq!(states.len(), usize::try_from(expected).unwrap());
        all_open(&house, 3);
    }
}

#[tokio::test]
async fn a_rotation_by_age_that_was_killed_before_its_rewrap_is_followed_by_it() {
    let (house, _) = filled(2).await;
    house.clock.advance(DAY * 366);
    house.vault.rotate_keks(None).await.unwrap();
    let tending =
        tokio::spawn(Arc::clone(&house.vault).tend_keys(String::from("a"), settings(365)));
    for _ in 0..500 {
        if states(&house).await[0].1 == KekState::Destroyed {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tending.abort();
    assert_eq!(states(&house).await, [(1, KekState::Destroyed, 0), (2, KekState::Active, 2)]);
}

#[tokio::test]
async fn of_two_nodes_each_sees_what_the_other_has_changed() {
    let (house, ids) = filled(1).await;
    let other = Arc::new(house.another_node().await);
    house.vault.rotate_keks(None).await.unwrap();
    // The other one still has the former generation as the active one.
    other.add(new("polygon", "s1", &format!("{VALUE}1"))).await.unwrap();
    assert_eq!(states(&house).await, [(1, KekState::Retired, 1), (2, KekState::Active, 1)]);
    let tending = tokio::spawn(Arc::clone(&house.vault).tend_keys(String::from("a"), settings(0)));
    for _ in 0..500 {
        if opened(&house, "polygon", Some("s1")).is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tending.abort();
    all_open(&house, 2);
    let fields = vec![(String::from("api_key"), SecretBytes::copy_of(b"polygon-key-new-9876543"))];
    house.vault.replace(ids[0], fields, "test").await.unwrap();
    // An inventory that both have read is written by one of them.
    let row = house.store.inventory("market-data").await.unwrap().unwrap();
    let next = InventoryRow { epoch: row.epoch + 1, ..row.clone() };
    house.store.put_inventory(&next).await.unwrap();
    assert_eq!(house.store.put_inventory(&next).await, Err(store::Error::Stale));
}

fn place(house: &House) -> Place {
    let path = house.folder.path().join("master.key");
    std::fs::write(&path, [3; 32]).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&path, mode).unwrap();
    Place { settings: crate::kms::Settings::File { path }, previous: None }
}

#[tokio::test]
async fn while_the_master_key_moves_no_node_makes_a_key_that_would_stay_behind() {
    let (house, _) = filled(2).await;
    let other = house.another_node().await;
    house.vault.master_lies_in(place(&house));
    // Asked for, and not begun yet: nobody tends the keys.
    house.vault.rotate_master("test", None).await.unwrap();
    for vault in [&*house.vault, &other] {
        let refused = vault.rotate_keks(None).await;
        assert!(matches!(refused, Err(VaultError::JobRuns)), "{refused:?}");
    }
    let refused = house.vault.start_job(JobKind::Rewrap, "test", None).await;
    assert!(matches!(refused, Err(VaultError::JobRuns)));
    let again = house.vault.rotate_master("test", None).await;
    assert!(matches!(again, Err(VaultError::JobRuns)));
    // A category's first key is made under the new one, where that is at hand.
    let refused = other.add(new("openai", "o", "sk-0123456789abcdef0123456789")).await;
    assert!(matches!(refused, Err(VaultError::JobRuns)));
    house.vault.add(new("openai", "o", "sk-0123456789abcdef0123456789")).await.unwrap();
    let job = ended(&house).await;
    assert_eq!(job.state, JobState::Done, "{job:?}");
    let masters: Vec<_> = house.vault.keks().await.unwrap().into_iter().map(|k| k.master).collect();
    assert!(masters.iter().all(|master| *master == masters[0]), "{masters:?}");
    all_open(&house, 2);
    house.vault.rotate_keks(None).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_made_during_a_verification_is_no_damage() {
    let (house, _) = filled(3).await;
    let adding = Arc::clone(&house.vault);
    let busy = tokio::spawn(async move {
        for number in 0..60 {
            adding.rotate_keks(None).await.unwrap();
            let name = format!("more{number}");
            adding.add(new("polygon", &name, "polygon-key-more-0123456789")).await.unwrap();
        }
    });
    while !busy.is_finished() {
        let masters = house.vault.unsealed().unwrap().keyring.masters();
        let flaws = house.vault.verify(masters).await.unwrap();
        assert!(flaws.are_none(), "{}", flaws.told());
    }
    busy.await.unwrap();
}

#[tokio::test]
async fn a_row_that_cannot_be_read_is_left_out_of_a_job_and_told_and_the_job_ends() {
    for kind in [JobKind::Rewrap, JobKind::Rekey] {
        let (house, ids) = filled(3).await;
        house.vault.rotate_keks(None).await.unwrap();
        house.store.tamper("UPDATE secrets SET active = 7 WHERE name = 's1'").await;
        house.vault.start_job(kind, "test", None).await.unwrap();
        let job = ended(&house).await;
        assert_eq!((job.state, job.done), (JobState::Failed, 2), "{job:?}");
        let outcome = job.outcome.unwrap();
        assert!(outcome.contains(&format!("secret destroy {}", ids[1])), "{outcome}");
        assert!(house.vault.destroy(ids[1]).await.unwrap());
        house.vault.start_job(JobKind::Rewrap, "test", None).await.unwrap();
        assert_eq!(ended(&house).await.state, JobState::Done);
    }
}

#[tokio::test]
async fn one_word_closes_no_category_and_its_remedy_works() {
    let (house, _) = filled(3).await;
    house.store.tamper("UPDATE keks SET state = 'destroyed'").await;
    let node = house.another_node().await;
    for vault in [&node, &*house.vault] {
        let findings = vault.examine().await.unwrap();
        assert!(findings.iter().any(|line| line.contains("is called destroyed")), "{findings:?}");
        assert!(findings.iter().all(|line| !line.contains("secret s")), "{findings:?}");
        assert!(findings.iter().all(|line| line.contains("kek rotate")), "{findings:?}");
        assert!(opened_by(vault, &permit(&house, "polygon", Some("s1"))).is_ok());
    }
    house.vault.rotate_keks(Some("market-data")).await.unwrap();
    house.vault.start_job(JobKind::Rewrap, "test", None).await.unwrap();
    assert_eq!(ended(&house).await.state, JobState::Done);
    assert_eq!(house.vault.examine().await.unwrap(), Vec::<String>::new());
    assert!(house.store.keks().await.unwrap().rows[0].is_gone());
    all_open(&house, 3);
}

/// The newest generation of a category.
async fn newest(house: &House, category: &str) -> (Uuid, Uuid) {
    let mut rows = house.store.keks().await.unwrap().rows;
    rows.retain(|row| row.category == category);
    let [first, .., last] = &rows[..] else { panic!("{category} has one generation") };
    (first.id, last.id)
}

#[tokio::test]
async fn a_list_or_a_signing_key_that_does_not_open_keeps_the_generation_it_may_hang_on() {
    for (table, category) in [("inventories", "market-data"), ("signing_keys", "signing-keys")] {
        let (house, _) = filled(2).await;
        house.vault.signer().await.unwrap();
        house.vault.rotate_keks(None).await.unwrap();
        let (old, new) = newest(&house, category).await;
        // It says that it was moved, and was not.
        let says = |id: Uuid| {
            let sql = format!("UPDATE {table} SET kek_id = '{id}'");
            let sql = match table {
                "inventories" => format!("{sql} WHERE category = '{category}'"),
                _ => sql,
            };
            &*Box::leak(sql.into_boxed_str())
        };
        assert_eq!(house.store.tamper(says(new)).await, 1);
        house.vault.start_job(JobKind::Rewrap, "test", None).await.unwrap();
        let job = ended(&house).await;
        let outcome = job.outcome.unwrap();
        assert_eq!(job.state, JobState::Failed, "{table}: {outcome}");
        assert!(outcome.contains("does not open"), "{table}: {outcome}");
        let rows = house.store.keks().await.unwrap().rows;
        let kept = rows.iter().find(|row| row.id == old).unwrap();
        assert!(!kept.is_gone(), "{table}: what it hangs on is gone for good");
        // With what was edited put right, nothing is lost.
        assert_eq!(house.store.tamper(says(old)).await, 1, "{table}");
        house.vault.start_job(JobKind::Rewrap, "test", None).await.unwrap();
        let job = ended(&house).await;
        assert_eq!(job.state, JobState::Done, "{table}: {job:?}");
        all_open(&house, 2);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sealed_in_the_middle_of_a_rewrap_it_lets_go_of_every_key_and_goes_on_afterwards() {
    const COUNT: usize = 60;
    let (house, _) = filled(COUNT).await;
    house.vault.rotate_keks(None).await.unwrap();
    let job = house.vault.start_job(JobKind::Rewrap, "test", None).await.unwrap();
    let tending = tokio::spawn(Arc::clone(&house.vault).tend_keys(String::from("a"), settings(0)));
    let at = async || house.vault.job(job.id).await.unwrap().unwrap();
    for _ in 0..2000 {
        if at().await.done > 3 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let remains = house.vault.seal();
    assert!(remains.gone(Duration::from_secs(5)).await, "the job holds a key of a sealed vault");
    let stopped = at().await;
    assert_eq!(stopped.state, JobState::Running);
    assert!((1..COUNT as u64).contains(&stopped.done), "{stopped:?}");
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(at().await.done, stopped.done, "sealed, nothing moves");
    house.vault.unseal(masters(3)).await.unwrap();
    all_open(&house, COUNT);
    // As whoever unseals does it.
    house.store.seal_rows_by(RowKey::Here(Key::copy_of(&[9; 32])));
    house.vault.wake.notify_one();
    for _ in 0..2000 {
        if at().await.state != JobState::Running {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tending.abort();
    let done = at().await;
    assert_eq!((done.state, done.done), (JobState::Done, COUNT as u64), "{done:?}");
    all_open(&house, COUNT);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_that_another_job_overtakes_is_undone_and_leaves_no_key_behind() {
    let (house, _) = filled(2).await;
    let word = house.folder.path().join("word");
    std::fs::write(&word, "a long enough passphrase").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&word, mode).unwrap();
    let source = crate::kms::Source::File(word);
    let settings = crate::kms::Settings::Passphrase { source: Some(source) };
    let installation = house.vault.installation;
    let ground = crate::kms::Ground { store: &house.store, clock: &house.clock, installation };
    crate::kms::create_if_missing(&settings, &ground, None).await.unwrap();
    house.vault.master_lies_in(Place { settings, previous: None });
    let before = house.store.master_passphrases().await.unwrap().rows;
    let present = house.vault.unsealed().unwrap().keyring.masters().ids();
    let other = house.another_node().await;
    // Stretching a passphrase takes its time, in which another node begins a job.
    let overtaking = async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        other.start_job(JobKind::Rekey, "another", None).await.unwrap();
    };
    let (rotated, ()) = tokio::join!(house.vault.rotate_master("test", None), overtaking);
    assert!(matches!(rotated, Err(VaultError::JobRuns)), "{rotated:?}");
    assert_eq!(house.store.master_passphrases().await.unwrap().rows, before);
    assert_eq!(house.vault.unsealed().unwrap().keyring.masters().ids(), present);
    house.vault.add(new("openai", "o", "sk-0123456789abcdef0123456789")).await.unwrap();
    let job = ended(&house).await;
    assert_eq!(job.state, JobState::Done, "{job:?}");
    all_open(&house, 2);
}
