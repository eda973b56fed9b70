//! Checkpoints on their way to a webhook that is down, slow, failing, or takes what it does not
//! confirm: nothing is lost, nothing comes again once it was confirmed, and no call waits.
#![expect(
    clippy::disallowed_methods,
    reason = "whoever waits for another process looks at the machine's own clock"
)]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;

use crate::house::{Client, House, Plan};

const LONG: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, PartialEq)]
enum Mood {
    Well,
    Slow,
    Failing,
    /// Reads it all and hangs up.
    Mute,
}

#[derive(Default)]
struct Heard {
    mood: Option<Mood>,
    confirmed: Vec<Value>,
    unconfirmed: Vec<Value>,
    tries: usize,
}

/// Takes checkpoints.
#[derive(Clone, Default)]
struct Receiver(Arc<Mutex<Heard>>);

impl Receiver {
    fn heard<T>(&self, look: impl FnOnce(&mut Heard) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn listen(&self, listener: TcpListener) -> tokio::task::JoinHandle<()> {
        let receiver = self.clone();
        tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let receiver = receiver.clone();
                connections.spawn(async move {
                    let answer = service_fn(move |request| receiver.clone().take(request));
                    let server = hyper::server::conn::http1::Builder::new();
                    let _ = server.serve_connection(TokioIo::new(stream), answer).await;
                });
            }
        })
    }

    async fn take(
        self,
        request: Request<Incoming>,
    ) -> Result<Response<Empty<Bytes>>, &'static str> {
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let lines: Vec<Value> = lines.map(|line| serde_json::from_slice(line).unwrap()).collect();
        let mood = self.heard(|heard| {
            heard.tries += 1;
            heard.mood.unwrap()
        });
        let mut answer = Response::new(Empty::new());
        match mood {
            Mood::Well => {}
            Mood::Slow => tokio::time::sleep(Duration::from_secs(3)).await,
            Mood::Failing => *answer.status_mut() = StatusCode::INTERNAL_SERVER_ERROR,
            Mood::Mute => {
                self.heard(|heard| heard.unconfirmed.extend(lines));
                return Err("hangs up");
            }
        }
        self.heard(|heard| match answer.status() == StatusCode::OK {
            true => heard.confirmed.extend(lines),
            false => heard.unconfirmed.extend(lines),
        });
        Ok(answer)
    }
}

/// Makes records and lets the time come at which they are signed.
async fn signed(house: &House, client: &Client) -> u64 {
    for _ in 0..20 {
        let asked = Instant::now();
        assert_eq!(client.get("/acme/echo").send().await.status, 200);
        assert!(asked.elapsed() < Duration::from_secs(2), "a call waited");
    }
    house.clock.advance(Duration::from_secs(11));
    let before = covered(house).await.1;
    for _ in 0..100 {
        let (signed, _) = covered(house).await;
        if signed > before {
            return signed;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("nothing was signed behind {before}");
}

/// How far records are signed, and how far the place outside has confirmed it.
async fn covered(house: &House) -> (u64, u64) {
    let found = house.admin.get("/api/v1/admin/audit/verify").send().await.json();
    assert_eq!(found["ok"], true, "{found}");
    let node = &found["nodes"][0];
    (node["signed_through"].as_u64().unwrap(), node["pushed_through"].as_u64().unwrap())
}

async fn pushed(house: &House, through: u64) {
    let since = Instant::now();
    while covered(house).await.1 < through {
        assert!(since.elapsed() < LONG, "never pushed");
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

async fn tried(receiver: &Receiver, more_than: usize) {
    let since = Instant::now();
    while receiver.heard(|heard| heard.tries) <= more_than {
        assert!(since.elapsed() < LONG, "never tried");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn alerts(found: &Value) -> Vec<(bool, String)> {
    let items = found["items"].as_array().unwrap().iter();
    let items = items.map(|item| &item["detail"]).filter(|of| of["alert"] == "ledger_degraded");
    items
        .map(|of| match of["resolved"].as_str() {
            Some(told) => (true, told.to_owned()),
            None => (false, of["finding"].as_str().unwrap().to_owned()),
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_that_fails_in_every_way_has_every_checkpoint_in_the_end_once_confirmed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    let receiver = Receiver::default();
    receiver.heard(|heard| heard.mood = Some(Mood::Well));
    let listening = receiver.listen(listener);
    let settings = format!(
        "audit.checkpoint_webhook = \"http://{address}/token-in-the-url\"\n\
         egress.allow_private_networks = true\n"
    );
    let mut house = House::planned(Plan { settings, ..Plan::default() }).await;
    let client = house.client().await;
    let signed_first = signed(&house, &client).await;
    pushed(&house, signed_first).await;

    // It answers 500, then hangs up behind the body: neither confirms anything.
    for mood in [Mood::Failing, Mood::Mute] {
        let tries = receiver.heard(|heard| {
            heard.mood = Some(mood);
            heard.tries
        });
        let signed = signed(&house, &client).await;
        tried(&receiver, tries).await;
        assert!(covered(&house).await.1 < signed);
    }
    // Nobody listens, and the house is started anew meanwhile.
    listening.abort();
    let _gone = listening.await;
    let behind = signed(&house, &client).await;
    house.restart().await;
    let client = house.holder(&client);
    assert!(covered(&house).await.1 < behind);
    // It is back, and slow: calls go on, and all of it follows.
    let listener = TcpListener::bind(address).await.unwrap();
    receiver.heard(|heard| heard.mood = Some(Mood::Slow));
    let _listening = receiver.listen(listener);
    pushed(&house, behind).await;
    receiver.heard(|heard| heard.mood = Some(Mood::Well));
    let last = signed(&house, &client).await;
    pushed(&house, last).await;
    let confirmed = receiver.heard(|heard| heard.confirmed.clone());
    house.restart().await;
    let client = house.holder(&client);
    let last = signed(&house, &client).await;
    pushed(&house, last).await;

    // One after the other, none twice, none left out, to the last.
    let all = receiver.heard(|heard| heard.confirmed.clone());
    assert_eq!(all[..confirmed.len()], confirmed);
    let span = |line: &Value| (line["first"].as_u64().unwrap(), line["last"].as_u64().unwrap());
    let spans: Vec<(u64, u64)> = all.iter().map(span).collect();
    assert_eq!(spans[0].0, 1);
    assert!(spans.windows(2).all(|pair| pair[1].0 == pair[0].1 + 1), "{spans:?}");
    assert!(spans.last().unwrap().1 >= last);
    // What was sent and not confirmed came again, as it was.
    let unconfirmed = receiver.heard(|heard| heard.unconfirmed.clone());
    assert!(!unconfirmed.is_empty() && unconfirmed.iter().all(|line| all.contains(line)));
    // Told once for each time it went away, and when it was back; never with the URL.
    let found = house.admin.get("/api/v1/admin/audit?kind=security&limit=1000").send().await;
    let alerts = alerts(&found.json());
    let (resolved, raised): (Vec<_>, Vec<_>) = alerts.iter().partition(|(resolved, _)| *resolved);
    assert!((1..=3).contains(&raised.len()) && !resolved.is_empty(), "{alerts:?}");
    assert!(!found.text().contains("token-in-the-url"));
    house.leave().await;
}
