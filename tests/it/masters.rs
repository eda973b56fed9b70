//! The master key under the real binary: rotated, killed on the way, moved to another kind and
//! back; and what lies about that no row names.

use std::time::Duration;

use serde_json::json;
use sqlx::{Connection, Row};

use crate::house::{Database, Kind, files_below, private};
use crate::keys::Site;

#[cfg(feature = "failpoints")]
const MASTER: [&str; 9] = [
    "master-written",
    "master-staged",
    "master-claimed",
    "master-row",
    "master-row:2",
    "master-rows",
    "master-verified",
    "master-kept",
    "master-placed",
];

/// Files in the folder of the master key whose names have this in them.
fn beside_the_key(site: &Site, part: &str) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(site.ground.path().join("keys")).unwrap();
    let mut found: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| path.to_string_lossy().contains(part));
    found
}

#[cfg(feature = "failpoints")]
async fn masters_killed_everywhere(database: &str) {
    use std::os::unix::process::ExitStatusExt as _;
    let site = Site::new(5, database).await;
    let master = site.ground.path().join("keys/master.key");
    for place in MASTER {
        let before = std::fs::read(&master).unwrap();
        let mut server = site.ground.serve_until(place);
        site.post(&server.admin, "master-key/rotate").await;
        let (status, _server) =
            tokio::task::spawn_blocking(move || (server.wait(), server)).await.unwrap();
        assert_eq!(status.signal(), Some(9), "{place} was never passed: {status}");

        let server = site.ground.serve(&[]);
        site.assert_readable(&server.admin, &server.proxy).await;
        if ["master-written", "master-staged"].contains(&place) {
            assert_eq!(site.post(&server.admin, "master-key/rotate").await, Some(202));
        }
        let status = site.ended(&server.admin).await;
        assert_eq!(status["job"]["state"], "done", "{place}: {status}");
        site.assert_readable(&server.admin, &server.proxy).await;
        server.stop();
        assert_ne!(std::fs::read(&master).unwrap(), before, "{place}");
        assert!(beside_the_key(&site, ".new").is_empty(), "{place}");
        assert!(beside_the_key(&site, ".part-").is_empty(), "{place}");
        for aside in beside_the_key(&site, ".aside-") {
            assert_eq!(place, "master-staged", "only what no row names is put aside");
            std::fs::remove_file(aside).unwrap();
        }
        let old = beside_the_key(&site, ".old-");
        assert_eq!(old.len(), 1, "{place}: {old:?}");
        assert_eq!(std::fs::read(&old[0]).unwrap(), before, "{place}");
        let told = status["job"]["outcome"].as_str().unwrap();
        assert!(told.contains(old[0].file_name().unwrap().to_str().unwrap()), "{place}: {told}");
        // It is not needed any more.
        std::fs::remove_file(&old[0]).unwrap();
        let server = site.ground.serve(&[]);
        site.assert_readable(&server.admin, &server.proxy).await;
        server.stop();
    }
}

#[cfg(feature = "failpoints")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_every_point_of_a_new_master_key_every_secret_is_readable() {
    masters_killed_everywhere("").await;
}

#[cfg(feature = "failpoints")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_every_point_of_a_new_master_key_on_postgresql_every_secret_is_readable() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::fresh(Kind::Postgres, folder.path()).await;
    masters_killed_everywhere(&database.settings()).await;
    database.drop_it().await;
}

