//! Names of headers that go no further: what belongs to the client's own connection, and what only
//! Sealgate may say.
//! Must never leave one out that a server could take for its own connection's.

/// Many servers take an underscore for a hyphen, and would read a second framing or a second key.
pub(super) fn hyphened(name: &str) -> Option<String> {
    name.contains('_').then(|| name.replace('_', "-"))
}

pub(super) fn is_ours_or_hop_by_hop(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authenticate"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
            | "http2-settings"
            | "expect"
            | "host"
            | "content-length"
            | "forwarded"
            | "via"
            | "x-real-ip"
            | "x-request-id"
    ) || name.starts_with("x-forwarded-")
        || name.starts_with("x-sealgate-")
}
