//! The life of a client key through the REST face, with exact answers.
//! Must never find the key anywhere but in the one answer that shows
//! it.

use serde_json::json;

use super::*;

const KEYS: &str = "/api/v1/admin/api-keys";

#[tokio::test]
async fn a_key_is_made_shown_once_changed_rotated_and_deleted() {
    let face = face().await;
    let admin = face.admin_key().await;
    let body = json!({
        "name": "notebook", "scopes": ["polygon:GET:/**"], "limit": 5, "owner": "research",
        "expires_at": "2026-02-01T01:00:00+01:00",
    });
    let made = face.send("POST", KEYS, &admin, Some(body)).await.is(201);
    let key = made.text_of("key");
    assert!(key.starts_with("mdw_") && key.len() == 50);
    assert_eq!(made.json["key_preview"], key[..8]);
    assert_eq!(made.json["role"], "user");
    assert_eq!(made.json["tier"], "standard");
    assert_eq!(made.json["state"], "active");
    assert_eq!(made.json["expires_at"], "2026-02-01T00:00:00Z");
    assert_eq!(made.json["allowed_ips"], Value::Null);
    let target = format!("{KEYS}/{}", made.text_of("id"));

    let shown = face.get(&target, &admin).await.is(200);
    assert!(!shown.text.contains(&key));
    let mut without_key = made.json.clone();
    without_key.as_object_mut().unwrap().remove("key");
    let mut without_limits = shown.json.clone();
    let limits = without_limits.as_object_mut().unwrap().remove("limits").unwrap();
    assert_eq!(limits["proxy"]["remaining"], 5);
    assert_eq!(without_limits, without_key);
    let listed = face.get(KEYS, &admin).await.is(200);
    assert_eq!(listed.json["items"][0], without_key);
    assert!(!listed.text.contains(&key));

    let body = json!({"name": "renamed", "expires_at": null, "limit": null});
    let changed = face.send("PUT", &target, &admin, Some(body)).await.is(200);
    assert_eq!(changed.json["name"], "renamed");
    assert_eq!(changed.json["expires_at"], Value::Null);
    assert_eq!(changed.json["owner"], "research");

    let rotated = face.send("POST", &format!("{target}/rotate"), &admin, None).await.is(201);
    assert_eq!(rotated.json["id"], made.json["id"]);
    assert_ne!(rotated.json["key"], made.json["key"]);
    assert_eq!(rotated.json["previous"]["key_preview"], made.json["key_preview"]);
    assert_eq!(rotated.json["previous"]["valid_until"], "2026-01-16T14:30:00Z");
    let shown = face.get(&target, &admin).await.is(200);
    assert_eq!(shown.json["previous"], rotated.json["previous"]);
    assert_eq!(shown.json["key_preview"], rotated.json["key_preview"]);

    let body = json!({"overlap_seconds": 0});
    face.send("POST", &format!("{target}/rotate"), &admin, Some(body)).await.is(201);
    assert_eq!(face.get(&target, &admin).await.json["previous"], Value::Null);

    let deleted = face.send("DELETE", &target, &admin, None).await.is(204);
    assert!(deleted.text.is_empty());
    face.get(&target, &admin).await.is(404);
    face.send("DELETE", &target, &admin, None).await.is(404);
    face.get(&format!("{target}/audit"), &admin).await.is(200);
}

