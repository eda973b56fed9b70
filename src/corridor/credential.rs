//! Finding the client's credential in the slots where SDKs put it, and
//! emptying them. Must never leave a Sealgate credential in anything that
//! goes on.

use base64::Engine as _;
use http::header::ACCESS_CONTROL_REQUEST_HEADERS;
use http::request::Parts;

use super::path::percent_decoded;
use crate::crypto::token;
use crate::provider::Catalogue;
use crate::refusal::Refusal;

/// Longer than any key of ours; what is longer is none.
const MOST_BYTES: usize = 64;

/// Longer ones were never imported by anybody.
const MOST_OPEN_BYTES: usize = 512;

/// How `mdw_` and `mdt_` begin.
const MARK: &[u8] = b"md";

/// The one credential that a request presents.
pub(super) struct Presented {
    bytes: [u8; MOST_BYTES],
    length: usize,
    /// A signed token, which is longer.
    signed: Option<Box<[u8]>>,
    /// Where keys of older systems are known: what stands in `X-API-Key` and behind Bearer and is
    /// nothing of our own shape.
    open: Vec<Vec<u8>>,
}

impl Default for Presented {
    fn default() -> Self {
        Self { bytes: [0; MOST_BYTES], length: 0, signed: None, open: Vec::new() }
    }
}

impl Presented {
    pub(super) fn as_bytes(&self) -> Option<&[u8]> {
        let short = self.bytes.get(..self.length).filter(|bytes| !bytes.is_empty());
        short.or(self.signed.as_deref())
    }

    /// Takes note of what a slot holds. Anything that is no credential of ours is not looked at:
    /// some SDKs need a dummy in a second slot. Two different ones of ours are ambiguous.
    pub(super) fn note(&mut self, candidate: &[u8]) -> Result<(), Refusal> {
        if token::is_jwt_shaped(candidate) {
            return self.note_signed(candidate);
        }
        if !is_ours(candidate) {
            return Ok(());
        }
        // One that is too long is a credential still, only a wrong one: it is cut, and unknown.
        let cut = candidate.get(..MOST_BYTES).unwrap_or(candidate);
        match self.as_bytes() {
            Some(known) if known == cut => Ok(()),
            Some(_) => Err(ambiguous()),
            None => {
                self.length = cut.len();
                self.bytes.iter_mut().zip(cut).for_each(|(to, from)| *to = *from);
                Ok(())
            }
        }
    }

    fn note_signed(&mut self, candidate: &[u8]) -> Result<(), Refusal> {
        match self.as_bytes() {
            Some(known) if known == candidate => Ok(()),
            Some(_) => Err(ambiguous()),
            None => {
                self.signed = Some(candidate.into());
                Ok(())
            }
        }
    }

    /// Every credential that a header slot may carry: behind a scheme word, in Basic, or bare.
    pub(super) fn note_header(&mut self, value: &[u8]) -> Result<(), Refusal> {
        let trimmed = value.trim_ascii();
        let Some(at) = memchr::memchr(b' ', trimmed) else { return self.note(trimmed) };
        let (scheme, rest) = trimmed.split_at_checked(at).unwrap_or((trimmed, &[]));
        let rest = rest.trim_ascii();
        if scheme.eq_ignore_ascii_case(b"basic") {
            return self.note_basic(rest);
        }
        // Usually a word; a key there, and another one behind it, are two.
        self.note(scheme)?;
        self.note(rest)
    }

    /// Takes note of what may be a key of an older system, where there are any.
    pub(super) fn note_open(&mut self, name: &str, value: &[u8], any_shape: bool) {
        if !any_shape {
            return;
        }
        let value = value.trim_ascii();
        let candidate = match name {
            "x-api-key" => value,
            "authorization" => {
                let Some((scheme, rest)) = value.split_at_checked(b"bearer ".len()) else { return };
                if !scheme.eq_ignore_ascii_case(b"bearer ") {
                    return;
                }
                rest.trim_ascii()
            }
            _ => return,
        };
        let fits = (1..=MOST_OPEN_BYTES).contains(&candidate.len());
        let is_own = token::is_well_formed(candidate) || token::is_jwt_shaped(candidate);
        let is_new = self.open.iter().all(|known| known != candidate);
        if fits && is_new && !is_own {
            self.open.push(candidate.to_vec());
        }
    }

    /// Empty unless one of these has to be looked up: a key of our own shape comes before them.
    pub(super) fn open(&self) -> &[Vec<u8>] {
        match self.as_bytes() {
            Some(own) if self.signed.is_some() || token::is_well_formed(own) => &[],
            Some(_) | None => &self.open,
        }
    }

