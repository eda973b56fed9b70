//! What somebody with the database's password can do to the tables beside the secrets: the numbers
//! by which nodes tell each other of changes, the master key that a passphrase opens, the keys that
//! sign tokens. Each is told, stands until somebody has looked, and stops nothing that need not
//! stop. Must never plant a fault through the house itself.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use crate::clients::second_node;
use crate::house::{Client, Database, Ground, House, Kind, on_both};

const INTEGRITY: &str = "/api/v1/admin/integrity";
const KEYS: &str = "/api/v1/admin/api-keys";

async fn findings(house: &House) -> Vec<String> {
    let told = house.admin.get(INTEGRITY).send().await;
    assert_eq!(told.status, 200, "{}", told.text());
    let told = told.json();
    let findings = told["findings"].as_array().unwrap();
    findings.iter().map(|finding| finding.as_str().unwrap().to_owned()).collect()
}

async fn accept(house: &House) {
    let accepted = house.admin.post(&format!("{INTEGRITY}/accept")).send().await;
    assert_eq!(accepted.status, 200, "{}", accepted.text());
}

async fn trail(house: &House) -> String {
    house.admin.get("/api/v1/admin/audit?kind=security").send().await.text()
}

/// As a shell does it, which asks for no references.
async fn forge(house: &House, sql: &str) {
    match &house.database {
        Database::Sqlite(_) => {
            house.database.tamper(&format!("PRAGMA foreign_keys = OFF; {sql}")).await;
        }
        Database::Postgres { .. } => house.database.tamper(sql).await,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_hears_of_a_revocation_whatever_becomes_of_the_number_of_changes() {
    let house = House::on(Kind::Postgres).await;
    let folder = tempfile::tempdir().unwrap();
    let other = second_node(&house, folder.path()).await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("http://{}/nowhere/x", other.proxy_address().unwrap());
    let asks = async |key: &str| {
        http.get(&url).header("x-api-key", key).send().await.unwrap().status().as_u16()
    };
    for forgery in [
        "UPDATE change_revision SET revision = 1",
        "DELETE FROM change_revision",
        "UPDATE change_revision SET revision = 9223372036854775807",
        "UPDATE change_revision SET revision = -5",
        "DELETE FROM changes; UPDATE change_revision SET revision = 0",
        "INSERT INTO changes SELECT revision + 7, 'ghost', 'ghost' FROM change_revision",
        "INSERT INTO changes VALUES (9223372036854775807, 'providers', '')",
    ] {
        let client = house.client().await;
        // Known there, it is the provider that is none.
        assert_eq!(asks(&client.key).await, 404);
        settled(&house, <[String]>::is_empty).await;
        for sql in forgery.split("; ") {
            house.database.tamper(sql).await;
        }
        let told = findings(&house).await.join("\n");
        // Both together look like a new house, but to whoever has heard of more.
        let is_seen = told.contains("change_revision");
        assert!(is_seen || forgery.contains("; "), "{forgery}: {told}");
        let path = format!("{KEYS}/{}", client.id);
        let revoked = house.admin.put(&path).json(&json!({"active": false})).send().await;
        assert_eq!(revoked.status, 200, "{forgery}: {}", revoked.text());
        let is_refused = async {
            while asks(&client.key).await != 401 {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let patience = tokio::time::timeout(Duration::from_secs(10), is_refused);
        patience.await.unwrap_or_else(|_| panic!("{forgery}: it still passes"));
        // The change has set it right; that it was wrong stands until somebody has looked.
        let is_told = |found: &[String]| {
            found.iter().any(|line| line.contains("secret accept"))
                && found.iter().all(|line| !line.contains("the next change"))
        };
        settled(&house, is_told).await;
        let trail = trail(&house).await;
        assert!(trail.contains("change_revision"), "{forgery}: {trail}");
        accept(&house).await;
        settled(&house, <[String]>::is_empty).await;
    }
    // Where nobody changes anything, saying so sets it right.
    house.database.tamper("UPDATE change_revision SET revision = 3").await;
    settled(&house, |found| found.len() == 2).await;
    accept(&house).await;
    settled(&house, <[String]>::is_empty).await;
    other.stop().await;
    house.leave().await;
}

/// What is found once it is so, and stays for longer than a look of the feed takes.
async fn settled(house: &House, is_so: impl Fn(&[String]) -> bool) {
    let mut found = Vec::new();
    for _ in 0..20 {
        found = findings(house).await;
        tokio::time::sleep(Duration::from_millis(700)).await;
        if is_so(&found) && findings(house).await == found {
            return;
        }
    }
    panic!("{found:?}");
}

/// The lines of `doctor` that are red.
fn red(ground: &Ground) -> Vec<String> {
    let told: Value = serde_json::from_slice(&ground.run(&["doctor", "--json"]).stdout).unwrap();
    let checks = told["checks"].as_array().unwrap().iter().filter(|check| check["ok"] == false);
    let text = |check: &Value, member: &str| check[member].as_str().unwrap().to_owned();
    checks.map(|check| format!("{}: {}", text(check, "name"), text(check, "detail"))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_row_of_a_master_key_that_is_gone_or_edited_is_told_with_its_one_remedy() {
    const PASSPHRASE: &str = "a long enough passphrase\n";
    for forgery in [
        "DELETE FROM master_passphrases",
        "UPDATE master_passphrases SET wrapped = x'00'",
        "UPDATE master_passphrases SET salt = zeroblob(16)",
        "UPDATE master_passphrases SET memory_kib = -1",
        "UPDATE master_passphrases SET passes = 63",
        "UPDATE master_passphrases SET master_id = 'ffffffffffffffffffffffffffffffff'",
    ] {
        let ground = Ground::new("master_key.kind = \"passphrase\"\n");
        assert!(ground.run_with_input(&["init"], PASSPHRASE).status.success());
        let server = ground.serve(&[]);
        assert!(ground.run_with_input(&["unseal"], PASSPHRASE).status.success());
        server.stop();
        assert_eq!(red(&ground), [""; 0]);
        let database = Database::Sqlite(ground.data().join("sealgate.db"));
        database.tamper(forgery).await;
        let found = red(&ground);
        assert!(found.len() == 1 && found[0].starts_with("master key: "), "{forgery}: {found:?}");
        let names = |line: &str| {
            line.contains("table master_passphrases") && line.contains("`sealgate backup restore`")
        };
        assert!(names(&found[0]), "{forgery}: {found:?}");
        if !forgery.contains("salt") && !forgery.contains("passes") {
            let refused = ground.run_with_input(&["init"], PASSPHRASE);
            let told = String::from_utf8_lossy(&refused.stderr).into_owned();
            assert!(!refused.status.success() && names(&told), "{forgery}: {told}");
        }
        let server = ground.serve(&[]);
        let found = red(&ground);
        assert!(found.len() == 1 && names(&found[0]), "{forgery}: {found:?}");
        let refused = ground.run_with_input(&["unseal"], PASSPHRASE);
        let told = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(names(&told) && told.contains("sealed"), "{forgery}: {told}");
        assert!(!told.contains("sealgate init"), "{told}");
        let told = server.stop();
        assert!(told.iter().any(|line| names(line)), "{forgery}: {told:?}");
    }
    // One that stands in a file, too.
    let ground =
        Ground::new("master_key = { kind = \"passphrase\", passphrase = { file = \"p\" } }\n");
    crate::house::private(&ground.path().join("p"), PASSPHRASE);
    assert!(ground.run(&["init"]).status.success());
    ground.serve(&[]).stop();
    let database = Database::Sqlite(ground.data().join("sealgate.db"));
    database.tamper("UPDATE master_passphrases SET salt = zeroblob(16)").await;
    let found = red(&ground);
    assert!(found.len() == 1 && found[0].contains("backup restore"), "{found:?}");
    let server = ground.serve(&[]);
    let told = server.stop().join("\n");
    assert!(told.contains("the vault starts sealed") && told.contains("backup restore"), "{told}");
}

async fn token(client: &Client) -> crate::house::Answer {
    let form = format!(
        "grant_type=client_credentials&client_id={}&client_secret={}",
        client.id, client.key
    );
    let form_type = "application/x-www-form-urlencoded";
    let call = client.bare_call(Method::POST, "/oauth/token").header("content-type", form_type);
    call.body(form).send().await
}

on_both! {
    async fn an_edited_signing_key_is_followed_by_a_new_one_and_told(house: House) {
        let mut house = house;
        let client = house.client().await;
        for forgery in [
            "UPDATE signing_keys SET sealed = 'nothing'",
            "UPDATE signing_keys SET number = 9223372036854775807",
            "UPDATE signing_keys SET number = -1",
            "UPDATE signing_keys SET created_at = 9223372036854775807",
            "DELETE FROM signing_keys",
        ] {
            let client = house.holder(&client);
            let first = token(&client).await;
            assert_eq!(first.status, 200, "{forgery}: {}", first.text());
            let first = house.with_key(&client.id, first.json()["access_token"].as_str().unwrap());
            accept(&house).await;
            assert_eq!(findings(&house).await, [""; 0], "{forgery}");
            let forgery = match &house.database {
                Database::Sqlite(_) => forgery.replace("'nothing'", "x'00'"),
                Database::Postgres { .. } => forgery.replace("'nothing'", "'\\x00'"),
            };
            forge(&house, &forgery).await;
            let found = findings(&house).await.join("\n");
            assert!(found.contains("table signing_keys"), "{forgery}: {found}");
            house.clock.advance(Duration::from_secs(2));
            let published = client.bare("/.well-known/jwks.json").send().await;
            assert_eq!(published.status, 200, "{forgery}: {}", published.text());
            assert_eq!(published.json()["keys"].as_array().unwrap().len(), 1);
            let second = token(&client).await;
            assert_eq!(second.status, 200, "{forgery}: {}", second.text());
            // Here it is the digest that counts.
            assert_eq!(first.get("/acme/x").send().await.status, 200);
            for restart in [false, true] {
                if restart {
                    house.restart().await;
                }
                let found = findings(&house).await;
                assert!(found.len() == 1 && found[0].contains("secret accept"), "{found:?}");
            }
            assert!(trail(&house).await.contains("table signing_keys"));
            accept(&house).await;
            assert_eq!(findings(&house).await, [""; 0], "{forgery}");
        }
        house.leave().await;
    }
}

async fn until_told(house: &House, what: &str) {
    for _ in 0..100 {
        if trail(house).await.contains(what) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the trail is not told of {what}");
}

async fn calls(house: &House, client: &Client, how_often: usize) {
    for _ in 0..how_often {
        assert_eq!(house.holder(client).get("/acme/x").send().await.status, 200);
    }
    // Reading the trail stores what waits, and counts it.
    trail(house).await;
}

on_both! {
    async fn edited_counts_and_blocks_keep_no_house_from_starting_and_are_told(house: House) {
        let mut house = house;
        let client = house.client().await;
        let whole = async |house: &House| {
            let verified = house.admin.get("/api/v1/admin/audit/verify").send().await;
            assert_eq!(verified.status, 200, "{}", verified.text());
            verified.json()["ok"] == true
        };
        for (forgery, table) in [
            ("UPDATE recent_calls SET client_id = 'ghost' || client_id", "recent_calls"),
            ("UPDATE recent_calls SET calls = -7", "recent_calls"),
            ("UPDATE recent_calls SET end_at = end_at + 9000000000000000000", "recent_calls"),
            ("UPDATE recent_calls SET end_at = -end_at", ""),
            ("UPDATE counted_records SET next_sequence = -1", "counted_records"),
            ("UPDATE counted_records SET next_sequence = 9223372036854775807", "counted_records"),
            ("DELETE FROM counted_records", ""),
            ("DELETE FROM recent_calls", ""),
        ] {
            calls(&house, &client, 2).await;
            house.database.tamper(forgery).await;
            let found = findings(&house).await.join("\n");
            assert!(found.contains(table), "{forgery}: {found}");
            for _ in 0..2 {
                house.restart().await;
                calls(&house, &client, 1).await;
            }
            accept(&house).await;
            assert!(whole(&house).await, "{forgery}");
        }
        // What is counted wrongly is not counted so for ever.
        house.database.tamper("DELETE FROM recent_calls").await;
        assert_eq!(findings(&house).await, [""; 0]);
        for forgery in [
            "UPDATE record_blocks SET records = -1 WHERE first_sequence = (SELECT MAX(first_sequence) FROM record_blocks)",
            "UPDATE record_blocks SET first_sequence = 9223372036854775807 WHERE first_sequence = (SELECT MAX(first_sequence) FROM record_blocks)",
            "UPDATE record_blocks SET head_hash = body",
            "UPDATE record_blocks SET body = head_hash",
            "DELETE FROM record_blocks",
        ] {
            calls(&house, &client, 1).await;
            house.database.tamper(forgery).await;
            for restart in [false, true, true] {
                if restart {
                    house.restart().await;
                }
                // Records are written on, and the trail passes for whole never again.
                calls(&house, &client, 1).await;
                assert_eq!(house.admin.get("/readyz").send().await.status, 200, "{forgery}");
                if restart {
                    until_told(&house, "table record_blocks").await;
                }
                assert!(!whole(&house).await, "{forgery}");
                let found = findings(&house).await.join("\n");
                assert!(found.contains("table record_blocks"), "{forgery}: {found}");
            }
        }
        house.leave().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_emptied_journal_and_a_changed_name_are_told_by_a_doctor_that_stands_alone() {
    let ground = Ground::new("");
    ground.json(&["init", "--json"]);
    let server = ground.serve(&["--sandbox"]);
    let _made = ground.json(&["client", "create", "desk", "--json"]);
    server.stop();
    assert_eq!(red(&ground), [""; 0]);
    let (journal, node) = (ground.data().join("journal"), ground.data().join("node"));
    let says = |word: &str| {
        let found = red(&ground);
        assert!(found.iter().any(|line| line.contains(word)), "{word}: {found:?}");
    };
    let name = std::fs::read_to_string(&node).unwrap();
    for other in ["no name", "0123456789ab", ""] {
        std::fs::write(&node, other).unwrap();
        says("the file `node`");
        let server = ground.serve(&[]);
        says("the file `node`");
        assert_eq!(std::fs::read_to_string(&node).unwrap(), name);
        assert!(ground.run(&["audit", "verify"]).status.success());
        assert!(ground.run(&["secret", "accept"]).status.success());
        server.stop();
        assert_eq!(red(&ground), [""; 0]);
    }

    let server = ground.serve(&[]);
    let segments: Vec<_> =
        std::fs::read_dir(&journal).unwrap().map(|e| e.unwrap().path()).collect();
    server.kill();
    let segments = segments.iter().filter(|path| path.extension().is_some_and(|e| e == "journal"));
    for (number, path) in segments.enumerate() {
        let bytes = std::fs::read(path).unwrap();
        let changed = match number {
            0 => Vec::new(),
            1 => vec![0; bytes.len()],
            _ => bytes[..5000].to_vec(),
        };
        std::fs::write(path, changed).unwrap();
    }
    says("was a part of the journal");
    let server = ground.serve(&[]);
    says("was a part of the journal");
    let security = ground.run(&["audit", "query", "--kind", "security", "--json"]);
    let told = String::from_utf8_lossy(&security.stdout).into_owned();
    assert!(told.contains("was a part of the journal"), "{told}");
    assert!(ground.run(&["secret", "accept"]).status.success());
    assert_eq!(red(&ground), [""; 0]);
    server.stop();

    std::fs::write(journal.join("head"), "").unwrap();
    says("does not remember");
    let server = ground.serve(&[]);
    says("does not remember");
    assert!(ground.run(&["secret", "accept"]).status.success());
    server.stop();
    assert_eq!(red(&ground), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn edited_rows_of_the_trail_are_told_by_a_doctor_that_stands_alone() {
    let ground = Ground::new("");
    ground.json(&["init", "--json"]);
    let server = ground.serve(&[]);
    let _made = ground.json(&["client", "create", "desk", "--json"]);
    server.stop();
    assert_eq!(red(&ground), [""; 0]);
    let says = |word: &str| {
        let found = red(&ground);
        assert!(found.iter().any(|line| line.contains(word)), "{word}: {found:?}");
    };
    let database = Database::Sqlite(ground.data().join("sealgate.db"));
    for (forgery, table) in [
        ("UPDATE counted_records SET next_sequence = -1", "counted_records"),
        ("INSERT INTO recent_calls VALUES ('n', 1, 'ghost', 1)", "recent_calls"),
        ("UPDATE record_blocks SET records = -1", "record_blocks"),
    ] {
        database.tamper(forgery).await;
        says(table);
    }
    ground.serve(&[]).stop();
    says("record_blocks");
}
