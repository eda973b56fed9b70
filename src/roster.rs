//! Who calls: the in-memory table from the digest of a key or token to its client key, filled on
//! miss, corrected at once on change; issue, change, rotate, revoke. Must never hold a key, and
//! must never answer from a row that was read before a change that has been acknowledged.

mod compiled;
mod ends;
mod failures;
mod fault;
mod table;
#[cfg(test)]
mod timing;
mod tokens;

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use uuid::{ContextV7, Timestamp, Uuid};

pub(crate) use self::compiled::client as compiled;
use self::ends::Ends;
use self::failures::Failures;
pub(crate) use self::fault::RosterError;
use self::table::{Entry, Now, Table};
pub(crate) use self::tokens::{TOO_MANY, TokenFault, WantedToken};
use crate::client::Client;
use crate::clock::Clock;
use crate::crypto::token;
use crate::secret::SecretBytes;
use crate::store::{self, ClientKeyRow, ImportedKey, NextDigest, Store};
use crate::telemetry::{AuthFailure, Metrics};

/// An unknown digest is not looked up again for this long, unless a key is made meanwhile.
const UNKNOWN_FOR_NS: u64 = 5_000_000_000;

/// Of a token, unless the settings say otherwise.
const MOST_TOKEN_SECONDS: u64 = 900;
/// Of one address in a minute, unless the settings say otherwise.
const FREE_FAILURES: u64 = 1000;

pub(crate) struct Roster {
    /// Keeps ids of one millisecond in the order in which they were made.
    ids: Mutex<AssertUnwindSafe<ContextV7>>,
    store: Store,
    clock: Clock,
    metrics: Metrics,
    table: Table,
    /// Keys of older systems are known, so that no shape tells that a key is none.
    has_imported: AtomicBool,
    /// Moves whenever somebody may hold a client key that has ended.
    endings: AtomicU64,
    ends: Ends,
    failures: Failures,
    most_token_seconds: u64,
    made: tokens::Made,
    alike: compiled::Alike,
}

/// Where a credential stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// `X-API-Key` or Bearer: keys of older systems may stand there.
    Open,
    /// Any other slot: only keys and tokens of our own shape.
    Own,
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

impl Roster {
    pub(crate) async fn open(
        store: Store,
        clock: Clock,
        metrics: Metrics,
    ) -> Result<Self, store::Error> {
        let has_imported = AtomicBool::new(store.has_imported_client_keys().await?);
        Ok(Self {
            ids: Mutex::new(AssertUnwindSafe(ContextV7::new())),
            store,
            clock,
            metrics,
            table: Table::new(),
            has_imported,
            endings: AtomicU64::new(0),
            ends: Ends::default(),
            failures: Failures::new(FREE_FAILURES),
            most_token_seconds: MOST_TOKEN_SECONDS,
            made: tokens::Made::default(),
            alike: compiled::Alike::default(),
        })
    }

    /// With another number of failures in a minute that are answered at once.
    #[must_use]
    pub(crate) fn slowing_beyond(mut self, free_failures_per_minute: u64) -> Self {
        self.failures = Failures::new(free_failures_per_minute);
        self
    }

    /// With another longest life of a token.
    #[must_use]
    pub(crate) fn with_tokens_of(mut self, most_token_seconds: u64) -> Self {
        self.most_token_seconds = most_token_seconds;
        self
    }

    /// Before a failed authentication is answered: waits where this address has had too many.
    pub(crate) async fn slow_down(&self, address: IpAddr) {
        self.failures.slow_down(address, self.clock.monotonic_ns()).await;
    }

    /// A failed sign-in of an operator: counted with the others; how soon the next one is taken is
    /// judged by his name.
    pub(crate) fn failed(&self, address: IpAddr) {
        self.failures.note(address, self.clock.monotonic_ns());
    }

    /// Who failed to prove himself at least so often within the last minute; None: all together.
    pub(crate) fn bursts(&self, least: u64) -> Vec<(Option<IpAddr>, u64)> {
        self.failures.bursts(least, self.clock.monotonic_ns())
    }

    /// The client key of these bytes, if it is one that may be used now. A malformed key costs no
    /// look-up while all keys are our own: its checksum is wrong.
    pub(crate) async fn authenticate(
        &self,
        presented: &[u8],
        place: Place,
    ) -> Result<Option<Arc<Client>>, store::Error> {
        let may_be_any =
            || token::is_jwt_shaped(presented) || (place == Place::Open && self.takes_any_shape());
        if !token::is_well_formed(presented) && !may_be_any() {
            self.metrics.authentication_failed(AuthFailure::Malformed);
            return Ok(None);
        }
        let digest = token::digest(presented);
        let judged = match self.table.find(&digest, &self.clock) {
            Some(judged) => judged,
            None => {
                self.look_up(&digest, token::is_token(presented)).await?.judge(self.clock.now())
            }
        };
        Ok(judged.map_err(|failure| self.metrics.authentication_failed(failure)).ok())
    }

