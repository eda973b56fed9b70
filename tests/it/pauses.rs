//! Clients that pause: between two calls, within a head, and before they read what they are
//! answered. Their connections cost little meanwhile, and go on where they stood.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::house::{Client, House, Plan};

/// Longer than a conversation stays without a call.
const PAUSE: Duration = Duration::from_secs(3);
/// Of the ticker, which runs on real time.
const NOTICED: Duration = Duration::from_millis(400);

fn request(client: &Client, method: &str, path: &str) -> String {
    let key = &client.key;
    format!("{method} {path} HTTP/1.1\r\nHost: gate.test\r\nX-API-Key: {key}\r\n\r\n")
}

async fn pause(house: &House, pause: Duration) {
    house.clock.advance(pause);
    tokio::time::sleep(NOTICED).await;
}

/// One answer, whose body comes in chunks; None where the connection is closed instead.
async fn answer(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut all = Vec::new();
    while !all.ends_with(b"\r\n0\r\n\r\n") {
        let read = tokio::time::timeout(Duration::from_secs(20), stream.read_buf(&mut all));
        if matches!(read.await.unwrap(), Ok(0) | Err(_)) {
            return None;
        }
    }
    let head = String::from_utf8_lossy(all.get(..400).unwrap_or_default()).to_lowercase();
    assert!(head.starts_with("http/1.1 200"), "{head}");
    assert!(!head.contains("connection: close"), "{head}");
    Some(all)
}

#[tokio::test]
async fn a_client_that_pauses_goes_on_over_the_same_connection() {
    let house = House::open().await;
    let client = house.client().await;
    let mut stream = TcpStream::connect(house.proxy_address()).await.unwrap();
    let whole = request(&client, "GET", "/acme/x?a=b");
    for cut in [whole.len(), 1, 30, whole.len() - 2] {
        // Within a head, too, and more than once.
        let (first, rest) = whole.split_at(cut);
        stream.write_all(first.as_bytes()).await.unwrap();
        if !rest.is_empty() {
            pause(&house, PAUSE).await;
            pause(&house, PAUSE).await;
            stream.write_all(rest.as_bytes()).await.unwrap();
        }
        assert!(answer(&mut stream).await.is_some(), "closed, with a pause at {cut}");
        pause(&house, PAUSE).await;
    }
    // Two at once after a pause: each has its answer.
    let both = [whole.as_str(), &whole].concat();
    stream.write_all(both.as_bytes()).await.unwrap();
    let mut all = Vec::new();
    let reading = async {
        while memchr::memmem::find_iter(&all, b"HTTP/1.1 ").count() < 2 {
            assert!(stream.read_buf(&mut all).await.unwrap() > 0, "closed");
        }
    };
    tokio::time::timeout(Duration::from_secs(10), reading).await.unwrap();
    house.leave().await;
}

#[tokio::test]
async fn a_head_that_never_ends_and_a_line_without_calls_are_closed() {
    let house = House::open().await;
    let client = house.client().await;
    let connect = || TcpStream::connect(house.proxy_address());
    let whole = request(&client, "GET", "/acme/x");
    let (mut slow, mut idle) = (connect().await.unwrap(), connect().await.unwrap());
    for stream in [&mut slow, &mut idle] {
        stream.write_all(whole.as_bytes()).await.unwrap();
        assert!(answer(stream).await.is_some());
    }
    pause(&house, PAUSE).await;
    // A byte now and then does not help.
    for byte in whole.bytes().take(11) {
        if slow.write_all(&[byte]).await.is_err() {
            break;
        }
        pause(&house, PAUSE).await;
    }
    assert!(answer(&mut slow).await.is_none(), "a head took more than half a minute");
    idle.write_all(whole.as_bytes()).await.unwrap();
    assert!(answer(&mut idle).await.is_some(), "silent for half a minute");
    pause(&house, PAUSE).await;
    pause(&house, Duration::from_secs(125)).await;
    assert!(answer(&mut idle).await.is_none(), "silent for two minutes");
    house.leave().await;
}

#[tokio::test]
async fn whoever_reads_late_reads_everything() {
    let house = House::open().await;
    let client = house.client().await;
    let mut stream = TcpStream::connect(house.proxy_address()).await.unwrap();
    const BYTES: usize = 24 << 20;
    let request = request(&client, "GET", &format!("/acme/flood?bytes={BYTES}"));
    stream.write_all(request.as_bytes()).await.unwrap();
    for _ in 0..3 {
        pause(&house, PAUSE).await;
    }
    let all = answer(&mut stream).await.expect("an answer");
    assert!(memchr::memchr_iter(b'f', &all).count() >= BYTES);
    // And asks again.
    stream.write_all(request.as_bytes()).await.unwrap();
    assert!(answer(&mut stream).await.is_some());
    house.leave().await;
}