#[tokio::test]
async fn what_is_wrong_is_named_member_by_member() {
    let face = face().await;
    let admin = face.admin_key().await;
    let body = json!({
        "name": "", "role": "boss", "tier": 7, "scopes": ["polygon:GET:/ok", "nonsense"],
        "expires_at": "2020-01-01T00:00:00Z", "limit": 0, "secrets": {"polygon": "nowhere"},
        "allowed_ips": ["10.0.0.0/8", "10.0.0.1/8"], "max_concurrent": 0,
        "allowed_origins": ["app.example"], "monthly_quota": null, "colour": "red",
    });
    let got = face.send("POST", KEYS, &admin, Some(body)).await.is(422);
    assert_eq!(got.json["code"], "invalid");
    let mut faults = got.faults();
    faults.sort_unstable();
    let fields: Vec<&str> = faults.iter().map(|fault| fault.split(':').next().unwrap()).collect();
    assert_eq!(
        fields,
        [
            "allowed_ips[1]",
            "allowed_origins[0]",
            "colour",
            "expires_at",
            "limit",
            "max_concurrent",
            "name",
            "role",
            "scopes[1]",
            "secrets.polygon",
            "tier",
        ]
    );
    let body = json!({"name": "n", "role": null, "tier": null, "scopes": null, "limit": null});
    face.send("POST", KEYS, &admin, Some(body)).await.is(201);
    let got = face.send("POST", KEYS, &admin, Some(json!({"name": null}))).await.is(422);
    assert_eq!(got.faults(), ["name: is required"]);
    face.send("POST", KEYS, &admin, Some(json!({"name": "n".repeat(101)}))).await.is(422);
    face.send("POST", KEYS, &admin, Some(json!({"name": "ü".repeat(100)}))).await.is(201);
}

#[tokio::test]
async fn what_restricts_a_key_is_kept_and_answered() {
    let face = face().await;
    let admin = face.admin_key().await;
    let body = json!({
        "name": "n", "limit": 5, "monthly_quota": 100, "max_concurrent": 3, "owner": "desk",
        "allowed_ips": ["10.0.0.0/8", "2001:db8::1"], "allowed_origins": ["https://app.example"],
        "description": "for the charts",
    });
    let made = face.send("POST", KEYS, &admin, Some(body.clone())).await.is(201);
    for (name, value) in body.as_object().unwrap() {
        assert_eq!(made.json[name], *value, "{name}");
    }
    let target = format!("{KEYS}/{}", made.text_of("id"));
    let cleared = json!({"allowed_ips": null, "monthly_quota": null, "max_concurrent": 4});
    let changed = face.send("PUT", &target, &admin, Some(cleared)).await.is(200);
    assert_eq!(changed.json["allowed_ips"], Value::Null);
    assert_eq!(changed.json["monthly_quota"], Value::Null);
    assert_eq!(changed.json["max_concurrent"], 4);
    assert_eq!(changed.json["allowed_origins"], body["allowed_origins"]);
}

#[tokio::test]
async fn a_key_is_bound_to_its_networks_and_origins_on_this_face_too() {
    let face = face().await;
    let mut row = ClientKeyRow::new("bound", Role::Admin, Tier::Unlimited, "test");
    row.allowed_ips = Some(vec![String::from("10.0.0.0/8")]);
    let elsewhere = face.key_of(row.clone()).await;
    face.get(KEYS, &elsewhere).await.is(403);
    row.allowed_ips = Some(vec![String::from("192.0.2.0/24")]);
    let here = face.key_of(row.clone()).await;
    face.get(KEYS, &here).await.is(200);
    row.allowed_origins = Some(vec![String::from("https://app.example")]);
    let page = face.key_of(row).await;
    face.get(KEYS, &page).await.is(403);
    let headers = [("x-api-key", page.as_str()), ("origin", "https://app.example")];
    face.send_with("GET", KEYS, &headers, None).await.is(200);
}

fn hash(key: &str) -> String {
    crate::crypto::sha256(key.as_bytes()).map(|byte| format!("{byte:02x}")).concat()
}

