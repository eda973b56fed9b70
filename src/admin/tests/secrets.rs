//! The life of a secret through the REST face. Its value must
//! never come out, neither in an answer nor in a file of the data
//! folder.

use serde_json::json;

use super::*;

const SECRETS: &str = "/api/v1/admin/secrets";

fn polygon(name: &str) -> Option<Value> {
    Some(json!({
        "provider": "polygon", "name": name, "fields": {"api_key": CANARY}, "validate": false,
    }))
}

#[tokio::test]
async fn a_secret_is_added_changed_checked_and_destroyed_and_never_shown() {
    let face = face().await;
    let admin = face.admin_key().await;
    let body = json!({
        "provider": "polygon", "fields": {"api_key": CANARY}, "owner": "desk",
        "labels": {"plan": "starter"}, "expires_at": "2027-01-01T00:00:00Z",
        "validate": false,
    });
    let made = face.send("POST", SECRETS, &admin, Some(body)).await.is(201);
    assert_eq!(made.json["name"], "default");
    assert_eq!(made.json["category"], "market-data");
    assert_eq!(made.json["version"], 1);
    assert_eq!(made.json["state"], "active");
    assert_eq!(made.json["health"], "unknown");
    assert_eq!(made.json["versions"][0]["share"], 100);
    let target = format!("{SECRETS}/{}", made.text_of("id"));
    assert_eq!(face.get(&target, &admin).await.is(200).json, made.json);
    assert_eq!(face.get(SECRETS, &admin).await.is(200).json["items"], json!([made.json]));

    let body = json!({"owner": null, "labels": {"plan": "pro"}, "active": false});
    let changed = face.send("PUT", &target, &admin, Some(body)).await.is(200);
    assert_eq!(changed.json["owner"], Value::Null);
    assert_eq!(changed.json["labels"], json!({"plan": "pro"}));
    assert_eq!(changed.json["active"], false);
    face.send("PUT", &target, &admin, Some(json!({"active": true}))).await.is(200);

    let report = face.send("POST", &format!("{target}/validate"), &admin, None).await.is(200);
    assert_eq!(report.json["ok"], true);
    let steps: Vec<(&str, &Value)> = report.json["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| (step["name"].as_str().unwrap(), &step["ok"]))
        .collect();
    let good = json!(true);
    let taken = ["rows", "open", "format", "serve"].map(|name| (name, &good));
    assert_eq!(steps, [&taken[..], &[("live", &Value::Null)]].concat());
    assert_eq!(
        (&report.json["outcome"], &report.json["health"]),
        (&json!("unknown"), &json!("unknown"))
    );
    let live = &report.json["steps"][4];
    assert!(live["detail"].as_str().unwrap().contains("was not reached"), "{live}");
    assert!(live["remedy"].as_str().unwrap().contains("doctor"), "{live}");
    let shown = face.get(&target, &admin).await.is(200).json;
    assert!(shown["checked_at"].is_string() && shown["health_since"].is_string(), "{shown}");
    let checks = face.get(&format!("{target}/checks"), &admin).await.is(200).json;
    assert_eq!(checks["items"][0]["cause"], "asked");
    assert_eq!(checks["items"][0]["steps"], report.json["steps"]);

    face.send("DELETE", &target, &admin, None).await.is(204);
    face.get(&target, &admin).await.is(404);
    face.send("POST", &format!("{target}/validate"), &admin, None).await.is(404);
}

#[tokio::test]
async fn a_bad_secret_is_refused_and_its_value_is_not_repeated() {
    let face = face().await;
    let admin = face.admin_key().await;
    let post = |body: Value| face.send("POST", SECRETS, &admin, Some(body));
    let got = post(json!({"provider": "nowhere", "fields": {"api_key": CANARY}})).await.is(422);
    assert!(got.faults()[0].starts_with("provider: "), "{}", got.text);
    let got = post(json!({"provider": "polygon", "fields": {"apikey": CANARY}})).await.is(422);
    assert!(got.faults().iter().all(|fault| fault.starts_with("fields.")), "{}", got.text);
    let got = post(json!({"provider": "openai", "fields": {"api_key": CANARY}})).await.is(422);
    assert!(got.faults()[0].starts_with("fields.api_key: "), "{}", got.text);
    let fields = json!({"api_key": "sk-ant-api03-abcdefghijkl"});
    let got = post(json!({"provider": "newsapi", "fields": fields})).await.is(422);
    assert!(got.faults()[0].ends_with("looks like a key of Anthropic"), "{}", got.text);
    let got = post(json!({"provider": "polygon", "fields": {"api_key": CANARY}})).await.is(502);
    assert_eq!(got.json["code"], "upstream_unreachable");
    assert!(got.text.contains("was not reached") && got.text.contains("validate: false"));
    assert_eq!(face.get(SECRETS, &admin).await.is(200).json["items"], json!([]));
    let got = post(json!({"provider": "polygon", "fields": CANARY})).await.is(422);
    assert_eq!(got.faults(), ["fields: must be an object of texts"]);
    let got = post(json!({"provider": "polygon", "fields": {"api_key": true}})).await.is(422);
    assert_eq!(got.faults(), ["fields.api_key: must be a text"]);
    let got = post(json!({"provider": "polygon"})).await.is(422);
    assert_eq!(got.faults(), ["fields: is required"]);
    face.send("POST", SECRETS, &admin, polygon("ü")).await.is(422);
    face.send("POST", SECRETS, &admin, polygon("one")).await.is(201);
    let got = face.send("POST", SECRETS, &admin, polygon("one")).await.is(409);
    assert_eq!(got.json["code"], "conflict");
}

#[tokio::test]
async fn a_key_can_be_bound_to_a_secret_that_is_there() {
    let face = face().await;
    let admin = face.admin_key().await;
    face.send("POST", SECRETS, &admin, polygon("desk")).await.is(201);
    let body = json!({"name": "n", "secrets": {"polygon": "desk"}});
    let made = face.send("POST", "/api/v1/admin/api-keys", &admin, Some(body)).await.is(201);
    assert_eq!(made.json["secrets"], json!({"polygon": "desk"}));
}

#[tokio::test]
async fn a_secret_takes_another_name_unless_it_is_taken_or_somebody_is_bound_to_the_old_one() {
    let face = face().await;
    let admin = face.admin_key().await;
    let made = face.send("POST", SECRETS, &admin, polygon("one")).await.is(201);
    face.send("POST", SECRETS, &admin, polygon("two")).await.is(201);
    let target = format!("{SECRETS}/{}", made.text_of("id"));
    let rename = |name: Value| face.send("PUT", &target, &admin, Some(json!({"name": name})));
    let changed = rename(json!("three")).await.is(200);
    assert_eq!((&changed.json["name"], &changed.json["version"]), (&json!("three"), &json!(1)));
    assert_eq!(face.get(&target, &admin).await.is(200).json["name"], "three");
    let report = face.send("POST", &format!("{target}/validate"), &admin, None).await.is(200);
    assert_eq!(report.json["ok"], true, "the value opens under the new name");
    assert_eq!(rename(json!("two")).await.is(409).json["code"], "conflict");
    rename(json!("three")).await.is(200);
    for bad in [json!(""), json!(null), json!(7), json!("ü"), json!(" x"), json!("x".repeat(101))]
    {
        assert!(rename(bad.clone()).await.is(422).faults()[0].starts_with("name: "), "{bad}");
    }
    let keys = "/api/v1/admin/api-keys";
    let body = json!({"name": "batch", "secrets": {"polygon": "three"}});
    let bound = face.send("POST", keys, &admin, Some(body)).await.is(201);
    let got = rename(json!("four")).await.is(409);
    assert!(got.text.contains("batch"), "{}", got.text);
    let free = json!({"secrets": null});
    let key = format!("{keys}/{}", bound.text_of("id"));
    face.send("PUT", &key, &admin, Some(free)).await.is(200);
    rename(json!("four")).await.is(200);
    let trail = face.get("/api/v1/admin/audit?kind=change", &admin).await.is(200);
    let detail = &trail.json["items"][0]["detail"];
    assert_eq!(
        (&detail["before"]["name"], &detail["after"]["name"]),
        (&json!("three"), &json!("four"))
    );
}

#[tokio::test]
async fn a_repeat_of_adding_a_secret_adds_nothing_and_keeps_nothing_of_it() {
    let face = face().await;
    let admin = face.admin_key().await;
    let headers = [("x-api-key", admin.as_str()), ("idempotency-key", "once")];
    let first = face.send_with("POST", SECRETS, &headers, polygon("a")).await.is(201);
    let again = face.send_with("POST", SECRETS, &headers, polygon("a")).await.is(201);
    assert_eq!(again.json, first.json);
    assert_eq!(again.header("idempotent-replay"), Some("true"));
    face.send_with("POST", SECRETS, &headers, polygon("b")).await.is(422);
    face.store.close().await;
    for entry in std::fs::read_dir(face.folder.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let bytes = std::fs::read(&path).unwrap();
            let found = bytes.windows(CANARY.len()).any(|window| window == CANARY.as_bytes());
            assert!(!found, "{} holds the value", path.display());
        }
    }
}

