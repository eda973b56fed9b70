//! A provider that knows keys: what it answers is decided by the key alone, and a test changes its
//! mind at any time. It counts what each key was used for, and may give each so many calls a second
//! and say nothing of it. Plain HTTP on this machine.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use sealgate::clock::Clock;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

pub(crate) struct Tollgate {
    pub address: SocketAddr,
    stage: Arc<Stage>,
    accepting: JoinHandle<()>,
}

#[derive(Default)]
struct Stage {
    rules: Mutex<HashMap<String, Rule>>,
    counts: Mutex<HashMap<String, u64>>,
    says: Mutex<serde_json::Value>,
    buckets: Mutex<HashMap<String, Bucket>>,
    refused: Mutex<HashMap<String, u64>>,
}

/// What a key is given, and nobody is told.
#[derive(Clone)]
pub(crate) struct Bucket {
    pub rate: f64,
    pub depth: f64,
    /// With every 429.
    pub retry_after: Option<&'static str>,
    pub clock: Clock,
    pub level: f64,
    pub at_ns: u64,
}

impl Bucket {
    pub(crate) fn new(rate: f64, depth: f64, clock: &Clock) -> Self {
        let clock = clock.clone();
        let at_ns = clock.monotonic_ns();
        Self { rate, depth, retry_after: None, clock, level: depth, at_ns }
    }

    fn gives(&mut self) -> bool {
        let now_ns = self.clock.monotonic_ns();
        let since = Duration::from_nanos(now_ns - self.at_ns).as_secs_f64();
        self.level = (self.level + since * self.rate).min(self.depth);
        self.at_ns = now_ns;
        let gives = self.level >= 1.0;
        if gives {
            self.level -= 1.0;
        }
        gives
    }
}

/// What a key is good for; one that nobody has named is a 401.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Rule {
    Good,
    Status(u16),
    /// Good, but not for what begins with `/narrow`.
    Narrow,
    /// A 200 that says this.
    Says(&'static str),
}

impl Tollgate {
    pub(crate) async fn open(keys: &[(&str, Rule)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stage = Arc::new(Stage::default());
        let accepting = tokio::spawn(accept(listener, Arc::clone(&stage)));
        let gate = Self { address, stage, accepting };
        keys.iter().for_each(|(key, rule)| gate.rule(key, *rule));
        gate
    }

    pub(crate) fn rule(&self, key: &str, rule: Rule) {
        let mut rules = self.stage.rules.lock().unwrap_or_else(PoisonError::into_inner);
        rules.insert(key.to_owned(), rule);
    }

    /// What a good answer says.
    pub(crate) fn says(&self, body: serde_json::Value) {
        *self.stage.says.lock().unwrap_or_else(PoisonError::into_inner) = body;
    }

    pub(crate) fn bucket(&self, key: &str, bucket: Bucket) {
        let mut buckets = self.stage.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        buckets.insert(key.to_owned(), bucket);
    }

    /// How many calls with it were one too many.
    pub(crate) fn refused(&self, key: &str) -> u64 {
        let refused = self.stage.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.get(key).copied().unwrap_or(0)
    }

    /// How many calls came with it.
    pub(crate) fn calls(&self, key: &str) -> u64 {
        let counts = self.stage.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.get(key).copied().unwrap_or(0)
    }

    /// Its entry in the settings; `probe` as TOML.
    pub(crate) fn settings(&self, id: &str, probe: &str) -> String {
        format!(
            "[providers.{id}]\nbase_url = \"http://{}\"\ncategory = \"tests\"\n\
             allow_private_network = true\n\
             inject = [{{ at = \"header\", name = \"X-Toll\", value = \"{{api_key}}\" }}]\n{probe}\n",
            self.address
        )
    }
}

impl Drop for Tollgate {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, stage: Arc<Stage>) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let stage = Arc::clone(&stage);
        connections.spawn(async move {
            stream.set_nodelay(true).unwrap();
            let respond = service_fn(move |request| reply(Arc::clone(&stage), request));
            let mut builder = auto::Builder::new(TokioExecutor::new());
            builder.http1().timer(TokioTimer::new());
            let _ = builder.serve_connection(TokioIo::new(stream), respond).await;
        });
    }
}

/// So many pieces, and how they end.
pub(crate) const PIECES: usize = 5;
const PIECE: &[u8] = b"data: {\"more\":true}\n\n";
pub(crate) const LAST_PIECE: &[u8] = b"data: [DONE]\n\n";

/// An answer that goes on for a while: `/stream` for a tenth of a second, `/endless` as long as
/// somebody listens.
fn flowing(path: &str) -> Option<BoxBody<Bytes, Infallible>> {
    let is_endless = match path {
        "/stream" => false,
        "/endless" => true,
        _ => return None,
    };
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        for number in 1.. {
            let is_last = !is_endless && number == PIECES;
            let piece = if is_last { LAST_PIECE } else { PIECE };
            if sender.send(Bytes::from_static(piece)).await.is_err() || is_last {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    Some(Flow(receiver).boxed())
}

struct Flow(mpsc::Receiver<Bytes>);

impl Body for Flow {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }
}

async fn reply(
    stage: Arc<Stage>,
    request: Request<Incoming>,
) -> Result<Response<BoxBody<Bytes, Infallible>>, Infallible> {
    let (head, body) = request.into_parts();
    let sent = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let key = head.headers.get("x-toll").and_then(|value| value.to_str().ok());
    let key = key.unwrap_or_default().to_owned();
    {
        let mut counts = stage.counts.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry(key.clone()).or_default() += 1;
    }
    let rule = stage.rules.lock().unwrap_or_else(PoisonError::into_inner).get(&key).copied();
    let retry_after = {
        let mut buckets = stage.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = buckets.get_mut(&key);
        let given = bucket.map(|bucket| (bucket.gives(), bucket.retry_after));
        match given {
            Some((false, retry_after)) => {
                let mut refused = stage.refused.lock().unwrap_or_else(PoisonError::into_inner);
                *refused.entry(key.clone()).or_default() += 1;
                Some(retry_after)
            }
            Some((true, _)) | None => None,
        }
    };
    let status = match rule {
        _ if retry_after.is_some() => 429,
        Some(Rule::Good | Rule::Says(_)) => 200,
        Some(Rule::Narrow) if !head.uri.path().starts_with("/narrow") => 200,
        Some(Rule::Narrow) => 403,
        Some(Rule::Status(status)) => status,
        None => 401,
    };
    match head.uri.path() {
        "/slow" => tokio::time::sleep(Duration::from_millis(50)).await,
        "/slower" => tokio::time::sleep(Duration::from_secs(2)).await,
        _ => {}
    }
    let said = stage.says.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let body = match status {
        _ if let Some(Rule::Says(text)) = rule => Bytes::from(text),
        200 if head.method == http::Method::POST => sent,
        200 => Bytes::from(said.to_string()),
        status => Bytes::from(format!("{{\"provider_says\":{status}}}")),
    };
    let mut response = Response::builder();
    if let Some(Some(seconds)) = retry_after {
        response = response.header("retry-after", seconds);
    }
    let flowing = (status == 200).then(|| flowing(head.uri.path())).flatten();
    let content = if flowing.is_some() { "text/event-stream" } else { "application/json" };
    let response = response
        .status(StatusCode::from_u16(status).unwrap())
        .header("content-type", content)
        .header("x-ratelimit-limit", "500")
        .header("location", "/landed")
        .body(flowing.unwrap_or_else(|| Full::new(body).boxed()));
    Ok(response.unwrap())
}
