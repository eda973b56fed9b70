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
use crate::kms::{self, Context, KmsError, Master, Masters, Place, Target};
use crate::secret::SecretBytes;
use crate::store::{JobKind, JobRow, JobState, KekRow, KekState, MasterId, MasterKind, Remastered};

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
        let changing = self.changing.lock().await;
        let unsealed = self.unsealed()?;
        if self.store.running_job().await?.is_some() {
            return Err(VaultError::JobRuns);
        }
        let place = self.master_place.get().ok_or(VaultError::Sealed)?;
        let masters = unsealed.keyring.masters();
        let from = masters.active().id();
        let mut same_name = false;
        match kms::stage(place, &self.master_ground(), (&from, typed)).await? {
            Target::AtHand => {}
            Target::SameName => same_name = true,
            Target::Staged(master) => {
                failpoint::pass(place::MASTER_STAGED);
                unsealed.keyring.set_masters(Arc::new(masters.under(Arc::new(master))));
            }
        }
        let to = unsealed.keyring.masters().active().id();
        drop(changing);
        let to = json!({"kind": to.kind.as_str(), "id": to.id});
        let from = json!({"kind": from.kind.as_str(), "id": from.id});
        let detail = json!({"from": from, "to": to, "again": same_name});
        self.start_job(JobKind::MasterKey, by, Some(detail.to_string())).await
    }

    /// Is the master key at hand to which this job moves? On another node it may not be.
    pub(super) fn can_remaster(&self, job: &JobRow) -> bool {
        let unsealed = self.opened.load();
        let masters = unsealed.as_ref().map(|unsealed| unsealed.keyring.masters());
        Move::of(job).is_some_and(|wanted| masters.is_some_and(|m| m.find(&wanted.to).is_some()))
    }

    fn master_ground(&self) -> kms::Ground<'_> {
        let installation = self.installation;
        kms::Ground { store: &self.store, clock: &self.clock, installation }
    }

    pub(super) async fn remaster(&self, work: Work<'_>) -> Result<Outcome, VaultError> {
        failpoint::pass(place::MASTER_CLAIMED);
        let place = self.master_place.get().ok_or(VaultError::Sealed)?;
        let keyring = self.unsealed()?.keyring.share();
        let wanted = Move::of(work.job).ok_or(VaultError::Vanished)?;
        let to = &wanted.to;
        let masters = keyring.masters();
        let master = masters.find(to).ok_or_else(|| KmsError::OtherMaster(to.clone()))?;
        // What is made from now on is wrapped by the new one.
        let masters = Arc::new(masters.under(Arc::clone(&master)));
        keyring.set_masters(Arc::clone(&masters));
        let mut after = work.job.after.unwrap_or(Uuid::nil());
        for _ in 0..PASSES {
            let mut left = self.store.keks().await?.rows;
            left.retain(|kek| kek.state != KekState::Destroyed);
            left.retain(|kek| kek.master != *to || (wanted.again && kek.id > after));
            if left.is_empty() {
                break;
            }
            left.sort_by_key(|kek| kek.id);
            for kek in left {
                match self.remaster_row(work, (&masters, &master), &kek).await {
                    Ok(()) => {}
                    // Its own damage leaves it where it is; the others move on.
                    Err(VaultError::Kms(KmsError::Crypto(fault))) => {
                        tracing::error!(kek = %kek.id, %fault, "a key cannot be moved");
                    }
                    Err(VaultError::Stale) => {}
                    Err(fault) => return Err(fault),
                }
                after = kek.id;
                failpoint::pass(place::MASTER_ROW);
            }
        }
        failpoint::pass(place::MASTER_ROWS);
        let alone = Arc::new(Masters::alone(master));
        let outcome = self.judge_move(work, (place, &wanted), Arc::clone(&alone)).await?;
        if outcome.state == JobState::Done {
            keyring.set_masters(alone);
        }
        Ok(outcome)
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
        (place, wanted): (&Place, &Move),
        alone: Arc<Masters>,
    ) -> Result<Outcome, VaultError> {
        let flaws = self.verify(alone).await?;
        self.keep_lease(work).await?;
        failpoint::pass(place::MASTER_VERIFIED);
        let keys = self.store.keks().await?.rows;
        let mut living = keys.iter().filter(|kek| kek.state != KekState::Destroyed);
        let all_moved = living.all(|kek| kek.master == wanted.to);
        let kind = wanted.to.kind.as_str();
        if !all_moved || flaws.of_keys() {
            let sentence = format!(
                "not every key-encryption key is under the new master key ({kind}), so both are still \
                 needed: {}. Mend it from a backup, then run `sealgate master-key rotate` again",
                flaws.told()
            );
            return Ok(Outcome { state: JobState::Failed, sentence });
        }
        let told = kms::settle(place, &self.master_ground(), (&wanted.from, &wanted.to)).await?;
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

/// What the job was asked for, as it stands with it.
struct Move {
    from: MasterId,
    to: MasterId,
    /// Rows that are under `to` already are wrapped again.
    again: bool,
}

impl Move {
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
