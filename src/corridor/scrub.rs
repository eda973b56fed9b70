//! The provider's answer made fit: hop-by-hop headers gone, its URLs made ours, the real key
//! blanked wherever it comes back, in any dress; a packed body that holds it is cut. Streams: holds
//! back at most what may be the beginning of a key.

mod hops;
mod packed;
mod search;

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{
    CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, LINK, LOCATION,
    TRANSFER_ENCODING,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version};
use http_body::{Body as _, Frame, SizeHint};

pub(super) use self::hops::drop_hop_by_hop;
pub(super) use self::search::blank;
use self::search::{Leak, Search};
use super::answer::{Answer, AnswerBody};
use super::codings::Coding;
use super::meter::Toll;
use super::repeats::Told;
use super::rewrite::{self, Place, Rewriter};
use super::trace::{Ends, Trace};
use crate::ledger::Record;
use crate::limiter::Admission;
use crate::provider::is_event_stream;
use crate::refusal::{Reason, Refusal};
use crate::secret::{Needles, Sighting};
use crate::upstream::{Reply, ReplyBody, ReplyFault};

/// A provider's body on its way to the client.
pub(crate) struct Passing {
    body: ReplyBody,
    rewriter: Option<Rewriter>,
    needles: Arc<Needles>,
    search: Search,
    /// What was looked at before the head went out.
    first: Option<Result<Frame<Bytes>, ReplyFault>>,
    /// Trailers that wait until what was held back has gone.
    trailers: Option<Frame<Bytes>>,
    record: Option<Record>,
    /// What the answer costs; None where it costs nothing.
    toll: Option<Toll>,
    /// What its client key knows once it is complete.
    told: Option<Told>,
    is_complete: bool,
    /// It lasts until its connection ends, and nothing but its packing tells whether that was all.
    lasts_until_closed: bool,
    /// Keys that stood in its headers, or in what is packed.
    hits: usize,
    /// Whose answer this is; whoever is revoked hears no more of it.
    ends: Ends,
    /// It did not come in one go: from then on its client key is looked at.
    lingers: bool,
    _admission: Admission,
}

/// After this, nothing of ours but what the contract names is in the answer.
pub(super) async fn scrub(
    reply: Reply,
    needles: Arc<Needles>,
    place: &Place<'_>,
    (trace, _admission): (&mut Trace, Admission),
) -> Result<Answer, Refusal> {
    let Reply { mut head, body } = reply;
    let lasts_until_closed = lasts_until_closed(&head);
    drop_hop_by_hop(&mut head.headers);
    rewrite_headers(&mut head.headers, place);
    let hits = blank_headers(&mut head.headers, &needles);
    let coding = coding(&head, body.is_end_stream())?;
    let rewriter = Rewriter::new(place, || is_plain_json(&head.headers));
    if rewriter.is_some() && !body.is_end_stream() {
        head.headers.remove(CONTENT_LENGTH);
    }
    let is_complete = body.is_end_stream();
    let toll = Some(trace.take_toll());
    let toll = toll.filter(|toll| toll.is_due() && is_charged(head.status));
    let meter = toll.as_ref().and_then(|toll| toll.meter(&head.headers));
    let search = Search::new(Arc::clone(&needles), coding, meter);
    let mut passing = Passing {
        body,
        rewriter,
        needles,
        search,
        first: None,
        trailers: None,
        record: None,
        toll,
        told: None,
        is_complete,
        lasts_until_closed,
        hits,
        ends: Ends::default(),
        lingers: false,
        _admission,
    };
    if passing.search.is_packed() && !is_event_stream(&head.headers) {
        // Boxed: few answers are packed.
        if let Err(refusal) = Box::pin(passing.look_ahead()).await {
            trace.scrub_hits(passing.hits);
            return Err(refusal);
        }
    }
    passing.record = trace.answered(head.status.as_u16(), &mut head.headers);
    passing.ends = trace.take_ends();
    passing.told = trace.take_told();
    passing.settle();
    let mut answer = Answer::new(AnswerBody::Passing(Box::new(passing)));
    *answer.status_mut() = head.status;
    *answer.headers_mut() = head.headers;
    Ok(answer)
}

