//! What moves rotations on, on every node: the share of each is taken over, what came of the calls
//! here is judged, a step that was held long enough is followed by the next, what was begun and
//! left by a dead process is brought to its end. Must never move one on from where it is no more.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use uuid::Uuid;

use super::judge::verdict;
use super::{Parts, RotationError, Rotor};
use crate::probe::{Asked, Live};
use crate::store::{Cause, RotationRow, RotationState};
use crate::vault::{Score, Tally};

const LOOK_EVERY: Duration = Duration::from_millis(250);
/// What is judged beside the whole step: the last so many looks.
const RECENT_LOOKS: usize = 40;
/// Old use is written down this often at most.
const NOTED_EVERY_MS: i64 = 1_000;
/// A provider that says nothing of the key is asked again after so long.
const ASKED_EVERY_MS: i64 = 10_000;

/// What this node knows of a rotation's step.
#[derive(Default)]
struct Known {
    step: Option<(u32, i64)>,
    /// At the beginning of the step.
    at_step: Score,
    /// The last looks, oldest first.
    looks: Vec<Score>,
    asked_at_ms: Option<i64>,
}

impl Rotor {
    /// For ever; spawned once.
    pub(crate) async fn keep(self: Arc<Self>) {
        let mut known: HashMap<(Uuid, u32), Known> = HashMap::new();
        let mut told = false;
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            if self.parts.vault.is_sealed() {
                continue;
            }
            match self.look(&mut known).await {
                Ok(()) => told = false,
                Err(fault) => {
                    if !std::mem::replace(&mut told, true) {
                        tracing::error!(%fault, "rotations cannot be moved on");
                    }
                }
            }
        }
    }

    async fn look(&self, known: &mut HashMap<(Uuid, u32), Known>) -> Result<(), RotationError> {
        let open = self.parts.store.open_rotations().await?;
        known.retain(|key, _| open.iter().any(|row| (row.secret_id, row.to_version) == *key));
        // One that cannot be moved keeps no other from it.
        let mut moved = Ok(());
        for rotation in &open {
            let key = (rotation.secret_id, rotation.to_version);
            let known = known.entry(key).or_default();
            let looked_after = match rotation.state {
                RotationState::Running | RotationState::Paused => self.tend(rotation, known).await,
                RotationState::Promoted => self.retire(rotation).await,
                RotationState::RolledBack => Ok(()),
            };
            moved = moved.and(looked_after);
        }
        moved.and(self.give_up_orphans(&open).await)
    }

    async fn tend(&self, rotation: &RotationRow, known: &mut Known) -> Result<(), RotationError> {
        let Parts { vault, store, clock, .. } = &self.parts;
        let (id, to) = (rotation.secret_id, rotation.to_version);
        let trial = vault.trial(id, to);
        trial.set_share(rotation.share());
        let (now_ms, score) = (clock.unix_ms(), trial.score());
        let here = (rotation.step, rotation.step_since);
        if known.step != Some(here) {
            *known = Known { step: Some(here), at_step: score, ..Known::default() };
        }
        known.looks.push(score);
        if known.looks.len() > RECENT_LOOKS {
            known.looks.remove(0);
        }
        let used_ms = trial.old_used_ms();
        if used_ms > rotation.old_used_at.unwrap_or(0).saturating_add(NOTED_EVERY_MS) {
            store.note_old_use(rotation, used_ms).await?;
        }
        let in_step = score.since(known.at_step);
        let recent = known.looks.first().map(|first| score.since(*first)).unwrap_or_default();
        if let Some(why) = verdict(in_step).or_else(|| verdict(recent)) {
            return self.roll_back(rotation, &why).await;
        }
        let is_held = now_ms.saturating_sub(rotation.step_since) >= rotation.hold_ms;
        if rotation.state != RotationState::Running || !is_held {
            return Ok(());
        }
        // A step without a call that went well has shown nothing: the provider is asked instead.
        let Tally { calls, refused, failed } = in_step.new;
        if calls <= refused.saturating_add(failed) && !self.is_proven(rotation, known).await? {
            return Ok(());
        }
        self.go_on(rotation, now_ms).await
    }

    async fn is_proven(
        &self,
        rotation: &RotationRow,
        known: &mut Known,
    ) -> Result<bool, RotationError> {
        let (id, to) = (rotation.secret_id, rotation.to_version);
        let now_ms = self.parts.clock.unix_ms();
        if known.asked_at_ms.is_some_and(|at| (now_ms - at).abs() < ASKED_EVERY_MS) {
            return Ok(false);
        }
        known.asked_at_ms = Some(now_ms);
        let asked = Asked { cause: Cause::Rotation, actor: "house" };
        let found = self.parts.prober.stored((id, Some(to)), asked, &mut |_| {}).await?;
        let Some((secret, report)) = found else { return Ok(false) };
        match report.live {
            Live::Good | Live::AnyString => Ok(true),
            // There is nothing to ask with; else it could not be opened just now.
            Live::NotAsked => Ok(!self.parts.prober.has_probe(&secret)),
            Live::Unreached | Live::Untold => Ok(false),
            Live::Refused => {
                self.roll_back(rotation, &report.why()).await?;
                Ok(false)
            }
        }
    }

    async fn go_on(&self, rotation: &RotationRow, now_ms: i64) -> Result<(), RotationError> {
        let is_last = usize::try_from(rotation.step + 1).is_ok_and(|at| at >= rotation.steps.len());
        if is_last {
            return self.promote(rotation).await;
        }
        let next = RotationRow {
            step: rotation.step + 1,
            step_since: now_ms,
            updated_at: now_ms,
            ..rotation.clone()
        };
        if self.parts.store.move_rotation(rotation, &next).await? {
            self.parts.vault.trial(next.secret_id, next.to_version).set_share(next.share());
            self.note(&next, json!({"rotation": "step", "share": next.share()}));
        }
        Ok(())
    }

    /// The former version, once nobody has used it for long enough.
    async fn retire(&self, rotation: &RotationRow) -> Result<(), RotationError> {
        let Parts { vault, store, clock, settings, .. } = &self.parts;
        let (id, now_ms) = (rotation.secret_id, clock.unix_ms());
        // Whoever promoted it died before the versions moved.
        if vault.waiting_versions().contains(&(id, rotation.to_version)) {
            vault.promote_version(id, rotation.to_version).await?;
        }
        let used_ms = vault.trial(id, rotation.to_version).old_used_ms();
        if used_ms > rotation.old_used_at.unwrap_or(0).saturating_add(NOTED_EVERY_MS) {
            store.note_old_use(rotation, used_ms).await?;
        }
        let last_ms = rotation.old_used_at.unwrap_or(0).max(used_ms).max(rotation.updated_at);
        let after_ms = i64::try_from(settings.retire_after.as_millis()).unwrap_or(i64::MAX);
        if now_ms.saturating_sub(last_ms) < after_ms {
            return Ok(());
        }
        vault.destroy_version(id, rotation.from_version).await?;
        let Some(secret) = vault.show(id).await? else { return Ok(()) };
        let mut left = secret.versions.iter().filter(|row| row.state != "destroyed");
        if left.any(|row| row.version == rotation.from_version) {
            return Err(RotationError::Not("the former version is in use, and is not destroyed"));
        }
        if store.note_retired(rotation, now_ms).await? {
            let used = rotation.old_used_at.map(crate::clock::rfc3339);
            let promoted = crate::clock::rfc3339(rotation.updated_at);
            self.note(
                rotation,
                json!({
                    "rotation": "retired", "destroyed_version": rotation.from_version,
                    "last_used_at": used, "promoted_at": promoted,
                }),
            );
        }
        vault.forget_trial(id, rotation.to_version);
        Ok(())
    }

    /// A version that waits and has no rotation: whoever stored it died before it began.
    async fn give_up_orphans(&self, open: &[RotationRow]) -> Result<(), RotationError> {
        for (id, version) in self.parts.vault.waiting_versions() {
            let is_ours = |row: &&RotationRow| row.secret_id == id && row.to_version == version;
            let is_known = open.iter().any(|row| is_ours(&row));
            if is_known || !self.is_old_enough(id, version).await? {
                continue;
            }
            self.parts.vault.give_version_up(id, version).await?;
        }
        Ok(())
    }

    /// Whoever has just stored it may be about to begin.
    async fn is_old_enough(&self, id: Uuid, version: u32) -> Result<bool, RotationError> {
        const BEGINS_WITHIN_MS: i64 = 10_000;
        let Some(secret) = self.parts.vault.show(id).await? else { return Ok(false) };
        let found = secret.versions.iter().find(|row| row.version == version);
        let now_ms = self.parts.clock.unix_ms();
        Ok(found.is_some_and(|row| now_ms.saturating_sub(row.created_at_ms) > BEGINS_WITHIN_MS))
    }
}
