//! What looks after the hierarchy in the background: takes over jobs that nobody works on, rotates
//! what has grown old, warns of what wears, and sees what other nodes have changed. A job holds a
//! lease, so that one node works on it; a killed one is taken up where it stood. Must never hold up
//! a call.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use uuid::Uuid;

use super::hierarchy::HOUSE;
use super::{Happening, Settings, Vault, VaultError};
use crate::kms::KmsError;
use crate::store::{self, JobKind, JobRow, JobState, JobStep, KekRow, KekState, MOST_WRAPS};

/// How often to look.
const EVERY: Duration = Duration::from_secs(1);
/// A change of another node is seen within this time, whatever else is under way.
const SEEN_WITHIN: Duration = Duration::from_millis(500);
/// How long a job may be silent before another node takes it over.
const LEASE_MS: i64 = 60_000;
/// A generation that has wrapped this often is spoken of, long before it stops.
const WEARING: u64 = MOST_WRAPS / 2;
const DAY_MS: i64 = 86_400_000;

/// Who works on which job.
#[derive(Clone, Copy)]
pub(super) struct Work<'a> {
    pub(super) job: &'a JobRow,
    pub(super) node: &'a str,
}

/// How a job ended.
pub(super) struct Outcome {
    pub(super) state: JobState,
    pub(super) sentence: String,
}

impl Vault {
    /// Runs as long as the house. `node` is this process's own name, the same after a restart.
    pub(crate) async fn tend_keys(self: Arc<Self>, node: String, settings: Settings) {
        // Apart: a job may take hours, and a key that leaked is off on every node meanwhile.
        tokio::join!(self.see_on(), self.look_on(&node, &settings));
    }

    async fn see_on(&self) {
        let mut told = false;
        loop {
            tokio::time::sleep(SEEN_WITHIN).await;
            let seen = match self.is_sealed() {
                true => Ok(()),
                false => self.see_other_nodes().await,
            };
            // Sealed meanwhile.
            let seen = seen.or_else(|fault| if self.is_sealed() { Ok(()) } else { Err(fault) });
            if let Err(fault) = &seen
                && !told
            {
                tracing::error!(%fault, "what other nodes change cannot be seen; trying on");
            }
            told = seen.is_err();
        }
    }

