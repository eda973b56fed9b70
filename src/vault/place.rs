//! Which of the secrets that share a provider's load serves a call: by their weights, the free ones
//! first; which another, where the provider refuses one; and who may serve those that wait.
//! Must never choose one that nobody may be served with.

mod record;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use uuid::Uuid;

pub(crate) use self::record::SecretPlace;
use super::snapshot::{Entry, IN_DOUBT, NONE_ACTIVE, NONE_STORED, Snapshot, Usable};
use super::{Selected, Vault};
use crate::policy::Permit;
use crate::provider::Provider;
use crate::quota::{Lesson, Source, Sources, Supply};
use crate::refusal::{Reason, Refusal};
use crate::store::{self, LearntRow};

/// What a call wants of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    Any,
    /// A socket: the first that is free, so that those who share one find it.
    Socket,
    /// The one that was chosen before, where it serves still.
    Same(Uuid),
}

const NONE_SERVES: &str = "No secret of this provider takes calls: those of its pool are set \
     aside or do not open. `sealgate secret list` says which; `sealgate secret pool --serve` puts \
     one back, and a call may name one with X-Sealgate-Secret.";

/// Those of a pool that may serve a call at all.
fn usable(entry: &&Arc<Entry>) -> bool {
    entry.active && matches!(entry.state, Usable::Yes { .. })
}

/// Those of a pool that calls may be served with. Where all that nobody has set aside are in
/// quarantine, these: nodes may have put them there at the same moment, each the last but one.
fn serving(entries: &[Arc<Entry>]) -> impl Iterator<Item = &Arc<Entry>> + Clone {
    let has_any = entries.iter().filter(usable).any(|entry| entry.place.serves());
    let may = move |entry: &&Arc<Entry>| match has_any {
        true => entry.place.serves(),
        false => !entry.place.is_drained(),
    };
    entries.iter().filter(usable).filter(may)
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

    /// This very version serves, and another secret of the pool does, too.
    fn can_spare(&self, provider: &str, (id, version): (Uuid, u32)) -> Option<&Arc<Entry>> {
        let entries = self.by_name(provider);
        let entry = entries.iter().find(|entry| entry.id == id && entry.version == version)?;
        let mut others = entries.iter().filter(usable).filter(|entry| entry.id != id);
        others.any(|entry| entry.place.serves()).then_some(entry)
    }

    /// Who serves those that wait, and whether they serve a call that names none.
    fn sources(&self, provider: &str) -> Vec<Source> {
        let entries = self.by_name(provider);
        let serves = |id: Uuid| serving(entries).any(|entry| entry.id == id);
        let of = |entry: &Arc<Entry>| Source {
            secret: entry.id,
            supply: Arc::clone(&entry.supply),
            serves_any: serves(entry.id),
        };
        entries.iter().map(of).collect()
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
    /// The last one that serves is never put into quarantine, nor one for what was said of another
    /// version of it.
    pub(crate) fn refused_in_pool(&self, permit: &Permit, selected: &Selected, is_proven: bool) {
        let version = selected.version();
        if selected.place().refused(version, is_proven) {
            self.quarantine(&permit.provider().id, (selected.secret_id(), version));
        }
    }

    /// Where another one of its pool serves.
    pub(crate) fn quarantine(&self, provider: &str, secret: (Uuid, u32)) {
        let unsealed = self.opened.load();
        let snapshot = unsealed.as_ref().map(|unsealed| &unsealed.snapshot);
        if let Some(entry) = snapshot.and_then(|snapshot| snapshot.can_spare(provider, secret)) {
            entry.place.quarantine(secret.1);
        }
    }

    /// Who may serve a call in the place of this one, as it is at each moment: every secret of a
    /// provider whose secrets share the load, else this one alone.
    pub(crate) fn sources(
        self: &Arc<Self>,
        provider: &Provider,
        (secret, supply): (Uuid, &Arc<Supply>),
    ) -> Sources {
        if !provider.pool {
            let supply = Arc::clone(supply);
            return Arc::new(move || {
                vec![Source { secret, supply: Arc::clone(&supply), serves_any: true }]
            });
        }
        let (vault, provider) = (Arc::clone(self), Arc::clone(&provider.id));
        Arc::new(move || {
            let unsealed = vault.opened.load();
            unsealed.as_ref().map(|all| all.snapshot.sources(&provider)).unwrap_or_default()
        })
    }

    /// What is stored of places holds from the first call on, and so does what was learnt before
    /// the house was started.
    pub(super) async fn place_all(&self) -> Result<(), store::Error> {
        let now = self.clock.now();
        let rows = self.store.secret_places().await?;
        let is_first = self.registry.is_placed_first();
        for row in rows {
            let place = self.registry.place(row.secret_id);
            let (is_drained, is_quarantined) =
                (row.drained_at.is_some(), row.quarantined_at.is_some());
            place.set(row.weight, is_drained, is_quarantined);
            let lesson = lesson(row.learnt, now.unix_ms);
            if is_first && lesson != Lesson::default() {
                self.registry.supply(row.secret_id).recall(lesson, now.monotonic_ns);
            }
        }
        Ok(())
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

fn lesson(row: LearntRow, now_ms: i64) -> Lesson {
    let LearntRow { closed_until, rate, depth } = row;
    let closed_ms = closed_until.map(|until| until.saturating_sub(now_ms));
    let closed_ms = closed_ms.and_then(|ms| u64::try_from(ms).ok()).filter(|ms| *ms > 0);
    let figure = |number: Option<i64>| number.and_then(|n| u32::try_from(n).ok());
    Lesson {
        closed_in_ns: closed_ms.map(|ms| ms.saturating_mul(1_000_000)),
        rate: figure(rate).zip(figure(depth)),
    }
}