#[tokio::test]
async fn every_line_of_an_import_has_its_own_result() {
    let face = face().await;
    let admin = face.admin_key().await;
    let old = "legacy-key-7";
    face.get(KEYS, old).await.is(401);
    let body = json!({"keys": [
        {"key_hash": hash(old), "name": "boss", "role": "admin", "tier": "unlimited",
            "last_used_at": "2025-12-24T18:00:00+01:00"},
        {"key_hash": hash("retired").to_uppercase(), "name": "retired", "active": false},
        {"key_hash": hash(old), "name": "twice"},
        {"key_hash": "abc", "name": "short"},
        {"key_hash": hash("x"), "role": "king"},
        {"key_hash": hash("y"), "name": "n", "colour": "red"},
        7,
    ]});
    let import = format!("{KEYS}/import");
    let got = face.send("POST", &import, &admin, Some(body)).await.is(200);
    assert_eq!((&got.json["imported"], &got.json["refused"]), (&json!(2), &json!(5)));
    let items = got.json["items"].as_array().unwrap();
    let told: Vec<(u64, bool, &str)> = items
        .iter()
        .map(|item| {
            let code = item["code"].as_str().unwrap_or_default();
            (item["line"].as_u64().unwrap(), item["ok"].as_bool().unwrap(), code)
        })
        .collect();
    let refused = |line| (line, false, "invalid");
    assert_eq!(
        told,
        [
            (1, true, ""),
            (2, true, ""),
            (3, false, "conflict"),
            refused(4),
            refused(5),
            refused(6),
            refused(7)
        ]
    );
    assert_eq!(items[3]["detail"], "key_hash must be the 64 hexadecimal digits of a SHA-256");
    let shown =
        face.get(&format!("{KEYS}/{}", items[0]["id"].as_str().unwrap()), old).await.is(200);
    assert_eq!(shown.json["key_preview"], Value::Null);
    assert_eq!(shown.json["last_used_at"], "2025-12-24T17:00:00Z");
    face.get(KEYS, "retired").await.is(401);
    let bearer = [("authorization", "Bearer legacy-key-7")];
    face.send_with("GET", KEYS, &bearer, None).await.is(200);

    let operator = face.key(Role::Operator, Tier::Standard).await;
    let body = json!({"keys": [
        {"key_hash": hash("a"), "name": "a", "role": "admin"},
        {"key_hash": hash("b"), "name": "b", "tier": "premium"},
        {"key_hash": hash("c"), "name": "c"},
    ]});
    let got = face.send("POST", &import, &operator, Some(body)).await.is(200);
    let codes: Vec<&Value> =
        got.json["items"].as_array().unwrap().iter().map(|item| &item["code"]).collect();
    assert_eq!(codes, [&json!("forbidden"), &json!("forbidden"), &Value::Null]);
    face.send("POST", &import, &admin, Some(json!({"keys": {}}))).await.is(422);
    face.send("POST", &import, &admin, Some(json!({}))).await.is(422);
}

#[tokio::test]
async fn an_import_may_be_larger_than_any_other_body() {
    let face = face().await;
    let admin = face.admin_key().await;
    let line =
        |number: usize| json!({"key_hash": hash(&number.to_string()), "name": "n".repeat(90)});
    let keys: Vec<Value> = (0..6500).map(line).collect();
    let body = json!({"keys": keys});
    assert!(body.to_string().len() > 1024 * 1024);
    face.send("POST", KEYS, &admin, Some(body.clone())).await.is(413);
    let got = face.send("POST", &format!("{KEYS}/import"), &admin, Some(body)).await.is(200);
    assert_eq!(got.json["imported"], 6500);
}

