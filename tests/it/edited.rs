//! Rows that somebody with the database's password has edited, put back or made up: what the house
//! says of them on every face and command, that it refuses what it cannot trust, and that the rest
//! goes on. Must never plant a fault through the house itself.

use std::process::Output;

use serde_json::{Value, json};

use crate::house::{Client, Database, Ground, House, on_both};

const SECRETS: &str = "/api/v1/admin/secrets";
const INTEGRITY: &str = "/api/v1/admin/integrity";
const KEKS: &str = "/api/v1/admin/keks";

async fn secret(house: &House, provider: &str) -> Value {
    let list = house.admin.get(SECRETS).send().await.json();
    let items = list["items"].as_array().unwrap();
    items.iter().find(|item| item["provider"] == provider).expect("it is listed").clone()
}

async fn findings(house: &House) -> Vec<String> {
    let told = house.admin.get(INTEGRITY).send().await;
    assert_eq!(told.status, 200, "{}", told.text());
    let told = told.json();
    let findings = told["findings"].as_array().unwrap();
    assert_eq!(told["ok"], findings.is_empty());
    findings.iter().map(|finding| finding.as_str().unwrap().to_owned()).collect()
}

on_both! {
    async fn what_was_edited_is_told_by_every_list_and_check_and_the_rest_is_served(house: House) {
        let mut house = house;
        let client = house.client().await;
        assert_eq!(findings(&house).await, [""; 0]);
        for provider in ["acme", "quill"] {
            let shown = secret(&house, provider).await;
            assert_eq!((&shown["usable"], &shown["fault"]), (&json!(true), &Value::Null));
        }
        house.database.tamper("UPDATE secrets SET active = 0 WHERE provider = 'acme'").await;
        for restart in [false, true] {
            if restart {
                house.restart().await;
                let client = house.holder(&client);
                client.get("/acme/x").send().await.is_refusal(503, "no_secret");
                assert_eq!(client.get("/quill/x").send().await.status, 200);
            }
            let listed = secret(&house, "acme").await;
            let path = format!("{SECRETS}/{}", listed["id"].as_str().unwrap());
            let shown = house.admin.get(&path).send().await.json();
            for told in [&listed, &shown] {
                assert_eq!(told["usable"], false);
                let fault = told["fault"].as_str().unwrap();
                assert!(fault.contains("not as Sealgate left it"), "{fault}");
            }
            assert_eq!(secret(&house, "quill").await["usable"], true);
            let report = house.admin.post(&format!("{path}/validate")).send().await.json();
            assert_eq!(report["ok"], false, "{report}");
            assert_eq!(report["steps"][0]["name"], "rows");
            assert_eq!(report["steps"][0]["ok"], false);
            let found = findings(&house).await;
            assert!(found.len() == 1 && found[0].contains("of acme"), "{found:?}");
        }
        house.leave().await;
    }
}

on_both! {
    async fn secrets_versions_and_lists_put_back_together_are_seen_at_the_next_start(house: House) {
        let mut house = house;
        let client = house.client().await;
        for (kept, table) in COPIES {
            house.database.tamper(&format!("CREATE TABLE {kept} AS SELECT * FROM {table}")).await;
        }
        let id = secret(&house, "acme").await["id"].as_str().unwrap().to_owned();
        assert_eq!(house.admin.delete(&format!("{SECRETS}/{id}")).send().await.status, 204);
        for (_, table) in COPIES.iter().rev() {
            house.database.tamper(&format!("DELETE FROM {table}")).await;
        }
        for (kept, table) in COPIES {
            house.database.tamper(&format!("INSERT INTO {table} SELECT * FROM {kept}")).await;
        }
        for _ in 0..2 {
            house.restart().await;
            let client = house.holder(&client);
            client.get("/acme/x").send().await.is_refusal(503, "no_secret");
            assert_eq!(client.get("/quill/x").send().await.status, 200);
            let found = findings(&house).await.join("\n");
            assert!(found.contains("was put back to an earlier state"), "{found}");
            assert!(found.contains("secret accept"), "the remedy: {found}");
        }
        // The trail was told, too.
        let trail = house.admin.get("/api/v1/admin/audit?kind=security").send().await.text();
        assert!(trail.contains("put back"), "{trail}");
        // Struck off, the house is in order.
        assert_eq!(house.admin.delete(&format!("{SECRETS}/{id}")).send().await.status, 204);
        assert_eq!(findings(&house).await, [""; 0]);
        house.leave().await;
    }
}

