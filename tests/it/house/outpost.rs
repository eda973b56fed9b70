//! A provider that does what a test needs: echoes, hangs, cuts, redirects, floods, streams gated by
//! the test, over HTTP/1.1 or HTTP/2. It keeps every request whole, so that a test sees what left.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;

/// What precedes every path of this provider, so that joining is tested too.
pub(crate) const BASE_PATH: &str = "/base";

pub(crate) struct Outpost {
    pub address: SocketAddr,
    pub ca_pem: String,
    stage: Arc<Stage>,
    accepting: JoinHandle<()>,
}

struct Stage {
    address: SocketAddr,
    seen: Mutex<Vec<Seen>>,
    gate: Semaphore,
    connections: Mutex<u64>,
}

/// One request, whole.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub version: http::Version,
    pub method: String,
    /// With its query, as it was written.
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub trailers: Option<HeaderMap>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Speaks {
    Http1,
    Http2,
    Both,
}

/// What the provider shows for itself; signed by its own authority in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Certificate {
    Right,
    Expired,
    OtherName,
    /// A right one, and TLS 1.2 alone.
    OldTls,
}

type Reply = Response<Channel>;

impl Outpost {
    pub(crate) async fn open(speaks: Speaks) -> Self {
        Self::with(speaks, Certificate::Right).await
    }

    pub(crate) async fn with(speaks: Speaks, certificate: Certificate) -> Self {
        let (ca_pem, acceptor) = identity(speaks, certificate);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stage = Arc::new(Stage {
            address,
            seen: Mutex::default(),
            gate: Semaphore::new(0),
            connections: Mutex::default(),
        });
        let accepting = tokio::spawn(accept(listener, acceptor, Arc::clone(&stage)));
        Self { address, ca_pem, stage, accepting }
    }

    /// Its entry in the settings: where the key goes is up to the test.
    pub(crate) fn settings(&self, id: &str, ca_file: &std::path::Path, inject: &str) -> String {
        format!(
            "[providers.{id}]\nbase_url = \"https://localhost:{}{BASE_PATH}\"\n\
             category = \"tests\"\nallow_private_network = true\nca_file = \"{}\"\n\
             inject = {inject}\nrewrite = {{ json = [\"next_url\"] }}\n",
            self.address.port(),
            ca_file.display()
        )
    }

