//! Who may do what: the contract's table, role by role and route by route,
//! and how a caller is known. A new route must never be missing from the
//! table.

use serde_json::json;

use super::*;

const NOBODY: &str = "0198c0de-7a11-7c0d-8e5a-5ea19a7e0001";

/// Route by route: may admin, operator, auditor, user, guest?
const TABLE: [(&str, &str, [bool; 5]); 83] = [
    ("GET", "/api/v1/admin/alerts", [true, true, true, false, false]),
    ("GET", "/api/v1/admin/alerts/{id}", [true, true, true, false, false]),
    ("POST", "/api/v1/admin/alerts/{id}/ack", [true, true, false, false, false]),
    ("GET", "/api/v1/admin/alert-deliveries", [true, true, true, false, false]),
    ("POST", "/api/v1/admin/alert-deliveries/{id}/resend", [true, true, false, false, false]),
    ("GET", "/api/v1/admin/alert-destinations", [true, true, true, false, false]),
    ("POST", "/api/v1/admin/alert-destinations", [true, true, false, false, false]),
    ("GET", "/api/v1/admin/alert-destinations/{id}", [true, true, true, false, false]),
    ("PUT", "/api/v1/admin/alert-destinations/{id}", [true, true, false, false, false]),
    ("DELETE", "/api/v1/admin/alert-destinations/{id}", [true, true, false, false, false]),
    ("POST", "/api/v1/admin/alert-destinations/{id}/test", [true, true, false, false, false]),
    ("POST", "/api/v1/admin/api-keys/{id}/tokens", [true, true, false, false, false]),
    ("POST", "/api/v1/admin/api-keys/{id}/accept", [true, false, false, false, false]),
    ("POST", "/api/v1/admin/api-keys/import", [true, true, false, false, false]),
    ("POST", "/api/v1/admin/policy/explain", [true, true, true, false, false]),
    ("GET", "/api/v1/admin/api-keys", [true, true, true, false, false]),
    ("POST", "/api/v1/admin/api-keys", [true, true, false, false, false]),
    ("GET", "/api/v1/admin/api-keys/{id}", [true, true, true, false, false]),
    ("PUT", "/api/v1/admin/api-keys/{id}", [true, true, false, false, false]),
    ("DELETE", "/api/v1/admin/api-keys/{id}", [true, true, false, false, false]),
    ("POST", "/api/v1/admin/api-keys/{id}/rotate", [true, true, false, false, false]),
    ("GET", "/api/v1/admin/api-keys/{id}/audit", [true, true, true, false, false]),
    ("GET", "/api/v1/admin/secrets", [true, true, true, false, false]),
    ("POST", "/api/v1/admin/secrets", [true, true, false, false, false]),
    ("GET", "/api/v1/admin/secrets/{id}", [true, true, true, false, false]),
    ("PUT", "/api/v1/admin/secrets/{id}", [true, true, false, false, false]),
    ("DELETE", "/api/v1/admin/secrets/{id}", [true, false, false, false, false]),
    ("POST", "/api/v1/admin/secrets/{id}/validate", [true, true, false, false, false]),
    ("GET", "/api/v1/admin/secrets/{id}/checks", [true, true, true, false, false]),
    ("POST", "/api/v1/admin/secrets/{id}/versions", [true, true, false, false, false]),
    ("POST", "/api/v1/admin/secrets/{id}/rotation/promote", [true, true, false, false, false]),
    ("POST", "/api/v1/admin/secrets/{id}/rotation/rollback", [true, true, false, false, false]),
    ("POST", "/api/v1/admin/secrets/{id}/rotation/pause", [true, true, false, false, false]),
    ("POST", "/api/v1/admin/secrets/{id}/rotation/resume", [true, true, false, false, false]),
    ("GET", "/api/v1/admin/backups", [true, false, false, false, false]),
    ("POST", "/api/v1/admin/backups", [true, false, false, false, false]),
    ("POST", "/api/v1/admin/secrets/{id}/reseal", [true, true, false, false, false]),
    ("PUT", "/api/v1/admin/secrets/{id}/pool", [true, true, false, false, false]),
    ("GET", "/api/v1/admin/integrity", [true, true, true, false, false]),
    ("POST", "/api/v1/admin/integrity/accept", [true, false, false, false, false]),
    ("POST", "/api/v1/admin/keks/cancel", [true, false, false, false, false]),
    ("GET", "/api/v1/admin/keks", [true, true, true, false, false]),
    ("GET", "/api/v1/admin/keks/jobs/{id}", [true, true, true, false, false]),
    ("POST", "/api/v1/admin/keks/rotate", [true, false, false, false, false]),
    ("POST", "/api/v1/admin/master-key/rotate", [true, false, false, false, false]),
    ("POST", "/api/v1/admin/keks/rewrap", [true, false, false, false, false]),
    ("POST", "/api/v1/admin/keks/rekey", [true, false, false, false, false]),
    ("GET", "/api/v1/admin/providers", [true, true, true, false, false]),
    ("GET", "/api/v1/admin/providers/{id}", [true, true, true, false, false]),
    ("POST", "/api/v1/admin/providers", [true, true, false, false, false]),
    ("PUT", "/api/v1/admin/providers/{id}", [true, true, false, false, false]),
    ("DELETE", "/api/v1/admin/providers/{id}", [true, true, false, false, false]),
    ("GET", "/api/v1/admin/audit", [true, true, true, false, false]),
    ("GET", "/api/v1/admin/audit/archives", [true, false, true, false, false]),
    ("GET", "/api/v1/admin/audit/export", [true, true, true, false, false]),
    ("GET", "/api/v1/admin/audit/stream", [true, true, true, false, false]),
    ("GET", "/api/v1/admin/audit/verify", [true, false, true, false, false]),
    ("GET", "/api/v1/admin/usage", [true, true, true, false, false]),
    ("GET", "/api/v1/admin/reports/{kind}", [true, true, true, false, false]),
    ("GET", "/api/v1/admin/symbols", [true, true, true, false, false]),
    ("POST", "/api/v1/admin/symbols", [true, true, false, false, false]),
    ("POST", "/api/v1/admin/symbols/import", [true, true, false, false, false]),
    ("GET", "/api/v1/admin/symbols/{symbol}", [true, true, true, false, false]),
    ("GET", "/api/v1/admin/symbols/{symbol}/candles", [true, true, true, false, false]),
    ("PUT", "/api/v1/admin/symbols/{symbol}", [true, true, false, false, false]),
    ("DELETE", "/api/v1/admin/symbols/{symbol}", [true, true, false, false, false]),
    ("GET", "/api/v1/admin/backfill", [true, true, true, false, false]),
    ("POST", "/api/v1/admin/backfill", [true, true, false, false, false]),
    ("GET", "/api/v1/admin/backfill/{id}", [true, true, true, false, false]),
    ("POST", "/api/v1/admin/backfill/{id}/cancel", [true, true, false, false, false]),
    ("POST", "/api/v1/admin/seal", [true, false, false, false, false]),
    ("POST", "/api/v1/admin/unseal", [true, false, false, false, false]),
    ("GET", "/api/v1/admin/operators", [true, false, false, false, false]),
    ("POST", "/api/v1/admin/operators", [true, false, false, false, false]),
    ("GET", "/api/v1/admin/operators/{id}", [true, false, false, false, false]),
    ("PUT", "/api/v1/admin/operators/{id}", [true, false, false, false, false]),
    ("DELETE", "/api/v1/admin/operators/{id}", [true, false, false, false, false]),
    ("POST", "/api/v1/admin/operators/{id}/reset", [true, false, false, false, false]),
    ("GET", "/api/v1/admin/sessions", [true, true, true, false, false]),
    ("DELETE", "/api/v1/admin/sessions/{id}", [true, true, true, false, false]),
    // Of an operator who is signed in; keys of the same roles are told so once the body is right.
    ("POST", "/api/v1/session/step-up", [true, true, true, false, false]),
    ("PUT", "/api/v1/session/password", [true, true, true, false, false]),
    ("POST", "/api/v1/session/recovery-codes", [true, true, true, false, false]),
];