/// Kinds whose master keys are no files: killed everywhere, and everything opens. `left` looks at
/// what the rotation has left behind.
#[cfg(feature = "failpoints")]
async fn killed_in_place(more: &str, places: &[&str], left: impl AsyncFn(&Site, &str)) {
    use std::os::unix::process::ExitStatusExt as _;
    let site = Site::new(5, more).await;
    for place in places {
        let mut server = site.ground.serve_until(place);
        site.post(&server.admin, "master-key/rotate").await;
        let (status, _server) =
            tokio::task::spawn_blocking(move || (server.wait(), server)).await.unwrap();
        assert_eq!(status.signal(), Some(9), "{place} was never passed: {status}");
        let server = site.ground.serve(&[]);
        site.assert_readable(&server.admin, &server.proxy).await;
        if *place == "master-staged" {
            assert_eq!(site.post(&server.admin, "master-key/rotate").await, Some(202));
        }
        let status = site.ended(&server.admin).await;
        assert_eq!(status["job"]["state"], "done", "{place}: {status}");
        site.assert_readable(&server.admin, &server.proxy).await;
        server.stop();
        left(&site, place).await;
        let server = site.ground.serve(&[]);
        site.assert_readable(&server.admin, &server.proxy).await;
        server.stop();
    }
}

#[cfg(feature = "failpoints")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_every_point_of_a_new_passphrase_key_one_row_is_left_and_every_secret_readable() {
    let folder = tempfile::tempdir().unwrap();
    let more = crate::keys::passphrase(folder.path());
    let places: Vec<&str> =
        MASTER.into_iter().filter(|p| !["master-written", "master-kept"].contains(p)).collect();
    killed_in_place(&more, &places, async |site, place| {
        let url = format!("sqlite://{}?mode=ro", site.ground.data().join("sealgate.db").display());
        let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
        let sql = "SELECT (SELECT COUNT(*) FROM master_passphrases),
            (SELECT COUNT(DISTINCT master_id) FROM keks WHERE state <> 'destroyed'),
            (SELECT COUNT(*) FROM master_passphrases WHERE master_id IN (SELECT master_id FROM keks))";
        let row = sqlx::query(sql).fetch_one(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        let counts: [i64; 3] = [row.get(0), row.get(1), row.get(2)];
        assert_eq!(counts, [1, 1, 1], "{place}: rows, masters in use, rows in use");
    })
    .await;
}

#[cfg(feature = "failpoints")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_every_point_of_new_wraps_by_vault_transit_every_secret_is_readable() {
    let transit = crate::house::Transit::open().await;
    let folder = tempfile::tempdir().unwrap();
    let more = transit.settings(&folder.path().join("token"), 60);
    let of_file = ["master-written", "master-staged", "master-kept"];
    let places: Vec<&str> = MASTER.into_iter().filter(|p| !of_file.contains(p)).collect();
    killed_in_place(&more, &places, async |_, _| {}).await;
}

#[cfg(all(feature = "failpoints", feature = "aws-kms"))]
fn in_kms(moto: &crate::house::Moto, key: &str) -> String {
    format!(
        "kind = \"aws-kms\", key = \"{key}\", region = \"eu-central-1\", \
         endpoint = \"http://{}\"",
        moto.address
    )
}

#[cfg(all(feature = "failpoints", feature = "aws-kms"))]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_on_the_way_to_new_wraps_by_aws_kms_every_secret_is_readable() {
    let moto = crate::house::Moto::start().await;
    let more = format!("master_key = {{ {} }}\n", in_kms(&moto, &moto.key().await));
    let places = ["master-row:2", "master-verified"];
    killed_in_place(&more, &places, async |_, _| {}).await;
}

