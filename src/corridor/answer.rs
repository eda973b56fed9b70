//! What goes back to the client: Sealgate's own short answers, or a provider's body on its way
//! through. The record and the place among the calls in flight travel inside the body and end with
//! it.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{ALLOW, CONNECTION, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use http_body::{Body, Frame, SizeHint};

use super::scrub::Passing;
use super::socket::{Greeting, Member, Socket};
use crate::limiter::Figures;
use crate::refusal::{Reason, Refusal};
use crate::upstream::ReplyFault;

pub(crate) type Answer = http::Response<AnswerBody>;

/// One of our own, or a provider's; boxed, because it is large and a box costs nothing that shows.
pub(crate) enum AnswerBody {
    Own(Option<Bytes>),
    Passing(Box<Passing>),
    /// What follows this head is no HTTP; None where somebody has taken it over.
    Socket(Option<Box<Socket>>),
    /// The same, before it is known who is there.
    Greeting(Option<Box<Greeting>>),
    /// A place on a socket that many share.
    Member(Option<Box<Member>>),
}

impl AnswerBody {
    pub(crate) fn own(bytes: Vec<u8>) -> Self {
        Self::Own(Some(Bytes::from(bytes)).filter(|bytes| !bytes.is_empty()))
    }
}

impl AnswerBody {
    /// What is to be carried on once the head has gone out.
    pub(crate) fn take_socket(&mut self) -> Option<Box<Socket>> {
        match self {
            Self::Own(_) | Self::Passing(_) | Self::Greeting(_) | Self::Member(_) => None,
            Self::Socket(socket) => socket.take(),
        }
    }

    pub(super) fn take_member(&mut self) -> Option<Box<Member>> {
        match self {
            Self::Own(_) | Self::Passing(_) | Self::Greeting(_) | Self::Socket(_) => None,
            Self::Member(member) => member.take(),
        }
    }

    pub(crate) fn take_greeting(&mut self) -> Option<Box<Greeting>> {
        match self {
            Self::Own(_) | Self::Passing(_) | Self::Socket(_) | Self::Member(_) => None,
            Self::Greeting(greeting) => greeting.take(),
        }
    }

    /// The provider's no is told in other words, and nobody takes its own: it is the whole answer,
    /// and the provider's doing.
    pub(super) fn forgo(&mut self) {
        match self {
            Self::Passing(passing) => passing.forgo(),
            Self::Own(_) | Self::Socket(_) | Self::Greeting(_) | Self::Member(_) => {}
        }
    }