    /// Requests whose body has arrived, oldest first.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.stage.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn last(&self) -> Seen {
        self.seen().pop().expect("nothing reached the provider")
    }

    /// Until so many requests have arrived.
    pub(crate) async fn wait_for(&self, requests: usize) {
        for _ in 0..500 {
            if self.seen().len() >= requests {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{} of {requests} requests arrived", self.seen().len());
    }

    pub(crate) fn connections(&self) -> u64 {
        *self.stage.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets so many further pieces of a gated answer pass.
    pub(crate) fn release(&self, pieces: usize) {
        self.stage.gate.add_permits(pieces);
    }
}

impl Drop for Outpost {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Seen {
    /// Head and body in one, for searches.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut all = format!("{} {}\n", self.method, self.path).into_bytes();
        for headers in [Some(&self.headers), self.trailers.as_ref()].into_iter().flatten() {
            for (name, value) in headers {
                all.extend_from_slice(name.as_str().as_bytes());
                all.extend_from_slice(b": ");
                all.extend_from_slice(value.as_bytes());
                all.push(b'\n');
            }
        }
        all.extend_from_slice(&self.body);
        all
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

pub(super) fn identity(speaks: Speaks, wanted: Certificate) -> (String, tokio_rustls::TlsAcceptor) {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
    let mut above = CertificateParams::default();
    above.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let authority = CertifiedIssuer::self_signed(above, KeyPair::generate().unwrap()).unwrap();
    let names = match wanted {
        Certificate::Right | Certificate::Expired | Certificate::OldTls => {
            ["localhost", "127.0.0.1"]
        }
        Certificate::OtherName => ["elsewhere.example", "127.0.0.2"],
    };
    let mut leaf = CertificateParams::new(names.map(String::from)).unwrap();
    if wanted == Certificate::Expired {
        leaf.not_after = rcgen::date_time_ymd(2024, 1, 1);
    }
    let key = KeyPair::generate().unwrap();
    let certificate = leaf.signed_by(&key, &authority).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let versions: &[_] = match wanted {
        Certificate::OldTls => &[&rustls::version::TLS12],
        Certificate::Right | Certificate::Expired | Certificate::OtherName => rustls::ALL_VERSIONS,
    };
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    config.alpn_protocols = match speaks {
        Speaks::Http1 => vec![b"http/1.1".to_vec()],
        Speaks::Http2 => vec![b"h2".to_vec()],
        Speaks::Both => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
    };
    (authority.pem(), tokio_rustls::TlsAcceptor::from(Arc::new(config)))
}

async fn accept(listener: TcpListener, acceptor: tokio_rustls::TlsAcceptor, stage: Arc<Stage>) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, stage) = (acceptor.clone(), Arc::clone(&stage));
        connections.spawn(async move {
            stream.set_nodelay(true).unwrap();
            let Ok(stream) = acceptor.accept(stream).await else {
                return;
            };
            *stage.connections.lock().unwrap_or_else(PoisonError::into_inner) += 1;
            let respond = service_fn(move |request| reply(Arc::clone(&stage), request));
            let mut builder = auto::Builder::new(TokioExecutor::new());
            builder.http1().timer(TokioTimer::new()).max_buf_size(1 << 20);
            builder.http2().timer(TokioTimer::new()).max_header_list_size(1 << 20);
            let _ = builder.serve_connection(TokioIo::new(stream), respond).await;
        });
    }
}

/// By the path's first segment below the base path.
async fn reply(stage: Arc<Stage>, request: Request<Incoming>) -> Result<Reply, Infallible> {
    let (head, body) = request.into_parts();
    let path = head.uri.path().strip_prefix(BASE_PATH).unwrap_or("/outside").to_owned();
    if path == "/mirror" {
        return Ok(mirror(&stage, head, body));
    }
    let seen = Seen::whole(&head, body).await;
    stage.note(seen.clone());
    let first = path.trim_start_matches('/').split('/').next().unwrap_or_default();
    Ok(match first {
        "echo" => json(echo(&seen)),
        "says" => says(&head, seen.body),
        "holds" => holds(&head),
        "status" => status(&path),
        "slow" => {
            tokio::time::sleep(Duration::from_millis(number(&head, "ms"))).await;
            json(serde_json::json!({"slow": true}))
        }
        "cut" => pieces(vec![Ok(Frame::data(Bytes::from_static(b"{\"half\":")))], true),
        "redirect" => redirect(&stage, &head),
        "heads" => heads(&head),
        "chunked" => pieces(numbered(number(&head, "n")), false),
        "trailers" => trailers(),
        "events" => gated(stage, number(&head, "n")),
        "flood" => flood(number(&head, "bytes")),
        "pages" => pages(&stage, &head),
        "interim" => json(serde_json::json!({"interim": false})),
        _ => json(serde_json::json!({"path": head.uri.path(), "query": head.uri.query()})),
    })
}

/// What it was sent, in pieces of `?size=` bytes; headers that begin with `x-says-` are its own.
fn says(head: &Parts, body: Bytes) -> Reply {
    let size = usize::try_from(number(head, "size")).unwrap();
    let piece = |piece: &[u8]| Ok(Frame::data(Bytes::copy_from_slice(piece)));
    let mut reply = pieces(body.chunks(size).map(piece).collect(), false);
    as_told(head, &mut reply);
    reply
}

/// A document of its own for each path, to hold as long as `x-says-` headers have it say; `?cut=1`
/// breaks off.
fn holds(head: &Parts) -> Reply {
    let mut reply = match text(head, "cut") {
        Some(_) => pieces(vec![Ok(Frame::data(Bytes::from_static(b"{\"half\":")))], true),
        None => json(serde_json::json!({"quote": head.uri.path(), "price": [1, 2, 3]})),
    };
    as_told(head, &mut reply);
    reply
}

fn as_told(head: &Parts, reply: &mut Reply) {
    for (name, value) in &head.headers {
        if let Some(name) = name.as_str().strip_prefix("x-says-") {
            let name: http::HeaderName = name.parse().unwrap();
            reply.headers_mut().insert(name, value.clone());
        }
    }
    if let Some(code) = text(head, "status") {
        *reply.status_mut() = code.parse().unwrap();
    }
}

impl Stage {
    fn note(&self, seen: Seen) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).push(seen);
    }
}

