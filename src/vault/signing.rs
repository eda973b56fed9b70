//! The keys that sign tokens: made when they are first needed, sealed under a category of their
//! own, renewed by age. A new one is published before it signs, and a former one after it has
//! stopped, so that whoever checks signatures always knows the key. A row that somebody has edited
//! or deleted is followed by a new key at once: tokens live for minutes, so nothing is lost with
//! the old one but a little time. Must never publish one that does not open: a row that somebody
//! put there would vouch for his tokens.

use std::sync::Arc;

use uuid::Uuid;

use super::jobs::Work;
use super::keyring::{Kek, Keyring};
use super::{Anchors, Vault, VaultError};
use crate::crypto::{self, Aad, CryptoError, Layer, Signer};
use crate::secret::Key;
use crate::store::{self, SigningKeyRow, Store};

/// The public half of a signing key, as others may know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Published {
    pub(crate) id: String,
    pub(crate) public: String,
}

/// The category of the hierarchy that seals them.
pub(super) const CATEGORY: &str = "signing-keys";
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
/// No number of a key comes near this.
const MOST: i64 = 1 << 52;

const EDITED: &str = "a row of the table signing_keys is not as Sealgate left it: what it signed \
                      others can check no more, and here its tokens hold until they end";
const GONE: &str = "a row of the table signing_keys was deleted outside Sealgate: what it signed \
                    others can check no more, and here its tokens hold until they end";

/// The rows as they stand.
#[derive(Default)]
struct Stood {
    open: Vec<(SigningKeyRow, Signer)>,
    /// Those that open no more, and never will.
    broken: Vec<i64>,
    /// The highest number that a key has.
    last: i64,
}

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
            let stood = look(&self.store, &keyring).await?;
            self.put_broken_away(&stood).await?;
            let newest = stood.open.last().map(|(row, _)| row.created_at);
            if newest.is_some_and(|newest| now_ms < newest.saturating_add(RENEWED_AFTER_MS)) {
                return self.without_former(stood.open, now_ms).await;
            }
            let next = stood.last.max(self.anchors.signing_key()) + 1;
            match self.make_signing_key(&keyring, next).await {
                // Another node made it, or the generation: both are read anew.
                Ok(()) | Err(VaultError::Duplicate | VaultError::Stale) => {
                    keyring.refresh(&self.store).await?;
                }
                Err(fault) => return Err(fault),
            }
        }
        Err(VaultError::Stale)
    }

    /// What somebody has edited goes, so that its place is free; that it was, and that one was
    /// deleted, stands until somebody has looked.
    async fn put_broken_away(&self, stood: &Stood) -> Result<(), VaultError> {
        for number in &stood.broken {
            tracing::error!(number, "integrity: a signing key does not open; a new one follows");
            self.store.drop_signing_key(*number).await?;
        }
        if !stood.broken.is_empty() {
            self.doubt_until_seen(&doubt(EDITED));
        } else if stood.last < self.anchors.signing_key() {
            self.doubt_until_seen(&doubt(GONE));
        }
        if self.anchors.sees_signing_key(stood.last)
            && let Err(fault) = self.anchors.advance(&[])
        {
            tracing::error!(%fault, "the anchors of the inventories cannot be written");
        }
        Ok(())
    }

    /// Without waiting for somebody who wants a token.
    pub(super) async fn mend_signing_keys(&self) -> Result<(), VaultError> {
        let keyring = self.unsealed()?.keyring.share();
        self.put_broken_away(&look(&self.store, &keyring).await?).await
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
            let seed = match signing_seed(keyring, &row) {
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

    fn sealed_signing_key(
        &self,
        mut row: SigningKeyRow,
        kek: &Kek,
        seed: &Key,
    ) -> Result<SigningKeyRow, CryptoError> {
        row.kek_id = kek.id();
        let aad = signing_key_aad(self.installation, &row);
        row.sealed = crypto::seal(kek.parent(), Layer::SigningKey, &aad, seed.expose())?;
        Ok(row)
    }
}

/// One sentence for each thing that is wrong with the rows. Changes nothing.
pub(super) async fn signing_faults(
    store: &Store,
    keyring: &Keyring,
    anchors: &Anchors,
) -> Result<Vec<String>, VaultError> {
    let stood = look(store, keyring).await?;
    let mut found = Vec::new();
    if !stood.broken.is_empty() {
        found.push(format!("{EDITED}; the next token is signed by a new key, made by itself"));
    }
    if stood.last < anchors.signing_key() {
        found.push(format!("{GONE}; the next token is signed by a new key, made by itself"));
    }
    Ok(found)
}

fn doubt(what: &str) -> String {
    format!(
        "{what}; a new key signs by now. Find out who changed the database, then say with \
         `sealgate secret accept` that you have seen it"
    )
}

async fn look(store: &Store, keyring: &Keyring) -> Result<Stood, VaultError> {
    let loaded = store.signing_keys().await?;
    // Another node may have made the generation that seals it.
    if loaded.rows.iter().any(|row| keyring.known(row.kek_id).is_none()) {
        keyring.refresh(store).await?;
    }
    let mut stood = Stood::default();
    for row in loaded.rows {
        let is_sane = (1..MOST).contains(&row.number) && row.created_at >= 0;
        match signing_seed(keyring, &row).and_then(|seed| Signer::of_seed(&seed)) {
            Ok(signer) if is_sane => {
                stood.last = row.number;
                stood.open.push((row, signer));
            }
            // Its generation may be mended yet.
            Err(_) if is_sane && is_closed(store, keyring, &row).await? => {
                stood.last = row.number;
            }
            Ok(_) | Err(_) => stood.broken.push(row.number),
        }
    }
    let unread = loaded.contradictions.iter().filter_map(store::Error::row);
    stood.broken.extend(unread.filter_map(|row| row.parse::<i64>().ok()));
    Ok(stood)
}

/// Is there a row of the key that seals it, which does not open either?
async fn is_closed(
    store: &Store,
    keyring: &Keyring,
    key: &SigningKeyRow,
) -> Result<bool, VaultError> {
    if keyring.known(key.kek_id).is_some() {
        return Ok(false);
    }
    let keks = store.keks().await?;
    let id = key.kek_id.to_string();
    let unread = keks.contradictions.iter().any(|fault| fault.row() == Some(&id));
    let is_closed = |kek: &store::KekRow| kek.id == key.kek_id && !kek.is_gone();
    Ok(unread || keks.rows.iter().any(is_closed))
}

pub(super) fn signing_seed(keyring: &Keyring, row: &SigningKeyRow) -> Result<Key, CryptoError> {
    let kek = keyring.known(row.kek_id).ok_or(CryptoError::WrongParent)?;
    let aad = signing_key_aad(keyring.installation(), row);
    let opened = crypto::open(kek.parent(), Layer::SigningKey, &aad, &row.sealed)?;
    Key::from_slice(opened.expose()).ok_or(CryptoError::Malformed)
}

/// Its age decides when it is followed, so that is bound, too.
fn signing_key_aad(installation: Uuid, row: &SigningKeyRow) -> Aad {
    Aad::new("signing-key")
        .with(installation.as_bytes())
        .with(CATEGORY.as_bytes())
        .with(row.kek_id.as_bytes())
        .with_number(row.number.unsigned_abs())
        .with_number(row.created_at.unsigned_abs())
}
