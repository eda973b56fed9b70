//! The bodies a stand-in sends: whole, event by event, or cut off on demand.
//! Must never hurry: a pause between events, and before a cut, is part of what a client is tested
//! against.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::Sleep;

/// An answer's body.
pub(super) enum Reel {
    Whole(Option<Bytes>),
    Events(Events),
    /// Announces `length`, sends `half`, and breaks the connection.
    Cut {
        length: u64,
        half: Option<Bytes>,
        pause: Pin<Box<Sleep>>,
    },
}

/// Between half a body and its break: a reset overtakes what was not written yet.
const BEFORE_THE_CUT: Duration = Duration::from_millis(100);

pub(super) struct Events {
    waiting: VecDeque<Bytes>,
    gap: Duration,
    pause: Option<Pin<Box<Sleep>>>,
}

impl Reel {
    pub(super) fn whole(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self::Whole((!bytes.is_empty()).then_some(bytes))
    }

    /// One chunk an event, each with the blank line that ends it.
    pub(super) fn events(events: &[String], gap_ms: u64) -> Self {
        let waiting = events.iter().map(|event| Bytes::from(format!("{event}\n\n"))).collect();
        Self::Events(Events { waiting, gap: Duration::from_millis(gap_ms), pause: None })
    }

    pub(super) fn cut(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        let half = bytes.slice(..bytes.len() / 2);
        let pause = Box::pin(tokio::time::sleep(BEFORE_THE_CUT));
        Self::Cut { length: bytes.len() as u64, half: Some(half), pause }
    }
}

impl Events {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if let Some(pause) = &mut self.pause {
            std::task::ready!(pause.as_mut().poll(context));
            self.pause = None;
        }
        let event = self.waiting.pop_front();
        if !self.waiting.is_empty() && !self.gap.is_zero() {
            self.pause = Some(Box::pin(tokio::time::sleep(self.gap)));
        }
        Poll::Ready(event)
    }
}

impl Body for Reel {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Events(events) => {
                events.poll_next(context).map(|event| event.map(|event| Ok(Frame::data(event))))
            }
            Self::Cut { half, pause, .. } => match half.take() {
                Some(half) => Poll::Ready(Some(Ok(Frame::data(half)))),
                None => {
                    std::task::ready!(pause.as_mut().poll(context));
                    Poll::Ready(Some(Err(std::io::Error::other("cut on demand"))))
                }
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_none(),
            Self::Events(events) => events.waiting.is_empty(),
            Self::Cut { .. } => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Self::Events(_) => SizeHint::default(),
            Self::Cut { length, .. } => SizeHint::with_exact(*length),
        }
    }
}
