//! Staged moves from one version of a provider's key to the next: a share of the calls at each
//! step, judged against the version before, promoted or rolled back by itself; and new keys that
//! the house gets by itself, by a schedule or their age. Where a rotation
//! stands is in the database, so that it outlives whoever moves it, and every node goes along. Must
//! never leave calls with a version that is refused where the other one is not.

mod accounts;
mod begin;
mod dry;
mod due;
mod judge;
mod keep;
mod keys;
mod policy;
mod renew;
mod retire;
mod ways;

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use uuid::Uuid;

pub(crate) use self::dry::{Check, PolicyView};
pub(crate) use self::policy::{Command, OpenAi, Policies, Policy, Way, Webhook};
pub(crate) use self::ways::{Errand, Letter, Ways};
use crate::catalogue::InForce;
use crate::clock::Clock;
use crate::ledger::{ActorRef, Entry, Kind, Ledger};
use crate::probe::{Asked, Prober};
use crate::secret::SecretBytes;
use crate::store::{self, Cause, Counts, RotationRow, RotationState, Store};
use crate::telemetry::Metrics;
use crate::vault::{SecretView, Vault, VaultError, VersionView};

/// What the room is built from.
pub(crate) struct Parts {
    pub(crate) vault: Arc<Vault>,
    pub(crate) store: Store,
    pub(crate) prober: Arc<Prober>,
    pub(crate) ledger: Ledger,
    pub(crate) metrics: Metrics,
    pub(crate) clock: Clock,
    pub(crate) settings: Settings,
    pub(crate) catalogue: InForce,
    pub(crate) ways: Ways,
    /// This node's own name.
    pub(crate) node: String,
}

#[derive(Clone, Debug)]
pub struct Settings {
    /// How long a retiring version must have been unused before it is destroyed.
    pub retire_after: Duration,
    /// Which keys are renewed by themselves.
    pub(crate) policies: Policies,
}

/// Moves versions.
pub(crate) struct Rotor {
    parts: Parts,
    /// The claims of whoever had this node's name before are taken back, once and before any other.
    freed: tokio::sync::OnceCell<()>,
}

/// By which steps a new version takes over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Strategy {
    /// Percent of the calls, rising, the last one 100.
    pub(crate) steps: Vec<u32>,
    pub(crate) hold_ms: i64,
}

impl Default for Strategy {
    fn default() -> Self {
        Self { steps: vec![1, 10, 50, 100], hold_ms: 300_000 }
    }
}

/// What somebody asks of a rotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    Promote,
    RollBack,
    Pause,
    Resume,
}

#[derive(Debug)]
pub(crate) enum RotationError {
    Vault(VaultError),
    Store(store::Error),
    /// There is none that could be moved so; what it is instead.
    Not(&'static str),
}

impl From<VaultError> for RotationError {
    fn from(fault: VaultError) -> Self {
        Self::Vault(fault)
    }
}

impl From<store::Error> for RotationError {
    fn from(fault: store::Error) -> Self {
        Self::Store(fault)
    }
}

impl std::fmt::Display for RotationError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Vault(fault) => fault.fmt(formatter),
            Self::Store(fault) => fault.fmt(formatter),
            Self::Not(why) => formatter.write_str(why),
        }
    }
}

impl std::error::Error for RotationError {}

impl Rotor {
    pub(crate) fn new(parts: Parts) -> Self {
        Self { parts, freed: tokio::sync::OnceCell::new() }
    }

    /// A new value begins to take over. None: there is no such secret.
    pub(crate) async fn start(
        &self,
        (id, fields): (Uuid, &[(String, SecretBytes)]),
        strategy: Strategy,
        by: &str,
    ) -> Result<Option<(SecretView, u32)>, RotationError> {
        let Parts { vault, store, clock, .. } = &self.parts;
        let Some(staged) = vault.stage(id, fields, by).await? else { return Ok(None) };
        let now_ms = clock.unix_ms();
        let rotation = RotationRow {
            secret_id: id,
            from_version: staged.from,
            to_version: staged.to,
            state: RotationState::Running,
            steps: strategy.steps,
            step: 0,
            hold_ms: strategy.hold_ms,
            step_since: now_ms,
            started_at: now_ms,
            updated_at: now_ms,
            actor: by.to_owned(),
            why: None,
            old_used_at: None,
            retired_at: None,
            counts: Counts::default(),
            at_step: Counts::default(),
        };
        // A version without its rotation, after a death in between, is given up by whoever looks.
        if !store.begin_rotation(&rotation).await? {
            vault.give_version_up(id, staged.to).await?;
            return Err(VaultError::Rotates.into());
        }
        vault.trial(id, staged.to).set_share(rotation.share());
        Ok(Some((staged.secret, staged.to)))
    }

