//! One client connection, from its first byte to its last: what is spoken on it, its deadlines, and
//! that a client who says nothing for a second holds no more than his socket. Must never end a
//! connection on which an answer is still under way, unless it stands still or is cut.

use std::convert::Infallible;
use std::future::Future as _;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};

use super::line::{Line, Spoken};
use super::own;
use super::progress::{
    Heeded, MOVES_WITHIN, Progress, STRANGER_MOVES_WITHIN, Standstill, Upgraded,
};
use crate::corridor::{Corridor, Raw, dress, vary};
use crate::net::{Crowd, Deadlines, Drain, Follower, Patient, PeerStream, Place};

/// Nothing was asked for so long: the conversation is put aside, and the line stays.
const QUIET_AFTER: Duration = Duration::from_secs(1);
/// A connection on which nothing was said for so long is closed.
const IDLE_WITHIN: Duration = Duration::from_secs(120);
/// The same where few places are left.
const IDLE_WHEN_TIGHT: Duration = Duration::from_secs(5);
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;
const MOST_STREAMS: u32 = 256;

/// What all connections of a thread share.
pub(super) struct Shared {
    pub(super) corridor: Arc<Corridor>,
    pub(super) drain: Drain,
    pub(super) crowd: Crowd,
    pub(super) deadlines: Deadlines,
    pub(super) max_head_bytes: usize,
}

/// A client who is here.
struct Visit {
    shared: Arc<Shared>,
    address: IpAddr,
    follower: Follower,
    /// Of answers that nobody takes, and of heads that never end.
    standstill: Standstill,
    is_known: bool,
    _place: Place,
}

/// How a conversation ended.
enum End {
    Over,
    Aside,
    /// What follows is no HTTP.
    Upgraded(Upgraded),
}

pub(super) async fn serve(peer: PeerStream, place: Place, shared: Arc<Shared>) {
    let follower = shared.drain.follow();
    let (address, opening) = (peer.peer.ip(), Box::pin(peer.open()));
    let Some(stream) = opening.await else { return };
    let patience = |limit| shared.deadlines.patience(limit);
    let mut line = Line::new(Patient::new(stream, patience(MOVES_WITHIN)));
    let standstill = Standstill::of(patience(STRANGER_MOVES_WITHIN));
    let mut visit = Visit { shared, address, follower, standstill, is_known: false, _place: place };
    // The conversations are boxed: between two of them a connection is as small as can be.
    loop {
        let afresh = line.is_silent();
        match visit.spoken(&mut line).await {
            None => return,
            Some(Spoken::H2) => return Box::pin(visit.h2(line)).await,
            Some(Spoken::H1) => {
                visit.standstill.begin(afresh);
                match Box::pin(visit.h1(line)).await {
                    None => return,
                    Some(kept) => line = kept,
                }
            }
        }
    }
}