#[tokio::test]
async fn the_table_of_rights_holds_for_every_role_and_route() {
    let face = face().await;
    for (place, role) in Role::ALL.into_iter().enumerate() {
        let key = face.key(role, Tier::Unlimited).await;
        for (method, path, allowed) in TABLE {
            let body = matches!(method, "POST" | "PUT").then(|| json!({}));
            // A stream that is allowed never ends; one that is asked for wrongly is as allowed.
            let wrong = if path.ends_with("/stream") { "?last=x" } else { "" };
            let target = path
                .replace("{id}", NOBODY)
                .replace("{symbol}", "NONE")
                .replace("{kind}", "hygiene")
                + wrong;
            let got = face.send(method, &target, &key, body).await;
            assert_eq!(
                got.status != StatusCode::FORBIDDEN,
                allowed[place],
                "{} {method} {path}: {}",
                role.as_str(),
                got.text
            );
        }
    }
}

/// What anybody may ask for.
const OPEN: [&str; 5] = ["/docs", "/healthz", "/metrics", "/openapi.json", "/readyz"];
/// The same for whoever is about to sign in; what is wrong with it is a 401, too.
const DOORS: [&str; 3] =
    ["/api/v1/session", "/api/v1/session/invitation", "/api/v1/session/invitation/accept"];

