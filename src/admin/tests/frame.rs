//! What every answer has in common, what is open to everybody, and that
//! the description tells the truth. Must never list a route that is not
//! there.

use serde_json::json;

use super::*;

async fn ask(face: &Face, method: &str, target: &str) -> Got {
    face.send_with(method, target, &[("x-request-id", "req-7")], None).await
}

#[tokio::test]
async fn what_is_open_answers_without_a_credential() {
    let face = face().await;
    for (path, kind) in [
        ("/healthz", "application/json"),
        ("/readyz", "application/json"),
        ("/metrics", "application/openmetrics-text; version=1.0.0; charset=utf-8"),
        ("/openapi.json", "application/json"),
        ("/docs", "text/html"),
        ("/docs/", "text/html"),
        ("/docs/swagger-ui-bundle.js", "text/javascript"),
    ] {
        let got = ask(&face, "GET", path).await.is(200);
        assert_eq!(got.header("content-type"), Some(kind), "{path}");
        assert_eq!(got.header("x-request-id"), Some("req-7"));
        assert_eq!(got.header("x-content-type-options"), Some("nosniff"));
        assert!(!got.text.is_empty(), "{path}");
    }
}

#[tokio::test]
async fn the_frameworks_own_noes_have_the_contracts_body() {
    let face = face().await;
    let got = ask(&face, "GET", "/api/v1/nothing?x=secret").await.is(404);
    assert_eq!(got.header("x-sealgate-error"), Some("not_found"));
    assert_eq!(
        got.text,
        r#"{"error":"Not found","code":"not_found","detail":"There is nothing at this path; /openapi.json lists all.","request_id":"req-7"}"#
    );
    let got = ask(&face, "DELETE", "/healthz").await.is(405);
    assert_eq!(got.header("allow"), Some("GET,HEAD"));
    assert_eq!(got.json["code"], "method_not_allowed");
    let got = ask(&face, "PATCH", "/api/v1/admin/api-keys").await.is(405);
    assert_eq!(got.json["code"], "method_not_allowed");
    let got = ask(&face, "GET", &format!("/{}", "x".repeat(9000))).await.is(414);
    assert_eq!(got.json["code"], "uri_too_long");
    ask(&face, "GET", "/api/v1/admin/api-keys/%ff").await.is(401);
    let key = face.admin_key().await;
    face.get("/api/v1/admin/api-keys/%ff", &key).await.is(400);
}

#[tokio::test]
async fn a_wrong_method_is_told_the_right_ones() {
    let face = face().await;
    let key = face.admin_key().await;
    let one = "/api/v1/admin/api-keys/0198c1c2-7f3a-7cc4-b2f1-6d1f0e6c2b11";
    for (method, path, allow) in [
        ("DELETE", "/healthz", "GET,HEAD"),
        ("TRACE", "/healthz", "GET,HEAD"),
        ("TRACK", "/metrics", "GET,HEAD"),
        ("OPTIONS", "/api/v1/admin/api-keys", "GET,HEAD,POST"),
        ("PATCH", "/api/v1/admin/api-keys", "GET,HEAD,POST"),
        ("TRACE", "/api/v1/admin/api-keys", "GET,HEAD,POST"),
        ("POST", one, "GET,HEAD,PUT,DELETE"),
        ("BREW", "/docs", "GET,HEAD"),
        ("TRACE", "/nothing", "GET,HEAD,POST,PUT,DELETE"),
        ("TRACK", "/api/v1/nothing", "GET,HEAD,POST,PUT,DELETE"),
        ("CONNECT", "/nothing", "GET,HEAD,POST,PUT,DELETE"),
    ] {
        // With a credential or without: the method is wrong for everybody.
        for credential in ["", key.as_str()] {
            let got = face.send_with(method, path, &[("x-api-key", credential)], None).await;
            let got = got.is(405);
            let mut told: Vec<_> = got.header("allow").unwrap().split(',').collect();
            let mut right: Vec<_> = allow.split(',').collect();
            told.sort_unstable();
            right.sort_unstable();
            assert_eq!(told, right, "{method} {path}");
            assert_eq!(got.json["code"], "method_not_allowed", "{method} {path}");
            assert_eq!(got.header("x-sealgate-error"), Some("method_not_allowed"));
        }
    }
}

