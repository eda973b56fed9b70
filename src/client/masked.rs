//! Text that somebody wrote where a client key or token does not belong, made fit to be written
//! down: what is well-formed as one is cut to its first characters, in plain and in percent-encoded
//! text.
//! Must never look up whether it is one.

use std::borrow::Cow;

use super::scope::decoded;
use crate::crypto::token;

/// What may be kept of a key; the rest of its place is marked.
const PREVIEW: usize = 8;
const MARK: &str = "…";

/// Does a client key or token stand in this text, however it is encoded?
pub(crate) fn holds_key(text: &str) -> bool {
    matches!(masked(text), Cow::Owned(_))
}

/// The text without the keys in it; decoded, where one was encoded.
pub(crate) fn masked(text: &str) -> Cow<'_, str> {
    let whole = text.as_bytes();
    if token::find_in(whole).is_none() {
        if memchr::memchr(b'%', whole).is_none() {
            return Cow::Borrowed(text);
        }
        let plain = decoded(whole);
        if token::find_in(&plain).is_none() {
            return Cow::Borrowed(text);
        }
        return Cow::Owned(without_keys(&plain));
    }
    // One more may be encoded beside it.
    Cow::Owned(without_keys(&decoded(whole)))
}

fn without_keys(mut rest: &[u8]) -> String {
    let mut shown = String::with_capacity(rest.len());
    while let Some((at, end)) = token::find_in(rest) {
        let kept = rest.get(..at + PREVIEW).unwrap_or_default();
        shown.push_str(&String::from_utf8_lossy(kept));
        shown.push_str(MARK);
        rest = rest.get(end..).unwrap_or_default();
    }
    shown.push_str(&String::from_utf8_lossy(rest));
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_or_token_is_cut_wherever_it_stands_and_nothing_else_is() {
        for minted in [token::mint(), token::mint_token()] {
            let key = minted.unwrap().key.expose_str().unwrap().to_owned();
            let cut = format!("{}…", &key[..8]);
            for encoded in [key.clone(), key.replace('_', "%5F"), key.replace('m', "%256d")] {
                let text = format!("/a_b/{encoded}x{encoded}/_");
                let shown = masked(&text);
                assert_eq!(shown, format!("/a_b/{cut}x{cut}/_"), "{encoded}");
                assert!(holds_key(&text) && !shown.contains(&key[9..]));
            }
        }
        for text in ["", "/v2/a_b", "mdw_short", "mdw_", "%", "/a%20b", &"mdw_x".repeat(20)] {
            assert_eq!(masked(text), text);
        }
    }
}
