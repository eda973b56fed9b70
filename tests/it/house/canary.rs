//! The planted secret and the search for it: in plain, reversed, UTF-16, base64 at three offsets and
//! in both alphabets, hexadecimal, percent and JSON form.

use base64::Engine;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD};
use memchr::memmem;

/// Forms under which one secret could leak.
pub(crate) struct Canary {
    plain: String,
    forms: Vec<(&'static str, Vec<u8>)>,
}

impl Canary {
    /// Fresh and unmistakable. Its last characters read differently in every encoding.
    pub(crate) fn hatch() -> Self {
        let random = uuid::Uuid::now_v7().simple().to_string();
        Self::of(format!("canary-{random}+/\"~z"))
    }

    pub(crate) fn of(plain: String) -> Self {
        let bytes = plain.as_bytes();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let every: String = bytes.iter().map(|byte| format!("%{byte:02X}")).collect();
        let needed =
            percent(&plain, |byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte));
        let mut forms = vec![
            ("plain", bytes.to_vec()),
            ("hex", hex.clone().into_bytes()),
            ("HEX", hex.to_ascii_uppercase().into_bytes()),
            ("percent, every byte", every.clone().into_bytes()),
            ("percent, every byte, lower case", every.to_ascii_lowercase().into_bytes()),
            ("percent", needed.clone().into_bytes()),
            ("percent, lower case", lower_escapes(&needed).into_bytes()),
            ("JSON", plain.replace('"', "\\\"").into_bytes()),
            ("reversed", bytes.iter().rev().copied().collect()),
            ("UTF-16", bytes.iter().flat_map(|byte| [*byte, 0]).collect()),
            ("JSON in JSON", plain.replace('"', "\\\\\\\"").into_bytes()),
        ];
        for offset in 0..3 {
            forms.push(("base64", base64_at(bytes, offset, &STANDARD)));
            forms.push(("base64url", base64_at(bytes, offset, &URL_SAFE)));
        }
        // Where in a byte it begins depends on what stands before it.
        forms.extend((0..8).filter_map(|bits| Some(("HPACK", huffman(&plain, bits)?))));
        Self { plain, forms }
    }

    pub(crate) fn plain(&self) -> &str {
        &self.plain
    }

    /// The first form that stands in the hay.
    pub(crate) fn form_in(&self, hay: &[u8]) -> Option<&'static str> {
        let found = self.forms.iter().find(|(_, form)| memmem::find(hay, form).is_some());
        found.map(|(name, _)| *name)
    }

    pub(crate) fn is_nowhere_in(&self, place: &str, hay: &[u8]) {
        if let Some(form) = self.form_in(hay) {
            panic!("the canary was found in {place} ({form}, {} bytes searched)", hay.len());
        }
    }
}

/// The whole bytes of the text's beginning as HTTP/2 compresses it (RFC 7541, appendix B), so many
/// bits after a byte has begun; None for letters that no canary begins with.
fn huffman(text: &str, bits_before: usize) -> Option<Vec<u8>> {
    let beginning: String =
        text.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
    let mut bits = vec![false; bits_before];
    for letter in beginning.bytes() {
        let (code, length) = match letter {
            b'0'..=b'2' => (letter - b'0', 5),
            b'3'..=b'9' => (letter - b'3' + 0x19, 6),
            b'a' => (0x03, 5),
            b'b' => (0x23, 6),
            b'c' => (0x04, 5),
            b'd' => (0x24, 6),
            b'e' => (0x05, 5),
            b'f' => (0x25, 6),
            b'n' => (0x2a, 6),
            b'r' => (0x2c, 6),
            b'y' => (0x7a, 7),
            b'-' => (0x16, 6),
            _ => return None,
        };
        bits.extend((0..length).rev().map(|bit| code >> bit & 1 == 1));
    }
    let bytes = bits
        .chunks_exact(8)
        .map(|byte| byte.iter().fold(0, |byte, bit| byte << 1 | u8::from(*bit)));
    let whole: Vec<u8> = bytes.skip(usize::from(bits_before > 0)).collect();
    (whole.len() >= 12).then_some(whole)
}

fn percent(text: &str, plain: impl Fn(u8) -> bool) -> String {
    let escaped = text.bytes().map(|byte| match plain(byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    });
    escaped.collect()
}

fn lower_escapes(text: &str) -> String {
    let mut lower = String::new();
    let mut in_escape = 0;
    for character in text.chars() {
        in_escape = if character == '%' { 3 } else { in_escape };
        lower.push(if in_escape > 0 { character.to_ascii_lowercase() } else { character });
        in_escape = if in_escape > 0 { in_escape - 1 } else { 0 };
    }
    lower
}

/// What the bytes look like within a longer encoded text: only the characters they alone decide.
fn base64_at(bytes: &[u8], offset: usize, alphabet: &base64::alphabet::Alphabet) -> Vec<u8> {
    let mut shifted = vec![0; offset];
    shifted.extend_from_slice(bytes);
    let encoded = GeneralPurpose::new(alphabet, NO_PAD).encode(&shifted);
    let first = [0, 2, 3][offset];
    let last = shifted.len() * 8 / 6;
    encoded.as_bytes()[first..last].to_vec()
}

#[test]
fn a_canary_is_found_in_every_dress_and_only_there() {
    let canary = Canary::hatch();
    let other = Canary::hatch();
    let plain = canary.plain();
    for padding in ["", "a", "ab", "abc"] {
        for engine in [base64::prelude::BASE64_STANDARD, base64::prelude::BASE64_URL_SAFE] {
            let hay = engine.encode(format!("{padding}{plain}:password"));
            assert!(canary.form_in(hay.as_bytes()).is_some(), "{padding} {hay}");
            assert!(other.form_in(hay.as_bytes()).is_none());
        }
    }
    let json = serde_json::json!({ "key": plain }).to_string();
    let twice = serde_json::json!({ "body": json }).to_string();
    let percent = plain.replace('+', "%2b").replace('/', "%2f").replace('"', "%22");
    for hay in
        [plain, &json, &twice, &percent, &percent.replace("%2b", "%2B").replace("%2f", "%2F")]
    {
        assert!(canary.form_in(hay.as_bytes()).is_some(), "{hay}");
    }
    let hex: String = plain.bytes().map(|byte| format!("{byte:02X}")).collect();
    assert_eq!(canary.form_in(hex.as_bytes()), Some("HEX"));
    assert_eq!(canary.form_in(b"nothing here"), None);
}