impl Seen {
    async fn whole(head: &Parts, body: Incoming) -> Self {
        let (body, trailers) = match body.collect().await {
            Ok(collected) => {
                let trailers = collected.trailers().cloned();
                (collected.to_bytes(), trailers)
            }
            Err(_) => (Bytes::from_static(b"(broken off)"), None),
        };
        Self {
            version: head.version,
            method: head.method.to_string(),
            path: head.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
            headers: head.headers.clone(),
            body,
            trailers,
        }
    }
}

fn echo(seen: &Seen) -> serde_json::Value {
    let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let headers: Vec<(&str, String)> =
        seen.headers.iter().map(|(name, value)| (name.as_str(), lossy(value.as_bytes()))).collect();
    serde_json::json!({
        "method": seen.method, "path": seen.path, "headers": headers, "body": lossy(&seen.body),
    })
}

fn number(head: &Parts, name: &str) -> u64 {
    let query = head.uri.query().unwrap_or_default();
    let given = query.split('&').find_map(|pair| pair.strip_prefix(&format!("{name}=")));
    given.and_then(|text| text.parse().ok()).unwrap_or(3)
}

fn text(head: &Parts, name: &str) -> Option<String> {
    let query = head.uri.query().unwrap_or_default();
    let given = query.split('&').find_map(|pair| pair.strip_prefix(&format!("{name}=")));
    given.map(str::to_owned)
}

fn json(value: serde_json::Value) -> Reply {
    let mut reply = pieces(vec![Ok(Frame::data(Bytes::from(value.to_string())))], false);
    let json = HeaderValue::from_static("application/json");
    reply.headers_mut().insert(http::header::CONTENT_TYPE, json);
    reply
}

/// `/status/418?retry=7` answers 418 with `Retry-After: 7` and a few headers of its own.
fn status(path: &str) -> Reply {
    let code = path.rsplit('/').next().and_then(|code| code.parse().ok()).unwrap_or(500);
    let mut reply = json(serde_json::json!({"provider_says": code}));
    *reply.status_mut() = http::StatusCode::from_u16(code).unwrap();
    let headers = reply.headers_mut();
    headers.insert("x-request-id", HeaderValue::from_static("providers-own-id"));
    if code == 429 {
        headers.insert("retry-after", HeaderValue::from_static("7"));
        headers.insert("x-ratelimit-limit", HeaderValue::from_static("5"));
    }
    reply
}

/// `?to=foreign` leads elsewhere, anything else to this provider.
fn redirect(stage: &Stage, head: &Parts) -> Reply {
    let own = format!("https://localhost:{}{BASE_PATH}", stage.address.port());
    let location = match text(head, "to").as_deref() {
        Some("foreign") => String::from("https://elsewhere.example/landing?a=b"),
        Some(_) | None => format!("{own}/landing?a=b"),
    };
    let mut reply = json(serde_json::json!({}));
    *reply.status_mut() = http::StatusCode::FOUND;
    reply.headers_mut().insert("location", HeaderValue::try_from(location).unwrap());
    let link = format!("<{own}/landing?page=2>; rel=\"next\", <https://elsewhere.example/>; rel=x");
    reply.headers_mut().insert("link", HeaderValue::try_from(link).unwrap());
    reply
}

fn heads(head: &Parts) -> Reply {
    let mut reply = json(serde_json::json!({}));
    let bytes = usize::try_from(number(head, "bytes")).unwrap();
    let value = HeaderValue::try_from("x".repeat(1000)).unwrap();
    for index in 0..bytes / 1000 {
        let name: http::HeaderName = format!("x-large-{index}").parse().unwrap();
        reply.headers_mut().insert(name, value.clone());
    }
    reply
}

