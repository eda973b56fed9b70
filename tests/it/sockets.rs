//! WebSockets whose key stands in the handshake: how they are opened, what passes on them, what does
//! not, and how they end.

use std::time::Duration;

use serde_json::json;

use crate::house::frames::{BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT};
use crate::house::{Client, Harbour, House, Plan, header};
use crate::resilience::last_record;

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

fn key_of(client: &Client) -> String {
    format!("X-API-Key: {}\r\n", client.key)
}

#[tokio::test]
async fn a_socket_opens_with_the_real_key_and_echoes_what_is_said() {
    let sea = Harbour::open().await;
    let house = house_by(&sea, "", "").await;
    let client = house.client().await;
    let lines = format!(
        "{}Sec-WebSocket-Extensions: permessage-deflate\r\nX-Mine: seven\r\n\
         Content-Type: application/msgpack\r\n",
        key_of(&client)
    );
    let mut socket = house.sail("/sea/echo?feed=sip&a=%20", &lines).await.aboard();
    assert_eq!(socket.header("upgrade"), Some("websocket"));
    assert_eq!(socket.header("connection"), Some("Upgrade"));
    assert_eq!(socket.header("sec-websocket-extensions"), None);
    assert_eq!(socket.header("x-pier"), Some("seven"), "the rest of the head is the provider's");
    assert!(socket.header("x-request-id").is_some());
    let head = &sea.heads()[0];
    assert!(head.starts_with("GET /sea/echo?feed=sip&a=%20 HTTP/1.1\r\n"), "{head}");
    assert_eq!(header(head, "authorization"), Some(&*format!("Bearer {}", house.canary.plain())));
    assert_eq!(header(head, "host"), Some(&*format!("localhost:{}", sea.address.port())));
    assert_eq!(header(head, "x-mine"), Some("seven"));
    assert_eq!(header(head, "content-type"), Some("application/msgpack"));
    assert_eq!(header(head, "sec-websocket-version"), Some("13"));
    assert_eq!(header(head, "sec-websocket-extensions"), None);
    assert_ne!(header(head, "sec-websocket-key"), Some(crate::house::KEY));
    assert!(!head.contains("mdw_") && header(head, "x-api-key").is_none(), "{head}");

    socket.text("hello").await;
    assert_eq!(socket.hear_text().await, "hello");
    let large = vec![7; 300_000];
    socket.frame(true, BINARY, &large).await;
    let heard = socket.hear().await;
    assert!(heard.opcode == BINARY && heard.payload == large);
    socket.frame(false, TEXT, b"in ").await;
    socket.frame(true, PING, b"are you there").await;
    socket.frame(true, CONTINUATION, b"two").await;
    let heard = [socket.hear().await, socket.hear().await, socket.hear().await];
    let heard = heard.map(|frame| (frame.is_last, frame.opcode, frame.payload));
    assert_eq!(
        heard,
        [
            (false, TEXT, b"in ".to_vec()),
            (true, PONG, b"are you there".to_vec()),
            (true, CONTINUATION, b"two".to_vec()),
        ]
    );
    socket.frame(true, CLOSE, &[&3_000_u16.to_be_bytes()[..], b"done"].concat()).await;
    assert_eq!(socket.hear_close().await, (3_000, String::from("done")));
    sea.wait_for_open(0).await;

    let record = last_record(&house, &client, 1).await;
    assert_eq!(record["endpoint"], "/echo", "{record}");
    assert_eq!((&record["status_code"], &record["end"]), (&101.into(), &"complete".into()));
    assert_eq!(record["detail"], json!({"messages_in": 3, "messages_out": 3}), "{record}");
    assert!(record["bytes_in"].as_u64().unwrap() > 300_000, "{record}");
    assert!(record["bytes_out"].as_u64().unwrap() > 300_000, "{record}");
    house.leave().await;
}

