//! The provider's answer made fit: hop-by-hop headers gone, its URLs made ours, the real key
//! blanked wherever it comes back in plain text. Streams: holds back at most what may be the
//! beginning of a key.

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, LINK, LOCATION};
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::{Body as _, Frame, SizeHint};

use super::answer::{Answer, AnswerBody};
use super::rewrite::{self, Place, Rewriter};
use super::trace::Trace;
use crate::client::Client;
use crate::ledger::Record;
use crate::limiter::Admission;
use crate::secret::{self, Needle, Needles};
use crate::upstream::{Reply, ReplyBody, ReplyFault};

const BLANK: u8 = b'*';

/// A provider's body on its way to the client.
pub(crate) struct Passing {
    body: ReplyBody,
    rewriter: Option<Rewriter>,
    needles: Arc<Needles>,
    /// The end of the last chunk, if it may be the beginning of a key.
    held: BytesMut,
    /// Trailers that wait until what was held back has gone.
    trailers: Option<Frame<Bytes>>,
    record: Option<Record>,
    /// Whose answer this is; whoever is revoked hears no more of it.
    client: Option<Arc<Client>>,
    /// It did not come in one go: from then on its client key is looked at.
    lingers: bool,
    _admission: Admission,
}

/// After this, nothing of ours but what the contract names is in the answer.
pub(super) fn scrub(
    reply: Reply,
    needles: Arc<Needles>,
    place: &Place<'_>,
    (trace, _admission): (&mut Trace, Admission),
) -> Answer {
    let Reply { mut head, body } = reply;
    drop_hop_by_hop(&mut head.headers);
    rewrite_headers(&mut head.headers, place);
    blank_headers(&mut head.headers, &needles);
    let rewriter = Rewriter::new(place, || is_plain_json(&head.headers));
    if rewriter.is_some() && !body.is_end_stream() {
        head.headers.remove(CONTENT_LENGTH);
    }
    let mut record = trace.answered(head.status.as_u16(), &mut head.headers);
    if let (true, Some(record)) = (body.is_end_stream(), &mut record) {
        record.complete();
    }
    let (held, client) = (BytesMut::new(), trace.take_caller());
    let passing = Passing {
        body,
        rewriter,
        needles,
        held,
        trailers: None,
        record,
        client,
        lingers: false,
        _admission,
    };
    let mut answer = Answer::new(AnswerBody::Passing(Box::new(passing)));
    *answer.status_mut() = head.status;
    *answer.headers_mut() = head.headers;
    answer
}

impl Passing {
    pub(super) fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ReplyFault>>> {
        if self.lingers && self.client.as_ref().is_some_and(|client| client.fate.has_ended()) {
            return Poll::Ready(Some(Err(self.ended())));
        }
        if let Some(trailers) = self.trailers.take() {
            return Poll::Ready(Some(Ok(trailers)));
        }
        loop {
            let frame = match std::pin::Pin::new(&mut self.body).poll_frame(context) {
                Poll::Pending => {
                    self.lingers = true;
                    return Poll::Pending;
                }
                Poll::Ready(Some(Err(fault))) => {
                    if let Some(record) = &mut self.record {
                        record.fault(crate::refusal::Fault::Provider);
                    }
                    tracing::warn!(%fault, "an answer was cut");
                    return Poll::Ready(Some(Err(fault)));
                }
                Poll::Ready(None) => {
                    let rest = self.rest();
                    self.complete();
                    return Poll::Ready(rest.map(|bytes| Ok(self.counted(bytes))));
                }
                Poll::Ready(Some(Ok(frame))) => frame,
            };
            let data = match frame.into_data() {
                Ok(data) => data,
                Err(frame) => return Poll::Ready(Some(Ok(self.trailed(frame)))),
            };
            let rewritten = match &mut self.rewriter {
                Some(rewriter) => rewriter.next(data),
                None => data,
            };
            let ready = self.blanked(rewritten);
            if self.is_end_stream() {
                self.complete();
            }
            if !ready.is_empty() {
                return Poll::Ready(Some(Ok(self.counted(ready))));
            }
        }
    }

    pub(super) fn is_end_stream(&self) -> bool {
        let holds_nothing = self.rewriter.as_ref().is_none_or(Rewriter::holds_nothing);
        let holds_nothing = holds_nothing && self.trailers.is_none();
        self.held.is_empty() && holds_nothing && self.body.is_end_stream()
    }

    /// Blanking keeps lengths; rewriting does not.
    pub(super) fn size_hint(&self) -> SizeHint {
        match &self.rewriter {
            Some(_) if !self.body.is_end_stream() => SizeHint::default(),
            Some(_) | None => self.body.size_hint(),
        }
    }

