//! The provider of the bench: TLS 1.3, keep-alive, canned answers, on a thread of its own. HTTP/1.1
//! by hand on one port, because it shares a CPU with the load; HTTP/2 on another. Demands the real
//! key, and remembers if it ever saw the client's.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use http_body::{Body, Frame};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::peers::Target;
use crate::{CHUNKS, Outcome};

pub(crate) const REAL_KEY: &str = "real-key-of-the-bench-0123456789abcdef";
const DEMANDED: &str = "Bearer real-key-of-the-bench-0123456789abcdef";
const CHUNK_EVERY: Duration = Duration::from_millis(2);
const CHUNK: &str =
    "data: {\"choices\":[{\"delta\":{\"content\":\" word\"},\"index\":0}],\"id\":\"c\"}\n\n";

pub(crate) struct Upstream {
    pub(crate) h1_port: u16,
    pub(crate) h2_port: u16,
    pub(crate) ca_file: PathBuf,
    saw_client_key: Arc<AtomicBool>,
}

/// What is sent, made once.
struct Canned {
    small: Vec<u8>,
    large: Vec<u8>,
    huge: Vec<u8>,
    saw_client_key: Arc<AtomicBool>,
}

impl Upstream {
    pub(crate) fn start(folder: &Path) -> Outcome<Self> {
        let ca_file = folder.join("ca.pem");
        let (ca_pem, h1) = tls(b"http/1.1")?;
        let (ca_pem_h2, h2) = tls(b"h2")?;
        std::fs::write(&ca_file, ca_pem + &ca_pem_h2).map_err(|cause| cause.to_string())?;
        let saw_client_key = Arc::new(AtomicBool::new(false));
        let canned = Arc::new(Canned {
            small: json(512),
            large: json(10 * 1024),
            huge: json(1024 * 1024),
            saw_client_key: Arc::clone(&saw_client_key),
        });
        let listen = || {
            let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
            listener.set_nonblocking(true)?;
            Ok((listener.local_addr()?.port(), listener))
        };
        let fault = |cause: std::io::Error| format!("the upstream cannot listen: {cause}");
        let (h1_port, h1_listener) = listen().map_err(fault)?;
        let (h2_port, h2_listener) = listen().map_err(fault)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(fault)?;
        std::thread::spawn(move || {
            runtime.block_on(async move {
                let for_h2 = Arc::clone(&canned);
                let h2 = accept(h2_listener, h2, move |stream| serve_h2(stream, for_h2.clone()));
                let h1 = accept(h1_listener, h1, move |stream| serve_h1(stream, canned.clone()));
                tokio::join!(h1, h2)
            })
        });
        Ok(Self { h1_port, h2_port, ca_file, saw_client_key })
    }

    /// The load without a proxy: what everybody else is compared with in latency.
    pub(crate) fn direct(&self) -> Target {
        Target {
            name: "no proxy",
            url: format!("https://localhost:{}/", self.h1_port),
            port: self.h1_port,
            pid: None,
            key: String::new(),
        }
    }

    /// Fails if a client key ever came through.
    pub(crate) fn verdict(&self) -> Outcome<()> {
        match self.saw_client_key.load(Ordering::Acquire) {
            true => Err(String::from("a client key reached the upstream")),
            false => Ok(()),
        }
    }
}

fn json(bytes: usize) -> Vec<u8> {
    let mut text = String::from("{\"results\":[");
    while text.len() + 40 < bytes {
        text.push_str("{\"c\":213.07,\"h\":214.2,\"n\":1923},");
    }
    let pad = bytes.saturating_sub(text.len() + 4);
    format!("{text}\"{}\"]}}", "x".repeat(pad)).into_bytes()
}

fn tls(alpn: &[u8]) -> Outcome<(String, TlsAcceptor)> {
    let (ca_pem, chain, key) = identity().map_err(|cause| format!("no certificate: {cause}"))?;
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(vec![chain], key))
        .map_err(|cause| format!("no TLS: {cause}"))?;
    config.alpn_protocols = vec![alpn.to_vec()];
    Ok((ca_pem, TlsAcceptor::from(Arc::new(config))))
}

