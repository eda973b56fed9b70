//! The sealed list of what a category holds: a digest for each secret and its versions, numbered by
//! epochs, under the category's key-encryption key. Rows that were deleted, inserted, edited or
//! rolled back differ from it, and are named. Must never be mended by itself: what differs stays a
//! finding until the secret is destroyed.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::keyring::{Kek, Keyring};
use super::{VaultError, crypto};
use crate::crypto::{Aad, CryptoError, Layer};
use crate::secret::{Key, SecretBytes};
use crate::store::{InventoryRow, SecretRow, StoredSecret, VersionRow};

/// One category's list, opened.
pub(super) struct Inventory {
    category: String,
    epoch: u64,
    /// Keys the fingerprints of this category; it outlives every rotation and every rekeying.
    pub(super) fingerprint_key: Key,
    entries: BTreeMap<Uuid, [u8; 32]>,
}

/// What the list says of a row that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    AsLeft,
    /// The same, of a list from before owner, labels and dates were bound.
    AsLeftBefore,
    /// The row was edited, or is one of an earlier time.
    Differs,
    /// The list knows of no such secret.
    Unlisted,
}

const ENTRY_BYTES: usize = 48;

impl Inventory {
    /// Of a category in which nothing was ever stored.
    pub(super) fn begin(category: &str) -> Result<Self, CryptoError> {
        Ok(Self {
            category: category.to_owned(),
            epoch: 0,
            fingerprint_key: Key::fill_with(crypto::fill_random)?,
            entries: BTreeMap::new(),
        })
    }

    /// Taken on trust from what stands: where there was no list, or one that does not open.
    pub(super) fn of(category: &str, secrets: &[&StoredSecret]) -> Result<Self, CryptoError> {
        let mut inventory = Self::begin(category)?;
        for stored in secrets {
            inventory.put(&stored.secret, &stored.versions);
        }
        Ok(inventory)
    }

    pub(super) fn open(keyring: &Keyring, row: &InventoryRow) -> Result<Self, CryptoError> {
        let kek = keyring.known(row.kek_id).ok_or(CryptoError::WrongParent)?;
        let aad = aad(keyring.installation(), row);
        let opened = crypto::open(kek.parent(), Layer::Inventory, &aad, &row.sealed)?;
        let (key, list) =
            opened.expose().split_first_chunk::<32>().ok_or(CryptoError::Malformed)?;
        let (entries, []) = list.as_chunks::<ENTRY_BYTES>() else {
            return Err(CryptoError::Malformed);
        };
        let entry = |bytes: &[u8; ENTRY_BYTES]| {
            let (id, digest) = bytes.split_first_chunk::<16>()?;
            Some((Uuid::from_bytes(*id), *digest.first_chunk::<32>()?))
        };
        Ok(Self {
            category: row.category.clone(),
            epoch: row.epoch,
            fingerprint_key: Key::copy_of(key),
            entries: entries.iter().filter_map(entry).collect(),
        })
    }

    /// The next epoch, sealed under this key.
    pub(super) fn next(&self, keyring: &Keyring, kek: &Kek) -> Result<InventoryRow, CryptoError> {
        self.sealed_as(self.epoch + 1, keyring, kek)
    }

    /// Of whatever epoch: in the place of a list that cannot be used, or in a restored house.
    pub(super) fn sealed_as(
        &self,
        epoch: u64,
        keyring: &Keyring,
        kek: &Kek,
    ) -> Result<InventoryRow, CryptoError> {
        let mut row = InventoryRow {
            category: self.category.clone(),
            epoch,
            kek_id: kek.id(),
            sealed: Vec::new(),
        };
        let mut plain = Vec::with_capacity(32 + self.entries.len() * ENTRY_BYTES);
        plain.extend_from_slice(self.fingerprint_key.expose());
        for (id, digest) in &self.entries {
            plain.extend_from_slice(id.as_bytes());
            plain.extend_from_slice(digest);
        }
        let plain = SecretBytes::new(plain);
        let aad = aad(keyring.installation(), &row);
        row.sealed = crypto::seal(kek.parent(), Layer::Inventory, &aad, plain.expose())?;
        Ok(row)
    }

