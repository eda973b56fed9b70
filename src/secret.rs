//! Bytes that wipe themselves and cannot be printed, copied by accident or serialised.
//! Keys lie in locked memory that no dump holds (`memory`). The only door is `expose`, so a search
//! for that word lists every place that sees a secret.
//! Must never gain `Debug`, `Display`, `Clone` or a serde implementation.

mod kept;
mod memory;
mod needle;
mod wiping;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

pub(crate) use self::kept::KeptBytes;
pub use self::memory::{Locked, Protection, prepare, protection};
pub(crate) use self::needle::{Needles, Sighting, begun_at};
pub(crate) use self::wiping::{
    give_back, leaving_nothing, spare_buffers, spare_nothing, wiping_all,
};

/// A secret of any length. Wiped when dropped; its capacity never grows, so no copy is left behind.
///
/// ```compile_fail
/// let secret = sealgate::secret::SecretBytes::copy_of(b"hidden");
/// println!("{secret:?}");
/// ```
/// ```compile_fail
/// let secret = sealgate::secret::SecretBytes::copy_of(b"hidden");
/// let twin = secret.clone();
/// ```
/// ```compile_fail
/// let secret = sealgate::secret::SecretBytes::copy_of(b"hidden");
/// println!("{secret}");
/// ```
/// ```compile_fail
/// let secret = sealgate::secret::SecretBytes::copy_of(b"hidden");
/// serde_json::to_string(&secret).unwrap();
/// ```
pub struct SecretBytes(Zeroizing<Vec<u8>>);

impl SecretBytes {
    /// Takes the vector over; the caller keeps no copy.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Copies out of a place that somebody else wipes.
    pub fn copy_of(bytes: &[u8]) -> Self {
        Self(Zeroizing::new(bytes.to_vec()))
    }

    /// Takes a string over and wipes it through this value.
    pub fn from_string(text: String) -> Self {
        Self(Zeroizing::new(text.into_bytes()))
    }

    /// The one door to the plain bytes.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The plain bytes, where text is needed. None if they are not UTF-8.
    pub fn expose_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    /// Hands the wiping buffer over to somebody who owns the last copy.
    pub fn into_zeroizing(self) -> Zeroizing<Vec<u8>> {
        self.0
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<Zeroizing<Vec<u8>>> for SecretBytes {
    fn from(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(bytes)
    }
}

/// A 256-bit key in protected memory; moving it moves a pointer.
///
/// ```compile_fail
/// let key = sealgate::secret::Key::copy_of(&[0; 32]);
/// println!("{key:?}");
/// ```
pub struct Key(Locked<[u8; 32]>);

impl Key {
    pub fn copy_of(bytes: &[u8; 32]) -> Self {
        let mut key = Self(Locked::new([0; 32]));
        key.0.copy_from_slice(bytes);
        key
    }

    /// None if the slice is not 32 bytes long.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        let array: &[u8; 32] = bytes.try_into().ok()?;
        Some(Self::copy_of(array))
    }

    /// Fills a new key in place.
    pub fn fill_with<E>(fill: impl FnOnce(&mut [u8]) -> Result<(), E>) -> Result<Self, E> {
        let mut key = Self(Locked::new([0; 32]));
        fill(&mut key.0[..])?;
        Ok(key)
    }

    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl Protection {
    /// What it means, for people.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Secret => "key material lies in memory that not even the kernel reads",
            Self::Locked => "key material lies in locked memory, in no core file",
            Self::Unlocked => "key material may be swapped out: memory cannot be locked",
            Self::Overflowing => {
                "some key material lies in ordinary memory: the locked one is full"
            }
        }
    }

    /// What to do; None where nothing is to be done.
    pub fn remedy(self) -> Option<&'static str> {
        match self {
            Self::Secret | Self::Locked => None,
            Self::Unlocked => Some(
                "raise the process' limit on locked memory to 8 MiB (LimitMEMLOCK=8M in a systemd unit,                  --ulimit memlock=8388608 for a container, ulimit -l in a shell), or turn swap off",
            ),
            Self::Overflowing => Some(
                "raise vault.locked_memory_bytes, and the process' limit on locked memory with it                  (LimitMEMLOCK, --ulimit memlock, ulimit -l)",
            ),
        }
    }
}

/// Equality whose time depends on the lengths alone.
pub fn same(left: &[u8], right: &[u8]) -> bool {
    left.ct_eq(right).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equality_compares_content_and_length() {
        assert!(same(b"abc", b"abc"));
        assert!(!same(b"abc", b"abd"));
        assert!(!same(b"abc", b"abcd"));
    }

    #[test]
    fn a_key_is_exactly_thirty_two_bytes() {
        assert!(Key::from_slice(&[1; 31]).is_none());
        assert!(Key::from_slice(&[1; 33]).is_none());
        assert_eq!(Key::from_slice(&[1; 32]).map(|key| *key.expose()), Some([1; 32]));
    }
}