fn numbered(count: u64) -> Vec<Piece> {
    (0..count).map(|index| Ok(Frame::data(Bytes::from(format!("piece {index}\n"))))).collect()
}

fn trailers() -> Reply {
    let mut trailers = HeaderMap::new();
    trailers.insert("x-checksum", HeaderValue::from_static("abc"));
    let piece = Ok(Frame::data(Bytes::from_static(b"ends like a key: can")));
    let mut reply = pieces(vec![piece, Ok(Frame::trailers(trailers))], false);
    reply.headers_mut().insert("trailer", HeaderValue::from_static("x-checksum"));
    reply
}

/// Server-sent events, each of which waits until the test releases it.
fn gated(stage: Arc<Stage>, count: u64) -> Reply {
    let (sender, body) = Channel::open();
    tokio::spawn(async move {
        for index in 0..count {
            let Ok(permit) = stage.gate.acquire().await else {
                return;
            };
            permit.forget();
            let event = Bytes::from(format!("data: {{\"event\":{index}}}\n\n"));
            if sender.send(Ok(Frame::data(event))).await.is_err() {
                return;
            }
        }
    });
    let mut reply = Response::new(body);
    let kind = HeaderValue::from_static("text/event-stream");
    reply.headers_mut().insert(http::header::CONTENT_TYPE, kind);
    reply
}

fn flood(bytes: u64) -> Reply {
    let (sender, body) = Channel::open();
    tokio::spawn(async move {
        let block = Bytes::from(vec![b'f'; 64 * 1024]);
        let mut left = bytes;
        while left > 0 {
            let size = left.min(block.len() as u64);
            left -= size;
            let piece = block.slice(..usize::try_from(size).unwrap());
            if sender.send(Ok(Frame::data(piece))).await.is_err() {
                return;
            }
        }
    });
    Response::new(body)
}

/// Sends back each piece of the request's body as it arrives.
fn mirror(stage: &Arc<Stage>, head: Parts, mut body: Incoming) -> Reply {
    let (sender, reply) = Channel::open();
    let stage = Arc::clone(stage);
    tokio::spawn(async move {
        while let Some(Ok(frame)) = body.frame().await {
            if sender.send(Ok(frame)).await.is_err() {
                return;
            }
        }
        stage.note(Seen {
            version: head.version,
            method: head.method.to_string(),
            path: head.uri.path().to_owned(),
            headers: head.headers,
            body: Bytes::new(),
            trailers: None,
        });
    });
    Response::new(reply)
}

fn pages(stage: &Stage, head: &Parts) -> Reply {
    let page = number(head, "page");
    let own = format!("https://localhost:{}{BASE_PATH}", stage.address.port());
    json(serde_json::json!({
        "page": page,
        "next_url": format!("{own}/pages?page={}", page + 1),
        "foreign": "https://elsewhere.example/x",
    }))
}

/// Sends what is given; a broken body ends with an error instead of its end.
fn pieces(pieces: Vec<Piece>, broken: bool) -> Reply {
    let (sender, body) = Channel::open();
    tokio::spawn(async move {
        for piece in pieces {
            let _ = sender.send(piece).await;
        }
        if broken {
            // A reset overtakes what was not written yet.
            tokio::time::sleep(Duration::from_millis(100)).await;
            let _ = sender.send(Err(std::io::Error::other("cut"))).await;
        }
    });
    Response::new(body)
}

pub(crate) type Piece = Result<Frame<Bytes>, std::io::Error>;

pub(crate) struct Channel(mpsc::Receiver<Piece>);

impl Channel {
    pub(crate) fn open() -> (mpsc::Sender<Piece>, Self) {
        let (sender, receiver) = mpsc::channel(2);
        (sender, Self(receiver))
    }
}

impl Body for Channel {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Piece>> {
        self.0.poll_recv(context)
    }
}
