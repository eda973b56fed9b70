//! The unwrapped hierarchy: master key, key-encryption keys by category and generation. Data keys
//! are unwrapped when a version is prepared and dropped at once. Must never log or return a key's
//! bytes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use uuid::{NoContext, Timestamp, Uuid};

use super::kek_faults::{inactive, miscalled, miscounted};
use super::{VaultError, crypto, remaster};
use crate::clock::Clock;
use crate::crypto::{Aad, CryptoError, Layer, Parent};
use crate::kms::{Context, KmsError, Master, Masters};
use crate::secret::Key;
use crate::store::{self, KekRow, KekState, Loaded, SecretRow, Store};

/// Shared by the snapshots that were built from it.
pub(super) struct Keyring {
    inner: Arc<Inner>,
}

struct Inner {
    masters: ArcSwap<Masters>,
    installation: Uuid,
    keks: Mutex<HashMap<Uuid, Held>>,
    /// What the last look at the rows found, in words for operators.
    findings: Mutex<Vec<String>>,
}

#[derive(Clone)]
struct Held {
    kek: Arc<Kek>,
    active: bool,
}

/// One unwrapped key-encryption key.
pub(super) struct Kek {
    id: Uuid,
    category: String,
    generation: u32,
    key: Key,
}

impl Keyring {
    /// Unwraps every generation that is stored. Fails only where the master key is away, or another
    /// one than the house was made with; a single damaged row closes its own secrets.
    pub(super) async fn load(
        store: &Store,
        masters: Arc<Masters>,
        installation: Uuid,
    ) -> Result<Self, VaultError> {
        Self::of(&store.keks().await?.rows, masters, installation).await
    }

    /// The same, of rows that were read.
    pub(super) async fn of(
        rows: &[KekRow],
        masters: Arc<Masters>,
        installation: Uuid,
    ) -> Result<Self, VaultError> {
        let masters = ArcSwap::from(masters);
        let (keks, findings) = (Mutex::default(), Mutex::default());
        let keyring = Self { inner: Arc::new(Inner { masters, installation, keks, findings }) };
        let mut closed = Vec::new();
        let mut living = 0;
        for row in rows.iter().filter(|row| !row.is_gone()) {
            living += 1;
            match keyring.unwrap_kek(row).await {
                Ok(kek) => keyring.keep(Arc::new(kek), row.state),
                Err(fault) if fault.is_of_the_master() => return Err(fault.into()),
                Err(fault) => closed.push((row, fault)),
            }
        }
        let foreign =
            closed.iter().filter(|(_, fault)| matches!(fault, KmsError::OtherMaster(_))).count();
        if foreign > 0 && foreign == living {
            // One cause, and one line: the caller's.
            return Err(VaultError::OtherMasterKey);
        }
        for (row, fault) in closed {
            tracing::error!(kek = %row.id, category = row.category, %fault,
                "integrity: a key-encryption key does not open");
        }
        Ok(keyring)
    }

    /// Takes over what other nodes, or a job, have changed: new generations, other states. What is
    /// open already is not unwrapped again.
    pub(super) async fn refresh(&self, store: &Store) -> Result<(), VaultError> {
        let loaded = store.keks().await?;
        let mut findings: Vec<String> =
            loaded.contradictions.iter().map(ToString::to_string).collect();
        findings.extend(inactive(&loaded.rows));
        findings.extend(self.rowless(&loaded).iter().map(|kek| kek.without_row()));
        let rows = loaded.rows;
        for row in &rows {
            if row.is_gone() {
                self.lock().remove(&row.id);
                continue;
            }
            let known = self.lock().get(&row.id).map(|held| Arc::clone(&held.kek));
            match known {
                Some(kek) => self.keep(kek, row.state),
                None => match self.unwrap_kek(row).await {
                    Ok(kek) => self.keep(Arc::new(kek), row.state),
                    Err(fault) if fault.is_of_the_master() => return Err(fault.into()),
                    Err(fault) => findings.push(format!(
                        "the key-encryption key {} (generation {} of category {}) does not open: \
                         {fault}; its row in the table keks was changed outside Sealgate; restore \
                         a backup",
                        row.id, row.generation, row.category
                    )),
                },
            }
        }
        for kek in self.lock().values() {
            store.measure(kek.kek.id, &kek.kek.key);
        }
        for row in rows.iter().filter(|row| !row.is_gone()) {
            if row.is_miscalled() && self.known(row.id).is_some() {
                findings.push(miscalled(row));
            }
            if store.judge_wraps(row).is_err() {
                findings.push(miscounted(row));
            }
        }
        *self.inner.findings.lock().unwrap_or_else(PoisonError::into_inner) = findings;
        Ok(())
    }