    fn note_basic(&mut self, encoded: &[u8]) -> Result<(), Refusal> {
        let Ok(decoded) = base64::engine::general_purpose::STANDARD.decode(encoded) else {
            return Ok(());
        };
        let colon = memchr::memchr(b':', &decoded).unwrap_or(decoded.len());
        let (user, password) = decoded.split_at_checked(colon).unwrap_or((&decoded, &[]));
        self.note(user)?;
        self.note(password.strip_prefix(b":").unwrap_or(password))
    }

    /// Does the credential, or any whole client key, stand here, plain or percent-encoded?
    pub(super) fn stands_in(&self, bytes: &[u8]) -> bool {
        // Decoding only shortens.
        if bytes.len() < MARK.len() {
            return false;
        }
        let is_in = |place: &[u8]| self.is_in_plain(place) || token::holds_jwt(place);
        is_in(bytes) || percent_decoded(bytes).is_some_and(|decoded| is_in(&decoded))
    }

    /// Every credential of ours begins with the same letters: where they are not, nothing is.
    fn is_in_plain(&self, bytes: &[u8]) -> bool {
        // By its first letter: preparing a search costs more than searching so short a text.
        memchr::memchr_iter(b'm', bytes).any(|at| {
            let from = bytes.get(at..).unwrap_or_default();
            if !from.starts_with(MARK) {
                return false;
            }
            let whole = from.get(..token::KEY_BYTES).is_some_and(token::is_well_formed);
            whole || self.as_bytes().is_some_and(|credential| from.starts_with(credential))
        })
    }
}

pub(super) fn ambiguous() -> Refusal {
    Refusal::bad_request("Two different client credentials stand in this request; send one.")
}

/// Plain or percent-encoded.
pub(super) fn stands_within(credential: &[u8], place: &[u8]) -> bool {
    let is_in = |place: &[u8]| memchr::memmem::find(place, credential).is_some();
    is_in(place) || percent_decoded(place).is_some_and(|decoded| is_in(&decoded))
}

pub(super) fn is_ours(candidate: &[u8]) -> bool {
    candidate.starts_with(b"mdw_")
        || candidate.starts_with(b"mdt_")
        || token::is_jwt_shaped(candidate)
}

/// The query without its credential parameters; everything else byte for byte.
pub(super) fn clean_query(
    query: &str,
    is_known_slot: impl Fn(&str) -> bool,
    is_providers_slot: impl Fn(&str) -> bool,
    presented: &mut Presented,
) -> Result<String, Refusal> {
    let mut kept = String::with_capacity(query.len());
    // Some servers take a semicolon for what parts two parameters, and would find a second one.
    for parameter in query.split_inclusive(['&', ';']) {
        let (parameter, mark) = match parameter.strip_suffix(['&', ';']) {
            Some(bare) => (bare, parameter.get(bare.len()..).unwrap_or_default()),
            None => (parameter, ""),
        };
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let name = lower_decoded(name);
        let slot = is_known_slot(&name);
        let mut ours = false;
        if slot {
            let decoded = percent_decoded(value.as_bytes());
            let value = decoded.as_deref().unwrap_or(value.as_bytes());
            presented.note(value)?;
            ours = is_ours(value);
        }
        if ours || (slot && is_providers_slot(&name)) {
            if mark.is_empty() {
                // It was the last one: what parted it from the one before goes with it.
                kept.pop();
            }
            continue;
        }
        kept.push_str(parameter);
        kept.push_str(mark);
    }
    Ok(kept)
}

/// Will the request that this preflight asks for bring a credential? Names alone are known of it.
pub(super) fn is_announced(parts: &Parts, catalogue: &Catalogue) -> bool {
    let asked = parts.headers.get_all(ACCESS_CONTROL_REQUEST_HEADERS).iter();
    let mut names = asked.filter_map(|value| value.to_str().ok()).flat_map(|list| list.split(','));
    let query = parts.uri.query().unwrap_or_default();
    let mut parameters = query.split('&').filter_map(|parameter| parameter.split('=').next());
    names.any(|name| catalogue.header_slot(&name.trim().to_ascii_lowercase()).is_some())
        || parameters.any(|name| catalogue.is_query_slot(&lower_decoded(name)))
}

