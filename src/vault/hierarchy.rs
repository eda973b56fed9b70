//! The hierarchy as operators see and move it: generations and their state, a new generation, and
//! the beginning of jobs, of which the house runs one at a time. Must never make a generation
//! active that no node could unwrap: it is wrapped before it is stored.

use std::collections::{BTreeMap, HashMap};

use uuid::Uuid;

use super::{Vault, VaultError};
use crate::failpoint::{self, place};
use crate::store::{self, JobKind, JobRow, JobState, KekState, MasterId};

/// One generation of a category's key-encryption key.
#[derive(Clone, Debug)]
pub(crate) struct KekView {
    pub(crate) id: Uuid,
    pub(crate) category: String,
    pub(crate) generation: u32,
    pub(crate) state: KekState,
    pub(crate) wraps: u64,
    /// How many secrets hang on it now.
    pub(crate) secrets: u64,
    pub(crate) master: MasterId,
    pub(crate) created_at_ms: i64,
}

/// What happens to keys without anybody asking, or after the asking was answered.
#[derive(Clone, Debug)]
pub(crate) enum Happening {
    /// A finding of a check of the rows.
    Integrity(String),
    /// A new generation that nobody asked for.
    Rotated { category: String, generation: u32, why: &'static str },
    /// A generation has wrapped so often that it should be rotated.
    Wearing { category: String, generation: u32, wraps: u64 },
    /// A job began by itself.
    Began(JobRow),
    /// A job ended; its outcome says how.
    Ended(JobRow),
}

/// Takes what happens to the trail, the log and the metrics.
pub(crate) type Teller = Box<dyn Fn(Happening) + Send + Sync>;

/// As whom the house acts.
pub(super) const HOUSE: &str = "house";

impl Vault {
    /// Every generation, by category, those that are gone included.
    pub(crate) async fn keks(&self) -> Result<Vec<KekView>, VaultError> {
        let secrets: HashMap<Uuid, u64> = self.store.secrets_by_kek().await?.into_iter().collect();
        let view = |row: store::KekRow| KekView {
            secrets: secrets.get(&row.id).copied().unwrap_or(0),
            wraps: row.count(),
            id: row.id,
            category: row.category,
            generation: row.generation,
            state: row.state,
            master: row.master,
            created_at_ms: row.created_at,
        };
        Ok(self.store.keks().await?.rows.into_iter().map(view).collect())
    }

    /// What is wrong with the rows of the generations; sealed, only what can be told without keys.
    pub(crate) async fn kek_faults(&self) -> Result<Vec<String>, VaultError> {
        let Some(unsealed) = self.opened.load_full() else {
            let contradictions = self.store.keks().await?.contradictions;
            return Ok(contradictions.iter().map(ToString::to_string).collect());
        };
        let keyring = unsealed.keyring.share();
        drop(unsealed);
        keyring.refresh(&self.store).await?;
        Ok(keyring.findings())
    }

    /// A new active generation of one category, or of each; the former ones go on unwrapping.
    pub(crate) async fn rotate_keks(
        &self,
        category: Option<&str>,
    ) -> Result<Vec<KekView>, VaultError> {
        let changing = self.changing.lock().await;
        let keyring = self.unsealed()?.keyring.share();
        // A job would have to begin again at each, and could not tell it from a row that is lost.
        if self.store.running_job().await?.is_some() {
            return Err(VaultError::JobRuns);
        }
        // With those that are open though somebody has deleted their rows.
        let mut newest: BTreeMap<String, u32> = BTreeMap::new();
        let rows = self.store.keks().await?.rows.into_iter();
        let all = rows.map(|row| (row.category, row.generation)).chain(keyring.generations());
        for (category, generation) in all {
            let known = newest.entry(category).or_default();
            *known = generation.max(*known);
        }
        if let Some(wanted) = category {
            newest.retain(|known, _| known == wanted);
            if newest.is_empty() {
                return Err(VaultError::UnknownCategory);
            }
        }
        let mut rotated = Vec::new();
        for (category, former) in newest {
            let generation = keyring.rotate(&self.store, &self.clock, (&category, former)).await?;
            failpoint::pass(place::ROTATED);
            rotated.push((category, generation));
        }
        self.reload_locked(&changing).await?;
        let mut views = self.keks().await?;
        views.retain(|view| rotated.contains(&(view.category.clone(), view.generation)));
        Ok(views)
    }

    /// `VaultError::JobRuns` while another one runs, on whichever node.
    pub(crate) async fn start_job(
        &self,
        kind: JobKind,
        by: &str,
        detail: Option<String>,
    ) -> Result<JobRow, VaultError> {
        let changing = self.changing.lock().await;
        self.start_locked(&changing, (kind, detail), by).await
    }

    pub(super) async fn start_locked(
        &self,
        _changing: &tokio::sync::MutexGuard<'_, ()>,
        (kind, detail): (JobKind, Option<String>),
        by: &str,
    ) -> Result<JobRow, VaultError> {
        self.unsealed()?;
        let total = match kind {
            JobKind::Rewrap => self.store.count_secrets_on_old_keks().await?,
            JobKind::Rekey => self.store.count_secrets_up_to(Uuid::max()).await?,
            JobKind::MasterKey => {
                u64::try_from(self.living_keks().await?.len()).unwrap_or(u64::MAX)
            }
        };
        let job = JobRow {
            id: Uuid::now_v7(),
            kind,
            state: JobState::Running,
            holder: None,
            lease_until: 0,
            total,
            done: 0,
            after: None,
            detail,
            outcome: None,
            created_at: self.clock.unix_ms(),
            created_by: by.to_owned(),
            finished_at: None,
        };
        match self.store.insert_job(&job).await {
            Ok(()) => {}
            Err(store::Error::Duplicate { .. }) => return Err(VaultError::JobRuns),
            Err(fault) => return Err(fault.into()),
        }
        self.wake.notify_one();
        Ok(job)
    }

    /// The one that runs, else the one that began last.
    pub(crate) async fn latest_job(&self) -> Result<Option<JobRow>, VaultError> {
        Ok(match self.store.running_job().await? {
            Some(running) => Some(running),
            None => self.store.latest_job().await?,
        })
    }

    pub(crate) async fn job(&self, id: Uuid) -> Result<Option<JobRow>, VaultError> {
        Ok(self.store.job(id).await?)
    }

    /// Ends whatever runs, as failed; false if nothing does. Whoever works on it finds its lease
    /// lost at the next row. Needs no key: it helps where a row that somebody has edited blocks all
    /// others.
    pub(crate) async fn cancel_job(&self, by: &str) -> Result<bool, VaultError> {
        let outcome = format!("cancelled by {by}; what it has moved stays moved");
        let cancelled = self.store.cancel_job(&outcome).await?;
        self.wake.notify_one();
        Ok(cancelled)
    }

    /// Every generation that is not gone.
    pub(super) async fn living_keks(&self) -> Result<Vec<store::KekRow>, VaultError> {
        let mut rows = self.store.keks().await?.rows;
        rows.retain(|row| !row.is_gone());
        Ok(rows)
    }
}