    /// Those that are open here and have no row any more, legible or not: somebody deleted it.
    pub(super) fn rowless(&self, loaded: &Loaded<KekRow>) -> Vec<Arc<Kek>> {
        let held: Vec<Arc<Kek>> = self.lock().values().map(|held| Arc::clone(&held.kek)).collect();
        let is_named = |kek: &Arc<Kek>| {
            let id = kek.id.to_string();
            let names = |fault: &store::Error| fault.row() == Some(id.as_str());
            loaded.rows.iter().any(|row| row.id == kek.id)
                || loaded.contradictions.iter().any(names)
        };
        held.into_iter().filter(|kek| !is_named(kek)).collect()
    }

    /// Nothing hangs on it any more.
    pub(super) fn let_go(&self, id: Uuid) {
        self.lock().remove(&id);
    }

    /// What is open, whether it has a row or not.
    pub(super) fn generations(&self) -> Vec<(String, u32)> {
        let keks = self.lock();
        keks.values().map(|held| (held.kek.category.clone(), held.kek.generation)).collect()
    }

    /// What the last `refresh` found.
    pub(super) fn findings(&self) -> Vec<String> {
        self.inner.findings.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The next generation of a category. `VaultError::Stale` if another node was faster.
    pub(super) async fn rotate(
        &self,
        store: &Store,
        clock: &Clock,
        (category, former): (&str, u32),
    ) -> Result<u32, VaultError> {
        let row = self.wrap_new(store, clock, (category, former + 1)).await?;
        match store.insert_kek(&row).await {
            Ok(()) => {}
            Err(store::Error::Duplicate { .. }) => return Err(VaultError::Stale),
            Err(fault) => return Err(fault.into()),
        }
        self.refresh(store).await?;
        Ok(row.generation)
    }

    pub(super) fn masters(&self) -> Arc<Masters> {
        self.inner.masters.load_full()
    }

    /// From now on these wrap and unwrap.
    pub(super) fn set_masters(&self, masters: Arc<Masters>) {
        self.inner.masters.store(masters);
    }

    /// How many generations open.
    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    pub(super) fn share(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }

    /// Tells whether anybody holds a key of it still, and holds none itself.
    pub(super) fn watch(&self) -> impl Fn() -> bool + Send + Sync + use<> {
        let inner = Arc::downgrade(&self.inner);
        move || inner.strong_count() > 0
    }

    pub(super) fn installation(&self) -> Uuid {
        self.inner.installation
    }

    /// The category's present key-encryption key; its first generation is made when first needed.
    pub(super) async fn active_kek(
        &self,
        store: &Store,
        clock: &Clock,
        category: &str,
    ) -> Result<Arc<Kek>, VaultError> {
        if let Some(kek) = self.known_active(category) {
            return Ok(kek);
        }
        if store.keks().await?.rows.iter().all(|row| row.category != category) {
            let row = self.wrap_new(store, clock, (category, 1)).await?;
            match store.insert_kek(&row).await {
                // Another node was faster: its key is the one to use.
                Ok(()) | Err(store::Error::Duplicate { .. }) => {}
                Err(fault) => return Err(fault.into()),
            }
        }
        let stored = store.active_kek(category).await?;
        let stored = stored.ok_or_else(|| VaultError::NoActiveKek(category.to_owned()))?;
        let kek = self.unwrap_kek(&stored).await?;
        store.measure(kek.id, &kek.key);
        self.keep(Arc::new(kek), stored.state);
        self.known_active(category).ok_or(VaultError::Vanished)
    }

    /// From memory where it is there, so that a backup needs no KMS.
    pub(super) async fn wrap_for(
        &self,
        row: &KekRow,
        master: &Master,
    ) -> Result<Vec<u8>, VaultError> {
        let kek = match self.known(row.id) {
            Some(kek) => kek,
            None => Arc::new(self.unwrap_kek(row).await?),
        };
        let context = self.context(&kek.category, kek.generation, kek.id);
        Ok(master.wrap(&context, &kek.key).await?)
    }

    /// Was this wrap made for that secret of that provider?
    pub(super) fn vouches(
        &self,
        (provider, id): (&str, Uuid),
        (kek_id, data_key): (Uuid, &[u8]),
    ) -> bool {
        self.known(kek_id).is_some_and(|kek| {
            let aad = data_key_aad(self.inner.installation, &kek, provider, id);
            crypto::open(kek.parent(), Layer::DataKey, &aad, data_key).is_ok()
        })
    }

    pub(super) fn unwrap_data_key(&self, secret: &SecretRow) -> Result<Key, CryptoError> {
        let kek = self.known(secret.kek_id).ok_or(CryptoError::WrongParent)?;
        let aad = data_key_aad(self.inner.installation, &kek, &secret.provider, secret.id);
        let opened = crypto::open(kek.parent(), Layer::DataKey, &aad, &secret.data_key)?;
        Key::from_slice(opened.expose()).ok_or(CryptoError::Malformed)
    }

    /// Under the master key to which everything is on its way, where it is; `VaultError::JobRuns`
    /// where that one is not at hand here.
    async fn wrap_new(
        &self,
        store: &Store,
        clock: &Clock,
        (category, generation): (&str, u32),
    ) -> Result<KekRow, VaultError> {
        let key = Key::fill_with(crypto::fill_random)?;
        let created_at = clock.unix_ms();
        let id = id_of(created_at);
        let masters = self.masters();
        let wanted = remaster::under_way_to(store).await?;
        let wanted = wanted.unwrap_or_else(|| masters.active().id());
        let master = masters.find(&wanted).ok_or(VaultError::JobRuns)?;
        let wrapped = master.wrap(&self.context(category, generation, id), &key).await?;
        // A KMS takes its time, in which another node may have begun to move.
        if remaster::under_way_to(store).await?.is_some_and(|to| to != master.id()) {
            return Err(VaultError::JobRuns);
        }
        store.measure(id, &key);
        Ok(KekRow {
            wraps_seal: store.wraps_seal(id, 0),
            id,
            category: category.to_owned(),
            generation,
            wrapped,
            master: master.id(),
            state: KekState::Active,
            wraps: 0,
            created_at,
        })
    }

    async fn unwrap_kek(&self, row: &KekRow) -> Result<Kek, KmsError> {
        let context = self.context(&row.category, row.generation, row.id);
        let key = self.masters().unwrap(&context, &row.master, &row.wrapped).await?;
        Ok(Kek { id: row.id, category: row.category.clone(), generation: row.generation, key })
    }

    fn context<'a>(&self, category: &'a str, generation: u32, id: Uuid) -> Context<'a> {
        Context { installation: self.inner.installation, category, generation, id }
    }

    pub(super) fn known_active(&self, category: &str) -> Option<Arc<Kek>> {
        let keks = self.lock();
        let active = keks.values().filter(|held| held.active && held.kek.category == category);
        active.map(|held| &held.kek).max_by_key(|kek| kek.generation).cloned()
    }

    /// The one to seal with, in a category that has keys.
    pub(super) fn demand_active(&self, category: &str) -> Result<Arc<Kek>, VaultError> {
        self.known_active(category).ok_or_else(|| VaultError::NoActiveKek(category.to_owned()))
    }

    pub(super) fn known(&self, id: Uuid) -> Option<Arc<Kek>> {
        self.lock().get(&id).map(|held| Arc::clone(&held.kek))
    }

    fn keep(&self, kek: Arc<Kek>, state: KekState) {
        let active = state == KekState::Active;
        self.lock().insert(kek.id, Held { kek, active });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Uuid, Held>> {
        self.inner.keks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kek {
    pub(super) fn category(&self) -> &str {
        &self.category
    }

    /// For people: what to do while the key is still at hand.
    pub(super) fn without_row(&self) -> String {
        let Self { id, category, generation, .. } = self;
        format!(
            "the row of the key-encryption key {id} (generation {generation} of category {category}) \
             was deleted from the table keks; this server still has the key: run \
             `sealgate kek rotate --category {category}`, then `sealgate kek rewrap`, before it \
             stops; after that only a backup brings back what hangs on it"
        )
    }

    pub(super) fn id(&self) -> Uuid {
        self.id
    }

    /// A fresh data key and its envelope.
    pub(super) fn new_data_key(
        &self,
        installation: Uuid,
        provider: &str,
        secret_id: Uuid,
    ) -> Result<(Key, Vec<u8>), CryptoError> {
        let data_key = Key::fill_with(crypto::fill_random)?;
        let wrapped = self.wrap(installation, (provider, secret_id), &data_key)?;
        Ok((data_key, wrapped))
    }

    /// The envelope of a data key under this key.
    pub(super) fn wrap(
        &self,
        installation: Uuid,
        (provider, secret_id): (&str, Uuid),
        data_key: &Key,
    ) -> Result<Vec<u8>, CryptoError> {
        let aad = data_key_aad(installation, self, provider, secret_id);
        crypto::seal(self.parent(), Layer::DataKey, &aad, data_key.expose())
    }

    pub(super) fn parent(&self) -> Parent<'_> {
        Parent { id: self.id.into_bytes(), key: &self.key }
    }
}

/// It says when the key was made, and is bound to it.
fn id_of(now_ms: i64) -> Uuid {
    let now_ms = u64::try_from(now_ms).unwrap_or(0);
    let nanoseconds = u32::try_from(now_ms % 1000).unwrap_or(0) * 1_000_000;
    Uuid::new_v7(Timestamp::from_unix(NoContext, now_ms / 1000, nanoseconds))
}

fn data_key_aad(installation: Uuid, kek: &Kek, provider: &str, secret_id: Uuid) -> Aad {
    Aad::new("data-key")
        .with(installation.as_bytes())
        .with(kek.category.as_bytes())
        .with(kek.id.as_bytes())
        .with_number(u64::from(kek.generation))
        .with(provider.as_bytes())
        .with(secret_id.as_bytes())
}
