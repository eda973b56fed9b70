//! The body of an outbound call: the client's own, streamed and counted as it passes; where a key
//! stands in it, the document it was read into.
//! Must never be collected for any other reason.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::Document;
use crate::crypto::token;
use crate::ledger::BytesIn;
use crate::provider::Pointer;
use crate::refusal::Refusal;

/// What is sent upstream behind the head.
pub(crate) enum OutboundBody {
    Empty,
    Client {
        /// What was read of it already.
        ahead: Option<Box<Ahead>>,
        incoming: Incoming,
        counted: Arc<BytesIn>,
        left: u64,
        /// The names of trailers that may go on, as the head announces them.
        trailers: Option<HeaderValue>,
    },
    /// Read whole, and not yet complete.
    Document(Document),
    Whole(Option<Bytes>),
}

pub(crate) type Ahead = VecDeque<Frame<Bytes>>;

/// Why a body broke off on our side of it.
#[derive(Debug)]
pub(crate) enum BodyFault {
    TooLarge,
    /// A client key in a trailer.
    Misplaced,
    Client(hyper::Error),
}

/// The same in a word that can be left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Flaw {
    TooLarge = 1,
    Misplaced,
    Client,
}

impl Flaw {
    /// What this body left behind where it broke off.
    pub(crate) fn of(progress: &BytesIn) -> Option<Self> {
        let all = [Self::TooLarge, Self::Misplaced, Self::Client];
        all.into_iter().find(|flaw| *flaw as u8 == progress.flaw())
    }
}

impl BodyFault {
    pub(crate) fn flaw(&self) -> Flaw {
        match self {
            Self::TooLarge => Flaw::TooLarge,
            Self::Misplaced => Flaw::Misplaced,
            Self::Client(_) => Flaw::Client,
        }
    }

    /// Over HTTP/2 the way out hands no reason on.
    fn left_with(self, counted: &BytesIn) -> Self {
        counted.break_off(self.flaw() as u8);
        self
    }
}

impl std::fmt::Display for BodyFault {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooLarge => formatter.write_str("the body is larger than proxy.max_body_bytes"),
            Self::Misplaced => formatter.write_str("a trailer holds a client key"),
            Self::Client(cause) => write!(formatter, "the client's body broke off: {cause}"),
        }
    }
}

impl std::error::Error for BodyFault {}

impl OutboundBody {
    /// `most` is the settings' bound; 0 is none.
    pub(crate) fn of(incoming: Incoming, counted: Arc<BytesIn>, most: u64) -> Self {
        let left = if most == 0 { u64::MAX } else { most };
        Self::Client { ahead: None, incoming, counted, left, trailers: None }
    }

    /// These frames of it come first.
    pub(crate) fn behind(mut self, frames: Ahead) -> Self {
        if let Self::Client { ahead, .. } = &mut self {
            *ahead = Some(Box::new(frames));
        }
        self
    }

    pub(crate) fn of_document(document: Document, counted: &BytesIn) -> Self {
        counted.add(document.len());
        Self::Document(document)
    }

    /// It was read whole, so that it can be sent twice.
    pub(crate) fn kept(bytes: Bytes) -> Self {
        Self::Whole(Some(bytes))
    }

    /// A request without a body has nothing to fill.
    pub(super) fn with_member(self, pointer: &Pointer, value: &[u8]) -> Result<Self, Refusal> {
        match self {
            Self::Document(document) => Ok(Self::Document(document.with_member(pointer, value)?)),
            Self::Empty => Ok(Self::Empty),
            // Whoever walks reads such bodies first; passing this one on would leave a slot as the
            // client filled it.
            Self::Client { .. } | Self::Whole(_) => Err(Refusal::internal()),
        }
    }

    /// Nothing is filled in any more.
    pub(super) fn ready(self) -> Self {
        match self {
            Self::Document(document) => Self::Whole(Some(document.into_bytes())),
            Self::Empty | Self::Client { .. } | Self::Whole(_) => self,
        }
    }

