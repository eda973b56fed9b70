//! The whole trip: a key is sealed, a client key is minted, a call arrives with the real key in
//! place of the client's; and every way in which it must not.

use std::time::Duration;

use http::Method;
use serde_json::json;

use crate::house::{House, Kind, Plan, on_both};

const AGGS: &str = "v2/aggs/ticker/AAPL/range/1/day/2024-01-02/2024-01-09";

on_both! {
    async fn a_sealed_key_takes_the_place_of_the_client_key(house: House) {
        let client = house.client().await;
        let answer = client.get("/acme/v1/things?a=b&c=%7Ed").send().await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.json(), json!({"path": "/base/v1/things", "query": "a=b&c=%7Ed"}));

        let seen = house.provider.last();
        assert_eq!(seen.method, "GET");
        assert_eq!(seen.path, "/base/v1/things?a=b&c=%7Ed");
        let bearer = format!("Bearer {}", house.canary.plain());
        assert_eq!(seen.header("authorization"), Some(bearer.as_str()));
        assert_eq!(seen.header("x-api-key"), None);
        assert_eq!(seen.header("x-request-id"), answer.header("x-request-id"));
        house.leave().await;
    }
}

on_both! {
    async fn a_revoked_key_is_refused_at_once_and_a_restored_one_passes(house: House) {
        let client = house.client().await;
        let path = format!("/api/v1/admin/api-keys/{}", client.id);
        for (active, state, status) in
            [(true, "active", 200), (false, "revoked", 401), (true, "active", 200)]
        {
            let answer = house.admin.put(&path).json(&json!({"active": active})).send().await;
            assert_eq!((answer.status, &answer.json()["state"]), (200, &json!(state)));
            assert_eq!(client.get("/acme/x").send().await.status, status);
        }
        assert_eq!(house.admin.delete(&path).send().await.status, 204);
        client.get("/acme/x").send().await.is_refusal(401, "unauthorized");
        assert_eq!(house.provider.seen().len(), 2);
        house.leave().await;
    }
}

