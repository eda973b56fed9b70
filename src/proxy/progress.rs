//! Does a client's connection move? It has to ask for something soon, and to take what it is
//! answered: HTTP/2 may hold an answer back without ever holding up the socket. Must never look at
//! what is answered, nor count the time that a provider takes.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, StatusCode};
use http_body::{Body, Frame, SizeHint};

use crate::corridor::{Answer, AnswerBody, Greeting, Socket};
use crate::net::Patience;

/// What one connection shares with its answers.
#[derive(Default)]
pub(super) struct Progress {
    /// Somebody has called on it who may call.
    known: AtomicBool,
    /// Calls whose answers have not gone.
    calls: AtomicUsize,
    /// Answers that wait for the client, not for their provider.
    held: AtomicUsize,
    moves: AtomicU64,
    /// What follows the head that was answered last; the lock is its own thread's alone.
    upgraded: Mutex<Option<Upgraded>>,
}

/// What a connection is once it speaks HTTP no more.
pub(super) enum Upgraded {
    Socket(Box<Socket>),
    Greeting(Box<Greeting>),
}

/// How long a connection may stand still.
pub(super) struct Standstill {
    patience: Patience,
    moves: u64,
}

/// An answer's body that says whose turn it is.
pub(super) struct Heeded {
    body: AnswerBody,
    progress: Arc<Progress>,
    held: bool,
}

/// How long a connection may take for a head, ask for nothing at all, or leave lying what it is
/// answered.
pub(super) const MOVES_WITHIN: Duration = Duration::from_secs(30);
/// The same while nobody knows who is there.
pub(super) const STRANGER_MOVES_WITHIN: Duration = Duration::from_secs(10);

impl Progress {
    pub(super) fn new(is_known: bool) -> Self {
        Self { known: AtomicBool::new(is_known), ..Self::default() }
    }

    /// An answer goes out; one that a stranger gets, too, tells nothing of who is there.
    pub(super) fn answers(&self, answer: &Answer) {
        if !self.is_known() && !is_for_strangers(answer) {
            self.known.store(true, Ordering::Relaxed);
        }
    }

    /// HTTP ends with the head of this answer.
    pub(super) fn hand_over(&self, answer: &mut Answer) {
        let body = answer.body_mut();
        let socket = body.take_socket().map(Upgraded::Socket);
        let upgraded = socket.or_else(|| body.take_greeting().map(Upgraded::Greeting));
        if upgraded.is_some() {
            *self.upgraded.lock().unwrap_or_else(PoisonError::into_inner) = upgraded;
        }
    }

    pub(super) fn take_upgraded(&self) -> Option<Upgraded> {
        self.upgraded.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(super) fn is_known(&self) -> bool {
        self.known.load(Ordering::Relaxed)
    }

    pub(super) fn asks(&self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.moves.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn heeded(self: &Arc<Self>, answer: Answer) -> http::Response<Heeded> {
        answer.map(|body| {
            let mut heeded = Heeded { body, progress: Arc::clone(self), held: false };
            heeded.turn(true);
            heeded
        })
    }

    /// An answer waits for the client.
    fn waits(&self) -> bool {
        self.held.load(Ordering::Relaxed) > 0
    }

    /// Nothing is asked at this moment.
    pub(super) fn is_quiet(&self) -> bool {
        self.calls.load(Ordering::Relaxed) == 0
    }
}

impl Standstill {
    pub(super) fn of(patience: Patience) -> Self {
        Self { patience, moves: 0 }
    }

    /// Whoever is known may take longer.
    pub(super) fn knows(&mut self, progress: &Progress) {
        if progress.is_known() {
            self.patience.allow(MOVES_WITHIN);
        }
    }

    pub(super) fn allow(&mut self, limit: Duration) {
        self.patience.allow(limit);
    }

    /// To be asked whenever the connection waits: did nothing move for too long, with the client
    /// waited for? `idle` tells if that is so between two answers, too.
    pub(super) fn is_over(
        &mut self,
        progress: &Progress,
        idle: bool,
        context: &Context<'_>,
    ) -> bool {
        let moves = progress.moves.load(Ordering::Relaxed);
        let waits = progress.waits() || idle;
        if !waits || std::mem::replace(&mut self.moves, moves) != moves {
            self.patience.renew();
        }
        waits && self.patience.is_over(context)
    }

    /// Another conversation begins on the line. After one that was broken off within a head, the
    /// time for that head goes on.
    pub(super) fn begin(&mut self, afresh: bool) {
        self.moves = 0;
        if afresh {
            self.patience.renew();
        }
    }
}

/// Is it a refusal of before anybody was known?
fn is_for_strangers(answer: &Answer) -> bool {
    answer.headers().contains_key(&ERROR) && STRANGERS.contains(&answer.status())
}

static ERROR: HeaderName = HeaderName::from_static("x-sealgate-error");
const STRANGERS: [StatusCode; 8] = [
    StatusCode::BAD_REQUEST,
    StatusCode::UNAUTHORIZED,
    StatusCode::FORBIDDEN,
    StatusCode::METHOD_NOT_ALLOWED,
    StatusCode::REQUEST_TIMEOUT,
    StatusCode::PAYLOAD_TOO_LARGE,
    StatusCode::URI_TOO_LONG,
    StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
];

impl Heeded {
    /// From now on it is the client who is waited for, or is not.
    fn turn(&mut self, held: bool) {
        match (std::mem::replace(&mut self.held, held), held) {
            (false, true) => self.progress.held.fetch_add(1, Ordering::Relaxed),
            (true, false) => self.progress.held.fetch_sub(1, Ordering::Relaxed),
            (true, true) | (false, false) => return,
        };
        self.progress.moves.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Heeded {
    fn drop(&mut self) {
        self.turn(false);
        self.progress.calls.fetch_sub(1, Ordering::Relaxed);
        self.progress.moves.fetch_add(1, Ordering::Relaxed);
    }
}

impl Body for Heeded {
    type Data = Bytes;
    type Error = <AnswerBody as Body>::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        this.turn(false);
        let polled = Pin::new(&mut this.body).poll_frame(context);
        if matches!(polled, Poll::Ready(Some(Ok(_)))) {
            this.turn(true);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
