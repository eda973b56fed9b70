//! Sockets of those of whom nobody knows yet who they are: what they may take, what is written down
//! of them, what they hear at the end; and whose words reach a provider that has not said yes.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use crate::house::frames::{CLOSE, TEXT};
use crate::house::{Client, Harbour, House, Plan, Sailor};
use crate::resilience::last_record;

const POLYGON: &str = "[providers.sea.socket]\ninject = []\ndialects = [{ speaks = \"polygon\", reads_only = true }]\n";
const SOON: Duration = Duration::from_secs(5);
const A_SECOND: Duration = Duration::from_millis(1_500);

async fn house_by(sea: &Harbour, more: &str, top: &str) -> House {
    let settings = format!("{top}{}", sea.settings(more));
    let house = House::planned(Plan { settings, ..Plan::default() }).await;
    let secret = json!({
        "provider": "sea", "fields": {"api_key": house.canary.plain()}, "validate": false,
    });
    let added = house.admin.post("/api/v1/admin/secrets").json(&secret).send().await;
    assert_eq!(added.status, 201, "{}", added.text());
    house
}

async fn greeted(house: &House, path: &str, lines: &str) -> Sailor {
    let mut socket = house.sail(path, lines).await.aboard();
    let first = socket.hear_text().await;
    assert!(first.contains("\"status\":\"connected\""), "{first}");
    socket
}

fn auth(client: &Client) -> String {
    format!("{{\"action\":\"auth\",\"params\":\"{}\"}}", client.key)
}

fn key_of(client: &Client) -> String {
    format!("X-API-Key: {}\r\n", client.key)
}

fn from(address: &str) -> String {
    format!("X-Forwarded-For: {address}\r\n")
}

#[tokio::test]
async fn one_address_cannot_take_the_places_of_all_strangers() {
    let sea = Harbour::open().await;
    let top =
        "proxy.max_unauthenticated_sockets = 24\nproxy.trusted_proxies = [\"127.0.0.1/32\"]\n";
    let house = house_by(&sea, POLYGON, top).await;
    let mut crowd = Vec::new();
    for _ in 0..8 {
        crowd.push(greeted(&house, "/sea/polygon", &from("198.51.100.7")).await);
    }
    let ninth = house.sail("/sea/polygon", &from("198.51.100.7")).await;
    assert_eq!(ninth.header("x-sealgate-error"), Some("overloaded"), "{}", ninth.head);
    assert_eq!(ninth.header("connection"), Some("close"), "{}", ninth.head);
    let client = house.client().await;
    let mut other = greeted(&house, "/sea/polygon", &from("203.0.113.9")).await;
    other.text(&auth(&client)).await;
    assert!(other.hear_text().await.contains("auth_success"));
    drop(crowd.pop());
    tokio::time::sleep(Duration::from_millis(200)).await;
    let again = greeted(&house, "/sea/polygon", &from("198.51.100.7")).await;
    drop((again, crowd, other));
    house.leave().await;
}

#[tokio::test]
async fn a_slow_provider_holds_up_no_strangers_and_is_no_late_key() {
    let sea = Harbour::open().await;
    let house = house_by(&sea, POLYGON, "proxy.max_unauthenticated_sockets = 1\n").await;
    let client = house.client().await;
    let mut slow = greeted(&house, "/sea/slow-polygon?n=1500", "").await;
    slow.text(&auth(&client)).await;
    sea.wait_for_open(1).await;
    // The only place of a stranger is free again, though the provider has not answered.
    let stranger = greeted(&house, "/sea/polygon", "").await;
    drop(stranger);
    house.clock.advance(Duration::from_secs(20));
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(slow.hear_text().await.contains("auth_success"), "it was no late key");
    // Whoever goes while the provider takes its time takes the call along.
    let mut gone = greeted(&house, "/sea/slow-polygon?n=20000", "").await;
    gone.text(&auth(&client)).await;
    sea.wait_for_open(2).await;
    drop(gone);
    tokio::time::timeout(A_SECOND, sea.wait_for_open(1)).await.expect("upstream stays");
    house.leave().await;
}

