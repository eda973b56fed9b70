//! Secrets that hold the same value: what their fingerprints hide on purpose. Each value is opened
//! for a moment and compared by a keyed hash, whose key is made for this one look and kept nowhere.
//! Must never answer with anything but which secrets belong together.

use std::collections::HashMap;

use uuid::Uuid;

use super::{Vault, VaultError};
use crate::crypto::{self, hmac_sha256};
use crate::secret::Key;

impl Vault {
    /// Groups of two and more whose values in service share a field's value. One that does not
    /// open belongs to none.
    pub(crate) async fn twins(&self) -> Result<Vec<Vec<Uuid>>, VaultError> {
        let key = Key::fill_with(crypto::fill_random)?;
        let mut groups: HashMap<[u8; 32], Vec<Uuid>> = HashMap::new();
        for stored in &self.store.secrets().await?.rows {
            let Ok(Some(fresh)) = self.open_stored(stored) else { continue };
            for (_, value) in fresh.all().unwrap_or_default() {
                let ids = groups.entry(hmac_sha256(&key, &[value.expose()])).or_default();
                if ids.last() != Some(&stored.secret.id) {
                    ids.push(stored.secret.id);
                }
            }
        }
        let mut twins: Vec<Vec<Uuid>> = groups.into_values().filter(|ids| ids.len() > 1).collect();
        twins.iter_mut().for_each(|ids| ids.sort_unstable());
        twins.sort_unstable();
        twins.dedup();
        Ok(twins)
    }
}