type Made = (String, rustls::pki_types::CertificateDer<'static>, Vec<u8>);

fn identity() -> Result<Made, rcgen::Error> {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
    let mut above = CertificateParams::default();
    above.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    above.distinguished_name.push(rcgen::DnType::CommonName, "bench authority");
    let authority = CertifiedIssuer::self_signed(above, KeyPair::generate()?)?;
    let leaf = CertificateParams::new(vec![String::from("localhost")])?;
    let key = KeyPair::generate()?;
    let certificate = leaf.signed_by(&key, &authority)?;
    Ok((authority.pem(), certificate.der().clone(), key.serialize_der()))
}

type Spoken = tokio_rustls::server::TlsStream<TcpStream>;

async fn accept<F>(listener: std::net::TcpListener, tls: TlsAcceptor, serve: impl Fn(Spoken) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let Ok(listener) = TcpListener::from_std(listener) else { return };
    while let Ok((stream, _)) = listener.accept().await {
        if stream.set_nodelay(true).is_err() {
            continue;
        }
        let handshake = tls.accept(stream);
        // The handshake is awaited here: connections are few and live long.
        if let Ok(stream) = handshake.await {
            tokio::spawn(serve(stream));
        }
    }
}

async fn serve_h1(mut stream: Spoken, canned: Arc<Canned>) {
    let mut buffer = Vec::with_capacity(8192);
    loop {
        let Some(end) = memchr::memmem::find(&buffer, b"\r\n\r\n") else {
            match stream.read_buf(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(_) => continue,
            }
        };
        let head = buffer.get(..end).unwrap_or_default();
        if memchr::memmem::find(head, b"mdw_").is_some() {
            canned.saw_client_key.store(true, Ordering::Release);
        }
        let demanded = memchr::memmem::find(head, DEMANDED.as_bytes()).is_some();
        let target = head.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
        let sent = match target {
            _ if !demanded && !is_direct(head) => answer(&mut stream, 401, b"{}").await,
            b"/large" => answer(&mut stream, 200, &canned.large).await,
            b"/huge" => answer(&mut stream, 200, &canned.huge).await,
            b"/events" => events(&mut stream).await,
            _ => answer(&mut stream, 200, &canned.small).await,
        };
        if sent.is_err() {
            return;
        }
        buffer.drain(..end + 4);
    }
}

/// wrk's own requests, without a proxy between, carry no real key but this mark.
fn is_direct(head: &[u8]) -> bool {
    memchr::memmem::find(head, b"X-Bench-Direct: ").is_some()
}

async fn answer(stream: &mut Spoken, status: u16, body: &[u8]) -> std::io::Result<()> {
    let mut bytes = Vec::with_capacity(body.len() + 256);
    let length = body.len();
    bytes.extend_from_slice(
        format!(
            "HTTP/1.1 {status} OK\r\ncontent-type: application/json\r\n\
             content-length: {length}\r\ndate: Thu, 01 Jan 2026 00:00:00 GMT\r\n\
             cache-control: no-store\r\n\r\n"
        )
        .as_bytes(),
    );
    bytes.extend_from_slice(body);
    stream.write_all(&bytes).await?;
    stream.flush().await
}

async fn events(stream: &mut Spoken) -> std::io::Result<()> {
    let head =
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await?;
    let mut interval = tokio::time::interval(CHUNK_EVERY);
    for _ in 0..CHUNKS {
        interval.tick().await;
        stream.write_all(format!("{:x}\r\n{CHUNK}\r\n", CHUNK.len()).as_bytes()).await?;
        stream.flush().await?;
    }
    stream.write_all(b"0\r\n\r\n").await?;
    stream.flush().await
}

async fn serve_h2(stream: Spoken, canned: Arc<Canned>) {
    let service = service_fn(move |request: http::Request<Incoming>| {
        let canned = Arc::clone(&canned);
        async move {
            let demanded = is_demanded(request.headers(), &canned);
            let body = match request.uri().path() {
                _ if !demanded => Answer::Whole(Some(Bytes::new())),
                "/large" => Answer::Whole(Some(Bytes::copy_from_slice(&canned.large))),
                "/huge" => Answer::Whole(Some(Bytes::copy_from_slice(&canned.huge))),
                "/events" => Answer::Events(tokio::time::interval(CHUNK_EVERY), CHUNKS),
                _ => Answer::Whole(Some(Bytes::copy_from_slice(&canned.small))),
            };
            let mut response = Response::new(body);
            let json = http::HeaderValue::from_static("application/json");
            response.headers_mut().insert(http::header::CONTENT_TYPE, json);
            if !demanded {
                *response.status_mut() = StatusCode::UNAUTHORIZED;
            }
            Ok::<_, Infallible>(response)
        }
    });
    let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    // A connection that broke is seen by whoever loads it.
    let _ended = builder
        .max_concurrent_streams(512)
        .initial_connection_window_size(4 << 20)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

fn is_demanded(headers: &HeaderMap, canned: &Canned) -> bool {
    let has = |needle: &str| {
        let mut values = headers.values();
        values.any(|value| memchr::memmem::find(value.as_bytes(), needle.as_bytes()).is_some())
    };
    if has("mdw_") {
        canned.saw_client_key.store(true, Ordering::Release);
    }
    has(DEMANDED)
}

enum Answer {
    Whole(Option<Bytes>),
    Events(tokio::time::Interval, u32),
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Events(_, 0) => Poll::Ready(None),
            Self::Events(interval, left) => match interval.poll_tick(context) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(_) => {
                    *left -= 1;
                    Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(CHUNK.as_bytes())))))
                }
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None) | Self::Events(_, 0))
    }
}
