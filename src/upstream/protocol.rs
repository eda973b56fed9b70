//! Which protocol a call goes by, and what that changes of its head. A second try may go by the
//! other one, so what is changed can be undone.
//! Must never touch a header but Host, and no part of the path.

use http::uri::{Authority, Scheme};
use http::{HeaderMap, Request, Uri, Version};

use super::pool::Wish;
use crate::inject::{Goal, OutboundBody};
use crate::provider::Http2;
use crate::refusal::Refusal;

/// HTTP/2 where it is cheaper, and where nothing else will do.
pub(super) fn wish(goal: &Goal, request: &Request<OutboundBody>) -> Wish {
    if goal.is_socket() {
        // HTTP/2 has no upgrades.
        return Wish::H1;
    }
    match goal.provider().http2 {
        Http2::Never => Wish::H1,
        Http2::Always => Wish::H2,
        Http2::Auto if is_grpc(request.headers()) => Wish::H2,
        Http2::Auto if request.body().is_empty() => Wish::Either,
        Http2::Auto => Wish::H1,
    }
}

fn is_grpc(headers: &HeaderMap) -> bool {
    let content_type = headers.get(http::header::CONTENT_TYPE);
    content_type.is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

/// HTTP/2 names scheme and authority beside the path, and wants no Host header.
pub(super) fn for_h2(goal: &Goal, request: &mut Request<OutboundBody>) -> Result<(), Refusal> {
    let host = goal.host();
    request.headers_mut().remove(http::header::HOST);
    let mut parts = std::mem::take(request.uri_mut()).into_parts();
    parts.scheme = Some(if host.base.scheme.is_tls() { Scheme::HTTPS } else { Scheme::HTTP });
    parts.authority =
        Authority::from_maybe_shared(bytes::Bytes::copy_from_slice(host.header.as_bytes())).ok();
    *request.uri_mut() = Uri::from_parts(parts).map_err(|_| Refusal::internal())?;
    *request.version_mut() = Version::HTTP_2;
    Ok(())
}

/// Undoes `for_h2`, so that a second try may take either kind of connection.
pub(super) fn for_h1(mut request: Request<OutboundBody>) -> Request<OutboundBody> {
    let mut parts = std::mem::take(request.uri_mut()).into_parts();
    let authority = parts.authority.take();
    parts.scheme = None;
    if let Some(host) = authority.and_then(|authority| authority.as_str().parse().ok()) {
        request.headers_mut().entry(http::header::HOST).or_insert(host);
    }
    *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
    *request.version_mut() = Version::HTTP_11;
    request
}
