//! Sockets whose key comes in the first message: what is said before, who is let in, what goes on
//! behind it and in which order.

use std::time::Duration;

use serde_json::json;

use crate::house::frames::{BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT};
use crate::house::{Client, Harbour, House, Plan, Sailor};
use crate::resilience::last_record;

const POLYGON: &str =
    "[providers.sea.socket]\ninject = []\ndialects = [{ speaks = \"polygon\" }]\n";
const CONNECTED: &str =
    r#"[{"ev":"status","status":"connected","message":"Connected Successfully"}]"#;
const LET_IN: &str = r#"[{"ev":"status","status":"auth_success","message":"authenticated"}]"#;

async fn house_by(sea: &Harbour, top: &str) -> House {
    let settings = format!("{top}{}", sea.settings(POLYGON));
    let house = House::planned(Plan { settings, ..Plan::default() }).await;
    let secret = json!({
        "provider": "sea", "fields": {"api_key": house.canary.plain()}, "validate": false,
    });
    let added = house.admin.post("/api/v1/admin/secrets").json(&secret).send().await;
    assert_eq!(added.status, 201, "{}", added.text());
    house
}

async fn greeted(house: &House, path: &str) -> Sailor {
    let mut socket = house.sail(path, "").await.aboard();
    assert_eq!(socket.hear_text().await, CONNECTED);
    socket
}

fn auth(client: &Client) -> String {
    format!("{{\"action\":\"auth\",\"params\":\"{}\"}}", client.key)
}

async fn refused(mut socket: Sailor, status: &str) {
    let word = socket.hear_text().await;
    let word: serde_json::Value = serde_json::from_str(&word).unwrap();
    assert_eq!((&word[0]["ev"], &word[0]["status"]), (&json!("status"), &json!(status)));
    let code = socket.hear_close().await.0;
    assert!([1002, 1008, 1013].contains(&code), "{code}");
}

#[tokio::test]
async fn a_key_in_the_first_message_becomes_the_real_one_and_what_follows_keeps_its_order() {
    let sea = Harbour::open().await;
    let house = house_by(&sea, "").await;
    let client = house.client().await;
    let mut socket = greeted(&house, "/sea/polygon?n=300").await;
    assert!(sea.heads().is_empty(), "nobody knows who is there");
    socket.text(&auth(&client)).await;
    for number in 0..5 {
        socket.text(&format!("{{\"action\":\"subscribe\",\"params\":\"T.{number}\"}}")).await;
    }
    tokio::time::sleep(Duration::from_millis(150)).await;
    let shown = json!({"action": "auth", "params": house.canary.plain()}).to_string();
    assert_eq!(sea.messages(), [(TEXT, shown.into_bytes())], "the rest waits for the answer");
    assert_eq!(socket.hear_text().await, LET_IN);
    for number in 0..5 {
        let word = format!("{{\"action\":\"subscribe\",\"params\":\"T.{number}\"}}");
        assert_eq!(socket.hear_text().await, word);
    }
    let head = sea.heads().pop().unwrap();
    assert!(!head.contains(house.canary.plain()) && !head.contains("mdw_"), "{head}");
    socket.frame(true, CLOSE, &1000_u16.to_be_bytes()).await;
    assert_eq!(socket.hear_close().await.0, 1000);
    let record = last_record(&house, &client, 1).await;
    assert_eq!((&record["status_code"], &record["end"]), (&101.into(), &"complete".into()));
    assert_eq!(record["detail"], json!({"messages_in": 5, "messages_out": 6}), "{record}");
    house.leave().await;
}

#[tokio::test]
async fn whoever_shows_no_key_or_a_wrong_one_hears_it_as_the_provider_says_it() {
    let sea = Harbour::open().await;
    let house = house_by(&sea, "").await;
    let client = house.client().await;
    for wrong in [
        format!("{{\"action\":\"auth\",\"params\":\"mdw_{}\"}}", "0".repeat(46)),
        String::from("{\"action\":\"auth\",\"params\":\"a key of the provider's own kind\"}"),
        String::from("{\"action\":\"auth\",\"params\":null}"),
        String::from("{\"action\":\"auth\"}"),
        String::from("{\"action\":\"subscribe\",\"params\":\"T.AAPL\"}"),
        String::from("hello"),
        String::new(),
    ] {
        let mut socket = greeted(&house, "/sea/polygon").await;
        socket.text(&wrong).await;
        refused(socket, "auth_failed").await;
    }
    let mut long = greeted(&house, "/sea/polygon").await;
    long.text(&"x".repeat(20_000)).await;
    refused(long, "auth_failed").await;
    let narrow = house.client_with(json!({"scopes": ["sea:GET:/other/**"]})).await;
    let mut socket = greeted(&house, "/sea/polygon").await;
    socket.text(&auth(&narrow)).await;
    refused(socket, "auth_failed").await;
    let empty = house.client_with(json!({"limit": 1})).await;
    let mut first = greeted(&house, "/sea/polygon").await;
    first.text(&auth(&empty)).await;
    assert_eq!(first.hear_text().await, LET_IN);
    let mut second = greeted(&house, "/sea/polygon").await;
    second.text(&auth(&empty)).await;
    refused(second, "max_connections").await;
    assert_eq!(sea.heads().len(), 1);
    let path = format!("/api/v1/admin/api-keys/{}", client.id);
    assert_eq!(house.admin.put(&path).json(&json!({"active": false})).send().await.status, 200);
    let mut socket = greeted(&house, "/sea/polygon").await;
    socket.text(&auth(&client)).await;
    refused(socket, "auth_failed").await;
    house.leave().await;
}

