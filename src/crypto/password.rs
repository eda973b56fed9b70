//! Passwords as they are kept: Argon2id over a salt of their own, written down with what it cost
//! (`$argon2id$v=19$m=…,t=…,p=…$salt$hash`), so that the cost can be raised later.
//! Must never run with less than the least of `stretch`, nor compare in a time that tells anything.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use super::fault::CryptoError;
use super::random::random_bytes;
use super::stretch::{Effort, SALT_BYTES, stretch};
use crate::secret::{SecretBytes, same};

/// A password's hash as it was written down.
#[derive(Clone, Copy)]
pub(crate) struct PasswordHash {
    effort: Effort,
    salt: [u8; SALT_BYTES],
    hash: [u8; 32],
}

/// What a password costs today, here and nowhere else.
const EFFORT: Effort = Effort::PRESENT;

/// Takes a good part of a second, and memory: not for a thread that serves calls.
pub(crate) fn hash_password(password: &SecretBytes) -> Result<String, CryptoError> {
    let salt: [u8; SALT_BYTES] = random_bytes()?;
    let hash = *stretch(password, &salt, EFFORT)?.expose();
    Ok(PasswordHash { effort: EFFORT, salt, hash }.text())
}

impl PasswordHash {
    /// Stands in for that of somebody whom nobody knows: no password gives it, and to find that out
    /// takes as long.
    pub(crate) const OF_NOBODY: Self =
        Self { effort: EFFORT, salt: [0x5a; SALT_BYTES], hash: [0; 32] };

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('$');
        let head = [parts.next()?, parts.next()?, parts.next()?];
        let (effort, salt, hash) = (parts.next()?, parts.next()?, parts.next()?);
        if head != ["", "argon2id", "v=19"] || parts.next().is_some() {
            return None;
        }
        let mut numbers = effort.split(',');
        let mut number = |name: &str| numbers.next()?.strip_prefix(name)?.parse::<u32>().ok();
        let effort =
            Effort { memory_kib: number("m=")?, passes: number("t=")?, lanes: number("p=")? };
        let bytes = |text: &str| STANDARD_NO_PAD.decode(text).ok();
        let salt = bytes(salt)?.try_into().ok()?;
        let hash = bytes(hash)?.try_into().ok()?;
        (numbers.next().is_none() && effort.is_within_bounds()).then_some(Self {
            effort,
            salt,
            hash,
        })
    }

    /// As slow as making one.
    pub(crate) fn is_of(&self, password: &SecretBytes) -> Result<bool, CryptoError> {
        let stretched = stretch(password, &self.salt, self.effort)?;
        Ok(same(stretched.expose(), &self.hash) && self.hash != Self::OF_NOBODY.hash)
    }

    /// Does a guess cost less than it would today?
    pub(crate) fn is_outdated(&self) -> bool {
        self.effort.is_outdated()
    }

    fn text(&self) -> String {
        let Effort { memory_kib, passes, lanes } = self.effort;
        let (salt, hash) = (STANDARD_NO_PAD.encode(self.salt), STANDARD_NO_PAD.encode(self.hash));
        format!("$argon2id$v=19$m={memory_kib},t={passes},p={lanes}${salt}${hash}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_known_again_and_another_is_not() {
        let text = hash_password(&SecretBytes::copy_of(b"a long walk home")).unwrap();
        assert!(text.starts_with("$argon2id$v=19$m=65536,t=3,p=4$"), "{text}");
        let kept = PasswordHash::parse(&text).unwrap();
        assert_eq!(kept.text(), text);
        assert!(!kept.is_outdated());
        assert_eq!(kept.is_of(&SecretBytes::copy_of(b"a long walk home")), Ok(true));
        assert_eq!(kept.is_of(&SecretBytes::copy_of(b"a long walk hom")), Ok(false));
        let nobody = PasswordHash::OF_NOBODY;
        assert_eq!(nobody.is_of(&SecretBytes::copy_of(b"a long walk home")), Ok(false));
    }

    #[test]
    fn what_is_no_hash_or_costs_too_little_is_not_read() {
        let good = PasswordHash::OF_NOBODY.text();
        assert!(PasswordHash::parse(&good).is_some());
        for wrong in [
            "",
            "secret",
            &good.replace("argon2id", "argon2i"),
            &good.replace("m=65536", "m=8"),
            &good.replace("m=65536", "m=99999999"),
            &good.replace("t=3", "t=1"),
            &good.replace("t=3,", ""),
            &good.replace("p=4", "p=4,x=1"),
            &format!("{good}$x"),
            &good[..good.len() - 4],
        ] {
            assert!(PasswordHash::parse(wrong).is_none(), "{wrong}");
        }
    }
}