    /// It goes to nobody, for this reason.
    pub(super) fn refuse(&mut self, reason: Reason) {
        match self {
            Self::Own(_) => {}
            Self::Passing(passing) => passing.refuse(reason),
            Self::Socket(socket) => {
                // Dropped: the provider hears of it at once.
                if let Some(mut socket) = socket.take() {
                    socket.refuse(reason);
                }
            }
            Self::Greeting(greeting) => *greeting = None,
            Self::Member(member) => {
                if let Some(mut member) = member.take() {
                    member.refuse(reason);
                }
            }
        }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = ReplyFault;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ReplyFault>>> {
        match self.get_mut() {
            Self::Own(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Passing(passing) => passing.poll_frame(context),
            Self::Socket(_) | Self::Greeting(_) | Self::Member(_) => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(bytes) => bytes.is_none(),
            Self::Passing(passing) => passing.is_end_stream(),
            Self::Socket(_) | Self::Greeting(_) | Self::Member(_) => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own(bytes) => {
                let length = bytes.as_ref().map_or(0, Bytes::len);
                SizeHint::with_exact(u64::try_from(length).unwrap_or(u64::MAX))
            }
            Self::Passing(passing) => passing.size_hint(),
            Self::Socket(_) | Self::Greeting(_) | Self::Member(_) => SizeHint::with_exact(0),
        }
    }
}

static OURS: [HeaderName; 4] = [
    HeaderName::from_static("x-sealgate-ratelimit-limit"),
    HeaderName::from_static("x-sealgate-ratelimit-remaining"),
    HeaderName::from_static("x-sealgate-ratelimit-used"),
    HeaderName::from_static("x-sealgate-ratelimit-reset"),
];
static PLAIN: [HeaderName; 4] = [
    HeaderName::from_static("x-ratelimit-limit"),
    HeaderName::from_static("x-ratelimit-remaining"),
    HeaderName::from_static("x-ratelimit-used"),
    HeaderName::from_static("x-ratelimit-reset"),
];

/// The caller's quota, under our names, and under the plain ones where the provider uses none of
/// them.
pub(super) fn put_figures(headers: &mut HeaderMap, figures: Figures) {
    let reset = u64::try_from(figures.reset_unix_seconds).unwrap_or(0);
    let values = numbers([figures.quota, figures.remaining, figures.used, reset]);
    // These and the request's id: grown once.
    headers.reserve(OURS.len() + PLAIN.len() + 1);
    let taken = headers.keys().any(|name| name.as_str().starts_with("x-ratelimit-"));
    for ((ours, plain), value) in OURS.iter().zip(&PLAIN).zip(values) {
        let Some(value) = value else { continue };
        if !taken {
            headers.insert(plain.clone(), value.clone());
        }
        headers.insert(ours.clone(), value);
    }
}

/// Four numbers as header values that share one buffer. Formatting costs several times this, and
/// these stand in every answer.
fn numbers(values: [u64; 4]) -> [Option<HeaderValue>; 4] {
    let mut digits = [0; 4 * MOST_DIGITS];
    let mut free = digits.len();
    let starts = values.map(|value| {
        let mut rest = value;
        loop {
            free = free.saturating_sub(1);
            if let Some(digit) = digits.get_mut(free) {
                // Less than ten, so it fits.
                *digit = b'0' + (rest % 10) as u8;
            }
            rest /= 10;
            if rest == 0 {
                return free;
            }
        }
    });
    // The last number was written first.
    let text = Bytes::copy_from_slice(digits.get(free..).unwrap_or_default());
    let mut end = text.len();
    starts.map(|start| {
        let number = text.slice(start - free..end);
        end = start - free;
        HeaderValue::from_maybe_shared(number).ok()
    })
}

/// Of a `u64`.
const MOST_DIGITS: usize = 20;

/// Methods of HTTP that go to providers; any other but TRACE, TRACK and CONNECT does too.
const FORWARDED: &str = "GET,HEAD,POST,PUT,PATCH,DELETE,OPTIONS";

/// Status and headers of a refusal.
pub(super) fn dress_refusal(answer: &mut Answer, refusal: &Refusal, figures: Option<Figures>) {
    let status = StatusCode::from_u16(refusal.reason.status());
    *answer.status_mut() = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let code = HeaderValue::from_static(refusal.reason.code());
    headers.insert(HeaderName::from_static("x-sealgate-error"), code);
    if let Some(seconds) = refusal.retry_after_seconds() {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    match (refusal.exceeded(), figures) {
        (Some(exceeded), _) if !exceeded.is_known() => {}
        (Some(exceeded), _) => {
            let figures = Figures {
                quota: exceeded.quota,
                used: exceeded.used,
                remaining: 0,
                reset_unix_seconds: exceeded.reset_unix_seconds(),
            };
            put_figures(headers, figures);
        }
        (None, Some(figures)) => put_figures(headers, figures),
        (None, None) => {}
    }
    if refusal.reason == Reason::MethodNotAllowed {
        headers.insert(ALLOW, HeaderValue::from_static(FORWARDED));
    }
    if refusal.close {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_in_full() {
        let values = numbers([0, 10, 999_999, u64::MAX]).map(Option::unwrap);
        assert_eq!(values, ["0", "10", "999999", "18446744073709551615"]);
    }
}
