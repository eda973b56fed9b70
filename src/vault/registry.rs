//! What callers' threads share of a version, whatever snapshot they look at: the trial that it is
//! in, the word that its value was taken away, and what its provider gives for the secret. Outlives
//! every reload.
//! Must never hold key material.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;
use uuid::Uuid;

use super::place::SecretPlace;
use super::trial::Trial;
use crate::quota::Supply;

/// Was the value taken away? One load: asked for every piece of a long answer.
#[derive(Default)]
pub(crate) struct Off(AtomicBool);

impl Off {
    pub(crate) fn is_off(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Which versions have a value.
#[derive(Default)]
pub(super) struct Living {
    pub(super) versions: HashMap<Uuid, Vec<u32>>,
    /// Rows that cannot be read, those without an id among them: nothing is said of these.
    pub(super) unread: Vec<Option<Uuid>>,
}

impl Living {
    fn has(&self, (id, version): (Uuid, u32)) -> bool {
        match self.versions.get(&id) {
            Some(versions) => versions.contains(&version),
            None => self.unread.iter().any(|unread| unread.is_none_or(|unread| unread == id)),
        }
    }
}

#[derive(Default)]
pub(super) struct Registry {
    trials: Mutex<HashMap<(Uuid, u32), Arc<Trial>>>,
    /// A call went wrong in any of them.
    trouble: Arc<Notify>,
    offs: Mutex<HashMap<(Uuid, u32), Arc<Off>>>,
    supplies: Mutex<HashMap<Uuid, Arc<Supply>>>,
    places: Mutex<HashMap<Uuid, Arc<SecretPlace>>>,
    endings: AtomicU64,
    is_placed: AtomicBool,
}

impl Registry {
    pub(super) fn place(&self, id: Uuid) -> Arc<SecretPlace> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(places.entry(id).or_default())
    }

    /// Once, for whoever recalls what was learnt before the start.
    pub(super) fn is_placed_first(&self) -> bool {
        !self.is_placed.swap(true, Ordering::AcqRel)
    }

    /// What the provider gives for a secret, whichever version serves.
    pub(super) fn supply(&self, id: Uuid) -> Arc<Supply> {
        let mut supplies = self.supplies.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(supplies.entry(id).or_default())
    }

    pub(super) fn trial(&self, id: Uuid, version: u32) -> Arc<Trial> {
        let mut trials = self.trials.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(Trial::new(&self.trouble));
        Arc::clone(trials.entry((id, version)).or_insert_with(new))
    }

    pub(super) fn trouble(&self) -> &Notify {
        &self.trouble
    }

    pub(super) fn forget_trial(&self, id: Uuid, version: u32) {
        self.trials.lock().unwrap_or_else(PoisonError::into_inner).remove(&(id, version));
    }

    pub(super) fn off(&self, id: Uuid, version: u32) -> Arc<Off> {
        let mut offs = self.offs.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(offs.entry((id, version)).or_default())
    }

    pub(super) fn endings(&self) -> u64 {
        self.endings.load(Ordering::Acquire)
    }

    /// Versions without a value serve nobody any more.
    pub(super) fn settle(&self, living: &Living) {
        if living.unread.is_empty() {
            let mut supplies = self.supplies.lock().unwrap_or_else(PoisonError::into_inner);
            supplies.retain(|id, _| living.versions.contains_key(id));
            let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
            places.retain(|id, _| living.versions.contains_key(id));
        }
        let mut offs = self.offs.lock().unwrap_or_else(PoisonError::into_inner);
        let before = offs.len();
        offs.retain(|key, off| {
            let lives = key.1 == 0 || living.has(*key);
            if !lives {
                off.0.store(true, Ordering::Release);
            }
            lives
        });
        if offs.len() != before {
            self.endings.fetch_add(1, Ordering::Release);
        }
    }
}
