//! Clients that stand still: they say nothing, half a thing, or leave lying what they are answered.
//! Each is left after its time, and while it lasts nobody else waits. What the house's own clock
//! bounds is tried by that clock; what hyper and the runtime bound takes its time.

use std::sync::Arc;
use std::time::Duration;

use crate::case::{Placement, fetch};
use crate::frames::{END_HEADERS, END_STREAM, Frames, HEADERS, PREFACE, SETTINGS, block, frame};
use crate::recorder::{Script, Step};
use crate::run::Client;
use crate::scene::{Lane, Scene};
use crate::wire::{PATIENCE, Way, Wire};

/// Longer than a client may stand still, shorter than a provider may.
const TOO_LONG: Duration = Duration::from_secs(31);

const HALVES: &[(&str, &[u8])] = &[
    ("nothing", b""),
    ("a letter", b"G"),
    ("half a preface", b"PRI * HTTP/2.0\r\n"),
    ("a preface and no more", PREFACE),
    ("half a request line", b"GET /bearer/x HT"),
    ("half a head", b"GET /bearer/x HTTP/1.1\r\nHost: gate.test\r\nX-A"),
    ("empty lines", b"\r\n\r\n\r\n"),
];

fn bearer(scene: &Scene) -> Arc<Lane> {
    let lane = scene.lanes.iter().find(|lane| lane.placement == Placement::Bearer);
    Arc::clone(lane.unwrap())
}

async fn sent(way: &Way, bytes: &[u8]) -> Wire {
    let mut wire = Wire::open(way).await;
    wire.send(bytes).await;
    wire
}

/// A client of HTTP/2 that takes nothing of the answer to its one call.
async fn takes_nothing(scene: &Scene, lane: &Lane) -> Frames {
    let mut frames = Frames::silent(&scene.ways.http2).await;
    frames.grants = false;
    frames.wire.send(PREFACE).await;
    frames.wire.send(&frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0])).await;
    let ask = fetch("{p}/x").for_lane(lane);
    frames.ask(1, &ask.as_http2(), None).await;
    while !frames.decoded.starts_with(b":status") {
        assert!(frames.next(PATIENCE).await, "no head came");
    }
    frames
}

/// Small answers to many calls, until the other side writes no more, and so reads no more.
async fn reads_no_answers(scene: &Scene) -> Wire {
    let mut crowd = Wire::open(&scene.ways.http1).await;
    let id = "i".repeat(120);
    let call = format!("GET /healthz HTTP/1.1\r\nHost: gate.test\r\nX-Request-Id: {id}\r\n\r\n");
    let piece = call.repeat(400);
    for _ in 0..400 {
        let sending = crowd.send(piece.as_bytes());
        if !tokio::time::timeout(Duration::from_secs(2), sending).await.unwrap_or(false) {
            return crowd;
        }
    }
    panic!("it takes whatever it is sent");
}

async fn left(wire: &mut Wire, who: &str) {
    assert!(wire.until_closed(PATIENCE).await, "{who} is still there");
}

async fn still_answers(scene: &Scene, lane: &Lane) {
    lane.recorder.play(Script::Usual);
    let mut fresh = Client::One(Wire::open(&scene.ways.http1).await);
    lane.good(&mut fresh, true).await.unwrap();
    lane.search(&fresh, &lane.recorder.take().marks).unwrap();
}

