//! Client keys: `mdw_`, 40 random base62 characters, 6 base62 digits of the CRC-32 of what precedes
//! them. Short-lived tokens: the same behind `mdt_`. Only the digest and the preview leave this
//! file. Must never change the prefixes: scanners know them.

use super::fault::CryptoError;
use super::random::fill_random;
use super::sha256;
use crate::secret::SecretBytes;

pub(crate) const PREFIX: &[u8] = b"mdw_";
const TOKEN_PREFIX: &[u8] = b"mdt_";
/// How every JWT of ours begins: `{"alg":"EdDSA","typ":"at+jwt","kid":` in base64.
const JWT_START: &[u8] = b"eyJhbGciOiJFZERTQSIsInR5cCI6ImF0K2p3dCIsImtpZCI6";
/// Its header and its signature alone are longer.
const LEAST_JWT_BYTES: usize = 190;
/// Longer ones were never issued.
pub(crate) const MOST_JWT_BYTES: usize = 4096;
pub(crate) const KEY_BYTES: usize = 50;
const RANDOM_CHARACTERS: usize = 40;
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A new client key: shown once, then only its digest is known.
pub(crate) struct Minted {
    pub(crate) key: SecretBytes,
    pub(crate) digest: [u8; 32],
    /// The first eight characters.
    pub(crate) preview: String,
}

pub(crate) fn mint() -> Result<Minted, CryptoError> {
    mint_behind(PREFIX)
}

pub(crate) fn mint_token() -> Result<Minted, CryptoError> {
    mint_behind(TOKEN_PREFIX)
}

fn mint_behind(prefix: &[u8]) -> Result<Minted, CryptoError> {
    let mut key = Vec::with_capacity(KEY_BYTES);
    key.extend_from_slice(prefix);
    while key.len() < PREFIX.len() + RANDOM_CHARACTERS {
        push_unbiased(&mut key)?;
    }
    let checksum = checksum_digits(&key);
    key.extend_from_slice(&checksum);
    let key = SecretBytes::new(key);
    let preview = key.expose_str().and_then(|text| text.get(..8)).unwrap_or_default().to_owned();
    Ok(Minted { digest: digest(key.expose()), preview, key })
}

/// What a client key is known by.
pub(crate) fn digest(key: &[u8]) -> [u8; 32] {
    sha256(key)
}

/// Is this, if it is anything, a short-lived token?
pub(crate) fn is_token(presented: &[u8]) -> bool {
    presented.starts_with(TOKEN_PREFIX) || is_jwt_shaped(presented)
}

/// May this be a JWT that we have signed? Whether it is one, its digest tells.
pub(crate) fn is_jwt_shaped(presented: &[u8]) -> bool {
    presented.starts_with(JWT_START)
        && presented.len() <= MOST_JWT_BYTES
        && presented.iter().all(is_of_jwt)
        && dots(presented) == 2
}

/// Does a whole JWT that we may have signed stand anywhere in here?
pub(crate) fn holds_jwt(place: &[u8]) -> bool {
    // Nearly everything is shorter, and not searched.
    if place.len() < LEAST_JWT_BYTES {
        return false;
    }
    memchr::memmem::find_iter(place, JWT_START).any(|at| {
        let from = place.get(at..).unwrap_or_default();
        let end = from.iter().position(|byte| !is_of_jwt(byte)).unwrap_or(from.len());
        from.get(..end).is_some_and(|jwt| dots(jwt) >= 2)
    })
}

fn is_of_jwt(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.".contains(byte)
}

fn dots(text: &[u8]) -> usize {
    memchr::memchr_iter(b'.', text).count()
}

/// True if the bytes have the shape of a minted key or token and their checksum is right.
pub(crate) fn is_well_formed(key: &[u8]) -> bool {
    let Some((body, checksum)) = key.split_at_checked(PREFIX.len() + RANDOM_CHARACTERS) else {
        return false;
    };
    key.len() == KEY_BYTES
        && (body.starts_with(PREFIX) || body.starts_with(TOKEN_PREFIX))
        && is_alphanumeric(body.get(PREFIX.len()..).unwrap_or_default())
        && checksum == checksum_digits(body)
}

/// Where the first well-formed key or token, or a JWT of ours, begins and ends in this text.
pub(crate) fn find_in(text: &[u8]) -> Option<(usize, usize)> {
    let opaque = memchr::memchr_iter(b'_', text).find_map(|at| {
        let start = at.checked_sub(PREFIX.len() - 1)?;
        let end = start + KEY_BYTES;
        is_well_formed(text.get(start..end)?).then_some((start, end))
    });
    // Nearly everything is shorter, and not searched.
    if text.len() < LEAST_JWT_BYTES {
        return opaque;
    }
    let signed = memchr::memmem::find_iter(text, JWT_START).find_map(|start| {
        let from = text.get(start..)?;
        let end = from.iter().position(|byte| !is_of_jwt(byte)).unwrap_or(from.len());
        (dots(from.get(..end)?) >= 2).then_some((start, start + end))
    });
    [opaque, signed].into_iter().flatten().min()
}

/// Looks at all of them, so that it looks at many at once: nearly every key is well-formed.
fn is_alphanumeric(body: &[u8]) -> bool {
    body.iter().fold(true, |all, byte| all & byte.is_ascii_alphanumeric())
}

/// Bytes of 248 and more are thrown away: 248 is the largest multiple of 62 that a byte reaches.
fn push_unbiased(key: &mut Vec<u8>) -> Result<(), CryptoError> {
    let mut byte = [0_u8; 1];
    fill_random(&mut byte)?;
    let [byte] = byte;
    if byte < 248
        && let Some(character) = ALPHABET.get(usize::from(byte % 62))
    {
        key.push(*character);
    }
    Ok(())
}

fn checksum_digits(body: &[u8]) -> [u8; 6] {
    let mut rest = crc32fast::hash(body);
    let mut digits = [b'0'; 6];
    for digit in digits.iter_mut().rev() {
        let index = usize::try_from(rest % 62).unwrap_or_default();
        *digit = ALPHABET.get(index).copied().unwrap_or(b'0');
        rest /= 62;
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minted_key_has_the_contracts_shape() {
        let minted = mint().unwrap();
        let key = minted.key.expose();
        assert_eq!(key.len(), 50);
        assert!(is_well_formed(key));
        assert_eq!(minted.preview.len(), 8);
        assert_eq!(minted.digest, digest(key));
        let token = mint_token().unwrap();
        assert!(is_well_formed(token.key.expose()) && is_token(token.key.expose()));
        assert!(!is_token(key));
    }

    #[test]
    fn the_checksum_is_the_crc_in_base_sixty_two() {
        // CRC-32 (IEEE) of "123456789" is 0xCBF43926, a published check value.
        assert_eq!(&checksum_digits(b"123456789"), b"3jZRME");
    }

    #[test]
    fn a_changed_character_is_seen_without_a_look_up() {
        let mut key = mint().unwrap().key.expose().to_vec();
        key[10] = if key[10] == b'a' { b'b' } else { b'a' };
        assert!(!is_well_formed(&key));
        assert!(!is_well_formed(b"mdw_short"));
    }
}
