//! Versions on their way: a new value beside the one that calls use, promoted, given up, destroyed.
//! Every step writes the category's inventory in the same transaction, and says from which state it
//! comes: what another node did meanwhile is not undone. Must never leave a secret without the
//! version that calls use.

use std::sync::Arc;

use uuid::Uuid;

use super::changes::{TRIES, again, version_row};
use super::trial::Trial;
use super::{SecretView, Vault, VaultError, fields};
use crate::secret::SecretBytes;
use crate::store::{Shift, StoredSecret, VersionState};

/// A version that was stored, and the one that calls use.
pub(crate) struct Staged {
    pub(crate) secret: SecretView,
    pub(crate) from: u32,
    pub(crate) to: u32,
}

impl Vault {
    /// A new value; it serves no call until its trial has a share. None: there is no such secret.
    pub(crate) async fn stage(
        &self,
        id: Uuid,
        fields: &[(String, SecretBytes)],
        by: &str,
    ) -> Result<Option<Staged>, VaultError> {
        let changing = self.changing.lock().await;
        let Some((from, to)) = again!(self, self.stage_once(id, fields, by))? else {
            return Ok(None);
        };
        self.reload_locked(&changing).await?;
        let secret = self.show(id).await?.ok_or(VaultError::Vanished)?;
        Ok(Some(Staged { secret, from, to }))
    }

    async fn stage_once(
        &self,
        id: Uuid,
        fields: &[(String, SecretBytes)],
        by: &str,
    ) -> Result<Option<(u32, u32)>, VaultError> {
        let Some((keyring, mut inventory, stored)) = self.read_for_change(id).await? else {
            return Ok(None);
        };
        let provider = self.catalogue.get(&stored.secret.provider);
        let provider = provider.ok_or(VaultError::UnknownProvider)?;
        let in_state = |state| stored.versions.iter().rfind(|version| version.state == state);
        if in_state(VersionState::Pending).is_some() {
            return Err(VaultError::Rotates);
        }
        let Some(active) = in_state(VersionState::Active) else {
            return Err(VaultError::NothingToReplace);
        };
        let from = active.version;
        let to = stored.versions.iter().map(|version| version.version).max().unwrap_or(0) + 1;
        let data_key = keyring.unwrap_data_key(&stored.secret)?;
        let sealed =
            fields::seal(self.installation, &data_key, &stored.secret, to, (&provider, fields))?;
        let mut version = version_row(&stored.secret, to, sealed, (self.clock.unix_ms(), by));
        version.state = VersionState::Pending;
        let mut versions = stored.versions;
        versions.push(version.clone());
        inventory.put(&stored.secret, &versions);
        let next = self.next_list(&keyring, &inventory, &stored.secret.category)?;
        self.store.insert_pending_version(&version, &next).await?;
        Ok(Some((from, to)))
    }

    /// The new version is the one that calls use from now on; the former one is retiring. False
    /// where that has happened already, or cannot any more.
    pub(crate) async fn promote_version(&self, id: Uuid, to: u32) -> Result<bool, VaultError> {
        self.shift(id, |stored| {
            let is_pending = |version: &&crate::store::VersionRow| {
                version.version == to && version.state == VersionState::Pending
            };
            stored.versions.iter().find(is_pending)?;
            let active = stored.versions.iter().filter(|v| v.state == VersionState::Active);
            let mut shifts: Vec<Shift> = active
                .map(|version| {
                    Shift::of(version.version, VersionState::Active, VersionState::Retiring)
                })
                .collect();
            shifts.push(Shift::of(to, VersionState::Pending, VersionState::Active));
            Some(shifts)
        })
        .await
    }

    /// The former version is the one that calls use again, while it is still there. False where
    /// that has happened already, or cannot any more.
    pub(crate) async fn take_back_version(
        &self,
        id: Uuid,
        (former, new): (u32, u32),
    ) -> Result<bool, VaultError> {
        self.shift(id, |stored| {
            let is = |number: u32, state: VersionState| {
                stored.versions.iter().any(|row| row.version == number && row.state == state)
            };
            let can = is(former, VersionState::Retiring) && is(new, VersionState::Active);
            can.then(|| {
                vec![
                    Shift::of(new, VersionState::Active, VersionState::Retired),
                    Shift::of(former, VersionState::Retiring, VersionState::Active),
                ]
            })
        })
        .await
    }