async fn stand_still(scene: Scene) {
    let lane = bearer(&scene);
    let mut halves = Vec::new();
    for (name, bytes) in HALVES {
        halves.push((*name, sent(&scene.ways.http1, bytes).await));
    }
    let settled = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
    halves.push(("settings and no more", sent(&scene.ways.http2, &settled).await));
    let open = frame(HEADERS, END_STREAM, 1, &block(&[(":method", "GET")]));
    let open = [&settled[..], &open].concat();
    halves.push(("half a head of HTTP/2", sent(&scene.ways.http2, &open).await));
    let whole = frame(HEADERS, END_STREAM | END_HEADERS, 1, &block(&[(":method", "GET")]));
    let malformed = [&settled[..], &whole].concat();
    halves.push(("no call at all", sent(&scene.ways.http2, &malformed).await));

    // More than all buffers on the way hold.
    let body = "b".repeat(24 << 20);
    let large = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    lane.recorder.play(Script::Play(vec![Step::Say(large.into_bytes())]));
    let ask = fetch("{p}/x").for_lane(&lane);
    let mut unread = sent(&scene.ways.http1, &ask.as_http1()).await;
    let mut holds = takes_nothing(&scene, &lane).await;
    let mut crowd = reads_no_answers(&scene).await;
    still_answers(&scene, &lane).await;
    let mut idle = Client::One(Wire::open(&scene.ways.http1).await);
    lane.good(&mut idle, true).await.unwrap();

    tokio::time::sleep(Duration::from_millis(300)).await;
    scene.house.clock.advance(TOO_LONG);
    for (name, wire) in &mut halves {
        left(wire, name).await;
    }
    left(&mut holds.wire, "whoever opens no window").await;
    left(&mut crowd, "whoever reads no answers").await;
    left(&mut unread, "whoever reads no answer").await;
    assert!(unread.got.len() < body.len(), "it came whole");
    still_answers(&scene, &lane).await;
    // Who has asked before may be silent for a while.
    lane.good(&mut idle, true).await.unwrap();
    scene.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_stands_still_is_left() {
    stand_still(Scene::plain().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_stands_still_is_left_under_tls_too() {
    stand_still(Scene::over_tls().await).await;
}

/// The provider's time is not the client's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_provider_is_not_taken_for_a_slow_client() {
    let scene = Scene::plain().await;
    let lane = bearer(&scene);
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n";
    let pause = || Step::Pause(600);
    let say = |text: &str| Step::Say(text.as_bytes().to_vec());
    let steps = vec![pause(), say(head), pause(), say("half"), pause(), say("rest")];
    lane.recorder.play(Script::Play(steps));
    let ask = fetch("{p}/x").for_lane(&lane);
    let mut one = sent(&scene.ways.http1, &ask.as_http1()).await;
    let mut two = Frames::open(&scene.ways.http2).await;
    two.ask(1, &ask.as_http2(), None).await;
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        scene.house.clock.advance(TOO_LONG);
    }
    let heard = one.answer(false).await.unwrap();
    assert_eq!((heard.status, heard.whole, &heard.body[..]), (200, true, &b"halfrest"[..]));
    assert!(matches!(two.end_of(1).await, crate::frames::Ended::Answered(heard)
        if heard.body == b"halfrest"));
    drop((one, two));
    scene.leave().await;
}

/// A body that does not come: refused where nobody wants it, and bounded where it is awaited.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_does_not_come_holds_nothing_for_long() {
    let scene = Scene::plain().await;
    let lane = bearer(&scene);
    let words = lane.words();
    let head = "POST {p}/x HTTP/1.1\r\n{host}{auth}";
    let nobody = "POST {p}/x HTTP/1.1\r\n{host}Content-Length: 99\r\n\r\n{";
    let mut refused = sent(&scene.ways.http1, &words.fill(nobody.as_bytes())).await;
    assert_eq!(refused.answer(false).await.unwrap().status, 401);
    left(&mut refused, "whoever was refused").await;
    let mut waiting = Vec::new();
    for framing in [
        "Content-Length: 99\r\n\r\n{",
        "Transfer-Encoding: chunked\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nab",
        "Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFF\r\nabc",
    ] {
        let bytes = words.fill(format!("{head}{framing}").as_bytes());
        waiting.push((framing, sent(&scene.ways.http1, &bytes).await));
    }
    still_answers(&scene, &lane).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    scene.house.clock.advance(Duration::from_secs(61));
    for (framing, wire) in &mut waiting {
        let heard = wire.answer(false).await.unwrap();
        assert!([408, 504].contains(&heard.status), "{framing} {heard:?}");
        left(wire, framing).await;
    }
    still_answers(&scene, &lane).await;
    scene.leave().await;
}

/// Half a minute, as the runtime counts it, too; run beside a long table.
pub(crate) async fn half_a_second_request_and_half_a_document_end_by_themselves() {
    let (scene, under_tls) = (Scene::plain().await, Scene::over_tls().await);
    let lane = bearer(&scene);
    let json = scene.lanes.iter().find(|lane| lane.placement == Placement::Json).unwrap();
    let mut second = Client::One(Wire::open(&scene.ways.http1).await);
    lane.good(&mut second, true).await.unwrap();
    let Client::One(mut second) = second else { unreachable!("it is of HTTP/1.1") };
    second.send(b"GET /bearer/x HTTP/1.1\r\nX-Half").await;
    let half = "POST {p}/x HTTP/1.1\r\n{host}{auth}Content-Length: 99\r\n\r\n{";
    let mut document = sent(&scene.ways.http1, &json.words().fill(half.as_bytes())).await;
    // Somebody who never speaks TLS.
    let plain = Way { address: under_tls.ways.http1.address, tls: None };
    let mut greeting = sent(&plain, b"\x16\x03\x01").await;
    let within = Duration::from_secs(45);
    assert!(greeting.until_closed(within).await, "half a greeting of TLS is still there");
    scene.house.clock.advance(TOO_LONG);
    assert!(second.until_closed(within).await, "half a second request is still there");
    document.until_closed(within).await;
    assert_eq!(document.answer(false).await.unwrap().status, 408);
    assert!(document.closed, "half a document is still there");
    still_answers(&scene, &lane).await;
    scene.leave().await;
    under_tls.leave().await;
}

/// An answer that says it may be kept is not: each caller's call is one at the provider.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_answer_is_kept_for_another_caller() {
    let scene = Scene::plain().await;
    for lane in &scene.lanes {
        let steps = b"HTTP/1.1 200 OK\r\nCache-Control: public, max-age=999\r\nETag: \"a\"\r\n\
            X-Mark: {mark}\r\nContent-Length: 2\r\n\r\nok";
        lane.recorder.play(Script::Play(vec![Step::Say(steps.to_vec())]));
        let mut marks = Vec::new();
        for key in [&lane.key, &lane.other, &lane.key] {
            let call = fetch("{p}/same?a=b").bare().with("X-API-Key", key).for_lane(lane);
            let mut wire = sent(&scene.ways.http1, &call.as_http1()).await;
            let heard = wire.answer(false).await.unwrap();
            marks.extend(heard.header("x-mark").map(str::to_owned));
        }
        assert_eq!(marks, lane.recorder.take().marks);
        assert_eq!(marks.len(), 3);
    }
    scene.leave().await;
}
