//! What binds a client key that hands out client keys: its end, networks and origins are those of
//! what it makes; nobody locks himself or everybody out; scopes that match nothing are refused.
//! Rows that somebody has edited are told of and can be stopped.

use serde_json::json;

use super::*;

const KEYS: &str = "/api/v1/admin/api-keys";
const END: &str = "2026-02-01T00:00:00Z";
const LATER: &str = "2026-03-01T00:00:00Z";

impl Face {
    /// An admin key with these members, and its path.
    async fn admin_with(&self, members: Value) -> (String, String) {
        let first = self.admin_key().await;
        let mut body = json!({"name": "bound", "role": "admin", "tier": "unlimited"});
        body.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        let made = self.send("POST", KEYS, &first, Some(body)).await.is(201);
        (made.text_of("key"), format!("{KEYS}/{}", made.text_of("id")))
    }

    async fn post(&self, key: &str, body: Value) -> Got {
        self.send("POST", KEYS, key, Some(body)).await
    }

    async fn put(&self, target: &str, key: &str, body: Value) -> Got {
        self.send("PUT", target, key, Some(body)).await
    }
}

#[tokio::test]
async fn what_can_hand_out_keys_is_bound_like_its_maker() {
    let face = face().await;
    let bounds = json!({"expires_at": END, "allowed_ips": ["192.0.2.0/24"]});
    let (bound, own) = face.admin_with(bounds).await;
    for role in ["admin", "operator"] {
        // Left out, the bounds are taken over.
        let made = face.post(&bound, json!({"name": "n", "role": role})).await.is(201);
        assert_eq!(made.json["expires_at"], END, "{role}");
        assert_eq!(made.json["allowed_ips"], json!(["192.0.2.0/24"]), "{role}");
        for more in [
            json!({"expires_at": LATER}),
            json!({"expires_at": null}),
            json!({"allowed_ips": null}),
            json!({"allowed_ips": ["192.0.2.7", "198.51.100.7"]}),
        ] {
            let mut body = json!({"name": "n", "role": role});
            body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let got = face.post(&bound, body.clone()).await.is(403);
            let detail = got.text_of("detail");
            assert!(detail.contains("send") && detail.contains("or use a key"), "{body}: {detail}");
            let mut line = body;
            line["key_hash"] = json!("ab".repeat(32));
            let import = json!({"keys": [line]});
            let got = face.send("POST", &format!("{KEYS}/import"), &bound, Some(import)).await;
            assert_eq!(got.json["items"][0]["code"], "forbidden", "{}", got.text);
        }
        let narrower = json!({"name": "n", "role": role, "expires_at": "2026-01-20T00:00:00Z",
            "allowed_ips": ["192.0.2.7"]});
        face.post(&bound, narrower).await.is(201);
    }
    // Keys that hand out nothing are free of it.
    for role in ["user", "guest", "auditor"] {
        let body = json!({"name": "n", "role": role, "tier": "standard"});
        let made = face.post(&bound, body).await.is(201);
        assert_eq!(
            (&made.json["expires_at"], &made.json["allowed_ips"]),
            (&Value::Null, &Value::Null)
        );
        // Until it is made one that does.
        let target = format!("{KEYS}/{}", made.text_of("id"));
        face.put(&target, &bound, json!({"role": "operator", "expires_at": null})).await.is(403);
        let raised = face.put(&target, &bound, json!({"role": "operator"})).await.is(200);
        assert_eq!(raised.json["expires_at"], END);
        face.put(&target, &bound, json!({"expires_at": LATER})).await.is(403);
    }
    // Nor does it free itself, or take over one that is free.
    for body in [json!({"expires_at": null}), json!({"allowed_ips": null})] {
        face.put(&own, &bound, body).await.is(403);
    }
    let first = face.get(&format!("{KEYS}?limit=1000"), &bound).await;
    let is_free = |item: &&Value| item["role"] == "admin" && item["expires_at"].is_null();
    let items = first.json["items"].as_array().unwrap();
    let free = items.iter().find(is_free).unwrap()["id"].as_str().unwrap();
    face.send("POST", &format!("{KEYS}/{free}/rotate"), &bound, None).await.is(403);
    face.send("POST", &format!("{KEYS}/{free}/tokens"), &bound, None).await.is(403);
    face.send("POST", &format!("{own}/rotate"), &bound, None).await.is(201);
}

