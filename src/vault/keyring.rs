//! The unwrapped hierarchy: master key, key-encryption keys by category and generation. Data keys
//! are unwrapped when a version is prepared and dropped at once. Must never log or return a key's
//! bytes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use uuid::Uuid;

use super::{VaultError, crypto};
use crate::clock::Clock;
use crate::crypto::{Aad, CryptoError, Layer, Parent};
use crate::kms::{Context, KmsError, Master, Masters};
use crate::secret::Key;
use crate::store::{self, KekRow, KekState, SecretRow, Store};

/// Shared by the snapshots that were built from it.
pub(super) struct Keyring {
    inner: Arc<Inner>,
}

struct Inner {
    masters: Arc<Masters>,
    installation: Uuid,
    keks: Mutex<HashMap<Uuid, Arc<Kek>>>,
}

/// One unwrapped key-encryption key.
pub(super) struct Kek {
    id: Uuid,
    category: String,
    generation: u32,
    active: bool,
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
        let loaded = store.keks().await?;
        let keyring =
            Self { inner: Arc::new(Inner { masters, installation, keks: Mutex::default() }) };
        let mut closed = Vec::new();
        for row in &loaded.rows {
            match keyring.unwrap_kek(row).await {
                Ok(kek) => keyring.keep(kek),
                Err(fault) if fault.is_of_the_master() => return Err(fault.into()),
                Err(fault) => closed.push((row, fault)),
            }
        }
        let foreign =
            closed.iter().filter(|(_, fault)| matches!(fault, KmsError::OtherMaster(_))).count();
        if foreign > 0 && foreign == loaded.rows.len() {
            // One cause, and one line: the caller's.
            return Err(VaultError::OtherMasterKey);
        }
        for (row, fault) in closed {
            tracing::error!(kek = %row.id, category = row.category, %fault,
                "integrity: a key-encryption key does not open");
        }
        Ok(keyring)
    }

    /// How many generations open.
    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    pub(super) fn share(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }

    pub(super) fn masters(&self) -> Arc<Masters> {
        Arc::clone(&self.inner.masters)
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
        let row = self.wrap_new(category, 1, clock).await?;
        match store.insert_kek(&row).await {
            // Another node was faster: its key is the one to use.
            Ok(()) | Err(store::Error::Duplicate { .. }) => {}
            Err(fault) => return Err(fault.into()),
        }
        let stored = store.active_kek(category).await?.ok_or(VaultError::Vanished)?;
        let kek = self.unwrap_kek(&stored).await?;
        self.keep(kek);
        self.known_active(category).ok_or(VaultError::Vanished)
    }

    pub(super) fn holds(&self, kek: Uuid) -> bool {
        self.lock().contains_key(&kek)
    }

    /// From memory where it is there, so that a backup needs no KMS.
    pub(super) async fn wrap_for(
        &self,
        row: &KekRow,
        master: &Master,
    ) -> Result<Vec<u8>, VaultError> {
        let known = self.lock().get(&row.id).cloned();
        let kek = match known {
            Some(kek) => kek,
            None => Arc::new(self.unwrap_kek(row).await?),
        };
        let context = self.context(&kek.category, kek.generation, kek.id);
        Ok(master.wrap(&context, &kek.key).await?)
    }

    pub(super) fn unwrap_data_key(&self, secret: &SecretRow) -> Result<Key, CryptoError> {
        let kek = self.lock().get(&secret.kek_id).cloned().ok_or(CryptoError::WrongParent)?;
        let aad = data_key_aad(self.inner.installation, &kek, &secret.provider, secret.id);
        let parent = Parent { id: kek.id.into_bytes(), key: &kek.key };
        let opened = crypto::open(parent, Layer::DataKey, &aad, &secret.data_key)?;
        Key::from_slice(opened.expose()).ok_or(CryptoError::Malformed)
    }

    async fn wrap_new(
        &self,
        category: &str,
        generation: u32,
        clock: &Clock,
    ) -> Result<KekRow, VaultError> {
        let key = Key::fill_with(crypto::fill_random)?;
        let id = Uuid::now_v7();
        let master = self.inner.masters.active();
        let wrapped = master.wrap(&self.context(category, generation, id), &key).await?;
        Ok(KekRow {
            id,
            category: category.to_owned(),
            generation,
            wrapped,
            master: master.id(),
            state: KekState::Active,
            wraps: 0,
            created_at: clock.unix_ms(),
        })
    }

    async fn unwrap_kek(&self, row: &KekRow) -> Result<Kek, KmsError> {
        let context = self.context(&row.category, row.generation, row.id);
        let key = self.inner.masters.unwrap(&context, &row.master, &row.wrapped).await?;
        Ok(Kek {
            id: row.id,
            category: row.category.clone(),
            generation: row.generation,
            active: row.state == KekState::Active,
            key,
        })
    }

    fn context<'a>(&self, category: &'a str, generation: u32, id: Uuid) -> Context<'a> {
        Context { installation: self.inner.installation, category, generation, id }
    }

    fn known_active(&self, category: &str) -> Option<Arc<Kek>> {
        let keks = self.lock();
        let active = keks.values().filter(|kek| kek.active && kek.category == category);
        active.max_by_key(|kek| kek.generation).cloned()
    }

    fn keep(&self, kek: Kek) {
        self.lock().insert(kek.id, Arc::new(kek));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Uuid, Arc<Kek>>> {
        self.inner.keks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kek {
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
        let aad = data_key_aad(installation, self, provider, secret_id);
        let parent = Parent { id: self.id.into_bytes(), key: &self.key };
        let wrapped = crypto::seal(parent, Layer::DataKey, &aad, data_key.expose())?;
        Ok((data_key, wrapped))
    }
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
