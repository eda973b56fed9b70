//! Signatures by Standard Webhooks: over an id, the time and the body, with a key that both sides
//! know; and that key as it is entered at the other side.
//! Pure. Must never show a key but to whoever asks for its text.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::hmac_sha256;
use crate::secret::{Key, SecretBytes};

const PREFIX: &str = "whsec_";

pub(crate) fn webhook_signature(key: &Key, (id, time): (&str, &str), body: &str) -> String {
    let parts: [&[u8]; 5] = [id.as_bytes(), b".", time.as_bytes(), b".", body.as_bytes()];
    format!("v1,{}", STANDARD.encode(hmac_sha256(key, &parts)))
}

/// As it is shown once, and entered at the receiver.
pub(crate) fn webhook_secret(key: &Key) -> SecretBytes {
    SecretBytes::from_string(format!("{PREFIX}{}", STANDARD.encode(key.expose())))
}

/// None where it is not `whsec_` and 32 bytes in base64.
pub(crate) fn webhook_key(secret: &str) -> Option<Key> {
    let bytes = SecretBytes::new(STANDARD.decode(secret.strip_prefix(PREFIX)?).ok()?);
    Key::from_slice(bytes.expose())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with the reference library (`standardwebhooks` of PyPI).
    #[test]
    fn a_signature_is_what_the_reference_library_makes() {
        let key = Key::copy_of(&[7; 32]);
        let secret = webhook_secret(&key);
        assert_eq!(secret.expose_str(), Some("whsec_BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc="));
        let same = webhook_key(secret.expose_str().unwrap()).unwrap();
        assert_eq!(same.expose(), key.expose());
        assert!(webhook_key("whsec_BwcH").is_none() && webhook_key("BwcH").is_none());
        let made = webhook_signature(&key, ("msg_1", "1700000000"), "{\"test\": 2432232314}");
        assert_eq!(made, VECTOR);
    }

    const VECTOR: &str = "v1,c1hPeAN0SIuZXNvr09aMg5qstHTGhMUGZ3nWIj1XbDk=";
}