#[tokio::test]
async fn a_key_of_pages_makes_administrators_of_these_pages_alone() {
    let face = face().await;
    let (page, _) = face.admin_with(json!({"allowed_origins": ["https://app.example"]})).await;
    let headers = [("x-api-key", page.as_str()), ("origin", "https://app.example")];
    let post = async |body: Value| face.send_with("POST", KEYS, &headers, Some(body)).await;
    let made = post(json!({"name": "n", "role": "operator"})).await.is(201);
    assert_eq!(made.json["allowed_origins"], json!(["https://app.example"]));
    for origins in [json!(null), json!(["https://app.example", "https://evil.example"])] {
        post(json!({"name": "n", "role": "operator", "allowed_origins": origins})).await.is(403);
    }
    post(json!({"name": "n", "role": "user", "allowed_origins": null})).await.is(201);
}

#[tokio::test]
async fn nobody_locks_himself_or_everybody_out() {
    let face = face().await;
    let admin = face.admin_key().await;
    let listed = face.get(KEYS, &admin).await.is(200);
    let own = format!("{KEYS}/{}", listed.json["items"][0]["id"].as_str().unwrap());
    for body in [
        json!({"expires_at": LATER}),
        json!({"allowed_ips": ["10.0.0.0/8"]}),
        json!({"allowed_ips": []}),
        json!({"allowed_origins": ["https://app.example"]}),
        json!({"allowed_origins": []}),
    ] {
        let got = face.put(&own, &admin, body.clone()).await.is(409);
        let detail = got.text_of("detail");
        assert!(detail.contains("admin key") && got.json["code"] == "conflict", "{body}: {detail}");
        let local = face.local("PUT", &own, Some(body.clone())).await;
        // At the machine itself one is not locked out by networks, unless nobody is let in.
        let is_somewhere =
            body["allowed_ips"].get(0).or_else(|| body["allowed_origins"].get(0)).is_some();
        assert_eq!(local.status.as_u16(), if is_somewhere { 200 } else { 409 }, "{body}");
        let back = json!({"allowed_ips": null, "allowed_origins": null});
        face.local("PUT", &own, Some(back)).await.is(200);
    }
    face.put(&own, &admin, json!({"allowed_ips": ["192.0.2.0/24"]})).await.is(200);
    face.put(&own, &admin, json!({"name": "renamed"})).await.is(200);
    // Bound, it does not free itself.
    face.put(&own, &admin, json!({"allowed_ips": null})).await.is(403);
    face.local("PUT", &own, Some(json!({"allowed_ips": null}))).await.is(200);
    // One that ends does not stand in for one that does not.
    let body = json!({"name": "second", "role": "admin", "expires_at": LATER});
    let second = face.post(&admin, body).await.is(201);
    face.put(&own, &admin, json!({"expires_at": LATER})).await.is(409);
    let second = format!("{KEYS}/{}", second.text_of("id"));
    face.put(&second, &admin, json!({"expires_at": null})).await.is(200);
    face.put(&own, &admin, json!({"expires_at": LATER})).await.is(200);
    face.put(&second, &admin, json!({"allowed_ips": ["10.0.0.0/8"]})).await.is(403);
}

