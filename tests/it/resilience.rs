//! What happens when a provider fails: what is tried again and what never, who is told what and
//! when, and how long a provider in trouble is left alone. Real sockets stand on the other side.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use crate::house::{Act, Channel, Client, Greeting, House, Outpost, Plan, Speaks, Wreck};

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
pub(crate) async fn last_record(house: &House, client: &Client, records: usize) -> Value {
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

async fn in_line(calls: &mut Vec<tokio::task::JoinHandle<crate::house::Answer>>, client: &Client) {
    let path = format!("/wreck/{}", calls.len());
    calls.push(tokio::spawn(client.get(&path).send()));
    tokio::time::sleep(Duration::from_millis(30)).await;
}

#[tokio::test]
async fn a_greedy_client_waits_behind_himself_and_others_take_turns_with_him() {
    let wreck = Wreck::open(|_, _| Act::Gated).await;
    let house = house_with(&wreck, "max_concurrent = 1").await;
    let (greedy, modest) = (house.client().await, house.client().await);
    let mut calls = Vec::new();
    for _ in 0..5 {
        in_line(&mut calls, &greedy).await;
    }
    in_line(&mut calls, &modest).await;
    // Another provider's calls wait for nobody.
    assert_eq!(greedy.get("/acme/x").send().await.status, 200);
    for served in 1..=calls.len() {
        wreck.wait_for(served).await;
        assert_eq!(wreck.lines().len(), served, "one at a time");
        wreck.release(1);
    }
    for call in calls {
        assert_eq!(call.await.unwrap().status, 200);
    }
    let order: Vec<String> = wreck.lines().iter().map(|line| line[5..6].to_owned()).collect();
    assert_eq!(order, ["0", "1", "5", "2", "3", "4"]);
    house.leave().await;
}

#[tokio::test]
async fn the_queue_before_a_provider_is_bounded_and_whoever_hangs_up_leaves_it_at_once() {
    let wreck = Wreck::open(|_, _| Act::Gated).await;
    let house = house_with(&wreck, "max_concurrent = 1\nmax_wait_seconds = 2").await;
    let client = house.client().await;
    let mut calls = Vec::new();
    // One under way, and the eight that the shortest queue holds.
    for _ in 0..9 {
        in_line(&mut calls, &client).await;
    }
    let full = client.get("/wreck/full").send().await;
    let body = full.is_refusal(503, "overloaded");
    assert!(body["detail"].as_str().unwrap().contains("max_concurrent"), "{body}");
    assert_eq!(full.header("retry-after"), Some("1"));
    // Somebody hangs up: his place in the queue is free, and nobody is sent in his name.
    let gone = calls.remove(1);
    gone.abort();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let next = tokio::spawn(client.get("/wreck/next").send());
    tokio::time::sleep(Duration::from_millis(30)).await;
    wreck.release(20);
    for call in calls.into_iter().chain([next]) {
        assert_eq!(call.await.unwrap().status, 200);
    }
    let lines = wreck.lines();
    assert_eq!(
        (lines.len(), lines.iter().any(|line| line.contains("/1 "))),
        (9, false),
        "{lines:?}"
    );
    let metrics = house.admin.get("/metrics").send().await.text();
    assert!(metrics.contains("sealgate_calls_in_flight 0"), "{metrics}");
    house.leave().await;
}

#[tokio::test]
async fn a_wait_for_a_provider_ends_after_its_time_and_none_is_allowed_where_it_is_zero() {
    let wreck = Wreck::open(|_, _| Act::Gated).await;
    let house = house_with(&wreck, "max_concurrent = 1\nmax_wait_seconds = 0").await;
    let client = house.client_with(json!({"limit": 2})).await;
    let held = tokio::spawn(client.get("/wreck/x").send());
    wreck.wait_for(1).await;
    client.get("/wreck/x").send().await.is_refusal(503, "overloaded");
    wreck.release(2);
    assert_eq!(held.await.unwrap().status, 200);
    // What was refused was not counted.
    assert_eq!(client.get("/wreck/x").send().await.status, 200);
    client.get("/wreck/x").send().await.is_refusal(429, "rate_limited");
    house.leave().await;
}

#[tokio::test]
async fn an_http2_connection_that_says_nothing_serves_nobody_else() {
    let house = House::planned(Plan { speaks: Speaks::Http2, ..Plan::default() }).await;
    // On one connection, so that one thread serves all of it.
    let client = house.client().await.over_http2();
    let silent = tokio::spawn(client.get("/acme/slow?ms=60000").send());
    house.provider.wait_for(1).await;
    assert_eq!(client.get("/acme/x").send().await.status, 200);
    assert_eq!(house.provider.connections(), 1, "calls share it");
    house.clock.advance(Duration::from_secs(61));
    let answer = tokio::time::timeout(SOON, silent).await.expect("waits on").unwrap();
    answer.is_refusal(504, "upstream_timeout");
    assert_eq!(client.get("/acme/x").send().await.status, 200);
    assert_eq!(house.provider.connections(), 2);
    house.leave().await;
}

#[tokio::test]
async fn the_protocol_is_the_providers_setting_and_grpc_goes_over_http2_alone() {
    let folder = tempfile::tempdir().unwrap();
    let outpost = Outpost::open(Speaks::Both).await;
    let pem = folder.path().join("outpost.pem");
    std::fs::write(&pem, &outpost.ca_pem).unwrap();
    let inject = "[{ at = \"header\", name = \"X-Wreck-Key\" }]";
    let mut settings = String::new();
    for choice in ["auto", "never", "always"] {
        let entry = outpost.settings(choice, &pem, inject);
        settings.push_str(&format!("{entry}http2 = \"{choice}\"\n"));
    }
    let house = House::planned(Plan { settings, ..Plan::default() }).await;
    let client = house.client().await;
    let (h1, h2) = (http::Version::HTTP_11, http::Version::HTTP_2);
    for (choice, post, get) in [("auto", h1, h2), ("never", h1, h1), ("always", h2, h2)] {
        let fields = json!({"api_key": house.canary.plain()});
        let secret = json!({"provider": choice, "fields": fields, "validate": false});
        let added = house.admin.post("/api/v1/admin/secrets").json(&secret).send().await;
        assert_eq!(added.status, 201, "{}", added.text());
        let path = format!("/{choice}/x");
        let posted = client.call(Method::POST, &path).body("x").send().await;
        assert_eq!((posted.status, outpost.last().version), (200, post), "{choice}");
        if choice != "never" {
            // A kept HTTP/1.1 connection is no good for it.
            let grpc = client.call(Method::POST, &path).header("content-type", "application/grpc");
            assert_eq!(grpc.body("x").send().await.status, 200);
            assert_eq!(outpost.last().version, h2, "{choice}");
        }
        assert_eq!(client.get(&path).send().await.status, 200);
        assert_eq!(outpost.last().version, get, "{choice}");
    }
    house.leave().await;
}