#[tokio::test]
async fn a_decision_is_explained_by_the_rule_that_made_it() {
    let face = face().await;
    let admin = face.admin_key().await;
    let body = json!({
        "name": "n", "role": "guest", "allowed_ips": ["10.0.0.0/8"],
        "scopes": ["polygon:GET:/v2/**", "!polygon:*:/v2/reference/**", "openai:*:/**"],
    });
    let made = face.send("POST", KEYS, &admin, Some(body)).await.is(201);
    let id = made.text_of("id");
    let ask = async |method: &str, url: &str, address: Value| {
        let body = json!({"key_id": id, "method": method, "url": url, "address": address});
        face.send("POST", "/api/v1/admin/policy/explain", &admin, Some(body)).await
    };
    for (method, url, address, decision, rule) in [
        ("GET", "/polygon/v2/aggs?x=y", Value::Null, "allow", "polygon:GET:/v2/**"),
        ("HEAD", "/polygon/polygon/v2/aggs", Value::Null, "allow", "polygon:GET:/v2/**"),
        (
            "GET",
            "https://gate.example/polygon/v2/x",
            json!("10.1.1.1"),
            "allow",
            "polygon:GET:/v2/**",
        ),
        ("GET", "https://api.polygon.io/v2/aggs", Value::Null, "allow", "polygon:GET:/v2/**"),
        ("GET", "/polygon/v2/%72eference/x", Value::Null, "deny", "!polygon:*:/v2/reference/**"),
        ("GET", "/polygon/v3/x", Value::Null, "deny", "scopes"),
        ("GET", "/polygon/v2/x", json!("11.0.0.1"), "deny", "allowed_ips"),
        ("POST", "/openai/v1/x", Value::Null, "deny", "role guest"),
    ] {
        let got = ask(method, url, address).await.is(200);
        assert_eq!(got.json["decision"], decision, "{method} {url}: {}", got.text);
        assert_eq!(got.json["rule"], rule, "{method} {url}: {}", got.text);
    }
    // Of a key that is not made yet.
    let scopes = json!(["polygon:GET:/v2/**"]);
    for (role, scopes, method, decision) in [
        ("user", &scopes, "GET", "allow"),
        ("user", &scopes, "POST", "deny"),
        ("user", &Value::Null, "POST", "allow"),
        ("guest", &Value::Null, "POST", "deny"),
    ] {
        let body =
            json!({"role": role, "scopes": scopes, "method": method, "url": "/polygon/v2/x"});
        let got = face.send("POST", "/api/v1/admin/policy/explain", &admin, Some(body)).await;
        assert_eq!(got.is(200).json["decision"], decision, "{role} {scopes} {method}");
    }
    for body in [
        json!({"method": "GET", "url": "/polygon/v2/x"}),
        json!({"key_id": id, "role": "user", "method": "GET", "url": "/polygon/v2/x"}),
        json!({"role": "user", "scopes": ["bad"], "method": "GET", "url": "/polygon/v2/x"}),
    ] {
        face.send("POST", "/api/v1/admin/policy/explain", &admin, Some(body)).await.is(422);
    }
    // Nobody reads another name than the one that is written.
    let name = json!({"name": "\u{202e}gnp.exe"});
    face.send("POST", KEYS, &admin, Some(name)).await.is(422);
    ask("GET", "/nowhere/x", Value::Null).await.is(404);
    ask("GET", "/polygon/../x", Value::Null).await.is(422);
    ask("GET", "/polygon/x", json!("nonsense")).await.is(422);
    face.send("PUT", &format!("{KEYS}/{id}"), &admin, Some(json!({"active": false}))).await.is(200);
    let got = ask("GET", "/polygon/v2/x", Value::Null).await.is(200);
    assert_eq!((&got.json["decision"], &got.json["rule"]), (&json!("deny"), &json!("state")));
}

#[tokio::test]
async fn a_change_cannot_clear_what_every_key_has() {
    let face = face().await;
    let admin = face.admin_key().await;
    let made = face.send("POST", KEYS, &admin, Some(json!({"name": "n"}))).await.is(201);
    let target = format!("{KEYS}/{}", made.text_of("id"));
    let body = json!({"name": null, "role": null, "tier": null, "active": null});
    let got = face.send("PUT", &target, &admin, Some(body)).await.is(422);
    assert_eq!(got.faults().len(), 4, "{}", got.text);
    face.send("PUT", &target, &admin, Some(json!({"active": "no"}))).await.is(422);
    let same = face.send("PUT", &target, &admin, Some(json!({}))).await.is(200);
    assert_eq!(same.json["name"], "n");
    for id in
        ["nothing", "0198C0DE-7A11-7C0D-8E5A-5EA19A7E0001", "0198c0de-7a11-7c0d-8e5a-5ea19a7e0001"]
    {
        face.send("PUT", &format!("{KEYS}/{id}"), &admin, Some(json!({}))).await.is(404);
    }
}

