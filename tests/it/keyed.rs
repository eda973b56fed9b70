//! Sockets on which a client's key stands in each of its messages: each goes on with the real one.

use serde_json::{Value, json};

use crate::house::frames::{CONTINUATION, PING, PONG, TEXT};
use crate::house::{Client, Harbour, House, Plan};
use crate::resilience::last_record;

const TIINGO: &str = "[providers.sea.socket]\ninject = []\ndialects = [{ speaks = \"tiingo\" }]\n";

async fn house_by(sea: &Harbour) -> House {
    let house = House::planned(Plan { settings: sea.settings(TIINGO), ..Plan::default() }).await;
    let secret = json!({
        "provider": "sea", "fields": {"api_key": house.canary.plain()}, "validate": false,
    });
    let added = house.admin.post("/api/v1/admin/secrets").json(&secret).send().await;
    assert_eq!(added.status, 201, "{}", added.text());
    house
}

/// What the far side says back word by word, so that it is its answer, too.
fn asked(event: &str, key: &str, code: u16) -> String {
    format!(
        "{{\"eventName\": \"{event}\", \"authorization\":\"{key}\", \"messageType\":\"I\",\
         \"eventData\":{{\"tickers\":[\"spy\", \"authorization\"]}}, \"response\":{{\"code\":{code}}}}}"
    )
}

fn subscription(client: &Client) -> String {
    asked("subscribe", &client.key, 200)
}

#[tokio::test]
async fn the_real_key_stands_in_each_message_and_comes_back_in_none() {
    let sea = Harbour::open().await;
    let house = house_by(&sea).await;
    let client = house.client().await;
    // As it stands in JSON: a key may hold what has an escape there.
    let real = json!(house.canary.plain()).to_string().trim_matches('"').to_owned();
    let mut socket = house.sail("/sea/iex", "").await.aboard();
    socket.text(&subscription(&client)).await;
    let blanked = asked("subscribe", &"*".repeat(real.len()), 200);
    assert_eq!(socket.hear_text().await, blanked);
    let head = sea.heads().pop().unwrap();
    assert!(!head.contains(&real) && !head.contains("mdw_"), "{head}");

    // In pieces, with a ping between them, and with another key: none but the real one goes on.
    for key in [client.key.as_str(), "mdw_nobody's", ""] {
        let said = asked("unsubscribe", key, 200);
        let (one, two) = said.as_bytes().split_at(40);
        socket.frame(false, TEXT, one).await;
        socket.frame(true, PING, b"there?").await;
        let pong = socket.hear().await;
        assert_eq!((pong.opcode, pong.payload), (PONG, b"there?".to_vec()));
        socket.frame(true, CONTINUATION, two).await;
        let back = asked("unsubscribe", &"*".repeat(real.len()), 200);
        assert_eq!(socket.hear_text().await, back);
    }
    socket.text("{\"eventName\":\"heartbeat\"}").await;
    assert_eq!(socket.hear_text().await, "{\"eventName\":\"heartbeat\"}");
    let said: Vec<String> =
        sea.messages().into_iter().map(|(_, said)| String::from_utf8(said).unwrap()).collect();
    let wanted = [
        asked("subscribe", &real, 200),
        String::from("there?"),
        asked("unsubscribe", &real, 200),
        String::from("there?"),
        asked("unsubscribe", &real, 200),
        String::from("there?"),
        asked("unsubscribe", &real, 200),
        String::from("{\"eventName\":\"heartbeat\"}"),
    ];
    assert_eq!(said, wanted);
    drop(socket);
    let record = last_record(&house, &client, 1).await;
    assert_eq!(record["detail"], json!({"messages_in": 5, "messages_out": 5}), "{record}");
    house.leave().await;
}

#[tokio::test]
async fn a_message_in_which_it_is_not_plain_where_the_key_stands_ends_the_socket() {
    let sea = Harbour::open().await;
    let house = house_by(&sea).await;
    let client = house.client().await;
    let doubtful = [
        format!("{{\"authorization\":\"a\",\"authorization\":\"{}\"}}", client.key),
        format!("{{\"authorization\":\"a\",\"authoriz\\u0061tion\":\"{}\"}}", client.key),
        format!("[{{\"authorization\":\"{}\"}}]", client.key),
        format!("{{\"authorization\":\"{}\"}} x", client.key),
        String::from("hello"),
    ];
    for said in &doubtful {
        let mut socket = house.sail("/sea/iex", "").await.aboard();
        socket.text(&subscription(&client)).await;
        socket.hear_text().await;
        let before = sea.messages().len();
        socket.text(said).await;
        assert_eq!(socket.hear_close().await.0, 1002, "{said}");
        assert!(sea.messages()[before..].iter().all(|(opcode, _)| *opcode != TEXT), "{said}");
    }
    house.leave().await;
}

#[tokio::test]
async fn who_shows_no_key_or_a_wrong_one_hears_a_no_of_tiingos() {
    let sea = Harbour::open().await;
    let house = house_by(&sea).await;
    let client = house.client().await;
    let key = format!("X-API-Key: {}\r\n", client.key);
    assert_eq!(house.sail("/sea/iex", &key).await.status(), 400);
    // A no that is not about the key: the client may ask better.
    let mut socket = house.sail("/sea/iex", "").await.aboard();
    socket.text(&asked("subscribe", &client.key, 400)).await;
    assert!(socket.hear_text().await.contains("\"code\":400"));
    socket.text(&subscription(&client)).await;
    assert!(socket.hear_text().await.contains("\"code\":200"));
    for wrong in [
        asked("subscribe", &format!("mdw_{}", "0".repeat(46)), 200),
        asked("subscribe", "a key of Tiingo's own kind", 200),
        asked("unsubscribe", &client.key, 200),
        String::from("{\"eventName\":\"subscribe\"}"),
        String::from("hello"),
    ] {
        let mut socket = house.sail("/sea/iex", "").await.aboard();
        socket.text(&wrong).await;
        let no: Value = serde_json::from_str(&socket.hear_text().await).unwrap();
        assert_eq!((&no["messageType"], &no["response"]["code"]), (&json!("E"), &json!(401)));
        assert_eq!(socket.hear_close().await.0, 1008, "{wrong}");
    }
    assert_eq!(sea.heads().len(), 1);
    // The far side refuses the real key: the client hears that, and it is over.
    let mut socket = house.sail("/sea/iex", "").await.aboard();
    socket.text(&asked("subscribe", &client.key, 401)).await;
    assert!(socket.hear_text().await.contains("\"code\":401"));
    socket.hear_close().await;
    house.leave().await;
}
