//! A connection for one call. Goes back to the pool when the answer ended well; whoever drops it
//! otherwise closes it, or his stream on it.
//! Must never be given back after anything odd.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};

use super::{Origin, Pool, Shared};
use crate::inject::OutboundBody;
use crate::net::Line;

pub(super) enum Sender {
    H1(http1::SendRequest<OutboundBody>, Arc<Origin>),
    H2(http2::SendRequest<OutboundBody>, Arc<Shared>),
}

pub(in super::super) struct Lease {
    sender: Option<Sender>,
    host: Arc<str>,
    pool: Pool,
}

/// What went wrong, and the request, if no byte of it was sent.
pub(in super::super) type Unsent = (hyper::Error, Option<Request<OutboundBody>>);

impl Sender {
    pub(super) fn of_shared(shared: Arc<Shared>) -> Self {
        Self::H2(shared.sender.clone(), shared)
    }
}

impl Lease {
    pub(super) fn new(sender: Sender, host: Arc<str>, pool: Pool) -> Self {
        Self { sender: Some(sender), host, pool }
    }

    pub(in super::super) fn is_h2(&self) -> bool {
        matches!(self.sender, Some(Sender::H2(..)))
    }

    /// The address at its other end.
    pub(in super::super) fn line(&self) -> Option<&Line> {
        match &self.sender {
            Some(Sender::H1(_, origin)) => Some(&origin.line),
            Some(Sender::H2(_, shared)) => Some(&shared.origin.line),
            None => None,
        }
    }

    /// The answer's head, or what went wrong. The request is handed over before this returns: what
    /// is awaited holds nothing of it.
    pub(in super::super) fn send(
        &mut self,
        request: Request<OutboundBody>,
    ) -> impl Future<Output = Result<Response<Incoming>, Unsent>> + use<> {
        let (h1, h2) = match &mut self.sender {
            Some(Sender::H1(sender, _)) => (Some(sender.try_send_request(request)), None),
            Some(Sender::H2(sender, _)) => (None, Some(sender.try_send_request(request))),
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
    pub(in super::super) fn release(&mut self) {
        let Some(Sender::H1(mut sender, origin)) = self.sender.take() else { return };
        if sender.is_ready() {
            self.pool.give_back(&self.host, sender, origin);
            return;
        }
        if sender.is_closed() {
            return;
        }
        // Its driver has yet to see the end of the answer; it will within this turn.
        let (pool, host) = (self.pool.clone(), Arc::clone(&self.host));
        tokio::spawn(async move {
            if sender.ready().await.is_ok() {
                pool.give_back(&host, sender, origin);
            }
        });
    }

    /// Anything was odd: nobody uses this connection again, or this stream of it.
    pub(in super::super) fn discard(&mut self) {
        self.sender = None;
    }

    /// It says nothing any more, or turns calls away: nobody begins another one on it.
    pub(in super::super) fn give_up(&mut self) {
        if let Some(Sender::H2(_, shared)) = &self.sender {
            shared.is_distrusted.store(true, Ordering::Relaxed);
        }
        self.discard();
    }
}