#[tokio::test]
async fn the_clients_key_may_stand_in_any_slot_of_the_handshake() {
    let sea = Harbour::open().await;
    let ways = "[providers.sea.socket]\nsubprotocol = \"insecure-key.\"\n\
                inject = [{ at = \"query\", name = \"token\" }]\n";
    let house = house_by(&sea, ways, "").await;
    let client = house.client().await;
    let key = &client.key;
    for (path, lines) in [
        (
            "/sea/choice?a=1",
            format!("Authorization: Bearer {key}\r\nSec-WebSocket-Protocol: realtime\r\n"),
        ),
        (
            &*format!("/sea/choice?token={key}&a=1"),
            String::from("Sec-WebSocket-Protocol: realtime\r\n"),
        ),
        (
            "/sea/choice?a=1",
            format!("Sec-WebSocket-Protocol: realtime, insecure-key.{key}, beta.v1\r\n"),
        ),
        (
            "/sea/choice?a=1",
            format!("Sec-WebSocket-Protocol: {key}\r\nSec-WebSocket-Protocol: realtime\r\n"),
        ),
    ] {
        let mut socket = house.sail(path, &lines).await.aboard();
        assert_eq!(socket.header("sec-websocket-protocol"), Some("realtime"));
        socket.text("here").await;
        assert_eq!(socket.hear_text().await, "here");
        socket.leave().await;
        let head = sea.heads().pop().unwrap();
        assert!(head.starts_with("GET /sea/choice?a=1&token=canary-"), "{head}");
        assert_eq!(header(&head, "authorization"), None, "it stands in the query of sockets alone");
        let offers = header(&head, "sec-websocket-protocol").unwrap();
        assert!(["realtime", "realtime, beta.v1"].contains(&offers), "{offers}");
    }
    let other = house.client().await;
    let two = format!("Sec-WebSocket-Protocol: insecure-key.{key}\r\nX-API-Key: {}\r\n", other.key);
    assert_eq!(house.sail("/sea/choice", &two).await.status(), 400);
    assert_eq!(house.sail("/sea/choice", "").await.status(), 401);
    assert_eq!(sea.heads().len(), 4);
    house.leave().await;
}

#[tokio::test]
async fn a_key_that_comes_back_is_masked_by_as_many_stars() {
    let sea = Harbour::open().await;
    let house = house_by(&sea, "", "").await;
    let client = house.client().await;
    let mut socket = house.sail("/sea/leak", &key_of(&client)).await.aboard();
    let masked = format!("{{\"your key\":\"{}\"}}", "*".repeat(house.canary.plain().len()));
    assert_eq!(socket.hear_text().await, masked);
    let mut whole = Vec::new();
    for opcode in [BINARY, PING, CONTINUATION] {
        let frame = socket.hear().await;
        assert_eq!(frame.opcode, opcode);
        if opcode != PING {
            whole.extend(frame.payload);
        }
    }
    assert_eq!(String::from_utf8(whole).unwrap(), masked);
    socket.leave().await;
    let record = last_record(&house, &client, 1).await;
    assert_eq!(record["scrub_hits"], 2, "{record}");

    let socket = house.sail("/sea/key-in-head", &key_of(&client)).await.aboard();
    assert!(socket.header("x-echoed").unwrap().contains("***"), "{}", socket.head);
    house.leave().await;
}

#[tokio::test]
async fn what_comes_with_the_head_is_heard_and_what_was_sent_before_it_waits() {
    let sea = Harbour::open().await;
    let house = house_by(&sea, "", "").await;
    let client = house.client().await;
    let mut socket = house.sail("/sea/early", &key_of(&client)).await.aboard();
    assert_eq!(socket.hear_text().await, "early");
    socket.leave().await;

    let frame = crate::house::frames::written(true, TEXT, b"impatient", Some([1, 2, 3, 4]));
    let head = format!(
        "GET /sea/echo HTTP/1.1\r\nHost: x\r\n{}Connection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {}\r\n\r\n",
        key_of(&client),
        crate::house::KEY
    );
    let mut socket = house.sail_raw(&[head.as_bytes(), &frame].concat()).await.aboard();
    assert_eq!(socket.hear_text().await, "impatient");
    socket.leave().await;
    house.leave().await;
}

