//! What a call may name beside its own method and path, because widespread server frameworks heed
//! it: headers, and parameters of the query. Must never change what is passed on: it is only told
//! what else must be allowed.

use http::{HeaderMap, HeaderName};

use super::path::percent_decoded;

/// Known to widespread server frameworks, which do what they name.
const METHOD_OVERRIDES: [&str; 10] = [
    "x-http-override",
    "http-method-override",
    "x-rewrite-method",
    // `_method`: an underscore is taken for a hyphen.
    "-method",
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
    "x-method",
    "x-original-method",
    "x-forwarded-method",
];
/// And to some, another path.
const PATH_OVERRIDES: [&str; 6] = [
    "x-original-url",
    "x-rewrite-url",
    "x-original-uri",
    "x-override-url",
    "x-http-path-override",
    "x-envoy-original-path",
];

/// Every method that the headers or the query name, in upper case.
pub(super) fn methods(headers: &HeaderMap, query: &str) -> impl Iterator<Item = String> {
    let headers = headers.iter();
    let headers = headers.filter(|(name, _)| is_one_of(name.as_str(), &METHOD_OVERRIDES));
    let named = headers.map(|(_, value)| value.as_bytes().to_vec());
    let pairs = query.split(['&', ';']).map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let asked = pairs.filter_map(|(name, value)| {
        let name = decoded(name).to_ascii_lowercase();
        let is_one = is_one_of(&String::from_utf8_lossy(&name), &METHOD_OVERRIDES);
        is_one.then(|| decoded(value))
    });
    named.chain(asked).map(|name| String::from_utf8_lossy(&name).trim().to_ascii_uppercase())
}

pub(super) fn is_one(name: &str) -> bool {
    is_one_of(name, &METHOD_OVERRIDES) || is_one_of(name, &PATH_OVERRIDES)
}

pub(super) fn name_a_path(headers: &HeaderMap) -> bool {
    headers.keys().map(HeaderName::as_str).any(|name| is_one_of(name, &PATH_OVERRIDES))
}

/// As often as some server may.
fn decoded(text: &str) -> Vec<u8> {
    let mut decoded = text.replace('+', " ").into_bytes();
    while let Some(next) = percent_decoded(&decoded) {
        decoded = next;
    }
    decoded
}

/// Many servers take an underscore for a hyphen.
fn is_one_of(name: &str, names: &[&str]) -> bool {
    let plain = name.bytes().map(|byte| if byte == b'_' { b'-' } else { byte });
    names.iter().any(|wanted| plain.clone().eq(wanted.bytes()))
}
