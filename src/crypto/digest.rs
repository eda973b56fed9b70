//! Hashes and keyed hashes, for digests, fingerprints and the trail.
//! Must never be used on a guessable value without a key: whoever has the digest would try them
//! all.

use base64::Engine as _;
use hmac::{KeyInit, Mac};
use sha2::Digest;

use crate::secret::{Key, leaving_nothing};

/// SHA-256 over parts that arrive one after the other.
#[derive(Clone)]
pub(crate) struct Sha256(sha2::Sha256);

impl Sha256 {
    pub(crate) fn new(label: &[u8]) -> Self {
        Self(sha2::Sha256::new_with_prefix(label))
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(crate) fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    sha2::Sha256::digest(bytes).into()
}

/// What is hashed may be a secret, too.
pub(crate) fn hmac_sha256(key: &Key, parts: &[&[u8]]) -> [u8; 32] {
    leaving_nothing(|| mac(key, parts))
}

fn mac(key: &Key, parts: &[&[u8]]) -> [u8; 32] {
    // HMAC takes keys of any length, so a 32-byte key is never refused.
    let Ok(mut mac) = hmac::Hmac::<sha2::Sha256>::new_from_slice(key.expose()) else {
        return [0; 32];
    };
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// What proves that a handshake's key was understood (RFC 6455, 4.2.2). No secret: SHA-1 is what
/// the protocol wants.
pub(crate) fn socket_accept(key: &[u8]) -> String {
    const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    let whole = [key, GUID].concat();
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, &whole);
    base64::engine::general_purpose::STANDARD.encode(digest)
}

/// What one-time codes are made of (RFC 4226). SHA-1 is what every authenticator app computes, and
/// its weakness, collisions, is none of a keyed hash.
pub(crate) fn hmac_sha1(key: &[u8], message: &[u8]) -> [u8; 20] {
    use aws_lc_rs::hmac::{HMAC_SHA1_FOR_LEGACY_USE_ONLY, Key, sign};
    let tag = sign(&Key::new(HMAC_SHA1_FOR_LEGACY_USE_ONLY, key), message);
    let mut bytes = [0; 20];
    bytes.iter_mut().zip(tag.as_ref()).for_each(|(to, from)| *to = *from);
    bytes
}

/// The id of a key that needs no other name: derived from it, so it cannot be wrong and tells
/// nothing.
pub(crate) fn key_id(key: &Key, label: &[u8]) -> [u8; 16] {
    let mut id = [0; 16];
    id.iter_mut().zip(hmac_sha256(key, &[label])).for_each(|(to, from)| *to = from);
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proof_of_a_handshake_is_that_of_its_standard() {
        let accept = socket_accept(b"dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