#[tokio::test]
async fn whoever_may_only_read_gets_sockets_for_reading_alone() {
    let sea = Harbour::open().await;
    let house = house_by(&sea, "", "").await;
    let reader = house.client_with(json!({"role": "guest"})).await;
    let narrow = house.client_with(json!({"scopes": ["sea:GET:/**"]})).await;
    for client in [&reader, &narrow] {
        let refused = house.sail("/sea/echo", &key_of(client)).await;
        assert_eq!(refused.header("x-sealgate-error"), Some("forbidden"), "{}", refused.head);
        assert_eq!(refused.header("connection"), Some("close"), "{}", refused.head);
    }
    let wide = house.client_with(json!({"scopes": ["sea:GET:/**", "sea:POST:/echo"]})).await;
    let mut socket = house.sail("/sea/echo", &key_of(&wide)).await.aboard();
    socket.text("here").await;
    assert_eq!(socket.hear_text().await, "here");
    socket.leave().await;
    assert_eq!(sea.heads().len(), 1, "nothing left for those who may only read");
    house.leave().await;

    let sea = Harbour::open().await;
    let house = house_by(&sea, "[providers.sea.socket]\nreads_only = true\n", "").await;
    let reader = house.client_with(json!({"role": "guest"})).await;
    let mut socket = house.sail("/sea/echo", &key_of(&reader)).await.aboard();
    socket.text("prices").await;
    assert_eq!(socket.hear_text().await, "prices");
    house.leave().await;
}

#[tokio::test]
async fn a_page_that_offers_our_name_beside_its_key_sees_it_chosen() {
    let sea = Harbour::open().await;
    let house = house_by(&sea, "", "").await;
    let client = house.client().await;
    let offer = format!("Sec-WebSocket-Protocol: sealgate, {}\r\n", client.key);
    let socket = house.sail("/sea/echo", &offer).await.aboard();
    assert_eq!(socket.header("sec-websocket-protocol"), Some("sealgate"));
    let head = sea.heads().pop().unwrap();
    assert!(!head.to_ascii_lowercase().contains("sec-websocket-protocol"), "{head}");
    let offer = format!("Sec-WebSocket-Protocol: realtime, sealgate, {}\r\n", client.key);
    let socket = house.sail("/sea/choice", &offer).await.aboard();
    assert_eq!(socket.header("sec-websocket-protocol"), Some("realtime"), "the provider's choice");
    let alone = format!("Sec-WebSocket-Protocol: {}\r\n", client.key);
    let socket = house.sail("/sea/echo", &alone).await.aboard();
    assert_eq!(socket.header("sec-websocket-protocol"), None, "a key stands in no answer");
    house.leave().await;
    let sea = Harbour::open().await;
    let house = house_by(&sea, POLYGON, "").await;
    let socket = greeted(&house, "/sea/polygon", "Sec-WebSocket-Protocol: sealgate\r\n").await;
    assert_eq!(socket.header("sec-websocket-protocol"), Some("sealgate"));
    house.leave().await;
}

#[tokio::test]
async fn what_is_said_behind_a_key_waits_for_the_providers_own_yes() {
    let sea = Harbour::open().await;
    let house = house_by(&sea, POLYGON, "").await;
    let client = house.client().await;
    let mut socket = greeted(&house, "/sea/no-polygon", "").await;
    socket.text(&auth(&client)).await;
    socket.text("{\"action\":\"subscribe\",\"params\":\"T.AAPL\"}").await;
    assert!(socket.hear_text().await.contains("please wait"), "what it says first is heard");
    assert!(socket.hear_text().await.contains("auth_failed"));
    assert_eq!(socket.hear_close().await.0, 1008);
    let messages = sea.messages();
    let said = messages.iter().filter(|(opcode, _)| *opcode == TEXT).count();
    assert_eq!(said, 1, "the key alone: {messages:?}");
    let record = last_record(&house, &client, 1).await;
    assert_eq!(record["fault"], "provider", "{record}");
    // And a no to the handshake is the provider's, and a whole answer.
    let mut socket = greeted(&house, "/sea/refuse", "").await;
    socket.text(&auth(&client)).await;
    assert!(socket.hear_text().await.contains("auth_failed"));
    assert_eq!(socket.hear_close().await.0, 1008);
    let record = last_record(&house, &client, 2).await;
    let seen = (&record["status_code"], &record["end"], &record["fault"]);
    assert_eq!(seen, (&403.into(), &"complete".into(), &"provider".into()), "{record}");
    house.leave().await;
}

#[tokio::test]
async fn a_greeting_of_several_words_loses_none() {
    let sea = Harbour::open().await;
    let house = house_by(&sea, POLYGON, "").await;
    let client = house.client().await;
    let mut socket = greeted(&house, "/sea/wordy-polygon", "").await;
    socket.text(&auth(&client)).await;
    let first: Value = serde_json::from_str(&socket.hear_text().await).unwrap();
    assert_eq!(first, json!([{"ev": "status", "status": "notice", "message": "delayed"}]));
    assert!(socket.hear_text().await.contains("auth_success"));
    house.leave().await;
}

