//! The envelope format and every derivation, on one page. Nothing outside this module names a
//! cipher or a hash. Must never seal without associated data, and never return plaintext before
//! both the commitment and the tag were verified. One byte layout for all layers, network order:
//! `"SGE1" | format u8 | suite u8 | layer u8 | parent key id 16 | salt 32 | commitment 32 |
//! nonce 12 | length u32 | ciphertext | tag 16`
//!
//! `k_enc ‖ k_com = HKDF-Expand-SHA-512(parent, "sealgate/v1/" ‖ suite ‖ layer ‖ salt ‖
//! SHA-256(aad), 64)`; AES-256-GCM under `k_enc` with associated data `header ‖ aad`, the header
//! being all that stands before the ciphertext.

mod aad;
mod checksum;
mod digest;
mod fault;
mod mark;
mod password;
mod primitive;
mod random;
mod seal;
mod sign;
mod stretch;
pub(crate) mod token;
#[cfg(test)]
mod vectors;
mod webhooks;

pub(crate) use self::aad::Aad;
pub(crate) use self::checksum::crc32;
pub(crate) use self::digest::{Sha256, hmac_sha1, hmac_sha256, key_id, sha256, socket_accept};
pub(crate) use self::fault::CryptoError;
pub(crate) use self::mark::Marking;
pub(crate) use self::password::{PasswordHash, hash_password};
pub(crate) use self::random::{fill_random, random_bytes};
pub(crate) use self::seal::{Parent, Prepared, is_envelope, open, prepare, seal};
pub(crate) use self::sign::{Signer, is_signed};
pub(crate) use self::stretch::{Effort, SALT_BYTES, stretch};
pub(crate) use self::webhooks::{webhook_key, webhook_secret, webhook_signature};

/// What an envelope holds; part of its header and of its key's derivation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layer {
    /// A category's key-encryption key, sealed under the master key.
    KeyEncryptionKey,
    /// A secret's data key, sealed under its category's key-encryption key.
    DataKey,
    /// One version of a secret's fields, sealed under the secret's data key.
    Value,
    /// A master key, sealed under what a passphrase was stretched to.
    MasterKey,
    /// The list of what a category holds, sealed under its key-encryption key.
    Inventory,
    /// The seed of a key that signs tokens, sealed under the key-encryption key of its category.
    SigningKey,
    /// The secret of an operator's codes, sealed under the key by which operators' rows are judged.
    OperatorCodes,
    /// Where alerts are delivered, sealed under the same key.
    AlertDestination,
}

impl Layer {
    pub(crate) fn byte(self) -> u8 {
        match self {
            Self::KeyEncryptionKey => 1,
            Self::DataKey => 2,
            Self::Value => 3,
            Self::MasterKey => 4,
            Self::Inventory => 5,
            Self::SigningKey => 6,
            Self::OperatorCodes => 7,
            Self::AlertDestination => 8,
        }
    }
}

/// Every label under which bytes are derived or hashed, so that no two uses can meet.
pub(crate) mod label {
    pub(crate) const ENVELOPE: &[u8] = b"sealgate/v1/";
    pub(crate) const MASTER_KEY_ID: &[u8] = b"sealgate/v1/master-key-id";
    pub(crate) const KEK_WRAPS: &[u8] = b"sealgate/v1/kek-wraps";
    pub(crate) const CLIENT_KEY_ROW: &[u8] = b"sealgate/v1/client-key-row";
    pub(crate) const CLIENT_TOKEN_ROW: &[u8] = b"sealgate/v1/client-token-row";
    pub(crate) const OPERATOR_ROW: &[u8] = b"sealgate/v1/operator-row";
    pub(crate) const OPERATOR_SESSION: &[u8] = b"sealgate/v1/operator-session";
    pub(crate) const OPERATOR_CODES: &[u8] = b"sealgate/v1/operator-codes";
    pub(crate) const ALERT_DESTINATION: &[u8] = b"sealgate/v1/alert-destination";
    pub(crate) const RENEWAL_ROW: &[u8] = b"sealgate/v1/renewal-row";
    pub(crate) const RECOVERY_CODE: &[u8] = b"sealgate/v1/recovery-code";
    pub(crate) const PROVIDER_LIST: &[u8] = b"sealgate/v1/provider-list";
    /// Of a job on the key hierarchy.
    pub(crate) const KEY_JOB_ROW: &[u8] = b"sealgate/v1/key-job-row";
    pub(crate) const KEPT_ANSWER: &[u8] = b"sealgate/v1/kept-answer";
    pub(crate) const CLIENT_KEY_SEALS: &[u8] = b"sealgate/v1/client-key-seals";
    pub(crate) const PASSPHRASE_ID: &[u8] = b"sealgate/v1/passphrase-id";
    pub(crate) const DATA_KEY_ID: &[u8] = b"sealgate/v1/data-key-id";
    pub(crate) const FINGERPRINT: &[u8] = b"sealgate/v1/fingerprint";
    pub(crate) const RECORD: &[u8] = b"sealgate/v1/record";
    pub(crate) const CHECKPOINT: &[u8] = b"sealgate/v1/checkpoint";
    pub(crate) const DESTINATIONS: &[u8] = b"sealgate/v1/destinations";
}
