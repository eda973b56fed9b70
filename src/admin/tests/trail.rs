//! What the admin face leaves in the trail, and who may
//! read it. A key, a value or a query must never be found
//! there.

use serde_json::json;

use super::*;

const AUDIT: &str = "/api/v1/admin/audit";

fn lines(got: &Got) -> Vec<String> {
    let line = |record: &Value| {
        format!(
            "{} {} {} {} {}",
            record["kind"].as_str().unwrap(),
            record["actor"]["type"].as_str().unwrap(),
            record["method"].as_str().unwrap(),
            record["endpoint"].as_str().unwrap(),
            record["status_code"]
        )
    };
    got.json["items"].as_array().unwrap().iter().map(line).collect()
}

#[tokio::test]
async fn a_change_stands_in_the_trail_with_before_and_after_and_without_the_key() {
    let face = face().await;
    let admin = face.admin_key().await;
    let path = "/api/v1/admin/api-keys";
    let made = face.send("POST", path, &admin, Some(json!({"name": "a"}))).await.is(201);
    let target = format!("{path}/{}", made.text_of("id"));
    face.send("PUT", &target, &admin, Some(json!({"name": "b"}))).await.is(200);
    face.send("DELETE", &target, &admin, None).await.is(204);
    let got = face.get(&format!("{AUDIT}?kind=change"), &admin).await.is(200);
    assert_eq!(
        lines(&got),
        [
            format!("change key DELETE {target} 204"),
            format!("change key PUT {target} 200"),
            format!("change key POST {path} 201"),
        ]
    );
    let change = &got.json["items"][1];
    assert_eq!(change["detail"]["before"]["name"], "a");
    assert_eq!(change["detail"]["after"]["name"], "b");
    assert_eq!(change["address"], "192.0.2.7");
    assert_eq!(change["actor"]["name"], "admin");
    assert!(!got.text.contains(&made.text_of("key")));
    let verified = face.get(&format!("{AUDIT}/verify"), &admin).await.is(200);
    assert_eq!(verified.json["ok"], true);
    assert_eq!(verified.json["first_bad"], Value::Null);
    assert!(verified.json["records"].as_u64().unwrap() >= 4);
}

#[tokio::test]
async fn look_ups_refusals_and_failed_proofs_stand_in_the_trail() {
    let face = face().await;
    let (admin, user) = (face.admin_key().await, face.key(Role::User, Tier::Limited).await);
    face.get("/api/v1/admin/symbols?cursor=hidden", &admin).await.is(200);
    face.get("/api/v1/admin/symbols", &user).await.is(403);
    face.get("/api/v1/admin/symbols", "wrong").await.is(401);
    face.get("/healthz", "").await.is(200);
    let got = face.get(&format!("{AUDIT}?kind=access"), &admin).await.is(200);
    assert_eq!(
        lines(&got),
        [
            "access guest GET /api/v1/admin/symbols 401",
            "access key GET /api/v1/admin/symbols 403",
            "access key GET /api/v1/admin/symbols 200",
        ]
    );
    assert!(!got.text.contains("hidden"), "a record has no query");
    assert_eq!(got.json["items"][1]["error_code"], "forbidden");
    assert_eq!(got.json["items"][1]["fault"], "client");
}

#[tokio::test]
async fn an_operator_reads_proxied_calls_alone() {
    let face = face().await;
    let operator = face.key(Role::Operator, Tier::Limited).await;
    face.get("/api/v1/admin/symbols", &operator).await.is(200);
    let got = face.get(AUDIT, &operator).await.is(200);
    assert_eq!(got.json["items"], json!([]));
    face.get(&format!("{AUDIT}?kind=usage"), &operator).await.is(200);
    for kind in ["access", "change", "security"] {
        face.get(&format!("{AUDIT}?kind={kind}"), &operator).await.is(403);
    }
    let auditor = face.key(Role::Auditor, Tier::Limited).await;
    assert!(!lines(&face.get(AUDIT, &auditor).await.is(200)).is_empty());
}

#[tokio::test]
async fn the_trail_is_searched_page_by_page() {
    let face = face().await;
    let admin = face.admin_key().await;
    for _ in 0..5 {
        face.get("/api/v1/admin/symbols", &admin).await.is(200);
        face.clock.advance(Duration::from_secs(1));
    }
    let mut seen = 0;
    let mut target = format!("{AUDIT}?limit=2&to=2026-01-15T14:30:05Z");
    loop {
        let page = face.get(&target, &admin).await.is(200);
        seen += page.json["items"].as_array().unwrap().len();
        let Some(cursor) = page.json["next_cursor"].as_str() else { break };
        target = format!("{AUDIT}?limit=2&to=2026-01-15T14:30:05Z&cursor={cursor}");
    }
    assert_eq!(seen, 5);
    for query in ["kind=x", "actor=x", "status=1", "from=noon", "cursor=x", "what=1"] {
        face.get(&format!("{AUDIT}?{query}"), &admin).await.is(422);
    }
}

#[tokio::test]
async fn a_keys_own_trail_answers_after_it_is_gone_and_its_use_is_counted() {
    let face = face().await;
    let admin = face.admin_key().await;
    let path = "/api/v1/admin/api-keys";
    let body = json!({"name": "a", "role": "auditor"});
    let made = face.send("POST", path, &admin, Some(body)).await.is(201);
    let target = format!("{path}/{}", made.text_of("id"));
    face.get("/api/v1/admin/symbols", &made.text_of("key")).await.is(200);
    face.get(&format!("{target}/audit"), &admin).await.is(200);
    let shown = face.get(&target, &admin).await.is(200);
    assert_eq!(shown.json["request_count"], 1);
    assert_eq!(shown.json["last_used_endpoint"], "/api/v1/admin/symbols");
    assert_eq!(shown.json["last_used_address"], "192.0.2.7");
    face.send("DELETE", &target, &admin, None).await.is(204);
    let got = face.get(&format!("{target}/audit"), &admin).await.is(200);
    assert_eq!(lines(&got), ["access key GET /api/v1/admin/symbols 200"]);
}
