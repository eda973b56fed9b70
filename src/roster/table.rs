//! What is known of digests, in memory and bounded: client keys that were asked for, and for a
//! short while the digests that are none. Read without a lock. Must never put in what was read
//! before a change, and never lose sight of a client key that somebody still holds.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use uuid::Uuid;

use crate::client::Client;
use crate::clock::{Clock, Moment};
use crate::telemetry::AuthFailure;

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
    former: HashMap<Uuid, Vec<Handed>>,
    unknown: usize,
    /// Tokens in the table: when each ends, and whose it is.
    tokens: Vec<(i64, [u8; 32], Uuid)>,
}

/// What somebody was handed, and the digest by which he came in.
struct Handed {
    digest: [u8; 32],
    client: Weak<Client>,
}

impl Kept {
    fn remember(&mut self, id: Uuid, copies: Vec<Handed>) {
        if !copies.is_empty() {
            self.former.insert(id, copies);
        }
        // Most are let go of within seconds; looked through now and then, not at every change.
        if self.former.len() >= MAX_FORMER {
            self.former
                .retain(|_, copies| copies.iter().any(|copy| copy.client.strong_count() > 0));
        }
    }
}

/// What is known of a digest. Of one shape, whatever it is, and judged on one path: how long a
/// refusal takes must not tell which one it is.
#[derive(Clone)]
pub(super) struct Entry {
    /// None: nobody's digest.
    client: Option<Arc<Client>>,
    /// From then on it is refused; `i64::MAX`: never.
    ends_ms: i64,
    fails_as: AuthFailure,
    /// From then on it is asked for anew.
    stale_ns: u64,
}

impl Entry {
    pub(super) fn known(client: Arc<Client>, valid_until_ms: Option<i64>) -> Self {
        let ends_ms = [valid_until_ms, client.expires_at_ms].into_iter().flatten().min();
        let (ends_ms, fails_as) = match client.active {
            true => (ends_ms.unwrap_or(i64::MAX), AuthFailure::Expired),
            false => (i64::MIN, AuthFailure::Revoked),
        };
        Self { client: Some(client), ends_ms, fails_as, stale_ns: u64::MAX }
    }

    pub(super) fn unknown(until_ns: u64) -> Self {
        let fails_as = AuthFailure::Unknown;
        Self { client: None, ends_ms: i64::MIN, fails_as, stale_ns: until_ns }
    }

    pub(super) fn judge(&self, now: Moment) -> Result<Arc<Client>, AuthFailure> {
        // What refuses looks at nothing but the times, in every case.
        if self.ends_ms <= now.unix_ms {
            return Err(self.fails_as);
        }
        self.client.clone().ok_or(self.fails_as)
    }
}

/// A stream that a token began in time goes on when the token ends by itself.
fn has_run_out(client: &Client, now_ms: i64) -> bool {
    client.token().is_some() && client.expires_at_ms.is_some_and(|ends| ends <= now_ms)
}

