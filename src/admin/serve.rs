//! The doors of the admin face: accepts, hands each connection to hyper, and drains. The same
//! router stands behind the network and behind the local socket; only the peer that it is told
//! differs.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tower::ServiceExt;

use super::local::LocalSocket;
use super::trace::Peer;
use crate::net::{self, Crowd, PeerStream};

/// Where the admin face is reached.
pub(crate) struct Doors {
    pub(crate) network: Option<net::Accepted>,
    pub(crate) local: Option<LocalSocket>,
}

/// Ends the connection on which a call came, whatever is under way there.
#[derive(Clone, Default)]
pub(super) struct Cut(Arc<Notify>);

/// Connections at once; the next one waits in the kernel's queue.
const MOST_CONNECTIONS: usize = 1024;
/// Of one address, this machine aside; whoever comes beyond it is hung up on.
const MOST_OF_AN_ADDRESS: usize = 256;
const HEAD_WITHIN: Duration = Duration::from_secs(10);
/// How long calls in flight may take to finish after the signal to stop.
const DRAIN_WITHIN: Duration = Duration::from_secs(25);
/// After a failed accept (no file descriptor left): long enough not to spin, short enough not to be
/// felt.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// Runs until `shutdown`, then lets what is in flight finish, within bounds.
pub(super) async fn serve(router: Router, doors: Doors, shutdown: impl Future<Output = ()>) {
    let (stop, stopping) = watch::channel(false);
    let crowd = Crowd::new(MOST_CONNECTIONS, MOST_OF_AN_ADDRESS, &[]);
    let mut connections = Connections { router, stopping, crowd, tasks: JoinSet::new() };
    let seats = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            arrived = next(&doors, &seats) => match arrived {
                Ok(Arrived::Network(peer, seat)) => connections.take_network(peer, seat),
                Ok(Arrived::Local(stream)) => connections.take_local(stream),
                Err(fault) => {
                    tracing::warn!(name: "admin.accept_failed", %fault, "no connection accepted");
                    tokio::time::sleep(ACCEPT_AGAIN_AFTER).await;
                }
            },
            // Finished connections are taken out as they end, or the set would grow for ever.
            Some(_) = connections.tasks.join_next() => {}
        }
    }
    drop(doors);
    let _ = stop.send(true);
    connections.drain().await;
}

enum Arrived {
    Network(PeerStream, OwnedSemaphorePermit),
    /// Takes no seat: a crowd on the network must not lock out whoever runs the machine.
    Local(UnixStream),
}

async fn next(doors: &Doors, seats: &Arc<Semaphore>) -> io::Result<Arrived> {
    let network = async {
        let Some(listener) = &doors.network else { return std::future::pending().await };
        let seat = Arc::clone(seats).acquire_owned().await.map_err(io::Error::other)?;
        Ok(Arrived::Network(listener.accept().await, seat))
    };
    let local = async {
        match &doors.local {
            Some(socket) => socket.accept().await.map(Arrived::Local),
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        arrived = network => arrived,
        arrived = local => arrived,
    }
}

struct Connections {
    router: Router,
    stopping: watch::Receiver<bool>,
    crowd: Crowd,
    tasks: JoinSet<()>,
}

impl Cut {
    pub(super) fn now(&self) {
        self.0.notify_one();
    }
}

impl Connections {
    fn take_network(&mut self, arrived: PeerStream, seat: OwnedSemaphorePermit) {
        let Ok(place) = self.crowd.enter(arrived.peer.ip()) else { return };
        let (router, stopping) = (self.router.clone(), self.stopping.clone());
        self.tasks.spawn(async move {
            let _held = (seat, place);
            let peer = Peer::Address(arrived.peer);
            if let Some(stream) = arrived.open().await {
                converse(stream, (router, peer), stopping).await;
            }
        });
    }

    fn take_local(&mut self, stream: UnixStream) {
        let (router, stopping) = (self.router.clone(), self.stopping.clone());
        self.tasks.spawn(converse(stream, (router, Peer::Local), stopping));
    }

    async fn drain(mut self) {
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(DRAIN_WITHIN, all).await.is_err() {
            tracing::warn!(
                name: "admin.drain_cut",
                left = self.tasks.len(),
                "calls did not finish in time and are cut"
            );
            self.tasks.shutdown().await;
        }
    }
}

/// One connection, until it ends or the house stops; then the call in flight is the last one.
async fn converse<S>(stream: S, (router, peer): (Router, Peer), mut stopping: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let cut = Cut::default();
    let answer = answer(router, peer, cut.clone());
    // An error means that the sender is gone, and then everything stops too.
    let stopped = async { stopping.wait_for(|stop| *stop).await.map(|_| ()) };
    let server = server();
    let mut connection = pin!(server.serve_connection(TokioIo::new(stream), answer));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = cut.0.notified() => return,
        _ = stopped => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(fault) = ended {
        tracing::debug!(name: "admin.connection_failed", fault, "a connection ended badly");
    }
}

/// The router as hyper sees it, told who is at the other end.
fn answer(
    router: Router,
    peer: Peer,
    cut: Cut,
) -> impl Service<
    hyper::Request<Incoming>,
    Response = Response,
    Error = Infallible,
    Future: Send + 'static,
> + Send {
    service_fn(move |request: hyper::Request<Incoming>| {
        let (router, cut) = (router.clone(), cut.clone());
        async move {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(peer);
            request.extensions_mut().insert(cut);
            router.oneshot(request).await
        }
    })
}

fn server() -> auto::Builder<TokioExecutor> {
    let mut server = auto::Builder::new(TokioExecutor::new());
    server.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_WITHIN);
    server.http2().timer(TokioTimer::new()).max_concurrent_streams(64);
    server
}
