//! Quotas: exact, told in every answer, freed by the clock alone.

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use hyper::body::Frame;
use serde_json::json;

use crate::house::{Answer, Channel, Client, House, NOON_MS, Plan};

const NOON: i64 = NOON_MS / 1000;

fn told(answer: &Answer, prefix: &str) -> [Option<i64>; 4] {
    ["Limit", "Remaining", "Used", "Reset"].map(|name| {
        let value = answer.header(&format!("{prefix}RateLimit-{name}"))?;
        Some(value.parse().unwrap())
    })
}

async fn limited(house: &House) -> Client {
    house.client_with(json!({"tier": "limited"})).await
}

#[tokio::test]
async fn a_quota_is_counted_down_and_its_refusal_says_when_to_come_back() {
    let house = House::open().await;
    let client = limited(&house).await;
    for used in 1..=10 {
        let answer = client.get("/acme/x").send().await;
        assert_eq!(answer.status, 200);
        let [limit, remaining, counted, reset] = told(&answer, "X-Sealgate-");
        assert_eq!((limit, remaining, counted), (Some(10), Some(10 - used), Some(used)));
        assert!((NOON + 3600..=NOON + 3660).contains(&reset.unwrap()), "{reset:?}");
        assert_eq!(told(&answer, "X-"), [limit, remaining, counted, reset]);
    }
    let answer = client.get("/acme/x").send().await;
    let [limit, remaining, used, reset] = told(&answer, "X-Sealgate-");
    assert_eq!((limit, remaining, used), (Some(10), Some(0), Some(10)));
    let reset = reset.unwrap();
    let body = answer.is_refusal(429, "rate_limited");
    assert_eq!(body["error"], "Rate limit exceeded");
    assert_eq!((&body["quota"], &body["limit"]), (&json!(10), &json!("client")));
    assert_eq!(body["reset_at"], sealgate::clock::rfc3339(reset * 1000));
    assert_eq!(answer.header("retry-after"), Some((reset - NOON).to_string().as_str()));
    assert_eq!(house.provider.seen().len(), 10);

    let wait = u64::try_from(reset - NOON).unwrap();
    house.clock.advance(Duration::from_secs(wait - 1));
    let early = client.get("/acme/x").send().await;
    early.is_refusal(429, "rate_limited");
    assert_eq!(early.header("retry-after"), Some("1"));
    house.clock.advance(Duration::from_secs(1));
    assert_eq!(client.get("/acme/x").send().await.status, 200);
    house.leave().await;
}

#[tokio::test]
async fn callers_at_once_never_get_more_than_the_quota() {
    let house = House::open().await;
    let client = std::sync::Arc::new(limited(&house).await);
    let calls: Vec<_> = (0..60)
        .map(|_| {
            let client = std::sync::Arc::clone(&client);
            tokio::spawn(async move { client.get("/acme/slow?ms=50").send().await.status })
        })
        .collect();
    let mut admitted = 0;
    for call in calls {
        match call.await.unwrap() {
            200 => admitted += 1,
            status => assert_eq!(status, 429),
        }
    }
    assert_eq!((admitted, house.provider.seen().len()), (10, 10));
    house.leave().await;
}

#[tokio::test]
async fn what_a_provider_answers_counts_and_what_sealgate_refuses_does_not() {
    let house = House::open().await;
    let client = limited(&house).await;
    client.get("/nowhere/x").send().await.is_refusal(404, "unknown_provider");
    client.get("/polygon/x").send().await.is_refusal(503, "no_secret");
    let other = format!("Bearer {}", house.client().await.key);
    let two = client.get("/acme/x").header("authorization", other).send().await;
    two.is_refusal(400, "bad_request");
    for (used, status) in [(1, 500), (2, 401), (3, 404)] {
        let answer = client.get(&format!("/acme/status/{status}")).send().await;
        assert_eq!((answer.status, answer.header("x-sealgate-error")), (status, None));
        assert_eq!(told(&answer, "X-Sealgate-")[2], Some(used));
    }
    let head = client.call(Method::HEAD, "/acme/x").send().await;
    assert_eq!(told(&head, "X-Sealgate-")[2], Some(4));
    house.leave().await;
}

#[tokio::test]
async fn a_providers_own_limit_headers_pass_as_they_are() {
    let house = House::open().await;
    let client = limited(&house).await;
    let answer = client.get("/acme/status/429").send().await;
    assert_eq!((answer.status, answer.header("x-sealgate-error")), (429, None));
    assert_eq!(answer.header("retry-after"), Some("7"));
    assert_eq!(told(&answer, "X-"), [Some(5), None, None, None]);
    assert_eq!(told(&answer, "X-Sealgate-")[..3], [Some(10), Some(9), Some(1)]);
    assert_eq!(answer.json(), json!({"provider_says": 429}));
    house.leave().await;
}

