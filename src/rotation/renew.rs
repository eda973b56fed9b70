//! Keys that the house gets by itself. What is about to be done is written down before it is done,
//! so that whoever follows one that died goes on, on any node: a key is asked for under the id of
//! its renewal, moved in by a rotation like any other, and the one that is not needed any more is
//! given back. Must never give a key back that a call could still be sent with.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::policy::Policy;
use super::{Parts, RotationError, Rotor};
use crate::store::{OwnKey, RenewalResult, RenewalRow, RenewalState, RotationState};
use crate::vault::SecretView;

pub(super) const LOOK_EVERY: Duration = Duration::from_millis(500);
/// So many looks from one at the schedules to the next.
const LOOKS_BETWEEN: u32 = 4;
/// One step takes no longer.
const LONGEST_STEP: Duration = Duration::from_secs(4 * 60);
/// A node that was silent for so long is followed; clocks may be ten minutes apart.
const HELD_MS: i64 = 15 * 60_000;
/// Why its key is given back.
pub(super) const ENTERED: &str = "key_entered";
pub(super) const ITS_SECRET_IS_GONE: &str = "secret_gone";
pub(super) const PENDING: &str = "pending";
pub(super) const ACTIVE: &str = "active";
const RETIRING: &str = "retiring";
const DESTROYED: &str = "destroyed";

/// What this node remembers from one look to the next.
#[derive(Default)]
struct Keeper {
    looks: u32,
    under_way: JoinSet<()>,
    /// Steps that are under way here.
    busy: Arc<std::sync::Mutex<HashSet<Uuid>>>,
}

/// What comes of a step.
pub(super) enum Went {
    /// The next one may follow at once.
    On,
    /// Somebody has to wait for something.
    Waits,
}

