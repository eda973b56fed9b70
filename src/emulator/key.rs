//! Does a request carry the real key where the provider's
//! `inject` places it? Compared in time that does not depend on
//! the content.

use base64::Engine as _;
use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{HeaderName, Request};

use crate::provider::{Placement, Pointer, Provider, Spot};
use crate::secret::{SecretBytes, same};

/// The secret that a stand-in demands: the same text for every field, or a value for each.
pub(super) fn value_of<'k>(fields: &'k [(String, SecretBytes)], name: &str) -> Option<&'k [u8]> {
    let named = fields.iter().find(|(field, _)| field == name);
    named.map(|(_, value)| value.expose())
}

/// True if every slot that this method has holds the key, once.
pub(super) fn is_carried(
    provider: &Provider,
    fields: &[(String, SecretBytes)],
    (head, body): (&Parts, &[u8]),
) -> bool {
    let mut slots = provider.inject.iter().filter(|placement| placement.is_for(&head.method));
    slots.all(|placement| holds(placement, fields, (head, body)))
}

/// The same of a handshake that asks for a socket.
pub(super) fn opens<B>(
    provider: &Provider,
    fields: &[(String, SecretBytes)],
    request: &Request<B>,
) -> bool {
    let mut head = Request::new(()).into_parts().0;
    head.uri = request.uri().clone();
    head.headers = request.headers().clone();
    let meant = |placed: &(&Placement, bool)| provider.fills(*placed, (request.method(), true));
    provider.placements().filter(meant).all(|(placement, _)| holds(placement, fields, (&head, b"")))
}

fn holds(
    placement: &Placement,
    fields: &[(String, SecretBytes)],
    (head, body): (&Parts, &[u8]),
) -> bool {
    let Some(wanted) = placement.template().fill(|name| value_of(fields, name)) else {
        return false;
    };
    let wanted = wanted.expose();
    match &placement.spot {
        Spot::Header { name, .. } => in_header(head, name, wanted),
        Spot::Basic { .. } => {
            let pair = base64::engine::general_purpose::STANDARD.encode(wanted);
            in_header(head, &AUTHORIZATION, format!("Basic {pair}").as_bytes())
        }
        Spot::Query { name, .. } => {
            let query = head.uri.query().unwrap_or_default();
            let mut values = values_of(query, name);
            let first = values.next().is_some_and(|value| same(&value, wanted));
            first && values.next().is_none()
        }
        Spot::Path { .. } => {
            let path = decoded(head.uri.path());
            path.get(..wanted.len()).is_some_and(|start| same(start, wanted))
        }
        // Like the product, it has nothing to say of a request without a body.
        Spot::Json { pointer, .. } => body.is_empty() || in_body(body, pointer, wanted),
    }
}

fn in_header(head: &Parts, name: &HeaderName, wanted: &[u8]) -> bool {
    let mut values = head.headers.get_all(name).iter();
    let first = values.next().is_some_and(|value| same(value.as_bytes(), wanted));
    first && values.next().is_none()
}

fn in_body(body: &[u8], pointer: &Pointer, wanted: &[u8]) -> bool {
    let body: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let member = body.as_ref().and_then(|body| body.pointer(&pointer.to_string())?.as_str());
    member.is_some_and(|value| same(value.as_bytes(), wanted))
}

/// The decoded values of one query parameter.
pub(super) fn values_of<'a>(query: &'a str, name: &'a str) -> impl Iterator<Item = Vec<u8>> + 'a {
    query.split('&').filter_map(move |pair| {
        let (written, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decoded(written) == name.as_bytes()).then(|| decoded(value))
    })
}

/// Percent-decoded once; what is no escape stays as it is.
pub(super) fn decoded(text: &str) -> Vec<u8> {
    let mut rest = text.as_bytes();
    let mut bytes = Vec::with_capacity(rest.len());
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        let escape = (*first == b'%').then(|| after.split_at_checked(2)).flatten();
        match escape.and_then(|(digits, after)| Some((hex(digits)?, after))) {
            Some((byte, after)) => {
                bytes.push(byte);
                rest = after;
            }
            None => bytes.push(*first),
        }
    }
    bytes
}

fn hex(digits: &[u8]) -> Option<u8> {
    let digits = std::str::from_utf8(digits).ok()?;
    let plain = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    plain.then(|| u8::from_str_radix(digits, 16).ok()).flatten()
}
