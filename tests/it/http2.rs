//! HTTP/2 to a provider: one connection for many calls, more where it has no room, and what a
//! provider may do to one call of many. All calls come over one connection of the caller's, so that
//! one thread serves them.

use std::time::Duration;

use http::Method;
use serde_json::json;

use crate::house::{Answer, Channel, Client, Flow, Greeting, House, Plan, Speaks, Weir, Wreck};

const SOON: Duration = Duration::from_secs(10);
const MIB: usize = 1024 * 1024;

async fn house_of(provider: &str, settings: String) -> (House, Client) {
    let house = House::planned(Plan { settings, ..Plan::default() }).await;
    let fields = json!({"api_key": house.canary.plain()});
    let secret = json!({"provider": provider, "fields": fields, "validate": false});
    let added = house.admin.post("/api/v1/admin/secrets").json(&secret).send().await;
    assert_eq!(added.status, 201, "{}", added.text());
    let client = house.client().await.over_http2();
    (house, client)
}

/// Calls that are all under way before the first one is answered.
fn burst(client: &Client, path: &str, calls: usize) -> Vec<tokio::task::JoinHandle<Answer>> {
    (0..calls).map(|_| tokio::spawn(client.get(path).send())).collect()
}

async fn all_answered(calls: Vec<tokio::task::JoinHandle<Answer>>) {
    for call in calls {
        let answer = tokio::time::timeout(SOON, call).await.expect("waits on").unwrap();
        assert_eq!((answer.status, answer.text().as_str()), (200, "whole"));
    }
}

#[tokio::test]
async fn a_cold_burst_shares_one_connection_and_so_does_the_next() {
    let weir = Weir::open(None, |_, _| Flow::Gated).await;
    let (house, client) = house_of("weir", weir.settings("")).await;
    for round in 1..=2 {
        let calls = burst(&client, "/weir/x", 80);
        weir.wait_for(80 * round).await;
        assert_eq!(weir.counts().connections, 1);
        weir.release(80);
        all_answered(calls).await;
    }
    house.leave().await;
}

#[tokio::test]
async fn where_a_provider_takes_few_calls_at_once_they_spread_over_a_few_connections() {
    let weir = Weir::open(Some(10), |_, _| Flow::Gated).await;
    let (house, client) = house_of("weir", weir.settings("")).await;
    let calls = burst(&client, "/weir/x", 35);
    weir.wait_for(35).await;
    let counts = weir.counts();
    assert_eq!((counts.connections, counts.at_once), (4, 10), "{counts:?}");
    weir.release(35);
    all_answered(calls).await;
    // Beyond what all of them take, calls wait for each other.
    let calls = burst(&client, "/weir/x", 95);
    weir.wait_for(35 + 80).await;
    let counts = weir.counts();
    assert_eq!((counts.connections, counts.at_once, counts.calls), (8, 10, 115), "{counts:?}");
    weir.release(95);
    all_answered(calls).await;
    house.leave().await;
}

#[tokio::test]
async fn a_burst_to_a_provider_that_cannot_be_reached_waits_for_one_connection_and_no_longer() {
    let wreck = Wreck::open(|_, _| crate::house::Act::Answer).await;
    wreck.greet(Greeting::Silence);
    let (house, client) =
        house_of("wreck", wreck.settings("timeouts = { connect_seconds = 1 }")).await;
    for call in burst(&client, "/wreck/x", 20) {
        let answer = tokio::time::timeout(SOON, call).await.expect("waits on").unwrap();
        answer.is_refusal(504, "upstream_timeout");
    }
    assert_eq!(wreck.connections().0, 1);
    // The one that makes it hangs up: another one makes one.
    let gone = tokio::spawn(client.get("/wreck/x").try_send());
    tokio::time::sleep(Duration::from_millis(200)).await;
    let waits = tokio::spawn(client.get("/wreck/x").send());
    tokio::time::sleep(Duration::from_millis(200)).await;
    wreck.greet(Greeting::Tls);
    gone.abort();
    let answer = tokio::time::timeout(SOON, waits).await.expect("waits on").unwrap();
    assert_eq!(answer.status, 200);
    house.leave().await;
}