#[tokio::test]
async fn the_page_of_the_api_needs_nothing_from_elsewhere() {
    let face = face().await;
    let got = ask(&face, "GET", "/docs").await.is(200);
    let policy = got.header("content-security-policy").unwrap();
    assert!(policy.contains("script-src 'self';"), "{policy}");
    assert!(!got.text.contains("http"), "{}", got.text);
    let mut files = 0;
    for rest in got.text.split("=\"/docs/").skip(1) {
        let file = rest.split('"').next().unwrap();
        ask(&face, "GET", &format!("/docs/{file}")).await.is(200);
        files += 1;
    }
    assert_eq!(files, 7);
    let script = ask(&face, "GET", "/docs/swagger-initializer.js").await.is(200);
    assert!(script.text.contains("/openapi.json"), "{}", script.text);
    ask(&face, "GET", "/docs/nothing.js").await.is(404);
}

#[tokio::test]
async fn a_body_is_judged_before_its_meaning() {
    let face = face().await;
    let key = face.admin_key().await;
    let post = |kind: &'static str, body: Vec<u8>| {
        let request = Request::builder()
            .method("POST")
            .uri("/api/v1/admin/api-keys")
            .header("x-api-key", &key)
            .header("content-type", kind)
            .body(Body::from(body))
            .unwrap();
        face.raw(request)
    };
    post("text/plain", b"{}".to_vec()).await.is(415);
    post("application/json", b"{".to_vec()).await.is(400);
    post("application/json", b"[]".to_vec()).await.is(422);
    post("application/json", vec![b' '; 1024 * 1024 + 1]).await.is(413);
    post("application/json", b"{}".to_vec()).await.is(422);
}

#[tokio::test]
async fn a_key_calls_as_often_as_the_settings_say_and_is_told_so() {
    let face = face_with(2).await;
    let (key, other) = (face.admin_key().await, face.admin_key().await);
    let path = "/api/v1/admin/symbols";
    let got = face.get(path, &key).await.is(200);
    assert_eq!(got.header("x-sealgate-ratelimit-limit"), Some("2"));
    assert_eq!(got.header("x-ratelimit-remaining"), Some("1"));
    assert_eq!(got.header("x-ratelimit-used"), Some("1"));
    assert_eq!(got.header("x-ratelimit-reset"), Some("1768487461"));
    face.get(path, &key).await.is(200);
    let got = face.get(path, &key).await.is(429);
    assert_eq!(got.header("x-sealgate-error"), Some("rate_limited"));
    assert_eq!(got.json["limit"], "client");
    assert_eq!(got.json["quota"], 2);
    let wait: u64 = got.header("retry-after").unwrap().parse().unwrap();
    face.get(path, &other).await.is(200);
    face.clock.advance(Duration::from_secs(wait));
    face.get(path, &key).await.is(200);
}

