//! The proxy face: one thread per core, each with its own listener, corridor and upstream
//! connections. Nothing that a request writes is shared between threads. Knows nothing of the
//! admin face.

mod own;
mod progress;

use std::convert::Infallible;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;

use self::progress::{Progress, Standstill};
use crate::corridor::{Corridor, House, Raw, dress, vary};
use crate::ledger::Lane;
use crate::net::{Accepted, Binding, Deadlines, Drain, Patient, PeerStream, ServerTls, TlsFiles};
use crate::secret;
use crate::upstream::{Origins, Upstream};

#[derive(Clone, Debug)]
pub struct Settings {
    pub listen: SocketAddr,
    /// A plain listener off loopback stands behind a TLS terminator.
    pub behind_tls: bool,
    /// Without a trailing slash.
    pub public_url: String,
    /// Empty: path addressing alone.
    pub domain: String,
    pub tls: Option<TlsFiles>,
    /// Networks (address, prefix length) whose forwarding headers are believed.
    pub trusted_proxies: Vec<(IpAddr, u8)>,
    pub max_head_bytes: usize,
    /// 0: no limit.
    pub max_body_bytes: u64,
    pub max_concurrent: usize,
    /// One data-plane thread each; 0: one per core.
    pub workers: usize,
}

const HEAD_WITHIN: Duration = Duration::from_secs(30);
/// How long a client may ask for nothing at all, or leave lying what he is answered.
const MOVES_WITHIN: Duration = Duration::from_secs(30);
/// How long calls in flight may take to finish after the signal to stop.
const DRAIN_WITHIN: Duration = Duration::from_secs(30);
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;
const MOST_STREAMS: u32 = 256;

/// What the face is built from; one lane makes one thread.
pub(crate) struct Parts {
    pub(crate) house: Arc<House>,
    pub(crate) origins: Arc<Origins>,
    pub(crate) lanes: Vec<Lane>,
    pub(crate) binding: Binding,
    pub(crate) max_head_bytes: usize,
    /// Ends connections: gracefully at the end of the house, at once when the vault is sealed.
    pub(crate) drain: Drain,
}

/// The running face.
pub(crate) struct Proxy {
    address: SocketAddr,
    certificate: Option<Arc<ServerTls>>,
    drain: Drain,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Proxy {
    pub(crate) fn start(parts: Parts) -> std::io::Result<Self> {
        let Parts { house, origins, lanes, mut binding, max_head_bytes, drain } = parts;
        let mut threads = Vec::with_capacity(lanes.len());
        for (number, lane) in lanes.into_iter().enumerate() {
            let Some((socket, tls)) = binding.take() else { break };
            let (house, origins, drain) = (Arc::clone(&house), Arc::clone(&origins), drain.clone());
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let serve = move || {
                secret::spare_buffers();
                runtime.block_on(async move {
                    let deadlines = Deadlines::new(house.clock.clone());
                    let roster = Arc::clone(&house.roster);
                    tokio::spawn(deadlines.clone().tick(move || roster.endings()));
                    let upstream = Upstream::new(origins, deadlines.clone(), house.clock.clone());
                    tokio::spawn(upstream.sweep());
                    let corridor = Arc::new(Corridor::new(house, lane, upstream));
                    match Accepted::new(socket, tls) {
                        Ok(listener) => {
                            worker(listener, corridor, drain, max_head_bytes, deadlines).await;
                        }
                        Err(cause) => tracing::error!(%cause, "a proxy thread has no listener"),
                    }
                });
            };
            let name = format!("proxy-{number}");
            threads.push(std::thread::Builder::new().name(name).spawn(serve)?);
        }
        Ok(Self { address: binding.address(), certificate: binding.tls(), drain, threads })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn certificate(&self) -> Option<Arc<ServerTls>> {
        self.certificate.clone()
    }

    /// New connections are refused, calls in flight finish, within bounds.
    pub(crate) async fn stop(self) {
        self.drain.begin();
        let threads = self.threads;
        let joined = tokio::task::spawn_blocking(move || {
            threads.into_iter().all(|thread| thread.join().is_ok())
        });
        if !joined.await.unwrap_or(false) {
            tracing::error!("a proxy thread ended in a panic");
        }
    }
}

async fn worker(
    listener: Accepted,
    corridor: Arc<Corridor>,
    drain: Drain,
    max_head_bytes: usize,
    deadlines: Deadlines,
) {
    let mut stopping = pin!(drain.begun());
    let mut cuts = drain.cuts();
    loop {
        tokio::select! {
            peer = listener.accept() => {
                let (corridor, drain) = (Arc::clone(&corridor), drain.clone());
                tokio::spawn(serve(peer, corridor, drain, max_head_bytes, deadlines.clone()));
            }
            // What was sent last, the real key in it, lies in a connection's buffer.
            now = drain.cut_after(cuts) => {
                cuts = now;
                corridor.forget_connections();
            }
            () = &mut stopping => break,
        }
    }
    drop(listener);
    let cut = drain.finished(DRAIN_WITHIN).await;
    if cut > 0 {
        corridor.leave();
        tracing::warn!(connections = cut, "connections were cut after the drain time");
    }
}

/// One client connection, from its first byte to its last.
async fn serve(
    peer: PeerStream,
    corridor: Arc<Corridor>,
    drain: Drain,
    max_head_bytes: usize,
    deadlines: Deadlines,
) {
    let mut follower = drain.follow();
    let (peer, opening) = (peer.peer.ip(), peer.open());
    let Some(stream) = opening.await else { return };
    let stream = Patient::new(stream, deadlines.patience(MOVES_WITHIN));
    let progress = Arc::new(Progress::default());
    let mut standstill = Standstill::of(Arc::clone(&progress), deadlines.patience(MOVES_WITHIN));
    let service = service_fn(move |request: http::Request<Incoming>| {
        let (corridor, progress) = (Arc::clone(&corridor), Arc::clone(&progress));
        progress.asks();
        // In one place, not behind a function of its own: each would hold the request once more.
        async move {
            let mut raw = Raw::new(request, peer);
            let page = corridor.pages().origin_of(&raw.parts.headers);
            raw.address = corridor.caller(peer, &raw.parts.headers);
            let mut answer = match own::asked(&raw.parts, &corridor) {
                // Boxed, so that calls to providers do not carry the room for it.
                Some(asked) => Box::pin(own::answer(asked, raw, &corridor)).await,
                None => corridor.answer(raw).await,
            };
            match page {
                Some(origin) => dress(answer.headers_mut(), origin),
                None => vary(&mut answer),
            }
            Ok::<_, Infallible>(progress.heeded(answer))
        }
    });
    let builder = builder(max_head_bytes);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let mut told = false;
    // A connection that broke was its client's doing; what it left unfinished is in the records.
    let _ended = std::future::poll_fn(|context| {
        if follower.is_draining(context) && !told {
            told = true;
            connection.as_mut().graceful_shutdown();
        }
        if follower.is_cut() {
            return Poll::Ready(Ok(()));
        }
        let polled = connection.as_mut().poll(context);
        if polled.is_pending() && standstill.is_over(context) {
            return Poll::Ready(Ok(()));
        }
        polled
    })
    .await;
}

fn builder(max_head_bytes: usize) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_buf_size(max_head_bytes.max(8192));
    builder
        .http2()
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_concurrent_streams(MOST_STREAMS)
        .max_header_list_size(u32::try_from(max_head_bytes).unwrap_or(u32::MAX));
    builder
}
