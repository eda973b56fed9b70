//! Backups of the real binary: made while it serves, brought back elsewhere, cut, edited, and a
//! restore that is killed at every step.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::house::{
    Canary, Database, Ground, House, Kind, Outpost, Plan, Server, Speaks, send_signal,
};

const STEPS: [&str; 6] = ["Unpacked", "Proven", "Emptied", "Loaded", "Committed", "PutAside"];

/// A provider with the canary as its key, and a folder for what is carried from house to house.
pub(crate) struct Site {
    provider: Outpost,
    canary: Canary,
    pub carried: tempfile::TempDir,
}

impl Site {
    pub(crate) async fn new() -> Self {
        let provider = Outpost::open(Speaks::Both).await;
        let site =
            Self { provider, canary: Canary::hatch(), carried: tempfile::tempdir().unwrap() };
        std::fs::write(site.path("outpost.pem"), &site.provider.ca_pem).unwrap();
        site
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.carried.path().join(name)
    }

    pub(crate) fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// An empty installation that knows the provider.
    pub(crate) fn ground(&self, more: &str) -> Ground {
        let bearer =
            "[{ at = \"header\", name = \"Authorization\", value = \"Bearer {api_key}\" }]";
        let provider = self.provider.settings("acme", &self.path("outpost.pem"), bearer);
        Ground::new(&format!("{more}\n{provider}"))
    }

    /// Set up, the canary in it, a client key handed out.
    pub(crate) fn furnish(&self, ground: &Ground) -> String {
        ground.json(&["init", "--json"]);
        let key = format!("{}\n", self.canary.plain());
        let add = ["secret", "add", "acme", "--no-validate", "--json"];
        let added = ground.run_with_input(&add, &key);
        assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
        let made = ground.json(&["client", "create", "caller", "--tier", "unlimited", "--json"]);
        made["key"].as_str().unwrap().to_owned()
    }