/// Every route of the description, in the order of the alphabet.
const ROUTES: [&str; 93] = [
    "DELETE /api/v1/admin/alert-destinations/{id}",
    "DELETE /api/v1/admin/api-keys/{id}",
    "DELETE /api/v1/admin/operators/{id}",
    "DELETE /api/v1/admin/providers/{id}",
    "DELETE /api/v1/admin/secrets/{id}",
    "DELETE /api/v1/admin/sessions/{id}",
    "DELETE /api/v1/admin/symbols/{symbol}",
    "DELETE /api/v1/session",
    "GET /api/v1/admin/alert-deliveries",
    "GET /api/v1/admin/alert-destinations",
    "GET /api/v1/admin/alert-destinations/{id}",
    "GET /api/v1/admin/alerts",
    "GET /api/v1/admin/alerts/{id}",
    "GET /api/v1/admin/api-keys",
    "GET /api/v1/admin/api-keys/{id}",
    "GET /api/v1/admin/api-keys/{id}/audit",
    "GET /api/v1/admin/audit",
    "GET /api/v1/admin/audit/archives",
    "GET /api/v1/admin/audit/export",
    "GET /api/v1/admin/audit/stream",
    "GET /api/v1/admin/audit/verify",
    "GET /api/v1/admin/backfill",
    "GET /api/v1/admin/backfill/{id}",
    "GET /api/v1/admin/backups",
    "GET /api/v1/admin/integrity",
    "GET /api/v1/admin/keks",
    "GET /api/v1/admin/keks/jobs/{id}",
    "GET /api/v1/admin/operators",
    "GET /api/v1/admin/operators/{id}",
    "GET /api/v1/admin/providers",
    "GET /api/v1/admin/providers/{id}",
    "GET /api/v1/admin/reports/{kind}",
    "GET /api/v1/admin/secrets",
    "GET /api/v1/admin/secrets/{id}",
    "GET /api/v1/admin/secrets/{id}/checks",
    "GET /api/v1/admin/sessions",
    "GET /api/v1/admin/symbols",
    "GET /api/v1/admin/symbols/{symbol}",
    "GET /api/v1/admin/symbols/{symbol}/candles",
    "GET /api/v1/admin/usage",
    "GET /api/v1/session",
    "GET /docs",
    "GET /healthz",
    "GET /metrics",
    "GET /openapi.json",
    "GET /readyz",
    "POST /api/v1/admin/alert-deliveries/{id}/resend",
    "POST /api/v1/admin/alert-destinations",
    "POST /api/v1/admin/alert-destinations/{id}/test",
    "POST /api/v1/admin/alerts/{id}/ack",
    "POST /api/v1/admin/api-keys",
    "POST /api/v1/admin/api-keys/import",
    "POST /api/v1/admin/api-keys/{id}/accept",
    "POST /api/v1/admin/api-keys/{id}/rotate",
    "POST /api/v1/admin/api-keys/{id}/tokens",
    "POST /api/v1/admin/backfill",
    "POST /api/v1/admin/backfill/{id}/cancel",
    "POST /api/v1/admin/backups",
    "POST /api/v1/admin/integrity/accept",
    "POST /api/v1/admin/keks/cancel",
    "POST /api/v1/admin/keks/rekey",
    "POST /api/v1/admin/keks/rewrap",
    "POST /api/v1/admin/keks/rotate",
    "POST /api/v1/admin/master-key/rotate",
    "POST /api/v1/admin/operators",
    "POST /api/v1/admin/operators/{id}/reset",
    "POST /api/v1/admin/policy/explain",
    "POST /api/v1/admin/providers",
    "POST /api/v1/admin/seal",
    "POST /api/v1/admin/secrets",
    "POST /api/v1/admin/secrets/{id}/reseal",
    "POST /api/v1/admin/secrets/{id}/rotation/pause",
    "POST /api/v1/admin/secrets/{id}/rotation/promote",
    "POST /api/v1/admin/secrets/{id}/rotation/resume",
    "POST /api/v1/admin/secrets/{id}/rotation/rollback",
    "POST /api/v1/admin/secrets/{id}/validate",
    "POST /api/v1/admin/secrets/{id}/versions",
    "POST /api/v1/admin/symbols",
    "POST /api/v1/admin/symbols/import",
    "POST /api/v1/admin/unseal",
    "POST /api/v1/session",
    "POST /api/v1/session/invitation",
    "POST /api/v1/session/invitation/accept",
    "POST /api/v1/session/recovery-codes",
    "POST /api/v1/session/step-up",
    "PUT /api/v1/admin/alert-destinations/{id}",
    "PUT /api/v1/admin/api-keys/{id}",
    "PUT /api/v1/admin/operators/{id}",
    "PUT /api/v1/admin/providers/{id}",
    "PUT /api/v1/admin/secrets/{id}",
    "PUT /api/v1/admin/secrets/{id}/pool",
    "PUT /api/v1/admin/symbols/{symbol}",
    "PUT /api/v1/session/password",
];