#[tokio::test]
async fn pings_are_answered_before_and_the_key_may_come_in_pieces_and_as_binary() {
    let sea = Harbour::open().await;
    let house = house_by(&sea, "").await;
    let client = house.client().await;
    let mut socket = greeted(&house, "/sea/polygon").await;
    socket.frame(true, PING, b"there?").await;
    let pong = socket.hear().await;
    assert_eq!((pong.opcode, pong.payload), (PONG, b"there?".to_vec()));
    let shown = auth(&client);
    let (one, two) = shown.as_bytes().split_at(20);
    socket.frame(false, BINARY, one).await;
    socket.frame(true, PING, b"between").await;
    assert_eq!(socket.hear().await.opcode, PONG);
    socket.frame(true, CONTINUATION, two).await;
    assert_eq!(socket.hear_text().await, LET_IN);
    socket.leave().await;
    let mut socket = greeted(&house, "/sea/polygon").await;
    socket.frame(true, CLOSE, &4000_u16.to_be_bytes()).await;
    assert_eq!(socket.hear_close().await.0, 4000, "a goodbye is answered, too");
    house.leave().await;
}

#[tokio::test]
async fn strangers_are_bounded_in_number_and_in_time() {
    let sea = Harbour::open().await;
    let house = house_by(&sea, "proxy.max_unauthenticated_sockets = 2\n").await;
    let client = house.client().await;
    let mut quiet = greeted(&house, "/sea/polygon").await;
    let mut other = greeted(&house, "/sea/polygon").await;
    let third = house.sail("/sea/polygon", "").await;
    assert_eq!(third.header("x-sealgate-error"), Some("overloaded"), "{}", third.head);
    other.text(&auth(&client)).await;
    assert_eq!(other.hear_text().await, LET_IN);
    let late = greeted(&house, "/sea/polygon").await;
    house.clock.advance(Duration::from_secs(11));
    assert!(quiet.hear_text().await.contains("auth_timeout"));
    assert_eq!(quiet.hear_close().await.0, 1008);
    refused(late, "auth_timeout").await;
    other.text("still in").await;
    assert_eq!(other.hear_text().await, "still in");
    house.leave().await;
}

#[tokio::test]
async fn a_provider_that_takes_nobody_in_is_not_shown_the_key_and_its_word_is_heard() {
    let sea = Harbour::open().await;
    let house = house_by(&sea, "").await;
    let client = house.client().await;
    let mut socket = greeted(&house, "/sea/full-polygon").await;
    socket.text(&auth(&client)).await;
    let word = socket.hear_text().await;
    assert!(word.contains("max_connections"), "{word}");
    socket.leave().await;
    assert!(sea.messages().iter().all(|(opcode, _)| *opcode == CLOSE), "{:?}", sea.messages());
    let mut socket = greeted(&house, "/sea/refuse").await;
    socket.text(&auth(&client)).await;
    refused(socket, "auth_failed").await;
    house.leave().await;
}

#[tokio::test]
async fn a_key_in_the_head_of_such_a_socket_goes_nowhere() {
    let sea = Harbour::open().await;
    let house = house_by(&sea, "").await;
    let client = house.client().await;
    for lines in [
        format!("X-API-Key: {}\r\n", client.key),
        format!("Sec-WebSocket-Protocol: {}\r\n", client.key),
    ] {
        assert_eq!(house.sail("/sea/polygon", &lines).await.status(), 400, "{lines}");
    }
    assert!(sea.messages().is_empty());
    house.leave().await;
}

#[tokio::test]
async fn a_revoked_key_ends_a_socket_that_was_opened_by_a_message() {
    let sea = Harbour::open().await;
    let house = house_by(&sea, "").await;
    let client = house.client().await;
    let mut socket = greeted(&house, "/sea/polygon").await;
    socket.text(&auth(&client)).await;
    assert_eq!(socket.hear_text().await, LET_IN);
    let path = format!("/api/v1/admin/api-keys/{}", client.id);
    assert_eq!(house.admin.delete(&path).send().await.status, 204);
    let end = tokio::time::timeout(Duration::from_millis(1_500), socket.hear_close()).await;
    assert_eq!(end.expect("it stays").0, 1008);
    sea.wait_for_open(0).await;
    house.leave().await;
}
