//! Two hundred callers across a whole rotation, with calls, with bodies and with streams: whatever
//! the new key is worth, none of them gets what the old one would not have got. What cannot be sent
//! twice is counted apart.
//! Must never depend on which version happens to serve a call.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::Frame;
use serde_json::{Value, json};

use super::{NEW, OLD, Scene};
use crate::house::{Channel, Client, LAST_PIECE, Rule};

const CALLERS: usize = 200;
const CLIENTS: usize = 110;
/// The longest that is sent twice, and one that is not.
const LONG: usize = 64 * 1024;
const TOO_LONG: usize = 100 * 1024;

#[derive(Default)]
struct Kind {
    served: AtomicU64,
    failed: AtomicU64,
}

/// What callers got, by what they asked.
#[derive(Default)]
struct Crowd {
    plain: Kind,
    streams: Kind,
    bodies: Kind,
    too_long: Kind,
    is_over: AtomicBool,
}

/// Pieces of it, and nothing that says how many there are. All of them come back.
async fn of_unknown_length(client: &Client, bytes: usize) -> bool {
    let (sender, body) = Channel::open();
    let call = client.call(http::Method::POST, "/toll/x").body(reqwest::Body::wrap(body));
    let sending = tokio::spawn(async move {
        for piece in vec![b'x'; bytes].chunks(9_000) {
            // The other side may have given up already.
            let _ = sender.send(Ok(Frame::data(Bytes::copy_from_slice(piece)))).await;
        }
    });
    let answer = call.send().await;
    sending.await.unwrap();
    answer.status == 200 && answer.body.len() == bytes
}

impl Kind {
    fn note(&self, is_served: bool) {
        let count = if is_served { &self.served } else { &self.failed };
        count.fetch_add(1, Ordering::Relaxed);
    }

    fn served(&self) -> u64 {
        self.served.load(Ordering::Relaxed)
    }

    fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }
}

impl Crowd {
    async fn call(&self, client: &Client, number: usize) {
        let post = |bytes: usize| {
            let call = client.call(http::Method::POST, "/toll/x");
            call.body(vec![b'x'; bytes])
        };
        match number % 20 {
            0 => self.too_long.note(post(TOO_LONG).send().await.status == 200),
            1 => self.bodies.note(post(LONG).send().await.status == 200),
            2 => self.bodies.note(of_unknown_length(client, LONG).await),
            3 => self.bodies.note(of_unknown_length(client, 100).await),
            4 => self.bodies.note(post(100).send().await.status == 200),
            6..10 => {
                let answer = client.get("/toll/stream").try_send().await;
                let whole = |answer: crate::house::Answer| {
                    answer.status == 200 && answer.body.ends_with(LAST_PIECE)
                };
                self.streams.note(answer.is_ok_and(whole));
            }
            5 => self.too_long.note(of_unknown_length(client, TOO_LONG).await),
            _ => self.plain.note(client.get("/toll/x").send().await.status == 200),
        }
    }

    fn calls(&self) -> u64 {
        [&self.plain, &self.streams, &self.bodies, &self.too_long]
            .iter()
            .map(|kind| kind.served() + kind.failed())
            .sum()
    }

