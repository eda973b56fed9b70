//! The end of versions: a former one that nobody uses any more is destroyed, with proof in the
//! trail; one that was stored and whose rotation never began is given up.
//! Must never destroy a version that a call could still be given.

use std::collections::HashMap;

use serde_json::json;
use uuid::Uuid;

use super::keep::NOTED_EVERY_MS;
use super::{Parts, RotationError, Rotor};
use crate::store::{RotationRow, RotationState, VersionState};

/// Former versions that no rotation knows of any more.
#[derive(Default)]
pub(super) struct LeftOver {
    looks: u32,
    /// Since when they were seen here.
    since_ms: HashMap<(Uuid, u32), i64>,
}

const LOOKED_FOR_EVERY: u32 = 8;

impl Rotor {
    /// The former version, once nobody has used it for long enough.
    pub(super) async fn retire(&self, rotation: &RotationRow) -> Result<(), RotationError> {
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
        let former = left.find(|row| row.version == rotation.from_version);
        if former.is_some_and(|row| row.state == VersionState::Active.as_str()) {
            // Somebody took the promotion back, and died before he had said so.
            self.take_back(rotation).await?;
            return Ok(());
        }
        if former.is_some() {
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

    /// A former version whose rotation was followed by another before it was gone, or did not come
    /// along in a backup. Nobody is given it, and so it is let go of like any other.
    pub(super) async fn retire_left_over(
        &self,
        left_over: &mut LeftOver,
    ) -> Result<(), RotationError> {
        left_over.looks = left_over.looks.wrapping_add(1);
        if !left_over.looks.is_multiple_of(LOOKED_FOR_EVERY) {
            return Ok(());
        }
        let Parts { vault, store, clock, settings, .. } = &self.parts;
        let (retiring, rotations) = (store.retiring_versions().await?, store.rotations().await?);
        left_over.since_ms.retain(|key, _| retiring.contains(key));
        let (now_ms, mut ended) = (clock.unix_ms(), Ok(()));
        let after_ms = i64::try_from(settings.retire_after.as_millis()).unwrap_or(i64::MAX);
        for (id, version) in retiring {
            let row = rotations.iter().find(|row| row.secret_id == id);
            if row.is_some_and(|row| looks_after(row, version)) {
                continue;
            }
            let since_ms = *left_over.since_ms.entry((id, version)).or_insert(now_ms);
            if now_ms.saturating_sub(since_ms) < after_ms {
                continue;
            }
            let destroyed = vault.destroy_version(id, version).await;
            if let Ok(true) = destroyed {
                self.append(json!({
                    "rotation": "retired", "secret": id.to_string(), "destroyed_version": version,
                    "unused_since": crate::clock::rfc3339(since_ms),
                }));
            }
            let destroyed = destroyed.map(drop).map_err(RotationError::from);
            ended = ended.and(destroyed);
        }
        ended
    }

    /// A version that waits and has no rotation: whoever stored it died before it began.
    pub(super) async fn give_up_orphans(&self, open: &[RotationRow]) -> Result<(), RotationError> {
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

/// Is it the former version of this very rotation?
fn looks_after(rotation: &RotationRow, version: u32) -> bool {
    let lasts = match rotation.state {
        RotationState::Running | RotationState::Paused => true,
        RotationState::Promoted => rotation.retired_at.is_none(),
        RotationState::RolledBack => false,
    };
    lasts && rotation.from_version == version
}
