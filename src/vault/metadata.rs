//! Lists from before a secret's owner, labels, dates and end were bound: what stands is bound at
//! the first start that finds such a list, as it was for all else when lists began. Must never bind
//! a row that differs from its list in what that has bound.

use super::inventory::Verdict;
use super::keyring::Keyring;
use super::stock::Stock;
use super::{Vault, VaultError};
use crate::store::{self, StoredSecret};

impl Vault {
    pub(super) async fn bind_metadata(
        &self,
        keyring: &Keyring,
        stock: &mut Stock,
    ) -> Result<(), VaultError> {
        let categories: Vec<String> = stock.inventories.keys().cloned().collect();
        for category in categories {
            // Of this node's own copy nothing is written down again.
            let is_sound = stock.sound().iter().any(|row| row.category == category);
            let Some(kek) = keyring.known_active(&category).filter(|_| is_sound) else { continue };
            let Some(mut inventory) = stock.inventories.remove(&category) else { continue };
            let is_former = |stored: &&StoredSecret| {
                stored.secret.category == category
                    && inventory.judge(stored) == Verdict::AsLeftBefore
            };
            let former: Vec<StoredSecret> =
                stock.loaded.rows.iter().filter(is_former).cloned().collect();
            if former.is_empty() {
                stock.inventories.insert(category, inventory);
                continue;
            }
            for stored in &former {
                inventory.put(&stored.secret, &stored.versions);
            }
            let next = inventory.next(keyring, &kek)?;
            match self.store.put_inventory(&next).await {
                Ok(()) => stock.take(&category, inventory, next),
                // Another node has just done the same, or a list of this node's own copy stands.
                Err(store::Error::Stale) => {
                    stock.inventories.insert(category, inventory);
                }
                Err(fault) => return Err(fault.into()),
            }
        }
        Ok(())
    }
}