    pub(super) fn put(&mut self, secret: &SecretRow, versions: &[VersionRow]) {
        self.entries.insert(secret.id, digest(secret, versions));
    }

    /// As lists had it at first.
    #[cfg(test)]
    pub(super) fn put_as_before(&mut self, secret: &SecretRow, versions: &[VersionRow]) {
        self.entries.insert(secret.id, former_digest(secret, versions));
    }

    /// False if it was not listed.
    pub(super) fn strike(&mut self, id: Uuid) -> bool {
        self.entries.remove(&id).is_some()
    }

    pub(super) fn lists(&self, id: Uuid) -> bool {
        self.entries.contains_key(&id)
    }

    pub(super) fn judge(&self, stored: &StoredSecret) -> Verdict {
        match self.entries.get(&stored.secret.id) {
            None => Verdict::Unlisted,
            Some(listed) if *listed == digest(&stored.secret, &stored.versions) => Verdict::AsLeft,
            Some(listed) if *listed == former_digest(&stored.secret, &stored.versions) => {
                Verdict::AsLeftBefore
            }
            Some(_) => Verdict::Differs,
        }
    }

    /// An error unless the rows are as they were left: what was edited must not be taken over.
    pub(super) fn demand(&self, stored: &StoredSecret) -> Result<(), VaultError> {
        match self.judge(stored) {
            Verdict::AsLeft | Verdict::AsLeftBefore => Ok(()),
            Verdict::Differs | Verdict::Unlisted => Err(VaultError::Tampered),
        }
    }

    /// Listed secrets that are not among these.
    pub(super) fn missing<'a>(
        &'a self,
        there: &'a dyn Fn(Uuid) -> bool,
    ) -> impl Iterator<Item = Uuid> + 'a {
        self.entries.keys().copied().filter(move |id| !there(*id))
    }
}

/// Everything that is stored of a secret but what changes with use, `last_used_at`. The data key's
/// wrap is left out: it is bound to its secret by itself, and rewrapping must not touch a list.
fn digest(secret: &SecretRow, versions: &[VersionRow]) -> [u8; 32] {
    let mut labels: Vec<_> = secret.labels.iter().collect();
    labels.sort();
    let mut parts = Aad::new("inventory-entry-2")
        .with(&former_digest(secret, versions))
        .with_number(u64::from(secret.owner.is_some()))
        .with(secret.owner.as_deref().unwrap_or_default().as_bytes())
        .with_number(u64::from(secret.expires_at.is_some()))
        .with(&secret.expires_at.unwrap_or_default().to_be_bytes())
        .with(&secret.created_at.to_be_bytes())
        .with(secret.created_by.as_bytes())
        .with(&secret.updated_at.to_be_bytes())
        .with_number(labels.len() as u64);
    for (name, value) in labels {
        parts = parts.with(name.as_bytes()).with(value.as_bytes());
    }
    for version in versions {
        parts = parts.with(&version.created_at.to_be_bytes()).with(version.created_by.as_bytes());
    }
    crypto::sha256(parts.as_bytes())
}

/// Everything by which a secret is chosen and opened: all that lists had at first.
fn former_digest(secret: &SecretRow, versions: &[VersionRow]) -> [u8; 32] {
    let mut parts = Aad::new("inventory-entry")
        .with(secret.id.as_bytes())
        .with(secret.provider.as_bytes())
        .with(secret.name.as_bytes())
        .with(secret.category.as_bytes())
        .with_number(u64::from(secret.active))
        .with(secret.fingerprint.as_bytes());
    for version in versions {
        parts = parts
            .with_number(u64::from(version.version))
            .with(version.state.as_str().as_bytes())
            .with(&version.destinations)
            .with(&crypto::sha256(version.envelope.as_deref().unwrap_or_default()));
    }
    crypto::sha256(parts.as_bytes())
}

fn aad(installation: Uuid, row: &InventoryRow) -> Aad {
    Aad::new("inventory")
        .with(installation.as_bytes())
        .with(row.category.as_bytes())
        .with(row.kek_id.as_bytes())
        .with_number(row.epoch)
}
