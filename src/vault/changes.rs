//! What changes a secret: added, a new value, its metadata, new destinations, destroyed. Every
//! change writes the category's inventory in the same transaction, and is read and tried again
//! where another node was faster. Must never take over a row that is not as it was left.

use uuid::Uuid;

use super::keyring::{Kek, Keyring};
use super::stock::Stock;
use super::view::{NewSecret, SecretPatch, SecretView};
use super::{Vault, VaultError, faults, fields};
use crate::provider::Provider;
use crate::secret::{Key, SecretBytes};
use crate::store::{self, Former, Resealed, SecretRow, StoredSecret, VersionRow, VersionState};

/// How often a change begins again when another one was faster.
pub(super) const TRIES: u32 = 8;

/// Runs it again on `Stale`, with the hierarchy as it is by then.
macro_rules! again {
    ($vault:expr, $attempt:expr) => {{
        let mut left = TRIES;
        loop {
            left -= 1;
            match $attempt.await {
                Err(VaultError::Stale) if left > 0 => {
                    $vault.unsealed()?.keyring.refresh(&$vault.store).await?;
                }
                outcome => break outcome,
            }
        }
    }};
}

pub(super) use again;

impl Vault {
    pub(crate) async fn add(&self, new: NewSecret) -> Result<SecretView, VaultError> {
        let provider = self.catalogue.get(&new.provider).ok_or(VaultError::UnknownProvider)?;
        let faults = faults(&provider, &new.fields);
        if !faults.is_empty() {
            return Err(VaultError::BadFields(faults));
        }
        let changing = self.changing.lock().await;
        let id = again!(self, self.add_once(&provider, &new))?;
        self.reload_locked(&changing).await?;
        self.show(id).await?.ok_or(VaultError::Vanished)
    }

    async fn add_once(&self, provider: &Provider, new: &NewSecret) -> Result<Uuid, VaultError> {
        let keyring = self.unsealed()?.keyring.share();
        let kek = keyring.active_kek(&self.store, &self.clock, &provider.category).await?;
        let mut inventory = self.inventory(&keyring, &provider.category).await?;
        let (secret, version) = self.seal_new(&kek, (provider, new), &inventory.fingerprint_key)?;
        inventory.put(&secret, std::slice::from_ref(&version));
        let next = inventory.next(&keyring, &kek)?;
        self.store.insert_secret(&secret, &version, Some(&next)).await?;
        Ok(secret.id)
    }

    /// The rows of a new secret, not stored yet.
    pub(super) fn seal_new(
        &self,
        kek: &Kek,
        (provider, new): (&Provider, &NewSecret),
        fingerprint_key: &Key,
    ) -> Result<(SecretRow, VersionRow), VaultError> {
        let id = Uuid::now_v7();
        let now_ms = self.clock.unix_ms();
        let (data_key, wrapped) = kek.new_data_key(self.installation, &provider.id, id)?;
        let secret = SecretRow {
            id,
            provider: provider.id.to_string(),
            name: new.name.clone(),
            category: provider.category.clone(),
            owner: new.owner.clone(),
            labels: new.labels.clone(),
            expires_at: new.expires_at_ms,
            active: true,
            kek_id: kek.id(),
            data_key: wrapped,
            fingerprint: fields::fingerprint(fingerprint_key, id, &new.fields),
            created_at: now_ms,
            created_by: new.created_by.clone(),
            updated_at: now_ms,
        };
        let sealed =
            fields::seal(self.installation, &data_key, &secret, 1, (provider, &new.fields))?;
        let version = version_row(&secret, 1, sealed, (now_ms, &new.created_by));
        Ok((secret, version))
    }

    /// A new value that takes over at once; the former one is destroyed.
    pub(crate) async fn replace(
        &self,
        id: Uuid,
        fields: Vec<(String, SecretBytes)>,
        by: &str,
    ) -> Result<Option<SecretView>, VaultError> {
        let changing = self.changing.lock().await;
        if !again!(self, self.replace_once(id, &fields, by))? {
            return Ok(None);
        }
        self.reload_locked(&changing).await?;
        self.show(id).await
    }