#[tokio::test]
async fn providers_and_symbols_are_read() {
    let face = face().await;
    let auditor = face.key(Role::Auditor, Tier::Limited).await;
    let providers = face.get("/api/v1/admin/providers", &auditor).await.is(200);
    assert_eq!(providers.json["items"].as_array().unwrap().len(), 20);
    let polygon = face.get("/api/v1/admin/providers/polygon", &auditor).await.is(200);
    assert_eq!(polygon.json["fields"], json!(["api_key"]));
    let bearer = json!([{"at": "header", "name": "authorization", "value": "Bearer {api_key}"}]);
    assert_eq!(polygon.json["inject"], bearer);
    let alpaca = face.get("/api/v1/admin/providers/alpaca", &auditor).await.is(200);
    assert_eq!(alpaca.json["fields"], json!(["key_id", "secret_key"]));
    assert_eq!(alpaca.json["hosts"]["data"], "https://data.alpaca.markets:443/");
    assert_eq!(alpaca.json["paths"][0]["under"], json!(["/v1/corporate-actions"]));
    let taapi = face.get("/api/v1/admin/providers/taapi", &auditor).await.is(200);
    let body =
        json!({"at": "json", "pointer": "/secret", "value": "{api_key}", "methods": ["POST"]});
    assert_eq!(taapi.json["inject"][1], body);
    let got = face.get("/api/v1/admin/providers/nowhere", &auditor).await.is(404);
    assert_eq!(got.json["code"], "unknown_provider");
    let symbols =
        face.get("/api/v1/admin/symbols?active_only=true&limit=1", &auditor).await.is(200);
    assert_eq!(symbols.json["items"][0]["symbol"], "AAPL");
    let rest = face.get("/api/v1/admin/symbols?cursor=AAPL", &auditor).await.is(200);
    assert_eq!(rest.json["items"][0]["symbol"], "SPY");
    assert_eq!(rest.json["next_cursor"], Value::Null);
}