#[tokio::test]
async fn no_route_is_missing_from_the_table_and_none_but_the_open_ones_answers_a_stranger() {
    let face = face().await;
    let mut described = Vec::new();
    for (path, item) in routes::description()["paths"].as_object().unwrap() {
        // The other face's, which has a server of its own.
        if path.starts_with("/{provider}") || item.get("servers").is_some() {
            continue;
        }
        for method in item.as_object().unwrap().keys() {
            described.push((method.to_uppercase(), path.clone()));
        }
    }
    let of_table = TABLE.map(|(method, path, _)| (method.to_owned(), path.to_owned()));
    for route in &of_table {
        assert!(described.contains(route), "{route:?} is no route");
    }
    for (method, path) in &described {
        let target =
            path.replace("{id}", NOBODY).replace("{symbol}", "NONE").replace("{kind}", "hygiene");
        let body = matches!(method.as_str(), "POST" | "PUT").then(|| json!({}));
        let got = face.send_with(method, &target, &[], body).await;
        let is_open = OPEN.contains(&path.as_str()) || DOORS.contains(&path.as_str());
        assert_eq!(got.status == StatusCode::UNAUTHORIZED, !is_open, "{method} {path}");
    }
    let is_open = |path: &str| OPEN.contains(&path) || DOORS.contains(&path);
    described.retain(|route| !of_table.contains(route) && !is_open(&route.1));
    assert!(described.is_empty(), "missing from the table: {described:?}");
}

#[tokio::test]
async fn every_failure_to_prove_oneself_is_one_and_the_same_answer() {
    let face = face().await;
    let admin = face.admin_key().await;
    let body = json!({"name": "n", "expires_at": "2026-01-15T14:31:00Z"});
    let short = face.send("POST", "/api/v1/admin/api-keys", &admin, Some(body)).await.is(201);
    let gone =
        face.send("POST", "/api/v1/admin/api-keys", &admin, Some(json!({"name": "n"}))).await;
    let target = format!("/api/v1/admin/api-keys/{}", gone.text_of("id"));
    face.send("PUT", &target, &admin, Some(json!({"active": false}))).await.is(200);
    face.clock.advance(Duration::from_secs(61));

    let unknown = "mdw_0000000000000000000000000000000000000000aaaaaa";
    let revoked = gone.text_of("key");
    let expired = short.text_of("key");
    let path = "/api/v1/admin/symbols";
    let mut bodies = Vec::new();
    for headers in [
        vec![],
        vec![("x-api-key", unknown)],
        vec![("x-api-key", "x")],
        vec![("x-api-key", revoked.as_str())],
        vec![("x-api-key", expired.as_str())],
        vec![("authorization", "Basic eDp5")],
        vec![("authorization", "Bearer nothing")],
    ] {
        let mut headers = headers;
        headers.push(("x-request-id", "same"));
        let got = face.send_with("GET", path, &headers, None).await.is(401);
        assert_eq!(got.header("x-sealgate-error"), Some("unauthorized"));
        bodies.push(got.text);
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "{bodies:?}");
}