    /// The new version is given up; it serves nobody.
    pub(crate) async fn give_version_up(&self, id: Uuid, version: u32) -> Result<bool, VaultError> {
        self.shift(id, |stored| {
            let is_it = |row: &&crate::store::VersionRow| {
                row.version == version && row.state == VersionState::Pending
            };
            stored.versions.iter().find(is_it)?;
            Some(vec![Shift::of(version, VersionState::Pending, VersionState::Retired)])
        })
        .await
    }

    /// Overwritten for good, where it is one that no call uses.
    pub(crate) async fn destroy_version(&self, id: Uuid, version: u32) -> Result<bool, VaultError> {
        self.shift(id, |stored| {
            let row = stored.versions.iter().find(|row| row.version == version)?;
            match row.state {
                VersionState::Retiring | VersionState::Retired => {
                    Some(vec![Shift::of(version, row.state, VersionState::Destroyed)])
                }
                VersionState::Pending | VersionState::Active | VersionState::Destroyed => None,
            }
        })
        .await
    }

    /// Is it the very value that calls use? By its fingerprint: nothing is opened.
    pub(crate) async fn is_in_use(
        &self,
        id: Uuid,
        fields: &[(String, SecretBytes)],
    ) -> Result<bool, VaultError> {
        let Some((_, inventory, stored)) = self.read_for_change(id).await? else {
            return Ok(false);
        };
        let fingerprint = fields::fingerprint(&inventory.fingerprint_key, id, fields);
        Ok(stored.secret.fingerprint == fingerprint)
    }

    /// What callers' threads count of a version that is on trial; the same for all who ask.
    pub(crate) fn trial(&self, id: Uuid, version: u32) -> Arc<Trial> {
        self.registry.trial(id, version)
    }

    /// A call went wrong with a version that is on trial, here.
    pub(crate) async fn trouble(&self) {
        self.registry.trouble().notified().await;
    }

    pub(crate) fn forget_trial(&self, id: Uuid, version: u32) {
        self.registry.forget_trial(id, version);
    }

    /// Secrets that a provider has refused a caller with since this was asked last.
    pub(crate) fn refused_secrets(&self) -> Vec<Uuid> {
        let unsealed = self.opened.load();
        unsealed.as_ref().map(|unsealed| unsealed.snapshot.refused()).unwrap_or_default()
    }

    /// How often a version was taken away while calls may have used it.
    pub(crate) fn endings(&self) -> u64 {
        self.registry.endings()
    }

    /// Versions that are stored and wait for a trial, or are in one.
    pub(crate) fn waiting_versions(&self) -> Vec<(Uuid, u32)> {
        let unsealed = self.opened.load();
        unsealed.as_ref().map(|unsealed| unsealed.snapshot.waiting()).unwrap_or_default()
    }

    async fn shift(
        &self,
        id: Uuid,
        shifts: impl Fn(&StoredSecret) -> Option<Vec<Shift>>,
    ) -> Result<bool, VaultError> {
        let changing = self.changing.lock().await;
        let is_done = again!(self, self.shift_once(id, &shifts))?;
        // What stands as it stood is looked at by nobody anew.
        if is_done {
            self.reload_locked(&changing).await?;
        }
        Ok(is_done)
    }

    async fn shift_once(
        &self,
        id: Uuid,
        shifts: impl Fn(&StoredSecret) -> Option<Vec<Shift>>,
    ) -> Result<bool, VaultError> {
        let Some((keyring, mut inventory, mut stored)) = self.read_for_change(id).await? else {
            return Ok(false);
        };
        let Some(shifts) = shifts(&stored) else { return Ok(false) };
        let data_key = keyring.unwrap_data_key(&stored.secret)?;
        for shift in &shifts {
            for row in stored.versions.iter_mut().filter(|row| row.version == shift.version) {
                row.state = shift.to;
                if shift.to == VersionState::Active
                    && let Some(envelope) = &row.envelope
                    && let Some(provider) = self.catalogue.get(&stored.secret.provider)
                {
                    // It recognises the value that calls use.
                    let sealed = (row.version, &row.destinations, envelope.as_slice());
                    let prepared =
                        fields::prepare(self.installation, &data_key, &stored.secret, sealed)?;
                    let values = fields::open(&prepared)?.copies(&provider);
                    stored.secret.fingerprint =
                        fields::fingerprint(&inventory.fingerprint_key, id, &values);
                }
                if shift.to == VersionState::Destroyed {
                    row.envelope = None;
                }
            }
        }
        stored.secret.updated_at = self.clock.unix_ms();
        inventory.put(&stored.secret, &stored.versions);
        let next = self.next_list(&keyring, &inventory, &stored.secret.category)?;
        self.store.shift_versions(&stored.secret, &shifts, &next).await?;
        Ok(true)
    }
}
