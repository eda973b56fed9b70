//! Secrets and their versions: added, selected, opened, destroyed. Opening demands a `Permit`; only
//! this room makes an `Opened`. In memory lie prepared envelopes and expanded keys, and for a short
//! time the values that calls are using. Nothing here answers with a value, whatever the role.

mod fields;
mod keyring;
mod proof;
mod remains;
mod snapshot;
mod view;
mod warden;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use uuid::Uuid;

pub(crate) use self::fields::{Fresh, Placed};
use self::keyring::Keyring;
pub(crate) use self::proof::prove;
pub(crate) use self::remains::Remains;
use self::snapshot::Snapshot;
pub(crate) use self::snapshot::{Opened, Selected};
pub(crate) use self::view::{NewSecret, SecretPatch, SecretView, VaultError, VersionView};
pub(crate) use self::warden::{Bell, Hooks, UnsealError, Warden};
use crate::clock::{Clock, Moment};
use crate::crypto::{self, label};
use crate::kms::{KmsError, Master, Masters};
use crate::policy::Permit;
use crate::provider::{Catalogue, Provider};
use crate::refusal::{FieldFault, Reason, Refusal};
use crate::secret::SecretBytes;
use crate::store::{Former, KekRow, SecretRow, Store, StoredSecret, VersionRow, VersionState};

#[derive(Clone, Debug)]
pub struct Settings {
    pub kek_max_age_days: u32,
    /// How long an opened value serves further calls before it is wiped; none: each call opens its
    /// own.
    pub keep_opened: Duration,
    /// The most that key material may take of memory that is never swapped out.
    pub locked_memory_bytes: usize,
}

/// How often kept values are looked through at most.
const SHORTEST_ROUND_NS: u64 = 1_000_000_000;

/// The house's secrets. One for all threads; what changes is swapped as a whole.
pub(crate) struct Vault {
    store: Store,
    clock: Clock,
    catalogue: Arc<Catalogue>,
    installation: Uuid,
    keep_ns: u64,
    /// None while sealed.
    opened: ArcSwapOption<Unsealed>,
    /// How often the vault was unsealed; whoever prepared something for an earlier time publishes
    /// nothing any more.
    times_unsealed: Mutex<u64>,
    /// One change at a time: each reloads what the next one builds on.
    changing: tokio::sync::Mutex<()>,
}

struct Unsealed {
    keyring: Keyring,
    snapshot: Snapshot,
    /// Which time it is that the vault is unsealed.
    time: u64,
    /// What did not open when it was prepared, in words for operators.
    findings: Vec<String>,
}

impl Vault {
    /// Sealed until `unseal`.
    pub(crate) fn sealed(
        store: Store,
        clock: Clock,
        catalogue: Arc<Catalogue>,
        installation: Uuid,
    ) -> Self {
        Self {
            store,
            clock,
            catalogue,
            installation,
            keep_ns: 0,
            opened: ArcSwapOption::empty(),
            times_unsealed: Mutex::new(0),
            changing: tokio::sync::Mutex::new(()),
        }
    }

    /// For tests: open from the start.
    #[cfg(test)]
    pub(crate) async fn open_house(
        store: Store,
        clock: Clock,
        catalogue: Arc<Catalogue>,
        masters: Arc<Masters>,
        installation: Uuid,
    ) -> Result<Self, VaultError> {
        let vault = Self::sealed(store, clock, catalogue, installation);
        vault.unseal(masters).await?;
        Ok(vault)
    }

    /// Unwraps the hierarchy under the master key and prepares every active version. A row that was
    /// tampered with does not keep the house from opening: its secret alone is closed.
    pub(crate) async fn unseal(&self, masters: Arc<Masters>) -> Result<(), VaultError> {
        let _changing = self.changing.lock().await;
        let time = *self.time() + 1;
        let keyring = Keyring::load(&self.store, masters, self.installation).await?;
        let prepared = self.prepared(keyring, time).await?;
        let mut latest = self.time();
        *latest = time;
        self.opened.store(Some(Arc::new(prepared)));
        Ok(())
    }

    /// Drops the hierarchy and everything that was prepared under it. What calls under way still
    /// hold of it is told by what comes back.
    pub(crate) fn seal(&self) -> Remains {
        let former = {
            let mut latest = self.time();
            *latest += 1;
            self.opened.swap(None)
        };
        former.as_ref().map(Remains::of).unwrap_or_default()
    }

    /// Does whoever holds the master key still answer? Sealed, nobody is asked.
    pub(crate) async fn prove_master(&self) -> Result<(), KmsError> {
        let Some(unsealed) = self.opened.load_full() else { return Ok(()) };
        let masters = unsealed.keyring.masters();
        drop(unsealed);
        masters.active().prove(self.installation).await
    }

    /// How long an opened value serves further calls; without this each call opens its own.
    #[must_use]
    pub(crate) fn keeping_opened(mut self, settings: &Settings) -> Self {
        self.keep_ns = u64::try_from(settings.keep_opened.as_nanos()).unwrap_or(u64::MAX);
        self
    }