    /// Are there keys of older systems, whose shape nobody knows?
    pub(crate) fn takes_any_shape(&self) -> bool {
        self.has_imported.load(Ordering::Relaxed)
    }

    /// Stores a new client key; the row's id and times are set here.
    pub(crate) async fn issue(&self, new: NewClient) -> Result<Issued, RosterError> {
        let mut row = new.row;
        compiled(&row)?;
        let minted = token::mint()?;
        let now_ms = self.clock.unix_ms();
        row.id = self.id_of(now_ms);
        row.created_at = now_ms;
        row.updated_at = now_ms;
        self.store.insert_client_key(&row, &minted.digest, Some(&minted.preview)).await?;
        self.table.forget_digests([&minted.digest]);
        Ok(Issued { row, key: minted.key, preview: minted.preview })
    }

    /// Takes over keys of an older system; their ids and times are set here. One answer each: false
    /// where the digest is known already.
    pub(crate) async fn import(&self, keys: &mut [ImportedKey]) -> Result<Vec<bool>, RosterError> {
        let now_ms = self.clock.unix_ms();
        for key in &mut *keys {
            compiled(&key.row)?;
            key.row.id = self.id_of(now_ms);
            key.row.created_at = now_ms;
            key.row.updated_at = now_ms;
        }
        let taken = self.store.import_client_keys(keys).await?;
        if taken.contains(&true) {
            self.has_imported.store(true, Ordering::Relaxed);
        }
        self.table.forget_digests(keys.iter().map(|key| &key.digest));
        Ok(taken)
    }

    /// Persists the row and corrects the table before it answers.
    pub(crate) async fn change(&self, mut row: ClientKeyRow) -> Result<ClientKeyRow, RosterError> {
        let new = compiled(&row)?;
        row.updated_at = self.clock.unix_ms();
        self.ends.note(&row, row.updated_at);
        let changed = self.store.update_client_key_guarding_last_admin(&row).await;
        let has_changed = matches!(changed, Ok(true));
        self.forget(row.id, &if has_changed { Now::Changed(&new) } else { unchanged(&changed) });
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
        // Without an overlap, whoever came in with the old key is out.
        let at_once = overlap_seconds == 0 && matches!(rotated, Ok(true));
        self.forget(id, &if at_once { Now::Gone } else { unchanged(&rotated) });
        self.table.forget_digests([&minted.digest]);
        if !rotated? {
            return Ok(None);
        }
        let issued = Issued { row, key: minted.key, preview: minted.preview };
        Ok(Some(Rotated { issued, previous_preview, valid_until_ms }))
    }

    /// Stops a client key whose row somebody has edited, which stays as wrong as it was. False if
    /// there is none.
    pub(crate) async fn stop(&self, id: Uuid) -> Result<bool, RosterError> {
        let stopped = self.store.stop_client_key(id).await;
        let is_stopped = matches!(stopped, Ok(true));
        self.forget(id, &if is_stopped { Now::Gone } else { unchanged(&stopped) });
        Ok(stopped?)
    }

    /// Takes a client key that somebody has edited as it stands. False if there is none.
    pub(crate) async fn accept(&self, id: Uuid) -> Result<bool, RosterError> {
        let is_there = self.store.accept_client_key(id).await?;
        self.heard(id).await?;
        // It was none until now.
        self.table.forget_unknown();
        Ok(is_there)
    }

    pub(crate) async fn delete(&self, id: Uuid) -> Result<bool, RosterError> {
        let deleted = self.store.delete_client_key_guarding_last_admin(id).await;
        let is_gone = matches!(deleted, Ok(true));
        self.forget(id, &if is_gone { Now::Gone } else { unchanged(&deleted) });
        Ok(deleted?)
    }

    /// An expired client key leaves the table, and whoever still uses it ends.
    fn put_away(&self, id: Uuid) {
        self.forget(id, &Now::Gone);
    }

    fn noted(&self, row: &ClientKeyRow) -> Result<Client, RosterError> {
        self.ends.note_to_come(row, self.clock.unix_ms());
        compiled(row)
    }