    /// The pair of keys, once.
    fn recipient(&self, ground: &Ground) -> String {
        let output = ground.run(&["backup", "keygen", "--to", &self.text("identity")]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    pub(crate) fn back_up(&self, ground: &Ground, name: &str) {
        let recipient = self.recipient(ground);
        let to = self.text(name);
        ground.json(&["backup", "create", "--to", &to, "--recipient", &recipient, "--json"]);
        let bytes = std::fs::read(self.path(name)).unwrap();
        assert!(bytes.starts_with(b"age-encryption.org/v1\n"));
        self.canary.is_nowhere_in("a backup", &bytes);
    }

    pub(crate) fn restored(&self, ground: &Ground, name: &str, more: &[&str]) -> Value {
        let (file, identity) = (self.text(name), self.text("identity"));
        let mut arguments = vec!["backup", "restore", &file, "--identity", &identity, "--json"];
        arguments.extend_from_slice(more);
        ground.json(&arguments)
    }

    /// The house serves the old client key with the real key, and its trail holds.
    pub(crate) async fn assert_serves(&self, ground: &Ground, key: &str) {
        let server = ground.serve(&[]);
        assert_eq!(call(&server, key).await, 200);
        let seen = self.provider.last();
        let sent = seen.header("authorization").unwrap().to_owned();
        assert_eq!(sent, format!("Bearer {}", self.canary.plain()));
        server.stop();
        let verified = ground.json(&["audit", "verify", "--json"]);
        assert_eq!((&verified["ok"], &verified["first_bad"]), (&json!(true), &json!(null)));
    }
}

pub(crate) async fn call(server: &Server, key: &str) -> u16 {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("{}/acme/x", server.proxy);
    http.get(url).header("x-api-key", key).send().await.unwrap().status().as_u16()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_drill_a_house_is_lost_and_comes_back_under_another_master_key() {
    let site = Site::new().await;
    let lost = site.ground("");
    let key = site.furnish(&lost);
    let server = lost.serve(&[]);
    assert_eq!(call(&server, &key).await, 200);
    // Even a house whose master key is lost while it runs can be saved.
    let old_master = std::fs::read(lost.path().join("keys/master.key")).unwrap();
    std::fs::remove_file(lost.path().join("keys/master.key")).unwrap();
    site.back_up(&lost, "backup.age");
    let records = lost.json(&["audit", "query", "--limit", "1000", "--json"]);
    server.stop();
    let proof = lost.json(&[
        "backup",
        "verify",
        &site.text("backup.age"),
        "--identity",
        &site.text("identity"),
        "--json",
    ]);
    assert_eq!(
        (&proof["secrets"], &proof["versions"], &proof["faults"]),
        (&json!(1), &json!(1), &json!([]))
    );
    drop(lost);

    let found = site.ground("");
    let told = site.restored(&found, "backup.age", &[]);
    assert_eq!((&told["installation"], &told["versions"]), (&proof["installation"], &json!(1)));
    assert!(told["records"].as_u64().unwrap() > 0);
    assert_ne!(std::fs::read(found.path().join("keys/master.key")).unwrap(), old_master);
    site.assert_serves(&found, &key).await;
    let after = found.json(&["audit", "query", "--limit", "1000", "--json"]);
    let call = |records: &Value| {
        let items = records["items"].as_array().unwrap().iter();
        items
            .filter(|item| item["kind"] == "usage")
            .map(|item| item["id"].clone())
            .next_back()
            .unwrap()
    };
    assert_eq!(call(&after), call(&records), "the first call of the lost house is in the trail");
    let security = found.json(&["audit", "query", "--kind", "security", "--json"]);
    assert!(security.to_string().contains("\"restored\""), "{security}");
    let told: Value = serde_json::from_slice(&found.run(&["doctor", "--json"]).stdout).unwrap();
    let checks = told["checks"].as_array().unwrap().iter();
    let red: Vec<&Value> = checks.filter(|check| check["ok"] == false).collect();
    assert!(red.is_empty(), "a restored house is whole: {red:?}");
    let add = ["secret", "add", "acme", "--name", "s2", "--no-validate", "--json"];
    let added = found.run_with_input(&add, &format!("{}\n", site.canary.plain()));
    assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
    for step in ["rotate", "rekey", "rewrap"] {
        let done = found.run(&["kek", step, "--json"]);
        assert!(done.status.success(), "{step}: {}", String::from_utf8_lossy(&done.stderr));
    }
    site.assert_serves(&found, &key).await;
    let scratch = std::fs::read_dir(found.data()).unwrap();
    let names = scratch.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert!(!names.into_iter().any(|name| name.starts_with("scratch")), "scratch stays behind");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_of_one_database_comes_back_in_the_other() {
    let site = Site::new().await;
    let first = site.ground("");
    let key = site.furnish(&first);
    site.back_up(&first, "of-sqlite.age");
    let database = Database::fresh(Kind::Postgres, site.carried.path()).await;
    let second = site.ground(&database.settings());
    site.restored(&second, "of-sqlite.age", &[]);
    site.assert_serves(&second, &key).await;
    // New rows get new numbers there, and nothing collides.
    second.json(&["client", "create", "another", "--json"]);
    std::fs::remove_file(site.path("identity")).unwrap();
    site.back_up(&second, "of-postgres.age");
    let third = site.ground("");
    site.restored(&third, "of-postgres.age", &[]);
    site.assert_serves(&third, &key).await;
    let clients = third.json(&["client", "list", "--json"]);
    assert_eq!(clients["items"].as_array().unwrap().len(), 3);
    database.drop_it().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_house_that_holds_something_is_replaced_only_when_that_is_meant() {
    let site = Site::new().await;
    let first = site.ground("");
    let key = site.furnish(&first);
    site.back_up(&first, "backup.age");
    let (file, identity) = (site.text("backup.age"), site.text("identity"));
    let restore = ["backup", "restore", &file, "--identity", &identity];
    let second = site.ground("");
    let own_key = site.furnish(&second);
    assert!(second.fails(&restore).contains("--replace"));
    site.assert_serves(&second, &own_key).await;
    let server = second.serve(&[]);
    assert!(second.fails(&restore).contains("a server runs in"));
    server.stop();
    site.restored(&second, "backup.age", &["--replace"]);
    site.assert_serves(&second, &key).await;
    let server = second.serve(&[]);
    assert_eq!(call(&server, &own_key).await, 401);
    server.stop();
    // What `init` makes by itself is nothing that could be lost.
    let third = site.ground("");
    third.json(&["init", "--json"]);
    site.restored(&third, "backup.age", &[]);
    site.assert_serves(&third, &key).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_passphrase_opens_what_was_made_for_it_and_nothing_else_does() {
    let site = Site::new().await;
    let first = site.ground("");
    let key = site.furnish(&first);
    std::fs::write(site.path("phrase"), "correct horse battery\n").unwrap();
    std::fs::write(site.path("wrong"), "correct horse batterie\n").unwrap();
    let (file, phrase, wrong) = (site.text("p.age"), site.text("phrase"), site.text("wrong"));
    first.json(&["backup", "create", "--to", &file, "--passphrase-file", &phrase, "--json"]);
    let again = ["backup", "create", "--to", &file, "--passphrase-file", &phrase];
    assert!(first.fails(&again).contains("is there already"));
    let second = site.ground("");
    let restore = |with: &str| {
        second.command(&["backup", "restore", &file, "--passphrase-file", with]).output().unwrap()
    };
    let refused = restore(&wrong);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("does not open"), "{refused:?}");
    site.recipient(&first);
    let stranger = ["backup", "verify", &file, "--identity", &site.text("identity")];
    assert!(second.fails(&stranger).contains("was made for a passphrase"));
    assert!(restore(&phrase).status.success());
    site.assert_serves(&second, &key).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_that_was_cut_or_edited_is_refused_and_changes_nothing() {
    let site = Site::new().await;
    let first = site.ground("");
    let key = site.furnish(&first);
    site.back_up(&first, "backup.age");
    let whole = std::fs::read(site.path("backup.age")).unwrap();
    let second = site.ground("");
    let (file, identity) = (site.text("broken.age"), site.text("identity"));
    let restore = ["backup", "restore", &file, "--identity", &identity];
    let mut broken = Vec::new();
    for part in 0..12 {
        let at = whole.len() * part / 12;
        broken.push(whole[..at].to_vec());
        let mut edited = whole.clone();
        edited[at] ^= 1 << (part % 8);
        broken.push(edited);
    }
    broken.push(whole[..whole.len() - 1].to_vec());
    broken.push([&whole[..], b"x"].concat());
    for bytes in broken {
        std::fs::write(&file, &bytes).unwrap();
        let told = second.fails(&restore);
        assert!(told.contains("damaged") || told.contains("does not open"), "{told}");
    }
    std::fs::write(&file, &whole).unwrap();
    site.restored(&second, "broken.age", &[]);
    site.assert_serves(&second, &key).await;
}

/// Run by the test below, in a process of its own that dies where it is told to.
#[tokio::test]
#[ignore = "needs a house and a word where to die"]
#[expect(clippy::disallowed_methods, reason = "its parent says here what to do")]
async fn dying_child() {
    let told = |name: &str| std::env::var(name).unwrap();
    let (folder, at) = (PathBuf::from(told("DIE_IN")), told("DIE_AT"));
    let environment = sealgate::config::Environment::of(&folder, &[]);
    let config = sealgate::config::load(None, &environment).unwrap().config;
    let identity = std::fs::read(told("DIE_WITH")).unwrap();
    let rescue = sealgate::app::Rescue {
        file: PathBuf::from(told("DIE_FOR")),
        opener: sealgate::app::Opener::Identity(sealgate::secret::SecretBytes::new(identity)),
        replace: true,
    };
    let url = std::env::var("DIE_CUT").ok();
    let step = |step: sealgate::app::RestoreStep| match &url {
        _ if format!("{step:?}") != at => {}
        Some(url) => {
            cut(url);
            // Its parent asks for this: what fails before fails for another reason.
            std::fs::write(folder.join("was-cut"), "").unwrap();
        }
        None => {
            send_signal(std::process::id(), "KILL");
            loop {
                std::thread::park();
            }
        }
    };
    let clock = sealgate::clock::Clock::system();
    let ask = Box::new(|| panic!("this master key has no passphrase"));
    let restored = sealgate::app::restore(&config, clock, (rescue, ask), &step).await;
    assert!(url.is_some() && restored.is_err(), "it lived");
}

/// Shows everybody out of this database, as a server that stops does.
fn cut(url: &str) {
    let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()";
    let url = url.to_owned();
    let cutting = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let connecting = <sqlx::PgConnection as sqlx::Connection>::connect(&url).await;
            sqlx::query(sql).execute(&mut connecting.unwrap()).await.unwrap();
        });
    });
    cutting.join().unwrap();
}

pub(crate) fn die(site: &Site, ground: &Path, at: &str) {
    let ended = child(site, ground, at, None);
    use std::os::unix::process::ExitStatusExt;
    assert_eq!(ended.status.signal(), Some(9), "{at}: {ended:?}");
}

fn child(site: &Site, ground: &Path, at: &str, cut: Option<&str>) -> std::process::Output {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "backup::dying_child", "--ignored"])
        .current_dir(ground)
        .env("DIE_IN", ground)
        .env("DIE_AT", at)
        .env("DIE_FOR", site.path("backup.age"))
        .env("DIE_WITH", site.path("identity"));
    if let Some(url) = cut {
        command.env("DIE_CUT", url);
    }
    command.output().unwrap()
}