impl Visit {
    /// None where the client is gone, says nothing, or nobody is to be served any more.
    async fn spoken(&mut self, line: &mut Line) -> Option<Spoken> {
        let mut patience = self.shared.deadlines.patience(IDLE_WITHIN);
        let Self { shared, follower, is_known, .. } = self;
        std::future::poll_fn(|context| {
            if follower.is_draining(context) || follower.is_cut() {
                return Poll::Ready(None);
            }
            // It may have grown tight meanwhile: then everybody is woken.
            patience.allow(may_be_silent(&shared.crowd, *is_known));
            match line.poll_spoken(context) {
                Poll::Ready(spoken) => Poll::Ready(spoken.ok()),
                Poll::Pending if patience.is_over(context) => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }

    /// The line, where the conversation was put aside.
    async fn h1(&mut self, line: Line) -> Option<Line> {
        let (progress, ties) = (Arc::new(Progress::new(self.is_known)), line.ties());
        let service = answers(&self.shared.corridor, &progress, self.address);
        let mut builder = http1::Builder::new();
        builder.header_read_timeout(None).max_buf_size(self.shared.max_head_bytes.max(8192));
        let mut connection = builder.serve_connection(TokioIo::new(line), service);
        let mut quiet = Standstill::of(self.shared.deadlines.patience(QUIET_AFTER));
        let (mut told, mut aside) = (false, false);
        let Self { follower, standstill, .. } = self;
        // A connection that broke was its client's doing; what it left is in the records.
        let end = std::future::poll_fn(|context| {
            if follower.is_draining(context) && !told {
                told = true;
                Pin::new(&mut connection).graceful_shutdown();
            }
            if follower.is_cut() {
                return Poll::Ready(End::Over);
            }
            loop {
                match Pin::new(&mut connection).poll(context) {
                    Poll::Ready(Ok(())) => {
                        return Poll::Ready(match progress.take_upgraded() {
                            Some(upgraded) => End::Upgraded(upgraded),
                            None if aside => End::Aside,
                            None => End::Over,
                        });
                    }
                    Poll::Ready(_) => return Poll::Ready(End::Over),
                    Poll::Pending => {}
                }
                let idle = progress.is_quiet();
                standstill.knows(&progress);
                let pauses = idle && !told && !aside && quiet.is_over(&progress, true, context);
                if pauses && ties.keep() {
                    aside = true;
                    Pin::new(&mut connection).graceful_shutdown();
                } else if standstill.is_over(&progress, idle, context) {
                    return Poll::Ready(End::Over);
                } else {
                    return Poll::Pending;
                }
            }
        })
        .await;
        self.is_known = progress.is_known();
        if matches!(end, End::Over) {
            return None;
        }
        let line = {
            let parts = connection.into_parts();
            let mut line = parts.io.into_inner();
            line.put_back(&parts.read_buf);
            line
        };
        self.after(end, line).await
    }

    /// What becomes of the line.
    async fn after(&mut self, end: End, mut line: Line) -> Option<Line> {
        let Self { shared, follower, .. } = self;
        // Boxed, as conversations are.
        match end {
            End::Over => return None,
            End::Aside => {
                shared.crowd.leaves_room();
                return Some(line);
            }
            End::Upgraded(Upgraded::Socket(socket)) => {
                Box::pin(socket.run(&mut line, follower, &shared.deadlines)).await;
            }
            End::Upgraded(Upgraded::Greeting(greeting)) => {
                let house = (&*shared.corridor, follower);
                Box::pin(greeting.run(&mut line, house, &shared.deadlines)).await;
            }
        }
        None
    }

    async fn h2(&mut self, mut line: Line) {
        line.counts_frames(&self.shared.deadlines);
        let progress = Arc::new(Progress::new(self.is_known));
        let service = answers(&self.shared.corridor, &progress, self.address);
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_concurrent_streams(MOST_STREAMS)
            .max_header_list_size(u32::try_from(self.shared.max_head_bytes).unwrap_or(u32::MAX));
        let mut connection = builder.serve_connection(TokioIo::new(line), service);
        let mut told = false;
        let mut idle = Standstill::of(self.shared.deadlines.patience(IDLE_WITHIN));
        let Self { shared, follower, standstill, .. } = self;
        standstill.begin(true);
        std::future::poll_fn(|context| {
            if follower.is_draining(context) && !told {
                told = true;
                Pin::new(&mut connection).graceful_shutdown();
            }
            if follower.is_cut() {
                return Poll::Ready(());
            }
            loop {
                if Pin::new(&mut connection).poll(context).is_ready() {
                    return Poll::Ready(());
                }
                standstill.knows(&progress);
                let (quiet, stranger) = (progress.is_quiet(), !progress.is_known());
                if standstill.is_over(&progress, quiet && stranger, context) {
                    return Poll::Ready(());
                }
                idle.allow(may_be_silent(&shared.crowd, true));
                if told || !idle.is_over(&progress, quiet, context) {
                    return Poll::Pending;
                }
                told = true;
                Pin::new(&mut connection).graceful_shutdown();
            }
        })
        .await;
    }
}

fn may_be_silent(crowd: &Crowd, is_known: bool) -> Duration {
    if !is_known {
        STRANGER_MOVES_WITHIN
    } else if crowd.is_tight() {
        IDLE_WHEN_TIGHT
    } else {
        IDLE_WITHIN
    }
}

/// What answers one request after another.
fn answers(
    corridor: &Arc<Corridor>,
    progress: &Arc<Progress>,
    peer: IpAddr,
) -> impl Service<
    http::Request<Incoming>,
    Response = http::Response<Heeded>,
    Error = Infallible,
    Future: Send + 'static,
> + use<> {
    let (corridor, progress) = (Arc::clone(corridor), Arc::clone(progress));
    service_fn(move |request: http::Request<Incoming>| {
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
                None => {
                    let answer = corridor.answer(raw).await;
                    progress.answers(&answer);
                    answer
                }
            };
            match page {
                Some(origin) => dress(answer.headers_mut(), origin),
                None => vary(&mut answer),
            }
            progress.hand_over(&mut answer);
            Ok::<_, Infallible>(progress.heeded(answer))
        }
    })
}
