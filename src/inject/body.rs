//! The body of an outbound call: the client's own, streamed and counted as it passes; where a key
//! stands in it, the document it was read into.
//! Must never be collected for any other reason.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::Document;
use crate::ledger::BytesIn;
use crate::provider::Pointer;
use crate::refusal::Refusal;

/// What is sent upstream behind the head.
pub(crate) enum OutboundBody {
    Empty,
    Client {
        incoming: Incoming,
        counted: Arc<BytesIn>,
        left: u64,
    },
    /// Read whole, and not yet complete.
    Document(Document),
    Whole(Option<Bytes>),
}

/// Why a body broke off on our side of it.
#[derive(Debug)]
pub(crate) enum BodyFault {
    TooLarge,
    Client(hyper::Error),
}

impl std::fmt::Display for BodyFault {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooLarge => formatter.write_str("the body is larger than proxy.max_body_bytes"),
            Self::Client(cause) => write!(formatter, "the client's body broke off: {cause}"),
        }
    }
}

impl std::error::Error for BodyFault {}

impl OutboundBody {
    /// `most` is the settings' bound; 0 is none.
    pub(crate) fn of(incoming: Incoming, counted: Arc<BytesIn>, most: u64) -> Self {
        let left = if most == 0 { u64::MAX } else { most };
        Self::Client { incoming, counted, left }
    }

    pub(crate) fn of_document(document: Document, counted: &BytesIn) -> Self {
        counted.add(document.len());
        Self::Document(document)
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

impl Body for OutboundBody {
    type Data = Bytes;
    type Error = BodyFault;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        let (incoming, counted, left) = match self.get_mut() {
            Self::Client { incoming, counted, left } => (incoming, counted, left),
            Self::Whole(bytes) => {
                return Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes))));
            }
            Self::Empty | Self::Document(_) => return Poll::Ready(None),
        };
        match Pin::new(incoming).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => {
                let length = frame.data_ref().map_or(0, Bytes::len);
                counted.add(length);
                let length = u64::try_from(length).unwrap_or(u64::MAX);
                match left.checked_sub(length) {
                    Some(rest) => *left = rest,
                    None => return Poll::Ready(Some(Err(BodyFault::TooLarge))),
                }
                // Trailers of a request have no meaning at any provider, and could fill a slot.
                if frame.is_trailers() { Poll::Ready(None) } else { Poll::Ready(Some(Ok(frame))) }
            }
            Poll::Ready(Some(Err(cause))) => Poll::Ready(Some(Err(BodyFault::Client(cause)))),
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
            Self::Client { incoming, .. } => incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty | Self::Document(_) => SizeHint::with_exact(0),
            Self::Whole(bytes) => {
                let length = bytes.as_ref().map_or(0, Bytes::len);
                SizeHint::with_exact(u64::try_from(length).unwrap_or(u64::MAX))
            }
            Self::Client { incoming, .. } => incoming.size_hint(),
        }
    }
}
