//! A master key that this process holds itself, and the envelopes that it makes.
//! Must never show the key; its id is derived from it, so that it needs no place of its own and
//! cannot be wrong.

use super::{Context, KmsError};
use crate::crypto::{self, CryptoError, Layer, Parent, label};
use crate::secret::Key;
use crate::store::{MasterId, MasterKind};

pub(crate) struct LocalKey {
    kind: MasterKind,
    id: [u8; 16],
    key: Key,
}

impl LocalKey {
    pub(super) fn new(kind: MasterKind, key: Key) -> Self {
        Self { kind, id: crypto::key_id(&key, label::MASTER_KEY_ID), key }
    }

    pub(super) fn id(&self) -> MasterId {
        MasterId { kind: self.kind, id: hex(&self.id) }
    }

    pub(super) fn wrap(&self, context: &Context<'_>, key: &Key) -> Result<Vec<u8>, KmsError> {
        let layer = Layer::KeyEncryptionKey;
        Ok(crypto::seal(self.parent(), layer, &context.aad(), key.expose())?)
    }

    pub(super) fn unwrap(&self, context: &Context<'_>, wrapped: &[u8]) -> Result<Key, KmsError> {
        let layer = Layer::KeyEncryptionKey;
        let opened = crypto::open(self.parent(), layer, &context.aad(), wrapped)?;
        Ok(Key::from_slice(opened.expose()).ok_or(CryptoError::Malformed)?)
    }

    fn parent(&self) -> Parent<'_> {
        Parent { id: self.id, key: &self.key }
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