#[cfg(all(feature = "failpoints", feature = "aws-kms"))]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_on_the_way_from_a_file_to_aws_kms_and_back_every_secret_is_readable() {
    use std::os::unix::process::ExitStatusExt as _;
    let moto = crate::house::Moto::start().await;
    let in_kms = in_kms(&moto, &moto.key().await);
    let site = Site::new(3, "").await;
    let file = site.ground.path().join("keys/master.key");
    let kept = site.ground.path().join("kept.key");
    for (to, from, place) in
        [(in_kms.as_str(), FIRST, "master-row:2"), (FIRST, in_kms.as_str(), "master-verified")]
    {
        moved(&site, to, Some(from));
        if to == FIRST {
            std::fs::rename(&kept, &file).unwrap();
        }
        let mut server = site.ground.serve_until(place);
        site.post(&server.admin, "master-key/rotate").await;
        let (status, _server) =
            tokio::task::spawn_blocking(move || (server.wait(), server)).await.unwrap();
        assert_eq!(status.signal(), Some(9), "{place} was never passed: {status}");
        let server = site.ground.serve(&[]);
        site.assert_readable(&server.admin, &server.proxy).await;
        let status = site.ended(&server.admin).await;
        assert_eq!(status["job"]["state"], "done", "{place}: {status}");
        site.assert_readable(&server.admin, &server.proxy).await;
        server.stop();
        // Without the former one, whose key is not there any more.
        moved(&site, to, None);
        if to != FIRST {
            std::fs::rename(&file, &kept).unwrap();
        }
        let server = site.ground.serve(&[]);
        site.assert_readable(&server.admin, &server.proxy).await;
        server.stop();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_has_not_heard_of_a_new_passphrase_key_makes_no_key_under_the_former_one() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::fresh(Kind::Postgres, folder.path()).await;
    let more = format!("{}{}", database.settings(), crate::keys::passphrase(folder.path()));
    let site = Site::new(2, &more).await;
    let beside = site.beside();
    let mut servers = vec![site.ground.serve(&[]), beside.serve(&[])];
    let done = site.ground.json(&["master-key", "rotate", "--json"]);
    assert_eq!(done["state"], "done", "{done}");
    // The row of the former one is swept, and the second node has it in memory still.
    let value = "sk-0123456789abcdef0123456789";
    for _ in 0..2 {
        let other = &servers[1].admin;
        assert_eq!(site.post(other, "keks/rotate").await, Some(409));
        let (status, body) = site.adding(other, ("openai", "o"), value).await;
        assert_eq!((status, &body["code"]), (409, &json!("conflict")), "{body}");
        assert!(body["detail"].to_string().contains("no longer in the table"), "{body}");
        for server in &servers {
            site.assert_readable(&server.admin, &server.proxy).await;
        }
    }
    // As the answer says: unsealed anew, it has the new one. Nothing was lost on the way.
    assert!(beside.run(&["seal"]).status.success());
    assert!(beside.run(&["unseal"]).status.success());
    for is_restarted in [false, true] {
        if is_restarted {
            servers.drain(..).for_each(|server| drop(server.stop()));
            servers.extend([site.ground.serve(&[]), beside.serve(&[])]);
        }
        for (number, server) in servers.iter().enumerate() {
            site.assert_readable(&server.admin, &server.proxy).await;
            let name = format!("{is_restarted}-{number}");
            let (status, body) = site.adding(&server.admin, ("openai", &name), value).await;
            assert_eq!(status, 201, "{body}");
            assert_eq!(site.post(&server.admin, "keks/rotate").await, Some(201));
        }
    }
    servers.into_iter().for_each(|server| drop(server.stop()));
    database.drop_it().await;
}