    /// A new value takes over at once and the former one is destroyed; what rotates is given up.
    pub(crate) async fn replace(
        &self,
        (id, fields): (Uuid, Vec<(String, SecretBytes)>),
        by: &str,
    ) -> Result<Option<SecretView>, RotationError> {
        let Parts { vault, store, .. } = &self.parts;
        if let Some(rotation) = store.rotation(id).await?
            && rotation.is_open()
        {
            self.roll_back(&rotation, "replaced at once by another version").await?;
            vault.destroy_version(id, rotation.to_version).await?;
        }
        Ok(vault.replace(id, fields, by).await?)
    }

    pub(crate) async fn wish(&self, id: Uuid, wish: Wish) -> Result<RotationRow, RotationError> {
        let Parts { store, clock, .. } = &self.parts;
        let rotation = store.rotation(id).await?;
        if let (Wish::RollBack, Some(promoted)) = (wish, &rotation)
            && promoted.state == RotationState::Promoted
            && promoted.retired_at.is_none()
        {
            return self.take_back(promoted).await;
        }
        let rotation = rotation.filter(RotationRow::is_open);
        let rotation =
            rotation.ok_or(RotationError::Not("no rotation of this secret is under way"))?;
        let now_ms = clock.unix_ms();
        match (wish, rotation.state) {
            (Wish::Promote, _) => self.promote(&rotation).await?,
            (Wish::RollBack, _) => self.roll_back(&rotation, "rolled back by hand").await?,
            (Wish::Pause, RotationState::Paused) => {
                return Err(RotationError::Not("the rotation is paused already"));
            }
            (Wish::Pause, _) => {
                let paused = RotationRow {
                    state: RotationState::Paused,
                    updated_at: now_ms,
                    ..rotation.clone()
                };
                store.move_rotation(&rotation, &paused).await?;
            }
            (Wish::Resume, RotationState::Paused) => {
                let running = RotationRow {
                    state: RotationState::Running,
                    updated_at: now_ms,
                    step_since: now_ms,
                    ..rotation.clone()
                };
                store.move_rotation(&rotation, &running).await?;
            }
            (Wish::Resume, _) => {
                return Err(RotationError::Not("the rotation is not paused"));
            }
        }
        let stands = store.rotation(id).await?;
        stands.ok_or(RotationError::Not("no rotation of this secret is under way"))
    }

    /// The row first: it alone says which of two wishes was the first. Whoever dies in between is
    /// followed by one who sees that the versions are moved.
    async fn promote(&self, rotation: &RotationRow) -> Result<(), RotationError> {
        let Parts { vault, store, clock, .. } = &self.parts;
        let (id, to) = (rotation.secret_id, rotation.to_version);
        let now_ms = clock.unix_ms();
        let promoted = RotationRow {
            state: RotationState::Promoted,
            updated_at: now_ms,
            step_since: now_ms,
            why: None,
            ..rotation.clone()
        };
        if store.move_rotation(rotation, &promoted).await? {
            vault.promote_version(id, to).await?;
            self.note(rotation, json!({"rotation": "promoted"}));
            self.look_at_promoted(id, to);
        }
        Ok(())
    }

    /// The key that calls use is another one now, and so is what is known of it.
    fn look_at_promoted(&self, id: Uuid, version: u32) {
        let prober = Arc::clone(&self.parts.prober);
        tokio::spawn(async move {
            let asked = Asked { cause: Cause::Rotation, actor: "house" };
            let looked = prober.stored((id, Some(version)), asked, &mut |_| {}).await;
            if let Err(fault) = looked {
                tracing::warn!(%fault, secret = %id, "a promoted version was not checked");
            }
        });
    }