#[tokio::test]
async fn what_a_provider_turns_away_unseen_is_sent_once_more_whatever_its_method() {
    let weir = Weir::open(None, |connection, _| match connection {
        1 => Flow::Refuse,
        _ => Flow::Answer,
    })
    .await;
    let (house, client) = house_of("weir", weir.settings("http2 = \"always\"")).await;
    let answer = client.call(Method::POST, "/weir/x").send().await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "whole"));
    let counts = weir.counts();
    assert_eq!((counts.connections, counts.calls), (2, 2), "{counts:?}");
    assert_eq!(client.get("/weir/x").send().await.status, 200);
    assert_eq!(weir.counts().connections, 2, "the one that answers is shared");
    let metrics = house.admin.get("/metrics").send().await.text();
    assert!(metrics.contains("sealgate_upstream_second_tries_total 1\n"), "{metrics}");
    house.leave().await;
}

#[tokio::test]
async fn what_it_turns_away_twice_or_has_a_body_or_failed_is_not_sent_again() {
    for (flow, body, calls) in
        [(Flow::Refuse, "", 2), (Flow::Refuse, "body", 1), (Flow::Fail, "", 1)]
    {
        let weir = Weir::open(None, move |_, _| flow).await;
        let (house, client) = house_of("weir", weir.settings("http2 = \"always\"")).await;
        let answer = client.call(Method::PUT, "/weir/x").body(body).send().await;
        answer.is_refusal(502, "upstream_unreachable");
        assert_eq!(weir.counts().calls, calls, "{flow:?} {body:?}");
        house.leave().await;
    }
}

#[tokio::test]
async fn calls_that_a_provider_had_not_seen_when_it_went_away_are_sent_once_more() {
    let weir = Weir::open(None, |connection, call| match (connection, call) {
        (1, 20) => Flow::GoAway,
        (1, _) => Flow::Gated,
        (_, _) => Flow::Answer,
    })
    .await;
    let (house, client) = house_of("weir", weir.settings("")).await;
    let calls: Vec<_> = (0..20)
        .map(|index| {
            let method = if index % 2 == 0 { Method::POST } else { Method::GET };
            tokio::spawn(client.call(method, "/weir/x").send())
        })
        .collect();
    all_answered(calls).await;
    let counts = weir.counts();
    assert_eq!((counts.connections, counts.calls), (2, 39), "{counts:?}");
    assert_eq!(client.get("/weir/x").send().await.status, 200);
    assert_eq!(weir.counts().connections, 2);
    house.leave().await;
}

#[tokio::test]
async fn an_early_answer_is_whole_though_its_stream_is_reset() {
    let weir = Weir::open(None, |_, _| Flow::Early).await;
    let (house, client) = house_of("weir", weir.settings("http2 = \"always\"")).await;
    for _ in 0..20 {
        let (sender, body) = Channel::open();
        let call = client.call(Method::POST, "/weir/x").body(reqwest::Body::wrap(body));
        let frame = hyper::body::Frame::data(bytes::Bytes::from_static(b"there is more"));
        sender.send(Ok(frame)).await.unwrap();
        let answer = tokio::time::timeout(SOON, call.send()).await.expect("waits on");
        assert_eq!((answer.status, answer.text().as_str()), (200, "whole"));
    }
    let counts = weir.counts();
    assert_eq!((counts.connections, counts.calls), (1, 20), "{counts:?}");
    house.leave().await;
}

#[tokio::test]
async fn an_answer_whose_stream_ends_before_it_never_looks_complete() {
    for flow in [Flow::Short, Flow::Cancel] {
        let weir = Weir::open(None, move |_, _| flow).await;
        let (house, client) = house_of("weir", weir.settings("")).await;
        let (_, status) = client.get("/weir/x").try_send().await.unwrap_err();
        assert!(status.is_none_or(|status| status == 200), "{flow:?}: {status:?}");
        assert_eq!(weir.counts().calls, 1);
        house.leave().await;
    }
}

#[tokio::test]
async fn slow_readers_hold_up_nobody_else_on_their_connection() {
    let house = House::planned(Plan { speaks: Speaks::Http2, ..Plan::default() }).await;
    let client = house.client().await;
    // Connections of their own: both threads have some, and each thread one connection on.
    let mut slow = Vec::new();
    for _ in 0..40 {
        let path = format!("/acme/flood?bytes={}", 16 * MIB);
        let mut stream = client.over_new_connections().get(&path).open().await;
        assert!(stream.next().await.is_some());
        slow.push(stream);
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    for _ in 0..20 {
        let call = client.over_new_connections().get("/acme/x").send();
        let answer = tokio::time::timeout(SOON, call).await.expect("held up");
        assert_eq!(answer.status, 200);
    }
    assert!(house.provider.connections() <= 2, "{}", house.provider.connections());
    drop(slow);
    house.leave().await;
}
