//! The keys that sign tokens: made when they are first needed, sealed under a category of their
//! own, renewed by age. A new one is published before it signs, and a former one after it has
//! stopped, so that whoever checks signatures always knows the key. Must never publish one that
//! does not open: a row that somebody put there would vouch for his tokens.

use std::sync::Arc;

use super::jobs::Work;
use super::keyring::{Kek, Keyring};
use super::{Vault, VaultError};
use crate::crypto::{self, Aad, CryptoError, Layer, Signer};
use crate::secret::Key;
use crate::store::{self, SigningKeyRow};

/// The public half of a signing key, as others may know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Published {
    pub(crate) id: String,
    pub(crate) public: String,
}

/// The category of the hierarchy that seals them.
const CATEGORY: &str = "signing-keys";
const DAY_MS: i64 = 86_400_000;
/// A key is followed by the next one after this long,
const RENEWED_AFTER_MS: i64 = 30 * DAY_MS;
/// which signs once everybody had time to fetch it;
const AHEAD_MS: i64 = 10 * 60_000;
/// and is published for as long again as any token may live.
const BEHIND_MS: i64 = DAY_MS + AHEAD_MS;
/// How long what is published is not looked up again: anybody may ask for it.
const PUBLISHED_FOR_NS: u64 = 1_000_000_000;
/// How often to begin again when another node was faster.
const TRIES: u32 = 5;

impl Vault {
    /// The key that signs now.
    pub(crate) async fn signer(&self) -> Result<Signer, VaultError> {
        let mut keys = self.signing_keys().await?;
        let by_now = self.clock.unix_ms() - AHEAD_MS;
        // The newest that was published long enough; else the first of all.
        let place = keys.iter().rposition(|(row, _)| row.created_at <= by_now).unwrap_or(0);
        if place >= keys.len() {
            return Err(VaultError::Vanished);
        }
        Ok(keys.swap_remove(place).1)
    }

    /// Every key under which a token may have been signed that still lives, and the next one.
    pub(crate) async fn published_keys(&self) -> Result<Arc<[Published]>, VaultError> {
        self.unsealed()?;
        let now_ns = self.clock.monotonic_ns();
        if let Some((until_ns, known)) = self.published.load().as_deref()
            && now_ns < *until_ns
        {
            return Ok(Arc::clone(known));
        }
        let keys = self.signing_keys().await?;
        let published = |(_, signer): &(SigningKeyRow, Signer)| Published {
            id: signer.id(),
            public: signer.public(),
        };
        let known: Arc<[Published]> = keys.iter().map(published).collect();
        self.published.store(Some(Arc::new((now_ns + PUBLISHED_FOR_NS, Arc::clone(&known)))));
        Ok(known)
    }

    /// Those that open, the earliest first; at least one.
    async fn signing_keys(&self) -> Result<Vec<(SigningKeyRow, Signer)>, VaultError> {
        let keyring = self.unsealed()?.keyring.share();
        for _ in 0..TRIES {
            let now_ms = self.clock.unix_ms();
            let rows = self.store.signing_keys().await?.rows;
            // Another node may have made the generation that seals it.
            if rows.iter().any(|row| keyring.known(row.kek_id).is_none()) {
                keyring.refresh(&self.store).await?;
            }
            let last = rows.last().map_or(0, |row| row.number);
            let mut keys: Vec<(SigningKeyRow, Signer)> = Vec::new();
            for row in rows {
                match self.open_signing_key(&keyring, &row) {
                    Ok(signer) => keys.push((row, signer)),
                    Err(fault) => tracing::error!(number = row.number, %fault,
                        "integrity: a signing key does not open"),
                }
            }
            let newest = keys.last().map(|(row, _)| row.created_at);
            if newest.is_some_and(|newest| now_ms < newest.saturating_add(RENEWED_AFTER_MS)) {
                return self.without_former(keys, now_ms).await;
            }
            match self.make_signing_key(&keyring, last + 1).await {
                // Another node made it, or the generation: both are read anew.
                Ok(()) | Err(VaultError::Duplicate | VaultError::Stale) => {
                    keyring.refresh(&self.store).await?;
                }
                Err(fault) => return Err(fault),
            }
        }
        Err(VaultError::Stale)
    }