/// What belongs to the house that stands: its journal, the node's name, the anchors.
pub(crate) fn belongings(ground: &Ground) -> Vec<(PathBuf, Vec<u8>)> {
    let data = ground.data();
    let mut found = crate::house::files_below(&data);
    found.retain(|(path, _)| {
        let name = path.strip_prefix(&data).unwrap().to_string_lossy().into_owned();
        name == "node" || name == "anchors" || name.starts_with("journal/")
    });
    found.sort();
    assert!(found.len() > 2, "{:?}", found.iter().map(|(path, _)| path).collect::<Vec<_>>());
    found
}

pub(crate) fn set_aside(ground: &Ground) -> Vec<String> {
    let entries = std::fs::read_dir(ground.data()).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut aside: Vec<String> =
        names.filter_map(|name| Some(name.split_once(".before-restore-")?.0.to_owned())).collect();
    aside.sort();
    aside
}

async fn killed_restores(more: &str, kind: Kind, into_empty: bool) {
    let site = Site::new().await;
    let first = site.ground("");
    let key = site.furnish(&first);
    site.back_up(&first, "backup.age");
    let ground = async || {
        let database = Database::fresh(kind, site.carried.path()).await;
        let settings = match kind {
            Kind::Sqlite => String::new(),
            Kind::Postgres => database.settings(),
        };
        (site.ground(&format!("{settings}{more}")), database)
    };
    for at in STEPS {
        let is_new = ["Committed", "PutAside"].contains(&at);
        if into_empty {
            // It stays empty, and the next restore succeeds.
            let (empty, database) = ground().await;
            die(&site, empty.path(), at);
            let more: &[&str] = if is_new { &["--replace"] } else { &[] };
            if is_new {
                site.assert_serves(&empty, &key).await;
            }
            site.restored(&empty, "backup.age", more);
            site.assert_serves(&empty, &key).await;
            database.drop_it().await;
        }
        // Over another house: it is still that one, or wholly the backup's.
        let (other, database) = ground().await;
        let own_key = site.furnish(&other);
        let before = belongings(&other);
        die(&site, other.path(), at);
        if !is_new {
            assert_eq!(belongings(&other), before, "{at}: what the old house needs is gone");
        }
        site.assert_serves(&other, if is_new { &key } else { &own_key }).await;
        assert!(!other.data().join("restore.pending").exists(), "{at}");
        let aside = set_aside(&other);
        let expected: &[&str] = if is_new { &["anchors", "journal", "node"] } else { &[] };
        assert_eq!(aside, expected, "{at}");
        database.drop_it().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_that_is_killed_at_any_step_leaves_the_old_house_or_the_new_one() {
    killed_restores("", Kind::Sqlite, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_on_postgresql_that_is_killed_leaves_the_old_house_or_the_new_one() {
    killed_restores("", Kind::Postgres, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_into_a_house_of_a_passphrase_that_is_killed_leaves_one_house_whole() {
    let folder = tempfile::tempdir().unwrap();
    let word = folder.path().join("word");
    crate::house::private(&word, "a long enough passphrase\n");
    let kind = "kind = \"passphrase\"";
    let word = word.display();
    let more = format!("master_key = {{ {kind}, passphrase = {{ file = \"{word}\" }} }}\n");
    killed_restores(&more, Kind::Sqlite, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_into_a_house_of_vault_transit_that_is_killed_leaves_one_house_whole() {
    let transit = crate::house::Transit::open().await;
    let folder = tempfile::tempdir().unwrap();
    killed_restores(&transit.settings(&folder.path().join("token"), 60), Kind::Sqlite, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_whose_commit_fails_leaves_the_old_house_with_all_that_is_its_own() {
    let site = Site::new().await;
    let first = site.ground("");
    site.furnish(&first);
    site.back_up(&first, "backup.age");
    let database = Database::fresh(Kind::Postgres, site.carried.path()).await;
    let settings = database.settings();
    let other = site.ground(&settings);
    let own_key = site.furnish(&other);
    let before = belongings(&other);
    let url = settings.trim().strip_prefix("database.url = ").unwrap().trim_matches('"');
    let ended = child(&site, other.path(), "Loaded", Some(url));
    assert!(ended.status.success(), "{ended:?}");
    assert!(other.path().join("was-cut").exists(), "it failed before its commit");
    assert_eq!(belongings(&other), before);
    site.assert_serves(&other, &own_key).await;
    assert_eq!(set_aside(&other), [""; 0]);
    database.drop_it().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backups_are_made_by_schedule_and_an_alert_tells_when_none_is() {
    let site = Site::new().await;
    let recipient = site.recipient(&site.ground(""));
    let settings = format!(
        "[backup]\nevery_hours = 1\nkeep = 2\nfolder = \"kept\"\nrecipients = [\"{recipient}\"]\n"
    );
    let house = House::planned(Plan { settings, ..Plan::default() }).await;
    let kept = house.path().join("kept");
    let count = || std::fs::read_dir(&kept).map_or(0, Iterator::count);
    for expected in [1, 2, 2] {
        wait(|| count() == expected && newest(&kept) >= house.clock.unix_ms()).await;
        house.clock.advance(std::time::Duration::from_secs(3600));
    }
    let listed = house.admin.get("/api/v1/admin/backups").send().await.json();
    assert!(listed["items"].as_array().unwrap().len() <= 2, "{listed}");
    let made = house.admin.post("/api/v1/admin/backups").json(&json!({})).send().await;
    assert_eq!(made.status, 201, "{}", made.text());
    let refused = house.admin.post("/api/v1/admin/backups");
    let refused = refused.json(&json!({"recipients": ["x"]})).send().await;
    assert_eq!(refused.status, 422, "{}", refused.text());
    // A file where the folder was: none can be made any more.
    std::fs::remove_dir_all(&kept).unwrap();
    std::fs::write(&kept, "in the way").unwrap();
    house.clock.advance(std::time::Duration::from_secs(4 * 3600));
    let overdue = "/api/v1/admin/audit?kind=security&limit=1000";
    for _ in 0..100 {
        if house.admin.get(overdue).send().await.text().contains("backup_overdue") {
            house.leave().await;
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    panic!("no record says that backups are overdue");
}

async fn wait(until: impl Fn() -> bool) {
    for _ in 0..200 {
        if until() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("it did not happen within 20 s");
}

/// The time in the newest file's name, to the millisecond.
fn newest(kept: &Path) -> i64 {
    let names = std::fs::read_dir(kept).map(|entries| {
        let name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name();
        entries.map(name).max().unwrap_or_default().into_string().unwrap()
    });
    let Ok(name) = names else { return 0 };
    let Some(time) = name.strip_prefix("sealgate-").and_then(|rest| rest.strip_suffix("Z.age"))
    else {
        return 0;
    };
    let time = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%S", &time[..15]).unwrap();
    let zoned = time.to_zoned(jiff::tz::TimeZone::UTC).unwrap();
    zoned.timestamp().as_millisecond() + time_ms(&name)
}

fn time_ms(name: &str) -> i64 {
    name[name.len() - 8..name.len() - 5].parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_passphrase_that_is_soon_guessed_makes_no_backup() {
    let site = Site::new().await;
    let house = site.ground("");
    site.furnish(&house);
    std::fs::write(site.path("phrase"), "x\n").unwrap();
    let (file, phrase) = (site.text("p.age"), site.text("phrase"));
    let told = house.fails(&["backup", "create", "--to", &file, "--passphrase-file", &phrase]);
    assert!(told.contains("fewer than 12 characters is guessed too soon"), "{told}");
    assert!(!site.path("p.age").exists());
    let open = House::open().await;
    for stream in [true, false] {
        let weak = open.admin.post("/api/v1/admin/backups");
        let weak = weak.json(&json!({"passphrase": "short", "stream": stream})).send().await;
        let body = weak.is_refusal(422, "invalid");
        assert!(body["fields"][0]["fault"].to_string().contains("fewer than 12"), "{body}");
    }
    open.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_of_a_damaged_house_says_what_is_damaged_and_never_that_it_holds() {
    let site = Site::new().await;
    let house = site.ground("");
    site.furnish(&house);
    let recipient = site.recipient(&house);
    let server = house.serve(&[]);
    // Behind the back of the server that runs.
    let url = format!("sqlite://{}", house.data().join("sealgate.db").display());
    let mut database = <sqlx::SqliteConnection as sqlx::Connection>::connect(&url).await.unwrap();
    let sql = "UPDATE secret_versions SET envelope = zeroblob(200)";
    sqlx::query(sql).execute(&mut database).await.unwrap();
    sqlx::Connection::close(database).await.unwrap();
    let file = site.text("d.age");
    let create = ["backup", "create", "--to", &file, "--recipient", &recipient];
    let made = house.run(&create);
    let told = String::from_utf8_lossy(&made.stdout).into_owned();
    assert!(made.status.success(), "{told}");
    assert!(told.contains("secret default of acme: version 1 does not open"), "{told}");
    std::fs::remove_file(&file).unwrap();
    let made = house.json(&[&create[..], &["--json"]].concat());
    assert!(made["faults"].as_array().is_some_and(|faults| !faults.is_empty()), "{made}");
    let verify = ["backup", "verify", &file, "--identity", &site.text("identity"), "--json"];
    let verified = house.run(&verify);
    assert_eq!(verified.status.code(), Some(1));
    let verdict: Value = serde_json::from_slice(&verified.stdout).unwrap();
    assert_eq!(verdict["outcome"], "damaged", "{verdict}");
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_house_throws_no_backup_away_and_a_date_to_come_hides_no_lack_of_them() {
    let site = Site::new().await;
    let recipient = site.recipient(&site.ground(""));
    let settings = format!(
        "[backup]\nevery_hours = 1\nkeep = 2\nfolder = \"kept\"\nrecipients = [\"{recipient}\"]\n"
    );
    let house = House::planned(Plan { settings, ..Plan::default() }).await;
    let kept = house.path().join("kept");
    let count = || std::fs::read_dir(&kept).map_or(0, Iterator::count);
    let hour = std::time::Duration::from_secs(3600);
    wait(|| count() == 1).await;
    // A key that opens for nobody: its row came from elsewhere.
    let id = uuid::Uuid::now_v7();
    let foreign = format!(
        "INSERT INTO keks (id, category, generation, wrapped, master_kind, master_id, state, wraps,
        created_at) SELECT '{id}', 'strange', 1, wrapped, master_kind, master_id, 'active', 0,
        created_at FROM keks LIMIT 1"
    );
    house.database.tamper(&foreign).await;
    for expected in [2, 3, 4, 5] {
        house.clock.advance(hour);
        wait(|| count() == expected).await;
    }
    let trail = house.admin.get("/api/v1/admin/audit?kind=security&limit=1000").send().await;
    assert!(trail.text().contains("holds it only as it is wrapped here"), "{}", trail.text());
    // A backup is named by its time.
    house.clock.advance(std::time::Duration::from_secs(1));
    let made = house.admin.post("/api/v1/admin/backups").json(&json!({})).send().await;
    assert_eq!(made.status, 201, "{}", made.text());
    let told = made.json()["faults"].to_string();
    assert!(told.contains(&id.to_string()) && told.contains("wrapped here"), "{told}");
    // Whole again, the oldest go again.
    house.database.tamper("DELETE FROM keks WHERE category = 'strange'").await;
    house.clock.advance(hour);
    wait(|| count() == 2).await;
    // Files of days to come are no backups of today, and none of the schedule's.
    std::fs::remove_dir_all(&kept).unwrap();
    std::fs::create_dir(&kept).unwrap();
    std::fs::write(kept.join("sealgate-29990115T120000000Z.age"), "x").unwrap();
    // No backup can be made any more.
    house.database.tamper("ALTER TABLE symbols RENAME TO away").await;
    house.clock.advance(hour * 4);
    for _ in 0..100 {
        let trail = house.admin.get("/api/v1/admin/audit?kind=security&limit=1000").send().await;
        if trail.text().contains("backup_overdue") {
            assert_eq!(count(), 1, "none was made");
            house.database.tamper("ALTER TABLE away RENAME TO symbols").await;
            house.leave().await;
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    panic!("no record says that backups are overdue");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_restore_unpacked_is_swept_by_the_next_start() {
    let site = Site::new().await;
    let first = site.ground("");
    site.furnish(&first);
    site.back_up(&first, "backup.age");
    let scratches = |ground: &Ground| {
        let entries = std::fs::read_dir(ground.data()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with("scratch-")).count()
    };
    for way in ["serve", "restore"] {
        let killed = site.ground("");
        die(&site, killed.path(), "Proven");
        assert_eq!(scratches(&killed), 1);
        match way {
            "serve" => drop(killed.serve(&[]).stop()),
            _ => drop(site.restored(&killed, "backup.age", &[])),
        }
        assert_eq!(scratches(&killed), 0, "{way}");
    }
}
