//! Every secret of the house, prepared for opening, as one immutable whole that calls read without
//! a lock. Holds expanded keys and envelopes, and what was opened of them for as long as values are
//! kept. Must never let an opened value outlive its snapshot, calls under way aside.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use arc_swap::ArcSwapOption;
use uuid::Uuid;

use super::doubt::Doubts;
use super::keyring::Keyring;
use super::place::SecretPlace;
use super::registry::{Off, Registry};
use super::selected::Selected;
use super::stock::Stock;
use super::trial::Trial;
use super::{Fresh, Placed, Provider, StoredSecret, fields};
use crate::crypto::Prepared;
use crate::provider::Catalogue;
use crate::quota::Supply;
use crate::refusal::{Reason, Refusal};
use crate::store::{VersionRow, VersionState};

pub(super) const DAMAGED: &str = "The stored secret does not open: its row was changed outside Sealgate, or \
     its key is another. Restore it from a backup or enter the provider's key again.";
pub(super) const TAMPERED: &str = "The stored secret is not as Sealgate left it: its rows were changed, or put back to \
     an earlier state, outside Sealgate. Destroy it and enter the provider's key again, or restore \
     a backup.";
pub(super) const NEW_TARGET: &str = "The secret was sealed for other destinations than this provider has now. If the \
     change is meant, allow it with `sealgate secret reseal`, or enter the provider's key again.";
const UNREADABLE: &str = "A row of the stored secret cannot be read: it was changed outside Sealgate. \
     `sealgate doctor` names it. Restore a backup, or destroy the secret and enter the provider's \
     key again.";
pub(super) const IN_DOUBT: &str = "A secret of this provider, or of its category, was changed or deleted \
     outside Sealgate, so it cannot be told which one is meant by a call that names none. \
     `sealgate doctor` says what to do; calls that name a secret are served.";
pub(super) const NONE_STORED: &str =
    "No secret is stored for this provider; add one with `sealgate secret add`.";
const DISABLED: &str = "The secret that the call names is disabled; enable it with `sealgate secret set`, or name \
     another one.";
const NO_VERSION: &str = "No version of this secret is in service; restore a backup, or destroy the secret and enter \
     the provider's key again.";
pub(super) const NONE_ACTIVE: &str =
    "No secret of this provider is active; enable one with `sealgate secret set`.";

pub(super) struct Snapshot {
    by_provider: HashMap<String, Vec<Arc<Entry>>>,
    pub(super) doubts: Doubts,
}

pub(super) struct Entry {
    pub(super) id: Uuid,
    pub(super) provider: String,
    pub(super) name: String,
    pub(super) active: bool,
    pub(super) version: u32,
    /// The very entry of the catalogue for which it was judged.
    pub(super) judged_for: Option<Arc<Provider>>,
    /// The provider has refused a call with it, and nobody has looked why.
    pub(super) refused: AtomicBool,
    /// Ends the streams that it serves, when its value is taken away.
    pub(super) off: Arc<Off>,
    /// What the provider gives for this secret.
    pub(super) supply: Arc<Supply>,
    pub(super) place: Arc<SecretPlace>,
    /// A new version on trial beside it.
    pub(super) next: Option<Next>,
    pub(super) state: Usable,
}

pub(super) struct Next {
    pub(super) entry: Arc<Entry>,
    pub(super) trial: Arc<Trial>,
}

pub(super) enum Usable {
    Yes {
        prepared: Box<Prepared>,
        kept: ArcSwapOption<Kept>,
        /// It was sealed for the provider's sockets, too.
        reaches_sockets: bool,
    },
    No(&'static str),
}

/// What was placed into a call, for those that follow.
pub(super) struct Kept {
    pub(super) placed: Arc<Placed>,
    pub(super) since_ns: u64,
}

/// The value of a selected version, opened for one call. Only the vault makes one.
pub(crate) struct Opened {
    state: Given,
    now_ns: u64,
    keep_ns: u64,
}

pub(super) enum Given {
    Fresh(Fresh, Arc<Entry>),
    Kept(Arc<Placed>),
    /// Of a key that is being checked; it serves no caller, and nothing of it is kept.
    Checked(Arc<Fresh>),
}

impl Snapshot {
    pub(super) fn prepare(
        keyring: &Keyring,
        catalogue: &Catalogue,
        (stock, secrets): (&Stock, &[StoredSecret]),
        registry: &Registry,
    ) -> Self {
        let mut by_provider: HashMap<String, Vec<Arc<Entry>>> = HashMap::new();
        for stored in secrets {
            let base = (keyring, catalogue, registry);
            let mut entry = entry_of(base, stored, VersionState::Active);
            if !stock.judge(stored) {
                entry.state = Usable::No(TAMPERED);
            } else if let Some(waiting) = waiting(stored) {
                let trial = registry.trial(entry.id, waiting);
                let new = entry_of(base, stored, VersionState::Pending);
                entry.next = Some(Next { entry: Arc::new(new), trial });
            }
            by_provider.entry(entry.provider.clone()).or_default().push(Arc::new(entry));
        }
        // They keep their place: nobody is served with another one instead.
        for unread in &stock.loaded.contradictions {
            let entry = Entry {
                id: unread.id().unwrap_or_default(),
                provider: unread.provider.clone(),
                name: unread.name.clone(),
                active: true,
                version: 0,
                judged_for: None,
                refused: AtomicBool::new(false),
                off: Arc::default(),
                supply: Arc::default(),
                place: Arc::default(),
                next: None,
                state: Usable::No(UNREADABLE),
            };
            by_provider.entry(entry.provider.clone()).or_default().push(Arc::new(entry));
        }
        for entries in by_provider.values_mut() {
            // Ids are ordered by time: the oldest first.
            entries.sort_by_key(|entry| entry.id);
        }
        Self { by_provider, doubts: Doubts::of(stock, keyring) }
    }

