//! Bodies pass as they come, in both directions, and end as they end.

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use hyper::body::Frame;

use crate::house::{Channel, House, Plan};
use crate::resilience::last_record;

const SOON: Duration = Duration::from_secs(5);
const MIB: usize = 1024 * 1024;

#[tokio::test]
async fn an_event_arrives_before_the_next_one_is_sent() {
    let house = House::open().await;
    let client = house.client().await;
    let mut clients = vec![client.over_http2(), client];
    while let Some(client) = clients.pop() {
        let mut stream = client.get("/acme/events?n=3").open().await;
        assert_eq!(stream.status, 200);
        assert_eq!(stream.headers["content-type"], "text/event-stream");
        for index in 0..3 {
            house.provider.release(1);
            let event =
                tokio::time::timeout(SOON, stream.next()).await.expect("held back").unwrap();
            assert_eq!(event, format!("data: {{\"event\":{index}}}\n\n"));
        }
        assert_eq!(stream.next().await, None);
    }
    house.leave().await;
}

#[tokio::test]
async fn an_upload_and_its_answer_flow_at_the_same_time() {
    let house = House::open().await;
    let client = house.client().await;
    let (sender, body) = Channel::open();
    let call = client.call(Method::POST, "/acme/mirror").body(reqwest::Body::wrap(body));
    let opening = tokio::spawn(call.open());
    sender.send(Ok(Frame::data(Bytes::from_static(b"first")))).await.unwrap();
    let mut stream = tokio::time::timeout(SOON, opening).await.expect("no head").unwrap();
    assert_eq!(tokio::time::timeout(SOON, stream.next()).await.unwrap().unwrap(), "first");
    for piece in ["second", "third"] {
        sender.send(Ok(Frame::data(Bytes::from_static(piece.as_bytes())))).await.unwrap();
        assert_eq!(tokio::time::timeout(SOON, stream.next()).await.unwrap().unwrap(), piece);
    }
    drop(sender);
    assert_eq!(tokio::time::timeout(SOON, stream.next()).await.unwrap(), None);
    house.leave().await;
}

#[tokio::test]
async fn large_bodies_pass_whole_in_both_directions() {
    let house = House::open().await;
    let client = house.client().await;
    for client in [client.over_http2(), client] {
        let large: Vec<u8> = (0..24 * MIB).map(|index| b'a' + (index % 23) as u8).collect();
        let answer = client.call(Method::PUT, "/acme/x").body(large.clone()).send().await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let seen = house.provider.last();
        assert_eq!(seen.method, "PUT");
        assert!(seen.body == large, "{} bytes arrived", seen.body.len());

        let mut stream = client.get(&format!("/acme/flood?bytes={}", 48 * MIB)).open().await;
        let mut length = 0;
        while let Some(chunk) = stream.next().await {
            assert!(chunk.iter().all(|byte| *byte == b'f'));
            length += chunk.len();
        }
        assert_eq!(length, 48 * MIB);
    }
    house.leave().await;
}

#[tokio::test]
async fn an_answer_that_breaks_off_breaks_off_here_too() {
    let house = House::open().await;
    let client = house.client().await;
    for client in [client.over_http2(), client] {
        let (_, status) = client.get("/acme/cut").try_send().await.unwrap_err();
        assert_eq!(status, Some(200));
    }
    house.leave().await;
}

#[tokio::test]
async fn chunked_answers_and_answers_without_a_body_pass() {
    let house = House::open().await;
    let client = house.client().await;
    let answer = client.get("/acme/chunked?n=3").send().await;
    assert_eq!(answer.text(), "piece 0\npiece 1\npiece 2\n");
    assert_eq!(answer.header("content-length"), None);
    let none = client.get("/acme/status/204").send().await;
    assert_eq!((none.status, none.body.len()), (204, 0));
    let unchanged = client.get("/acme/status/304").send().await;
    assert_eq!((unchanged.status, unchanged.body.len()), (304, 0));
    house.leave().await;
}

#[tokio::test]
async fn a_provider_that_cannot_be_reached_or_says_nothing_is_named() {
    let settings = "[providers.gone]\nbase_url = \"https://localhost:1\"\ncategory = \"tests\"\n\
                    allow_private_network = true\n\
                    inject = [{ at = \"header\", name = \"Authorization\" }]\n";
    let house = House::planned(Plan { settings: settings.to_owned(), ..Plan::default() }).await;
    let secret = serde_json::json!({
        "provider": "gone", "fields": {"api_key": house.canary.plain()}, "validate": false,
    });
    let added = house.admin.post("/api/v1/admin/secrets").json(&secret).send().await;
    assert_eq!(added.status, 201, "{}", added.text());
    let client = house.client().await;
    client.get("/gone/x").send().await.is_refusal(502, "upstream_unreachable");

    let silent = tokio::spawn(client.get("/acme/slow?ms=20000").send());
    house.provider.wait_for(1).await;
    house.clock.advance(Duration::from_secs(61));
    let answer = tokio::time::timeout(SOON, silent).await.expect("waits on").unwrap();
    answer.is_refusal(504, "upstream_timeout");
    house.leave().await;
}

#[tokio::test]
async fn every_way_in_which_a_call_can_end_leaves_its_record() {
    let house = House::open().await;
    let client = house.client().await;
    client.get("/acme/cut").try_send().await.unwrap_err();
    let cut = last_record(&house, &client, 1).await;
    assert_eq!((&cut["status_code"], &cut["fault"]), (&200.into(), &"provider".into()), "{cut}");

    let mut stream = client.get("/acme/events?n=9").open().await;
    house.provider.release(1);
    assert!(stream.next().await.is_some());
    drop(stream);
    let left = last_record(&house, &client, 2).await;
    assert_eq!((&left["status_code"], &left["end"]), (&200.into(), &"cut".into()), "{left}");

    let waiting = tokio::spawn(client.get("/acme/slow?ms=60000").send());
    house.provider.wait_for(3).await;
    waiting.abort();
    let gone = last_record(&house, &client, 3).await;
    assert_eq!((&gone["endpoint"], &gone["end"]), (&"/slow".into(), &"cut".into()), "{gone}");

    let unreachable = client.get("/polygon/x").send().await;
    unreachable.is_refusal(503, "no_secret");
    let refused = last_record(&house, &client, 4).await;
    assert_eq!(
        (&refused["status_code"], &refused["error_code"]),
        (&503.into(), &"no_secret".into()),
        "{refused}"
    );
    house.leave().await;
}
