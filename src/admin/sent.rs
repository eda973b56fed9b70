//! The body of a request, read once, bounded, and into a buffer that is wiped: it
//! may hold a provider's key. Must never be logged nor handed on as anything
//! else.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, header};
use bytes::Bytes;
use http_body_util::BodyExt;

use super::members::Members;
use super::refused::Refused;
use crate::refusal::{Reason, Refusal};
use crate::secret::SecretBytes;

/// What was sent; put into the request by the layer before every route that changes something.
#[derive(Clone)]
pub(super) struct Sent(Arc<SecretBytes>);

pub(super) const LARGEST_BODY: usize = 1024 * 1024;
/// Of a call that takes over what another system holds.
const LARGEST_IMPORT: usize = 64 * 1024 * 1024;

/// How large the body of a call may be.
pub(super) fn largest_body(path: &str) -> usize {
    if is_import(path) { LARGEST_IMPORT } else { LARGEST_BODY }
}

/// Does this call take over what another system holds? It is large, and takes its time.
pub(super) fn is_import(path: &str) -> bool {
    path.starts_with("/api/v1/") && path.ends_with("/import")
}

impl Sent {
    pub(super) async fn read(
        headers: &HeaderMap,
        body: Body,
        most: usize,
    ) -> Result<Self, Refused> {
        let announced = headers
            .get(header::CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
        if announced.is_some_and(|length| length > most) {
            return Err(too_large(most));
        }
        let bytes = collect(body, most).await?;
        if !bytes.is_empty() && !is_json(headers) {
            return Err(Refusal::new(
                Reason::UnsupportedMediaType,
                "Send the body as Content-Type: application/json.",
            )
            .into());
        }
        Ok(Self(Arc::new(bytes)))
    }

    pub(super) fn members(&self) -> Result<Members, Refused> {
        Members::of_body(&self.0)
    }

    pub(super) fn bytes(&self) -> &SecretBytes {
        &self.0
    }
}

/// Collected in pieces and copied once: a buffer that grows would leave copies behind. The pieces
/// belong to the connection's own read buffer, which nobody wipes; that limit is stated in the
/// open.
async fn collect(mut body: Body, most: usize) -> Result<SecretBytes, Refused> {
    let mut pieces: Vec<Bytes> = Vec::new();
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Refusal::bad_request("The body broke off."))?;
        if let Ok(piece) = frame.into_data() {
            length += piece.len();
            if length > most {
                return Err(too_large(most));
            }
            pieces.push(piece);
        }
    }
    let mut whole = Vec::with_capacity(length);
    for piece in &pieces {
        whole.extend_from_slice(piece);
    }
    Ok(SecretBytes::new(whole))
}

/// Closing, because what is left of the body is not read.
fn too_large(most: usize) -> Refused {
    let detail = format!("The body has more than {most} bytes.");
    Refusal::new(Reason::TooLarge, detail).closing().into()
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = kind.and_then(|kind| kind.split(';').next()).map(str::trim);
    essence.is_some_and(|essence| essence.eq_ignore_ascii_case("application/json"))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    async fn status(kind: Option<&'static str>, body: Vec<u8>) -> u16 {
        let mut headers = HeaderMap::new();
        if let Some(kind) = kind {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        }
        match Sent::read(&headers, Body::from(body), LARGEST_BODY).await {
            Ok(_) => 200,
            Err(refused) => refused.refusal().reason.status(),
        }
    }

    #[tokio::test]
    async fn a_body_is_json_and_at_most_a_mebibyte() {
        assert_eq!(status(Some("application/json; charset=utf-8"), b"{}".to_vec()).await, 200);
        assert_eq!(status(Some("Application/JSON"), b"{}".to_vec()).await, 200);
        assert_eq!(status(None, Vec::new()).await, 200);
        assert_eq!(status(None, b"{}".to_vec()).await, 415);
        assert_eq!(status(Some("text/plain"), b"{}".to_vec()).await, 415);
        assert_eq!(status(Some("application/json"), vec![b' '; LARGEST_BODY]).await, 200);
        assert_eq!(status(Some("application/json"), vec![b' '; LARGEST_BODY + 1]).await, 413);
    }
}