/// Parents before children.
const COPIES: [(&str, &str); 3] =
    [("kept_a", "secrets"), ("kept_b", "secret_versions"), ("kept_c", "inventories")];

on_both! {
    async fn edited_lists_keys_and_jobs_are_named_and_nothing_else_stops(house: House) {
        let database = &house.database;
        let client = house.client().await;
        let add = async |name: &str| {
            let fields = json!({"api_key": house.canary.plain()});
            let secret = json!({"provider": "acme", "name": name, "fields": fields});
            house.admin.post(SECRETS).json(&secret).send().await
        };
        for (name, sql) in [
            ("a", "UPDATE inventories SET epoch = 9223372036854775807 WHERE {secrets}"),
            ("b", "UPDATE inventories SET epoch = -1 WHERE {secrets}"),
            ("c", "DELETE FROM inventories WHERE {secrets}"),
        ] {
            database.tamper(&sql.replace("{secrets}", "category <> 'client-keys'")).await;
            assert_eq!(findings(&house).await.len(), 1, "{sql}");
            let added = add(name).await;
            assert_eq!(added.status, 201, "{sql}: {}", added.text());
            assert_eq!(findings(&house).await, [""; 0], "{sql}");
        }
        database.tamper("UPDATE keks SET state = 'retired'").await;
        let mut house = house;
        house.restart().await;
        let holder = house.holder(&client);
        assert_eq!(holder.get("/acme/x").send().await.status, 200);
        let fields = json!({"api_key": house.canary.plain()});
        let secret = json!({"provider": "acme", "name": "d", "fields": fields});
        let refused = house.admin.post(SECRETS).json(&secret).send().await;
        let detail = refused.is_refusal(409, "conflict")["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains("table keks") && detail.contains("kek rotate"), "{detail}");
        assert_eq!(house.admin.post(&format!("{KEKS}/rotate")).send().await.status, 201);
        assert_eq!(house.admin.post(SECRETS).json(&secret).send().await.status, 201);
        assert_eq!(findings(&house).await, [""; 0]);

        forged_jobs_are_worked_on_by_nobody(&house).await;
        assert_eq!(house.admin.post(&format!("{KEKS}/rewrap")).send().await.status, 202);
        house.leave().await;
    }
}

async fn forged_jobs_are_worked_on_by_nobody(house: &House) {
    for (id, kind) in [
        ("ghost", "rewrap"),
        ("0198c0de-7a11-7c0d-8e5a-5ea19a7e0001", "bogus"),
        // As genuine as anybody makes it who has not the key of the seals.
        ("0198c0de-7a11-7c0d-8e5a-5ea19a7e0002", "rewrap"),
        ("0198c0de-7a11-7c0d-8e5a-5ea19a7e0003", "rekey"),
        ("0198c0de-7a11-7c0d-8e5a-5ea19a7e0004", "master_key"),
    ] {
        let sql = format!(
            "INSERT INTO key_jobs (id, kind, state, running, holder, lease_until, total, done, \
             created_at, created_by) VALUES ('{id}', '{kind}', 'running', 1, 'ghost', \
             0, 1, 0, 1, 'ghost')"
        );
        house.database.tamper(&sql).await;
        // As long as whoever works on jobs needs to look twice.
        tokio::time::sleep(std::time::Duration::from_millis(2200)).await;
        let moved = house
            .database
            .tamper_counting("UPDATE key_jobs SET holder = holder WHERE running = 1 AND done = 0");
        assert_eq!(moved.await, 1, "nobody worked on {kind}");
        let status = house.admin.get(KEKS).send().await;
        assert_eq!(status.status, 200, "{}", status.text());
        let told = status.json();
        assert!(!told["items"].as_array().unwrap().is_empty());
        let fault = told["job_fault"].as_str().unwrap();
        assert!(fault.contains("key_jobs") && fault.contains("kek cancel"), "{fault}");
        assert_eq!(findings(house).await.len(), 1);
        let refused = house.admin.post(&format!("{KEKS}/rewrap")).send().await;
        refused.is_refusal(409, "conflict");
        let cancelled = house.admin.post(&format!("{KEKS}/cancel")).send().await;
        assert_eq!(cancelled.json(), json!({"cancelled": true}));
        assert_eq!(findings(house).await, [""; 0]);
    }
}

/// The lines of `doctor` that are red: name and detail.
fn red(ground: &Ground) -> Vec<(String, String)> {
    let told: Value = serde_json::from_slice(&ground.run(&["doctor", "--json"]).stdout).unwrap();
    let checks = told["checks"].as_array().unwrap().iter().filter(|check| check["ok"] == false);
    let text = |check: &Value, member: &str| check[member].as_str().unwrap().to_owned();
    checks.map(|check| (text(check, "name"), text(check, "detail"))).collect()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doctor_and_the_commands_tell_of_edited_rows_and_of_a_sealed_house() {
    let ground = Ground::new("");
    ground.json(&["init", "--json"]);
    let server = ground.serve(&["--sandbox"]);
    assert_eq!(red(&ground), []);
    assert!(ground.run(&["seal"]).status.success());
    assert_eq!(red(&ground), []);
    let told = said(&ground.run(&["doctor"]));
    assert!(told.contains("the house is sealed: its rows cannot be checked"), "{told}");
    assert!(ground.run(&["unseal"]).status.success());
    assert_eq!(red(&ground), []);

    let database = Database::Sqlite(ground.data().join("sealgate.db"));
    database.tamper("UPDATE secrets SET active = 0").await;
    let tells = || {
        let told = red(&ground);
        assert!(told.len() == 1 && told[0].0 == "stored rows", "{told:?}");
        assert!(told[0].1.contains("not as Sealgate left it"), "{told:?}");
    };
    tells();
    let list = said(&ground.run(&["secret", "list"]));
    assert!(list.contains("USABLE") && list.contains("not as Sealgate left it"), "{list}");
    let shown = said(&ground.run(&["secret", "show", "sandbox"]));
    assert!(shown.contains("not as Sealgate left it"), "{shown}");
    assert!(!ground.run(&["secret", "validate", "sandbox"]).status.success());
    assert_eq!(said(&ground.run(&["kek", "cancel"])), "no job was running\n");
    let _made = ground.json(&["client", "create", "desk", "--json"]);
    database.tamper("UPDATE client_keys SET tier = 'premium' WHERE name = 'desk'").await;
    for command in [&["client", "list"][..], &["client", "show", "desk"]] {
        let told = said(&ground.run(command));
        assert!(told.contains("client accept"), "{told}");
    }
    let refused = ground.fails(&["client", "rotate", "desk"]);
    assert!(refused.contains("client accept") && refused.contains("conflict"), "{refused}");
    let gone = ground.json(&["client", "delete", "desk", "--json"]);
    assert_eq!(gone["deleted"], true, "{gone}");
    server.stop();
    tells();
}

async fn edit(house: &House, client: &Client, set: &str) {
    let sql = format!("UPDATE client_keys SET {set} WHERE id = '{}'", client.id);
    house.database.tamper(&sql).await;
}

on_both! {
    async fn an_edited_client_key_is_none_until_somebody_accepts_it(house: House) {
        let mut house = house;
        let untouched = house.client().await;
        let mut edited = Vec::new();
        for set in [
            "role = 'admin'",
            "tier = 'premium'",
            "expires_at = 99999999999999",
            "owner = 'somebody else'",
            "scopes = NULL",
            "allowed_ips = NULL",
            "allowed_origins = '[]'",
            "secrets = '{\"acme\": \"other\"}'",
            "quota_limit = 1000000",
            "name = 'another'",
            "seal = NULL",
        ] {
            let members = json!({
                "scopes": ["*:GET:/**"], "allowed_ips": ["127.0.0.1"], "owner": "desk",
                "expires_at": "2027-01-01T00:00:00Z",
            });
            let client = house.client_with(members).await;
            edit(&house, &client, set).await;
            edited.push((client, set));
        }
        // Revoked, and brought back by hand.
        let revoked = house.client().await;
        let path = format!("{KEYS}/{}", revoked.id);
        house.admin.put(&path).json(&json!({"active": false})).send().await;
        edit(&house, &revoked, "active = 1").await;
        edited.push((revoked, "active"));
        // One's own digest under the name of somebody with more rights.
        let auditor = house.client_with(json!({"role": "auditor"})).await;
        let thief = house.client().await;
        let sql = format!(
            "UPDATE client_key_hashes SET client_key_id = '{}' WHERE client_key_id = '{}'",
            auditor.id, thief.id
        );
        house.database.tamper(&sql).await;
        for restart in [false, true] {
            if restart {
                house.restart().await;
            }
            for (client, set) in &edited {
                let got = house.holder(client).get("/acme/x").send().await;
                assert_eq!(got.status, 401, "{set}");
            }
            house.holder(&thief).get("/acme/x").send().await.is_refusal(401, "unauthorized");
            assert_eq!(house.holder(&untouched).get("/acme/x").send().await.status, 200);
            let found = findings(&house).await;
            // The thief has no digest of his own any more.
            assert_eq!(found.len(), edited.len() + 2, "{found:?}");
            for (client, set) in &edited {
                let line = found.iter().find(|line| line.contains(&client.id)).expect(set);
                assert!(line.contains("client_keys") && line.contains("client accept"), "{line}");
            }
        }
        // No change builds on it.
        let path = format!("{KEYS}/{}", edited[0].0.id);
        let refused = house.admin.put(&path).json(&json!({"description": "x"})).send().await;
        assert!(refused.text().contains("client accept"), "{}", refused.text());
        let refused = house.admin.post(&format!("{path}/rotate")).send().await;
        assert!(refused.text().contains("client accept"), "{}", refused.text());
        for (client, _) in &edited {
            let path = format!("{KEYS}/{}/accept", client.id);
            assert_eq!(house.admin.post(&path).send().await.status, 200);
        }
        let (client, _) = &edited[1];
        assert_eq!(house.holder(client).get("/acme/x").send().await.status, 200);
        for client in [&auditor, &thief] {
            let path = format!("{KEYS}/{}", client.id);
            assert_eq!(house.admin.delete(&path).send().await.status, 204);
        }
        assert_eq!(findings(&house).await, [""; 0]);
        house.leave().await;
    }
}

on_both! {
    async fn what_the_house_does_to_client_keys_fits_across_starts_seals_and_lost_lists(house: House) {
        let mut house = house;
        let (client, other) = (house.client().await, house.client().await);
        let path = format!("{KEYS}/{}", client.id);
        let change = json!({"owner": "desk", "scopes": ["acme:GET:/**"], "tier": "premium"});
        assert_eq!(house.admin.put(&path).json(&change).send().await.status, 200);
        assert_eq!(house.admin.post(&format!("{path}/rotate")).send().await.status, 201);
        assert_eq!(house.admin.post(&format!("{KEKS}/rotate")).send().await.status, 201);
        assert_eq!(client.get("/acme/x").send().await.status, 200);
        house.restart().await;
        assert_eq!(findings(&house).await, [""; 0]);
        assert_eq!(house.holder(&client).get("/acme/x").send().await.status, 200);

        // Edited while nothing could be judged: known in memory, and none once it can.
        let held = house.holder(&other);
        assert_eq!(held.get("/acme/x").send().await.status, 200);
        house.admin.post("/api/v1/admin/seal").send().await;
        edit(&house, &other, "role = 'admin'").await;
        held.get("/acme/x").send().await.is_refusal(503, "sealed");
        house.admin.post("/api/v1/admin/unseal").send().await;
        let mut status = 200;
        for _ in 0..100 {
            // An answer on its way when the edit is seen ends there.
            let Ok(answer) = held.get("/acme/x").try_send().await else { continue };
            status = answer.status;
            if status == 401 {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        assert_eq!(status, 401);
        edit(&house, &other, "role = 'user'").await;

        // The list with the key is taken away, and one more is edited.
        house.database.tamper("DELETE FROM inventories WHERE category = 'client-keys'").await;
        edit(&house, &other, "tier = 'premium'").await;
        house.restart().await;
        assert_eq!(house.holder(&client).get("/acme/x").send().await.status, 200);
        house.holder(&other).get("/acme/x").send().await.is_refusal(401, "unauthorized");

        assert_eq!(findings(&house).await.len(), 1);
        house.leave().await;
    }
}

on_both! {
    async fn without_anchors_no_client_key_is_sealed_anew_as_it_stands(house: House) {
        let mut house = house;
        let (client, thief) = (house.client().await, house.client().await);
        assert_eq!(house.holder(&thief).get("/acme/x").send().await.status, 200);
        edit(&house, &thief, "role = 'admin', created_by = 'house'").await;
        // Like a house that was set up a moment ago, as far as a database can look like it.
        let (all, journal) = ("data/anchors", house.path().join("data/journal"));
        for sql in [
            "UPDATE client_keys SET seal = NULL",
            "DELETE FROM inventories WHERE category = 'client-keys'",
            "DELETE FROM keks WHERE category = 'client-keys'",
        ] {
            house.database.tamper(sql).await;
        }
        assert!(journal.exists());
        std::fs::remove_file(house.path().join(all)).unwrap();
        for _ in 0..2 {
            house.restart().await;
            for refused in [&thief, &client] {
                let got = house.holder(refused).get("/acme/x").send().await;
                got.is_refusal(401, "unauthorized");
                let got = house.holder(refused).get("/api/v1/admin/secrets");
                assert_ne!(got.send().await.status, 200);
            }
            let local = house.local();
            let found = local.get(INTEGRITY).send().await.json()["findings"].to_string();
            assert!(found.contains("anchors is gone") && found.contains("client accept"), "{found}");
            for client in [&thief, &client] {
                assert!(found.contains(&client.id), "{found}");
            }
            let trail = local.get("/api/v1/admin/audit?kind=security").send().await.text();
            assert!(trail.contains("anchors is gone"), "{trail}");
            assert!(trail.contains("no client key was taken over"), "{trail}");
        }
        let local = house.local();
        let accept = async |id: &str| {
            let path = format!("{KEYS}/{id}/accept");
            assert_eq!(local.post(&path).send().await.status, 200);
        };
        accept(&client.id).await;
        assert_eq!(house.holder(&client).get("/acme/x").send().await.status, 200);
        house.holder(&thief).get("/acme/x").send().await.is_refusal(401, "unauthorized");
        assert_eq!(local.delete(&format!("{KEYS}/{}", thief.id)).send().await.status, 204);
        let items = local.get(KEYS).send().await.json();
        for item in items["items"].as_array().unwrap() {
            accept(item["id"].as_str().unwrap()).await;
        }
        let settled = local.post(&format!("{INTEGRITY}/accept")).send().await;
        assert_eq!(settled.status, 200, "{}", settled.text());
        assert_eq!(findings(&house).await, [""; 0]);
        house.restart().await;
        assert_eq!(findings(&house).await, [""; 0]);
        house.leave().await;
    }
}

on_both! {
    async fn an_edited_client_key_can_be_stopped_and_is_told_of_everywhere(house: House) {
        let (client, odd) = (house.client().await, house.client().await);
        let path = format!("{KEYS}/{}", client.id);
        assert_eq!(client.get("/acme/x").send().await.status, 200);
        edit(&house, &client, "role = 'operator'").await;
        edit(&house, &odd, "role = 'king'").await;
        let put = async |path: &str, body: Value| house.admin.put(path).json(&body).send().await;
        let list = house.admin.get(KEYS).send().await.json();
        for (id, remedy) in [(&client.id, "client accept"), (&odd.id, "Delete it")] {
            let shown = house.admin.get(&format!("{KEYS}/{id}")).send().await;
            assert_eq!(shown.status, 200, "{}", shown.text());
            let mut items = list["items"].as_array().unwrap().iter();
            let listed = items.find(|item| item["id"] == id.as_str()).unwrap();
            for told in [listed, &shown.json()] {
                assert_eq!(told["usable"], false);
                assert!(told["fault"].as_str().unwrap().contains(remedy), "{told}");
            }
            let asked = json!({"key_id": id, "method": "GET", "url": "/acme/x"});
            let explain = house.admin.post("/api/v1/admin/policy/explain").json(&asked);
            let told = explain.send().await.json();
            assert_eq!((&told["decision"], &told["rule"]), (&json!("deny"), &json!("fault")));
            assert!(told["reason"].as_str().unwrap().contains(remedy), "{told}");
            let target = format!("{KEYS}/{id}");
            for answer in [
                house.admin.post(&format!("{target}/tokens")).send().await,
                house.admin.post(&format!("{target}/rotate")).send().await,
                put(&target, json!({"description": "x"})).await,
                put(&target, json!({"active": true})).await,
                put(&target, json!({"active": false, "role": "user"})).await,
            ] {
                let body = answer.is_refusal(409, "conflict");
                let detail = body["detail"].as_str().unwrap();
                assert!(detail.contains(remedy) && !detail.contains("backup"), "{detail}");
            }
        }
        let refused = house.admin.post(&format!("{KEYS}/{}/accept", odd.id)).send().await;
        refused.is_refusal(409, "conflict");
        // Stopped it is, and what was edited is as wrong as before.
        for client in [&client, &odd] {
            let target = format!("{KEYS}/{}", client.id);
            let stopped = put(&target, json!({"active": false})).await;
            assert_eq!(stopped.status, 200, "{}", stopped.text());
            assert_eq!((&stopped.json()["active"], &stopped.json()["usable"]),
                (&json!(false), &json!(false)));
            client.get("/acme/x").send().await.is_refusal(401, "unauthorized");
            put(&target, json!({"active": true})).await.is_refusal(409, "conflict");
        }
        assert_eq!(house.admin.post(&format!("{path}/accept")).send().await.status, 200);
        assert_eq!(put(&path, json!({"active": true})).await.json()["usable"], true);
        assert_eq!(house.admin.delete(&format!("{KEYS}/{}", odd.id)).send().await.status, 204);
        // One that was revoked and brought back by hand is in order once it is stopped.
        let back = house.client().await;
        let path = format!("{KEYS}/{}", back.id);
        assert_eq!(put(&path, json!({"active": false})).await.status, 200);
        edit(&house, &back, "active = 1").await;
        assert!(put(&path, json!({"active": false})).await.json()["fault"].is_null());
        assert_eq!(findings(&house).await, [""; 0]);
        house.leave().await;
    }
}

const KEYS: &str = "/api/v1/admin/api-keys";