    async fn replace_once(
        &self,
        id: Uuid,
        fields: &[(String, SecretBytes)],
        by: &str,
    ) -> Result<bool, VaultError> {
        let Some((keyring, mut inventory, stored)) = self.read_for_change(id).await? else {
            return Ok(false);
        };
        let provider = self.catalogue.get(&stored.secret.provider);
        let provider = provider.ok_or(VaultError::UnknownProvider)?;
        let number = stored.versions.iter().map(|version| version.version).max().unwrap_or(0) + 1;
        let data_key = keyring.unwrap_data_key(&stored.secret)?;
        let mut secret = stored.secret;
        let sealed =
            fields::seal(self.installation, &data_key, &secret, number, (&provider, fields))?;
        secret.fingerprint = fields::fingerprint(&inventory.fingerprint_key, id, fields);
        secret.updated_at = self.clock.unix_ms();
        let version = version_row(&secret, number, sealed, (secret.updated_at, by));
        let mut versions = stored.versions;
        for former in &mut versions {
            if matches!(former.state, VersionState::Active | VersionState::Retiring) {
                former.state = VersionState::Destroyed;
                former.envelope = None;
            }
        }
        versions.push(version.clone());
        inventory.put(&secret, &versions);
        let next = self.next_list(&keyring, &inventory, &secret.category)?;
        let fingerprint = &secret.fingerprint;
        let former = Former::Destroy;
        Ok(self.store.insert_active_version(&version, fingerprint, former, Some(&next)).await?)
    }

    pub(crate) async fn set(
        &self,
        id: Uuid,
        patch: SecretPatch,
    ) -> Result<Option<SecretView>, VaultError> {
        let changing = self.changing.lock().await;
        if !again!(self, self.set_once(id, &patch))? {
            return Ok(None);
        }
        self.reload_locked(&changing).await?;
        self.show(id).await
    }

    async fn set_once(&self, id: Uuid, patch: &SecretPatch) -> Result<bool, VaultError> {
        let Some((keyring, mut inventory, stored)) = self.read_for_change(id).await? else {
            return Ok(false);
        };
        let mut row = stored.secret;
        patch.lay_over(&mut row);
        row.updated_at = self.clock.unix_ms();
        inventory.put(&row, &stored.versions);
        let next = self.next_list(&keyring, &inventory, &row.category)?;
        Ok(self.store.update_secret(&row, Some(&next)).await?)
    }

    /// Allows the provider's present destinations, and no others, to every version that has a
    /// value.
    pub(crate) async fn reseal(&self, id: Uuid) -> Result<Option<SecretView>, VaultError> {
        let changing = self.changing.lock().await;
        if !again!(self, self.reseal_once(id))? {
            return Ok(None);
        }
        self.reload_locked(&changing).await?;
        self.show(id).await
    }

    async fn reseal_once(&self, id: Uuid) -> Result<bool, VaultError> {
        let Some((keyring, mut inventory, stored)) = self.read_for_change(id).await? else {
            return Ok(false);
        };
        let secret = &stored.secret;
        let provider = self.catalogue.get(&secret.provider).ok_or(VaultError::UnknownProvider)?;
        let data_key = keyring.unwrap_data_key(secret)?;
        let mut values = Vec::new();
        let mut versions = stored.versions.clone();
        for (former, row) in stored.versions.iter().zip(&mut versions) {
            let sealed =
                fields::resealed(self.installation, &data_key, secret, (former, &provider))?;
            if let Some(fields::Sealed { envelope, destinations }) = sealed {
                row.envelope = Some(envelope.clone());
                row.destinations = destinations;
                values.push(Resealed { former, envelope, destinations });
            }
        }
        inventory.put(secret, &versions);
        let next = self.next_list(&keyring, &inventory, &secret.category)?;
        self.store.reseal_secret(&values, &next).await?;
        Ok(true)
    }

