//! The key by which client keys are sealed in their table: it comes from the list of a category of
//! its own, so that it is rotated, moved, backed up and anchored like every other. Made once, with
//! the seals of all rows that stand; lost, no row fits. Must never be made a second time in
//! silence.

use std::sync::atomic::Ordering;

use super::anchor::Anchors;
use super::basis::{Basis, basis};
use super::inventory::Inventory;
use super::keyring::Keyring;
use super::list_faults::lost;
use super::{Vault, VaultError};
use crate::catalogue::InForce;
use crate::crypto::{hmac_sha256, label};
use crate::secret::Key;
use crate::store::{self, RowKey, Store};

/// Holds no secret; its list is there for the key that lies in it.
pub(super) const CATEGORY: &str = "client-keys";
const TRIES: u32 = 5;

impl Vault {
    /// From now on client keys are judged. With each unsealing; what does not fit is a finding.
    pub(crate) async fn judge_client_keys(&self) {
        let _changing = self.changing.lock().await;
        let outcome = match self.bound().await {
            Ok((key, is_anew)) => self.unfit(&key).await.map(|mut found| {
                if is_anew && !found.is_empty() {
                    let line = lost(CATEGORY, "is not there, though this installation is not new");
                    tracing::warn!(line, "integrity");
                    found.insert(0, line);
                }
                (key, found)
            }),
            Err(fault) => Err(store::Error::Failed { fault: fault.to_string() }),
        };
        self.unjudged.store(outcome.is_err(), Ordering::Relaxed);
        // Nothing passes that cannot be judged; it is tried again within a second.
        let (key, found) = outcome.unwrap_or_else(|fault| {
            let line = format!("client keys cannot be judged, and all are refused: {fault}");
            tracing::error!(line, "integrity");
            (RowKey::Lost, vec![line])
        });
        self.seal_rows_by(key);
        *self.client_findings() = found;
        self.list_providers().await;
    }

    /// Of client keys and of the console's operators, whose rows hang on the same key.
    async fn unfit(&self, key: &RowKey) -> Result<Vec<String>, store::Error> {
        let mut found = self.store.unfit_client_keys(key).await?;
        // Callers do not wait for a table that concerns the console alone.
        found.extend(self.store.unfit_operators(key).await.unwrap_or_else(|fault| {
            vec![format!("operators cannot be judged, so that nobody signs in: {fault}")]
        }));
        found.extend(self.store.unfit_destinations(key).await.unwrap_or_else(|fault| {
            vec![format!("destinations of alerts cannot be judged: {fault}")]
        }));
        Ok(found)
    }

    /// Stored providers are judged before any call is served. Where no key was ever made, nothing
    /// is.
    pub(super) async fn judge_providers(&self, keyring: &Keyring) -> Result<(), VaultError> {
        judge_providers((&self.store, keyring), &self.catalogue, &self.anchors).await
    }

    /// The first list of stored providers, where there was never one.
    async fn list_providers(&self) {
        let Ok(unsealed) = self.unsealed() else { return };
        let keyring = unsealed.keyring.share();
        drop(unsealed);
        let outcome = match self.judge_providers(&keyring).await {
            Ok(()) => self.catalogue.begin_list().await.map_err(VaultError::from),
            fault @ Err(_) => fault,
        };
        let outcome = match outcome {
            Ok(()) => self.judge_providers(&keyring).await,
            fault @ Err(_) => fault,
        };
        if let Err(fault) = outcome {
            tracing::error!(%fault, "stored providers cannot be judged");
        }
        self.anchors.sees_providers(self.catalogue.list());
        if let Err(fault) = self.anchors.advance(&[]) {
            tracing::error!(%fault, "the anchors of the inventories cannot be written");
        }
        if self.is_sealed() {
            self.catalogue.judge_nothing();
        }
    }

    /// Sealed meanwhile, the key goes like all others.
    fn seal_rows_by(&self, key: RowKey) {
        self.store.seal_rows_by(key);
        if self.is_sealed() {
            self.store.seal_rows_by(RowKey::Absent);
        }
    }

    /// The same with whatever has become of the list, another node's doing for example.
    pub(super) async fn take_row_key(&self, keyring: &Keyring) -> Result<(), VaultError> {
        if let Some(key @ RowKey::Here(_)) = row_key(&self.store, keyring, &self.anchors).await? {
            self.seal_rows_by(key);
        }
        Ok(())
    }

    /// The key, and whether it was made this moment for rows that it does not take over.
    async fn bound(&self) -> Result<(RowKey, bool), VaultError> {
        let keyring = self.unsealed()?.keyring.share();
        for _ in 0..TRIES {
            // Nobody else changes this list: what is not in order is set right here.
            if let Err(VaultError::Stale) = self.inventory(&keyring, CATEGORY).await {
                continue;
            }
            if let Some(key) = row_key(&self.store, &keyring, &self.anchors).await? {
                return Ok((key, false));
            }
            let kek = keyring.active_kek(&self.store, &self.clock, CATEGORY).await?;
            let inventory = Inventory::begin(CATEGORY)?;
            let key = derived(&inventory);
            // Later than any list that another node may have seen, in a database that is gone.
            let epoch = u64::try_from(self.clock.unix_ms()).unwrap_or(1);
            let list = inventory.sealed_as(epoch, &keyring, &kek)?;
            // Without anchors nobody can tell a house that never sealed them from one whose list
            // was taken away: somebody has to look at each.
            let is_first = self.anchors.are_whole();
            match self.store.begin_client_key_seals(is_first.then_some(&key), &list).await {
                Ok(()) => {
                    if let Err(fault) = self.anchors.advance(std::slice::from_ref(&list)) {
                        tracing::error!(%fault, "the anchors of the inventories cannot be written");
                    }
                    return Ok((RowKey::Here(key), !is_first));
                }
                // Another node has just done the same.
                Err(store::Error::Stale) => {}
                Err(fault) => return Err(fault.into()),
            }
        }
        Err(VaultError::Stale)
    }
}

/// What stands is judged anew by the key that is at hand.
pub(super) async fn judge_providers(
    (store, keyring): (&Store, &Keyring),
    catalogue: &InForce,
    anchors: &Anchors,
) -> Result<(), VaultError> {
    let key = row_key(store, keyring, anchors).await?.unwrap_or_default();
    let seen = catalogue.list();
    let kept = anchors.providers();
    let kept =
        if seen.as_ref().map(|s| s.epoch) > kept.as_ref().map(|k| k.epoch) { seen } else { kept };
    catalogue.judge_by(key, kept, anchors.are_whole());
    catalogue.reload(|_| Ok(())).await.map_err(|fault| store::Error::Failed { fault }.into())
}

/// None where no row was ever sealed.
pub(super) async fn row_key(
    store: &Store,
    keyring: &Keyring,
    anchors: &Anchors,
) -> Result<Option<RowKey>, VaultError> {
    let anchor = anchors.of(CATEGORY);
    let list = store.list_of(CATEGORY).await?;
    Ok(match basis(keyring, list.as_ref(), anchor.as_ref()) {
        Basis::Sound(inventory, _) | Basis::Copy(inventory, _) => {
            Some(RowKey::Here(derived(&inventory)))
        }
        Basis::Closed(_) | Basis::Lost(_) => Some(RowKey::Lost),
        Basis::Never => None,
    })
}

fn derived(inventory: &Inventory) -> Key {
    Key::copy_of(&hmac_sha256(&inventory.fingerprint_key, &[label::CLIENT_KEY_SEALS]))
}
