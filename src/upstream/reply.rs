//! A provider's answer: its head and its streamed body, which bounds how
//! long it may stand still and gives the connection back when it ends
//! well.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

use super::pool::Lease;
use crate::net::{Patience, Stream};

pub(crate) struct Reply {
    pub(crate) head: http::response::Parts,
    pub(crate) body: ReplyBody,
}

pub(crate) struct ReplyBody {
    incoming: Incoming,
    lease: Lease,
    patience: Patience,
    ended: bool,
    /// What was looked at and has not gone on. Boxed: few answers are looked at.
    ahead: Option<Box<Ahead>>,
}

type Ahead = VecDeque<Result<Frame<Bytes>, ReplyFault>>;

/// Why a provider's body did not come to its end.
#[derive(Debug)]
pub(crate) enum ReplyFault {
    Broken(hyper::Error),
    /// The provider ended it before its end.
    Short,
    Idle,
    /// The whole took longer than it may.
    TooLong,
    /// The caller's client key has ended meanwhile.
    Ended,
    /// It holds what must not go out and cannot be blanked.
    Unfit,
}

impl std::fmt::Display for ReplyFault {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Broken(cause) => write!(formatter, "the provider's answer broke off: {cause}"),
            Self::Short => formatter.write_str("the provider's answer ended before its end"),
            Self::Idle => formatter.write_str("the provider's answer stood still for too long"),
            Self::TooLong => {
                formatter.write_str("the provider's answer took longer than timeouts.total_seconds")
            }
            Self::Ended => formatter.write_str("the client key has ended"),
            Self::Unfit => formatter.write_str("the provider's answer must not go out"),
        }
    }
}

impl std::error::Error for ReplyFault {}

impl Reply {
    pub(super) fn new(response: Response<Incoming>, lease: Lease, patience: Patience) -> Self {
        let (head, incoming) = response.into_parts();
        let mut body = ReplyBody { incoming, lease, patience, ended: false, ahead: None };
        if head.status != StatusCode::SWITCHING_PROTOCOLS && body.incoming.is_end_stream() {
            body.end();
        }
        Self { head, body }
    }

    /// The connection itself, where its provider has left HTTP, and what came on it since. It
    /// carries no other call ever.
    pub(crate) async fn into_stream(self) -> Option<(Stream, Bytes)> {
        let Self { mut head, mut body } = self;
        let upgrade = head.extensions.remove::<OnUpgrade>()?;
        let upgraded = upgrade.await.ok()?;
        body.lease.discard();
        let parts = upgraded.downcast::<TokioIo<Stream>>().ok()?;
        Some((parts.io.into_inner(), parts.read_buf))
    }
}

impl ReplyBody {
    /// Does this text stand in it, where it is not longer than so? Nothing of it is lost by the
    /// look.
    pub(crate) async fn begins_with_a(&mut self, text: &[u8], most: usize) -> bool {
        let mut seen = Vec::new();
        if self.incoming.size_hint().lower() > u64::try_from(most).unwrap_or(u64::MAX) {
            return false;
        }
        let mut ahead = Box::new(Ahead::new());
        while seen.len() <= most {
            let next = poll_fn(|context| Pin::new(&mut *self).poll_frame(context)).await;
            let Some(frame) = next else { break };
            let is_over = frame.is_err();
            if let Some(data) = frame.as_ref().ok().and_then(Frame::data_ref) {
                seen.extend_from_slice(data);
            }
            ahead.push_back(frame);
            if is_over {
                break;
            }
        }
        self.ahead = Some(ahead);
        memchr::memmem::find(&seen, text).is_some()
    }

    fn waiting(&self) -> usize {
        let frames = self.ahead.iter().flat_map(|ahead| ahead.iter());
        frames.filter_map(|frame| frame.as_ref().ok()?.data_ref()).map(Bytes::len).sum()
    }

    fn end(&mut self) {
        if !self.ended {
            self.ended = true;
            self.lease.release();
        }
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = ReplyFault;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ReplyFault>>> {
        let this = self.get_mut();
        if let Some(frame) = this.ahead.as_mut().and_then(|ahead| ahead.pop_front()) {
            return Poll::Ready(Some(frame));
        }
        if this.ended {
            return Poll::Ready(None);
        }
        match Pin::new(&mut this.incoming).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => {
                this.patience.renew();
                if this.patience.has_ended() {
                    this.lease.discard();
                    return Poll::Ready(Some(Err(ReplyFault::TooLong)));
                }
                if this.incoming.is_end_stream() {
                    this.end();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(cause))) => {
                this.lease.discard();
                Poll::Ready(Some(Err(ReplyFault::Broken(cause))))
            }
            // A stream may end with "no error" before its answer has; hyper takes that for its end.
            Poll::Ready(None) if this.lease.is_h2() && !this.incoming.is_end_stream() => {
                this.lease.discard();
                Poll::Ready(Some(Err(ReplyFault::Short)))
            }
            Poll::Ready(None) => {
                this.end();
                Poll::Ready(None)
            }
            Poll::Pending if this.patience.is_over(context) => {
                this.lease.give_up();
                let fault = match this.patience.has_ended() {
                    true => ReplyFault::TooLong,
                    false => ReplyFault::Idle,
                };
                Poll::Ready(Some(Err(fault)))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        let holds_nothing = self.ahead.as_ref().is_none_or(|ahead| ahead.is_empty());
        holds_nothing && (self.ended || self.incoming.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = self.incoming.size_hint();
        let waiting = u64::try_from(self.waiting()).unwrap_or(0);
        if let Some(upper) = hint.upper().filter(|_| waiting > 0) {
            hint.set_upper(upper + waiting);
        }
        hint.set_lower(hint.lower() + waiting);
        hint
    }
}