    /// Every envelope and the data key are overwritten: the value is gone for good. Also strikes
    /// off a secret whose rows somebody has deleted.
    pub(crate) async fn destroy(&self, id: Uuid) -> Result<bool, VaultError> {
        let changing = self.changing.lock().await;
        let destroyed = again!(self, self.destroy_once(id))?;
        self.reload_locked(&changing).await?;
        Ok(destroyed)
    }

    async fn destroy_once(&self, id: Uuid) -> Result<bool, VaultError> {
        let unsealed = self.unsealed()?;
        let category = match self.stored(id).await {
            Ok(Some(stored)) => Some(stored.secret.category),
            // The lists alone know of it.
            Ok(None) | Err(VaultError::Unreadable(_)) => {
                let stock = Stock::look(&self.store, &unsealed.keyring, &self.anchors).await?;
                stock.listed_in(id).map(str::to_owned)
            }
            Err(fault) => return Err(fault),
        };
        let Some(category) = category else {
            return Ok(self.store.destroy_secret(id, None).await?);
        };
        let mut inventory = self.inventory(&unsealed.keyring, &category).await?;
        let listed = inventory.strike(id);
        let next = self.next_list(&unsealed.keyring, &inventory, &category)?;
        Ok(self.store.destroy_secret(id, Some(&next)).await? || listed)
    }

    /// A row whose id is none; false if there is no such row. No list can have it.
    pub(crate) async fn destroy_row(&self, row: &str) -> Result<bool, VaultError> {
        let changing = self.changing.lock().await;
        self.unsealed()?;
        let destroyed =
            self.has_nameless(row).await? && self.store.destroy_secret(row, None).await?;
        self.reload_locked(&changing).await?;
        Ok(destroyed)
    }

    /// Is there a row with this text in the place of its id?
    pub(crate) async fn has_nameless(&self, row: &str) -> Result<bool, VaultError> {
        let unread = self.store.secrets().await?.contradictions;
        Ok(unread.iter().any(|unread| unread.row == row && unread.id().is_none()))
    }

    pub(super) async fn stored(&self, id: Uuid) -> Result<Option<StoredSecret>, VaultError> {
        match self.store.secret(id).await {
            Err(fault @ store::Error::Contradiction { .. }) => {
                Err(VaultError::Unreadable(format!(
                    "{fault} What cannot be restored is destroyed with `sealgate secret destroy {id}`, \
                 and the provider's key entered again"
                )))
            }
            read => Ok(read?),
        }
    }

    /// Was it deleted by nobody that we know of?
    pub(crate) fn is_missing(&self, id: Uuid) -> bool {
        self.opened
            .load()
            .as_ref()
            .is_some_and(|unsealed| unsealed.missing.iter().any(|(missing, _)| *missing == id))
    }

    /// The list first, then the rows: so its epoch guards what is built on them.
    pub(super) async fn read_for_change(
        &self,
        id: Uuid,
    ) -> Result<Option<(Keyring, super::inventory::Inventory, StoredSecret)>, VaultError> {
        let keyring = self.unsealed()?.keyring.share();
        let Some(first) = self.stored(id).await? else { return Ok(None) };
        let inventory = self.inventory(&keyring, &first.secret.category).await?;
        let Some(stored) = self.stored(id).await? else { return Ok(None) };
        inventory.demand(&stored)?;
        Ok(Some((keyring, inventory, stored)))
    }

    pub(super) fn next_list(
        &self,
        keyring: &Keyring,
        inventory: &super::inventory::Inventory,
        category: &str,
    ) -> Result<store::InventoryRow, VaultError> {
        let kek = keyring.demand_active(category)?;
        Ok(inventory.next(keyring, &kek)?)
    }
}

pub(super) fn version_row(
    secret: &SecretRow,
    version: u32,
    sealed: fields::Sealed,
    (now_ms, by): (i64, &str),
) -> VersionRow {
    VersionRow {
        secret_id: secret.id,
        version,
        state: VersionState::Active,
        envelope: Some(sealed.envelope),
        destinations: sealed.destinations,
        created_at: now_ms,
        created_by: by.to_owned(),
        last_used_at: None,
    }
}