#[tokio::test]
async fn an_answer_that_is_no_socket_passes_and_nothing_behind_it_is_a_request() {
    let sea = Harbour::open().await;
    let house = house_by(&sea, "", "").await;
    let client = house.client().await;
    let head = format!(
        "GET /sea/refuse HTTP/1.1\r\nHost: x\r\n{0}Connection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {1}\r\n\r\n\
         GET /sea/smuggled HTTP/1.1\r\nHost: x\r\n{0}\r\n",
        key_of(&client),
        crate::house::KEY
    );
    let mut refused = house.sail_raw(head.as_bytes()).await;
    assert_eq!((refused.status(), refused.header("connection")), (403, Some("close")));
    assert_eq!(refused.rest().await, "no berth!");
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!((sea.heads().len(), sea.stray()), (1, 0));
    let record = last_record(&house, &client, 1).await;
    assert_eq!((&record["status_code"], &record["end"]), (&403.into(), &"complete".into()));
    house.leave().await;
}

#[tokio::test]
async fn a_socket_that_is_not_the_one_that_was_asked_for_is_refused() {
    let sea = Harbour::open().await;
    let house = house_by(&sea, "", "").await;
    let client = house.client().await;
    let lines = format!("{}Sec-WebSocket-Protocol: realtime\r\n", key_of(&client));
    for word in [
        "wrong-accept",
        "no-accept",
        "no-upgrade",
        "other-protocol",
        "unnominated",
        "extension",
        "strange-choice",
    ] {
        let mut refused = house.sail(&format!("/sea/{word}"), &lines).await;
        assert_eq!(refused.status(), 502, "{word}");
        assert_eq!(refused.header("x-sealgate-error"), Some("upstream_invalid"), "{word}");
        drop(refused.rest());
        sea.wait_for_open(0).await;
    }
    house.leave().await;
}

#[tokio::test]
async fn a_handshake_that_is_none_is_refused_before_anything_leaves() {
    let sea = Harbour::open().await;
    let house = house_by(&sea, "", "").await;
    let client = house.client().await;
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
    let version = "Sec-WebSocket-Version: 13\r\n";
    let nonce = format!("Sec-WebSocket-Key: {}\r\n", crate::house::KEY);
    for (method, lines) in [
        ("POST", format!("{upgrade}{version}{nonce}")),
        ("GET", format!("{upgrade}{nonce}")),
        ("GET", format!("{upgrade}Sec-WebSocket-Version: 8\r\n{nonce}")),
        ("GET", format!("{upgrade}{version}{version}{nonce}")),
        ("GET", format!("{upgrade}{version}")),
        ("GET", format!("{upgrade}{version}{nonce}{nonce}")),
        ("GET", format!("{upgrade}{version}Sec-WebSocket-Key: short\r\n")),
        ("GET", format!("{upgrade}{version}{nonce}Content-Length: 3\r\n")),
        ("GET", format!("{upgrade}{version}{nonce}Transfer-Encoding: chunked\r\n")),
    ] {
        let key = key_of(&client);
        let head = format!("{method} /sea/echo HTTP/1.1\r\nHost: x\r\n{key}{lines}\r\n");
        let refused = house.sail_raw(head.as_bytes()).await;
        assert_eq!(refused.status(), 400, "{lines}");
    }
    assert!(sea.heads().is_empty());
    // Where a provider has no sockets the wish is not heard: a server need not.
    let lines = format!("{}Sec-WebSocket-Extensions: x\r\n", key_of(&client));
    let plain = house.sail("/acme/echo", &lines).await;
    assert_eq!(plain.status(), 200);
    assert_eq!(house.provider.last().header("upgrade"), None);
    house.leave().await;
}

