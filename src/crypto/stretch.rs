//! Argon2id: a key out of a passphrase, slowly, so that whoever has the database cannot try many.
//! Must never run with less than the least that is said here: a row that somebody edited
//! must not make guessing cheap, nor take all memory.

use argon2::{Algorithm, Argon2, Block, Params, Version};
use zeroize::Zeroizing;

use super::CryptoError;
use crate::secret::{Key, SecretBytes};

/// What one guess costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Effort {
    pub(crate) memory_kib: u32,
    pub(crate) passes: u32,
    pub(crate) lanes: u32,
}

pub(crate) const SALT_BYTES: usize = 16;

impl Effort {
    /// The second recommendation of RFC 9106, several times what OWASP asks for at least.
    pub(crate) const PRESENT: Self = Self { memory_kib: 64 * 1024, passes: 3, lanes: 4 };
    /// OWASP's least.
    const LEAST: Self = Self { memory_kib: 19 * 1024, passes: 2, lanes: 1 };
    const MOST: Self = Self { memory_kib: 1024 * 1024, passes: 64, lanes: 64 };

    /// Does a guess cost less than it would today?
    pub(crate) fn is_outdated(self) -> bool {
        self.work() < Self::PRESENT.work() || self.memory_kib < Self::PRESENT.memory_kib
    }

    fn work(self) -> u64 {
        u64::from(self.memory_kib).saturating_mul(u64::from(self.passes))
    }

    /// Will `stretch` take it?
    pub(crate) fn is_within_bounds(self) -> bool {
        let within = |value, least, most| (least..=most).contains(&value);
        within(self.memory_kib, Self::LEAST.memory_kib, Self::MOST.memory_kib)
            && within(self.passes, Self::LEAST.passes, Self::MOST.passes)
            && within(self.lanes, Self::LEAST.lanes, Self::MOST.lanes)
    }
}

/// Takes a good part of a second, and memory: not for a thread that serves calls.
pub(crate) fn stretch(
    passphrase: &SecretBytes,
    salt: &[u8],
    effort: Effort,
) -> Result<Key, CryptoError> {
    if !effort.is_within_bounds() || salt.len() < SALT_BYTES {
        return Err(CryptoError::Malformed);
    }
    let params = Params::new(effort.memory_kib, effort.passes, effort.lanes, Some(32));
    let params = params.map_err(|_| CryptoError::Malformed)?;
    // Wiped, because the key is made of the last blocks in it.
    let mut memory = Zeroizing::new(vec![Block::default(); params.block_count()]);
    let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    Key::fill_with(|key| {
        let blocks = memory.as_mut_slice();
        let made = argon.hash_password_into_with_memory(passphrase.expose(), salt, key, blocks);
        made.map_err(|_| CryptoError::Malformed)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: Effort = Effort::LEAST;

    fn key(passphrase: &[u8], salt: &[u8], effort: Effort) -> Result<[u8; 32], CryptoError> {
        stretch(&SecretBytes::copy_of(passphrase), salt, effort).map(|key| *key.expose())
    }

    #[test]
    fn the_key_depends_on_passphrase_salt_and_effort() {
        let first = key(b"correct horse", &[1; 16], LEAST).unwrap();
        assert_eq!(key(b"correct horse", &[1; 16], LEAST).unwrap(), first);
        assert_ne!(key(b"correct horsf", &[1; 16], LEAST).unwrap(), first);
        assert_ne!(key(b"correct horse", &[2; 16], LEAST).unwrap(), first);
        let more = Effort { passes: 3, ..LEAST };
        assert_ne!(key(b"correct horse", &[1; 16], more).unwrap(), first);
    }

    #[test]
    fn an_effort_outside_the_bounds_is_refused() {
        for effort in [
            Effort { memory_kib: 18 * 1024, ..LEAST },
            Effort { memory_kib: u32::MAX, ..LEAST },
            Effort { passes: 1, ..LEAST },
            Effort { lanes: 0, ..LEAST },
            Effort { lanes: 65, ..LEAST },
        ] {
            assert_eq!(key(b"x", &[1; 16], effort), Err(CryptoError::Malformed), "{effort:?}");
        }
        assert_eq!(key(b"x", &[1; 15], LEAST), Err(CryptoError::Malformed));
        assert!(LEAST.is_outdated() && !Effort::PRESENT.is_outdated());
    }
}