    /// How many key-encryption keys are stored, and how many of them open under this master key.
    pub(crate) async fn prove(
        store: &Store,
        masters: Arc<Masters>,
        installation: Uuid,
    ) -> Result<(usize, usize), VaultError> {
        let stored = store.keks().await?.rows.len();
        let opened = Keyring::load(store, masters, installation).await?.len();
        Ok((stored, opened))
    }

    pub(crate) fn is_sealed(&self) -> bool {
        self.opened.load().is_none()
    }

    /// Secrets that do not open although their rows are there: somebody changed them.
    pub(crate) fn findings(&self) -> Vec<String> {
        self.opened.load().as_ref().map(|unsealed| unsealed.findings.clone()).unwrap_or_default()
    }

    /// Which version serves this call. Refuses from the row alone; nothing is opened.
    pub(crate) fn select(&self, permit: &Permit) -> Result<Selected, Refusal> {
        let unsealed = self.opened.load();
        let Some(unsealed) = unsealed.as_ref() else {
            let detail = "Sealgate is sealed; an administrator has to unseal it.";
            return Err(Refusal::new(Reason::Sealed, detail));
        };
        unsealed.snapshot.select(&permit.provider().id, permit.secret())
    }

    /// The value, for this call and those of the next moments; wiped when the last of them is over.
    pub(crate) fn open(
        &self,
        permit: &Permit,
        selected: &Selected,
        now: Moment,
    ) -> Result<Opened, Refusal> {
        let opened = selected.open(permit.provider(), now.monotonic_ns, self.keep_ns);
        opened.map_err(|fault| {
            tracing::error!(secret = %selected.secret_id(), %fault, "a selected version did not open");
            Refusal::new(Reason::NoSecret, snapshot::DAMAGED)
        })
    }

    /// Wipes what was kept long enough and nobody asks for any more. For ever; spawned once.
    pub(crate) async fn tend(self: Arc<Self>) {
        loop {
            tokio::time::sleep(Duration::from_nanos(self.keep_ns.max(SHORTEST_ROUND_NS))).await;
            if let Some(unsealed) = self.opened.load().as_ref() {
                unsealed.snapshot.drop_stale(self.clock.monotonic_ns(), self.keep_ns);
            }
        }
    }

    /// Checks an already stored secret's shape: opens it, judges it, wipes it.
    pub(crate) fn check_stored(&self, id: Uuid) -> Result<Option<Vec<FieldFault>>, VaultError> {
        let unsealed = self.opened.load_full().ok_or(VaultError::Sealed)?;
        let Some(selected) = unsealed.snapshot.by_id(id) else { return Ok(None) };
        let provider =
            self.catalogue.get(selected.provider()).ok_or(VaultError::UnknownProvider)?;
        let opened = selected.open_afresh().map_err(VaultError::Crypto)?;
        Ok(Some(faults(provider, &opened.copies(provider))))
    }

    pub(crate) async fn add(&self, new: NewSecret) -> Result<SecretView, VaultError> {
        let provider =
            self.catalogue.get(&new.provider).ok_or(VaultError::UnknownProvider)?.clone();
        let faults = faults(&provider, &new.fields);
        if !faults.is_empty() {
            return Err(VaultError::BadFields(faults));
        }
        let changing = self.changing.lock().await;
        let unsealed = self.opened.load_full().ok_or(VaultError::Sealed)?;
        let (secret, version) = self.seal_new(&unsealed.keyring, &provider, new).await?;
        self.store.insert_secret(&secret, &version).await?;
        self.reload_locked(&changing).await?;
        self.show(secret.id).await?.ok_or(VaultError::Vanished)
    }

    /// A new value that takes over at once; the former one is destroyed.
    pub(crate) async fn replace(
        &self,
        id: Uuid,
        fields: Vec<(String, SecretBytes)>,
        by: &str,
    ) -> Result<Option<SecretView>, VaultError> {
        let changing = self.changing.lock().await;
        let unsealed = self.opened.load_full().ok_or(VaultError::Sealed)?;
        let Some(stored) = self.store.secret(id).await? else { return Ok(None) };
        let provider = self.catalogue.get(&stored.secret.provider);
        let provider = provider.ok_or(VaultError::UnknownProvider)?;
        let number = stored.versions.iter().map(|version| version.version).max().unwrap_or(0) + 1;
        let data_key = unsealed.keyring.unwrap_data_key(&stored.secret)?;
        let version =
            self.seal_version(&unsealed.keyring, &stored.secret, (provider, number, &fields), by)?;
        let fingerprint = fields::fingerprint(&data_key, &fields);
        self.store.insert_active_version(&version, &fingerprint, Former::Destroy).await?;
        self.reload_locked(&changing).await?;
        self.show(id).await
    }

    /// A key-encryption key wrapped by another master key, for a backup.
    pub(crate) async fn wrap_for(
        &self,
        kek: &KekRow,
        master: &Master,
    ) -> Result<Vec<u8>, VaultError> {
        let unsealed = self.opened.load_full().ok_or(VaultError::Sealed)?;
        unsealed.keyring.wrap_for(kek, master).await
    }

