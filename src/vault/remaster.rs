//! From one master key to another: every key-encryption key is wrapped again, a row a transaction;
//! data keys and values are not touched. Both masters stay usable until every row opens under the
//! new one alone. Killed anywhere, it goes on from the rows that are left. Must never let go of the
//! former one before that.

use std::sync::Arc;

use serde_json::json;
use uuid::Uuid;

use super::jobs::{Outcome, Work};
use super::{Vault, VaultError};
use crate::failpoint::{self, place};
use crate::kms::{self, Context, KmsError, Master, Masters, Place, Staging, Target};
use crate::secret::SecretBytes;
use crate::store::{JobKind, JobRow, JobState, KekRow, MasterId, MasterKind, Remastered, Store};

/// How often to look for generations that others have made meanwhile.
const PASSES: u32 = 5;

impl Vault {
    /// Where the master key is; said once, before the first rotation.
    pub(crate) fn master_lies_in(&self, place: Place) {
        if self.master_place.set(place).is_err() {
            tracing::error!("the vault was told twice where its master key is");
        }
    }

    pub(super) fn master_place(&self) -> Option<&Place> {
        self.master_place.get()
    }

    /// Begins the move to a new master key of the same kind, or to the one that the settings name
    /// now. A passphrase is needed where a new master key is made that it is to open.
    pub(crate) async fn rotate_master(
        &self,
        by: &str,
        typed: Option<SecretBytes>,
    ) -> Result<JobRow, VaultError> {
        // Nobody makes a key, and no other job begins, until this one stands.
        let changing = self.changing.lock().await;
        let unsealed = self.unsealed()?;
        if self.store.running_job().await?.is_some() {
            return Err(VaultError::JobRuns);
        }
        let place = self.master_place.get().ok_or(VaultError::Sealed)?;
        let masters = unsealed.keyring.masters();
        let present = masters.active().id();
        let named = named_masters(&self.store).await?;
        let staging = Staging { present: &present, named: &named, typed };
        let ground = self.master_ground();
        let target = kms::stage(place, &ground, staging).await?;
        let again = matches!(target, Target::SameName);
        let (from, to, made) = match target {
            Target::AtHand | Target::SameName => (present.clone(), present, None),
            Target::Staged { master, from, fresh } => {
                failpoint::pass(place::MASTER_STAGED);
                let to = master.id();
                unsealed.keyring.set_masters(Arc::new(masters.with(Arc::new(master))));
                (from, to.clone(), fresh.then_some(to))
            }
        };
        let to = json!({"kind": to.kind.as_str(), "id": to.id});
        let from = json!({"kind": from.kind.as_str(), "id": from.id});
        let detail = json!({"from": from, "to": to, "again": again}).to_string();
        let begun = self.start_locked(&changing, (JobKind::MasterKey, Some(detail)), by).await;
        if let (Err(VaultError::JobRuns), Some(made)) = (&begun, made) {
            // Another node was faster: what was made for this one wraps nothing.
            unsealed.keyring.set_masters(masters);
            kms::unstage(place, &ground, &made).await;
        }
        self.note_master_rows().await?;
        begun
    }

    /// Is the master key at hand to which this job moves? On another node it may not be.
    pub(super) fn can_remaster(&self, job: &JobRow) -> bool {
        let unsealed = self.opened.load();
        let masters = unsealed.as_ref().map(|unsealed| unsealed.keyring.masters());
        Move::of(job).is_some_and(|wanted| masters.is_some_and(|m| wanted.target(&m).is_some()))
    }