/// No provider takes money for a no.
fn is_charged(status: StatusCode) -> bool {
    status.is_success() || status.is_redirection()
}

/// An answer that nobody here can unpack may hold anything.
fn coding(head: &http::response::Parts, is_empty: bool) -> Result<Option<Coding>, Refusal> {
    let is_part =
        head.status == StatusCode::PARTIAL_CONTENT || head.headers.contains_key(CONTENT_RANGE);
    match Coding::of(&head.headers) {
        // Its beginning, by which alone it is unpacked, is not in it.
        Ok(Some(_)) if is_part && !is_empty => {
            let detail = "The provider sent a part of a packed answer, which cannot be looked through; \
                          ask for the range with Accept-Encoding: identity.";
            Err(Refusal::new(Reason::UpstreamInvalid, detail))
        }
        Ok(coding) => Ok(coding),
        Err(_) if is_empty => Ok(None),
        Err(_) => {
            let detail = "The provider's answer is packed in a manner that cannot be looked through; \
                          ask for it with Accept-Encoding: gzip, deflate, br, zstd or identity.";
            Err(Refusal::new(Reason::UpstreamInvalid, detail))
        }
    }
}

impl Passing {
    pub(super) fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ReplyFault>>> {
        if self.lingers && self.ends.have_come() {
            return Poll::Ready(Some(Err(self.ended())));
        }
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(first));
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
                    let rest = match self.rest() {
                        Ok(rest) => rest,
                        Err(leak) => return Poll::Ready(Some(Err(self.cut(leak)))),
                    };
                    if self.lasts_until_closed && !self.search.is_whole() {
                        return Poll::Ready(Some(Err(self.fell_short())));
                    }
                    self.complete();
                    return Poll::Ready(rest.map(|bytes| Ok(self.counted(bytes))));
                }
                Poll::Ready(Some(Ok(frame))) => frame,
            };
            let data = match frame.into_data() {
                Ok(data) => data,
                Err(frame) => return Poll::Ready(Some(self.trailed(frame))),
            };
            let rewritten = match &mut self.rewriter {
                Some(rewriter) => rewriter.next(data),
                None => data,
            };
            let ready = match self.search.next(rewritten) {
                Ok(ready) => ready,
                Err(leak) => return Poll::Ready(Some(Err(self.cut(leak)))),
            };
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
        let holds_nothing = holds_nothing && self.trailers.is_none() && self.first.is_none();
        self.search.holds_nothing() && holds_nothing && self.body.is_end_stream()
    }

    /// Blanking keeps lengths; rewriting does not.
    pub(super) fn size_hint(&self) -> SizeHint {
        match &self.rewriter {
            Some(_) if !self.body.is_end_stream() => SizeHint::default(),
            Some(_) | None => self.with_first(self.body.size_hint()),
        }
    }

    /// What was looked at beforehand, or is still held back, is not in the body's own hint.
    fn with_first(&self, mut hint: SizeHint) -> SizeHint {
        let first = self.first.as_ref().and_then(|first| first.as_ref().ok()?.data_ref());
        let waiting = first.map_or(0, Bytes::len) + self.search.holds();
        let waiting = u64::try_from(waiting).unwrap_or(0);
        if let Some(upper) = hint.upper().filter(|_| waiting > 0) {
            hint.set_upper(upper + waiting);
        }
        hint.set_lower(hint.lower() + waiting);
        hint
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

    /// The connection ended as if this were all, and what is packed in it has no end.
    fn fell_short(&mut self) -> ReplyFault {
        if let Some(record) = &mut self.record {
            record.fault(crate::refusal::Fault::Provider);
        }
        tracing::warn!("an answer was cut");
        ReplyFault::Short
    }

    /// A packed body cannot be blanked. Its connection goes with it.
    fn cut(&mut self, leak: Leak) -> ReplyFault {
        if let Some(record) = &mut self.record {
            record.fault(crate::refusal::Fault::Provider);
        }
        self.hits += usize::from(leak == Leak::Key);
        match leak {
            Leak::Key => {
                tracing::error!("a provider sent its key back, packed; the answer was cut")
            }
            Leak::Endless => tracing::warn!("an answer unpacks to too much; it was cut"),
        }
        ReplyFault::Unfit
    }

    fn complete(&mut self) {
        self.is_complete = true;
        self.record.iter_mut().for_each(Record::complete);
        self.told.take().into_iter().for_each(Told::keep);
    }

    /// The provider's no, which nobody reads.
    pub(super) fn forgo(&mut self) {
        self.record.iter_mut().for_each(|record| record.fault(crate::refusal::Fault::Provider));
        self.complete();
    }

    /// Nobody gets it: the record says so.
    pub(super) fn refuse(&mut self, reason: Reason) {
        if let Some(record) = &mut self.record {
            record.answered(reason.status(), "", Some(reason));
            record.complete();
        }
    }

    /// The head waits for the beginning of a packed body: while it has not gone out, a key in it is
    /// an answer that says so, and not a connection that breaks.
    async fn look_ahead(&mut self) -> Result<(), Refusal> {
        self.first = std::future::poll_fn(|context| self.poll_frame(context)).await;
        match &self.first {
            Some(Err(ReplyFault::Unfit)) => {
                let detail = "The provider's answer was packed, and held what must not go out.";
                Err(Refusal::new(Reason::UpstreamInvalid, detail))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// What came before there was a record goes into it.
    fn settle(&mut self) {
        let Some(record) = &mut self.record else { return };
        if let Some(data) = self.first.as_ref().and_then(|first| first.as_ref().ok()?.data_ref()) {
            record.bytes_out(u64::try_from(data.len()).unwrap_or(u64::MAX));
        }
        if let Some(Err(_)) = &self.first {
            record.fault(crate::refusal::Fault::Provider);
        } else if self.is_complete {
            self.complete();
        }
    }

    /// What was held back when the body ended.
    fn rest(&mut self) -> Result<Option<Bytes>, Leak> {
        let rewritten = self.rewriter.as_mut().and_then(Rewriter::last).unwrap_or_default();
        let last = self.search.last(&rewritten)?;
        Ok(Some(last).filter(|bytes| !bytes.is_empty()))
    }

    /// The trailers, or first what was held back before them.
    fn trailed(&mut self, mut frame: Frame<Bytes>) -> Result<Frame<Bytes>, ReplyFault> {
        if let Some(trailers) = frame.trailers_mut() {
            drop_hop_by_hop(trailers);
            self.hits += blank_headers(trailers, &self.needles);
        }
        let rest = self.rest().map_err(|leak| self.cut(leak))?;
        self.complete();
        Ok(match rest {
            Some(rest) => {
                self.trailers = Some(frame);
                self.counted(rest)
            }
            None => frame,
        })
    }
}

/// One record says it and one line of the log, however often it came.
impl Drop for Passing {
    fn drop(&mut self) {
        // However it ended: what was told by then was spent.
        if let (Some(record), Some(toll)) = (&mut self.record, &self.toll) {
            let meter = self.search.take_meter();
            record.metered(&toll.metered(meter.as_deref()));
        }
        let hits = self.hits + self.search.blanked();
        if let Some(record) = self.record.as_mut().filter(|_| hits > 0) {
            record.scrub_hits(hits);
            let record = record.id();
            tracing::warn!(%record, hits, "a provider sent its key back; it did not go out");
        }
    }
}

fn lasts_until_closed(head: &http::response::Parts) -> bool {
    let has = |name| head.headers.contains_key(name);
    head.version < Version::HTTP_2 && !has(CONTENT_LENGTH) && !has(TRANSFER_ENCODING)
}

/// Yields how many keys stood in them.
pub(super) fn blank_headers(headers: &mut HeaderMap, needles: &Needles) -> usize {
    let mut blanked = 0;
    for value in headers.values_mut() {
        if needles.look(value.as_bytes(), 0, false) != Sighting::Nothing {
            let mut bytes = value.as_bytes().to_vec();
            blanked += blank(needles, &mut bytes, false).1;
            *value = HeaderValue::from_maybe_shared(Bytes::from(bytes))
                .unwrap_or_else(|_| HeaderValue::from_static(""));
        }
    }
    blanked
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