#[tokio::test]
async fn the_last_active_admin_stays() {
    let face = face().await;
    let admin = face.admin_key().await;
    let listed = face.get(KEYS, &admin).await.is(200);
    let target = format!("{KEYS}/{}", listed.json["items"][0]["id"].as_str().unwrap());
    for body in [json!({"active": false}), json!({"role": "operator"})] {
        let got = face.send("PUT", &target, &admin, Some(body)).await.is(409);
        assert_eq!(got.json["code"], "conflict");
    }
    face.send("DELETE", &target, &admin, None).await.is(409);
    let other = face.send("POST", KEYS, &admin, Some(json!({"name": "b", "role": "admin"}))).await;
    face.send("PUT", &target, &admin, Some(json!({"active": false}))).await.is(200);
    face.get(KEYS, &admin).await.is(401);
    face.get(KEYS, &other.text_of("key")).await.is(200);
}

#[tokio::test]
async fn a_list_goes_page_by_page_newest_first() {
    let face = face().await;
    let admin = face.admin_key().await;
    for name in ["a", "b", "c", "d"] {
        face.send("POST", KEYS, &admin, Some(json!({"name": name}))).await.is(201);
    }
    let mut names = Vec::new();
    let mut target = format!("{KEYS}?limit=2");
    loop {
        let page = face.get(&target, &admin).await.is(200);
        let items = page.json["items"].as_array().unwrap();
        assert!(items.len() <= 2);
        names.extend(items.iter().map(|item| item["name"].as_str().unwrap().to_owned()));
        let Some(cursor) = page.json["next_cursor"].as_str() else { break };
        target = format!("{KEYS}?limit=2&cursor={cursor}");
    }
    assert_eq!(names, ["d", "c", "b", "a", "admin"]);
    for query in ["limit=0", "limit=1001", "cursor=x", "order=asc", "limit=1&limit=2"] {
        face.get(&format!("{KEYS}?{query}"), &admin).await.is(422);
    }
}

#[tokio::test]
async fn a_repeated_call_answers_the_same_resource_without_the_key() {
    let face = face().await;
    let admin = face.admin_key().await;
    let other = face.admin_key().await;
    let post = |key: &str, name: &str, once: &'static str| {
        let headers = [("x-api-key", key.to_owned()), ("idempotency-key", once.to_owned())];
        let body = json!({"name": name});
        let face = &face;
        async move {
            let headers: Vec<(&str, &str)> =
                headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            face.send_with("POST", KEYS, &headers, Some(body)).await
        }
    };
    let first = post(&admin, "n", "once").await.is(201);
    assert_eq!(first.header("idempotent-replay"), None);
    let again = post(&admin, "n", "once").await.is(201);
    assert_eq!(again.header("idempotent-replay"), Some("true"));
    assert_eq!(again.json["id"], first.json["id"]);
    assert!(!again.text.contains(&first.text_of("key")) && again.json.get("key").is_none());
    let differs = post(&admin, "m", "once").await.is(422);
    assert!(differs.faults()[0].starts_with("Idempotency-Key: "), "{}", differs.text);
    assert_ne!(post(&other, "n", "once").await.is(201).json["id"], first.json["id"]);
    // A call that was refused may be sent again.
    post(&admin, "", "twice").await.is(422);
    post(&admin, "n", "twice").await.is(201);
    post(&admin, "n", "with space").await.is(400);
    // After a day the key is free again.
    face.clock.advance(Duration::from_secs(24 * 60 * 60 + 1));
    assert_ne!(post(&admin, "n", "once").await.is(201).json["id"], first.json["id"]);
}

#[tokio::test]
async fn of_two_equal_calls_at_once_one_makes_a_key() {
    let face = face().await;
    let admin = face.admin_key().await;
    let headers = [("x-api-key", admin.as_str()), ("idempotency-key", "once")];
    let body = || Some(json!({"name": "n"}));
    let (one, two) = tokio::join!(
        face.send_with("POST", KEYS, &headers, body()),
        face.send_with("POST", KEYS, &headers, body())
    );
    let mut statuses = [one.status.as_u16(), two.status.as_u16()];
    statuses.sort_unstable();
    let has_replay = [&one, &two].iter().any(|got| got.header("idempotent-replay").is_some());
    assert!(statuses == [201, 409] || (statuses == [201, 201] && has_replay), "{statuses:?}");
    let made = face.get(KEYS, &admin).await.json["items"].as_array().unwrap().len();
    assert_eq!(made, 2, "the admin's key and one more");
}
