//! The body of an outbound call.
//! The client's own, streamed and counted as it passes.
//! Must never be collected.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

/// What is sent upstream behind the head.
pub(crate) enum OutboundBody {
    Empty,
    Client { incoming: Incoming, counted: Arc<AtomicU64>, left: u64 },
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
    pub(crate) fn of(incoming: Incoming, counted: Arc<AtomicU64>, most: u64) -> Self {
        let left = if most == 0 { u64::MAX } else { most };
        Self::Client { incoming, counted, left }
    }

    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }
}

impl Body for OutboundBody {
    type Data = Bytes;
    type Error = BodyFault;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        let Self::Client { incoming, counted, left } = self.get_mut() else {
            return Poll::Ready(None);
        };
        match Pin::new(incoming).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => {
                let length = frame.data_ref().map_or(0, Bytes::len);
                let length = u64::try_from(length).unwrap_or(u64::MAX);
                counted.fetch_add(length, Ordering::Relaxed);
                match left.checked_sub(length) {
                    Some(rest) => *left = rest,
                    None => return Poll::Ready(Some(Err(BodyFault::TooLarge))),
                }
                // Trailers of a request have no meaning at any provider, and could fill a slot.
                if frame.is_trailers() { Poll::Ready(None) } else { Poll::Ready(Some(Ok(frame))) }
            }
            Poll::Ready(Some(Err(cause))) => Poll::Ready(Some(Err(BodyFault::Client(cause)))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Client { incoming, .. } => incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Client { incoming, .. } => incoming.size_hint(),
        }
    }
}