    pub(crate) fn installation(&self) -> Uuid {
        self.installation
    }

    pub(crate) async fn list(&self) -> Result<Vec<SecretView>, VaultError> {
        let loaded = self.store.secrets().await?;
        Ok(loaded.rows.iter().map(SecretView::of).collect())
    }

    pub(crate) async fn show(&self, id: Uuid) -> Result<Option<SecretView>, VaultError> {
        Ok(self.store.secret(id).await?.as_ref().map(SecretView::of))
    }

    pub(crate) async fn set(
        &self,
        id: Uuid,
        patch: SecretPatch,
    ) -> Result<Option<SecretView>, VaultError> {
        let changing = self.changing.lock().await;
        let Some(stored) = self.store.secret(id).await? else { return Ok(None) };
        let mut row = stored.secret;
        patch.lay_over(&mut row);
        row.updated_at = self.clock.unix_ms();
        self.store.update_secret(&row).await?;
        self.reload_locked(&changing).await?;
        self.show(id).await
    }

    /// Every envelope and the data key are overwritten: the value is gone for good.
    pub(crate) async fn destroy(&self, id: Uuid) -> Result<bool, VaultError> {
        let changing = self.changing.lock().await;
        let destroyed = self.store.destroy_secret(id).await?;
        self.reload_locked(&changing).await?;
        Ok(destroyed)
    }

    async fn seal_new(
        &self,
        keyring: &Keyring,
        provider: &Provider,
        new: NewSecret,
    ) -> Result<(SecretRow, VersionRow), VaultError> {
        let kek = keyring.active_kek(&self.store, &self.clock, &provider.category).await?;
        let id = Uuid::now_v7();
        let now_ms = self.clock.unix_ms();
        let (data_key, wrapped) = kek.new_data_key(self.installation, &provider.id, id)?;
        let secret = SecretRow {
            id,
            provider: provider.id.to_string(),
            name: new.name,
            category: provider.category.clone(),
            owner: new.owner,
            labels: new.labels,
            expires_at: new.expires_at_ms,
            active: true,
            kek_id: kek.id(),
            data_key: wrapped,
            fingerprint: fields::fingerprint(&data_key, &new.fields),
            created_at: now_ms,
            created_by: new.created_by.clone(),
            updated_at: now_ms,
        };
        let sealed =
            fields::seal(self.installation, &data_key, &secret, 1, (provider, &new.fields))?;
        let version = version_row(&secret, 1, sealed, (now_ms, &new.created_by));
        Ok((secret, version))
    }

    fn seal_version(
        &self,
        keyring: &Keyring,
        secret: &SecretRow,
        (provider, number, fields): (&Provider, u32, &[(String, SecretBytes)]),
        by: &str,
    ) -> Result<VersionRow, VaultError> {
        let data_key = keyring.unwrap_data_key(secret)?;
        let sealed =
            fields::seal(self.installation, &data_key, secret, number, (provider, fields))?;
        Ok(version_row(secret, number, sealed, (self.clock.unix_ms(), by)))
    }

    async fn reload_locked(
        &self,
        _changing: &tokio::sync::MutexGuard<'_, ()>,
    ) -> Result<(), VaultError> {
        let Some(unsealed) = self.opened.load_full() else { return Ok(()) };
        let (keyring, time) = (unsealed.keyring.share(), unsealed.time);
        drop(unsealed);
        let prepared = self.prepared(keyring, time).await?;
        let latest = self.time();
        // Sealed meanwhile, it stays sealed.
        if *latest == time {
            self.opened.store(Some(Arc::new(prepared)));
        }
        Ok(())
    }

    async fn prepared(&self, keyring: Keyring, time: u64) -> Result<Unsealed, VaultError> {
        let loaded = self.store.secrets().await?;
        let snapshot = Snapshot::prepare(&keyring, &self.catalogue, &loaded.rows);
        let mut findings: Vec<String> =
            loaded.contradictions.iter().map(ToString::to_string).collect();
        findings.extend(snapshot.findings());
        Ok(Unsealed { keyring, snapshot, time, findings })
    }

    fn time(&self) -> std::sync::MutexGuard<'_, u64> {
        self.times_unsealed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn version_row(
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

/// Exactly the provider's fields, each once, each of its shape.
fn faults(provider: &Provider, fields: &[(String, SecretBytes)]) -> Vec<FieldFault> {
    let mut faults = Vec::new();
    let mut fault = |name: &str, fault: String| {
        faults.push(FieldFault { field: format!("fields.{name}"), fault });
    };
    for (name, value) in fields {
        match provider.field(name) {
            None => fault(name, format!("is no field of {}", provider.id)),
            Some(field) => {
                if let Some(what) = field.format.fault(value) {
                    fault(name, what);
                }
            }
        }
        if fields.iter().filter(|(other, _)| other == name).count() > 1 {
            fault(name, String::from("is given twice"));
        }
    }
    for field in &provider.fields {
        if !fields.iter().any(|(name, _)| *name == field.name) {
            fault(&field.name, String::from("is missing"));
        }
    }
    faults
}

#[cfg(test)]
mod tests;
