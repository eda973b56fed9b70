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
use super::stock::Stock;
use super::{Fresh, Placed, Provider, StoredSecret, fields};
use crate::crypto::{CryptoError, Prepared};
use crate::provider::Catalogue;
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
const IN_DOUBT: &str = "A secret of this provider, or of its category, was changed or deleted \
     outside Sealgate, so it cannot be told which one is meant by a call that names none. \
     `sealgate doctor` says what to do; calls that name a secret are served.";
const NONE_STORED: &str =
    "No secret is stored for this provider; add one with `sealgate secret add`.";
const DISABLED: &str = "The secret that the call names is disabled; enable it with `sealgate secret set`, or name \
     another one.";
const NO_VERSION: &str = "No version of this secret is in service; restore a backup, or destroy the secret and enter \
     the provider's key again.";
const NONE_ACTIVE: &str =
    "No secret of this provider is active; enable one with `sealgate secret set`.";

pub(super) struct Snapshot {
    by_provider: HashMap<String, Vec<Arc<Entry>>>,
    doubts: Doubts,
}

struct Entry {
    id: Uuid,
    provider: String,
    name: String,
    active: bool,
    version: u32,
    /// The very entry of the catalogue for which it was judged.
    judged_for: Option<Arc<Provider>>,
    /// The provider has refused a call with it, and nobody has looked why.
    refused: AtomicBool,
    state: Usable,
}

enum Usable {
    Yes {
        prepared: Box<Prepared>,
        kept: ArcSwapOption<Kept>,
        /// It was sealed for the provider's sockets, too.
        reaches_sockets: bool,
    },
    No(&'static str),
}

/// What was placed into a call, for those that follow.
struct Kept {
    placed: Arc<Placed>,
    since_ns: u64,
}

/// The version that will serve a call. Only the vault makes one.
pub(crate) struct Selected(Arc<Entry>);

/// The value of a selected version, opened for one call. Only the vault makes one.
pub(crate) struct Opened {
    state: Given,
    now_ns: u64,
    keep_ns: u64,
}

enum Given {
    Fresh(Fresh, Arc<Entry>),
    Kept(Arc<Placed>),
    /// Of a key that is being checked; it serves no caller, and nothing of it is kept.
    Checked(Arc<Fresh>),
}

impl Snapshot {
    pub(super) fn prepare(
        keyring: &Keyring,
        catalogue: &Catalogue,
        stock: &Stock,
        secrets: &[StoredSecret],
    ) -> Self {
        let mut by_provider: HashMap<String, Vec<Arc<Entry>>> = HashMap::new();
        for stored in secrets {
            let mut entry = entry(keyring, catalogue, stored);
            if !stock.judge(stored) {
                entry.state = Usable::No(TAMPERED);
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
        let entries = self.by_provider.get(&*provider.id).map(Vec::as_slice).unwrap_or_default();
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
            Usable::Yes { .. } => Ok(Selected(Arc::clone(entry))),
            Usable::No(why) => no_secret(why),
        }
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

impl Selected {
    pub(crate) fn secret_id(&self) -> Uuid {
        self.0.id
    }

    pub(crate) fn version(&self) -> u32 {
        self.0.version
    }

    /// What the provider has answered a call with it. So one answers a key that is bad or not paid
    /// for: somebody will look.
    pub(crate) fn answered(&self, status: u16) {
        if matches!(status, 401..=403) && !self.0.refused.load(Ordering::Relaxed) {
            self.0.refused.store(true, Ordering::Relaxed);
        }
    }

    /// Was it sealed for the sockets of this very provider?
    pub(crate) fn check_sockets(&self, provider: &Arc<Provider>) -> Result<(), Refusal> {
        match &self.0.state {
            Usable::Yes { reaches_sockets: true, .. } if self.was_judged_for(provider) => Ok(()),
            Usable::Yes { .. } | Usable::No(_) => Err(Refusal::new(Reason::NoSecret, NEW_TARGET)),
        }
    }

    pub(super) fn was_judged_for(&self, provider: &Arc<Provider>) -> bool {
        self.0.judged_for.as_ref().is_some_and(|judged| Arc::ptr_eq(judged, provider))
    }

    /// The snapshot has already compared the sealed list of destinations with this provider's;
    /// where the catalogue has changed since, it is compared here, and nothing is kept.
    pub(super) fn open(
        &self,
        provider: &Arc<Provider>,
        now_ns: u64,
        keep_ns: u64,
    ) -> Result<Opened, CryptoError> {
        match &self.0.state {
            Usable::Yes { prepared, kept, .. } if self.0.provider == *provider.id => {
                let keep_ns = if self.was_judged_for(provider) { keep_ns } else { 0 };
                let kept = kept.load();
                let placed = kept.as_ref().filter(|kept| !kept.is_stale(now_ns, keep_ns));
                let state = match placed {
                    Some(kept) => Given::Kept(Arc::clone(&kept.placed)),
                    None => Given::Fresh(fields::open(prepared)?, Arc::clone(&self.0)),
                };
                if let (0, Given::Fresh(fresh, _)) = (keep_ns, &state)
                    && !self.was_judged_for(provider)
                    && !fields::covers(fresh, provider)
                {
                    return Err(CryptoError::NotAuthentic);
                }
                Ok(Opened { state, now_ns, keep_ns })
            }
            Usable::Yes { .. } | Usable::No(_) => Err(CryptoError::NotAuthentic),
        }
    }
}

impl Opened {
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
    fn is_stale(&self, now_ns: u64, keep_ns: u64) -> bool {
        now_ns.saturating_sub(self.since_ns) >= keep_ns
    }
}

fn entry(keyring: &Keyring, catalogue: &Catalogue, stored: &StoredSecret) -> Entry {
    let secret = &stored.secret;
    let version = stored.versions.iter().rfind(|version| match version.state {
        VersionState::Active => true,
        VersionState::Pending
        | VersionState::Retiring
        | VersionState::Retired
        | VersionState::Destroyed => false,
    });
    Entry {
        id: secret.id,
        provider: secret.provider.clone(),
        name: secret.name.clone(),
        active: secret.active,
        version: version.map_or(0, |version| version.version),
        judged_for: catalogue.get(&secret.provider).cloned(),
        refused: AtomicBool::new(false),
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