    async fn look_on(&self, node: &str, settings: &Settings) {
        let mut warned: HashSet<Uuid> = HashSet::new();
        let mut said = String::new();
        loop {
            let outcome = self.look_after(node, settings, &mut warned).await;
            let fault = outcome.as_ref().err().map(ToString::to_string).unwrap_or_default();
            if !fault.is_empty() && fault != said {
                tracing::error!(fault, "the key hierarchy cannot be looked after; trying on");
                if let Err(VaultError::Store(store::Error::Contradiction { .. })) = outcome {
                    self.tell(Happening::Integrity(fault.clone()));
                }
            }
            said = fault;
            tokio::select! {
                () = self.wake.notified() => {}
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    }

    async fn look_after(
        &self,
        node: &str,
        settings: &Settings,
        warned: &mut HashSet<Uuid>,
    ) -> Result<(), VaultError> {
        if self.is_sealed() {
            return Ok(());
        }
        if self.unjudged.load(Ordering::Relaxed) {
            self.judge_client_keys().await;
        }
        // What cannot be judged now is looked at a moment later.
        if !self.store.can_judge() {
            return Ok(());
        }
        if let Some(job) = self.store.running_job().await? {
            return self.work_on(&job, node).await;
        }
        let loaded = self.store.keks().await?;
        for kek in self.unsealed()?.keyring.rowless(&loaded) {
            if warned.insert(kek.id()) {
                self.tell(Happening::Integrity(kek.without_row()));
            }
        }
        let keks = loaded.rows;
        for kek in keks.iter().filter(|kek| kek.state == KekState::Active) {
            let is_sound = self.store.judge_wraps(kek).is_ok();
            if is_sound && kek.count() >= WEARING && warned.insert(kek.id) {
                self.tell(Happening::Wearing {
                    category: kek.category.clone(),
                    generation: kek.generation,
                    wraps: kek.count(),
                });
            }
        }
        if settings.kek_max_age_days > 0 {
            self.renew(&keks, settings.kek_max_age_days).await?;
        }
        Ok(())
    }

    /// Rotates what is due, and rewraps where a rotation of ours has not been followed by it.
    async fn renew(&self, keks: &[KekRow], max_age_days: u32) -> Result<(), VaultError> {
        let now_ms = self.clock.unix_ms();
        let oldest = now_ms - i64::from(max_age_days) * DAY_MS;
        // A time that is still to come is nobody's doing, and holds no rotation off.
        let is_old = |kek: &&KekRow| kek.since_ms() <= oldest || kek.since_ms() > now_ms + DAY_MS;
        let mut is_due = false;
        for kek in keks.iter().filter(|kek| kek.state == KekState::Active) {
            if !is_old(&kek) {
                continue;
            }
            let why = "it has reached vault.kek_max_age_days";
            let category = kek.category.clone();
            let rotated = match self.rotate_keks(Some(&category)).await {
                // Somebody was faster; it is due at the next look too.
                Err(VaultError::JobRuns) => return Ok(()),
                rotated => rotated?,
            };
            for view in rotated {
                let generation = view.generation;
                self.tell(Happening::Rotated { category: category.clone(), generation, why });
            }
            is_due = true;
        }
        // Rotated, and killed before the job was stored: the old generation is still there.
        let left_over = keks.iter().filter(|kek| kek.state == KekState::Retired);
        let left_over = left_over.filter(is_old);
        if left_over.count() > 0 && !is_due {
            let newest = keks.iter().map(|kek| kek.since_ms().min(now_ms)).max().unwrap_or(0);
            let job = match self.store.latest_job().await {
                // It ended, whatever else it says.
                Err(store::Error::Contradiction { .. }) => None,
                read => read?,
            };
            is_due = job.is_none_or(|job| job.created_at < newest);
        }
        if is_due {
            match self.start_job(JobKind::Rewrap, HOUSE, None).await {
                Ok(job) => self.tell(Happening::Began(job)),
                // Somebody was faster; his job moves the same rows.
                Err(VaultError::JobRuns) => {}
                Err(fault) => return Err(fault),
            }
        }
        Ok(())
    }

    /// A change that another node has made shows in its category's epoch, and so does a list that
    /// somebody took away.
    async fn see_other_nodes(&self) -> Result<(), VaultError> {
        let lists = self.store.lists().await?;
        let marks: HashMap<String, i64> =
            lists.into_iter().map(|list| (list.category, list.mark)).collect();
        let known = |unsealed: &Arc<super::Unsealed>| unsealed.marks == marks;
        if !self.opened.load().as_ref().is_none_or(known) {
            let changing = self.changing.lock().await;
            self.reload_locked(&changing).await?;
            let keyring = self.unsealed()?.keyring.share();
            self.take_row_key(&keyring).await?;
        }
        Ok(())
    }

    async fn work_on(&self, job: &JobRow, node: &str) -> Result<(), VaultError> {
        if job.kind == JobKind::MasterKey && !self.can_remaster(job) {
            return Ok(());
        }
        let now_ms = self.clock.unix_ms();
        if !self.store.claim_job(job.id, node, (now_ms, now_ms + LEASE_MS)).await? {
            return Ok(());
        }
        let work = Work { job, node };
        let done = match job.kind {
            JobKind::Rewrap => self.rewrap(work).await,
            JobKind::Rekey => self.rekey(work).await,
            JobKind::MasterKey => self.remaster(work).await,
        };
        let outcome = match done {
            Ok(outcome) => outcome,
            Err(fault) if is_passing(&fault) => return Err(fault),
            Err(fault) => Outcome { state: JobState::Failed, sentence: fault.to_string() },
        };
        // What was wrapped by the old keys is in no file of the house any more.
        self.store.forget_journal().await;
        // Whoever is told of the end finds the house serving what the rows say by then.
        let changing = self.changing.lock().await;
        self.reload_locked(&changing).await?;
        drop(changing);
        let end = (outcome.state, outcome.sentence.as_str());
        if self.store.finish_job(job.id, node, end).await?
            && let Some(job) = self.store.job(job.id).await?
        {
            self.tell(Happening::Ended(job));
        }
        Ok(())
    }

    /// The progress of one more row, to be stored with it.
    pub(super) fn step<'a>(&self, work: Work<'a>, after: Uuid) -> JobStep<'a> {
        let lease_until = self.clock.unix_ms() + LEASE_MS;
        JobStep { job: work.job.id, holder: work.node, after, lease_until }
    }

    /// Holds on to the job while something takes long that moves no row.
    pub(super) async fn keep_lease(&self, work: Work<'_>) -> Result<(), VaultError> {
        let now_ms = self.clock.unix_ms();
        let lease = (now_ms, now_ms + LEASE_MS);
        if self.store.claim_job(work.job.id, work.node, lease).await? {
            Ok(())
        } else {
            Err(VaultError::Store(store::Error::LeaseLost))
        }
    }
}

/// Will the same job go on where it stands, once this is over?
fn is_passing(fault: &VaultError) -> bool {
    match fault {
        VaultError::Sealed
        | VaultError::Stale
        | VaultError::Store(
            store::Error::Unreachable { .. } | store::Error::LeaseLost | store::Error::Full { .. },
        )
        | VaultError::Kms(KmsError::Away { .. }) => true,
        VaultError::Store(_)
        | VaultError::Kms(_)
        | VaultError::Crypto(_)
        | VaultError::UnknownProvider
        | VaultError::Duplicate
        | VaultError::BadFields(_)
        | VaultError::Vanished
        | VaultError::Tampered
        | VaultError::Unreadable(_)
        | VaultError::Worn
        | VaultError::JobRuns
        | VaultError::UnknownCategory
        | VaultError::Rotates
        | VaultError::NothingToReplace
        | VaultError::NoActiveKek(_)
        | VaultError::Closed(_)
        | VaultError::OtherMasterKey => false,
    }
}
