//! One-time codes (RFC 6238: SHA-1, six digits, thirty seconds, a step before and after) and the
//! recovery codes that stand in for them. Written here over the one HMAC of `crypto`: it is forty
//! lines that two RFCs give vectors for, and a crate would bring a second SHA-1 and a second HMAC.
//! Must never take a step twice, nor compare in a time that tells anything.

use uuid::Uuid;

use crate::crypto::{self, CryptoError, Sha256, hmac_sha1, label};
use crate::secret::{SecretBytes, same};

const STEP_MS: i64 = 30_000;
const SECRET_BYTES: usize = 20;
const DIGITS: usize = 6;
/// RFC 4648, as authenticator apps read it.
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
/// Nothing in it is taken for another when it is copied by hand.
const BY_HAND: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const RECOVERY_CODES: usize = 10;
/// Eighty bits: nobody guesses one, so its plain digest may be kept.
const RECOVERY_BYTES: usize = 10;
const DIGEST_BYTES: usize = 32;

/// What somebody typed, without what people put in between.
pub(super) struct Typed(SecretBytes);

/// Ten codes that are shown this once, and what is kept of them.
pub(super) struct Recovery {
    pub(super) shown: Vec<SecretBytes>,
    pub(super) kept: Vec<u8>,
}

impl Typed {
    pub(super) fn of(code: &SecretBytes) -> Self {
        let plain = code.expose().iter().filter(|byte| !b" -".contains(byte));
        let like = |byte: &u8| match byte.to_ascii_lowercase() {
            b'o' => b'0',
            b'i' | b'l' => b'1',
            byte => byte,
        };
        Self(SecretBytes::new(plain.map(like).collect()))
    }

    /// The step of the code that this is, if it is one that was not used yet.
    pub(super) fn step(&self, secret: &SecretBytes, now_ms: i64, used: i64) -> Option<i64> {
        let now = now_ms.div_euclid(STEP_MS);
        let mut found = None;
        // All three, whichever it is.
        for step in [now - 1, now, now + 1] {
            if same(&code(secret, step), self.0.expose()) && step > used {
                found = Some(step);
            }
        }
        found
    }

    /// The recovery codes that are left when this one is used; None where it is none of them.
    pub(super) fn recovers(&self, operator: Uuid, kept: &[u8]) -> Option<Vec<u8>> {
        let digest = digest(operator, self.0.expose());
        let rest: Vec<u8> = kept
            .chunks(DIGEST_BYTES)
            .filter(|chunk| !same(chunk, &digest))
            .flatten()
            .copied()
            .collect();
        (rest.len() < kept.len()).then_some(rest)
    }
}

/// What codes are made of.
pub(super) fn fresh_secret() -> Result<SecretBytes, CryptoError> {
    Ok(SecretBytes::new(crypto::random_bytes::<SECRET_BYTES>()?.to_vec()))
}

pub(super) fn fresh_recovery(operator: Uuid) -> Result<Recovery, CryptoError> {
    let mut recovery = Recovery { shown: Vec::new(), kept: Vec::new() };
    for _ in 0..RECOVERY_CODES {
        let random = crypto::random_bytes::<RECOVERY_BYTES>()?;
        let plain = in_fives(&random, BY_HAND);
        recovery.kept.extend_from_slice(&digest(operator, plain.expose()));
        let shown: Vec<&[u8]> = plain.expose().chunks(4).collect();
        recovery.shown.push(SecretBytes::new(shown.join(&b'-')));
    }
    Ok(recovery)
}

/// How many are left.
pub(super) fn left(kept: &[u8]) -> usize {
    kept.len() / DIGEST_BYTES
}

/// As authenticator apps take it.
pub(super) fn base32(secret: &SecretBytes) -> SecretBytes {
    in_fives(secret.expose(), BASE32)
}

/// The same in the form that they read from a picture.
pub(super) fn uri(name: &str, secret: &SecretBytes) -> SecretBytes {
    let name = name.replace('@', "%40").replace('+', "%2B");
    let mut uri = format!("otpauth://totp/Sealgate:{name}?secret=").into_bytes();
    let rest = b"&issuer=Sealgate&algorithm=SHA1&digits=6&period=30";
    let secret = base32(secret);
    // Exactly as long as needed: a vector that grows leaves copies behind.
    uri.reserve_exact(secret.len() + rest.len());
    uri.extend_from_slice(secret.expose());
    uri.extend_from_slice(rest);
    SecretBytes::new(uri)
}