    /// Until so many more calls were answered.
    async fn goes_on(&self, more: u64) {
        let until = self.calls() + more;
        while self.calls() < until {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn is_whole(&self) {
        for (kind, what) in
            [(&self.plain, "plain"), (&self.streams, "streams"), (&self.bodies, "bodies")]
        {
            assert_eq!(kind.failed(), 0, "{what}: of {}", kind.served() + kind.failed());
            assert!(kind.served() > 20, "{what}: {}", kind.served());
        }
        assert!(self.too_long.served() > 0);
    }
}

/// They call until they are told to stop.
struct Callers {
    crowd: Arc<Crowd>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Callers {
    async fn of(scene: &Scene) -> Self {
        let crowd = Arc::<Crowd>::default();
        let mut clients = Vec::new();
        for _ in 0..CLIENTS {
            clients.push(Arc::new(scene.house.client().await));
        }
        let tasks = (0..CALLERS).map(|caller| {
            let (client, crowd) = (Arc::clone(&clients[caller % CLIENTS]), Arc::clone(&crowd));
            tokio::spawn(async move {
                let mut number = caller;
                while !crowd.is_over.load(Ordering::Relaxed) {
                    crowd.call(&client, number).await;
                    number += 7;
                    tokio::time::sleep(Duration::from_millis(300)).await;
                }
            })
        });
        let tasks = tasks.collect();
        Self { crowd, tasks }
    }

    async fn end(self) -> Arc<Crowd> {
        self.crowd.is_over.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.unwrap();
        }
        self.crowd
    }
}

fn state(shown: &Value) -> &str {
    shown["rotation"]["state"].as_str().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_with_streams_and_bodies_notices_nothing_of_a_whole_rotation() {
    let scene = Scene::new(Rule::Good).await;
    let callers = Callers::of(&scene).await;
    let begun = scene.rotate(json!({"strategy": {"hold_seconds": 3}})).await;
    assert_eq!(begun.status, 201, "{}", begun.text());
    for share in [1, 10, 50, 100] {
        scene.until("a step", |shown| shown["rotation"]["share"] == share).await;
        callers.crowd.goes_on(200).await;
        scene.hold();
    }
    let shown = scene.until("promoted", |shown| state(shown) == "promoted").await;
    callers.crowd.goes_on(200).await;
    let crowd = callers.end().await;
    crowd.is_whole();
    assert_eq!(crowd.too_long.failed(), 0);
    let calls = &shown["rotation"]["calls"];
    assert!(calls["new"]["calls"].as_u64().unwrap() > 200, "{calls}");
    assert_eq!((&calls["repeated"], &calls["not_repeated"]), (&json!(0), &json!(0)));
    // When each version served last is known of both.
    let used = |shown: &Value, at: usize| shown["versions"][at]["last_used_at"].is_string();
    scene.until("used", |shown| used(shown, 0) && used(shown, 1)).await;
    scene.house.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_with_streams_and_bodies_notices_nothing_of_a_key_that_is_bad() {
    let scene = Scene::new(Rule::Status(401)).await;
    let callers = Callers::of(&scene).await;
    let begun = scene.rotate(json!({"validate": false})).await;
    assert_eq!(begun.status, 201, "{}", begun.text());
    let shown = scene.until("rolled back", |shown| state(shown) == "rolled_back").await;
    callers.crowd.goes_on(200).await;
    let crowd = callers.end().await;
    crowd.is_whole();
    // What cannot be sent twice waits for the last step.
    assert_eq!(crowd.too_long.failed(), 0);
    assert!(scene.gate.calls(NEW) <= 50, "{} calls", scene.gate.calls(NEW));
    assert!(shown["rotation"]["calls"]["repeated"].as_u64().unwrap() > 0, "{shown}");
    scene.house.leave().await;
}

/// At half of the calls, and at all of them: there a call that is too long to be sent twice is lost,
/// and said to be.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_with_streams_and_bodies_notices_nothing_of_a_key_that_turns_bad() {
    for share in [50, 100] {
        let scene = Scene::new(Rule::Good).await;
        let callers = Callers::of(&scene).await;
        let strategy = json!({"steps": if share == 50 { vec![50, 100] } else { vec![100] }});
        assert_eq!(scene.rotate(json!({"strategy": strategy})).await.status, 201);
        callers.crowd.goes_on(500).await;
        assert!(scene.gate.calls(NEW) > 50, "{}", scene.gate.calls(NEW));
        scene.gate.rule(NEW, Rule::Status(403));
        let old = scene.gate.calls(OLD);
        let back = scene.until("rolled back", |shown| state(shown) == "rolled_back");
        let shown = tokio::time::timeout(Duration::from_secs(10), back).await.unwrap();
        callers.crowd.goes_on(200).await;
        let crowd = callers.end().await;
        crowd.is_whole();
        assert!(scene.gate.calls(OLD) > old);
        let lost = shown["rotation"]["calls"]["not_repeated"].as_u64().unwrap();
        match share {
            50 => assert_eq!((crowd.too_long.failed(), lost), (0, 0)),
            _ => {
                assert!(crowd.too_long.failed() >= lost, "{lost} of {:?}", crowd.too_long.failed())
            }
        }
        scene.house.leave().await;
    }
}