#[tokio::test]
async fn tiers_and_own_limits_are_what_the_settings_and_the_key_say() {
    let house = House::open().await;
    for (members, limit) in [
        (json!({"tier": "limited"}), 10),
        (json!({"tier": "standard"}), 100),
        (json!({"tier": "premium"}), 1000),
        (json!({"tier": "unlimited"}), 999_999),
        (json!({"tier": "limited", "limit": 3}), 3),
    ] {
        let client = house.client_with(members).await;
        let answer = client.get("/acme/x").send().await;
        assert_eq!(told(&answer, "X-Sealgate-")[..2], [Some(limit), Some(limit - 1)]);
    }
    let client = house.client_with(json!({"tier": "limited", "limit": 1})).await;
    assert_eq!(client.get("/acme/x").send().await.status, 200);
    client.get("/acme/x").send().await.is_refusal(429, "rate_limited");
    let path = format!("/api/v1/admin/api-keys/{}", client.id);
    assert_eq!(house.admin.put(&path).json(&json!({"limit": 2})).send().await.status, 200);
    assert_eq!(client.get("/acme/x").send().await.status, 200);
    client.get("/acme/x").send().await.is_refusal(429, "rate_limited");
    house.leave().await;
}

#[tokio::test]
async fn more_calls_at_once_than_the_house_takes_are_refused_and_then_taken_again() {
    let settings = "proxy.max_concurrent = 1\n".to_owned();
    let house = House::planned(Plan { settings, ..Plan::default() }).await;
    let client = house.client().await;
    let mut held = client.get("/acme/events?n=1").open().await;
    assert_eq!(held.status, 200);
    // Waits its turn for a moment, then is told.
    client.get("/acme/x").send().await.is_refusal(503, "overloaded");
    // One that waits when the place is given back is answered.
    let waiting = tokio::spawn(client.get("/acme/x").try_send());
    tokio::time::sleep(Duration::from_millis(50)).await;
    house.provider.release(1);
    while held.next().await.is_some() {}
    drop(held);
    assert_eq!(waiting.await.unwrap().unwrap().status, 200);
    assert_eq!(client.get("/acme/x").send().await.status, 200);
    house.leave().await;
}

#[tokio::test]
async fn the_queue_before_a_full_house_is_bounded_and_a_used_up_quota_does_not_wait_in_it() {
    let settings = "proxy.max_concurrent = 1\n".to_owned();
    let house = House::planned(Plan { settings, ..Plan::default() }).await;
    let client = house.client().await;
    let small = house.client_with(json!({"limit": 1})).await;
    assert_eq!(small.get("/acme/x").send().await.status, 200);
    let held = client.get("/acme/events?n=1").open().await;
    small.get("/acme/x").send().await.is_refusal(429, "rate_limited");
    let crowd: Vec<_> = (0..20).map(|_| tokio::spawn(client.get("/acme/x").try_send())).collect();
    let mut refused = 0;
    for call in crowd {
        refused += usize::from(call.await.unwrap().unwrap().status == 503);
    }
    assert_eq!(refused, 20, "nobody passes while the one place is taken");
    drop(held);
    house.provider.release(1);
    house.leave().await;
}

#[tokio::test]
async fn bodies_above_the_limit_are_refused_or_cut_and_never_passed_whole() {
    let settings = "proxy.max_body_bytes = 1000\n".to_owned();
    let house = House::planned(Plan { settings, ..Plan::default() }).await;
    let client = house.client().await;
    let whole = client.call(Method::POST, "/acme/x").body(vec![b'x'; 1000]).send().await;
    assert_eq!(whole.status, 200);
    let announced = client.call(Method::POST, "/acme/x").body(vec![b'x'; 1001]);
    announced.send().await.is_refusal(413, "too_large");

    let (sender, body) = Channel::open();
    let chunked = client.call(Method::POST, "/acme/x").body(reqwest::Body::wrap(body));
    let chunked = tokio::spawn(chunked.try_send());
    for _ in 0..4 {
        // The other side may have given up already.
        let _ = sender.send(Ok(Frame::data(Bytes::from(vec![b'x'; 400])))).await;
    }
    drop(sender);
    if let Ok(answer) = chunked.await.unwrap() {
        answer.is_refusal(413, "too_large");
    }
    for seen in house.provider.seen() {
        assert!(seen.body.len() <= 1000, "{} bytes passed", seen.body.len());
    }
    house.leave().await;
}
