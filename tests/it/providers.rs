//! Providers that operators write by API and command line: checked like settings, in force at once
//! and on every node, kept over a restart, recorded; a changed destination closes the secrets.

use serde_json::{Value, json};

use crate::house::{Ground, House, Kind, Outpost, Plan, Speaks};

const PROVIDERS: &str = "/api/v1/admin/providers";

/// A second provider's server, and the entry that leads there.
async fn elsewhere(folder: &std::path::Path) -> (Outpost, Value) {
    let outpost = Outpost::open(Speaks::Both).await;
    let pem = folder.join("elsewhere.pem");
    std::fs::write(&pem, &outpost.ca_pem).unwrap();
    let entry = json!({
        "id": "newone",
        "base_url": format!("https://localhost:{}/base", outpost.address.port()),
        "category": "tests",
        "inject": [{"at": "header", "name": "X-Real", "value": "{api_key}"}],
        "allow_private_network": true,
        "ca_file": pem,
    });
    (outpost, entry)
}

async fn a_provider_lives(kind: Kind) {
    let folder = tempfile::tempdir().unwrap();
    let (outpost, entry) = elsewhere(folder.path()).await;
    let mut house = House::planned(Plan { database: kind, ..Plan::default() }).await;
    let client = house.client().await;
    client.get("/newone/x").send().await.is_refusal(404, "unknown_provider");

    let added = house.admin.post(PROVIDERS).json(&entry).send().await;
    assert_eq!(added.status, 201, "{}", added.text());
    assert_eq!(added.json()["managed_by"], "operators");
    let twice = house.admin.post(PROVIDERS).json(&entry).send().await;
    twice.is_refusal(409, "conflict");
    client.get("/newone/x").send().await.is_refusal(503, "no_secret");
    let fields = json!({"api_key": house.canary.plain()});
    let secret = json!({"provider": "newone", "fields": fields, "validate": false});
    let sealed = house.admin.post("/api/v1/admin/secrets").json(&secret).send().await;
    assert_eq!(sealed.status, 201, "{}", sealed.text());
    let call = client.get("/newone/x").send().await;
    assert_eq!(call.status, 200, "{}", call.text());
    assert_eq!(outpost.last().header("x-real"), Some(house.canary.plain()));

    // Another host, or another slot, closes the secret until somebody says that it is meant.
    let target = format!("{PROVIDERS}/newone");
    let other = json!({"inject": [{"at": "header", "name": "X-Other", "value": "{api_key}"}]});
    let changed = house.admin.put(&target).json(&other).send().await;
    assert_eq!(changed.status, 200, "{}", changed.text());
    assert_eq!(changed.json()["category"], "tests");
    let closed = client.get("/newone/x").send().await.is_refusal(503, "no_secret");
    assert!(closed["detail"].as_str().unwrap().contains("secret reseal"), "{closed}");
    let reseal = format!("/api/v1/admin/secrets/{}/reseal", sealed.json()["id"].as_str().unwrap());
    assert_eq!(house.admin.post(&reseal).send().await.status, 200);
    assert_eq!(client.get("/newone/x").send().await.status, 200);
    assert_eq!(outpost.last().header("x-other"), Some(house.canary.plain()));
    assert_eq!(outpost.last().header("x-real"), None);

    house.restart().await;
    let client = house.holder(&client);
    assert_eq!(client.get("/newone/x").send().await.status, 200, "kept over a restart");
    house.admin.delete(&target).send().await.is_refusal(409, "conflict");
    let gone = format!("/api/v1/admin/secrets/{}", sealed.json()["id"].as_str().unwrap());
    assert_eq!(house.admin.delete(&gone).send().await.status, 204);
    assert_eq!(house.admin.delete(&target).send().await.status, 204);
    client.get("/newone/x").send().await.is_refusal(404, "unknown_provider");

    let trail = house.admin.get("/api/v1/admin/audit?kind=change&provider=newone").send().await;
    let noted: Vec<String> = trail.json()["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|item| item["endpoint"].as_str().unwrap().starts_with(PROVIDERS))
        .map(|item| format!("{} {}", item["method"].as_str().unwrap(), item["status_code"]))
        .collect();
    for wanted in ["POST 201", "PUT 200", "DELETE 204"] {
        assert!(noted.iter().any(|line| line == wanted), "{wanted}: {noted:?}");
    }
    house.leave().await;
}

#[tokio::test]
async fn a_provider_lives_from_its_addition_to_its_removal() {
    Box::pin(a_provider_lives(Kind::Sqlite)).await;
}

#[tokio::test]
async fn a_provider_lives_from_its_addition_to_its_removal_on_postgres() {
    Box::pin(a_provider_lives(Kind::Postgres)).await;
}

#[tokio::test]
async fn an_entry_is_checked_as_strictly_as_settings() {
    let house = House::open().await;
    let refused = async |body: Value, field: &str| {
        let answer = house.admin.post(PROVIDERS).json(&body).send().await;
        let body = answer.is_refusal(422, "invalid");
        assert_eq!(body["fields"][0]["field"], field, "{body}");
    };
    let with = |member: &str, value: Value| {
        let mut entry = json!({"id": "neu", "base_url": "https://a.example", "category": "x",
            "inject": [{"at": "query", "name": "k"}]});
        entry[member] = value;
        entry
    };
    refused(json!({}), "id").await;
    refused(with("id", json!("api")), "id").await;
    refused(with("id", json!("Big")), "id").await;
    refused(with("base_url", json!("http://a.example")), "base_url").await;
    refused(with("base_url", json!(null)), "base_url").await;
    refused(with("nonsense", json!(1)), "nonsense").await;
    refused(with("inject", json!([{"at": "body"}])), "inject[0]").await;
    refused(with("emulator", json!({})), "emulator").await;
    refused(with("ca_file", json!("/nowhere.pem")), "ca_file").await;
    // The settings name these two; the built-in ones are there already.
    let acme = format!("{PROVIDERS}/acme");
    house.admin.put(&acme).json(&json!({"pool": true})).send().await.is_refusal(409, "conflict");
    house.admin.delete(&acme).send().await.is_refusal(409, "conflict");
    assert_eq!(house.admin.get(&acme).send().await.json()["managed_by"], "settings");
    let polygon = format!("{PROVIDERS}/polygon");
    house.admin.delete(&polygon).send().await.is_refusal(409, "conflict");
    // A built-in one is changed, and taken back.
    let limit = json!({"requests_per_minute": 300});
    let changed = house.admin.put(&polygon).json(&limit).send().await;
    assert_eq!(changed.json()["requests_per_minute"], 300, "{}", changed.text());
    assert_eq!(changed.json()["title"], "Polygon.io");
    let none = json!({"requests_per_minute": null});
    let cleared = house.admin.put(&polygon).json(&none).send().await;
    assert_eq!(cleared.json()["requests_per_minute"], 0, "{}", cleared.text());
    assert_eq!(house.admin.delete(&polygon).send().await.status, 204);
    house.leave().await;
}

#[test]
fn the_command_line_adds_changes_and_removes_providers() {
    let ground = Ground::new("");
    ground.json(&["init", "--json"]);
    let added = ground.json(&[
        "provider",
        "add",
        "acme",
        "--base-url",
        "https://api.acme.example/v1",
        "--category",
        "market-data",
        "--header",
        "Authorization=Bearer {api_key}",
        "--json",
    ]);
    assert_eq!(added["inject"][0]["value"], "Bearer {api_key}");
    let file = ground.path().join("two.toml");
    let text = "base_url = \"https://two.example\"\ncategory = \"x\"\n[[inject]]\nat = \"query\"\n\
                name = \"k\"\n";
    std::fs::write(&file, text).unwrap();
    let two = ["provider", "add", "two", "--file", file.to_str().unwrap(), "--json"];
    assert_eq!(ground.json(&two)["inject"][0]["name"], "k");
    let set = ["provider", "set", "acme", "--base-url", "https://b.example", "--json"];
    assert_eq!(ground.json(&set)["base_url"], "https://b.example:443/");
    let wrong = ground.fails(&["provider", "set", "acme", "--base-url", "http://b.example"]);
    assert!(wrong.contains("base-url") && wrong.contains("not encrypted"), "{wrong}");
    assert!(ground.run(&["provider", "remove", "acme"]).status.success());
    let list = ground.json(&["provider", "list", "--json"]);
    let ids: Vec<&str> =
        list["items"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect();
    assert!(ids.contains(&"two") && !ids.contains(&"acme"), "{ids:?}");
}

/// As somebody does it who has the database's file.
async fn forge(house: &House, sql: &str) {
    house.database.tamper(sql).await;
}

async fn findings(house: &House) -> Vec<String> {
    let told = house.local().get("/api/v1/admin/integrity").send().await;
    assert_eq!(told.status, 200, "{}", told.text());
    let told = told.json();
    let findings = told["findings"].as_array().unwrap();
    findings.iter().map(|finding| finding.as_str().unwrap().to_owned()).collect()
}

/// Every edit of the row by itself, and the list that guards it, too.
const EDITS: [(&str, &str); 7] = [
    ("UPDATE providers SET members = replace(members, 'elsewhere.pem', 'forged.pem')", "edited"),
    ("UPDATE providers SET members = replace(members, '\"tests\"', '\"other\"')", "edited"),
    ("UPDATE providers SET updated_by = 'mallory'", "edited"),
    ("DELETE FROM providers", "deleted"),
    ("INSERT INTO providers VALUES ('polygon', '{\"pool\":true}', 1, 'mallory')", "put there"),
    ("DELETE FROM provider_list; UPDATE providers SET updated_by = 'mallory'", "edited"),
    ("UPDATE provider_list SET entries = '{}'; DELETE FROM providers", "deleted"),
];

#[tokio::test]
async fn a_stored_provider_that_somebody_touched_gets_no_key_until_it_is_written_again() {
    let folder = tempfile::tempdir().unwrap();
    let (outpost, entry) = elsewhere(folder.path()).await;
    let forged = Outpost::open(Speaks::Both).await;
    std::fs::write(folder.path().join("forged.pem"), &forged.ca_pem).unwrap();
    let mut house = House::planned(Plan::default()).await;
    let client = house.client().await;
    let added = house.admin.post(PROVIDERS).json(&entry).send().await;
    assert_eq!(added.status, 201, "{}", added.text());
    let fields = json!({"api_key": house.canary.plain()});
    let secret = json!({"provider": "newone", "fields": fields, "validate": false});
    let sealed = house.admin.post("/api/v1/admin/secrets").json(&secret).send().await;
    assert_eq!(sealed.status, 201, "{}", sealed.text());
    assert_eq!(client.get("/newone/x").send().await.status, 200);
    assert_eq!(findings(&house).await, [""; 0]);
    for (sql, word) in EDITS {
        let touched = if word == "put there" { "polygon" } else { "newone" };
        forge(&house, sql).await;
        let told = |found: &[String]| {
            let line = found.iter().find(|line| line.contains(touched) && line.contains(word));
            assert!(line.is_some_and(|line| line.contains("provider remove")), "{sql}: {found:?}");
        };
        told(&findings(&house).await);
        let seen = outpost.seen().len();
        house.restart().await;
        told(&findings(&house).await);
        let refused = house.holder(&client).get(&format!("/{touched}/x")).send().await;
        refused.is_refusal(404, "unknown_provider");
        assert_eq!(outpost.seen().len(), seen);
        let trail = house.admin.get("/api/v1/admin/audit?kind=security").send().await.text();
        assert!(trail.contains(word), "{sql}: {trail}");
        let target = format!("{PROVIDERS}/{touched}");
        let refused = house.admin.put(&target).json(&json!({"pool": true})).send().await;
        refused.is_refusal(409, "conflict");
        // What is written is meant.
        let mended = match touched {
            "polygon" => house.admin.delete(&target).send().await.status,
            _ => house.admin.post(PROVIDERS).json(&entry).send().await.status,
        };
        assert!(mended == 204 || mended == 201, "{sql}: {mended}");
        assert_eq!(findings(&house).await, [""; 0], "{sql}");
        house.restart().await;
        assert_eq!(findings(&house).await, [""; 0], "{sql}");
        assert_eq!(house.holder(&client).get("/newone/x").send().await.status, 200, "{sql}");
    }
    house.leave().await;
}

#[tokio::test]
async fn rows_of_before_are_listed_once_and_one_that_cannot_be_read_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (_outpost, entry) = elsewhere(folder.path()).await;
    let mut house = House::planned(Plan::default()).await;
    let client = house.client().await;
    assert_eq!(house.admin.post(PROVIDERS).json(&entry).send().await.status, 201);
    // As an earlier program left it: neither a list, nor one kept beside the database.
    let anchors = house.path().join("data/anchors");
    let without = |text: String| {
        let lines = text.lines().filter(|line| !line.starts_with("providers "));
        lines.map(|line| format!("{line}\n")).collect::<String>()
    };
    let sql = "DELETE FROM provider_list; UPDATE providers SET members = '{\"nonsense\":1}'";
    forge(&house, sql).await;
    std::fs::write(&anchors, without(std::fs::read_to_string(&anchors).unwrap())).unwrap();
    house.restart().await;
    let found = findings(&house).await;
    assert!(found.len() == 1 && found[0].contains("left out"), "{found:?}");
    house.holder(&client).get("/newone/x").send().await.is_refusal(404, "unknown_provider");
    assert_eq!(house.admin.post(PROVIDERS).json(&entry).send().await.status, 201);
    assert_eq!(findings(&house).await, [""; 0]);
    house.leave().await;
}