#[tokio::test]
async fn whoever_goes_takes_the_other_end_along() {
    let sea = Harbour::open().await;
    let house = house_by(&sea, "", "").await;
    let client = house.client().await;
    let socket = house.sail("/sea/echo", &key_of(&client)).await.aboard();
    sea.wait_for_open(1).await;
    drop(socket);
    tokio::time::timeout(A_SECOND, sea.wait_for_open(0)).await.expect("upstream stays");
    let left = last_record(&house, &client, 1).await;
    assert_eq!((&left["end"], &left["fault"]), (&"cut".into(), &"client".into()), "{left}");
    let goodbye = sea.messages().pop();
    assert_eq!(goodbye, Some((CLOSE, 1001_u16.to_be_bytes().to_vec())), "the provider is told");

    let mut socket = house.sail("/sea/vanish", &key_of(&client)).await.aboard();
    socket.text("go").await;
    socket.hear_the_end().await;
    let gone = last_record(&house, &client, 2).await;
    assert_eq!((&gone["end"], &gone["fault"]), (&"cut".into(), &"provider".into()), "{gone}");

    let mut socket = house.sail("/sea/farewell", &key_of(&client)).await.aboard();
    let heard = socket.hear().await;
    assert_eq!((heard.opcode, &heard.payload[..2]), (CLOSE, &4321_u16.to_be_bytes()[..]));
    socket.frame(true, CLOSE, &heard.payload).await;
    let _ = socket.rest().await;
    let said = last_record(&house, &client, 3).await;
    assert_eq!((&said["end"], &said["fault"]), (&"complete".into(), &json!(null)), "{said}");
    house.leave().await;
}

#[tokio::test]
async fn a_revoked_key_a_changed_one_and_a_sealed_vault_end_sockets_within_a_second() {
    let sea = Harbour::open().await;
    let house = house_by(&sea, "", "").await;
    let (client, other) = (house.client().await, house.client().await);
    let mut socket = house.sail("/sea/echo", &key_of(&client)).await.aboard();
    let mut stays = house.sail("/sea/echo", &key_of(&other)).await.aboard();
    sea.wait_for_open(2).await;
    let path = format!("/api/v1/admin/api-keys/{}", client.id);
    let revoked = house.admin.put(&path).json(&json!({"active": false})).send().await;
    assert_eq!(revoked.status, 200);
    let end = tokio::time::timeout(A_SECOND, socket.hear_close()).await.expect("it stays");
    assert_eq!(end, (1008, String::from("the client key has ended")));
    tokio::time::timeout(A_SECOND, sea.wait_for_open(1)).await.expect("upstream stays");
    stays.text("still here").await;
    assert_eq!(stays.hear_text().await, "still here");

    let path = format!("/api/v1/admin/api-keys/{}", other.id);
    let narrower = json!({"scopes": ["sea:GET:/elsewhere/**"]});
    assert_eq!(house.admin.put(&path).json(&narrower).send().await.status, 200);
    let end = tokio::time::timeout(A_SECOND, stays.hear_close()).await.expect("it stays");
    assert_eq!(end.0, 1012);

    let third = house.client().await;
    let mut socket = house.sail("/sea/echo", &key_of(&third)).await.aboard();
    assert_eq!(house.admin.post("/api/v1/admin/seal").send().await.status, 200);
    tokio::time::timeout(A_SECOND, socket.hear_the_end()).await.expect("it stays");
    tokio::time::timeout(A_SECOND, sea.wait_for_open(0)).await.expect("upstream stays");
    assert_eq!(house.sail("/sea/echo", &key_of(&third)).await.status(), 503);
    house.leave().await;
}

#[tokio::test]
async fn what_is_no_frame_ends_the_socket() {
    let sea = Harbour::open().await;
    let house = house_by(&sea, "", "").await;
    let client = house.client().await;
    for word in ["masked", "reserved"] {
        let mut socket = house.sail(&format!("/sea/{word}"), &key_of(&client)).await.aboard();
        assert_eq!(socket.hear_close().await.0, 1011, "{word}");
    }
    let record = last_record(&house, &client, 2).await;
    assert_eq!((&record["end"], &record["fault"]), (&"cut".into(), &"provider".into()), "{record}");
    for wrong in [&[0x81, 1, b'x'][..], &[0xc1, 0x80, 0, 0, 0, 0], &[0x80, 0x80, 0, 0, 0, 0]] {
        let mut socket = house.sail("/sea/echo", &key_of(&client)).await.aboard();
        socket.raw(wrong).await;
        assert_eq!(socket.hear_close().await.0, 1002, "{wrong:x?}");
        sea.wait_for_open(0).await;
    }
    let messages = sea.messages();
    let said = messages.iter().filter(|(opcode, _)| *opcode != CLOSE).count();
    assert_eq!(said, 0, "{messages:?}");
    house.leave().await;
}

