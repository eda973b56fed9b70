//! Houses that somebody has ruined while they stood still: a database that cannot be used any more
//! comes back from a backup, and one without client keys hands out none. Must never plant a fault
//! through the house itself.

use serde_json::{Value, json};

use crate::house::{Database, Ground};

const KEY: &str = "0123456789abcdefghijABCDEFGHIJ01\n";

fn furnished() -> (Ground, Database, [String; 2]) {
    let ground = Ground::new("");
    ground.json(&["init", "--json"]);
    let add = ["secret", "add", "polygon", "--no-validate"];
    assert!(ground.run_with_input(&add, KEY).status.success());
    let [identity, backup] =
        ["identity", "b.age"].map(|name| ground.path().join(name).to_str().unwrap().to_owned());
    let made = ground.run(&["backup", "keygen", "--to", &identity]);
    let recipient = String::from_utf8(made.stdout).unwrap().trim().to_owned();
    ground.json(&["backup", "create", "--to", &backup, "--recipient", &recipient, "--json"]);
    let database = Database::Sqlite(ground.data().join("sealgate.db"));
    (ground, database, [identity, backup])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_cannot_be_used_is_put_aside_and_the_backup_restored() {
    let (ground, database, [identity, backup]) = furnished();
    let file = ground.data().join("sealgate.db");
    for ruin in [
        "DROP TABLE secrets",
        "DROP TABLE keks",
        "DROP TABLE installation",
        "ALTER TABLE client_keys RENAME COLUMN role TO part",
        "DROP TABLE _sqlx_migrations",
        "UPDATE _sqlx_migrations SET checksum = x'00' WHERE version = 1",
        "cut",
        "header",
    ] {
        match ruin {
            "cut" => {
                let whole = std::fs::read(&file).unwrap();
                std::fs::write(&file, &whole[..whole.len() / 2]).unwrap();
            }
            "header" => {
                let mut whole = std::fs::read(&file).unwrap();
                whole[..64].fill(0x55);
                std::fs::write(&file, whole).unwrap();
            }
            sql => database.tamper(&format!("PRAGMA foreign_keys = OFF; {sql}")).await,
        }
        let mut restore = vec!["backup", "restore", &backup, "--identity", &identity];
        let refused = ground.fails(&restore);
        assert!(refused.contains("--replace"), "{ruin}: {refused}");
        let before = std::fs::read(&file).unwrap();
        restore.push("--replace");
        let done = ground.run(&restore);
        let told = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(done.status.success(), "{ruin}: {told}");
        let aside = told.lines().find_map(|line| line.split_once("put aside as ")).unwrap().1;
        assert_eq!(std::fs::read(aside).unwrap(), before, "{ruin}");
        let secrets = ground.json(&["secret", "list", "--json"]);
        assert_eq!(secrets["items"].as_array().unwrap().len(), 1, "{ruin}");
        assert_eq!(red(&ground), [""; 0], "{ruin}");
    }
    // A backup that does not hold moves nothing.
    database.tamper("PRAGMA foreign_keys = OFF; DROP TABLE secrets").await;
    std::fs::write(&backup, "noise").unwrap();
    ground.fails(&["backup", "restore", &backup, "--identity", &identity, "--replace"]);
    database.tamper("SELECT id FROM keks").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_house_whose_client_keys_were_deleted_hands_out_none() {
    let (ground, database, _) = furnished();
    database.tamper("DELETE FROM client_key_hashes").await;
    database.tamper("DELETE FROM client_keys").await;
    for _ in 0..2 {
        let told = ground.json(&["init", "--json"]);
        assert_eq!(told, json!({"admin_key": null}));
        let server = ground.serve(&[]);
        let told = ground.json(&["client", "list", "--json"]);
        assert_eq!(told["items"], json!([]));
        let lines = server.stop().join("\n");
        assert!(!lines.contains("admin key, shown"), "{lines}");
        let red = red(&ground);
        assert!(red.iter().any(|line| line.contains("client create NAME --role admin")), "{red:?}");
    }
    let made = ground.json(&["client", "create", "mine", "--role", "admin", "--json"]);
    assert!(made["key"].is_string());
    assert_eq!(red(&ground), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_destroyed_unasked_and_no_pasted_value_or_escape_is_repeated() {
    let (ground, database, _) = furnished();
    let refused = ground.run_with_input(&["secret", "destroy", "polygon"], "");
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && told.contains("--yes"), "{told}");
    for pasted in ["SKCANARY0815=1\nsecret_key=x", r#"{"SKCANARY0815": "1"}"#] {
        let ended = ground.run_with_input(&["secret", "add", "alpaca"], pasted);
        let told = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(!ended.status.success() && !told.contains("CANARY"), "{told}");
        assert!(told.contains("key_id, secret_key"), "{told}");
    }
    database.tamper("UPDATE secrets SET name = 'a' || char(27) || ']0;x' || char(7)").await;
    let listed = ground.run(&["secret", "list"]);
    assert!(!listed.stdout.contains(&0x1b) && !listed.stdout.contains(&7), "{listed:?}");
    assert!(String::from_utf8_lossy(&listed.stdout).contains("]0;x"), "{listed:?}");
    let add = ["secret", "add", "polygon", "--name", "two", "--no-validate"];
    assert!(ground.run_with_input(&add, KEY).status.success());
    let gone = ground.json(&["secret", "destroy", "polygon/two", "--yes", "--json"]);
    assert_eq!(gone["destroyed"], json!(true));
}

fn red(ground: &Ground) -> Vec<String> {
    let told: Value = serde_json::from_slice(&ground.run(&["doctor", "--json"]).stdout).unwrap();
    let checks = told["checks"].as_array().unwrap().iter().filter(|check| check["ok"] == false);
    // Nobody is reached from here.
    let checks = checks.filter(|check| check["name"] != "provider");
    checks.map(|check| check["detail"].as_str().unwrap().to_owned()).collect()
}