    /// Nothing else goes on behind it. A document has nothing behind it.
    pub(super) fn trailed_by(mut self, names: HeaderValue) -> Self {
        if let Self::Client { trailers, .. } = &mut self {
            *trailers = Some(names);
        }
        self
    }

    /// What tells how far a streamed body has come.
    pub(crate) fn progress(&self) -> Option<Arc<BytesIn>> {
        match self {
            Self::Client { counted, .. } => Some(Arc::clone(counted)),
            Self::Empty | Self::Document(_) | Self::Whole(_) => None,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }

    pub(super) fn is_of_unknown_length(&self) -> bool {
        self.size_hint().exact().is_none()
    }
}

/// What was not announced could fill a slot.
fn keep(fields: &mut HeaderMap, names: &HeaderValue) -> Result<(), BodyFault> {
    let announced = |name: &HeaderName| {
        let mut names = names.as_bytes().split(|byte| *byte == b',');
        names.any(|announced| announced.trim_ascii() == name.as_str().as_bytes())
    };
    let dropped: Vec<HeaderName> = fields.keys().filter(|name| !announced(name)).cloned().collect();
    for name in dropped {
        fields.remove(name);
    }
    let holds_key = |value: &HeaderValue| token::find_in(value.as_bytes()).is_some();
    if fields.values().any(holds_key) { Err(BodyFault::Misplaced) } else { Ok(()) }
}

impl Body for OutboundBody {
    type Data = Bytes;
    type Error = BodyFault;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        let (next, counted, left, trailers) = match self.get_mut() {
            Self::Client { ahead, incoming, counted, left, trailers } => {
                let next = match ahead.as_mut().and_then(|ahead| ahead.pop_front()) {
                    Some(frame) => Poll::Ready(Some(Ok(frame))),
                    None => Pin::new(incoming).poll_frame(context),
                };
                (next, counted, left, trailers)
            }
            Self::Whole(bytes) => {
                return Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes))));
            }
            Self::Empty | Self::Document(_) => return Poll::Ready(None),
        };
        match next {
            Poll::Ready(Some(Ok(mut frame))) => {
                if let Some(fields) = frame.trailers_mut() {
                    // The client holds nothing up any more.
                    counted.add(0);
                    let Some(names) = trailers else { return Poll::Ready(None) };
                    let kept = keep(fields, names).map(|()| frame);
                    return Poll::Ready(Some(kept.map_err(|fault| fault.left_with(counted))));
                }
                let length = frame.data_ref().map_or(0, Bytes::len);
                counted.add(length);
                let length = u64::try_from(length).unwrap_or(u64::MAX);
                match left.checked_sub(length) {
                    Some(rest) => *left = rest,
                    None => {
                        let fault = BodyFault::TooLarge.left_with(counted);
                        return Poll::Ready(Some(Err(fault)));
                    }
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(cause))) => {
                Poll::Ready(Some(Err(BodyFault::Client(cause).left_with(counted))))
            }
            Poll::Ready(None) => {
                counted.add(0);
                Poll::Ready(None)
            }
            Poll::Pending => {
                counted.wait();
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty | Self::Document(_) => true,
            Self::Whole(bytes) => bytes.is_none(),
            Self::Client { ahead, incoming, .. } => {
                ahead.as_ref().is_none_or(|ahead| ahead.is_empty()) && incoming.is_end_stream()
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty | Self::Document(_) => SizeHint::with_exact(0),
            Self::Whole(bytes) => {
                let length = bytes.as_ref().map_or(0, Bytes::len);
                SizeHint::with_exact(u64::try_from(length).unwrap_or(u64::MAX))
            }
            Self::Client { ahead: Some(_), .. } => SizeHint::default(),
            Self::Client { ahead: None, incoming, .. } => incoming.size_hint(),
        }
    }
}
