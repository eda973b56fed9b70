//! The proxy face: one thread per core, each with its own listener, corridor and upstream
//! connections. Nothing that a request writes is shared between threads. Knows nothing of the
//! admin face.

mod calm;
mod line;
mod own;
mod progress;
mod visit;

use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use self::visit::Shared;
use crate::corridor::{Corridor, House};
use crate::ledger::Lane;
use crate::net::{self, Accepted, Binding, Crowd, Deadlines, Drain, ServerTls, TlsFiles};
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
    /// Sockets at once.
    pub max_sockets: usize,
    /// Of those, whose client has not shown a key yet.
    pub max_unauthenticated_sockets: usize,
    /// 0: as many as the system grants descriptors for.
    pub max_connections: usize,
    /// Of one address; 0: a part of them.
    pub max_connections_per_address: usize,
    /// One data-plane thread each; 0: one per core.
    pub workers: usize,
}

/// With descriptors enough; a connection costs a few KiB while it is idle.
const MOST_CONNECTIONS: usize = 65_536;
/// For the journal, the database, the admin face.
const DESCRIPTORS_OF_THE_HOUSE: usize = 256;
/// What one address may take of all connections, and what it may have at least.
const SHARE_OF_AN_ADDRESS: usize = 8;
const LEAST_OF_AN_ADDRESS: usize = 256;

impl Settings {
    /// Every connection may need another one, to a provider.
    pub(crate) fn crowd(&self) -> Crowd {
        let granted = net::descriptors().saturating_sub(DESCRIPTORS_OF_THE_HOUSE) / 2;
        let most = match self.max_connections {
            0 => granted.clamp(1, MOST_CONNECTIONS),
            most => most,
        };
        let each = match self.max_connections_per_address {
            0 => (most / SHARE_OF_AN_ADDRESS).max(LEAST_OF_AN_ADDRESS).min(most),
            each => each,
        };
        Crowd::new(most, each, &self.trusted_proxies)
    }
}

/// How long calls in flight may take to finish after the signal to stop.
const DRAIN_WITHIN: Duration = Duration::from_secs(30);

/// What the face is built from; one lane makes one thread.
pub(crate) struct Parts {
    pub(crate) house: Arc<House>,
    pub(crate) origins: Arc<Origins>,
    pub(crate) lanes: Vec<Lane>,
    pub(crate) binding: Binding,
    pub(crate) max_head_bytes: usize,
    /// Ends connections: gracefully at the end of the house, at once when the vault is sealed.
    pub(crate) drain: Drain,
    pub(crate) crowd: Crowd,
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
        let Parts { house, origins, lanes, mut binding, max_head_bytes, drain, crowd } = parts;
        let mut threads = Vec::with_capacity(lanes.len());
        for (number, lane) in lanes.into_iter().enumerate() {
            let Some((socket, tls)) = binding.take() else { break };
            let (house, origins) = (Arc::clone(&house), Arc::clone(&origins));
            let (drain, crowd) = (drain.clone(), crowd.clone());
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let serve = move || {
                secret::spare_buffers();
                house.metrics.counts_tasks_of(runtime.metrics());
                runtime.block_on(async move {
                    let deadlines = Deadlines::new(house.clock.clone());
                    let roster = Arc::clone(&house.roster);
                    let pressed = crowd.clone();
                    let vault = Arc::clone(&house.vault);
                    let stirs = move || {
                        let ended = roster.endings().wrapping_add(vault.endings());
                        ended.wrapping_add(pressed.presses())
                    };
                    tokio::spawn(deadlines.clone().tick(stirs));
                    let upstream = Upstream::new(origins, deadlines.clone(), house.clock.clone());
                    tokio::spawn(upstream.sweep());
                    let corridor = Corridor::new(house, lane, upstream);
                    let shared = Shared { corridor, drain, crowd, deadlines, max_head_bytes };
                    let shared = Arc::new(shared);
                    match Accepted::new(socket, tls) {
                        Ok(listener) => worker(listener, shared).await,
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

async fn worker(listener: Accepted, shared: Arc<Shared>) {
    let Shared { corridor, drain, crowd, .. } = &*shared;
    let mut stopping = pin!(drain.begun());
    let mut cuts = drain.cuts();
    loop {
        tokio::select! {
            peer = listener.accept() => {
                // Whoever finds no place is hung up on: an answer would cost more than the place.
                if let Ok(place) = crowd.enter(peer.peer.ip()) {
                    tokio::spawn(visit::serve(peer, place, Arc::clone(&shared)));
                }
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