#[tokio::test]
async fn a_key_is_taken_from_either_header_and_two_keys_are_ambiguous() {
    let face = face().await;
    let (one, two) = (face.admin_key().await, face.admin_key().await);
    let path = "/api/v1/admin/symbols";
    let bearer = format!("Bearer {one}");
    face.send_with("GET", path, &[("authorization", &bearer)], None).await.is(200);
    let both = [("authorization", bearer.as_str()), ("x-api-key", one.as_str())];
    face.send_with("GET", path, &both, None).await.is(200);
    let differ = [("authorization", bearer.as_str()), ("x-api-key", two.as_str())];
    face.send_with("GET", path, &differ, None).await.is(400);
    face.get(&format!("{path}?api_key={one}"), "").await.is(401);
}

#[tokio::test]
async fn nobody_grants_above_himself() {
    let face = face().await;
    let operator = face.key(Role::Operator, Tier::Standard).await;
    let post = |body: Value| face.send("POST", "/api/v1/admin/api-keys", &operator, Some(body));
    for role in ["admin", "operator", "auditor"] {
        post(json!({"name": "n", "role": role})).await.is(403);
    }
    post(json!({"name": "n", "tier": "premium"})).await.is(403);
    post(json!({"name": "n", "limit": 101})).await.is(403);
    let made = post(json!({"name": "n", "limit": 100})).await.is(201);
    let target = format!("/api/v1/admin/api-keys/{}", made.text_of("id"));
    let put = |body: Value| face.send("PUT", &target, &operator, Some(body));
    put(json!({"role": "operator"})).await.is(403);
    put(json!({"tier": "unlimited"})).await.is(403);
    put(json!({"limit": 5000})).await.is(403);
    put(json!({"limit": null})).await.is(200);
    put(json!({"role": "guest"})).await.is(200);

    let mut row = ClientKeyRow::new("narrow", Role::Operator, Tier::Standard, "test");
    row.scopes = Some(vec![String::from("polygon:GET:/v2/**")]);
    let narrow = face.key_of(row).await;
    let post = |body: Value| face.send("POST", "/api/v1/admin/api-keys", &narrow, Some(body));
    post(json!({"name": "n"})).await.is(403);
    post(json!({"name": "n", "scopes": ["polygon:GET:/**"]})).await.is(403);
    post(json!({"name": "n", "scopes": ["polygon:GET:/v2/aggs/**"]})).await.is(201);
    // The wide key of the first operator: the narrow one may revoke it, not be shown it.
    let rotate = format!("{target}/rotate");
    face.send("POST", &rotate, &narrow, None).await.is(403);
    face.send("PUT", &target, &narrow, Some(json!({"active": false}))).await.is(200);
    face.send("PUT", &target, &narrow, Some(json!({"active": true}))).await.is(403);
}

#[tokio::test]
async fn an_operator_touches_no_key_of_a_higher_role() {
    let face = face().await;
    let (admin, operator) =
        (face.admin_key().await, face.key(Role::Operator, Tier::Unlimited).await);
    let body = json!({"name": "n", "role": "auditor"});
    let auditor = face.send("POST", "/api/v1/admin/api-keys", &admin, Some(body)).await.is(201);
    let target = format!("/api/v1/admin/api-keys/{}", auditor.text_of("id"));
    face.send("PUT", &target, &operator, Some(json!({"name": "m"}))).await.is(403);
    face.send("DELETE", &target, &operator, None).await.is(403);
    face.send("POST", &format!("{target}/rotate"), &operator, None).await.is(403);
}
