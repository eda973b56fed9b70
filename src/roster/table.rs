//! What is known of digests, in memory and bounded: client keys that were asked for, and for a
//! short while the digests that are none. Read without a lock. Must never put in what was read
//! before a change, and never lose sight of a client key that somebody still holds.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use uuid::Uuid;

use crate::client::Client;

/// Beyond this many digests those that nobody is using are forgotten: a bound, not a cache policy.
const MAX_ENTRIES: usize = 2_000_000;
/// Strangers ask for digests without end; these are forgotten much sooner.
const MAX_UNKNOWN: usize = 200_000;

/// Beyond this many, those that nobody holds any more are dropped.
const MAX_FORMER: usize = 10_000;

pub(super) struct Table {
    entries: papaya::HashMap<[u8; 32], Entry, DigestHash>,
    /// Touched on misses and changes alone.
    ledger: Mutex<Kept>,
    /// Moves with every change: what was read before it is not put into the table after it.
    revision: AtomicU64,
}

#[derive(Default)]
struct Kept {
    /// Which digests of a client key are in the table.
    digests: HashMap<Uuid, Vec<[u8; 32]>>,
    /// Former copies of client keys that somebody may still hold: an end must reach them, too.
    former: HashMap<Uuid, Vec<Weak<Client>>>,
    unknown: usize,
}

impl Kept {
    fn remember(&mut self, id: Uuid, copies: Vec<Weak<Client>>) {
        if !copies.is_empty() {
            self.former.insert(id, copies);
        }
        // Most are let go of within seconds; looked through now and then, not at every change.
        if self.former.len() >= MAX_FORMER {
            self.former.retain(|_, copies| copies.iter().any(|copy| copy.strong_count() > 0));
        }
    }
}

#[derive(Clone)]
pub(super) enum Entry {
    Known { client: Arc<Client>, valid_until_ms: Option<i64> },
    Unknown { until_ns: u64 },
}

/// What a change of a client key means to those who hold it.
pub(super) enum Now<'a> {
    /// Nothing: only its digests or its description are others.
    Same,
    /// It is this one now.
    Changed(&'a Client),
    /// It is none any more.
    Gone,
}

impl Table {
    pub(super) fn new() -> Self {
        Self {
            entries: papaya::HashMap::builder().hasher(DigestHash).build(),
            ledger: Mutex::default(),
            revision: AtomicU64::new(0),
        }
    }

    pub(super) fn find(&self, digest: &[u8; 32], now_ns: impl Fn() -> u64) -> Option<Entry> {
        let entries = self.entries.pin();
        let entry = entries.get(digest)?;
        match entry {
            Entry::Unknown { until_ns } if *until_ns <= now_ns() => None,
            Entry::Unknown { .. } | Entry::Known { .. } => Some(entry.clone()),
        }
    }

    /// To be read before the database is.
    pub(super) fn revision(&self) -> u64 {
        self.revision.load(Ordering::Acquire)
    }

    /// False if something changed since `revision` was read; then the row must be read again.
    pub(super) fn keep(&self, digest: &[u8; 32], entry: &Entry, revision: u64) -> bool {
        let mut kept = self.lock();
        if self.revision() != revision {
            return false;
        }
        let entries = self.entries.pin();
        match entry {
            Entry::Known { client, .. } => {
                let of_client = kept.digests.entry(client.id).or_default();
                if !of_client.contains(digest) {
                    of_client.push(*digest);
                }
            }
            Entry::Unknown { .. } => kept.unknown += 1,
        }
        entries.insert(*digest, entry.clone());
        drop(entries);
        if kept.unknown > MAX_UNKNOWN || self.entries.len() > MAX_ENTRIES {
            self.shrink(&mut kept);
        }
        true
    }

    /// Strangers first; then, if that is not enough, client keys that nobody holds at the moment.
    fn shrink(&self, kept: &mut Kept) {
        let entries = self.entries.pin();
        entries.retain(|_, entry| matches!(entry, Entry::Known { .. }));
        kept.unknown = 0;
        if entries.len() > MAX_ENTRIES {
            let is_held = |entry: &Entry| match entry {
                Entry::Known { client, .. } => Arc::strong_count(client) > 1,
                Entry::Unknown { .. } => false,
            };
            entries.retain(|_, entry| is_held(entry));
            kept.digests.retain(|_, digests| {
                digests.retain(|digest| entries.contains_key(digest));
                !digests.is_empty()
            });
        }
    }