#[tokio::test]
async fn a_key_that_ends_while_the_provider_is_hailed_ends_the_socket() {
    let sea = Harbour::open().await;
    let house = house_by(&sea, POLYGON, "").await;
    let client = house.client().await;
    let mut socket = greeted(&house, "/sea/polygon?n=8000", "").await;
    socket.text(&auth(&client)).await;
    for _ in 0..500 {
        if !sea.messages().is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let path = format!("/api/v1/admin/api-keys/{}", client.id);
    assert_eq!(house.admin.delete(&path).send().await.status, 204);
    let end = tokio::time::timeout(A_SECOND, socket.hear_close()).await;
    assert_eq!(end.expect("it stays").0, 1008);
    // The same for whoever goes.
    let client = house.client().await;
    let mut socket = greeted(&house, "/sea/polygon?n=8000", "").await;
    socket.text(&auth(&client)).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    drop(socket);
    tokio::time::timeout(A_SECOND, sea.wait_for_open(0)).await.expect("upstream stays");
    house.leave().await;
}

#[tokio::test]
async fn the_end_of_a_token_is_the_end_of_its_sockets() {
    let sea = Harbour::open().await;
    let house = house_by(&sea, "", "").await;
    let client = house.client().await;
    let wish = json!({"ttl_seconds": 60});
    let made = client.call(Method::POST, "/api/v1/tokens").json(&wish).send().await;
    assert_eq!(made.status, 201, "{}", made.text());
    let holder = house.with_key(&client.id, made.json()["token"].as_str().unwrap());
    let mut socket = house.sail("/sea/echo", &key_of(&holder)).await.aboard();
    socket.text("in time").await;
    assert_eq!(socket.hear_text().await, "in time");
    house.clock.advance(Duration::from_secs(61));
    let end = tokio::time::timeout(A_SECOND, socket.hear_close()).await.expect("it stays");
    assert_eq!(end.0, 1008);
    tokio::time::timeout(SOON, sea.wait_for_open(0)).await.expect("upstream stays");
    house.leave().await;
}

#[tokio::test]
async fn strangers_have_an_id_a_record_and_a_goodbye() {
    let sea = Harbour::open().await;
    let mut house = house_by(&sea, POLYGON, "").await;
    let mut wrong = greeted(&house, "/sea/polygon", "X-Request-Id: stranger-1\r\n").await;
    assert_eq!(wrong.header("x-request-id"), Some("stranger-1"));
    wrong.text("{\"action\":\"subscribe\",\"params\":\"T.AAPL\"}").await;
    assert!(wrong.hear_text().await.contains("auth_failed"));
    assert_eq!(wrong.hear_close().await.0, 1008);
    let late = greeted(&house, "/sea/polygon", "X-Request-Id: stranger-2\r\n").await;
    house.clock.advance(Duration::from_secs(11));
    let mut late = late;
    assert!(late.hear_text().await.contains("auth_timeout"));
    for (id, code) in [("stranger-1", "unauthorized"), ("stranger-2", "timeout")] {
        let path = format!("/api/v1/admin/audit?request_id={id}");
        let mut found = Value::Null;
        for _ in 0..100 {
            found = house.admin.get(&path).send().await.json();
            if found["items"].as_array().is_some_and(|items| !items.is_empty()) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(found["items"][0]["error_code"], code, "{found}");
    }
    let client = house.client().await;
    let mut known = greeted(&house, "/sea/polygon", "X-Request-Id: known-1\r\n").await;
    assert_eq!(known.header("x-request-id"), Some("known-1"));
    known.text(&auth(&client)).await;
    assert!(known.hear_text().await.contains("auth_success"));
    let mut waiting = greeted(&house, "/sea/polygon", "").await;
    let ending = tokio::spawn(async move {
        house.shut().await;
        house
    });
    let end = tokio::time::timeout(SOON, waiting.hear_close()).await.expect("it stays");
    assert_eq!(end, (1001, String::from("Sealgate ends")));
    let mut house = ending.await.unwrap();
    assert!(sea.messages().iter().all(|(opcode, _)| [TEXT, CLOSE].contains(opcode)));
    house.try_start().await.unwrap();
    house.leave().await;
}
