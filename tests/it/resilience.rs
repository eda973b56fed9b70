//! What happens when a provider fails: what is tried again and what never, who is told what and
//! when, and how long a provider in trouble is left alone. Real sockets stand on the other side.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use crate::house::{Act, Channel, Client, Greeting, House, Plan, Wreck};

const SOON: Duration = Duration::from_secs(5);

async fn house_with(wreck: &Wreck, more: &str) -> House {
    let settings = wreck.settings(more);
    let house = House::planned(Plan { settings, ..Plan::default() }).await;
    let secret = json!({
        "provider": "wreck", "fields": {"api_key": house.canary.plain()}, "validate": false,
    });
    let added = house.admin.post("/api/v1/admin/secrets").json(&secret).send().await;
    assert_eq!(added.status, 201, "{}", added.text());
    house
}

/// The newest proxied call of this client, once there are so many.
async fn last_record(house: &House, client: &Client, records: usize) -> Value {
    let path = format!("/api/v1/admin/api-keys/{}/audit", client.id);
    for _ in 0..100 {
        let items = house.admin.get(&path).send().await.json()["items"].as_array().unwrap().clone();
        let usage: Vec<_> = items.into_iter().filter(|item| item["kind"] == "usage").collect();
        if usage.len() >= records {
            return usage.into_iter().next().unwrap();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("fewer than {records} records");
}

/// The first request of each connection is answered, the second finds it closing.
fn closes_when_used_again(_connection: u64, request: u64) -> Act {
    if request == 1 { Act::Answer } else { Act::Die }
}

/// Idle for longer than a busy connection is.
async fn a_moment() {
    tokio::time::sleep(Duration::from_millis(20)).await;
}

#[tokio::test]
async fn a_get_whose_reused_connection_died_is_sent_once_more_and_a_post_never() {
    let wreck = Wreck::open(closes_when_used_again).await;
    let house = house_with(&wreck, "").await;
    let client = house.client().await;
    assert_eq!(client.get("/wreck/first").send().await.status, 200);
    house.clock.advance(Duration::from_millis(20));
    let answer = client.get("/wreck/again").send().await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
    let again = "GET /again HTTP/1.1";
    assert_eq!(wreck.lines(), ["GET /first HTTP/1.1", again, again]);
    let record = last_record(&house, &client, 2).await;
    assert_eq!((&record["status_code"], &record["retries"]), (&200.into(), &1.into()), "{record}");

    house.clock.advance(Duration::from_millis(20));
    let post = client.call(Method::POST, "/wreck/order").body("buy").send().await;
    post.is_refusal(502, "upstream_unreachable");
    let lines = wreck.lines();
    assert_eq!(lines.iter().filter(|line| line.starts_with("POST")).count(), 1, "{lines:?}");
    let record = last_record(&house, &client, 3).await;
    assert_eq!((&record["fault"], &record["retries"]), (&"provider".into(), &0.into()), "{record}");
    // A key that the provider has honoured is in each of them, the second tries included.
    assert!(wreck.heads().iter().all(|head| head.contains(house.canary.plain())));
    house.leave().await;
}

#[tokio::test]
async fn a_fresh_connection_that_dies_and_an_answer_with_a_status_are_never_tried_again() {
    let wreck = Wreck::open(|_, _| Act::Die).await;
    let house = house_with(&wreck, "").await;
    let client = house.client().await;
    client.get("/wreck/x").send().await.is_refusal(502, "upstream_unreachable");
    assert_eq!(wreck.lines().len(), 1);
    wreck.act(|_, _| Act::Refuse);
    for _ in 0..2 {
        let answer = client.get("/wreck/x").send().await;
        assert_eq!((answer.status, answer.header("x-sealgate-error")), (503, None));
        assert_eq!(answer.header("retry-after"), Some("9"), "the provider's own");
        house.clock.advance(Duration::from_millis(20));
    }
    assert_eq!(wreck.lines().len(), 3);
    wreck.act(|_, _| Act::Noise);
    client.get("/wreck/x").send().await.is_refusal(502, "upstream_invalid");
    assert_eq!(wreck.lines().len(), 4, "what is no HTTP is an answer, too");
    house.leave().await;
}

#[tokio::test]
async fn second_tries_end_when_their_budget_is_used_up() {
    let wreck = Wreck::open(closes_when_used_again).await;
    let house = house_with(&wreck, "").await;
    let client = house.client().await;
    // Each call but the first finds a connection that dies; a fifth of the calls, and 32 in hand.
    let mut answers = Vec::new();
    for _ in 0..60 {
        answers.push(client.get("/wreck/x").send().await.status);
        house.clock.advance(Duration::from_millis(11));
    }
    let refused = answers.iter().filter(|status| **status == 502).count();
    assert!((2..30).contains(&refused), "{answers:?}");
    assert_eq!(answers[..30], [200; 30], "what is in hand suffices for a while");
    let metrics = house.admin.get("/metrics").send().await.text();
    let denied = format!("sealgate_upstream_second_tries_denied_total {refused}");
    assert!(metrics.contains(&denied), "{metrics}");
    house.leave().await;
}

#[tokio::test]
async fn who_accepts_and_says_nothing_is_a_timeout_and_then_left_alone() {
    let wreck = Wreck::open(|_, _| Act::Silence).await;
    let house = house_with(&wreck, "timeouts = { first_byte_seconds = 1 }").await;
    let client = house.client().await;
    let mut calls = Vec::new();
    for _ in 0..5 {
        calls.push(tokio::spawn(client.get("/wreck/x").send()));
    }
    wreck.wait_for(5).await;
    house.clock.advance(Duration::from_millis(1_100));
    for call in calls {
        let answer = tokio::time::timeout(SOON, call).await.expect("waits on").unwrap();
        answer.is_refusal(504, "upstream_timeout");
    }
    let record = last_record(&house, &client, 5).await;
    assert_eq!(
        (&record["fault"], &record["error_code"]),
        (&"provider".into(), &"upstream_timeout".into())
    );

    let left_alone = client.get("/wreck/x").send().await;
    let body = left_alone.is_refusal(502, "upstream_unreachable");
    assert_eq!(left_alone.header("retry-after"), Some("1"));
    let detail = body["detail"].as_str().unwrap();
    assert!(detail.contains("tried again in 1 s (it did not begin to answer in time)"), "{detail}");
    assert_eq!(wreck.lines().len(), 5, "nobody was sent there");
    let metrics = house.admin.get("/metrics").send().await.text();
    let address = wreck.address;
    let line = |open: u8| {
        format!("sealgate_upstream_resting{{provider=\"wreck\",address=\"{address}\"}} {open}")
    };
    assert!(metrics.contains(&line(1)), "{metrics}");
    let ready = house.admin.get("/readyz").send().await;
    let providers = ready.json()["parts"].as_array().unwrap().clone();
    let part = providers.into_iter().find(|part| part["name"] == "providers").unwrap();
    assert_eq!((ready.status, &part["ready"]), (200, &true.into()), "{part}");
    assert!(part["detail"].as_str().unwrap().contains("wreck"), "{part}");

    // After the rest one call is let through, and its answer opens the way for all.
    wreck.act(|_, _| Act::Answer);
    house.clock.advance(Duration::from_secs(1));
    for _ in 0..3 {
        assert_eq!(client.get("/wreck/x").send().await.status, 200);
    }
    let metrics = house.admin.get("/metrics").send().await.text();
    assert!(metrics.contains(&line(0)), "{metrics}");
    house.leave().await;
}

#[tokio::test]
async fn half_open_means_one_call_and_the_others_are_told_when_to_come() {
    let wreck = Wreck::open(|_, _| Act::Answer).await;
    wreck.greet(Greeting::Close);
    let house = house_with(&wreck, "").await;
    let client = house.client().await;
    for _ in 0..5 {
        client.get("/wreck/x").send().await.is_refusal(502, "upstream_unreachable");
    }
    let (before, _) = wreck.connections();
    assert!(before >= 5, "{before}");
    wreck.greet(Greeting::Tls);
    wreck.act(|_, _| Act::Silence);
    house.clock.advance(Duration::from_secs(1));
    let probe = tokio::spawn(client.get("/wreck/probe").try_send());
    wreck.wait_for(1).await;
    for _ in 0..3 {
        let other = client.get("/wreck/x").send().await;
        other.is_refusal(502, "upstream_unreachable");
        assert_eq!(other.header("retry-after"), Some("1"));
    }
    assert_eq!(wreck.connections().0, before + 1);
    // A probe whose caller hangs up tells nothing: another one follows.
    probe.abort();
    wreck.act(|_, _| Act::Answer);
    house.clock.advance(Duration::from_secs(1));
    assert_eq!(client.get("/wreck/x").send().await.status, 200);
    assert_eq!(client.get("/wreck/x").send().await.status, 200);
    house.leave().await;
}

#[tokio::test]
async fn a_provider_that_speaks_no_tls_in_time_is_a_timeout() {
    let wreck = Wreck::open(|_, _| Act::Answer).await;
    wreck.greet(Greeting::Silence);
    let house = house_with(&wreck, "timeouts = { connect_seconds = 1 }").await;
    let client = house.client().await;
    client.get("/wreck/x").send().await.is_refusal(504, "upstream_timeout");
    house.leave().await;
}

#[tokio::test]
async fn an_answer_that_stalls_or_dies_is_cut_and_the_provider_is_blamed() {
    let wreck = Wreck::open(|_, _| Act::Half).await;
    let house = house_with(&wreck, "timeouts = { idle_seconds = 1 }").await;
    let client = house.client().await;
    let (_, status) = client.get("/wreck/half").try_send().await.unwrap_err();
    assert_eq!(status, Some(200));
    let record = last_record(&house, &client, 1).await;
    assert_eq!((&record["fault"], &record["end"]), (&"provider".into(), &"cut".into()), "{record}");
    assert_eq!(wreck.lines().len(), 1, "an answer had begun");

    wreck.act(|_, _| Act::Head);
    let stalls = tokio::spawn(client.get("/wreck/head").try_send());
    wreck.wait_for(2).await;
    tokio::time::sleep(Duration::from_millis(150)).await;
    house.clock.advance(Duration::from_millis(1_100));
    let (_, status) = tokio::time::timeout(SOON, stalls).await.unwrap().unwrap().unwrap_err();
    assert_eq!(status, Some(200));
    let record = last_record(&house, &client, 2).await;
    assert_eq!((&record["fault"], &record["end"]), (&"provider".into(), &"cut".into()), "{record}");
    house.leave().await;
}

#[tokio::test]
async fn a_bound_on_the_whole_call_holds_before_and_after_the_head() {
    let wreck = Wreck::open(|_, _| Act::Silence).await;
    let house = house_with(&wreck, "timeouts = { total_seconds = 2 }").await;
    let client = house.client().await;
    let silent = tokio::spawn(client.get("/wreck/x").send());
    wreck.wait_for(1).await;
    house.clock.advance(Duration::from_millis(2_100));
    let answer = tokio::time::timeout(SOON, silent).await.expect("waits on").unwrap();
    answer.is_refusal(504, "upstream_timeout");
    wreck.act(|_, _| Act::Head);
    let stalls = tokio::spawn(client.get("/wreck/head").try_send());
    wreck.wait_for(2).await;
    tokio::time::sleep(Duration::from_millis(150)).await;
    house.clock.advance(Duration::from_millis(2_100));
    tokio::time::timeout(SOON, stalls).await.expect("waits on").unwrap().unwrap_err();
    house.leave().await;
}

#[tokio::test]
async fn a_slow_upload_is_no_late_answer_and_one_that_stands_still_is_its_clients_fault() {
    let wreck = Wreck::open(|_, _| Act::Answer).await;
    let house = house_with(&wreck, "timeouts = { first_byte_seconds = 1 }").await;
    let client = house.client().await;
    let (sender, body) = Channel::open();
    let call = client
        .call(Method::POST, "/wreck/upload")
        .header("content-length", "8")
        .body(reqwest::Body::wrap(body));
    let upload = tokio::spawn(call.try_send());
    for piece in ["ab", "cd", "ef", "gh"] {
        let frame = hyper::body::Frame::data(bytes::Bytes::from_static(piece.as_bytes()));
        sender.send(Ok(frame)).await.unwrap();
        tokio::time::sleep(Duration::from_millis(150)).await;
        house.clock.advance(Duration::from_millis(700));
    }
    drop(sender);
    let answer = tokio::time::timeout(SOON, upload).await.unwrap().unwrap().unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());

    let (sender, body) = Channel::open();
    let call = client
        .call(Method::POST, "/wreck/upload")
        .header("content-length", "8")
        .body(reqwest::Body::wrap(body));
    let upload = tokio::spawn(call.try_send());
    let frame = hyper::body::Frame::data(bytes::Bytes::from_static(b"ab"));
    sender.send(Ok(frame)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(250)).await;
    house.clock.advance(Duration::from_millis(1_100));
    if let Ok(answer) = tokio::time::timeout(SOON, upload).await.expect("waits on").unwrap() {
        answer.is_refusal(408, "timeout");
    }
    let record = last_record(&house, &client, 2).await;
    assert_eq!(
        (&record["fault"], &record["status_code"]),
        (&"client".into(), &408.into()),
        "{record}"
    );
    house.leave().await;
}

#[tokio::test]
async fn a_closed_connection_is_followed_by_one_that_resumes_its_tls() {
    let wreck = Wreck::open(|_, _| Act::AnswerAndClose).await;
    let house = house_with(&wreck, "").await;
    let client = house.client().await;
    for _ in 0..3 {
        assert_eq!(client.get("/wreck/x").send().await.status, 200);
    }
    assert_eq!(wreck.connections(), (3, 2));
    house.leave().await;
}

#[tokio::test]
async fn two_hundred_calls_at_once_are_all_answered_and_their_connections_kept() {
    let wreck = Wreck::open(|_, _| Act::Answer).await;
    let house = house_with(&wreck, "").await;
    let client = house.client().await;
    for _ in 0..2 {
        let calls: Vec<_> = (0..200).map(|_| tokio::spawn(client.get("/wreck/x").send())).collect();
        for call in calls {
            assert_eq!(call.await.unwrap().status, 200);
        }
    }
    let (connections, _) = wreck.connections();
    assert!(connections <= 220, "{connections} connections");
    a_moment().await;
    house.leave().await;
}