on_both! {
    async fn every_answered_call_leaves_a_record(house: House) {
        let client = house.client().await;
        assert_eq!(client.get("/acme/status/200?secretive=1").send().await.status, 200);
        let posted = client.call(Method::POST, "/acme/status/418").body("{}").send().await;
        assert_eq!(posted.status, 418);
        assert_eq!(client.get("/nowhere/x").send().await.status, 404);

        let path = format!("/api/v1/admin/api-keys/{}/audit", client.id);
        let proxied = |item: &serde_json::Value| item["kind"] == "usage";
        let mut items = Vec::new();
        for _ in 0..100 {
            let answer = house.admin.get(&path).send().await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            assert!(!answer.text().contains("secretive"), "query values are never recorded");
            items = answer.json()["items"].as_array().unwrap().clone();
            items.retain(proxied);
            if items.len() >= 2 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        // The clock stands still, so which of the two ended first cannot be told.
        let mut told: Vec<_> = items
            .iter()
            .filter(|item| item["provider"] == "acme")
            .map(|item| (item["method"].as_str().unwrap(), item["status_code"].as_u64().unwrap()))
            .collect();
        told.sort_unstable();
        assert_eq!(told, [("GET", 200), ("POST", 418)]);
        assert_eq!(items[0]["timestamp"].as_str(), Some("2026-01-15T12:00:00Z"));
        house.leave().await;
    }
}

/// The address in the record of the call that was answered with this id.
async fn recorded_address(house: &House, request_id: &str) -> String {
    let path = format!("/api/v1/admin/audit?request_id={request_id}");
    for _ in 0..100 {
        let found = house.admin.get(&path).send().await.json();
        if let Some(address) = found["items"][0]["address"].as_str() {
            return address.to_owned();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("no record of {request_id}");
}

#[tokio::test]
async fn behind_a_trusted_proxy_the_record_names_the_caller_and_otherwise_the_peer() {
    let named = [("x-forwarded-for", "203.0.113.9, 198.51.100.1"), ("forwarded", "nonsense")];
    for (settings, caller, misled) in [
        ("proxy.trusted_proxies = [\"127.0.0.0/8\"]\n", "198.51.100.1", "127.0.0.1"),
        ("", "127.0.0.1", "127.0.0.1"),
    ] {
        let house = House::planned(Plan { settings: settings.to_owned(), ..Plan::default() }).await;
        let client = house.client().await;
        let call = client.get("/acme/x").header(named[0].0, named[0].1);
        assert_eq!(call.header("x-request-id", "one").send().await.status, 200);
        assert_eq!(recorded_address(&house, "one").await, caller);
        let call = client.get("/acme/x").header(named[1].0, named[1].1);
        assert_eq!(call.header("x-request-id", "two").send().await.status, 200);
        assert_eq!(recorded_address(&house, "two").await, misled);
        // A refusal before the record's seat says the same.
        let call = client.get("/nowhere/x").header(named[0].0, named[0].1);
        assert_eq!(call.header("x-request-id", "three").send().await.status, 404);
        assert_eq!(recorded_address(&house, "three").await, caller);
        for seen in house.provider.seen() {
            assert_eq!((seen.header(named[0].0), seen.header(named[1].0)), (None, None));
        }
        house.leave().await;
    }
}

#[tokio::test]
async fn a_caller_who_hangs_up_is_a_cut_answer_by_the_clients_fault() {
    let house = House::open().await;
    let client = house.client().await;
    let call = client.get("/acme/events?n=2").header("x-request-id", "left");
    let mut stream = call.open().await;
    house.provider.release(1);
    assert!(stream.next().await.is_some());
    drop(stream);
    recorded_address(&house, "left").await;
    let found = house.admin.get("/api/v1/admin/audit?request_id=left").send().await.json();
    let record = &found["items"][0];
    assert_eq!((&record["end"], &record["fault"]), (&json!("cut"), &json!("client")), "{record}");
    assert_eq!(record["status_code"], 200);
    house.leave().await;
}

#[tokio::test]
async fn a_caller_who_hangs_up_before_the_answer_is_recorded_as_such() {
    let house = House::open().await;
    let client = house.client().await;
    let call = client.get("/acme/slow?ms=3000").header("x-request-id", "gone");
    let call = tokio::spawn(call.try_send());
    house.provider.wait_for(1).await;
    call.abort();
    recorded_address(&house, "gone").await;
    let found = house.admin.get("/api/v1/admin/audit?request_id=gone").send().await.json();
    let record = &found["items"][0];
    assert_eq!((&record["end"], &record["fault"]), (&json!("cut"), &json!("client")), "{record}");
    house.leave().await;
}

#[tokio::test]
async fn the_sandbox_answers_a_newcomer_through_its_sealed_key() {
    let house = House::planned(Plan { sandbox: true, ..Plan::default() }).await;
    let client = house.client().await;
    let public = house.public_url();
    let mut path = format!("/sandbox/{AGGS}");
    let mut pages = Vec::new();
    loop {
        let answer = client.get(&path).send().await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let body = answer.json();
        assert_eq!((&body["ticker"], &body["count"]), (&json!("AAPL"), &json!(2)));
        pages.push(body["request_id"].as_str().unwrap().to_owned());
        let Some(next) = body.get("next_url") else {
            break;
        };
        let expected = format!("{public}/sandbox/{AGGS}?cursor={}", pages.len() + 1);
        assert_eq!(next, &json!(expected));
        path = expected.strip_prefix(&public).unwrap().to_owned();
    }
    assert_eq!(pages, ["emulated-1", "emulated-2", "emulated-3"]);
    assert_eq!(client.get("/sandbox/v9/nothing").send().await.status, 404);
    house.leave().await;
}

#[tokio::test]
async fn without_the_right_key_nothing_reaches_a_provider() {
    let house = House::open().await;
    let client = house.client().await;
    let absent = client.bare("/acme/x").send().await;
    let mistyped = client.bare("/acme/x").header("x-api-key", "mdw_nonsense").send().await;
    let never_minted = format!("mdw_{}", "0".repeat(46));
    let unknown = client.bare("/acme/x").header("authorization", format!("Bearer {never_minted}"));
    for answer in [absent, mistyped, unknown.send().await] {
        let mut body = answer.is_refusal(401, "unauthorized");
        body.as_object_mut().unwrap().remove("request_id");
        assert_eq!(
            body,
            json!({
                "error": "Unauthorized",
                "code": "unauthorized",
                "detail": "A valid Sealgate client key is needed, for example in the header \
                           X-API-Key.",
            })
        );
    }
    assert!(house.provider.seen().is_empty());
    house.leave().await;
}

#[tokio::test]
async fn an_expired_key_is_a_401_from_the_moment_it_expires() {
    let house = House::open().await;
    let client = house.client_with(json!({"expires_at": "2026-01-15T13:00:01+01:00"})).await;
    assert_eq!(client.get("/acme/x").send().await.status, 200);
    house.clock.advance(Duration::from_secs(1));
    client.get("/acme/x").send().await.is_refusal(401, "unauthorized");
    house.leave().await;
}

#[tokio::test]
async fn an_unknown_provider_is_told_only_to_those_who_may_ask() {
    let house = House::open().await;
    let client = house.client().await;
    client.get("/nowhere/x").send().await.is_refusal(404, "unknown_provider");
    client.bare("/nowhere/x").send().await.is_refusal(401, "unauthorized");
    assert!(house.provider.seen().is_empty());
    house.leave().await;
}

#[tokio::test]
async fn roles_and_scopes_decide_what_may_be_called() {
    let house = House::open().await;
    let guest = house.client_with(json!({"role": "guest"})).await;
    assert_eq!(guest.get("/acme/x").send().await.status, 200);
    assert_eq!(guest.call(Method::HEAD, "/acme/x").send().await.status, 200);
    guest.call(Method::POST, "/acme/x").send().await.is_refusal(403, "forbidden");

    let auditor = house.client_with(json!({"role": "auditor"})).await;
    auditor.get("/acme/x").send().await.is_refusal(403, "forbidden");

    let scopes = json!({"scopes": ["acme:GET:/v1/**", "!acme:*:/v1/closed/**"]});
    let scoped = house.client_with(scopes).await;
    assert_eq!(scoped.get("/acme/v1/open/x").send().await.status, 200);
    for path in ["/acme/v2/x", "/acme/v1/closed/x", "/acme/v1/%63losed/x", "/quill/v1/x"] {
        scoped.get(path).send().await.is_refusal(403, "forbidden");
    }
    let nothing = house.client_with(json!({"scopes": []})).await;
    nothing.get("/acme/x").send().await.is_refusal(403, "forbidden");
    assert_eq!(house.provider.seen().len(), 3);
    house.leave().await;
}

#[tokio::test]
async fn no_spelling_of_a_denied_path_reaches_the_provider() {
    let house = House::open().await;
    let scopes = json!(["acme:*:/**", "!acme:GET:/v1/organization/**"]);
    let client = house.client_with(json!({"scopes": scopes})).await;
    for path in [
        "/acme/v1/organization/x",
        "/acme/v1//organization/x",
        "//acme/v1/organization",
        "/acme//v1/organization/x",
        "/acme/v1%2Forganization/x",
        "/acme/v1%252Forganization/x",
        "/acme/v1/organization;x/y",
        "/acme/v1/%256Frganization",
        "/acme/v1/organization%20/x",
        "/acme/v1/organization./x",
        "/acme/v1/ORGANIZATION/x",
        "/acme/v1/organization/",
        "/acme/v1/organization%3Fx",
        "/acme/acme/v1/Organization",
    ] {
        let line = format!("GET {path} HTTP/1.1\r\nHost: gate.test\r\nConnection: close\r\n");
        let answer = house.raw(&format!("{line}X-API-Key: {}\r\n\r\n", client.key)).await;
        assert!([403, 404].contains(&answer.status), "{path}: {}", answer.text());
    }
    assert!(house.provider.seen().is_empty());
    for path in ["/acme/v1/models", "/acme/v1/organizations", "/acme/v1/Models%20/"] {
        assert_eq!(client.get(path).send().await.status, 200, "{path}");
    }
    let nul = client.get("/acme/v1/a%00b").send().await.is_refusal(400, "bad_request");
    assert!(nul["detail"].as_str().unwrap().contains("zero byte"), "{nul}");
    house.leave().await;
}

#[tokio::test]
async fn a_provider_without_a_secret_says_what_to_do() {
    let house = House::open().await;
    let client = house.client().await;
    let body = client.get("/polygon/v1/marketstatus/now").send().await.is_refusal(503, "no_secret");
    assert!(body["detail"].as_str().unwrap().contains("secret add"), "{body}");
    let named = client.get("/acme/x").header("x-sealgate-secret", "absent").send().await;
    named.is_refusal(404, "not_found");
    let named = client.get("/acme/x").header("x-sealgate-secret", "default").send().await;
    assert_eq!(named.status, 200);
    assert_eq!(house.provider.last().header("x-sealgate-secret"), None);
    house.leave().await;
}

#[tokio::test]
async fn a_request_id_is_kept_made_or_the_providers_own() {
    let house = House::open().await;
    let client = house.client().await;
    let own = client.get("/acme/x").header("x-request-id", "mine:1.2-3_4").send().await;
    assert_eq!(own.header("x-request-id"), Some("mine:1.2-3_4"));
    assert_eq!(house.provider.last().header("x-request-id"), Some("mine:1.2-3_4"));
    let bad = client.get("/acme/x").header("x-request-id", "has a space").send().await;
    assert_ne!(bad.header("x-request-id"), Some("has a space"));
    assert_eq!(bad.header("x-request-id"), house.provider.last().header("x-request-id"));
    let theirs = client.get("/acme/status/200").header("x-request-id", "mine").send().await;
    assert_eq!(theirs.header("x-request-id"), Some("providers-own-id"));
    house.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_that_was_answered_lets_no_later_call_pass() {
    let house = House::open().await;
    let client = std::sync::Arc::new(house.client().await);
    let revoked = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let callers: Vec<_> = (0..8)
        .map(|_| {
            let (client, revoked) = (client.over_new_connections(), revoked.clone());
            tokio::spawn(async move {
                let mut passed = 0;
                loop {
                    // Read before the call: only calls that began later must not pass.
                    let late = revoked.load(std::sync::atomic::Ordering::SeqCst);
                    let status = client.get("/acme/x").try_send().await.map(|got| got.status);
                    match (status, late) {
                        (Ok(401), _) => return passed,
                        (Ok(200), false) => passed += 1,
                        // It was under way when the revocation came, and was cut.
                        (Err(_), false) => {}
                        other => panic!("after the revocation: {other:?}"),
                    }
                }
            })
        })
        .collect();
    house.provider.wait_for(40).await;
    let path = format!("/api/v1/admin/api-keys/{}", client.id);
    let answer = house.admin.put(&path).json(&json!({"active": false})).send().await;
    assert_eq!(answer.status, 200);
    revoked.store(true, std::sync::atomic::Ordering::SeqCst);
    let mut passed = 0;
    for caller in callers {
        passed += caller.await.unwrap();
    }
    // Of the 40 that the provider saw at most one a caller was cut.
    assert!(passed >= 32, "{passed} passed");
    house.leave().await;
}

#[tokio::test]
async fn a_provider_is_reached_by_host_where_a_domain_is_set() {
    let settings = "proxy.domain = \"gate.test\"\n".to_owned();
    let house = House::planned(Plan { settings, ..Plan::default() }).await;
    let client = house.client().await;
    let request = format!(
        "GET /pages?page=1 HTTP/1.1\r\nHost: acme.gate.test\r\nConnection: close\r\n\
         X-API-Key: {}\r\n\r\n",
        client.key
    );
    let answer = house.raw(&request).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.text().contains("\"next_url\":\"http://acme.gate.test/pages?page=2\""));
    assert_eq!(house.provider.last().path, "/base/pages?page=1");
    house.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_postgres_is_away_traffic_goes_on_and_its_records_wait() {
    let house = House::on(Kind::Postgres).await;
    let client = house.client().await;
    assert_eq!(client.get("/acme/x").send().await.status, 200);
    house.database.go_away().await;
    for _ in 0..20 {
        assert_eq!(client.get("/acme/x").send().await.status, 200);
    }
    let ready = house.admin.bare(Method::GET, "/readyz").send().await;
    assert_eq!(ready.status, 503, "{}", ready.text());
    house.database.come_back().await;

    let path = format!("/api/v1/admin/api-keys/{}/audit", client.id);
    let mut calls = 0;
    for _ in 0..200 {
        let answer = house.admin.get(&path).send().await;
        if answer.status == 200 {
            let items = answer.json()["items"].as_array().unwrap().clone();
            calls = items.iter().filter(|item| item["kind"] == "usage").count();
        }
        if calls == 21 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(calls, 21);
    let verified = house.admin.get("/api/v1/admin/audit/verify").send().await.json();
    assert_eq!((&verified["ok"], &verified["first_bad"]), (&json!(true), &json!(null)));
    house.leave().await;
}
