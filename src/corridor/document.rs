//! The body that has to be read before it is known who calls: where this provider's protocol
//! carries the key in a JSON member, the client's own stands there too. Bounded in size, in time
//! and in number. Must never read the body of a provider that has no such member.

use std::time::Duration;

use http::header::CONTENT_ENCODING;
use http::request::Parts;
use hyper::body::{Body as _, Incoming};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::House;
use super::clean::Inbound;
use crate::inject::{Document, MOST_DOCUMENT_BYTES};
use crate::provider::{Pointer, Spot};
use crate::refusal::{Reason, Refusal};

/// Larger bodies are few, and only so many of them are held at once for callers still unknown.
const USUAL_BYTES: usize = 64 * 1024;
static LARGE: Semaphore = Semaphore::const_new(64);

const PATIENCE: Duration = Duration::from_secs(30);

/// Reads the body where a credential may stand in it, and takes note of that.
pub(super) async fn read(
    inbound: &mut Inbound<'_>,
    body: &mut Option<Incoming>,
    house: &House,
) -> Result<Option<Document>, Refusal> {
    let Some(incoming) = body.take() else { return Ok(None) };
    check_coding(inbound.parts())?;
    let most = usize::try_from(house.settings.max_body_bytes)
        .ok()
        .filter(|most| *most > 0)
        .unwrap_or(usize::MAX);
    let reading = collect(incoming, most.min(MOST_DOCUMENT_BYTES));
    let text = tokio::time::timeout(PATIENCE, reading).await.map_err(|_elapsed| {
        let detail = "The body did not come in time.";
        Refusal::new(Reason::Timeout, detail).closing()
    })??;
    let document = Document::new(text);
    let pointers: Vec<Pointer> = inbound.pointers().cloned().collect();
    for pointer in &pointers {
        if let Some(value) = document.member(pointer)? {
            inbound.note_member(&value, &house.catalogue.now())?;
        }
    }
    Ok(Some(document))
}

impl Inbound<'_> {
    pub(super) fn has_key_in_body(&self) -> bool {
        self.pointers().next().is_some()
    }

    fn pointers(&self) -> impl Iterator<Item = &Pointer> {
        let placements = self.provider().into_iter().flat_map(|provider| &provider.inject);
        let method = &self.parts().method;
        placements.filter(move |placement| placement.is_for(method)).filter_map(|placement| {
            match &placement.spot {
                Spot::Json { pointer, .. } => Some(pointer),
                Spot::Header { .. }
                | Spot::Query { .. }
                | Spot::Path { .. }
                | Spot::Basic { .. } => None,
            }
        })
    }
}

fn check_coding(parts: &Parts) -> Result<(), Refusal> {
    let mut codings = parts.headers.get_all(CONTENT_ENCODING).iter();
    if codings.all(|coding| coding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Ok(());
    }
    let detail = "The body is compressed, and this provider's key stands in it; send it plain.";
    Err(Refusal::bad_request(detail).closing())
}

async fn collect(mut incoming: Incoming, most: usize) -> Result<Vec<u8>, Refusal> {
    let mut text = Vec::new();
    let mut large: Option<SemaphorePermit<'static>> = None;
    while let Some(frame) = next(&mut incoming).await {
        let frame = frame.map_err(|_cause| {
            let detail = "The request's body broke off, or its framing is wrong.";
            Refusal::bad_request(detail).closing()
        })?;
        let Some(data) = frame.data_ref() else { continue };
        if text.len() + data.len() > most {
            let detail = "The body is larger than 1 MiB, and this provider's key stands in it.";
            return Err(Refusal::bad_request(detail).closing());
        }
        if large.is_none() && text.len() + data.len() > USUAL_BYTES {
            large = Some(LARGE.try_acquire().map_err(|_none| {
                let detail = "Too many large bodies are being read at this moment; try again.";
                Refusal::new(Reason::Overloaded, detail).closing()
            })?);
        }
        text.extend_from_slice(data);
    }
    Ok(text)
}

async fn next(
    incoming: &mut Incoming,
) -> Option<Result<hyper::body::Frame<bytes::Bytes>, hyper::Error>> {
    std::future::poll_fn(|context| std::pin::Pin::new(&mut *incoming).poll_frame(context)).await
}