/// RFC 4226, 5.3.
fn code(secret: &SecretBytes, step: i64) -> [u8; DIGITS] {
    let mac = hmac_sha1(secret.expose(), &step.to_be_bytes());
    let offset = usize::from(mac.last().copied().unwrap_or(0) & 0x0f);
    let four = mac.get(offset..offset + 4).and_then(|four| four.try_into().ok());
    let mut rest = u32::from_be_bytes(four.unwrap_or_default()) & 0x7fff_ffff;
    let mut digits = [b'0'; DIGITS];
    for digit in digits.iter_mut().rev() {
        // Less than ten, so it fits.
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    digits
}

fn digest(operator: Uuid, code: &[u8]) -> [u8; DIGEST_BYTES] {
    let mut digest = Sha256::new(label::RECOVERY_CODE);
    digest.update(operator.as_bytes());
    digest.update(code);
    digest.finish()
}

/// Five bits a character; what is given is a multiple of five bytes.
fn in_fives(bytes: &[u8], alphabet: &[u8; 32]) -> SecretBytes {
    let mut text = Vec::with_capacity(bytes.len().div_ceil(5) * 8);
    for five in bytes.chunks(5) {
        let number = five.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        for place in (0..8).rev() {
            let index = usize::try_from(number >> (place * 5) & 31).unwrap_or_default();
            text.push(alphabet.get(index).copied().unwrap_or(b'0'));
        }
    }
    SecretBytes::new(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(text: &str) -> Typed {
        Typed::of(&SecretBytes::copy_of(text.as_bytes()))
    }

    /// RFC 6238, appendix B, the last six of eight digits.
    #[test]
    fn codes_are_those_of_the_standard() {
        let secret = SecretBytes::copy_of(b"12345678901234567890");
        for (seconds, expected) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(code(&secret, seconds / 30), expected.as_bytes(), "{seconds}");
        }
        assert_eq!(base32(&secret).expose(), b"GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
        let uri = uri("ada@example", &secret);
        assert!(uri.expose().starts_with(b"otpauth://totp/Sealgate:ada%40example?secret=GEZDG"));
    }

    #[test]
    fn a_code_holds_a_step_before_and_after_and_once() {
        let secret = SecretBytes::copy_of(b"12345678901234567890");
        let now_ms = 1_111_111_111_000;
        let step = now_ms / STEP_MS;
        for (away, passes) in [(-2, false), (-1, true), (0, true), (1, true), (2, false)] {
            let shown = String::from_utf8(code(&secret, step + away).to_vec()).unwrap();
            let found = typed(&shown).step(&secret, now_ms, 0);
            assert_eq!(found, passes.then_some(step + away), "{away}");
            assert_eq!(typed(&shown).step(&secret, now_ms, step + away), None, "used");
        }
        let shown = String::from_utf8(code(&secret, step).to_vec()).unwrap();
        let spaced = format!("{} {}", &shown[..3], &shown[3..]);
        assert_eq!(typed(&spaced).step(&secret, now_ms, 0), Some(step));
        assert_eq!(typed(&shown[..5]).step(&secret, now_ms, 0), None);
        assert_eq!(typed("").step(&secret, now_ms, 0), None);
    }

    #[test]
    fn a_recovery_code_is_one_of_ten_and_used_up() {
        let operator = Uuid::from_u128(7);
        let recovery = fresh_recovery(operator).unwrap();
        assert_eq!((recovery.shown.len(), left(&recovery.kept)), (10, 10));
        let shown = recovery.shown[3].expose_str().unwrap();
        assert_eq!((shown.len(), shown.matches('-').count()), (19, 3), "{shown}");
        let rest = typed(&shown.to_uppercase()).recovers(operator, &recovery.kept).unwrap();
        assert_eq!(left(&rest), 9);
        assert_eq!(typed(shown).recovers(operator, &rest), None);
        assert_eq!(typed(shown).recovers(Uuid::from_u128(8), &recovery.kept), None);
        assert_eq!(typed("123456").recovers(operator, &recovery.kept), None);
    }
}