#[tokio::test]
async fn the_last_admin_who_can_do_everything_is_not_made_less() {
    let face = face().await;
    let admin = face.admin_key().await;
    let listed = face.get(KEYS, &admin).await.is(200);
    let own = format!("{KEYS}/{}", listed.json["items"][0]["id"].as_str().unwrap());
    let narrowings = [
        json!({"scopes": []}),
        json!({"scopes": ["*:*:/**"]}),
        json!({"tier": "premium"}),
        json!({"limit": 5}),
        json!({"monthly_quota": 5}),
        json!({"max_concurrent": 5}),
        json!({"role": "operator"}),
        json!({"active": false}),
    ];
    let refused = async |what: &str| {
        for body in &narrowings {
            let got = face.put(&own, &admin, body.clone()).await.is(409);
            assert!(got.text_of("detail").contains("Create another admin key"), "{what}: {body}");
            face.local("PUT", &own, Some(body.clone())).await.is(409);
        }
        face.send("DELETE", &own, &admin, None).await.is(409);
    };
    refused("alone").await;
    // Others that are bound cannot free him, nor themselves.
    for bound in [
        json!({"scopes": ["*:*:/**"]}),
        json!({"expires_at": LATER}),
        json!({"allowed_ips": ["192.0.2.0/24"]}),
        json!({"allowed_origins": ["https://app.example"]}),
    ] {
        let mut body = json!({"name": "bound", "role": "admin", "tier": "unlimited"});
        body.as_object_mut().unwrap().extend(bound.as_object().unwrap().clone());
        face.post(&admin, body).await.is(201);
    }
    refused("beside bound ones").await;
    face.put(&own, &admin, json!({"name": "renamed"})).await.is(200);
    face.admin_with(json!({})).await;
    for body in &narrowings {
        face.local("PUT", &own, Some(body.clone())).await.is(200);
        let back = json!({"scopes": null, "tier": "unlimited", "limit": null, "active": true,
            "monthly_quota": null, "max_concurrent": null, "role": "admin"});
        face.local("PUT", &own, Some(back)).await.is(200);
    }
    face.send("DELETE", &own, &admin, None).await.is(204);
}

#[tokio::test]
async fn a_client_key_is_neither_taken_as_a_name_nor_written_down() {
    let face = face().await;
    let admin = face.admin_key().await;
    let key = face.post(&admin, json!({"name": "n"})).await.is(201).text_of("key");
    for member in ["name", "description", "owner"] {
        let mut body = json!({"name": "n"});
        body[member] = json!(format!("see {key}"));
        let got = face.post(&admin, body).await.is(422);
        assert_eq!(got.faults(), [format!("{member}: must not hold a client key or token")]);
    }
    let mut body = json!({"name": "n"});
    body[&key] = json!(1);
    let got = face.post(&admin, body).await.is(422);
    assert!(got.text.contains(&key[..8]) && !got.text.contains(&key), "{}", got.text);
    let body = json!({"provider": "polygon", "labels": {"a": key, key.clone(): "b"},
        "fields": {"api_key": "x"}, "validate": false});
    let got = face.send("POST", "/api/v1/admin/secrets", &admin, Some(body)).await.is(422);
    assert!(!got.text.contains(&key), "{}", got.text);
    for path in [format!("{KEYS}/{key}"), format!("{KEYS}/{}", key.replace('_', "%5f"))] {
        face.get(&path, &admin).await.is(404);
    }
    let trail = face.get("/api/v1/admin/audit?limit=1000", &admin).await.is(200);
    assert!(!trail.text.contains(&key[4..]), "{}", trail.text);
    let masked = format!("{KEYS}/{}…", &key[..8]);
    assert_eq!(trail.text.matches(&masked).count(), 2, "{}", trail.text);
}