    fn master_ground(&self) -> kms::Ground<'_> {
        let installation = self.installation;
        kms::Ground { store: &self.store, clock: &self.clock, installation }
    }

    pub(super) async fn remaster(&self, work: Work<'_>) -> Result<Outcome, VaultError> {
        failpoint::pass(place::MASTER_CLAIMED);
        let place = self.master_place.get().ok_or(VaultError::Sealed)?;
        let keyring = self.unsealed()?.keyring.share();
        let mut wanted = Move::of(work.job).ok_or(VaultError::Vanished)?;
        let masters = keyring.masters();
        let target = wanted.target(&masters);
        let master = target.ok_or_else(|| KmsError::OtherMaster(wanted.to.clone()))?;
        wanted.to = master.id();
        // What is made from now on is wrapped by the new one; what is being made is waited for.
        let masters = Arc::new(masters.under(Arc::clone(&master)));
        let changing = self.changing.lock().await;
        keyring.set_masters(Arc::clone(&masters));
        drop(changing);
        let mut after = work.job.after.unwrap_or(Uuid::nil());
        for _ in 0..PASSES {
            let damaged =
                self.remaster_pass(work, (&masters, &master), (&wanted, &mut after)).await?;
            // A key that another node has made, which did not know of the move yet, comes along.
            if !self.living_keks().await?.iter().any(|kek| is_late(kek, &wanted, &damaged)) {
                break;
            }
        }
        failpoint::pass(place::MASTER_ROWS);
        let (beside, alone) = (masters.ids(), Arc::new(Masters::alone(master)));
        let at = (place, &wanted, &*beside);
        let outcome = self.judge_move(work, at, Arc::clone(&alone)).await?;
        if outcome.state == JobState::Done {
            keyring.set_masters(alone);
        }
        Ok(outcome)
    }

    /// Moves what is not under the new one yet; what cannot be moved is named.
    async fn remaster_pass(
        &self,
        work: Work<'_>,
        (masters, master): (&Masters, &Master),
        (wanted, after): (&Move, &mut Uuid),
    ) -> Result<Vec<Uuid>, VaultError> {
        let mut damaged = Vec::new();
        let mut left = self.living_keks().await?;
        left.retain(|kek| kek.master != wanted.to || (wanted.again && kek.id > *after));
        left.sort_by_key(|kek| kek.id);
        for kek in left {
            match self.remaster_row(work, (masters, master), &kek).await {
                Ok(()) => {}
                // Its own damage leaves it where it is; the others move on.
                Err(VaultError::Kms(KmsError::Crypto(fault))) => {
                    tracing::error!(kek = %kek.id, %fault, "a key cannot be moved");
                    damaged.push(kek.id);
                }
                Err(VaultError::Stale) => {}
                Err(fault) => return Err(fault),
            }
            *after = kek.id;
            failpoint::pass(place::MASTER_ROW);
        }
        Ok(damaged)
    }

    async fn remaster_row(
        &self,
        work: Work<'_>,
        (masters, to): (&Masters, &Master),
        kek: &KekRow,
    ) -> Result<(), VaultError> {
        // Sealed meanwhile, the job lets go of its keys.
        drop(self.unsealed()?);
        let context = Context {
            installation: self.installation,
            category: &kek.category,
            generation: kek.generation,
            id: kek.id,
        };
        let key = masters.unwrap(&context, &kek.master, &kek.wrapped).await?;
        let wrapped = to.wrap(&context, &key).await?;
        let id = to.id();
        let row =
            Remastered { kek_id: kek.id, former: &kek.wrapped, wrapped: &wrapped, master: &id };
        Ok(self.store.remaster_kek(&row, &self.step(work, kek.id)).await?)
    }

    /// The former one goes from its place only when every key opens without it; what is said of it
    /// depends on whether every value does.
    async fn judge_move(
        &self,
        work: Work<'_>,
        (place, wanted, beside): (&Place, &Move, &[MasterId]),
        alone: Arc<Masters>,
    ) -> Result<Outcome, VaultError> {
        let flaws = self.verify(alone).await?;
        self.keep_lease(work).await?;
        failpoint::pass(place::MASTER_VERIFIED);
        let all_moved = self.living_keks().await?.iter().all(|kek| kek.master == wanted.to);
        let kind = wanted.to.kind.as_str();
        if !all_moved && !flaws.of_keys() {
            let sentence = format!(
                "a key-encryption key was made under the former master key meanwhile, so both are \
                 still needed; nothing is damaged: run `sealgate master-key rotate` again to bring \
                 it under the new one ({kind})"
            );
            return Ok(Outcome { state: JobState::Failed, sentence });
        }
        if flaws.of_keys() {
            let sentence = format!(
                "not every key-encryption key is under the new master key ({kind}), so both are still \
                 needed: {}. Mend it from a backup, then run `sealgate master-key rotate` again",
                flaws.told()
            );
            return Ok(Outcome { state: JobState::Failed, sentence });
        }
        let moved = (&wanted.from, &wanted.to);
        let told = kms::settle(place, &self.master_ground(), moved, beside).await?;
        failpoint::pass(place::MASTER_PLACED);
        let sentence = if flaws.are_none() {
            format!(
                "every key-encryption key is under the new master key ({kind}), and every row was \
                     verified; {told}"
            )
        } else {
            format!(
                "every key-encryption key is under the new master key ({kind}), but not every value \
                 opens: {}. Until that is mended keep the former master key; after that, {told}",
                flaws.told()
            )
        };
        Ok(Outcome { state: JobState::Done, sentence })
    }
}

/// Those that a row names, and the one to which a move has failed, or is under way.
pub(crate) async fn named_masters(store: &Store) -> Result<Vec<MasterId>, VaultError> {
    let rows = store.keks().await?.rows.into_iter();
    let living = rows.filter(|kek| !kek.is_gone());
    let mut named: Vec<MasterId> = living.map(|kek| kek.master).collect();
    let last = store.latest_job_of(JobKind::MasterKey).await?;
    let failed = last.filter(|job| job.state != JobState::Done);
    named.extend(failed.as_ref().and_then(Move::of).map(|wanted| wanted.to));
    Ok(named)
}

/// Not under the new one, and could be.
fn is_late(kek: &KekRow, wanted: &Move, damaged: &[Uuid]) -> bool {
    kek.master != wanted.to && !damaged.contains(&kek.id)
}

/// The master key to which everything is on its way, if it is: what is made meanwhile by another
/// one would stay behind.
pub(super) async fn under_way_to(store: &Store) -> Result<Option<MasterId>, VaultError> {
    let running = store.running_job().await?;
    let moving = running.filter(|job| job.kind == JobKind::MasterKey);
    Ok(moving.as_ref().and_then(Move::of).map(|wanted| wanted.to))
}

/// What the job was asked for, as it stands with it.
struct Move {
    from: MasterId,
    to: MasterId,
    /// Rows that are under `to` already are wrapped again.
    again: bool,
}

impl Move {
    /// Within a KMS an alias may stand for another key since this began: what it stands for now is
    /// meant.
    fn target(&self, masters: &Masters) -> Option<Arc<Master>> {
        let present = masters.active().id();
        if self.again && present.kind == self.to.kind {
            return masters.find(&present);
        }
        masters.find(&self.to)
    }

    fn of(job: &JobRow) -> Option<Self> {
        let detail: serde_json::Value = serde_json::from_str(job.detail.as_deref()?).ok()?;
        let master = |member: &str| {
            let named = detail.get(member)?;
            let kind = MasterKind::parse(named.get("kind")?.as_str()?)?;
            Some(MasterId { kind, id: named.get("id")?.as_str()?.to_owned() })
        };
        let again = detail.get("again")?.as_bool()?;
        Some(Self { from: master("from")?, to: master("to")?, again })
    }
}