    /// The named one, else `default`, else the oldest active. Where somebody has touched what might
    /// have been chosen, no other one is taken in its place.
    pub(super) fn select(
        &self,
        provider: &Provider,
        name: Option<&str>,
    ) -> Result<Selected, Refusal> {
        let entries = self.of(provider);
        let no_secret = |detail: &'static str| Err(Refusal::new(Reason::NoSecret, detail));
        let entry = match name {
            Some(name) => match entries.iter().find(|entry| entry.name == name) {
                Some(entry) => entry,
                None => {
                    let detail = "This provider has no secret of that name.";
                    return Err(Refusal::new(Reason::NotFound, detail));
                }
            },
            None => {
                let mut active = entries.iter().filter(|entry| entry.active);
                let default = active.clone().find(|entry| entry.name == "default");
                match default {
                    Some(entry) => entry,
                    None if self.doubts.touch(provider) => return no_secret(IN_DOUBT),
                    None => match active.next() {
                        Some(entry) => entry,
                        None if entries.is_empty() => return no_secret(NONE_STORED),
                        None => return no_secret(NONE_ACTIVE),
                    },
                }
            }
        };
        if !entry.active {
            return no_secret(DISABLED);
        }
        match entry.state {
            Usable::Yes { .. } => Ok(Selected::of(Arc::clone(entry))),
            Usable::No(why) => no_secret(why),
        }
    }

    pub(super) fn in_use(&self) -> Vec<(Uuid, String, u32)> {
        let entries = self.by_provider.values().flatten();
        entries.map(|entry| (entry.id, entry.provider.clone(), entry.version)).collect()
    }

    pub(super) fn of(&self, provider: &Provider) -> &[Arc<Entry>] {
        self.by_name(&provider.id)
    }

    pub(super) fn by_name(&self, provider: &str) -> &[Arc<Entry>] {
        self.by_provider.get(provider).map(Vec::as_slice).unwrap_or_default()
    }

    /// Why no call is served with this one, though it may be switched on.
    pub(super) fn fault(&self, id: Uuid) -> Option<&'static str> {
        let mut entries = self.by_provider.values().flatten();
        match entries.find(|entry| entry.id == id)?.state {
            Usable::No(why) => Some(why),
            Usable::Yes { .. } => None,
        }
    }

    /// Every secret that is switched on and waits for a decision about its destinations.
    pub(super) fn elsewhere(&self) -> impl Iterator<Item = String> {
        self.by_provider.values().flatten().filter_map(|entry| match entry.state {
            Usable::No(why) if why == NEW_TARGET && entry.active => {
                Some(format!("secret {} of {}: {why}", entry.name, entry.provider))
            }
            Usable::No(_) | Usable::Yes { .. } => None,
        })
    }

    /// Every secret whose stored bytes do not open, and why.
    pub(super) fn findings(&self) -> impl Iterator<Item = String> {
        self.by_provider.values().flatten().filter_map(|entry| match entry.state {
            Usable::No(why) if why == DAMAGED || why == TAMPERED => {
                Some(format!("secret {} of {}: {why}", entry.name, entry.provider))
            }
            Usable::No(_) | Usable::Yes { .. } => None,
        })
    }

    /// Versions that wait for a trial, or are in one.
    pub(super) fn waiting(&self) -> Vec<(Uuid, u32)> {
        let next = |entry: &Arc<Entry>| {
            let next = entry.next.as_ref()?;
            Some((entry.id, next.entry.version))
        };
        self.by_provider.values().flatten().filter_map(next).collect()
    }

    /// Those that a provider has refused since somebody asked.
    pub(super) fn refused(&self) -> Vec<Uuid> {
        let entries = self.by_provider.values().flatten();
        let refused = entries.filter(|entry| entry.refused.swap(false, Ordering::Relaxed));
        refused.map(|entry| entry.id).collect()
    }

    /// Drops the values that were kept long enough.
    pub(super) fn drop_stale(&self, now_ns: u64, keep_ns: u64) {
        for entry in self.by_provider.values().flatten() {
            if let Usable::Yes { kept, .. } = &entry.state
                && kept.load().as_ref().is_some_and(|kept| kept.is_stale(now_ns, keep_ns))
            {
                kept.store(None);
            }
        }
    }

