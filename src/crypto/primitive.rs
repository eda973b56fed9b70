//! The two primitives that an envelope is made of: AES-256-GCM in place, and HKDF-Expand-SHA-512.
//! Nothing else of the house names them, so that the published vectors run through the very
//! functions that seal. Must never leave a plaintext in the buffer of a message that is not
//! authentic.

use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::{Aes256Gcm, Nonce};
use sha2::Sha512;
use zeroize::{Zeroize, Zeroizing};

use super::fault::CryptoError;
use crate::secret::leaving_nothing;

pub(super) const TAG_BYTES: usize = 16;

/// AES-256-GCM under one key, which it wipes when it is dropped.
pub(super) struct Cipher(Aes256Gcm);

impl Cipher {
    /// The key must be 32 bytes long.
    pub(super) fn new(key: &[u8]) -> Result<Self, CryptoError> {
        Aes256Gcm::new_from_slice(key).map(Self).map_err(|_| CryptoError::Malformed)
    }

    /// Turns the plaintext into ciphertext where it stands; yields the tag.
    pub(super) fn seal_in_place(
        &self,
        nonce: [u8; 12],
        associated: &[u8],
        body: &mut [u8],
    ) -> Result<[u8; TAG_BYTES], CryptoError> {
        let nonce = Nonce::from(nonce);
        let seal = || self.0.encrypt_inout_detached(&nonce, associated, body.into());
        let sealed = leaving_nothing(seal);
        sealed.map(Into::into).map_err(|_| CryptoError::TooLarge)
    }

    /// Turns the ciphertext into plaintext where it stands; wiped where the tag is not right.
    pub(super) fn open_in_place(
        &self,
        nonce: [u8; 12],
        associated: &[u8],
        body: &mut [u8],
        tag: [u8; TAG_BYTES],
    ) -> Result<(), CryptoError> {
        let (nonce, tag) = (Nonce::from(nonce), tag.into());
        let open = || self.0.decrypt_inout_detached(&nonce, associated, (&mut *body).into(), &tag);
        let opened = leaving_nothing(open);
        opened.map_err(|_| {
            body.zeroize();
            CryptoError::NotAuthentic
        })
    }
}

/// HKDF-Expand-SHA-512. Expand alone: the parent is uniform, 32 bytes of a key or 64 of a hash.
pub(super) fn expand(parent: &[u8], info: &[&[u8]], output: &mut [u8]) -> Result<(), CryptoError> {
    // The crate demands as many bytes as the hash has; HMAC pads a shorter key with zeros, so these
    // zeros change no bit of the result.
    let mut prk = Zeroizing::new([0_u8; 64]);
    let room = prk.get_mut(..parent.len()).ok_or(CryptoError::Malformed)?;
    room.copy_from_slice(parent);
    let hkdf = hkdf::Hkdf::<Sha512>::from_prk(&prk[..]).map_err(|_| CryptoError::Malformed)?;
    hkdf.expand_multi_info(info, output).map_err(|_| CryptoError::TooLarge)
}