#[tokio::test]
async fn a_quiet_socket_is_closed_after_the_providers_idle_time() {
    let sea = Harbour::open().await;
    let house = house_by(&sea, "timeouts = { idle_seconds = 60 }\n", "").await;
    let client = house.client().await;
    let mut socket = house.sail("/sea/echo", &key_of(&client)).await.aboard();
    for _ in 0..3 {
        house.clock.advance(Duration::from_secs(40));
        tokio::time::sleep(Duration::from_millis(250)).await;
        socket.text("on").await;
        assert_eq!(socket.hear_text().await, "on");
    }
    house.clock.advance(Duration::from_secs(61));
    assert_eq!(socket.hear_close().await.0, 1001);
    sea.wait_for_open(0).await;
    house.leave().await;
}

#[tokio::test]
async fn a_socket_is_one_call_and_holds_one_place() {
    let sea = Harbour::open().await;
    let house = house_by(&sea, "", "proxy.max_sockets = 2\n").await;
    let narrow = house.client_with(json!({"tier": "standard", "max_concurrent": 1})).await;
    let mut socket = house.sail("/sea/echo", &key_of(&narrow)).await.aboard();
    assert_eq!(socket.header("x-sealgate-ratelimit-used"), Some("1"));
    let second = house.sail("/sea/echo", &key_of(&narrow)).await;
    assert_eq!(second.status(), 429, "{}", second.head);
    socket.text("one").await;
    assert_eq!(socket.hear_text().await, "one");
    drop(socket);
    sea.wait_for_open(0).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let again = house.sail("/sea/echo", &key_of(&narrow)).await.aboard();
    assert_eq!(again.header("x-sealgate-ratelimit-used"), Some("2"));

    let client = house.client().await;
    let _other = house.sail("/sea/echo", &key_of(&client)).await.aboard();
    let third = house.sail("/sea/echo", &key_of(&client)).await;
    assert_eq!(third.header("x-sealgate-error"), Some("overloaded"), "{}", third.head);
    assert_eq!(sea.heads().len(), 3, "nothing leaves for it");
    house.leave().await;
}

#[tokio::test]
async fn a_reader_that_is_slow_holds_the_provider_up_and_loses_nothing() {
    let sea = Harbour::open().await;
    let house = house_by(&sea, "", "").await;
    let client = house.client().await;
    let mut socket = house.sail("/sea/flood?n=400", &key_of(&client)).await.aboard();
    tokio::time::sleep(Duration::from_millis(300)).await;
    for _ in 0..400 {
        let frame = socket.hear().await;
        assert!(frame.payload.len() == 64 * 1024 && frame.payload.iter().all(|byte| *byte == b'f'));
    }
    socket.text("and now").await;
    assert_eq!(socket.hear_text().await, "and now");
    socket.leave().await;
    house.leave().await;
}

#[tokio::test]
async fn a_secret_that_was_sealed_for_calls_alone_opens_no_socket() {
    let sea = Harbour::open().await;
    let mut house = house_by(&sea, "", "").await;
    let moved = std::fs::read_to_string(house.path().join("sealgate.toml")).unwrap();
    let moved = moved.replace("/sea\"\ncategory", "/ocean\"\ncategory");
    std::fs::write(house.path().join("sealgate.toml"), moved).unwrap();
    house.restart().await;
    let client = house.client().await;
    let refused = house.sail("/sea/echo", &key_of(&client)).await;
    assert_eq!(refused.header("x-sealgate-error"), Some("no_secret"), "{}", refused.head);
    assert!(sea.heads().is_empty());
    house.leave().await;
}

#[tokio::test]
async fn a_house_that_ends_says_goodbye_to_its_sockets() {
    let sea = Harbour::open().await;
    let mut house = house_by(&sea, "", "").await;
    let client = house.client().await;
    let mut socket = house.sail("/sea/echo", &key_of(&client)).await.aboard();
    let ending = tokio::spawn(async move {
        house.shut().await;
        house
    });
    let end = tokio::time::timeout(SOON, socket.hear_close()).await.expect("it stays");
    assert_eq!(end, (1001, String::from("Sealgate ends")));
    let mut house = ending.await.unwrap();
    house.try_start().await.unwrap();
    house.leave().await;
}
