//! Connections of one thread: HTTP/1.1 ones last in, first out; HTTP/2 ones shared. A connection
//! comes back only when its answer ended well; after any anomaly it is dropped, so that no answer
//! can reach the wrong call.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::TokioIo;

use crate::clock::Clock;
use crate::inject::OutboundBody;
use crate::net::Stream;
use crate::secret;

/// Beyond this many, idle connections to one provider are closed.
const MOST_IDLE: usize = 256;
/// Providers close idle connections after a minute or so; ours go first.
const IDLE_FOR: Duration = Duration::from_secs(50);
const BUFFER_BYTES: usize = 64 * 1024;
/// As large a head as HTTP/1.1's buffer takes; hyper's own bound for HTTP/2 is a quarter of it.
const HEAD_BYTES: u32 = 64 * 1024;
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;

/// The lock is only ever taken by its own thread, so nobody waits for it.
#[derive(Clone)]
pub(super) struct Pool {
    idle: Arc<Mutex<HashMap<Arc<str>, Idle>>>,
    clock: Clock,
}

#[derive(Default)]
struct Idle {
    h1: Vec<(http1::SendRequest<OutboundBody>, u64)>,
    h2: Vec<http2::SendRequest<OutboundBody>>,
}

enum Sender {
    H1(http1::SendRequest<OutboundBody>),
    H2(http2::SendRequest<OutboundBody>),
}

/// A connection for one call; goes back to the pool when it is released.
pub(super) struct Lease {
    sender: Option<Sender>,
    provider: Arc<str>,
    pool: Pool,
}

impl Pool {
    pub(super) fn new(clock: Clock) -> Self {
        Self { idle: Arc::default(), clock }
    }

    /// A connection that is ready, and for how long it lay idle.
    pub(super) fn take(
        &self,
        provider: &Arc<str>,
        wants_h2: bool,
        now_ns: u64,
    ) -> Option<(Lease, Duration)> {
        let mut idle = self.lock();
        let entry = idle.get_mut(provider)?;
        if wants_h2 {
            entry.h2.retain(|sender| !sender.is_closed());
            if let Some(sender) = entry.h2.first() {
                let sender = Sender::H2(sender.clone());
                return Some((self.lease(provider, sender), Duration::ZERO));
            }
        }
        while let Some((sender, since_ns)) = entry.h1.pop() {
            let age = Duration::from_nanos(now_ns.saturating_sub(since_ns));
            if age >= IDLE_FOR {
                // The rest is older still.
                entry.h1.clear();
                return None;
            }
            if sender.is_ready() {
                return Some((self.lease(provider, Sender::H1(sender)), age));
            }
        }
        None
    }

    /// Speaks HTTP on a fresh connection; its driver runs on this thread until it closes.
    pub(super) async fn adopt(
        &self,
        provider: &Arc<str>,
        stream: Stream,
    ) -> Result<Lease, hyper::Error> {
        if stream.is_h2() {
            let (sender, connection) = http2::Builder::new(Driver)
                .initial_stream_window_size(STREAM_WINDOW_BYTES)
                .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
                .max_header_list_size(HEAD_BYTES)
                .handshake(TokioIo::new(stream))
                .await?;
            tokio::spawn(driven(connection));
            self.lock().entry(Arc::clone(provider)).or_default().h2.push(sender.clone());
            return Ok(self.lease(provider, Sender::H2(sender)));
        }
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(BUFFER_BYTES)
            .handshake(TokioIo::new(stream))
            .await?;
        tokio::spawn(driven(connection));
        Ok(self.lease(provider, Sender::H1(sender)))
    }

    /// A connection whose last sender is dropped closes by itself.
    pub(super) fn clear(&self) {
        self.lock().clear();
    }

    fn lease(&self, provider: &Arc<str>, sender: Sender) -> Lease {
        Lease { sender: Some(sender), provider: Arc::clone(provider), pool: self.clone() }
    }

    fn give_back(&self, provider: &Arc<str>, sender: http1::SendRequest<OutboundBody>) {
        let now_ns = self.clock.monotonic_ns();
        let mut idle = self.lock();
        if !idle.contains_key(provider) {
            idle.insert(Arc::clone(provider), Idle::default());
        }
        if let Some(entry) = idle.get_mut(provider)
            && entry.h1.len() < MOST_IDLE
        {
            entry.h1.push((sender, now_ns));
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Arc<str>, Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's own work, until it closes; how it ended is told to the calls that it carried. Its
/// buffers have held keys: they are wiped when they grow, and with it.
async fn driven<C: Future>(connection: C) {
    let mut connection = Box::pin(connection);
    poll_fn(|context| secret::wiping_all(|| connection.as_mut().poll(context).map(drop))).await;
    secret::wiping_all(|| drop(connection));
}

/// HTTP/2 hands the work on its frames, which is where keys are compressed, to tasks of its own.
#[derive(Clone)]
struct Driver;

impl<F: Future + Send + 'static> hyper::rt::Executor<F> for Driver {
    fn execute(&self, task: F) {
        tokio::spawn(driven(task));
    }
}

pub(super) type Unsent = (hyper::Error, Option<Request<OutboundBody>>);

impl Lease {
    pub(super) fn is_h2(&self) -> bool {
        matches!(self.sender, Some(Sender::H2(_)))
    }

    /// The answer's head, or what went wrong and the request, if no byte of it was sent. The
    /// request is handed over before this returns: what is awaited holds nothing of it.
    pub(super) fn send(
        &mut self,
        request: Request<OutboundBody>,
    ) -> impl Future<Output = Result<Response<Incoming>, Unsent>> + use<> {
        let (h1, h2) = match &mut self.sender {
            Some(Sender::H1(sender)) => (Some(sender.try_send_request(request)), None),
            Some(Sender::H2(sender)) => (None, Some(sender.try_send_request(request))),
            // Only `release` and `discard` empty it, and both come last.
            None => (None, None),
        };
        async move {
            let sent = match (h1, h2) {
                (Some(sending), _) => sending.await,
                (None, Some(sending)) => sending.await,
                (None, None) => std::future::pending().await,
            };
            sent.map_err(|mut failed| {
                let unsent = failed.take_message();
                (failed.into_error(), unsent)
            })
        }
    }

    /// The answer ended as it should: the connection may serve again.
    pub(super) fn release(&mut self) {
        let Some(Sender::H1(mut sender)) = self.sender.take() else { return };
        if sender.is_ready() {
            self.pool.give_back(&self.provider, sender);
            return;
        }
        if sender.is_closed() {
            return;
        }
        // Its driver has yet to see the end of the answer; it will within this turn.
        let (pool, provider) = (self.pool.clone(), Arc::clone(&self.provider));
        tokio::spawn(async move {
            if sender.ready().await.is_ok() {
                pool.give_back(&provider, sender);
            }
        });
    }

    /// Anything was odd: nobody uses this connection again.
    pub(super) fn discard(&mut self) {
        self.sender = None;
    }
}
