//! The way out of what somebody has edited: metadata, schedules, stray lists, letters of a master
//! key's name, rows that cannot be read. Each finding's remedy is taken at its word. Must never
//! plant a fault through the house itself.

use std::time::Duration;

use serde_json::{Value, json};

use crate::house::{Database, Ground, House, on_both};

const SECRETS: &str = "/api/v1/admin/secrets";
const INTEGRITY: &str = "/api/v1/admin/integrity";
const KEKS: &str = "/api/v1/admin/keks";

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

async fn rewrapped(house: &House) {
    let rotated = house.admin.post(&format!("{KEKS}/rotate")).send().await;
    assert_eq!(rotated.status, 201, "{}", rotated.text());
    assert_eq!(house.admin.post(&format!("{KEKS}/rewrap")).send().await.status, 202);
    for _ in 0..100 {
        if house.admin.get(KEKS).send().await.json()["job"]["state"] == "done" {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the rewrapping did not end");
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

on_both! {
    async fn what_is_said_of_a_secret_is_bound_like_what_it_is_chosen_by(house: House) {
        let client = house.client().await;
        for (number, set) in [
            "secrets SET owner = 'somebody else'",
            "secrets SET owner = NULL",
            "secrets SET labels = NULL",
            "secrets SET expires_at = 99999999999999",
            "secrets SET expires_at = NULL",
            "secrets SET created_at = created_at + 1",
            "secrets SET created_by = 'nobody'",
            "secrets SET updated_at = updated_at + 1",
            "secret_versions SET created_at = 1",
            "secret_versions SET created_by = 'nobody'",
        ].into_iter().enumerate() {
            let name = format!("s{number}");
            let secret = json!({
                "provider": "acme", "name": name, "fields": {"api_key": house.canary.plain()},
                "owner": "desk", "labels": {"b": "2", "a": "1"}, "expires_at": "2027-01-01T00:00:00Z",
            });
            let made = house.admin.post(SECRETS).json(&secret).send().await;
            assert_eq!(made.status, 201, "{}", made.text());
            let id = made.json()["id"].as_str().unwrap().to_owned();
            let path = format!("{SECRETS}/{id}");
            let set_owner = house.admin.put(&path).json(&json!({"owner": "other desk"})).send().await;
            assert_eq!(set_owner.status, 200);
            let unread = "UPDATE secret_versions SET last_used_at = 5";
            house.database.tamper(unread).await;
            assert_eq!(findings(&house).await, [""; 0], "{set}");
            let report = house.admin.post(&format!("{path}/validate")).send().await.json();
            let told = report["steps"][0]["detail"].as_str().unwrap();
            assert!(told.contains("owner, labels, expires_at"), "{told}");
            let column = if set.starts_with("secrets") { "id" } else { "secret_id" };
            house.database.tamper(&format!("UPDATE {set} WHERE {column} = '{id}'")).await;
            let found = findings(&house).await;
            assert!(found.len() == 1 && found[0].contains(&name), "{set}: {found:?}");
            let report = house.admin.post(&format!("{path}/validate")).send().await.json();
            assert_eq!(report["steps"][0]["ok"], false, "{set}");
            assert_eq!(house.admin.delete(&path).send().await.status, 204);
            assert_eq!(findings(&house).await, [""; 0], "{set}");
        }
        assert_eq!(client.get("/quill/x").send().await.status, 200);
        house.leave().await;
    }
}

on_both! {
    async fn times_that_are_still_to_come_hold_no_schedule_off(house: House) {
        house.database.tamper("UPDATE keks SET created_at = 9000000000000000").await;
        let found = findings(&house).await;
        assert!(found.len() >= 2, "{found:?}");
        assert!(found.iter().all(|line| line.contains("column created_at")), "{found:?}");
        let generations = async || {
            let status = house.admin.get(KEKS).send().await.json();
            status["items"].as_array().unwrap().len()
        };
        let before = generations().await;
        house.clock.advance(Duration::from_secs(366 * 24 * 60 * 60));
        for _ in 0..100 {
            if generations().await >= 2 * before {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(generations().await, 2 * before, "each was rotated, and once");
        // What was rotated by age is rewrapped by itself.
        for _ in 0..100 {
            if findings(&house).await.is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(findings(&house).await, [""; 0]);

        let far = "INSERT INTO leases (name, holder, held_until, done_at)
            VALUES ('backup', 'ghost', 9000000000000000, 9000000000000000)";
        house.database.tamper(far).await;
        let found = findings(&house).await;
        assert!(found.len() == 1 && found[0].contains("table leases"), "{found:?}");
        accept(&house).await;
        assert_eq!(findings(&house).await, [""; 0]);
        house.leave().await;
    }
}

on_both! {
    async fn a_stray_list_and_capitals_are_told_and_their_remedies_work(house: House) {
        let mut house = house;
        let client = house.client().await;
        let stray = "INSERT INTO inventories (category, epoch, kek_id, sealed)
            SELECT 'ghost', 1, kek_id, sealed FROM inventories WHERE category = 'client-keys'";
        house.database.tamper(stray).await;
        for restart in [false, true] {
            if restart {
                house.restart().await;
            }
            let found = findings(&house).await;
            assert!(found.len() == 1 && found[0].contains("`sealgate secret accept`"), "{found:?}");
            assert!(found[0].contains("no key and no secret"), "{found:?}");
        }
        accept(&house).await;
        assert_eq!(findings(&house).await, [""; 0]);

        house.database.tamper("UPDATE keks SET master_id = upper(master_id)").await;
        house.restart().await;
        assert_eq!(house.holder(&client).get("/acme/x").send().await.status, 200);
        let found = findings(&house).await;
        assert!(!found.is_empty(), "{found:?}");
        assert!(found.iter().all(|line| line.contains("column master_id")), "{found:?}");
        rewrapped(&house).await;
        assert_eq!(findings(&house).await, [""; 0]);
        house.leave().await;
    }
}

on_both! {
    async fn a_secret_that_cannot_be_read_is_destroyed_over_rest(house: House) {
        let client = house.client().await;
        for (number, set) in [
            "secrets SET labels = 'nothing' WHERE id = '{id}'",
            "secrets SET kek_id = 'ghost' WHERE id = '{id}'",
            "secrets SET active = 7 WHERE id = '{id}'",
            "secret_versions SET state = 'ghost' WHERE secret_id = '{id}'",
            "secrets SET id = 'ghost' WHERE id = '{id}'",
        ].into_iter().enumerate() {
            let fields = json!({"api_key": house.canary.plain()});
            let secret = json!({"provider": "acme", "name": format!("s{number}"), "fields": fields});
            let made = house.admin.post(SECRETS).json(&secret).send().await.json();
            let id = made["id"].as_str().unwrap();
            if matches!(house.database, Database::Postgres { .. }) {
                // There references are kept by whoever may not take them away.
                let references: &[(&str, &str)] = match set.contains("SET id") {
                    true => &[
                        ("secret_versions", "secret_id"),
                        ("secret_checks", "secret_id"),
                        ("secret_health", "secret_id"),
                    ],
                    false => &[("secrets", "kek_id")],
                };
                for (table, column) in references {
                    let name = format!("{table}_{column}_fkey");
                    let sql = format!("ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {name}");
                    house.database.tamper(&sql).await;
                }
            }
            forge(&house, &format!("UPDATE {}", set.replace("{id}", id))).await;
            let found = findings(&house).await.join("\n");
            let named = if set.contains("SET id") { "ghost" } else { id };
            let remedy = format!("`sealgate secret destroy {named}`");
            assert!(found.contains(&remedy), "{set}: {found}");
            let path = format!("{SECRETS}/{named}");
            let shown = house.admin.get(&path).send().await.text();
            assert!(named == "ghost" || shown.contains("secret destroy"), "{shown}");
            assert_eq!(house.admin.delete(&path).send().await.status, 204, "{set}");
            house.admin.delete(&path).send().await.is_refusal(404, "not_found");
            if set.contains("SET id") {
                // Its id is missed in the list, and struck off by the next line's remedy.
                let found = findings(&house).await.join("\n");
                assert!(found.contains(&format!("`sealgate secret destroy {id}`")), "{found}");
                assert_eq!(house.admin.delete(&format!("{SECRETS}/{id}")).send().await.status, 204);
                house.database.tamper("DELETE FROM secret_versions WHERE secret_id NOT IN
                    (SELECT id FROM secrets)").await;
            }
            assert_eq!(findings(&house).await, [""; 0], "{set}");
        }
        assert_eq!(client.get("/quill/x").send().await.status, 200);
        house.leave().await;
    }
}

/// The lines of `doctor` that are red.
fn red(ground: &Ground) -> Vec<(String, String)> {
    let told: Value = serde_json::from_slice(&ground.run(&["doctor", "--json"]).stdout).unwrap();
    let checks = told["checks"].as_array().unwrap().iter().filter(|check| check["ok"] == false);
    // Nobody is reached from here.
    let checks = checks.filter(|check| check["name"] != "provider");
    let text = |check: &Value, member: &str| check[member].as_str().unwrap().to_owned();
    checks.map(|check| (text(check, "name"), text(check, "detail"))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_commands_destroy_what_cannot_be_read_and_accept_all_that_can() {
    let ground = Ground::new("");
    ground.json(&["init", "--json"]);
    let database = Database::Sqlite(ground.data().join("sealgate.db"));
    let key = "0123456789abcdefghijABCDEFGHIJ01\n";
    for name in ["one", "two"] {
        let add = ["secret", "add", "polygon", "--name", name, "--no-validate"];
        assert!(ground.run_with_input(&add, key).status.success());
    }
    let id = ground.json(&["secret", "show", "polygon/one", "--json"])["id"].clone();
    let id = id.as_str().unwrap();
    database.tamper("UPDATE secrets SET labels = 'nothing' WHERE name = 'one'").await;
    let found = red(&ground);
    assert!(found.len() == 1 && found[0].1.contains(&format!("secret destroy {id}")), "{found:?}");
    let refused = ground.fails(&["secret", "show", id]);
    assert!(refused.contains("secret destroy"), "{refused}");
    assert!(ground.run(&["secret", "destroy", id, "--yes"]).status.success());
    assert_eq!(red(&ground), []);
    let told = ground.fails(&["secret", "destroy", id, "--yes"]);
    assert!(told.contains("not_found"), "{told}");

    for name in ["a", "b", "c"] {
        let _made = ground.json(&["client", "create", name, "--json"]);
    }
    database.tamper("UPDATE client_keys SET tier = 'premium' WHERE name IN ('a', 'c')").await;
    database.tamper("UPDATE client_keys SET role = 'emperor' WHERE name = 'b'").await;
    assert_eq!(red(&ground).len(), 3);
    let ended = ground.run(&["client", "accept", "--all"]);
    let told = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(1), "{told}");
    assert!(told.contains("1 of the client keys") && told.contains("role"), "{told}");
    let found = red(&ground);
    assert!(found.len() == 1 && found[0].1.contains("role"), "{found:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_migration_has_one_line_and_a_wrong_value_is_not_repeated() {
    let ground = Ground::new("");
    ground.json(&["init", "--json"]);
    for command in [
        &["secret", "set", "polygon", "--active", "sk-canary-0815"][..],
        &["secret", "set", "polygon", "--label", "sk-canary-0815"],
        &["client", "set", "x", "--limit", "sk-canary-0815"],
        &["client", "create", "x", "--secret", "sk-canary-0815"],
    ] {
        let ended = ground.run(command);
        let told = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(ended.status.code(), Some(2), "{command:?}: {told}");
        assert!(!told.contains("canary") && told.contains(command[3]), "{command:?}: {told}");
    }
    let database = Database::Sqlite(ground.data().join("sealgate.db"));
    for version in [5, 9] {
        database.tamper(&format!("DELETE FROM _sqlx_migrations WHERE version = {version}")).await;
        let told = ground.fails(&["serve"]);
        assert!(told.contains("table _sqlx_migrations"), "{told}");
        let found = red(&ground);
        assert!(found.len() == 1 && found[0].0 == "database", "{found:?}");
        assert!(found[0].1.contains("table _sqlx_migrations"), "{found:?}");
    }
}
