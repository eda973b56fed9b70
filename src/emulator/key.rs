//! Does a request carry the real key where the provider's
//! `inject` places it? Compared in time that does not depend on
//! the content.

use http::request::Parts;

use crate::provider::{Placement, Provider};
use crate::secret::{SecretBytes, same};

/// True if every slot holds the key, once.
pub(super) fn is_carried(provider: &Provider, key: &SecretBytes, head: &Parts) -> bool {
    provider.inject.iter().all(|placement| {
        let Some(wanted) = placement.template().fill(|_| Some(key.expose())) else {
            return false;
        };
        match placement {
            Placement::Header { name, .. } => {
                let mut values = head.headers.get_all(name).iter();
                let first =
                    values.next().is_some_and(|value| same(value.as_bytes(), wanted.expose()));
                first && values.next().is_none()
            }
            Placement::Query { name, .. } => {
                let query = head.uri.query().unwrap_or_default();
                let mut values = values_of(query, name);
                let first = values.next().is_some_and(|value| same(&value, wanted.expose()));
                first && values.next().is_none()
            }
        }
    })
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