    /// Another node has changed something of this client key; it is asked what.
    pub(crate) async fn heard(&self, id: Uuid) -> Result<(), store::Error> {
        let mut digests = self.store.client_key_digests(id).await?;
        digests.extend(self.store.client_token_digests(id).await?);
        let found = match self.store.fitting_client_key(id).await {
            Err(fault @ store::Error::Contradiction { .. }) => {
                tracing::error!(%fault, "integrity: a client key is refused");
                self.metrics.alert_raised("integrity");
                None
            }
            read => read?,
        };
        let now_ms = self.clock.unix_ms();
        found.iter().for_each(|row| self.ends.note(row, now_ms));
        match found.map(|row| compiled(&row)) {
            Some(Ok(new)) => {
                self.forget(id, &Now::Heard { new: &new, digests: &digests, now_ms });
            }
            Some(Err(_)) | None => self.forget(id, &Now::Gone),
        }
        Ok(())
    }

    /// Another node has made or taken over client keys.
    pub(crate) async fn heard_of_new_ones(&self) -> Result<(), store::Error> {
        if self.store.has_imported_client_keys().await? {
            self.has_imported.store(true, Ordering::Relaxed);
        }
        self.table.forget_unknown();
        Ok(())
    }

    /// More was changed elsewhere than anybody remembers: all that is known is asked for anew.
    pub(crate) async fn lost_track(&self) -> Result<(), store::Error> {
        self.heard_of_new_ones().await?;
        for id in self.table.ids() {
            self.heard(id).await?;
        }
        Ok(())
    }

    fn forget(&self, id: Uuid, now: &Now<'_>) {
        if self.table.forget(id, now) {
            self.endings.fetch_add(1, Ordering::Release);
        }
    }

    /// A number that moves when streams should look whether their client key is what it was.
    pub(crate) fn endings(&self) -> u64 {
        self.endings.load(Ordering::Acquire)
    }

    /// What is stored of a client key.
    pub(crate) async fn row(&self, id: Uuid) -> Result<Option<ClientKeyRow>, store::Error> {
        self.store.client_key(id).await
    }

    /// An id holds the moment at which its key was made: months of quotas are counted from there.
    fn id_of(&self, now_ms: i64) -> Uuid {
        let made_ms = u64::try_from(now_ms).unwrap_or(0);
        let nanoseconds = u32::try_from(made_ms % 1000).unwrap_or(0) * 1_000_000;
        let at = Timestamp::from_unix(&self.ids, made_ms / 1000, nanoseconds);
        Uuid::new_v7(at)
    }

    async fn look_up(&self, digest: &[u8; 32], is_token: bool) -> Result<Entry, store::Error> {
        loop {
            let revision = self.table.revision();
            let as_token = if is_token { self.look_up_token(digest).await? } else { None };
            let entry = match as_token {
                Some(entry) => entry,
                // A key of an older system may look like anything.
                None if !is_token || self.takes_any_shape() => self.look_up_key(digest).await?,
                None => self.unknown(),
            };
            if let Some(entry) = self.table.keep(digest, entry, revision) {
                return Ok(entry);
            }
        }
    }

    async fn look_up_key(&self, digest: &[u8; 32]) -> Result<Entry, store::Error> {
        let found = match self.store.client_key_by_digest(digest).await {
            // Edited by somebody: no credential, and everybody else goes on.
            Err(fault @ store::Error::Contradiction { .. }) => {
                tracing::error!(%fault, "integrity: a client key is refused");
                self.metrics.alert_raised("integrity");
                None
            }
            read => read?,
        };
        Ok(match found {
            Some((row, valid_until_ms)) => match self.noted(&row) {
                Ok(mut client) => {
                    self.alike.share(&mut client);
                    Entry::known(Arc::new(client), valid_until_ms)
                }
                Err(fault) => {
                    tracing::error!(id = %row.id, %fault, "integrity: a client key is closed");
                    self.unknown()
                }
            },
            None => self.unknown(),
        })
    }

    fn unknown(&self) -> Entry {
        Entry::unknown(self.clock.monotonic_ns().saturating_add(UNKNOWN_FOR_NS))
    }

    /// A request came without any credential: counted like the other failures.
    pub(crate) fn missing(&self) {
        self.metrics.authentication_failed(AuthFailure::Missing);
    }
}