impl Rotor {
    /// For ever; spawned once.
    pub(crate) async fn renew(self: Arc<Self>) {
        let mut keeper = Keeper::default();
        let mut is_told = false;
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            if self.parts.vault.is_sealed() {
                continue;
            }
            match self.look_at_renewals(&mut keeper).await {
                Ok(()) => is_told = false,
                Err(fault) if !std::mem::replace(&mut is_told, true) => {
                    tracing::error!(%fault, "keys cannot be renewed");
                }
                Err(_) => {}
            }
        }
    }

    async fn look_at_renewals(self: &Arc<Self>, keeper: &mut Keeper) -> Result<(), RotationError> {
        let Parts { store, clock, .. } = &self.parts;
        while keeper.under_way.try_join_next().is_some() {}
        let Some(read) = store.renewals().await? else { return Ok(()) };
        let mut rows = Vec::with_capacity(read.len());
        for row in read {
            match row {
                Ok(row) => rows.push(row),
                Err(id) => self.forget_edited(&id).await?,
            }
        }
        let looks = keeper.looks;
        keeper.looks = looks.wrapping_add(1);
        if looks.is_multiple_of(LOOKS_BETWEEN) && !self.parts.settings.policies.is_empty() {
            self.begin_due(&rows).await?;
        }
        let now_ms = clock.unix_ms();
        for row in rows {
            let is_due = row.is_open() && row.next_at.is_none_or(|at| at <= now_ms);
            if !is_due || self.is_on_its_way(&row).await? {
                continue;
            }
            let id = row.secret_id;
            let busy = Arc::clone(&keeper.busy);
            if !locked(&busy).insert(id) {
                continue;
            }
            let rotor = Arc::clone(self);
            keeper.under_way.spawn(async move {
                if let Err(fault) = rotor.step(id).await {
                    tracing::warn!(%fault, secret = %id, "a renewal waits");
                }
                locked(&busy).remove(&id);
            });
        }
        Ok(())
    }

    /// Nothing can be done but to wait for its rotation; asked often, so that it changes nothing.
    async fn is_on_its_way(&self, row: &RenewalRow) -> Result<bool, RotationError> {
        if row.state != RenewalState::Moving {
            return Ok(false);
        }
        let rotation = self.parts.store.rotation(row.secret_id).await?;
        let rotation = rotation.filter(|rotation| Some(rotation.to_version) == row.to_version);
        Ok(rotation.is_some_and(|rotation| match rotation.state {
            RotationState::Running | RotationState::Paused => true,
            RotationState::Promoted => rotation.retired_at.is_none() && row.expires_at.is_none(),
            RotationState::RolledBack => false,
        }))
    }

    async fn forget_edited(&self, id: &str) -> Result<(), RotationError> {
        if self.parts.store.forget_renewal(id).await? {
            const ALERT: &str = "integrity";
            self.parts.metrics.alert_raised(ALERT);
            let id: String = id.chars().take(100).collect();
            let finding = format!(
                "the row {id:?} of the table renewals is not as Sealgate left it, and is forgotten: \
                 a key that it was about may be left at its provider; look there"
            );
            self.parts.ledger.found(json!({"alert": ALERT, "finding": finding}));
        }
        Ok(())
    }

    /// As far as it goes, on one node at a time.
    pub(super) async fn step(&self, id: Uuid) -> Result<(), RotationError> {
        let Parts { store, clock, node, .. } = &self.parts;
        let now_ms = clock.unix_ms();
        let span = (now_ms, now_ms.saturating_add(HELD_MS));
        // Later, it would take back what a step has claimed that is under way.
        self.freed.get_or_try_init(|| store.release_renewals_of(node)).await?;
        if !store.claim_renewal(id, node, span).await? {
            return Ok(());
        }
        let stepped = match tokio::time::timeout(LONGEST_STEP, self.go_far(id)).await {
            Ok(stepped) => stepped,
            Err(_) => self.took_too_long(id).await,
        };
        store.release_renewal(id, node).await?;
        stepped
    }

    async fn took_too_long(&self, id: Uuid) -> Result<(), RotationError> {
        let Some(row) = self.parts.store.renewal(id).await?.filter(RenewalRow::is_open) else {
            return Ok(());
        };
        let fault = format!("it took longer than {} seconds", LONGEST_STEP.as_secs());
        self.failed(row, &fault).await.map(drop)
    }

    async fn go_far(&self, id: Uuid) -> Result<(), RotationError> {
        let Parts { vault, store, clock, .. } = &self.parts;
        loop {
            let Some(row) = store.renewal(id).await?.filter(RenewalRow::is_open) else {
                return Ok(());
            };
            if row.next_at.is_some_and(|at| at > clock.unix_ms()) {
                return Ok(());
            }
            let view = vault.show(id).await?;
            let names = view.as_ref().map(|view| (view.provider.as_str(), view.name.as_str()));
            let (provider, name) = names.unwrap_or((&row.provider, &row.name));
            let policy = self.parts.settings.policies.of(provider, name);
            let is_its = |policy: &&Policy| policy.looks_after(&row.kind, row.place.as_deref());
            let Some(policy) = policy.filter(is_its) else {
                // A key that serves calls is known as ours all the same.
                let served = own_version(&row, view.as_ref());
                let served = served.map(|version| OwnKey { version, ..row.made() });
                let own = served.or_else(|| row.own.clone());
                self.end(RenewalRow { own, ..row }, RenewalResult::PolicyGone).await?;
                return Ok(());
            };
            // Stored after all, though nobody was told: no key to give back, or to ask for again.
            let is_lost = matches!(row.state, RenewalState::Making | RenewalState::Undoing);
            if let Some(version) = own_version(&row, view.as_ref()).filter(|_| is_lost) {
                let (state, to_version) = (RenewalState::Moving, Some(version));
                self.put(RenewalRow { state, to_version, ..row }).await?;
                continue;
            }
            if row.state == RenewalState::Making && row.tries > 0 && is_entered(&row, view.as_ref())
            {
                // Nobody waits for another key any more; what a try may have made is given back.
                let (state, cause) = (RenewalState::Undoing, ENTERED.to_owned());
                self.put(RenewalRow { state, cause, tries: 0, fault: None, ..row }).await?;
                continue;
            }
            let went = match row.state {
                RenewalState::Idle => Went::Waits,
                RenewalState::Making => self.make(policy, row, view).await?,
                RenewalState::Storing => self.recover(row, view).await?,
                RenewalState::Moving => self.follow(row, view).await?,
                RenewalState::Retiring => self.retire_key(policy, row, view).await?,
                RenewalState::Undoing => self.undo(policy, row).await?,
            };
            match went {
                Went::On => {}
                Went::Waits => return Ok(()),
            }
        }
    }

    /// Whoever asked for the key and died may have stored it.
    async fn recover(
        &self,
        row: RenewalRow,
        view: Option<SecretView>,
    ) -> Result<Went, RotationError> {
        let by = by(&row);
        let rotation = self.parts.store.rotation(row.secret_id).await?;
        if let Some(rotation) = rotation.filter(|rotation| rotation.actor == by) {
            let to_version = Some(rotation.to_version);
            self.put(RenewalRow { state: RenewalState::Moving, to_version, ..row }).await?;
            return Ok(Went::On);
        }
        let mut versions = view.iter().flat_map(|view| &view.versions);
        if versions.any(|version| version.state == PENDING) {
            // Stored, and its rotation never began: it is given up soon.
            return Ok(Went::Waits);
        }
        // The value is lost with whoever had it; under the same id it is asked for once more.
        self.put(RenewalRow { state: RenewalState::Making, handle: None, ..row }).await?;
        Ok(Went::On)
    }

    /// What has become of the version that it was moved in as?
    async fn follow(
        &self,
        row: RenewalRow,
        view: Option<SecretView>,
    ) -> Result<Went, RotationError> {
        let state_of = |number: u32| {
            let versions = view.as_ref().map(|view| view.versions.as_slice()).unwrap_or_default();
            versions.iter().find(|row| row.version == number).map_or(DESTROYED, |row| row.state)
        };
        let to = row.to_version.unwrap_or(0);
        match state_of(to) {
            PENDING => return Ok(Went::Waits),
            ACTIVE | RETIRING => {}
            // Rolled back, or destroyed with the secret: nobody is served with it any more.
            _ => {
                self.put(RenewalRow { state: RenewalState::Undoing, ..row }).await?;
                return Ok(Went::On);
            }
        }
        if let Some(at) = row.expires_at {
            let patch = crate::vault::SecretPatch {
                expires_at_ms: Some(Some(at)),
                ..crate::vault::SecretPatch::default()
            };
            self.parts.vault.set(row.secret_id, patch).await?;
            self.put(RenewalRow { expires_at: None, ..row }).await?;
            return Ok(Went::On);
        }
        if state_of(row.from_version) != DESTROYED {
            return Ok(Went::Waits);
        }
        self.put(RenewalRow { state: RenewalState::Retiring, ..row }).await?;
        Ok(Went::On)
    }

    pub(super) async fn put(&self, row: RenewalRow) -> Result<RenewalRow, RotationError> {
        let put = self.parts.store.put_renewal(&row).await?;
        put.ok_or(RotationError::Not("somebody else has gone on with it"))
    }

    /// A change that the house makes, with what it is about.
    pub(super) fn tell(&self, row: &RenewalRow, mut after: serde_json::Value) {
        if let Some(members) = after.as_object_mut() {
            members.insert(String::from("secret"), row.secret_id.to_string().into());
            members.insert(String::from("run"), row.run.to_string().into());
            members.insert(String::from("kind"), row.kind.clone().into());
            members.insert(String::from("asked_by"), row.actor.clone().into());
        }
        self.append(after);
    }
}

/// Who stored its version, as that says.
pub(super) fn by(row: &RenewalRow) -> String {
    format!("renewal {}", row.run)
}

/// The version that this renewal made, while anybody may be served with it.
fn own_version(row: &RenewalRow, view: Option<&SecretView>) -> Option<u32> {
    let (by, serves) = (by(row), |state| matches!(state, PENDING | ACTIVE | RETIRING));
    let mut versions = view?.versions.iter();
    versions.find(|own| own.created_by == by && serves(own.state)).map(|own| own.version)
}

/// Has somebody entered a key since it began?
fn is_entered(row: &RenewalRow, view: Option<&SecretView>) -> bool {
    let mut versions = view.into_iter().flat_map(|view| &view.versions);
    versions.any(|version| {
        version.state == ACTIVE
            && version.version > row.from_version
            && Some(version.created_at_ms) >= row.started_at
    })
}

pub(super) fn is_destroyed(view: Option<&SecretView>, version: u32) -> bool {
    let versions = view.map(|view| view.versions.as_slice()).unwrap_or_default();
    versions.iter().all(|row| row.version != version || row.state == DESTROYED)
}

fn locked<T>(held: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    held.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
