//! Where a real key goes: to the provider that the catalogue names, if its certificate says that it
//! is that provider, and nowhere else. Real TLS servers stand at both places.

use http::Method;
use serde_json::json;

use crate::house::{Certificate, House, Outpost, Plan, Speaks};

const BEARER: &str =
    "[{ at = \"header\", name = \"Authorization\", value = \"Bearer {api_key}\" }]";

#[tokio::test]
async fn nothing_that_a_client_sends_moves_the_destination() {
    let house = House::open().await;
    let client = house.client().await;
    let elsewhere = Outpost::open(Speaks::Both).await;
    let place = format!("localhost:{}", elsewhere.address.port());
    let key = &client.key;
    let rest = format!("X-API-Key: {key}\r\nConnection: close\r\n\r\n");

    // What names another host as the request's own is no request of ours.
    for head in [
        format!("GET https://{place}/acme/x HTTP/1.1\r\nHost: {place}\r\n"),
        format!("GET https://{place}/acme/x HTTP/1.1\r\nHost: gate.test\r\n"),
        format!("GET http://{place}/acme/x HTTP/1.1\r\nHost: gate.test\r\n"),
        format!("GET /acme/x HTTP/1.1\r\nHost: gate.test\r\nHost: {place}\r\n"),
        format!("GET /acme/x HTTP/1.1\r\nHost: user@{place}\r\n"),
        format!("GET //{place}/x HTTP/1.1\r\nHost: gate.test\r\n"),
        format!("GET https:/{place}/x HTTP/1.1\r\nHost: gate.test\r\n"),
    ] {
        let answer = house.raw(&format!("{head}{rest}")).await;
        assert!((400..500).contains(&answer.status), "{head}: {answer:?}");
    }
    assert_eq!(house.provider.seen().len(), 0);

    // What names one in any other place goes to the provider, as a part of its request.
    let paths = [
        format!("/acme/https://{place}/x"),
        format!("/acme//{place}/x"),
        format!("/acme/@{place}/x"),
        format!("/acme/x?url=https://{place}/&host={place}&base_url=https://{place}"),
    ];
    for path in &paths {
        let head = format!("GET {path} HTTP/1.1\r\nHost: {place}\r\nX-Forwarded-Host: {place}\r\n");
        let more = format!("Forwarded: host={place}\r\nX-Original-URL: https://{place}/\r\n");
        let answer = house.raw(&format!("{head}{more}{rest}")).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        let seen = house.provider.last();
        assert!(seen.path.starts_with("/base/"), "{}", seen.path);
        let own = format!("localhost:{}", house.provider.address.port());
        assert!(seen.header("host").is_none_or(|host| host == own), "{seen:?}");
    }
    let body = json!({"url": format!("https://{place}/"), "base_url": format!("https://{place}")});
    let call = client.call(Method::POST, "/acme/x").body(body.to_string());
    assert_eq!(call.send().await.status, 200);
    assert_eq!(house.provider.seen().len(), paths.len() + 1);
    assert_eq!(elsewhere.connections(), 0, "nobody knocked at the other door");
    house.leave().await;
}

#[tokio::test]
async fn a_false_provider_gets_no_request_and_no_key() {
    let folder = tempfile::tempdir().unwrap();
    let stranger = Outpost::open(Speaks::Both).await;
    let cases = [
        ("right", Certificate::Right, 200),
        ("oldtls", Certificate::OldTls, 200),
        ("expired", Certificate::Expired, 502),
        ("othername", Certificate::OtherName, 502),
        ("untrusted", Certificate::Right, 502),
    ];
    let (mut settings, mut outposts) = (String::new(), Vec::new());
    for (id, certificate, status) in cases {
        let outpost = Outpost::with(Speaks::Both, certificate).await;
        let pem = folder.path().join(format!("{id}.pem"));
        let trusted = if id == "untrusted" { &stranger.ca_pem } else { &outpost.ca_pem };
        std::fs::write(&pem, trusted).unwrap();
        settings.push_str(&outpost.settings(id, &pem, BEARER));
        outposts.push((id, outpost, status));
    }
    let house = House::planned(Plan { settings, ..Plan::default() }).await;
    let client = house.client().await;
    for (id, outpost, status) in &outposts {
        let fields = json!({"api_key": house.canary.plain()});
        let secret = json!({"provider": id, "fields": fields, "validate": false});
        let added = house.admin.post("/api/v1/admin/secrets").json(&secret).send().await;
        assert_eq!(added.status, 201, "{}", added.text());
        let answer = client.get(&format!("/{id}/x")).send().await;
        assert_eq!(answer.status, *status, "{id}: {}", answer.text());
        if *status == 200 {
            assert_eq!(outpost.seen().len(), 1);
        } else {
            answer.is_refusal(502, "upstream_unreachable");
            assert_eq!(outpost.seen().len(), 0, "{id}");
        }
    }
    house.leave().await;
}