fn lower_decoded(name: &str) -> String {
    match percent_decoded(name.as_bytes()) {
        Some(bytes) => String::from_utf8_lossy(&bytes).to_ascii_lowercase(),
        None => name.to_ascii_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(value: &str) -> Option<Vec<u8>> {
        let mut presented = Presented::default();
        presented.note_header(value.as_bytes()).ok()?;
        presented.as_bytes().map(<[u8]>::to_vec)
    }

    #[test]
    fn a_key_is_found_behind_every_scheme_and_bare() {
        for value in ["mdw_x", "Bearer mdw_x", "bearer  mdw_x ", "Token mdw_x", "apikey mdw_x"] {
            assert_eq!(found(value).as_deref(), Some(b"mdw_x".as_slice()), "{value}");
        }
        assert_eq!(found("Basic bWR3X3g6eA==").as_deref(), Some(b"mdw_x".as_slice()));
        assert_eq!(found("Basic eDptZHdfeA==").as_deref(), Some(b"mdw_x".as_slice()));
        assert_eq!(found("Bearer sk-dummy"), None);
        assert_eq!(found("mdw_x mdw_y"), None, "two are none");
    }

    #[test]
    fn the_query_keeps_every_other_byte() {
        let mut presented = Presented::default();
        let known = |name: &str| matches!(name, "apikey" | "token");
        let clean = |query, presented: &mut Presented| {
            clean_query(query, known, |name| name == "apikey", presented).unwrap()
        };
        let query = "a=1&apiKey=mdw_x&b=%20%2B&c&token=page2&&";
        assert_eq!(clean(query, &mut presented), "a=1&b=%20%2B&c&token=page2&&");
        assert_eq!(presented.as_bytes(), Some(b"mdw_x".as_slice()));
        assert_eq!(clean("%61piKey=dummy", &mut presented), "");
        assert_eq!(clean("token=mdw_x", &mut presented), "");
        assert_eq!(clean("a=1;apikey=x;b;c&apikey", &mut presented), "a=1;b;c");
        assert_eq!(clean("a;;apikey=x", &mut presented), "a;");
    }

    #[test]
    fn two_different_credentials_are_ambiguous_and_the_same_twice_is_not() {
        let mut presented = Presented::default();
        presented.note(b"mdw_x").unwrap();
        presented.note(b"mdw_x").unwrap();
        presented.note(b"dummy").unwrap();
        assert!(presented.note(b"mdw_y").is_err());
    }

    #[test]
    fn what_may_be_an_older_systems_key_stands_in_two_places_alone() {
        let mut presented = Presented::default();
        for (name, value) in [
            ("x-api-key", "legacy"),
            ("authorization", "bearer  other "),
            ("authorization", "Token third"),
            ("authorization", "Basic eDp5"),
            ("authorization", "Bearer "),
            ("apikey", "fourth"),
            ("x-api-key", "legacy"),
        ] {
            presented.note_open(name, value.as_bytes(), true);
        }
        assert_eq!(presented.open(), [b"legacy".to_vec(), b"other".to_vec()]);
        presented.note(token::mint().unwrap().key.expose()).unwrap();
        assert!(presented.open().is_empty());
    }

    #[test]
    fn a_signed_token_is_a_credential_in_every_slot_and_beside_none_other() {
        let start = "eyJhbGciOiJFZERTQSIsInR5cCI6ImF0K2p3dCIsImtpZCI6";
        let jwt = |tail: &str| format!("{start}{}.{}.{tail}", "a".repeat(62), "b".repeat(200));
        let (one, other) = (jwt("c"), jwt("d"));
        for value in [one.clone(), format!("Bearer {one}"), format!("Token {one}")] {
            assert_eq!(found(&value).as_deref(), Some(one.as_bytes()), "{value}");
        }
        let mut presented = Presented::default();
        let query = format!("a=b&token={one}");
        let clean = clean_query(&query, |name| name == "token", |_| false, &mut presented);
        assert_eq!(clean.unwrap(), "a=b");
        presented.note(one.as_bytes()).unwrap();
        assert!(presented.note(other.as_bytes()).is_err());
        assert!(presented.note(b"mdw_x").is_err());
        assert!(presented.stands_in(format!("/v1/{}", one.replace('.', "%2E")).as_bytes()));
        let mut other_first = Presented::default();
        other_first.note(b"mdw_x").unwrap();
        assert!(other_first.note(one.as_bytes()).is_err());
        assert!(other_first.stands_in(format!("x={other}.more").as_bytes()), "never forwarded");
        // Of somebody else's making: no credential here.
        assert_eq!(found(&format!("Bearer eyJhbGciOiJFZERTQSIs.{}.x", "b".repeat(200))), None);
    }

    #[test]
    fn a_credential_is_seen_through_percent_encoding() {
        let mut presented = Presented::default();
        presented.note(b"mdw_x").unwrap();
        assert!(presented.stands_in(b"/v1/%6Ddw_x"));
        assert!(presented.stands_in(b"a mdw_x b"));
        assert!(!presented.stands_in(b"/v1/x"));
    }
}