/// What becomes of a client key whose change was not made: where the database said that it was, and
/// something else stands, nobody is served by it any more.
fn unchanged(outcome: &Result<bool, store::Error>) -> Now<'static> {
    match outcome {
        Err(store::Error::Contradiction { table: "client_keys", .. }) => Now::Gone,
        Ok(_) | Err(_) => Now::Same,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{Role, Standing, Tier};
    use crate::store::{Settings, Target};

    async fn roster() -> (Roster, Clock, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::settable(1_800_000_000_000);
        let target = Target::Sqlite(folder.path().join("test.db"));
        let store = Store::open(&Settings { target }, clock.clone()).await.unwrap();
        let metrics = Metrics::new(clock.clone(), []);
        (Roster::open(store, clock.clone(), metrics).await.unwrap(), clock, folder)
    }

    fn new(role: Role) -> NewClient {
        NewClient { row: ClientKeyRow::new("test", role, Tier::Standard, "test") }
    }

    async fn name_of(roster: &Roster, key: &SecretBytes) -> Option<String> {
        let client = roster.authenticate(key.expose(), Place::Open).await.unwrap();
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
        let nonsense = roster.authenticate(b"mdw_nonsense", Place::Open).await.unwrap();
        assert_eq!(nonsense.map(|_| ()), None);
    }

    #[tokio::test]
    async fn another_node_ends_what_came_in_by_a_key_that_was_rotated_at_once() {
        let (here, clock, _folder) = roster().await;
        let metrics = Metrics::new(clock.clone(), []);
        let there = Roster::open(here.store.clone(), clock.clone(), metrics).await.unwrap();
        let issued = here.issue(new(Role::User)).await.unwrap();
        let id = issued.row.id;
        let enters = async |key: &SecretBytes| {
            there.authenticate(key.expose(), Place::Open).await.unwrap().unwrap()
        };
        let by_first = enters(&issued.key).await;
        let second = here.rotate(id, 60).await.unwrap().unwrap().issued;
        there.heard(id).await.unwrap();
        let by_second = enters(&second.key).await;
        assert_eq!(by_first.standing(&clock), Standing::Good);
        here.rotate(id, 0).await.unwrap().unwrap();
        let before = there.endings();
        there.heard(id).await.unwrap();
        assert_eq!(by_first.standing(&clock), Standing::Ended);
        assert_eq!(by_second.standing(&clock), Standing::Ended);
        assert_ne!(there.endings(), before);
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

    /// Else whoever asks with it could tell by the time that it is looked up again and again.
    #[tokio::test]
    async fn an_expired_key_stays_known_as_one() {
        let (roster, clock, _folder) = roster().await;
        let mut new = new(Role::User);
        new.row.expires_at = Some(clock.unix_ms() + 1_000);
        let issued = roster.issue(new).await.unwrap();
        assert!(name_of(&roster, &issued.key).await.is_some());
        clock.advance(std::time::Duration::from_secs(1));
        roster.end_expired().await;
        let digest = token::digest(issued.key.expose());
        let is_known = || matches!(roster.table.find(&digest, &clock), Some(Err(_)));
        assert!(!is_known(), "put away when it ended");
        assert_eq!(name_of(&roster, &issued.key).await, None);
        for _ in 0..3 {
            clock.advance(std::time::Duration::from_secs(60));
            roster.end_expired().await;
            assert!(is_known());
        }
    }

    #[tokio::test]
    async fn an_imported_key_has_any_shape_and_is_known_in_the_open_places_alone() {
        let (roster, clock, _folder) = roster().await;
        let old = b"legacy-7f3a.prod";
        let known = async |place| roster.authenticate(old, place).await.unwrap().is_some();
        assert!(!known(Place::Open).await);
        let imported = || ImportedKey {
            row: ClientKeyRow::new("old", Role::User, Tier::Standard, "test"),
            digest: token::digest(old),
        };
        let mut keys = [imported(), imported()];
        assert_eq!(roster.import(&mut keys).await.unwrap(), [true, false]);
        assert!(known(Place::Open).await);
        assert!(!known(Place::Own).await);
        let metrics = Metrics::new(clock.clone(), []);
        let next = Roster::open(roster.store.clone(), clock, metrics).await.unwrap();
        assert!(next.takes_any_shape());
    }

    #[tokio::test]
    async fn whoever_holds_a_key_is_told_of_its_end_and_not_of_its_rotation() {
        let (roster, clock, _folder) = roster().await;
        let issued = roster.issue(new(Role::User)).await.unwrap();
        let held = async |key: &SecretBytes| {
            roster.authenticate(key.expose(), Place::Open).await.unwrap().unwrap()
        };
        let first = held(&issued.key).await;
        let rotated = roster.rotate(issued.row.id, 60).await.unwrap().unwrap();
        assert_eq!(first.standing(&clock), Standing::Good);
        let second = held(&rotated.issued.key).await;
        roster.rotate(issued.row.id, 0).await.unwrap().unwrap();
        assert_eq!(second.standing(&clock), Standing::Ended);
    }
}