    fn counted(&mut self, bytes: Bytes) -> Frame<Bytes> {
        if let Some(record) = &mut self.record {
            record.bytes_out(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        }
        Frame::data(bytes)
    }

    /// What had not gone out yet stays here.
    fn ended(&mut self) -> ReplyFault {
        if let Some(record) = &mut self.record {
            record.fault(crate::refusal::Fault::Client);
        }
        ReplyFault::Ended
    }

    fn complete(&mut self) {
        if let Some(record) = &mut self.record {
            record.complete();
        }
    }

    /// What was held back when the body ended.
    fn rest(&mut self) -> Option<Bytes> {
        let rewritten = self.rewriter.as_mut().and_then(Rewriter::last).unwrap_or_default();
        let mut last = BytesMut::from(&self.blanked(rewritten)[..]);
        last.extend_from_slice(&self.held.split());
        Some(last.freeze()).filter(|bytes| !bytes.is_empty())
    }

    /// The trailers, or first what was held back before them.
    fn trailed(&mut self, mut frame: Frame<Bytes>) -> Frame<Bytes> {
        if let Some(trailers) = frame.trailers_mut() {
            drop_hop_by_hop(trailers);
            blank_headers(trailers, &self.needles);
        }
        let rest = self.rest();
        self.complete();
        match rest {
            Some(rest) => {
                self.trailers = Some(frame);
                self.counted(rest)
            }
            None => frame,
        }
    }

    /// The chunk with every key in it blanked; without a copy where there is none.
    fn blanked(&mut self, chunk: Bytes) -> Bytes {
        let undecided =
            |bytes: &[u8]| self.needles.iter().filter_map(|needle| needle.begun_at(bytes)).min();
        let found = |bytes: &[u8]| self.needles.iter().any(|needle| needle.stands_in(bytes));
        if self.held.is_empty() && !found(&chunk) && undecided(&chunk).is_none() {
            return chunk;
        }
        let mut joined = self.held.split();
        joined.extend_from_slice(&chunk);
        for needle in self.needles.iter() {
            blank(&mut joined, needle);
        }
        let keep = undecided(&joined).unwrap_or(joined.len());
        self.held = joined.split_off(keep);
        joined.freeze()
    }
}

fn blank(bytes: &mut [u8], needle: &Needle) {
    while let Some(at) = needle.find(bytes) {
        tracing::warn!("a provider sent its key back; it was blanked");
        // The buffer that it came in is not ours to blank; it is wiped when it is freed.
        secret::spare_nothing();
        if let Some(stretch) = bytes.get_mut(at..at + needle.len()) {
            stretch.fill(BLANK);
        }
    }
}

fn blank_headers(headers: &mut HeaderMap, needles: &Needles) {
    for value in headers.values_mut() {
        for needle in needles.iter() {
            if needle.stands_in(value.as_bytes()) {
                let mut bytes = value.as_bytes().to_vec();
                blank(&mut bytes, needle);
                *value = HeaderValue::from_maybe_shared(Bytes::from(bytes))
                    .unwrap_or_else(|_| HeaderValue::from_static(""));
            }
        }
    }
}

fn rewrite_headers(headers: &mut HeaderMap, place: &Place<'_>) {
    type Rewrite = fn(&str, &Place<'_>) -> Option<String>;
    let rules: [(HeaderName, Rewrite); 2] = [(LOCATION, rewrite::location), (LINK, rewrite::link)];
    for (name, rewrite) in rules {
        let http::header::Entry::Occupied(mut entry) = headers.entry(name) else { continue };
        for value in entry.iter_mut() {
            let ours = value.to_str().ok().and_then(|text| rewrite(text, place));
            if let Some(ours) = ours.and_then(|text| HeaderValue::try_from(text).ok()) {
                *value = ours;
            }
        }
    }
}

fn is_plain_json(headers: &HeaderMap) -> bool {
    let encoded = headers.get(CONTENT_ENCODING).is_some_and(|value| value != "identity");
    let json = headers
        .get(CONTENT_TYPE)
        .is_some_and(|value| memchr::memmem::find(value.as_bytes(), b"json").is_some());
    json && !encoded
}

/// What belongs to the connection to the provider, and what only we may say.
fn drop_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(CONNECTION) {
        let nominated = headers.get_all(CONNECTION).iter();
        let nominated = nominated.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
        let nominated: Vec<HeaderName> =
            nominated.filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok()).collect();
        for name in nominated {
            headers.remove(name);
        }
    }
    // One look at each name; most answers have none of these, and then nothing is built.
    let dropped = |name: &&HeaderName| is_dropped(name.as_str());
    let dropped: Vec<HeaderName> = headers.keys().filter(dropped).cloned().collect();
    for name in dropped {
        headers.remove(name);
    }
}

fn is_dropped(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authenticate"
            | "transfer-encoding"
            | "upgrade"
            | "te"
    ) || name.starts_with("x-sealgate-")
}