#[tokio::test]
async fn a_scope_that_no_call_can_match_is_refused_and_says_why() {
    let face = face().await;
    let admin = face.admin_key().await;
    let scopes = json!([
        "polygon:GET:/v2/**",
        "polygone:GET:/**",
        "polygon:FOO:/x",
        "openai:GET:/v1/../x",
        "openai:GET:/a%2fb",
        "openai:GET:/a?b",
        "openai:GET:/a*"
    ]);
    let made = face.post(&admin, json!({"name": "n"})).await.is(201);
    let target = format!("{KEYS}/{}", made.text_of("id"));
    let line = json!({"key_hash": "cd".repeat(32), "name": "n", "scopes": scopes});
    let import =
        face.send("POST", &format!("{KEYS}/import"), &admin, Some(json!({"keys": [line]}))).await;
    assert_eq!(import.json["items"][0]["code"], "invalid", "{}", import.text);
    for got in [
        face.post(&admin, json!({"name": "n", "scopes": scopes})).await,
        face.put(&target, &admin, json!({"scopes": scopes})).await,
        face.send("POST", &format!("{target}/tokens"), &admin, Some(json!({"scopes": scopes})))
            .await,
    ] {
        let faults = got.is(422).faults();
        assert_eq!(faults.len(), 6, "{faults:?}");
        for (fault, why) in faults.iter().zip([
            "scopes[1]: names no provider of this house: it has alpaca, alpaca-paper",
            "scopes[2]: matches nothing: FOO is no method",
            "scopes[3]: matches nothing: no call with a dot segment",
            "scopes[4]: matches nothing: the name of a segment has no slash",
            "scopes[5]: matches nothing: a scope ends with the path",
            "scopes[6]: matches nothing: * and ** stand for whole segments",
        ]) {
            assert!(fault.starts_with(why), "{fault}");
        }
    }
    let body = json!({"name": "n", "scopes": ["market:GET:/**", "sandbox:GET:/**", "!*:PUT:/**"]});
    face.post(&admin, body).await.is(201);
}

#[tokio::test]
async fn what_is_denied_is_denied_in_every_spelling_and_explained() {
    let face = face().await;
    let admin = face.admin_key().await;
    let scopes = json!(["openai:*:/**", "!openai:*:/v1/organization/**"]);
    let made = face.post(&admin, json!({"name": "n", "scopes": scopes})).await.is(201);
    for (url, decision) in [
        ("/openai/v1/organization/x", "deny"),
        ("/openai/v1//organization/x", "deny"),
        ("/openai/v1/Organization%20/x", "deny"),
        ("/openai/v1%252Forganization", "deny"),
        ("/openai/v1/models", "allow"),
    ] {
        let body = json!({"key_id": made.json["id"], "method": "GET", "url": url});
        let got = face.send("POST", "/api/v1/admin/policy/explain", &admin, Some(body)).await;
        assert_eq!(got.json["decision"], decision, "{url}: {}", got.text);
        let is_other = url != "/openai/v1/organization/x" && decision == "deny";
        assert_eq!(got.text.contains("another spelling"), is_other, "{}", got.text);
    }
    for (url, why) in [("/openai/a/../b", "dot segment"), ("/openai/a%00b", "zero byte")] {
        let body = json!({"key_id": made.json["id"], "method": "GET", "url": url});
        let got = face.send("POST", "/api/v1/admin/policy/explain", &admin, Some(body)).await;
        assert!(got.is(422).faults()[0].contains(why), "{url}");
    }
}

#[tokio::test]
async fn a_key_that_ended_gets_no_new_one() {
    let face = face().await;
    let admin = face.admin_key().await;
    let body = json!({"name": "n", "expires_at": "2026-01-15T14:31:00Z"});
    let made = face.post(&admin, body).await.is(201);
    let target = format!("{KEYS}/{}", made.text_of("id"));
    let rotate = format!("{target}/rotate");
    face.put(&target, &admin, json!({"active": false})).await.is(200);
    let got = face.send("POST", &rotate, &admin, None).await.is(409);
    assert!(got.text_of("detail").contains("client restore"), "{}", got.text);
    face.put(&target, &admin, json!({"active": true})).await.is(200);
    face.send("POST", &rotate, &admin, None).await.is(201);
    face.clock.advance(Duration::from_secs(61));
    let got = face.send("POST", &rotate, &admin, None).await.is(409);
    assert!(got.text_of("detail").contains("expires_at"), "{}", got.text);
}
