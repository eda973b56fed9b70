//! A secret's place beside the others of its provider, where these share the load: its part of the
//! calls, whether somebody has set it aside, how often the provider refused it where it took
//! another one. And which of them serves a call.
//! Must never choose one that nobody may be served with.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use uuid::Uuid;

use super::snapshot::{Entry, IN_DOUBT, NONE_ACTIVE, NONE_STORED, Snapshot, Usable};
use super::{Selected, Vault};
use crate::policy::Permit;
use crate::provider::Provider;
use crate::quota::Supply;
use crate::refusal::{Reason, Refusal};

/// What a call wants of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    Any,
    /// A socket: the first that is free, so that those who share one find it.
    Socket,
    /// The one that was chosen before, where it serves still.
    Same(Uuid),
}

/// Shared by all threads and snapshots.
pub(crate) struct SecretPlace {
    weight: AtomicU32,
    is_drained: AtomicBool,
    is_quarantined: AtomicBool,
    /// Refusals in a row; a proven one counts twice.
    noes: AtomicU32,
    /// It was put into quarantine here, and nobody has written that down.
    is_news: AtomicBool,
    /// Calls that the pool has dealt out; counted at its first secret.
    dealt: AtomicU64,
}

const NONE_SERVES: &str = "No secret of this provider takes calls: those of its pool are set aside, refused by the provider \
     or do not open. `sealgate secret list` says which; `sealgate secret pool --serve` puts one \
     back, and a call may name one with X-Sealgate-Secret.";
/// Three that were proven, or six that were not.
const TOO_MANY_NOES: u32 = 6;

impl Default for SecretPlace {
    fn default() -> Self {
        Self {
            weight: AtomicU32::new(1),
            is_drained: AtomicBool::new(false),
            is_quarantined: AtomicBool::new(false),
            noes: AtomicU32::new(0),
            is_news: AtomicBool::new(false),
            dealt: AtomicU64::new(0),
        }
    }
}

impl SecretPlace {
    /// As it is stored.
    pub(crate) fn set(&self, weight: u32, is_drained: bool, is_quarantined: bool) {
        self.weight.store(weight.max(1), Ordering::Relaxed);
        self.is_drained.store(is_drained, Ordering::Relaxed);
        if self.is_news.load(Ordering::Acquire) {
            return;
        }
        if self.is_quarantined.swap(is_quarantined, Ordering::Relaxed) && !is_quarantined {
            self.noes.store(0, Ordering::Relaxed);
        }
    }

    /// What is to be written down, once.
    pub(crate) fn take_news(&self) -> bool {
        self.is_news.swap(false, Ordering::AcqRel)
    }

    /// It could not be written down; whoever looks next tries again.
    pub(crate) fn keep_news(&self) {
        self.is_news.store(true, Ordering::Release);
    }

    fn serves(&self) -> bool {
        !self.is_drained.load(Ordering::Relaxed) && !self.is_quarantined.load(Ordering::Relaxed)
    }

    fn weight(&self) -> u64 {
        u64::from(self.weight.load(Ordering::Relaxed))
    }

    /// The provider took it.
    pub(super) fn accepted(&self) {
        if self.noes.load(Ordering::Relaxed) > 0 {
            self.noes.store(0, Ordering::Relaxed);
        }
    }

    /// True where it is too often by now. Proven: another one served the same call.
    pub(super) fn refused(&self, is_proven: bool) -> bool {
        let more = if is_proven { 2 } else { 1 };
        self.noes.fetch_add(more, Ordering::Relaxed) + more >= TOO_MANY_NOES
    }

    pub(super) fn quarantine(&self) {
        if !self.is_quarantined.swap(true, Ordering::Relaxed) {
            self.is_news.store(true, Ordering::Release);
        }
    }
}

/// Those of a pool that calls may be served with.
fn serving(entries: &[Arc<Entry>]) -> impl Iterator<Item = &Arc<Entry>> + Clone {
    let may = |entry: &&Arc<Entry>| entry.active && matches!(entry.state, Usable::Yes { .. });
    entries.iter().filter(may).filter(|entry| entry.place.serves())
}

/// By their weights among those that are free; where none is, the one that is free first.
fn pick(entries: &[Arc<Entry>], now_ns: u64, wanted: Wanted) -> Option<&Arc<Entry>> {
    let free = || free(entries, now_ns);
    let meant = match wanted {
        Wanted::Any => None,
        Wanted::Socket => free().next(),
        Wanted::Same(id) => serving(entries).find(|entry| entry.id == id),
    };
    if meant.is_some() {
        return meant;
    }
    let all: u64 = free().map(|entry| entry.place.weight()).sum();
    if all == 0 {
        return serving(entries).min_by_key(|entry| until_ns(entry, now_ns));
    }
    let dealt = &entries.first()?.place.dealt;
    let mut turn = dealt.fetch_add(1, Ordering::Relaxed) % all;
    let chosen = free().find(|entry| match turn.checked_sub(entry.place.weight()) {
        Some(rest) => {
            turn = rest;
            false
        }
        None => true,
    });
    // Another call may have taken the last one meanwhile.
    chosen.or_else(|| serving(entries).next())
}