/// The settings with another `[master_key]`, and the present one as the former.
pub(crate) fn moved(site: &Site, present: &str, previous: Option<&str>) {
    let file = site.ground.path().join("sealgate.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let previous = previous.map(|p| format!("master_key.previous = {{ {p} }}\n"));
    let lines = text.lines().filter(|line| !line.starts_with("master_key"));
    let kept: String = lines.map(|line| format!("{line}\n")).collect();
    let present: String =
        present.split(", ").map(|member| format!("master_key.{member}\n")).collect();
    std::fs::write(file, format!("{present}{}{kept}", previous.unwrap_or_default())).unwrap();
}

pub(crate) const FIRST: &str = "kind = \"file\", path = \"keys/master.key\"";
const SECOND: &str = "kind = \"file\", path = \"other/second.key\"";

const PASSPHRASE: &str = "kind = \"passphrase\", passphrase = { file = \"pass.txt\" }";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_master_key_moves_to_where_the_settings_say_and_back() {
    let site = Site::new(3, "").await;
    private(&site.ground.path().join("pass.txt"), "a long enough passphrase\n");
    for (to, from) in [(SECOND, FIRST), (FIRST, SECOND), (PASSPHRASE, FIRST), (FIRST, PASSPHRASE)] {
        moved(&site, to, Some(from));
        let server = site.ground.serve(&[]);
        site.assert_readable(&server.admin, &server.proxy).await;
        let done = site.ground.json(&["master-key", "rotate", "--json"]);
        assert_eq!((&done["state"], &done["done"]), (&json!("done"), &json!(3)), "{done}");
        let told = done["outcome"].as_str().unwrap();
        assert!(told.contains("strike [master_key.previous]"), "{told}");
        site.assert_readable(&server.admin, &server.proxy).await;
        server.stop();
        moved(&site, to, None);
        if to == PASSPHRASE {
            let done = site.ground.json(&["master-key", "rotate", "--json"]);
            assert_eq!((&done["state"], &done["done"]), (&json!("done"), &json!(3)), "{done}");
        }
        let server = site.ground.serve(&[]);
        site.assert_readable(&server.admin, &server.proxy).await;
        server.stop();
    }
    // Without the former one named, a house does not start under another key.
    moved(&site, SECOND, None);
    let ended = site.ground.run(&["serve"]);
    assert_eq!(ended.status.code(), Some(1));
    let told = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(told.contains("the master key is not the one that this database was made"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_master_key_moves_to_a_passphrase_that_is_typed_and_back() {
    const TYPED: &str = "kind = \"passphrase\"";
    const RIGHT: &str = "a long enough passphrase\n";
    let site = Site::new(1, "").await;
    let typing = |arguments: &[&str], input: &str| {
        let ended = site.ground.run_with_input(arguments, input);
        let told = String::from_utf8_lossy(&ended.stderr).into_owned();
        (ended.status.success(), told)
    };
    let does = |arguments: &[&str]| {
        let (is_done, told) = typing(arguments, RIGHT);
        assert!(is_done, "{arguments:?}: {told}");
    };
    moved(&site, TYPED, Some(FIRST));
    assert!(site.ground.fails(&["serve"]).contains("run `sealgate init`"));
    does(&["init"]);
    // It stands: nobody is asked again.
    assert!(site.ground.run(&["init"]).status.success());
    let server = site.ground.serve(&[]);
    does(&["unseal"]);
    site.assert_readable(&server.admin, &server.proxy).await;
    let done = site.ground.json(&["master-key", "rotate", "--json"]);
    assert_eq!(done["state"], "done", "{done}");
    server.stop();

    moved(&site, TYPED, None);
    let server = site.ground.serve(&[]);
    does(&["unseal"]);
    assert_eq!(site.post(&server.admin, "master-key/rotate").await, Some(422));
    let (is_done, told) = typing(&["master-key", "rotate"], "another long passphrase\n");
    assert!(!is_done && told.contains("opens no master key"), "{told}");
    let (is_done, told) = typing(&["master-key", "rotate"], RIGHT);
    assert!(!is_done && told.contains("a little later"), "{told}");
    tokio::time::sleep(Duration::from_millis(1100)).await;
    does(&["master-key", "rotate"]);
    site.assert_readable(&server.admin, &server.proxy).await;
    server.stop();

    moved(&site, FIRST, Some(TYPED));
    let looked = site.ground.run(&["doctor"]);
    let told = String::from_utf8_lossy(&looked.stdout).into_owned();
    assert!(told.contains("the former one is opened by a passphrase"), "{told}");
    let server = site.ground.serve(&[]);
    does(&["unseal"]);
    site.assert_readable(&server.admin, &server.proxy).await;
    does(&["master-key", "rotate"]);
    server.stop();
    moved(&site, FIRST, None);
    let server = site.ground.serve(&[]);
    site.assert_readable(&server.admin, &server.proxy).await;
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_lies_where_a_new_master_key_goes_is_no_key_of_this_house() {
    let site = Site::new(1, "").await;
    let keys = site.ground.path().join("keys");
    private(&keys.join("master.key.new"), &"0".repeat(32));
    private(&keys.join("master.key.new-1"), &"1".repeat(32));
    let server = site.ground.serve(&[]);
    let done = site.ground.json(&["master-key", "rotate", "--json"]);
    assert_eq!(done["state"], "done", "{done}");
    site.assert_readable(&server.admin, &server.proxy).await;
    assert_ne!(std::fs::read(keys.join("master.key")).unwrap(), "0".repeat(32).as_bytes());
    let aside = std::fs::read(keys.join("master.key.aside-1")).unwrap();
    assert_eq!(aside, "0".repeat(32).as_bytes(), "it is put aside and not thrown away");
    assert!(!keys.join("master.key.new-1").exists());
    let lines = server.stop().join("\n");
    assert!(lines.contains("was put aside and is not used"), "{lines}");
}

/// Keys as they are wrapped, values as they are sealed.
async fn wraps(site: &Site) -> Vec<Vec<u8>> {
    const SQL: &str = "SELECT wrapped FROM keks UNION ALL SELECT data_key FROM secrets
        UNION ALL SELECT envelope FROM secret_versions";
    let url = format!("sqlite://{}?mode=ro", site.ground.data().join("sealgate.db").display());
    let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
    let rows = sqlx::query(SQL).fetch_all(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_as_it_was_wrapped_before_is_in_no_file_once_it_was_moved() {
    let site = Site::new(3, "").await;
    let server = site.ground.serve(&[]);
    for job in ["master-key/rotate", "keks/rewrap", "keks/rekey"] {
        if job == "keks/rewrap" {
            assert_eq!(site.post(&server.admin, "keks/rotate").await, Some(201));
        }
        let before = wraps(&site).await;
        assert_eq!(site.post(&server.admin, job).await, Some(202));
        assert_eq!(site.ended(&server.admin).await["job"]["state"], "done", "{job}");
        let after = wraps(&site).await;
        let gone: Vec<_> = before.iter().filter(|wrap| !after.contains(wrap)).collect();
        assert!(gone.len() >= 2, "{job} has moved {} keys", gone.len());
        for (path, bytes) in files_below(&site.ground.data()) {
            for wrap in &gone {
                let found = memchr::memmem::find(&bytes, wrap);
                assert!(found.is_none(), "{job}: an old wrap is in {}", path.display());
            }
        }
    }
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_that_cannot_begin_says_why_and_a_needless_passphrase_is_refused() {
    let site = Site::new(1, "").await;
    let server = site.ground.serve(&[]);
    let ended = site.ground.run_with_input(&["master-key", "rotate", "--passphrase"], "whatever\n");
    assert_eq!(ended.status.code(), Some(1));
    let told = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(told.contains("--passphrase: must be left out"), "{told}");
    // A folder that cannot be written to, which no mode is for a test that runs as root.
    let (keys, away) = (site.ground.path().join("keys"), site.ground.path().join("away"));
    std::fs::rename(&keys, &away).unwrap();
    std::fs::write(&keys, "").unwrap();
    let told = site.ground.fails(&["master-key", "rotate"]);
    assert!(
        told.contains("the master key keys/master.key") || told.contains("master.key"),
        "{told}"
    );
    assert!(told.contains("conflict") && told.contains("Not a directory"), "{told}");
    std::fs::remove_file(&keys).unwrap();
    std::fs::rename(&away, &keys).unwrap();
    let done = site.ground.json(&["master-key", "rotate", "--json"]);
    assert_eq!(done["state"], "done", "{done}");
    site.assert_readable(&server.admin, &server.proxy).await;
    server.stop();
}