#[tokio::test]
async fn a_stranger_is_waited_for_less_long_than_somebody_known() {
    let house = House::open().await;
    let client = house.client().await;
    let connect = || TcpStream::connect(house.proxy_address());
    let (mut known, mut stranger, mut silent) =
        (connect().await.unwrap(), connect().await.unwrap(), connect().await.unwrap());
    let whole = request(&client, "GET", "/acme/x");
    known.write_all(whole.as_bytes()).await.unwrap();
    assert!(answer(&mut known).await.is_some());
    stranger.write_all(b"GET /acme/x HTTP/1.1\r\nHost: gate.test\r\n\r\n").await.unwrap();
    let mut head = [0; 12];
    stranger.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 401");
    for _ in 0..5 {
        pause(&house, PAUSE).await;
    }
    for (who, stream) in [("refused", &mut stranger), ("silent", &mut silent)] {
        let mut rest = Vec::new();
        let end = stream.read_to_end(&mut rest);
        let end = tokio::time::timeout(Duration::from_secs(5), end).await;
        assert!(end.is_ok(), "{who}: still open");
    }
    known.write_all(whole.as_bytes()).await.unwrap();
    assert!(answer(&mut known).await.is_some());
    house.leave().await;
}

#[tokio::test]
async fn whoever_finds_no_place_is_hung_up_on_and_told_in_the_figures() {
    let settings = "proxy.max_connections = 2\n".to_owned();
    let house = House::planned(Plan { settings, ..Plan::default() }).await;
    let client = house.client().await;
    let whole = request(&client, "GET", "/acme/x");
    let mut inside = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(house.proxy_address()).await.unwrap();
        stream.write_all(whole.as_bytes()).await.unwrap();
        assert!(answer(&mut stream).await.is_some());
        inside.push(stream);
    }
    let turned_away = || async {
        let mut stream = TcpStream::connect(house.proxy_address()).await.unwrap();
        let _sent = stream.write_all(whole.as_bytes()).await;
        answer(&mut stream).await.is_none()
    };
    assert!(turned_away().await, "a third one was let in");
    let figures = house.admin.get("/metrics").send().await.text();
    assert!(figures.contains("sealgate_client_connections 2\n"), "{figures}");
    let refused = "sealgate_client_connections_refused_total{full=\"total\"} 1\n";
    assert!(figures.contains(refused), "{figures}");
    inside.pop();
    tokio::time::sleep(NOTICED).await;
    assert!(!turned_away().await, "the place of one who left is free");
    house.leave().await;
}

#[tokio::test]
async fn whoever_is_silent_makes_room_where_places_are_few() {
    let settings = "proxy.max_connections = 8\n".to_owned();
    let house = House::planned(Plan { settings, ..Plan::default() }).await;
    let client = house.client().await;
    let whole = request(&client, "GET", "/acme/x");
    let mut silent = Vec::new();
    for _ in 0..5 {
        let mut stream = TcpStream::connect(house.proxy_address()).await.unwrap();
        stream.write_all(whole.as_bytes()).await.unwrap();
        assert!(answer(&mut stream).await.is_some());
        silent.push(stream);
    }
    for _ in 0..5 {
        pause(&house, PAUSE).await;
    }
    // There was room, so they are still here; now there is not.
    let mut last = silent.pop().unwrap();
    last.write_all(whole.as_bytes()).await.unwrap();
    assert!(answer(&mut last).await.is_some(), "closed though there was room");
    let mut others = Vec::new();
    for _ in 0..3 {
        let mut stream = TcpStream::connect(house.proxy_address()).await.unwrap();
        stream.write_all(whole.as_bytes()).await.unwrap();
        assert!(answer(&mut stream).await.is_some());
        others.push(stream);
    }
    tokio::time::sleep(NOTICED).await;
    for stream in &mut silent {
        assert!(answer(stream).await.is_none(), "silent for long, and still here");
    }
    last.write_all(whole.as_bytes()).await.unwrap();
    assert!(answer(&mut last).await.is_some(), "closed a moment after it had asked");
    house.leave().await;
}

#[tokio::test]
async fn a_connection_of_http2_without_calls_is_closed() {
    let house = House::open().await;
    let client = house.client().await;
    let stream = TcpStream::connect(house.proxy_address()).await.unwrap();
    let (mut calls, connection) = h2::client::handshake(stream).await.unwrap();
    let connection = tokio::spawn(connection);
    let call = http::Request::get("http://gate.test/acme/x").header("X-API-Key", &client.key);
    let (answer, _) = calls.send_request(call.body(()).unwrap(), true).unwrap();
    let mut answer = answer.await.unwrap();
    assert_eq!(answer.status(), 200);
    while let Some(piece) = answer.body_mut().data().await {
        let _given = answer.body_mut().flow_control().release_capacity(piece.unwrap().len());
    }
    drop(answer);
    for _ in 0..5 {
        pause(&house, PAUSE).await;
    }
    assert!(!connection.is_finished(), "closed while it is known and young");
    pause(&house, Duration::from_secs(125)).await;
    let end = tokio::time::timeout(Duration::from_secs(5), connection).await;
    assert!(end.is_ok(), "silent for two minutes");
    house.leave().await;
}

#[tokio::test]
async fn whoever_only_pings_over_http2_is_left_and_harms_nobody() {
    let house = House::open().await;
    let client = house.client().await;
    let mut stream = TcpStream::connect(house.proxy_address()).await.unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let pings = b"\0\0\x08\x06\0\0\0\0\0aaaaaaaa".repeat(5_000);
    let flood = async {
        let _sent = stream.write_all(&pings).await;
        let mut answers = Vec::new();
        // Reset or closed, both are an end.
        let _read = stream.read_to_end(&mut answers).await;
    };
    tokio::time::timeout(Duration::from_secs(5), flood).await.expect("still there");
    assert_eq!(client.get("/acme/x").send().await.status, 200);
    house.leave().await;
}
