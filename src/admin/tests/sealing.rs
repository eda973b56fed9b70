//! The face while the vault is sealed: what it still answers and what it refuses, and what stands in
//! the trail of it. That calls are cut is shown where there are calls. Must never seal a house that
//! another test shares.

use serde_json::json;

use super::*;

const SEAL: &str = "/api/v1/admin/seal";
const UNSEAL: &str = "/api/v1/admin/unseal";

#[tokio::test]
async fn sealed_it_answers_health_the_trail_and_unseal_and_nothing_else() {
    let face = face().await;
    let key = face.admin_key().await;
    let sealed = face.send("POST", SEAL, &key, None).await.is(200);
    assert_eq!(sealed.json, json!({"sealed": true, "changed": true}));
    let again = face.send("POST", SEAL, &key, None).await.is(200);
    assert_eq!(again.json, json!({"sealed": true, "changed": false}));
    for path in ["/healthz", "/metrics", "/openapi.json", "/api/v1/admin/audit"] {
        face.get(path, &key).await.is(200);
    }
    face.get("/api/v1/admin/audit/verify", &key).await.is(200);
    for path in ["/api/v1/admin/secrets", "/api/v1/admin/api-keys", "/api/v1/admin/symbols"] {
        let got = face.get(path, &key).await.is(503);
        assert_eq!(got.header("x-sealgate-error"), Some("sealed"), "{path}");
    }
    // Who may not, learns that first.
    let user = face.key(Role::User, Tier::Unlimited).await;
    face.get("/api/v1/admin/secrets", &user).await.is(403);
    face.get("/api/v1/admin/secrets", "").await.is(401);

    let open = face.send("POST", UNSEAL, &key, Some(json!({}))).await.is(200);
    assert_eq!(open.json, json!({"sealed": false, "changed": true}));
    face.get("/api/v1/admin/secrets", &key).await.is(200);
}

#[tokio::test]
async fn a_passphrase_where_none_is_asked_for_is_refused_and_not_repeated() {
    let face = face().await;
    let key = face.admin_key().await;
    face.send("POST", SEAL, &key, None).await.is(200);
    for (body, fault) in [
        (json!({"passphrase": CANARY}), "must be left out"),
        (json!({"passphrase": [CANARY]}), "must be a text"),
        (json!({"passphrase": ""}), "must not be empty"),
        (json!({"pass": "x"}), "is not a member of this request"),
    ] {
        let got = face.send("POST", UNSEAL, &key, Some(body)).await.is(422);
        assert!(got.faults()[0].contains(fault), "{:?}", got.faults());
    }
    face.send("POST", UNSEAL, &key, None).await.is(200);
}