#[tokio::test]
async fn the_description_is_valid_and_lists_every_route() {
    let description: Value = serde_json::from_str(&Admin::openapi()).unwrap();
    assert_eq!(description["openapi"], "3.1.0");
    let mut listed: Vec<String> = Vec::new();
    let mut names: Vec<&str> = Vec::new();
    let face = face().await;
    let key = face.admin_key().await;
    for (path, item) in description["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            names.extend(operation["operationId"].as_str());
            if is_of_the_proxy(item) {
                continue;
            }
            listed.push(format!("{} {path}", method.to_uppercase()));
            // Every route that is described is there: neither 404 nor 405 of the framework.
            let target = path.replace("{id}", "0198c0de-7a11-7c0d-8e5a-5ea19a7e0001");
            let got = face.send(&method.to_uppercase(), &target, &key, Some(json!({}))).await;
            assert_ne!(got.status.as_u16(), 405, "{method} {path}");
            assert!(!got.text.contains("nothing at this path"), "{method} {path}");
            let responses = operation["responses"].as_object().unwrap();
            assert!(
                responses.contains_key(got.status.as_str()),
                "{method} {path} answers {} undescribed",
                got.status
            );
            let is_open = describe::is_open(path);
            assert_eq!(operation["security"].is_array(), !is_open, "{method} {path}");
            // Signing in is open, and may be refused.
            let is_api = path.starts_with("/api/");
            assert_eq!(responses.contains_key("401"), is_api, "{method} {path}");
        }
    }
    names.sort_unstable();
    assert!(names.is_sorted_by(|one, two| one < two), "operations of one name: {names:?}");
    listed.sort_unstable();
    assert_eq!(listed, ROUTES);
}

#[tokio::test]
async fn every_reference_of_the_description_leads_somewhere() {
    let text = Admin::openapi();
    let description: Value = serde_json::from_str(&text).unwrap();
    let mut found = 0;
    for rest in text.split("\"$ref\": \"#").skip(1) {
        let pointer = rest.split('"').next().unwrap();
        assert!(description.pointer(pointer).is_some(), "{pointer}");
        found += 1;
    }
    assert!(found > 20);
    assert_eq!(description["components"]["securitySchemes"]["ApiKey"]["name"], "X-API-Key");
    assert_eq!(description["components"]["securitySchemes"]["Bearer"]["scheme"], "bearer");
    assert!(description["paths"]["/{provider}/{path}"]["get"].is_object());
    assert!(description["paths"]["/api/v1/me"]["get"].is_object());
}

/// Described here, answered on the other port.
fn is_of_the_proxy(item: &Value) -> bool {
    item.get("servers").is_some()
}

/// What is described can be sent: the reader knows every member, whatever it thinks of the value.
#[tokio::test]
async fn every_described_member_is_known_to_its_reader() {
    let description: Value = serde_json::from_str(&Admin::openapi()).unwrap();
    let face = face().await;
    let key = face.admin_key().await;
    let made = face.send("POST", "/api/v1/admin/api-keys", &key, Some(json!({"name": "n"}))).await;
    let fields = json!({"api_key": CANARY});
    let secret = json!({"provider": "polygon", "fields": fields, "validate": false});
    let secret = face.send("POST", "/api/v1/admin/secrets", &key, Some(secret)).await.is(201);
    let told = json!({"name": "told", "kind": "webhook", "url": "https://hooks.example/x"});
    let told = face.send("POST", "/api/v1/admin/alert-destinations", &key, Some(told)).await;
    let told = told.is(201);
    let mut judged = 0;
    for (path, item) in description["paths"].as_object().unwrap() {
        if is_of_the_proxy(item) {
            continue;
        }
        for (method, operation) in item.as_object().unwrap() {
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
            let reference = schema["$ref"].as_str().or_else(|| schema["oneOf"][1]["$ref"].as_str());
            let Some(reference) = reference else { continue };
            let schema = description.pointer(reference.trim_start_matches('#')).unwrap();
            let id = match path {
                path if path.contains("secrets") => secret.json["id"].as_str().unwrap(),
                path if path.contains("providers") => "polygon",
                path if path.contains("destinations") => told.json["id"].as_str().unwrap(),
                _ => made.json["id"].as_str().unwrap(),
            };
            let target = path.replace("{id}", id).replace("{symbol}", "AAPL");
            // Its lines are judged one by one, each with a result of its own.
            if path.ends_with("/import") {
                continue;
            }
            for member in schema["properties"].as_object().unwrap().keys() {
                let body = json!({member.as_str(): [{"absurd": [1.5]}]});
                let got =
                    face.send(&method.to_uppercase(), &target, &key, Some(body)).await.is(422);
                let fault = got.faults().into_iter().find(|fault| fault.starts_with(member));
                let fault = fault.unwrap_or_default();
                assert!(
                    !fault.is_empty() && !fault.contains("is not a member"),
                    "{method} {path} {member}: {}",
                    got.text
                );
                judged += 1;
            }
        }
    }
    assert!(judged > 30, "{judged}");
}
