//! Who calls: the in-memory table from a key's digest to its client key, filled on miss, corrected
//! at once on change; issue, change, rotate, revoke. Must never hold a key, and must never answer
//! from a row that was read before a change that has been acknowledged.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use uuid::Uuid;

use crate::client::{BadScope, Client, Scopes, State};
use crate::clock::Clock;
use crate::crypto::{CryptoError, token};
use crate::secret::SecretBytes;
use crate::store::{self, ClientKeyRow, NextDigest, Store};
use crate::telemetry::{AuthFailure, Metrics};

/// Beyond this many digests the table starts anew: a bound, not a cache policy.
const MAX_ENTRIES: usize = 2_000_000;
/// An unknown digest is not looked up again for this long, unless a key is made meanwhile.
const UNKNOWN_FOR_NS: u64 = 5_000_000_000;

pub(crate) struct Roster {
    store: Store,
    clock: Clock,
    metrics: Metrics,
    table: papaya::HashMap<[u8; 32], Entry, DigestHash>,
    /// Which digests of a client key are in the table; touched on misses and changes alone.
    digests: Mutex<HashMap<Uuid, Vec<[u8; 32]>>>,
    /// Moves with every change: what was read before it is not put into the table after it.
    revision: AtomicU64,
}

#[derive(Clone)]
enum Entry {
    Known { client: Arc<Client>, valid_until_ms: Option<i64> },
    Unknown { until_ns: u64 },
}

/// A new client key, or the settings of one to be made.
pub(crate) struct NewClient {
    pub(crate) row: ClientKeyRow,
}

/// A client key that was just made: the only moment at which the key itself is known.
pub(crate) struct Issued {
    pub(crate) row: ClientKeyRow,
    pub(crate) key: SecretBytes,
    pub(crate) preview: String,
}

pub(crate) struct Rotated {
    pub(crate) issued: Issued,
    pub(crate) previous_preview: Option<String>,
    pub(crate) valid_until_ms: i64,
}

#[derive(Debug)]
pub(crate) enum RosterError {
    BadScope(BadScope),
    LastAdmin,
    NotFound,
    Store(store::Error),
    Crypto(CryptoError),
}

impl From<store::Error> for RosterError {
    fn from(fault: store::Error) -> Self {
        match fault {
            store::Error::LastAdmin => Self::LastAdmin,
            other @ (store::Error::Open { .. }
            | store::Error::Newer { .. }
            | store::Error::Damaged { .. }
            | store::Error::Contradiction { .. }
            | store::Error::Duplicate { .. }
            | store::Error::Stale
            | store::Error::LeaseLost
            | store::Error::Worn
            | store::Error::Unreachable { .. }
            | store::Error::Failed { .. }) => Self::Store(other),
        }
    }
}

impl From<CryptoError> for RosterError {
    fn from(fault: CryptoError) -> Self {
        Self::Crypto(fault)
    }
}

impl std::fmt::Display for RosterError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::BadScope(bad) => write!(formatter, "`{}`: {}", bad.scope, bad.fault),
            Self::LastAdmin => store::Error::LastAdmin.fmt(formatter),
            Self::NotFound => formatter.write_str("there is no client key of that id"),
            Self::Store(fault) => fault.fmt(formatter),
            Self::Crypto(fault) => fault.fmt(formatter),
        }
    }
}

impl std::error::Error for RosterError {}

impl Roster {
    pub(crate) fn new(store: Store, clock: Clock, metrics: Metrics) -> Self {
        Self {
            store,
            clock,
            metrics,
            table: papaya::HashMap::builder().hasher(DigestHash).build(),
            digests: Mutex::default(),
            revision: AtomicU64::new(0),
        }
    }

    /// The client key of these bytes, if it is one that may be used now. A malformed key costs no
    /// look-up: its checksum is wrong.
    pub(crate) async fn authenticate(
        &self,
        presented: &[u8],
    ) -> Result<Option<Arc<Client>>, store::Error> {
        if !token::is_well_formed(presented) {
            self.metrics.authentication_failed(AuthFailure::Malformed);
            return Ok(None);
        }
        let digest = token::digest(presented);
        let entry = match self.known(&digest) {
            Some(entry) => entry,
            None => self.look_up(&digest).await?,
        };
        Ok(self.usable(entry))
    }

    /// May this client key still be used? For streams that outlive the look at the table.
    pub(crate) fn is_usable(&self, client: &Client) -> bool {
        !client.is_superseded() && client.state(&self.clock) == State::Active
    }

    /// Stores a new client key; the row's id and times are set here.
    pub(crate) async fn issue(&self, new: NewClient) -> Result<Issued, RosterError> {
        let mut row = new.row;
        client(&row)?;
        let minted = token::mint()?;
        let now_ms = self.clock.unix_ms();
        row.id = Uuid::now_v7();
        row.created_at = now_ms;
        row.updated_at = now_ms;
        self.store.insert_client_key(&row, &minted.digest, Some(&minted.preview)).await?;
        self.forget_digest(&minted.digest);
        Ok(Issued { row, key: minted.key, preview: minted.preview })
    }

