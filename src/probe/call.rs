//! One call of the house to a provider with the key that is asked about: the same permit, injection
//! and way out as every call. Must never follow a redirect, and never read more of an answer than
//! it may need.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request};
use http_body_util::BodyExt;

use crate::clock::Clock;
use crate::inject::{Head, OutboundBody, inject};
use crate::policy::Permit;
use crate::refusal::{Reason, Refusal};
use crate::upstream::{Reply, Upstream};
use crate::vault::Opened;

/// One call has no more.
pub(super) const WITHIN: Duration = Duration::from_secs(15);
/// What is read of an answer.
const MOST_BYTES: usize = 256 * 1024;
const AGENT: &str = concat!("sealgate/", env!("CARGO_PKG_VERSION"));

/// Where to ask.
pub(super) struct Question<'a> {
    pub(super) method: &'a Method,
    /// With its query.
    pub(super) path: &'a str,
    pub(super) headers: &'a [(HeaderName, HeaderValue)],
    pub(super) json: Option<&'a str>,
    pub(super) within: Duration,
}

/// What was answered.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    /// All of it came, and not packed: what is not found in it is not there.
    pub(super) is_whole: bool,
}

pub(super) struct Caller {
    upstream: Upstream,
    clock: Clock,
}

impl Caller {
    pub(super) fn new(upstream: Upstream, clock: Clock) -> Self {
        Self { upstream, clock }
    }

    pub(super) fn sweep(&self) -> impl Future<Output = ()> + use<> {
        self.upstream.sweep()
    }

    pub(super) async fn ask(
        &self,
        (permit, opened): (&Permit, Opened),
        question: Question<'_>,
    ) -> Result<Answer, Refusal> {
        let within = question.within;
        let asking = self.ask_patiently((permit, opened), question);
        match tokio::time::timeout(within, asking).await {
            Ok(answered) => answered,
            Err(_) => {
                let (title, seconds) = (&permit.provider().title, within.as_secs());
                let detail = format!("{title} did not answer within {seconds} seconds.");
                Err(Refusal::new(Reason::UpstreamTimeout, detail))
            }
        }
    }

    /// What lies in its connections' buffers goes with them.
    pub(super) fn forget_connections(&self) {
        self.upstream.forget_connections();
    }

    async fn ask_patiently(
        &self,
        (permit, opened): (&Permit, Opened),
        question: Question<'_>,
    ) -> Result<Answer, Refusal> {
        let request = Request::builder().method(question.method).uri(question.path).body(());
        let request = request.map_err(|_| {
            Refusal::new(Reason::UpstreamInvalid, "The path of this provider's probe is none.")
        })?;
        let mut parts = request.into_parts().0;
        parts.headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        parts.headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        parts.headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        for (name, value) in question.headers {
            parts.headers.insert(name, value.clone());
        }
        let query = parts.uri.query().map(str::to_owned);
        let head = Head::new(&mut parts, 0, query);
        let body = question.json.map(|text| Bytes::copy_from_slice(text.as_bytes()));
        let body = body.map_or(OutboundBody::Empty, |body| OutboundBody::Whole(Some(body)));
        let (outbound, _carried) = inject(head, body, permit, opened)?;
        let now_ns = self.clock.monotonic_ns();
        let reply = self.upstream.send(outbound, now_ns, &mut |_| Ok(())).await?;
        Ok(read(reply).await)
    }
}

/// The head, and the first part of the body; one that breaks off ends there.
async fn read(reply: Reply) -> Answer {
    let Reply { head, mut body } = reply;
    let mut text = Vec::new();
    let is_whole = loop {
        let piece = match body.frame().await {
            None => break true,
            Some(Err(_)) => break false,
            Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
        };
        let room = MOST_BYTES.saturating_sub(text.len());
        text.extend(piece.iter().take(room));
        if room < piece.len() {
            break false;
        }
    };
    let is_plain = head
        .headers
        .get_all(CONTENT_ENCODING)
        .iter()
        .all(|coding| coding.as_bytes().eq_ignore_ascii_case(b"identity"));
    let status = head.status.as_u16();
    Answer { status, headers: head.headers, body: text, is_whole: is_whole && is_plain }
}
