//! What somebody with the database's file can take away or make up: whole tables, generations,
//! counts. No answer is a bare 500, `doctor` names it, and its remedy is true. Must never plant a
//! fault through the house itself.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};

use crate::house::{Database, Ground, House, on_both};

const SECRETS: &str = "/api/v1/admin/secrets";
const INTEGRITY: &str = "/api/v1/admin/integrity";
const KEKS: &str = "/api/v1/admin/keks";

/// As SQLite's own shell does it, which asks for no references.
async fn forge(house: &House, sql: &str) {
    house.database.tamper(&format!("PRAGMA foreign_keys = OFF; {sql}")).await;
}

async fn findings(house: &House) -> Vec<String> {
    let told = house.local().get(INTEGRITY).send().await;
    assert_eq!(told.status, 200, "{}", told.text());
    let told = told.json();
    let findings = told["findings"].as_array().unwrap();
    findings.iter().map(|finding| finding.as_str().unwrap().to_owned()).collect()
}

const TABLES: [&str; 15] = [
    "client_key_hashes",
    "client_keys",
    "client_tokens",
    "idempotency",
    "installation",
    "inventories",
    "keks",
    "key_jobs",
    "operator_sessions",
    "operators",
    "record_blocks",
    "secret_versions",
    "secrets",
    "signing_keys",
    "symbols",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_table_is_named_and_no_answer_is_a_bare_500() {
    for table in TABLES {
        let house = House::open().await;
        let id = house.admin.get(SECRETS).send().await.json()["items"][0]["id"].clone();
        let id = id.as_str().unwrap();
        forge(&house, &format!("DROP TABLE {table}")).await;
        let local = house.local();
        let secret =
            json!({"provider": "acme", "name": "n", "fields": {"api_key": "k-0123456789"}});
        let client = json!({"name": "x"});
        for call in [
            local.get(SECRETS),
            local.get(&format!("{SECRETS}/{id}")),
            local.post(SECRETS).json(&secret),
            local.put(&format!("{SECRETS}/{id}")).json(&json!({"owner": "desk"})),
            local.post(&format!("{SECRETS}/{id}/validate")),
            local.post(&format!("{SECRETS}/{id}/reseal")),
            local.get(KEKS),
            local.post(&format!("{KEKS}/rotate")),
            local.post(&format!("{KEKS}/rewrap")),
            local.post(&format!("{KEKS}/cancel")),
            local.post(&format!("{INTEGRITY}/accept")),
            local.get("/api/v1/admin/api-keys"),
            local.post("/api/v1/admin/api-keys").json(&client).header("idempotency-key", "a"),
            local.get("/api/v1/admin/symbols"),
            local.get("/api/v1/admin/audit"),
            local.get("/api/v1/admin/audit/verify"),
            local.delete(&format!("{SECRETS}/{id}")),
        ] {
            let answer = call.send().await;
            let text = answer.text();
            assert!(answer.status != 500 || text.contains("sealgate doctor"), "{table}: {text}");
        }
        let found = findings(&house).await;
        let line = format!("the table {table} is missing");
        assert!(found.iter().any(|finding| finding.contains(&line)), "{table}: {found:?}");
        house.leave().await;
    }
    let house = House::open().await;
    forge(&house, "ALTER TABLE secrets DROP COLUMN labels").await;
    let found = findings(&house).await;
    assert!(found[0].contains("the column labels of the table secrets is missing"), "{found:?}");
    house.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_generation_is_told_and_its_secrets_move_while_the_key_is_at_hand() {
    let house = House::open().await;
    let client = house.client().await;
    forge(&house, "DELETE FROM keks WHERE category <> 'client-keys'").await;
    let found = findings(&house).await.join("\n");
    assert!(found.contains("was deleted from the table keks"), "{found}");
    let status = house.admin.get(KEKS).send().await.json();
    let fault = status["faults"][0].as_str().unwrap();
    assert!(fault.contains("kek rotate --category") && fault.contains("kek rewrap"), "{fault}");
    let listed = house.admin.get(SECRETS).send().await.json();
    let path = format!("{SECRETS}/{}", listed["items"][0]["id"].as_str().unwrap());
    let refused = house.admin.delete(&path).send().await;
    let detail = refused.is_refusal(409, "conflict")["detail"].to_string();
    assert!(detail.contains("sealgate doctor"), "{detail}");
    let mut told = false;
    for _ in 0..50 {
        let trail = house.admin.get("/api/v1/admin/audit?kind=security").send().await.text();
        told = trail.contains("was deleted from the table keks");
        if told {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert!(told, "the trail is told by itself");

    // What it says to do is true.
    assert_eq!(house.admin.post(&format!("{KEKS}/rotate")).send().await.status, 201);
    rewrapped(&house).await;
    assert_eq!(findings(&house).await, [""; 0]);
    let mut house = house;
    house.restart().await;
    assert_eq!(findings(&house).await, [""; 0]);
    assert_eq!(house.holder(&client).get("/acme/x").send().await.status, 200);
    assert_eq!(house.admin.delete(&path).send().await.status, 204);
    house.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edited_count_of_wraps_is_told_wraps_nothing_and_the_next_generation_mends_it() {
    let mut house = House::open().await;
    let client = house.client().await;
    let add = async |house: &House, name: &str| {
        let fields = json!({"api_key": "k-0123456789"});
        let secret = json!({"provider": "acme", "name": name, "fields": fields});
        house.admin.post(SECRETS).json(&secret).send().await
    };
    let status = house.admin.get(KEKS).send().await.json();
    for item in status["items"].as_array().unwrap() {
        assert!(item["wraps"].as_u64().unwrap() >= 1, "{item}");
    }
    let kept = "CREATE TABLE kept AS SELECT id, wraps, wraps_seal FROM keks";
    forge(&house, kept).await;
    assert_eq!(add(&house, "first").await.status, 201);
    let back = "UPDATE keks SET wraps = (SELECT wraps FROM kept WHERE kept.id = keks.id),
        wraps_seal = (SELECT wraps_seal FROM kept WHERE kept.id = keks.id)";
    for (number, sql) in [
        back,
        "UPDATE keks SET wraps = -7",
        "UPDATE keks SET wraps = 0",
        "UPDATE keks SET wraps = 9223372036854775807",
        "UPDATE keks SET wraps_seal = NULL",
        "UPDATE keks SET wraps = 0, wraps_seal = NULL",
        "UPDATE keks SET wraps_seal = x'00'",
    ]
    .into_iter()
    .enumerate()
    {
        let which = "WHERE category <> 'client-keys' AND state = 'active'";
        forge(&house, &format!("{sql} {which}")).await;
        for restart in [false, true] {
            if restart {
                house.restart().await;
            }
            let found = findings(&house).await;
            assert_eq!(found.len(), 1, "{sql}: {found:?}");
            assert!(found[0].contains("kek rotate --category"), "{found:?}");
            let status = house.admin.get(KEKS).send().await.json();
            assert!(status["items"].as_array().unwrap().len() > number, "{status}");
            assert_eq!(status["faults"][0].as_str(), Some(found[0].as_str()));
            let refused = add(&house, "more").await;
            let detail = refused.is_refusal(409, "conflict")["detail"].to_string();
            assert!(detail.contains("kek rotate"), "{detail}");
            assert_eq!(house.holder(&client).get("/acme/x").send().await.status, 200);
        }
        assert_eq!(house.admin.post(&format!("{KEKS}/rotate")).send().await.status, 201);
        rewrapped(&house).await;
        assert_eq!(findings(&house).await, [""; 0], "{sql}");
        assert_eq!(add(&house, &format!("after-{number}")).await.status, 201);
    }
    house.leave().await;
}

/// A whole rewrap, that ends well.
async fn rewrapped(house: &House) {
    let begun = house.admin.post(&format!("{KEKS}/rewrap")).send().await.json();
    let path = format!("{KEKS}/jobs/{}", begun["id"].as_str().unwrap());
    for _ in 0..500 {
        let job = house.admin.get(&path).send().await.json();
        if job["state"] != "running" {
            assert_eq!(job["state"], "done", "{job}");
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("it does not end");
}

#[test]
fn what_fails_with_json_asked_for_is_one_object_on_standard_error() {
    let ground = Ground::new("");
    let object = |arguments: &[&str], status: i32| {
        let output = ground.run(arguments);
        assert_eq!(output.status.code(), Some(status), "{arguments:?}");
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(told.lines().count(), 1, "{told}");
        let told: Value = serde_json::from_str(&told).unwrap();
        for member in ["error", "code", "detail"] {
            assert!(told[member].as_str().is_some_and(|text| !text.is_empty()), "{told}");
        }
        told
    };
    let none = object(&["secret", "list", "--json"], 1);
    assert!(none["detail"].as_str().unwrap().contains("sealgate init"), "{none}");
    ground.json(&["init", "--json"]);
    assert_eq!(object(&["secret", "show", "polygon", "--json"], 1)["code"], "failed");
    let unknown = "00000000-0000-7000-8000-000000000000";
    let refused = object(&["secret", "show", unknown, "--json"], 1);
    assert_eq!(refused["code"], "not_found");
    assert!(refused["request_id"].is_string());
    assert_eq!(object(&["secret", "lost", "--json"], 2)["code"], "usage");
    let client = ["client", "create", "x", "--role", "emperor", "--json"];
    assert_eq!(object(&client, 1)["fields"][0]["field"], "role");
}

#[test]
fn doctor_tells_of_a_foreign_new_master_key_and_of_a_sealed_house() {
    let ground = Ground::new("");
    ground.json(&["init", "--json"]);
    let checks = || {
        let output = ground.run(&["doctor", "--json"]);
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        told["checks"].as_array().unwrap().clone()
    };
    let red = || checks().into_iter().filter(|check| check["ok"] == false).collect::<Vec<_>>();
    assert_eq!(red(), [Value::Null; 0]);
    let foreign = ground.path().join("keys/master.key.new");
    std::fs::write(&foreign, [5; 32]).unwrap();
    std::fs::set_permissions(&foreign, std::fs::Permissions::from_mode(0o600)).unwrap();
    let told = red();
    assert!(
        told.len() == 1 && told[0]["detail"].to_string().contains("master.key.new"),
        "{told:?}"
    );
    std::fs::remove_file(&foreign).unwrap();

    let server = ground.serve(&[]);
    assert!(ground.run(&["seal"]).status.success());
    assert_eq!(red(), [Value::Null; 0]);
    let rows = checks().into_iter().find(|check| check["name"] == "stored rows").unwrap();
    assert!(rows["detail"].as_str().unwrap().contains("sealed"), "{rows}");
    assert!(rows["remedy"].as_str().unwrap().contains("sealgate unseal"), "{rows}");
    server.stop();
}

#[test]
fn a_house_of_a_typed_passphrase_that_does_not_run_says_that_it_has_to_be_started() {
    let ground = Ground::new("master_key = { kind = \"passphrase\" }\n");
    let word = "some quite long words\n";
    assert!(ground.run_with_input(&["init"], word).status.success());
    let line = ground.fails(&["secret", "list"]);
    assert!(line.contains("sealgate serve") && line.contains("sealgate unseal"), "{line}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_fits_into_no_path_is_refused() {
    let house = House::open().await;
    for name in ["a/b", "a b", "a?b", "a#b", "a%2Fb", "..", ".", "é"] {
        let secret =
            json!({"provider": "acme", "name": name, "fields": {"api_key": "k-0123456789"}});
        let refused = house.admin.post(SECRETS).json(&secret).send().await;
        assert_eq!(refused.is_refusal(422, "invalid")["fields"][0]["field"], "name", "{name}");
    }
    let secret = json!({"provider": "acme", "name": "desk-2.b_c~d@e:f",
        "fields": {"api_key": "k-0123456789"}});
    assert_eq!(house.admin.post(SECRETS).json(&secret).send().await.status, 201);
    house.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trigger_that_undoes_a_revocation_is_named_and_nobody_is_told_that_it_was_done() {
    let house = House::open().await;
    let client = house.client().await;
    let listed = house.admin.get("/api/v1/admin/api-keys?limit=100").send().await.json();
    let newest = listed["items"].as_array().unwrap().iter();
    let newest = newest.max_by_key(|item| item["id"].as_str().unwrap()).unwrap();
    let path = format!("/api/v1/admin/api-keys/{}", newest["id"].as_str().unwrap());
    assert_eq!(client.get("/acme/x").send().await.status, 200);
    let sql = "CREATE TRIGGER stay BEFORE UPDATE ON client_keys BEGIN SELECT RAISE(IGNORE); END";
    forge(&house, sql).await;
    let found = findings(&house).await;
    assert!(found.len() == 1 && found[0].contains("trigger \"stay\""), "{found:?}");
    let off = json!({"active": false});
    let refused = house.admin.put(&path).json(&off).send().await;
    let detail = refused.is_refusal(409, "conflict")["detail"].to_string();
    assert!(detail.contains("ignored the change"), "{detail}");
    house.leave().await;
}

on_both! {
    async fn a_client_key_whose_end_the_database_undid_is_refused_by_this_node(house: House) {
        for (number, what) in ["put", "delete", "narrow"].into_iter().enumerate() {
            let client = house.client().await;
            // It is known here, and would be served without a look at the database.
            assert_eq!(client.get("/acme/x").send().await.status, 200);
            undo_changes(&house, number).await;
            let path = format!("/api/v1/admin/api-keys/{}", client.id);
            let answer = match what {
                "put" => house.admin.put(&path).json(&json!({"active": false})).send().await,
                "delete" => house.admin.delete(&path).send().await,
                _ => {
                    let less = json!({"scopes": ["quill:GET:/**"]});
                    house.admin.put(&path).json(&less).send().await
                }
            };
            let detail = answer.is_refusal(409, "conflict")["detail"].to_string();
            assert!(detail.contains("ignored the change"), "{what}: {detail}");
            for _ in 0..3 {
                let got = client.get("/acme/x").send().await;
                assert_eq!(got.status, 401, "{what}: {}", got.text());
            }
            obey(&house).await;
            assert_eq!(house.admin.delete(&path).send().await.status, 204, "{what}");
        }
        house.leave().await;
    }
}

/// From now on the database says that it changed client keys, and does not.
async fn undo_changes(house: &House, number: usize) {
    match &house.database {
        Database::Sqlite(_) => {
            for what in ["UPDATE", "DELETE"] {
                let sql = format!(
                    "CREATE TRIGGER undo_{what} BEFORE {what} ON client_keys
                     BEGIN SELECT RAISE(IGNORE); END"
                );
                house.database.tamper(&sql).await;
            }
        }
        // The last one undoes it at the commit alone.
        Database::Postgres { .. } if number == 0 => {
            house
                .database
                .tamper(
                    "CREATE FUNCTION undo() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 UPDATE client_keys SET active = 1 WHERE id = OLD.id AND active = 0;
                 RETURN NULL; END $$",
                )
                .await;
            house
                .database
                .tamper(
                    "CREATE CONSTRAINT TRIGGER undo_change AFTER UPDATE ON client_keys
                 DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION undo()",
                )
                .await;
        }
        Database::Postgres { .. } => {
            house
                .database
                .tamper(
                    "CREATE OR REPLACE FUNCTION undo() RETURNS trigger LANGUAGE plpgsql AS
                 $$ BEGIN RETURN NULL; END $$",
                )
                .await;
            house
                .database
                .tamper(
                    "CREATE TRIGGER undo_change BEFORE UPDATE OR DELETE ON client_keys
                 FOR EACH ROW EXECUTE FUNCTION undo()",
                )
                .await;
        }
    }
}

async fn obey(house: &House) {
    match &house.database {
        Database::Sqlite(_) => {
            house.database.tamper("DROP TRIGGER undo_UPDATE").await;
            house.database.tamper("DROP TRIGGER undo_DELETE").await;
        }
        Database::Postgres { .. } => {
            house.database.tamper("DROP TRIGGER undo_change ON client_keys").await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_count_that_cannot_be_counts_for_nothing_is_told_and_stops_no_trail() {
    let mut house = House::open().await;
    let client = house.client_with(json!({"monthly_quota": 1000})).await;
    assert_eq!(client.get("/acme/x").send().await.status, 200);
    for count in ["9223372036854775807", "9223372036854775806", "-1", "-9223372036854775808"] {
        let mut told = false;
        // The first call is counted when it is stored.
        for _ in 0..100 {
            forge(&house, &format!("UPDATE monthly_calls SET calls = {count}")).await;
            forge(&house, &format!("UPDATE recent_calls SET calls = {count}")).await;
            told = findings(&house).await.iter().any(|line| line.contains("monthly_calls"));
            if told {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        assert!(told, "{count}");
        assert_eq!(house.holder(&client).get("/acme/x").send().await.status, 200);
        house.restart().await;
        assert_eq!(house.holder(&client).get("/acme/x").send().await.status, 200);
        assert_eq!(house.admin.get("/readyz").send().await.status, 200);
        let mut is_mended = false;
        for _ in 0..100 {
            let found = findings(&house).await;
            is_mended = !found.iter().any(|line| line.contains("monthly_calls"));
            if is_mended {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        assert!(is_mended, "{count}");
    }
    house.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kept_answer_that_somebody_edited_is_repeated_to_nobody() {
    let house = House::open().await;
    let name = json!({"name": "repeated"});
    let post = async |key: &str| {
        let call = house.admin.post("/api/v1/admin/api-keys").json(&name);
        call.header("idempotency-key", key).send().await
    };
    for (number, sql) in [
        "answer = replace(answer, 'repeated', 'forged')",
        "answer = '{\"key\":\"mdw_forged\"}'",
        "status = 200",
        "status = 70000",
        "answer = NULL",
        "body_digest = x'00'",
        "actor = actor || 'x', idempotency_key = idempotency_key || 'x'",
    ]
    .into_iter()
    .enumerate()
    {
        let key = format!("call-{number}");
        assert_eq!(post(&key).await.status, 201);
        let again = post(&key).await;
        assert_eq!((again.status, again.header("idempotent-replay")), (201, Some("true")));
        assert!(again.text().contains("repeated"));
        forge(&house, &format!("UPDATE idempotency SET {sql}")).await;
        let refused = post(&key).await;
        if sql.starts_with("actor") {
            assert_eq!((refused.status, refused.header("idempotent-replay")), (201, None));
        } else {
            refused.is_refusal(409, "conflict");
        }
        forge(&house, "DELETE FROM idempotency").await;
    }
    house.leave().await;
}