    /// Persists the row and corrects the table before it answers.
    pub(crate) async fn change(&self, mut row: ClientKeyRow) -> Result<ClientKeyRow, RosterError> {
        client(&row)?;
        row.updated_at = self.clock.unix_ms();
        let changed = self.store.update_client_key_guarding_last_admin(&row).await;
        self.forget(row.id);
        if changed? { Ok(row) } else { Err(RosterError::NotFound) }
    }

    /// A new key for the same client; the old one works until the overlap ends.
    pub(crate) async fn rotate(
        &self,
        id: Uuid,
        overlap_seconds: u64,
    ) -> Result<Option<Rotated>, RosterError> {
        let Some(row) = self.store.client_key(id).await? else { return Ok(None) };
        let previews = self.store.client_key_previews(id).await?;
        let previous_preview = previews.into_iter().next().and_then(|shown| shown.preview);
        let minted = token::mint()?;
        let overlap_ms = i64::try_from(overlap_seconds.saturating_mul(1000)).unwrap_or(i64::MAX);
        let valid_until_ms = self.clock.unix_ms().saturating_add(overlap_ms);
        let next = NextDigest {
            digest: &minted.digest,
            preview: &minted.preview,
            former_valid_until: valid_until_ms,
        };
        let rotated = self.store.rotate_client_key(id, next).await;
        self.forget(id);
        self.forget_digest(&minted.digest);
        if !rotated? {
            return Ok(None);
        }
        let issued = Issued { row, key: minted.key, preview: minted.preview };
        Ok(Some(Rotated { issued, previous_preview, valid_until_ms }))
    }

    pub(crate) async fn delete(&self, id: Uuid) -> Result<bool, RosterError> {
        let deleted = self.store.delete_client_key_guarding_last_admin(id).await;
        self.forget(id);
        Ok(deleted?)
    }

    fn known(&self, digest: &[u8; 32]) -> Option<Entry> {
        let table = self.table.pin();
        let entry = table.get(digest)?;
        match entry {
            Entry::Unknown { until_ns } if *until_ns <= self.clock.monotonic_ns() => None,
            Entry::Unknown { .. } | Entry::Known { .. } => Some(entry.clone()),
        }
    }

    async fn look_up(&self, digest: &[u8; 32]) -> Result<Entry, store::Error> {
        loop {
            let revision = self.revision.load(Ordering::Acquire);
            let found = self.store.client_key_by_digest(digest).await?;
            let entry = match found {
                Some((row, valid_until_ms)) => match client(&row) {
                    Ok(client) => Entry::Known { client: Arc::new(client), valid_until_ms },
                    Err(fault) => {
                        tracing::error!(id = %row.id, %fault, "integrity: a client key is closed");
                        self.unknown()
                    }
                },
                None => self.unknown(),
            };
            if self.keep(digest, &entry, revision) {
                return Ok(entry);
            }
        }
    }

    fn unknown(&self) -> Entry {
        Entry::Unknown { until_ns: self.clock.monotonic_ns().saturating_add(UNKNOWN_FOR_NS) }
    }

    /// False if something changed since the row was read; it must be read again.
    fn keep(&self, digest: &[u8; 32], entry: &Entry, revision: u64) -> bool {
        let mut digests = self.digests.lock().unwrap_or_else(PoisonError::into_inner);
        if self.revision.load(Ordering::Acquire) != revision {
            return false;
        }
        let table = self.table.pin();
        if table.len() >= MAX_ENTRIES {
            table.clear();
            digests.clear();
        }
        if let Entry::Known { client, .. } = entry {
            let of_client = digests.entry(client.id).or_default();
            if !of_client.contains(digest) {
                of_client.push(*digest);
            }
        }
        table.insert(*digest, entry.clone());
        true
    }

    /// After this returns, no call is served from what was known of this client key before.
    fn forget(&self, id: Uuid) {
        let mut digests = self.digests.lock().unwrap_or_else(PoisonError::into_inner);
        self.revision.fetch_add(1, Ordering::AcqRel);
        let table = self.table.pin();
        for digest in digests.remove(&id).unwrap_or_default() {
            if let Some(Entry::Known { client, .. }) = table.remove(&digest) {
                client.superseded.store(true, Ordering::Release);
            }
        }
    }

    fn forget_digest(&self, digest: &[u8; 32]) {
        let _digests = self.digests.lock().unwrap_or_else(PoisonError::into_inner);
        self.revision.fetch_add(1, Ordering::AcqRel);
        self.table.pin().remove(digest);
    }

    /// A request came without any credential: counted like the other failures.
    pub(crate) fn missing(&self) {
        self.metrics.authentication_failed(AuthFailure::Missing);
    }