    /// After this returns, no call is served from what was known of this client key before.
    /// True where somebody may hold one that has ended.
    pub(super) fn forget(&self, id: Uuid, now: &Now<'_>) -> bool {
        let mut kept = self.lock();
        self.revision.fetch_add(1, Ordering::AcqRel);
        let entries = self.entries.pin();
        let mut copies = kept.former.remove(&id).unwrap_or_default();
        for digest in kept.digests.remove(&id).unwrap_or_default() {
            if let Some(Entry::Known { client, .. }) = entries.remove(&digest) {
                copies.push(Arc::downgrade(client));
            }
        }
        let mut has_ended = false;
        copies.retain(|copy| {
            let Some(client) = copy.upgrade() else { return false };
            match now {
                Now::Same => {}
                Now::Changed(new) if new.active && new.rights == client.rights => {}
                Now::Changed(new) if new.active => client.fate.alter(),
                Now::Changed(_) | Now::Gone => {
                    client.fate.end();
                    has_ended = true;
                    return false;
                }
            }
            true
        });
        kept.remember(id, copies);
        has_ended
    }

    /// Another node may have made a key of any digest that is none here.
    pub(super) fn forget_unknown(&self) {
        let mut kept = self.lock();
        self.revision.fetch_add(1, Ordering::AcqRel);
        self.entries.pin().retain(|_, entry| matches!(entry, Entry::Known { .. }));
        kept.unknown = 0;
    }

    /// The client keys that are known here, or that somebody may still hold.
    pub(super) fn ids(&self) -> Vec<Uuid> {
        let kept = self.lock();
        kept.digests.keys().chain(kept.former.keys()).copied().collect()
    }

    pub(super) fn forget_digests<'a>(&self, digests: impl IntoIterator<Item = &'a [u8; 32]>) {
        let _kept = self.lock();
        self.revision.fetch_add(1, Ordering::AcqRel);
        let entries = self.entries.pin();
        for digest in digests {
            entries.remove(digest);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
    use crate::client::{Role, Standing};
    use crate::clock::Clock;

    fn digest(number: usize) -> [u8; 32] {
        let mut digest = [0; 32];
        digest[..8].copy_from_slice(&number.to_le_bytes());
        digest
    }

    #[test]
    fn strangers_cannot_crowd_out_who_is_known() {
        let table = Table::new();
        let known =
            Entry::Known { client: Arc::new(Client::of_role(Role::User)), valid_until_ms: None };
        assert!(table.keep(&digest(0), &known, table.revision()));
        for number in 1..=MAX_UNKNOWN + 1 {
            let unknown = Entry::Unknown { until_ns: u64::MAX };
            assert!(table.keep(&digest(number), &unknown, table.revision()));
        }
        assert!(table.entries.len() <= MAX_UNKNOWN);
        assert!(matches!(table.find(&digest(0), || 0), Some(Entry::Known { .. })));
    }

    #[test]
    fn an_end_reaches_copies_from_before_a_change() {
        let clock = Clock::settable(0);
        let table = Table::new();
        let held = Arc::new(Client::of_role(Role::User));
        let entry = Entry::Known { client: Arc::clone(&held), valid_until_ms: None };
        assert!(table.keep(&digest(1), &entry, table.revision()));
        drop(entry);
        let renamed = Client::of_role(Role::User);
        assert!(!table.forget(held.id, &Now::Changed(&renamed)));
        assert_eq!(held.standing(&clock), Standing::Good);
        assert!(table.forget(held.id, &Now::Gone));
        assert_eq!(held.standing(&clock), Standing::Ended);
    }

    #[test]
    fn whoever_holds_a_client_key_learns_what_became_of_it() {
        let clock = Clock::settable(0);
        let standing = |now: &dyn Fn(&mut Client) -> bool| {
            let table = Table::new();
            let held = Arc::new(Client::of_role(Role::User));
            let entry = Entry::Known { client: Arc::clone(&held), valid_until_ms: None };
            assert!(table.keep(&digest(1), &entry, table.revision()));
            let mut new = Client::of_role(Role::User);
            let now = if now(&mut new) { Now::Changed(&new) } else { Now::Gone };
            table.forget(held.id, &now);
            assert!(table.find(&digest(1), || 0).is_none());
            held.standing(&clock)
        };
        assert_eq!(
            standing(&|new| {
                new.name.push('x');
                true
            }),
            Standing::Good
        );
        assert_eq!(
            standing(&|new| {
                new.rights.role = Role::Guest;
                true
            }),
            Standing::Altered
        );
        assert_eq!(
            standing(&|new| {
                new.active = false;
                true
            }),
            Standing::Ended
        );
        assert_eq!(standing(&|_| false), Standing::Ended);
    }
}
