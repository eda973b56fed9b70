//! Hostile handshakes and hostile frames, at sockets whose key stands in the handshake and at those
//! whose key comes in a message: whatever is sent, the provider gets whole frames of a client that
//! is known or nothing, everything ends, and the next good socket is opened.

use std::time::Duration;

use serde_json::json;

use crate::house::frames::{BINARY, CLOSE, CONTINUATION, PING, TEXT, written};
use crate::house::{Client, Harbour, House, KEY, Plan, Sailor};

const MASK: Option<[u8; 4]> = Some([1, 2, 3, 4]);
const SOON: Duration = Duration::from_secs(5);

async fn house_by(sea: &Harbour, more: &str) -> House {
    let top = "auth.free_failures_per_minute = 1000000\n\
               proxy.max_unauthenticated_sockets = 1000\n";
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

/// Name, method, version, headers in place of the usual ones, and the status that is answered.
fn handshakes() -> Vec<(&'static str, &'static str, &'static str, String, &'static [u16])> {
    let usual = format!(
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: {KEY}\r\n"
    );
    let with = |from: &str, to: &str| usual.replace(from, to);
    let more = |line: &str| format!("{usual}{line}\r\n");
    vec![
        ("POST", "POST", "1.1", usual.clone(), &[400]),
        ("HEAD", "HEAD", "1.1", usual.clone(), &[400]),
        ("version 8", "GET", "1.1", with("Version: 13", "Version: 8"), &[400]),
        ("no version", "GET", "1.1", with("Sec-WebSocket-Version: 13\r\n", ""), &[400]),
        ("two versions", "GET", "1.1", more("Sec-WebSocket-Version: 13"), &[400]),
        ("a list of versions", "GET", "1.1", with("Version: 13", "Version: 13, 8"), &[400]),
        ("no key", "GET", "1.1", with(&format!("Sec-WebSocket-Key: {KEY}\r\n"), ""), &[400]),
        ("two keys", "GET", "1.1", more(&format!("Sec-WebSocket-Key: {KEY}")), &[400]),
        ("a short key", "GET", "1.1", with(KEY, "c2hvcnQ="), &[400]),
        ("a long key", "GET", "1.1", with(KEY, &"A".repeat(64)), &[400]),
        ("a key that is no base64", "GET", "1.1", with(KEY, "!!!!!!!!!!!!!!!!!!!!!!=="), &[400]),
        ("a body by length", "GET", "1.1", more("Content-Length: 3"), &[400]),
        ("a body in chunks", "GET", "1.1", more("Transfer-Encoding: chunked"), &[400]),
        (
            "both framings",
            "GET",
            "1.1",
            more("Content-Length: 0\r\nTransfer-Encoding: chunked"),
            &[400],
        ),
        ("a second credential", "GET", "1.1", more("Authorization: Bearer mdw_x"), &[400, 401]),
        (
            "a subprotocol that is no list",
            "GET",
            "1.1",
            more("Sec-WebSocket-Protocol: a,\u{e9}"),
            &[400, 101],
        ),
        ("a name that climbs", "GET /sea/../admin", "1.1", usual.clone(), &[400]),
        ("a path with a slash encoded twice", "GET /sea/%2e%2e/x", "1.1", usual.clone(), &[400]),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_hostile_handshake_opens_anything() {
    let sea = Harbour::open().await;
    let house = house_by(&sea, "").await;
    let client = house.client().await;
    for (name, method, version, lines, wanted) in handshakes() {
        let target = if method.contains(' ') { "" } else { " /sea/echo" };
        let request = format!(
            "{method}{target} HTTP/{version}\r\nHost: gate.test\r\n{}{lines}\r\n",
            key_of(&client)
        );
        let before = sea.heads().len();
        let behind = written(true, TEXT, b"said too early", MASK);
        let bytes = [request.into_bytes(), behind].concat();
        let mut socket = house.sail_raw(&bytes).await;
        assert!(wanted.contains(&socket.status()), "{name}: {}", socket.head);
        if socket.status() == 101 {
            continue;
        }
        assert_eq!(sea.heads().len(), before, "{name}: it left");
        let rest = tokio::time::timeout(SOON, socket.rest()).await.expect(name);
        assert!(!rest.contains("HTTP/1."), "{name}: what follows was taken for a request: {rest}");
        good(&house, &client).await;
    }
    house.leave().await;
}

/// What becomes of frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// A goodbye with 1002, and nothing of it at the provider.
    Malformed,
    /// They are the provider's affair, and come back from this one.
    Echoed,
    /// They say goodbye.
    Goodbye,
    /// Nothing is said: they want more, and it ends with the client.
    Waits,
}

fn frames() -> Vec<(&'static str, Vec<u8>, Then)> {
    let masked = |first: u8, length: &[u8], payload: &[u8]| {
        [&[first][..], length, &[1, 2, 3, 4], payload].concat()
    };
    vec![
        ("no mask", written(true, TEXT, b"x", None), Then::Malformed),
        ("an unmasked ping", written(true, PING, b"x", None), Then::Malformed),
        ("an unmasked close", written(true, CLOSE, &[3, 232], None), Then::Malformed),
        ("the first reserved bit", masked(0xc1, &[0x80], b""), Then::Malformed),
        ("the second", masked(0xa1, &[0x80], b""), Then::Malformed),
        ("the third", masked(0x91, &[0x80], b""), Then::Malformed),
        ("a reserved opcode", masked(0x83, &[0x80], b""), Then::Malformed),
        ("the last opcode", masked(0x8f, &[0x80], b""), Then::Malformed),
        ("a continuation of nothing", masked(0x80, &[0x80], b""), Then::Malformed),
        ("a ping in pieces", masked(0x09, &[0x80], b""), Then::Malformed),
        ("a close in pieces", masked(0x08, &[0x80], b""), Then::Malformed),
        ("a ping of 126", masked(0x89, &[0xfe, 0, 126], &[7; 126]), Then::Malformed),
        ("a close of 64 KiB", masked(0x88, &[0xff, 0, 0, 0, 0, 0, 1, 0, 0], b""), Then::Malformed),
        (
            "more than there is room for in 63 bits",
            masked(0x82, &[0xff, 0x80, 0, 0, 0, 0, 0, 0, 0], b""),
            Then::Malformed,
        ),
        (
            "a message within a message",
            [written(false, TEXT, b"a", MASK), written(true, TEXT, b"b", MASK)].concat(),
            Then::Malformed,
        ),
        ("half a head", vec![0x81], Then::Waits),
        ("a head without a mask's end", vec![0x81, 0x85, 1, 2], Then::Waits),
        ("a message that is never ended", written(false, TEXT, b"and", MASK), Then::Waits),
        ("text that is none", written(true, TEXT, &[0xff, 0xfe, 0x80], MASK), Then::Echoed),
        ("nothing at all", written(true, TEXT, b"", MASK), Then::Echoed),
        (
            "a length that is longer than it need be",
            masked(0x82, &[0xfe, 0, 1], &[9]),
            Then::Echoed,
        ),
        ("a close with half a code", written(true, CLOSE, &[3], MASK), Then::Goodbye),
        ("a close with no code", written(true, CLOSE, b"", MASK), Then::Goodbye),
        ("a close that nobody may say", written(true, CLOSE, &[3, 237], MASK), Then::Goodbye),
        (
            "a close of a reason that is no text",
            written(true, CLOSE, &[3, 232, 0xff], MASK),
            Then::Goodbye,
        ),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_hostile_frame_reaches_a_provider_as_anything_but_a_frame() {
    let sea = Harbour::open().await;
    let house = house_by(&sea, "").await;
    let client = house.client().await;
    for (name, bytes, then) in frames() {
        let mut socket = house.sail("/sea/echo", &key_of(&client)).await.aboard();
        let before = sea.messages().len();
        socket.raw(&bytes).await;
        match then {
            Then::Malformed => {
                let heard = tokio::time::timeout(SOON, socket.hear_close()).await.expect(name);
                assert_eq!(heard.0, 1002, "{name}");
                let messages = sea.messages();
                // What was whole before it may have passed.
                let said = messages[before..].iter().filter(|(opcode, _)| *opcode != CLOSE);
                assert!(said.clone().all(|(_, payload)| payload == b"a"), "{name}: {messages:?}");
            }
            Then::Echoed => {
                let frame = tokio::time::timeout(SOON, socket.hear()).await.expect(name);
                assert!([TEXT, BINARY].contains(&frame.opcode), "{name}: {frame:?}");
                drop(socket);
            }
            Then::Goodbye => {
                let frame = tokio::time::timeout(SOON, socket.hear()).await.expect(name);
                assert_eq!(frame.opcode, CLOSE, "{name}");
                tokio::time::timeout(SOON, socket.hear_the_end()).await.expect(name);
            }
            Then::Waits => drop(socket),
        }
        tokio::time::timeout(SOON, sea.wait_for_open(0)).await.expect(name);
        good(&house, &client).await;
    }
    house.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_a_stranger_sends_leaves_the_house() {
    let sea = Harbour::open().await;
    let dialects = "[providers.sea.socket]\ninject = []\ndialects = [{ speaks = \"polygon\" }]\n";
    let house = house_by(&sea, dialects).await;
    let client = house.client().await;
    let auth = format!("{{\"action\":\"auth\",\"params\":\"{}\"}}", client.key);
    let mut cases: Vec<(&str, Vec<u8>)> =
        frames().into_iter().map(|(name, bytes, _)| (name, bytes)).collect();
    let subscribe = br#"{"action":"subscribe","params":"T.AAPL"}"#;
    let nested = [vec![b'['; 9_000], vec![b']'; 9_000]].concat();
    cases.extend([
        (
            "the key in the second message",
            [written(true, TEXT, subscribe, MASK), written(true, TEXT, auth.as_bytes(), MASK)]
                .concat(),
        ),
        ("a key of nobody's", {
            let wrong = format!("{{\"action\":\"auth\",\"params\":\"mdw_{}\"}}", "0".repeat(46));
            written(true, TEXT, wrong.as_bytes(), MASK)
        }),
        ("the key twice in one message", {
            let twice =
                format!("{{\"action\":\"auth\",\"params\":\"x\",\"params\":[\"{}\"]}}", client.key);
            written(true, TEXT, twice.as_bytes(), MASK)
        }),
        ("the key in an array", written(true, TEXT, format!("[{auth}]").as_bytes(), MASK)),
        ("a nest of arrays", written(true, TEXT, &nested, MASK)),
        ("a message of 20 KiB", written(true, TEXT, &[b'x'; 20_000], MASK)),
        ("pieces without end", {
            let mut pieces = written(false, TEXT, b"{", MASK);
            (0..9_000).for_each(|_| pieces.extend(written(false, CONTINUATION, b"  ", MASK)));
            pieces
        }),
        ("pings and nothing else", {
            (0..500).flat_map(|_| written(true, PING, b"there?", MASK)).collect()
        }),
    ]);
    for (name, bytes) in cases {
        let mut socket = house.sail("/sea/polygon", "").await.aboard();
        assert!(socket.hear_text().await.contains("connected"), "{name}");
        socket.raw(&bytes).await;
        // Whatever is answered: the end comes with the client at the latest.
        tokio::time::sleep(Duration::from_millis(50)).await;
        drop(socket);
        assert!(sea.heads().is_empty(), "{name}: something left");
    }
    let mut socket = house.sail("/sea/polygon", "").await.aboard();
    let _connected = socket.hear_text().await;
    socket.text(&auth).await;
    assert!(socket.hear_text().await.contains("auth_success"));
    house.leave().await;
}

/// The next good one is opened.
async fn good(house: &House, client: &Client) {
    let mut socket: Sailor = house.sail("/sea/echo", &key_of(client)).await.aboard();
    socket.text("good").await;
    assert_eq!(socket.hear_text().await, "good");
    socket.leave().await;
}