    /// Tells whether anybody holds a prepared version or a kept value of it still, and holds none
    /// itself.
    pub(super) fn watch(&self) -> impl Fn() -> bool + Send + Sync + use<> {
        let entries = self.by_provider.values().flatten().map(Arc::downgrade);
        let entries: Vec<Weak<Entry>> = entries.collect();
        let kept = self.by_provider.values().flatten().filter_map(|entry| match &entry.state {
            Usable::Yes { kept, .. } => Some(Arc::downgrade(&kept.load_full()?.placed)),
            Usable::No(_) => None,
        });
        let kept: Vec<Weak<Placed>> = kept.collect();
        move || {
            entries.iter().any(|entry| entry.strong_count() > 0)
                || kept.iter().any(|placed| placed.strong_count() > 0)
        }
    }
}

impl Opened {
    pub(super) fn of(state: Given, (now_ns, keep_ns): (u64, u64)) -> Self {
        Self { state, now_ns, keep_ns }
    }

    pub(super) fn checked(fresh: Arc<Fresh>) -> Self {
        Self { state: Given::Checked(fresh), now_ns: 0, keep_ns: 0 }
    }

    /// What `place` makes of the fields, or what it made of them a moment ago.
    pub(crate) fn placed<E>(
        self,
        place: impl FnOnce(&Fresh) -> Result<Placed, E>,
    ) -> Result<Arc<Placed>, E> {
        let (fresh, entry) = match self.state {
            Given::Kept(placed) => return Ok(placed),
            Given::Checked(fresh) => return place(&fresh).map(Arc::new),
            Given::Fresh(fresh, entry) => (fresh, entry),
        };
        let placed = Arc::new(place(&fresh)?);
        if let Usable::Yes { kept, .. } = &entry.state
            && self.keep_ns > 0
            && placed.may_stay
        {
            let since_ns = self.now_ns;
            kept.store(Some(Arc::new(Kept { placed: Arc::clone(&placed), since_ns })));
        }
        Ok(placed)
    }
}

impl Kept {
    /// Has it served for longer than values are kept?
    pub(super) fn is_stale(&self, now_ns: u64, keep_ns: u64) -> bool {
        now_ns.saturating_sub(self.since_ns) >= keep_ns
    }
}

/// The number of the version that waits for a trial, or is in one.
fn waiting(stored: &StoredSecret) -> Option<u32> {
    in_state(stored, VersionState::Pending).map(|version| version.version)
}

fn in_state(stored: &StoredSecret, state: VersionState) -> Option<&VersionRow> {
    stored.versions.iter().rfind(|version| version.state == state)
}

fn entry_of(
    (keyring, catalogue, registry): (&Keyring, &Catalogue, &Registry),
    stored: &StoredSecret,
    state: VersionState,
) -> Entry {
    let secret = &stored.secret;
    let version = in_state(stored, state);
    let number = version.map_or(0, |version| version.version);
    let supply = registry.supply(secret.id);
    supply.allow(catalogue.get(&secret.provider).and_then(|provider| provider.window()));
    Entry {
        id: secret.id,
        provider: secret.provider.clone(),
        name: secret.name.clone(),
        active: secret.active,
        version: number,
        judged_for: catalogue.get(&secret.provider).cloned(),
        refused: AtomicBool::new(false),
        off: registry.off(secret.id, number),
        supply,
        place: registry.place(secret.id),
        next: None,
        state: match (version, catalogue.get(&secret.provider)) {
            (Some(version), Some(provider)) => usable(keyring, provider, stored, version),
            (None, _) => Usable::No(NO_VERSION),
            (_, None) => Usable::No("The provider of this secret is not configured."),
        },
    }
}

fn usable(
    keyring: &Keyring,
    provider: &Provider,
    stored: &StoredSecret,
    version: &VersionRow,
) -> Usable {
    let Some(envelope) = &version.envelope else { return Usable::No(DAMAGED) };
    let Ok(data_key) = keyring.unwrap_data_key(&stored.secret) else { return Usable::No(DAMAGED) };
    let sealed = (version.version, &version.destinations, envelope.as_slice());
    let prepared = fields::prepare(keyring.installation(), &data_key, &stored.secret, sealed);
    let Ok(prepared) = prepared else { return Usable::No(DAMAGED) };
    // Opened once here, so that a damaged value is known before a call needs it.
    match fields::open(&prepared) {
        Ok(opened) if fields::covers(&opened, provider) => {
            let reaches_sockets = fields::covers_sockets(&opened, provider);
            Usable::Yes {
                prepared: Box::new(prepared),
                kept: ArcSwapOption::empty(),
                reaches_sockets,
            }
        }
        Ok(_) => Usable::No(NEW_TARGET),
        Err(_) => Usable::No(DAMAGED),
    }
}