/// Another one that can serve at once.
fn pick_other(entries: &[Arc<Entry>], now_ns: u64, not: Uuid) -> Option<&Arc<Entry>> {
    free(entries, now_ns).filter(|entry| entry.id != not).max_by_key(|entry| entry.place.weight())
}

fn free(entries: &[Arc<Entry>], now_ns: u64) -> impl Iterator<Item = &Arc<Entry>> + Clone {
    serving(entries).filter(move |entry| until_ns(entry, now_ns) == 0)
}

/// 0: now.
fn until_ns(entry: &Entry, now_ns: u64) -> u64 {
    let supply = entry.supply.as_ref();
    let wait = if supply.is_bound() { supply.wait(now_ns) } else { None };
    wait.map_or(0, |wait| wait.until_ns)
}

impl Snapshot {
    /// One of those that share the load. Where somebody has touched one of them, or of what may be
    /// one, none is taken in its place.
    fn select_pooled(
        &self,
        provider: &Provider,
        (now_ns, wanted): (u64, Wanted),
    ) -> Result<Selected, Refusal> {
        let no_secret = |detail: &'static str| Err(Refusal::new(Reason::NoSecret, detail));
        let entries = self.of(provider);
        match pick(entries, now_ns, wanted) {
            _ if self.doubts.touch(provider) => no_secret(IN_DOUBT),
            Some(entry) => Ok(Selected::of(Arc::clone(entry))),
            None if entries.is_empty() => no_secret(NONE_STORED),
            None if !entries.iter().any(|entry| entry.active) => no_secret(NONE_ACTIVE),
            None => no_secret(NONE_SERVES),
        }
    }

    fn other_of_pool(&self, provider: &Provider, (now_ns, not): (u64, Uuid)) -> Option<Selected> {
        if self.doubts.touch(provider) {
            return None;
        }
        pick_other(self.of(provider), now_ns, not).cloned().map(Selected::of)
    }

    fn serves_without(&self, provider: &Provider, id: Uuid) -> bool {
        serving(self.of(provider)).any(|entry| entry.id != id)
    }
}

impl Vault {
    /// Which version serves this call. Refuses from the row alone; nothing is opened.
    pub(crate) fn select(&self, permit: &Permit) -> Result<Selected, Refusal> {
        self.select_for(permit, Wanted::Any)
    }

    /// The same, by what the call wants of it.
    pub(crate) fn select_for(&self, permit: &Permit, wanted: Wanted) -> Result<Selected, Refusal> {
        let unsealed = self.opened.load();
        let Some(unsealed) = unsealed.as_ref() else {
            let detail = "Sealgate is sealed; an administrator has to unseal it.";
            return Err(Refusal::new(Reason::Sealed, detail));
        };
        let (provider, snapshot) = (permit.provider(), &unsealed.snapshot);
        match permit.secret() {
            None if provider.pool => {
                snapshot.select_pooled(provider, (self.clock.monotonic_ns(), wanted))
            }
            name => snapshot.select(provider, name),
        }
    }

    /// Another secret of the pool that can serve at once, where there is one.
    pub(crate) fn select_other(&self, permit: &Permit, not: Uuid) -> Option<Selected> {
        if !permit.provider().pool || permit.secret().is_some() {
            return None;
        }
        let unsealed = self.opened.load();
        let snapshot = &unsealed.as_ref()?.snapshot;
        let mut other =
            snapshot.other_of_pool(permit.provider(), (self.clock.monotonic_ns(), not))?;
        if other.is_bound() {
            let ticket = other.supply().1.take(&self.clock)?;
            other.hold(ticket);
        }
        Some(other)
    }

    /// The provider refused it for its key: proven, where it took another one for the same call.
    /// The last one that serves is never put into quarantine.
    pub(crate) fn refused_in_pool(&self, permit: &Permit, selected: &Selected, is_proven: bool) {
        if !selected.place().refused(is_proven) {
            return;
        }
        let unsealed = self.opened.load();
        let Some(unsealed) = unsealed.as_ref() else { return };
        if unsealed.snapshot.serves_without(permit.provider(), selected.secret_id()) {
            selected.place().quarantine();
        }
    }

    /// What all threads share of a secret's place in its pool.
    pub(crate) fn secret_place(&self, id: Uuid) -> Arc<SecretPlace> {
        self.registry.place(id)
    }

    /// What its provider gives for it.
    pub(crate) fn supply(&self, id: Uuid) -> Arc<Supply> {
        self.registry.supply(id)
    }

    /// Every secret as calls see it: id, provider, the version in use.
    pub(crate) fn in_use(&self) -> Vec<(Uuid, String, u32)> {
        let unsealed = self.opened.load();
        unsealed.as_ref().map(|unsealed| unsealed.snapshot.in_use()).unwrap_or_default()
    }
}
