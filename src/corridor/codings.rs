//! Content codings by their names: what a client may ask a provider for, and what of an answer can
//! be looked through. Must never let an answer out in a coding that nobody here can unpack: the key
//! may stand in it.

use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING};
use http::{HeaderMap, HeaderValue};

/// How a body is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Gzip,
    Deflate,
    Brotli,
    Zstd,
}

/// Nobody here can unpack it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unknown;

impl Coding {
    pub(super) fn named(name: &[u8]) -> Option<Self> {
        let is = |wanted: &[u8]| name.eq_ignore_ascii_case(wanted);
        match () {
            () if is(b"gzip") || is(b"x-gzip") => Some(Self::Gzip),
            () if is(b"deflate") => Some(Self::Deflate),
            () if is(b"br") => Some(Self::Brotli),
            () if is(b"zstd") => Some(Self::Zstd),
            () => None,
        }
    }

    /// Of an answer; None where it is not packed.
    pub(super) fn of(headers: &HeaderMap) -> Result<Option<Self>, Unknown> {
        let mut coding = None;
        let values = headers.get_all(CONTENT_ENCODING).iter();
        for name in values.flat_map(|value| elements(value.as_bytes())) {
            if name.is_empty() || is_identity(name) {
                continue;
            }
            if coding.is_some() {
                return Err(Unknown);
            }
            coding = Some(Self::named(name).ok_or(Unknown)?);
        }
        Ok(coding)
    }
}

/// What a client would take that cannot be looked through is not asked for.
pub(super) fn narrow(headers: &mut HeaderMap) {
    let is_known = |element: &&[u8]| {
        let name = element.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        name.is_empty() || is_identity(name) || Coding::named(name).is_some()
    };
    let mut values = headers.get_all(ACCEPT_ENCODING).iter();
    if values.all(|value| elements(value.as_bytes()).all(|element| is_known(&element))) {
        return;
    }
    let values = headers.get_all(ACCEPT_ENCODING).iter();
    let known = values.flat_map(|value| elements(value.as_bytes())).filter(is_known);
    let known: Vec<&[u8]> = known.filter(|element| !element.is_empty()).collect();
    let value = match known.is_empty() {
        true => Ok(HeaderValue::from_static("identity")),
        false => HeaderValue::from_bytes(&known.join(&b", "[..])),
    };
    // They came out of header values.
    headers.insert(ACCEPT_ENCODING, value.unwrap_or(HeaderValue::from_static("identity")));
}

fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii)
}

fn is_identity(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"identity")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[&str]) -> Result<Option<Coding>, Unknown> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(CONTENT_ENCODING, value.parse().unwrap());
        }
        Coding::of(&headers)
    }

    #[test]
    fn one_coding_is_known_in_any_spelling_and_two_are_not() {
        for values in [&["gzip"][..], &["GZip"], &["gzip, identity"], &["identity, gzip"]] {
            assert_eq!(of(values), Ok(Some(Coding::Gzip)), "{values:?}");
        }
        for values in [&["gzip,"][..], &[", gzip"], &["identity", " x-gzip "]] {
            assert_eq!(of(values), Ok(Some(Coding::Gzip)), "{values:?}");
        }
        for values in [&[][..], &[""], &["identity"], &["identity, ,"]] {
            assert_eq!(of(values), Ok(None), "{values:?}");
        }
        for values in
            [&["gzip, gzip"][..], &["br", "gzip"], &["\"gzip\""], &["gzip;q=1"], &["compress"]]
        {
            assert_eq!(of(values), Err(Unknown), "{values:?}");
        }
    }

    #[test]
    fn what_cannot_be_looked_through_is_not_asked_for() {
        for (asked, left) in [
            ("gzip, deflate, br, zstd", "gzip, deflate, br, zstd"),
            ("gzip;q=0.5,br", "gzip;q=0.5,br"),
            ("xz, gzip;q=0.5, dcb", "gzip;q=0.5"),
            ("*", "identity"),
            ("compress", "identity"),
            ("identity;q=0, br, *;q=0", "identity;q=0, br"),
            ("", ""),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, asked.parse().unwrap());
            narrow(&mut headers);
            assert_eq!(headers[ACCEPT_ENCODING], left, "{asked}");
        }
        let mut none = HeaderMap::new();
        narrow(&mut none);
        assert!(none.is_empty());
    }
}