    /// Less those whose follower has signed for so long that no token of theirs can live.
    async fn without_former(
        &self,
        mut keys: Vec<(SigningKeyRow, Signer)>,
        now_ms: i64,
    ) -> Result<Vec<(SigningKeyRow, Signer)>, VaultError> {
        let is_over = |row: &SigningKeyRow| row.created_at + AHEAD_MS + BEHIND_MS <= now_ms;
        let first = keys.iter().rposition(|(row, _)| is_over(row)).unwrap_or(0);
        for (row, _) in keys.drain(..first) {
            self.store.drop_signing_key(row.number).await?;
        }
        Ok(keys)
    }

    async fn make_signing_key(&self, keyring: &Keyring, number: i64) -> Result<(), VaultError> {
        let _changing = self.changing.lock().await;
        let kek = keyring.active_kek(&self.store, &self.clock, CATEGORY).await?;
        // No secret is of this category, but each one that has keys has a list.
        if self.store.list_of(CATEGORY).await?.is_none() {
            let loaded = self.store.secrets().await?;
            self.begin_anew(keyring, &loaded, (CATEGORY, None)).await?;
        }
        let seed = Key::fill_with(crypto::fill_random)?;
        let created_at = self.clock.unix_ms();
        let row = SigningKeyRow { number, kek_id: kek.id(), sealed: Vec::new(), created_at };
        let row = self.sealed_signing_key(row, &kek, &seed)?;
        match self.store.insert_signing_key(&row).await {
            Ok(()) => Ok(()),
            Err(store::Error::Duplicate { .. }) => Err(VaultError::Duplicate),
            Err(fault) => Err(fault.into()),
        }
    }

    /// Signing keys move to the active generation, like whatever else hangs on an old one.
    pub(super) async fn rewrap_signing_keys(
        &self,
        keyring: &Keyring,
        work: Work<'_>,
    ) -> Result<(), VaultError> {
        for row in self.store.signing_keys().await?.rows {
            let Some(kek) = keyring.known_active(CATEGORY) else { return Ok(()) };
            let former = row.kek_id;
            if former == kek.id() {
                continue;
            }
            let seed = match self.signing_seed(keyring, &row) {
                Ok(seed) => seed,
                // Its own damage keeps its generation.
                Err(fault) => {
                    tracing::error!(number = row.number, %fault, "a signing key cannot be moved");
                    continue;
                }
            };
            let moved = self.sealed_signing_key(row, &kek, &seed)?;
            self.store.reseal_signing_key(&moved, former).await?;
            self.keep_lease(work).await?;
        }
        Ok(())
    }

    fn open_signing_key(
        &self,
        keyring: &Keyring,
        row: &SigningKeyRow,
    ) -> Result<Signer, CryptoError> {
        Signer::of_seed(&self.signing_seed(keyring, row)?)
    }

    fn signing_seed(&self, keyring: &Keyring, row: &SigningKeyRow) -> Result<Key, CryptoError> {
        let kek = keyring.known(row.kek_id).ok_or(CryptoError::WrongParent)?;
        let aad = self.signing_key_aad(row);
        let opened = crypto::open(kek.parent(), Layer::SigningKey, &aad, &row.sealed)?;
        Key::from_slice(opened.expose()).ok_or(CryptoError::Malformed)
    }

    fn sealed_signing_key(
        &self,
        mut row: SigningKeyRow,
        kek: &Kek,
        seed: &Key,
    ) -> Result<SigningKeyRow, CryptoError> {
        row.kek_id = kek.id();
        let aad = self.signing_key_aad(&row);
        row.sealed = crypto::seal(kek.parent(), Layer::SigningKey, &aad, seed.expose())?;
        Ok(row)
    }

    /// Its age decides when it is followed, so that is bound, too.
    fn signing_key_aad(&self, row: &SigningKeyRow) -> Aad {
        Aad::new("signing-key")
            .with(self.installation.as_bytes())
            .with(CATEGORY.as_bytes())
            .with(row.kek_id.as_bytes())
            .with_number(row.number.unsigned_abs())
            .with_number(row.created_at.unsigned_abs())
    }
}
