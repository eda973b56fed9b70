//! Paths as bytes: where the provider ends and the rest begins, and whether anything in it
//! climbs. Must never repair a path: what is ambiguous is refused, what is plain is passed byte
//! for byte.

use std::borrow::Cow;

/// What a path asks for, as `clean` reads it: the provider's name and what follows it.
pub(crate) fn addressed(path: &str) -> Result<(&str, &str), &'static str> {
    if let Some(fault) = fault(path) {
        return Err(fault.words());
    }
    let (provider, rest) = split_provider(path).ok_or("names no provider")?;
    Ok((provider, without_doubled_prefix(provider, rest)))
}

/// Why no call of this path goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    DotSegment,
    Nul,
    /// Deeper than anybody looks.
    Depth,
}

impl Fault {
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::DotSegment => "holds a dot segment; nothing may leave the provider's base path",
            Self::Nul => "holds a zero byte (%00), at which some servers end a path",
            Self::Depth => "is percent-encoded more than three times over",
        }
    }
}

/// The provider's name and what follows it, slash included.
pub(super) fn split_provider(path: &str) -> Option<(&str, &str)> {
    let inside = path.strip_prefix('/')?;
    match inside.find('/') {
        Some(at) => inside.split_at_checked(at),
        None => Some((inside, "")),
    }
}

/// SDKs that follow a rewritten URL by its path repeat the prefix: `/p/p/…` means `/p/…`.
pub(super) fn without_doubled_prefix<'a>(provider: &str, rest: &'a str) -> &'a str {
    let Some(inner) = rest.strip_prefix('/').and_then(|rest| rest.strip_prefix(provider)) else {
        return rest;
    };
    if inner.is_empty() || inner.starts_with('/') { inner } else { rest }
}

/// Does any segment, in any encoding a server may undo, mean "here" or "up", or end the path?
pub(super) fn fault(path: &str) -> Option<Fault> {
    // Plain paths without a dot at a segment's start cannot; this is nearly all of them.
    let bytes = path.as_bytes();
    let suspicious = |byte: &u8| matches!(byte, b'%' | b'\\' | b';') || !byte.is_ascii();
    if !bytes.iter().any(suspicious) {
        return path.split('/').any(is_dots).then_some(Fault::DotSegment);
    }
    let mut decoded: Cow<'_, [u8]> = Cow::Borrowed(bytes);
    // A server may decode once, a second one behind it once more; three rounds see through both.
    for _ in 0..4 {
        if has_dot_segment(&decoded) {
            return Some(Fault::DotSegment);
        }
        if decoded.contains(&0) {
            return Some(Fault::Nul);
        }
        decoded = Cow::Owned(percent_decoded(&decoded)?);
    }
    Some(Fault::Depth)
}

fn is_dots(segment: &str) -> bool {
    segment == "." || segment == ".."
}

fn has_dot_segment(path: &[u8]) -> bool {
    path.split(|byte| matches!(byte, b'/' | b'\\')).any(|segment| {
        let name = segment.split(|byte| *byte == b';').next().unwrap_or_default();
        let overlong = |window: &[u8]| matches!(window, [0xC0, 0xAE | 0xAF]);
        is_dots_and_blanks(name) || segment.windows(2).any(overlong)
    })
}

/// Some servers leave out blanks, and then it is a dot segment.
fn is_dots_and_blanks(name: &[u8]) -> bool {
    let name = String::from_utf8_lossy(name);
    is_dots(name.trim_matches(|letter: char| letter.is_whitespace() || letter.is_control()))
}

/// One round of percent-decoding; None where nothing was encoded.
pub(crate) fn percent_decoded(bytes: &[u8]) -> Option<Vec<u8>> {
    memchr::memchr(b'%', bytes)?;
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    let mut changed = false;
    while let Some((first, tail)) = rest.split_first() {
        let pair = if *first == b'%' { tail.split_at_checked(2) } else { None };
        let value = pair.and_then(|(digits, after)| Some((hex_pair(digits)?, after)));
        match value {
            Some((byte, after)) => {
                decoded.push(byte);
                rest = after;
                changed = true;
            }
            None => {
                decoded.push(*first);
                rest = tail;
            }
        }
    }
    changed.then_some(decoded)
}

fn hex_pair(digits: &[u8]) -> Option<u8> {
    let [high, low] = digits else { return None };
    let high = char::from(*high).to_digit(16)?;
    let low = char::from(*low).to_digit(16)?;
    u8::try_from(high * 16 + low).ok()
}

/// The segments behind the provider, each decoded once, for the scopes.
pub(crate) fn decoded_segments(rest: &str) -> Vec<Cow<'_, str>> {
    let path = rest.strip_prefix('/').unwrap_or(rest);
    let decode = |segment| match percent_decoded(str::as_bytes(segment)) {
        Some(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
        None => Cow::Borrowed(segment),
    };
    let mut segments = Vec::with_capacity(memchr::memchr_iter(b'/', path.as_bytes()).count() + 1);
    segments.extend(path.split('/').map(decode));
    segments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_provider_is_one_exact_segment() {
        assert_eq!(split_provider("/polygon/v2/x"), Some(("polygon", "/v2/x")));
        assert_eq!(split_provider("/polygon"), Some(("polygon", "")));
        assert_eq!(split_provider("/polygon.evil/x"), Some(("polygon.evil", "/x")));
        assert_eq!(split_provider("polygon"), None);
    }

    #[test]
    fn a_doubled_prefix_means_a_single_one() {
        assert_eq!(without_doubled_prefix("polygon", "/polygon/v2"), "/v2");
        assert_eq!(without_doubled_prefix("polygon", "/polygonx/v2"), "/polygonx/v2");
        assert_eq!(without_doubled_prefix("polygon", "/v2/polygon"), "/v2/polygon");
    }

    #[test]
    fn dot_segments_are_seen_in_every_dress() {
        for path in [
            "/a/../b",
            "/a/./b",
            "/a/..",
            "/a/%2e%2e/b",
            "/a/.%2E/b",
            "/a/%252e%252e/b",
            "/a/..;/b",
            "/a/..%2fb",
            "/a/..\\b",
            "/a/..%5cb",
            "/a/%25252e%25252e/b",
            "/a/%c0%ae%c0%ae/b",
            "/a/..;x=1/b",
            "/a/..%20/b",
            "/a/..%09",
            "/a/%20../b",
            "/a/..%2520;x/b",
            "/a/.%C2%A0/b",
        ] {
            assert_eq!(fault(path), Some(Fault::DotSegment), "{path}");
        }
        for path in ["/a%00/b", "/a/b%2500"] {
            assert_eq!(fault(path), Some(Fault::Nul), "{path}");
        }
        assert_eq!(fault("/a/%2525252541"), Some(Fault::Depth));
        for path in [
            "/v2/aggs/X%3ABTCUSD",
            "/a/...",
            "/a/...%20",
            "/a/.b",
            "/a%2Fb",
            "/a/b..c",
            "/a/%41",
            "/;x",
        ] {
            assert_eq!(fault(path), None, "{path}");
        }
    }
}
