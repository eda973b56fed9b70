//! Headers of an answer that go no further: those of the connection to the
//! provider, and those that are ours.
//! Must never leave one that the connection nominates.

use http::header::CONNECTION;
use http::{HeaderMap, HeaderName};

use super::super::cookies;

/// What belongs to the connection to the provider, and what only we may say.
pub(in super::super) fn drop_hop_by_hop(headers: &mut HeaderMap) {
    cookies::refuse(headers);
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