    /// The share first: nobody is served with it any more, whatever comes of the rest.
    async fn roll_back(&self, rotation: &RotationRow, why: &str) -> Result<(), RotationError> {
        let Parts { vault, store, clock, .. } = &self.parts;
        let (id, to) = (rotation.secret_id, rotation.to_version);
        vault.trial(id, to).set_share(0);
        let back = RotationRow {
            state: RotationState::RolledBack,
            updated_at: clock.unix_ms(),
            why: Some(why.to_owned()),
            ..rotation.clone()
        };
        // Somebody else moved it meanwhile: what he said holds.
        if !store.move_rotation(rotation, &back).await? {
            return Ok(());
        }
        vault.give_version_up(id, to).await?;
        self.tell_of_the_way_back(rotation, why);
        Ok(())
    }

    /// It has taken over, and the former one is still there. The versions first: whoever dies
    /// before the row says so has his wish all the same.
    async fn take_back(&self, rotation: &RotationRow) -> Result<RotationRow, RotationError> {
        const GONE: RotationError =
            RotationError::Not("the former version is not there any more; rotate to another key");
        let Parts { vault, store, clock, .. } = &self.parts;
        let (id, former) = (rotation.secret_id, rotation.from_version);
        vault.take_back_version(id, (former, rotation.to_version)).await?;
        let view = vault.show(id).await?.ok_or(VaultError::Vanished)?;
        let serves = |row: &VersionView| {
            row.version == former && row.state == store::VersionState::Active.as_str()
        };
        if !view.versions.iter().any(serves) {
            return Err(GONE);
        }
        let why = "rolled back by hand after it had taken over";
        let back = RotationRow {
            state: RotationState::RolledBack,
            updated_at: clock.unix_ms(),
            why: Some(why.to_owned()),
            ..rotation.clone()
        };
        if store.move_rotation(rotation, &back).await? {
            vault.forget_trial(id, rotation.to_version);
            self.tell_of_the_way_back(rotation, why);
            self.look_at_promoted(id, former);
        }
        store.rotation(id).await?.ok_or(GONE)
    }

    fn tell_of_the_way_back(&self, rotation: &RotationRow, why: &str) {
        const ALERT: &str = "rotation_rolled_back";
        let Parts { metrics, ledger, .. } = &self.parts;
        let (id, to) = (rotation.secret_id.to_string(), rotation.to_version);
        metrics.alert_raised(ALERT);
        ledger.noted(json!({
            "alert": ALERT, "secret": {"id": id}, "version": to, "finding": why,
        }));
        self.note(rotation, json!({"rotation": "rolled_back", "why": why}));
    }

    /// A change that the house makes: one record, after it was made.
    fn note(&self, rotation: &RotationRow, mut after: serde_json::Value) {
        if let Some(members) = after.as_object_mut() {
            members.insert(String::from("secret"), rotation.secret_id.to_string().into());
            members.insert(String::from("from_version"), rotation.from_version.into());
            members.insert(String::from("to_version"), rotation.to_version.into());
            members.insert(String::from("step"), rotation.step.into());
        }
        self.append(after);
    }

    fn append(&self, after: serde_json::Value) {
        let entry = Entry {
            kind: Kind::Change,
            actor: ActorRef::house("rotation"),
            address: None,
            method: "",
            endpoint: "",
            status: 0,
            reason: None,
            request_id: "",
            detail: Some(json!({"after": after})),
        };
        if self.parts.ledger.append(&entry).is_err() {
            tracing::error!("the journal has no room for a step of a rotation");
        }
    }
}

impl RotationRow {
    /// Percent of the calls that are the new version's now.
    pub(crate) fn share(&self) -> u32 {
        match self.state {
            RotationState::Running | RotationState::Paused => {
                let at = usize::try_from(self.step).unwrap_or(usize::MAX);
                self.steps.get(at).copied().unwrap_or(0)
            }
            RotationState::Promoted => 100,
            RotationState::RolledBack => 0,
        }
    }

    /// Whether it has to do with this version, which serves now: one that was put in at once since
    /// has nothing to do with what went before.
    pub(crate) fn concerns(&self, serving: u32) -> bool {
        self.is_open() || serving <= self.from_version.max(self.to_version)
    }

    pub(crate) fn is_open(&self) -> bool {
        matches!(self.state, RotationState::Running | RotationState::Paused)
    }
}