    fn usable(&self, entry: Entry) -> Option<Arc<Client>> {
        let failure = match entry {
            Entry::Unknown { .. } => AuthFailure::Unknown,
            Entry::Known { valid_until_ms: Some(until), .. } if until <= self.clock.unix_ms() => {
                AuthFailure::Expired
            }
            Entry::Known { client, .. } => match client.state(&self.clock) {
                State::Active => return Some(client),
                State::Revoked => AuthFailure::Revoked,
                State::Expired => AuthFailure::Expired,
            },
        };
        self.metrics.authentication_failed(failure);
        None
    }
}

/// The row as the corridor needs it; fails where its scopes are none.
fn client(row: &ClientKeyRow) -> Result<Client, RosterError> {
    let scopes = row.scopes.as_deref().map(Scopes::parse).transpose();
    Ok(Client {
        id: row.id,
        name: row.name.clone(),
        role: row.role,
        tier: row.tier,
        scopes: scopes.map_err(RosterError::BadScope)?,
        limit: row.quota_limit,
        expires_at_ms: row.expires_at,
        secrets: row.secrets.clone(),
        active: row.active,
        superseded: AtomicBool::new(false),
    })
}

/// A digest is uniform already: its first eight bytes are its hash.
#[derive(Clone, Copy, Default)]
struct DigestHash;

struct FirstEight(u64);

impl std::hash::BuildHasher for DigestHash {
    type Hasher = FirstEight;

    fn build_hasher(&self) -> FirstEight {
        FirstEight(0)
    }
}

impl std::hash::Hasher for FirstEight {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk::<8>() {
            self.0 = u64::from_le_bytes(*first);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{Role, Tier};
    use crate::store::{Settings, Target};

    async fn roster() -> (Roster, Clock, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::settable(1_800_000_000_000);
        let target = Target::Sqlite(folder.path().join("test.db"));
        let store = Store::open(&Settings { target }, clock.clone()).await.unwrap();
        let metrics = Metrics::new(clock.clone(), []);
        (Roster::new(store, clock.clone(), metrics), clock, folder)
    }

    fn new(role: Role) -> NewClient {
        NewClient { row: ClientKeyRow::new("test", role, Tier::Standard, "test") }
    }

    async fn name_of(roster: &Roster, key: &SecretBytes) -> Option<String> {
        let client = roster.authenticate(key.expose()).await.unwrap();
        client.map(|client| client.name.clone())
    }

    #[tokio::test]
    async fn a_key_is_known_until_it_is_revoked_and_again_when_it_is_restored() {
        let (roster, _clock, _folder) = roster().await;
        let issued = roster.issue(new(Role::User)).await.unwrap();
        assert_eq!(name_of(&roster, &issued.key).await.as_deref(), Some("test"));
        let mut row = issued.row.clone();
        row.active = false;
        roster.change(row.clone()).await.unwrap();
        assert_eq!(name_of(&roster, &issued.key).await, None);
        row.active = true;
        roster.change(row).await.unwrap();
        assert!(name_of(&roster, &issued.key).await.is_some());
        assert!(roster.delete(issued.row.id).await.unwrap());
        assert_eq!(name_of(&roster, &issued.key).await, None);
    }

    #[tokio::test]
    async fn a_key_that_was_asked_for_before_it_was_made_is_known_at_once() {
        let (roster, _clock, _folder) = roster().await;
        let stranger = token::mint().unwrap();
        assert_eq!(name_of(&roster, &stranger.key).await, None);
        assert_eq!(roster.authenticate(b"mdw_nonsense").await.unwrap().map(|_| ()), None);
    }

    #[tokio::test]
    async fn both_keys_work_while_the_overlap_lasts() {
        let (roster, clock, _folder) = roster().await;
        let first = roster.issue(new(Role::User)).await.unwrap();
        assert!(name_of(&roster, &first.key).await.is_some());
        let rotated = roster.rotate(first.row.id, 60).await.unwrap().unwrap();
        assert_eq!(rotated.previous_preview.as_deref(), Some(first.preview.as_str()));
        assert!(name_of(&roster, &first.key).await.is_some());
        assert!(name_of(&roster, &rotated.issued.key).await.is_some());
        clock.advance(std::time::Duration::from_secs(61));
        assert_eq!(name_of(&roster, &first.key).await, None);
        assert!(name_of(&roster, &rotated.issued.key).await.is_some());
    }

    #[tokio::test]
    async fn the_last_admin_cannot_be_removed_and_an_expired_key_is_no_key() {
        let (roster, clock, _folder) = roster().await;
        let admin = roster.issue(new(Role::Admin)).await.unwrap();
        assert!(matches!(roster.delete(admin.row.id).await, Err(RosterError::LastAdmin)));
        let mut user = new(Role::User);
        user.row.expires_at = Some(clock.unix_ms() + 1_000);
        let user = roster.issue(user).await.unwrap();
        assert!(name_of(&roster, &user.key).await.is_some());
        clock.advance(std::time::Duration::from_secs(1));
        assert_eq!(name_of(&roster, &user.key).await, None);
    }
}