/// What a change of a client key means to those who hold it.
pub(super) enum Now<'a> {
    /// Nothing: only its digests or its description are others.
    Same,
    /// It is this one now.
    Changed(&'a Client),
    /// Another node says so: it is this one now, and these digests prove it. Whoever came in by
    /// another is out, as after a rotation at once.
    Heard { new: &'a Client, digests: &'a [[u8; 32]], now_ms: i64 },
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

    /// What came of this digest; None where it must be asked for. The clock is read only where an
    /// end is set.
    pub(super) fn find(
        &self,
        digest: &[u8; 32],
        clock: &Clock,
    ) -> Option<Result<Arc<Client>, AuthFailure>> {
        let entries = self.entries.pin();
        let entry = entries.get(digest)?;
        if entry.ends_ms == i64::MAX {
            return entry.client.clone().map(Ok);
        }
        let now = clock.now();
        (now.monotonic_ns < entry.stale_ns).then(|| entry.judge(now))
    }

    /// To be read before the database is.
    pub(super) fn revision(&self) -> u64 {
        self.revision.load(Ordering::Acquire)
    }

    /// What is known from here on: of calls at once that all looked it up, what the first one
    /// found, so that they hold one and the same client key. None if something changed since
    /// `revision` was read; then the row must be read again.
    pub(super) fn keep(&self, digest: &[u8; 32], entry: Entry, revision: u64) -> Option<Entry> {
        let mut kept = self.lock();
        if self.revision() != revision {
            return None;
        }
        let entries = self.entries.pin();
        if let Some(known) = entries.get(digest).filter(|known| known.client.is_some()) {
            return Some(known.clone());
        }
        entries.insert(*digest, entry.clone());
        match &entry.client {
            Some(client) => {
                // Nearly every key has one digest; a vector makes room for four of its own accord.
                let first = || Vec::with_capacity(1);
                kept.digests.entry(client.id).or_insert_with(first).push(*digest);
                if let (Some(_), Some(ends)) = (client.token(), client.expires_at_ms) {
                    kept.tokens.push((ends, *digest, client.id));
                }
            }
            None => kept.unknown += 1,
        }
        drop(entries);
        if kept.unknown > MAX_UNKNOWN || self.entries.len() > MAX_ENTRIES {
            self.shrink(&mut kept);
        }
        Some(entry)
    }

    /// Strangers first; then, if that is not enough, client keys that nobody holds at the moment.
    fn shrink(&self, kept: &mut Kept) {
        let entries = self.entries.pin();
        entries.retain(|_, entry| entry.client.is_some());
        kept.unknown = 0;
        if entries.len() > MAX_ENTRIES {
            let is_held = |client: &Arc<Client>| Arc::strong_count(client) > 1;
            entries.retain(|_, entry| entry.client.as_ref().is_some_and(is_held));
            kept.digests.retain(|_, digests| {
                digests.retain(|digest| entries.contains_key(digest));
                !digests.is_empty()
            });
        }
    }

    /// After this returns, no call is served from what was known of this client key before.
    /// True where somebody may hold one that has ended, or whose rights are others now.
    pub(super) fn forget(&self, id: Uuid, now: &Now<'_>) -> bool {
        let mut kept = self.lock();
        self.revision.fetch_add(1, Ordering::AcqRel);
        let entries = self.entries.pin();
        let mut copies = kept.former.remove(&id).unwrap_or_default();
        for digest in kept.digests.remove(&id).unwrap_or_default() {
            if let Some(Entry { client: Some(client), .. }) = entries.remove(&digest) {
                copies.push(Handed { digest, client: Arc::downgrade(client) });
            }
        }
        let mut is_hit = false;
        copies.retain(|copy| {
            let Some(client) = copy.client.upgrade() else { return false };
            let is_proven = match now {
                Now::Heard { digests, now_ms, .. } => {
                    digests.contains(&copy.digest) || has_run_out(&client, *now_ms)
                }
                Now::Same | Now::Changed(_) | Now::Gone => true,
            };
            match now {
                Now::Same => {}
                Now::Changed(new) | Now::Heard { new, .. }
                    if new.active && is_proven && new.rights == client.rights => {}
                Now::Changed(new) | Now::Heard { new, .. } if new.active && is_proven => {
                    client.fate.alter();
                    is_hit = true;
                }
                Now::Changed(_) | Now::Heard { .. } | Now::Gone => {
                    client.fate.end();
                    is_hit = true;
                    return false;
                }
            }
            true
        });
        kept.remember(id, copies);
        is_hit
    }

    /// Tokens come and go without end; the others stay for as long as there is room.
    pub(super) fn forget_ended_tokens(&self, now_ms: i64) {
        let mut kept = self.lock();
        let kept = &mut *kept;
        let entries = self.entries.pin();
        let mut ended: HashMap<Uuid, Vec<Handed>> = HashMap::new();
        kept.tokens.retain(|(ends, digest, id)| {
            if *ends > now_ms {
                return true;
            }
            let copies = ended.entry(*id).or_default();
            // A stream that was begun in time goes on; the end of its key must reach it still.
            if let Some(Entry { client: Some(client), .. }) = entries.get(digest)
                && Arc::strong_count(client) > 1
            {
                copies.push(Handed { digest: *digest, client: Arc::downgrade(client) });
            }
            entries.remove(digest);
            false
        });
        for (id, mut copies) in ended {
            if let Some(digests) = kept.digests.get_mut(&id) {
                digests.retain(|digest| entries.contains_key(digest));
                if digests.is_empty() {
                    kept.digests.remove(&id);
                }
            }
            let former = kept.former.remove(&id).unwrap_or_default();
            copies.extend(former.into_iter().filter(|copy| copy.client.strong_count() > 0));
            kept.remember(id, copies);
        }
    }

    /// Another node may have made a key of any digest that is none here.
    pub(super) fn forget_unknown(&self) {
        let mut kept = self.lock();
        self.revision.fetch_add(1, Ordering::AcqRel);
        self.entries.pin().retain(|_, entry| entry.client.is_some());
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
    use crate::client::{Role, Shows, Standing};

    fn digest(number: usize) -> [u8; 32] {
        let mut digest = [0; 32];
        digest[..8].copy_from_slice(&number.to_le_bytes());
        digest
    }

    #[test]
    fn strangers_cannot_crowd_out_who_is_known() {
        let table = Table::new();
        let known = Entry::known(Arc::new(Client::of_role(Role::User)), None);
        assert!(table.keep(&digest(0), known, table.revision()).is_some());
        for number in 1..=MAX_UNKNOWN + 1 {
            let unknown = Entry::unknown(u64::MAX);
            assert!(table.keep(&digest(number), unknown, table.revision()).is_some());
        }
        assert!(table.entries.len() <= MAX_UNKNOWN);
        assert!(matches!(table.find(&digest(0), &Clock::settable(0)), Some(Ok(_))));
    }

    #[test]
    fn a_token_leaves_when_its_time_is_over_and_its_key_stays() {
        let table = Table::new();
        let keep = |number, client: Client| {
            let entry = Entry::known(Arc::new(client), None);
            assert!(table.keep(&digest(number), entry, table.revision()).is_some());
        };
        keep(0, Client::of_role(Role::User));
        for number in 1..=3_i64 {
            let mut token = Client::of_role(Role::User);
            token.shows = Shows::Token(Box::default());
            token.expires_at_ms = Some(number);
            keep(usize::try_from(number).unwrap(), token);
        }
        table.forget_ended_tokens(2);
        let is_there = |number| table.find(&digest(number), &Clock::settable(0)).is_some();
        assert_eq!([0, 1, 2, 3].map(is_there), [true, false, false, true]);
        assert_eq!(table.lock().digests.values().map(Vec::len).sum::<usize>(), 2);
        table.forget(Uuid::nil(), &Now::Gone);
        assert_eq!([0, 3].map(is_there), [false, false]);
    }

    #[test]
    fn an_end_reaches_copies_from_before_a_change() {
        let clock = Clock::settable(0);
        let table = Table::new();
        let held = Arc::new(Client::of_role(Role::User));
        let entry = Entry::known(Arc::clone(&held), None);
        assert!(table.keep(&digest(1), entry, table.revision()).is_some());
        let renamed = Client::of_role(Role::User);
        assert!(!table.forget(held.id, &Now::Changed(&renamed)));
        assert_eq!(held.standing(&clock), Standing::Good);
        assert!(table.forget(held.id, &Now::Gone));
        assert_eq!(held.standing(&clock), Standing::Ended);
    }

    #[test]
    fn calls_at_once_of_a_key_that_nobody_knew_hold_one_and_the_same() {
        let clock = Clock::settable(0);
        let table = Table::new();
        let revision = table.revision();
        let first = || Entry::known(Arc::new(Client::of_role(Role::User)), None);
        let held: Vec<Arc<Client>> = (0..3)
            .map(|_| table.keep(&digest(1), first(), revision).unwrap().judge(clock.now()).unwrap())
            .collect();
        assert!(table.forget(held[0].id, &Now::Gone));
        for client in held {
            assert_eq!(client.standing(&clock), Standing::Ended);
        }
    }

    #[test]
    fn whoever_holds_a_client_key_learns_what_became_of_it() {
        let clock = Clock::settable(0);
        let standing = |now: &dyn Fn(&mut Client) -> bool| {
            let table = Table::new();
            let held = Arc::new(Client::of_role(Role::User));
            let entry = Entry::known(Arc::clone(&held), None);
            assert!(table.keep(&digest(1), entry, table.revision()).is_some());
            let mut new = Client::of_role(Role::User);
            let now = if now(&mut new) { Now::Changed(&new) } else { Now::Gone };
            table.forget(held.id, &now);
            assert!(table.find(&digest(1), &clock).is_none());
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
                Arc::make_mut(&mut new.rights).role = Role::Guest;
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
