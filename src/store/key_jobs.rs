//! The table `key_jobs`: work on the key hierarchy, of which one piece runs at a time in the whole
//! house. Whoever works on it holds a lease; each row that he moves renews it in the same
//! transaction, and is not moved where the lease was lost. Must never hold key material.

use uuid::Uuid;

use super::columns::{Place, signed, words};
use super::dialect::{Tx, changing, row};
use super::leases::SKEW_MS;
use super::{Error, RowKey, Store};
use crate::crypto::{Aad, hmac_sha256, label};
use crate::secret::{self, Key};

words! {
    JobKind {
        /// Data keys go from old key-encryption keys to the active ones.
        Rewrap = "rewrap",
        /// New data keys; values are sealed anew under them.
        Rekey = "rekey",
        /// Key-encryption keys go from one master key to another.
        MasterKey = "master_key",
    }
}

words! {
    JobState {
        Running = "running",
        Done = "done",
        /// Ended without being done; what it says is in its outcome.
        Failed = "failed",
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JobRow {
    /// Also says when it began: rows with greater ids are younger.
    pub(crate) id: Uuid,
    pub(crate) kind: JobKind,
    pub(crate) state: JobState,
    /// The node that works on it.
    pub(crate) holder: Option<String>,
    pub(crate) lease_until: i64,
    pub(crate) total: u64,
    pub(crate) done: u64,
    /// Every row up to this one is done.
    pub(crate) after: Option<Uuid>,
    /// What this kind of work needs to know; never a secret.
    pub(crate) detail: Option<String>,
    /// One sentence for people.
    pub(crate) outcome: Option<String>,
    pub(crate) created_at: i64,
    pub(crate) created_by: String,
    pub(crate) finished_at: Option<i64>,
}

/// One row done, as part of the transaction that does it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct JobStep<'a> {
    pub(crate) job: Uuid,
    pub(crate) holder: &'a str,
    pub(crate) after: Uuid,
    pub(crate) lease_until: i64,
}

#[derive(sqlx::FromRow)]
struct RawJob {
    id: String,
    kind: String,
    state: String,
    holder: Option<String>,
    lease_until: i64,
    total: i64,
    done: i64,
    after_id: Option<String>,
    detail: Option<String>,
    outcome: Option<String>,
    created_at: i64,
    created_by: String,
    finished_at: Option<i64>,
    seal: Option<Vec<u8>>,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, kind, state, holder, lease_until, total, done, after_id, detail, outcome,
            created_at, created_by, finished_at, seal FROM key_jobs ",
            $rest
        )
    };
}

const INSERT: &str = "INSERT INTO key_jobs (id, kind, state, running, holder, lease_until, total,
    done, after_id, detail, outcome, created_at, created_by, finished_at, seal)
    VALUES ($1, $2, 'running', 1, NULL, 0, $3, 0, NULL, $4, NULL, $5, $6, NULL, $7)";
const CLAIM: &str = "UPDATE key_jobs SET holder = $1, lease_until = $2
    WHERE id = $3 AND running = 1
        AND (holder IS NULL OR holder = $1 OR lease_until < $4 OR lease_until > $5)";
const STEP: &str = "UPDATE key_jobs SET done = done + 1, after_id = $1, lease_until = $2
    WHERE id = $3 AND holder = $4 AND running = 1";
const COUNTED: &str =
    "UPDATE key_jobs SET total = $1 WHERE id = $2 AND holder = $3 AND running = 1";
const FINISH: &str =
    "UPDATE key_jobs SET state = $1, running = NULL, outcome = $2, finished_at = $3, seal = NULL
    WHERE id = $4 AND holder = $5 AND running = 1";

const STRANGE: &str = "the house did not begin this job, or an earlier program did: nobody works on it; end it with \
     `sealgate kek cancel`, and begin it again if it is meant";
// Whatever the row says: it may have been edited.
const CANCEL: &str = "UPDATE key_jobs SET state = 'failed', running = NULL, outcome = $1,
    finished_at = $2, seal = NULL WHERE running IS NOT NULL OR state = 'running'";

impl Store {
    /// `Error::Duplicate` while another one runs, on whichever node.
    pub(crate) async fn insert_job(&self, job: &JobRow) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        changing!(
            &mut tx,
            sqlx::query(INSERT)
                .bind(job.id.to_string())
                .bind(job.kind.as_str())
                .bind(signed(job.total))
                .bind(job.detail.as_deref())
                .bind(job.created_at)
                .bind(job.created_by.as_str())
                .bind(self.seal_of_job(job))
        )?;
        Ok(tx.commit().await?)
    }

    /// `Error::Contradiction` if the house did not begin it.
    pub(crate) async fn running_job(&self) -> Result<Option<JobRow>, Error> {
        const RUNNING: &str = select!("WHERE running = 1");
        let raw: Option<RawJob> = row!(self, "key_jobs", sqlx::query(RUNNING))?;
        let Some(raw) = raw else { return Ok(None) };
        let seal = raw.seal.clone();
        let job = from_raw(raw)?;
        self.judge_job(&job, seal.as_deref())?;
        Ok(Some(job))
    }

    /// The running one, else the one that began last.
    pub(crate) async fn latest_job(&self) -> Result<Option<JobRow>, Error> {
        const LATEST: &str = select!("ORDER BY id DESC LIMIT 1");
        let raw = row!(self, "key_jobs", sqlx::query(LATEST))?;
        raw.map(from_raw).transpose()
    }

    /// The one of this kind that began last.
    pub(crate) async fn latest_job_of(&self, kind: JobKind) -> Result<Option<JobRow>, Error> {
        const LATEST: &str = select!("WHERE kind = $1 ORDER BY id DESC LIMIT 1");
        let kind = kind.as_str();
        let raw = row!(self, "key_jobs", sqlx::query(LATEST).bind(kind))?;
        raw.map(from_raw).transpose()
    }

    pub(crate) async fn job(&self, id: Uuid) -> Result<Option<JobRow>, Error> {
        const BY_ID: &str = select!("WHERE id = $1");
        let raw = row!(self, "key_jobs", sqlx::query(BY_ID).bind(id.to_string()))?;
        raw.map(from_raw).transpose()
    }

    /// Takes it, or keeps it: the holder's own, nobody's, or one whose holder is late. False if
    /// somebody else is at it.
    pub(crate) async fn claim_job(
        &self,
        id: Uuid,
        holder: &str,
        (now_ms, lease_until): (i64, i64),
    ) -> Result<bool, Error> {
        let mut tx = self.begin().await?;
        let claimed = changing!(
            &mut tx,
            sqlx::query(CLAIM)
                .bind(holder)
                .bind(lease_until)
                .bind(id.to_string())
                .bind(now_ms)
                // Nobody holds it for so long: the row was edited.
                .bind(lease_until.saturating_add(SKEW_MS))
        )?;
        tx.commit().await?;
        Ok(claimed > 0)
    }

    pub(crate) async fn count_job(
        &self,
        id: Uuid,
        holder: &str,
        total: u64,
    ) -> Result<bool, Error> {
        let mut tx = self.begin().await?;
        let counted = changing!(
            &mut tx,
            sqlx::query(COUNTED).bind(signed(total)).bind(id.to_string()).bind(holder)
        )?;
        tx.commit().await?;
        Ok(counted > 0)
    }

    /// False if the lease was lost; then it is another one's to finish.
    pub(crate) async fn finish_job(
        &self,
        id: Uuid,
        holder: &str,
        (state, outcome): (JobState, &str),
    ) -> Result<bool, Error> {
        let now_ms = self.clock.unix_ms();
        let mut tx = self.begin().await?;
        let finished = changing!(
            &mut tx,
            sqlx::query(FINISH)
                .bind(state.as_str())
                .bind(outcome)
                .bind(now_ms)
                .bind(id.to_string())
                .bind(holder)
        )?;
        tx.commit().await?;
        Ok(finished > 0)
    }
}

impl Store {
    /// None while the vault is sealed: such a job is worked on by nobody.
    fn seal_of_job(&self, job: &JobRow) -> Option<Vec<u8>> {
        match &*self.row_key() {
            RowKey::Here(key) => Some(made(key, job).to_vec()),
            RowKey::Absent | RowKey::Lost => None,
        }
    }

    /// Is the key at hand by which rows are judged?
    pub(crate) fn can_judge(&self) -> bool {
        !matches!(*self.row_key(), RowKey::Absent)
    }

    fn judge_job(&self, job: &JobRow, seal: Option<&[u8]>) -> Result<(), Error> {
        let fits = match &*self.row_key() {
            RowKey::Absent => true,
            RowKey::Lost => false,
            RowKey::Here(key) => seal.is_some_and(|seal| secret::same(seal, &made(key, job))),
        };
        let id = job.id.to_string();
        match fits {
            true => Ok(()),
            false => Err(Place { table: "key_jobs", row: &id }.contradiction("seal", STRANGE)),
        }
    }

    /// False if none was running.
    pub(crate) async fn cancel_job(&self, outcome: &str) -> Result<bool, Error> {
        let now_ms = self.clock.unix_ms();
        let mut tx = self.begin().await?;
        let ended = changing!(&mut tx, sqlx::query(CANCEL).bind(outcome).bind(now_ms))?;
        tx.commit().await?;
        Ok(ended > 0)
    }
}

/// `Error::LeaseLost` rolls back what was done for somebody who is not at it any more.
pub(super) async fn step(tx: &mut Tx, step: &JobStep<'_>) -> Result<(), Error> {
    let held = changing!(
        tx,
        sqlx::query(STEP)
            .bind(step.after.to_string())
            .bind(step.lease_until)
            .bind(step.job.to_string())
            .bind(step.holder)
    )?;
    if held == 0 { Err(Error::LeaseLost) } else { Ok(()) }
}

/// Over what the house began it with. Once it has ended, it has none: nobody begins it again by
/// calling it running.
fn made(key: &Key, job: &JobRow) -> [u8; 32] {
    let detail = match &job.detail {
        None => vec![0],
        Some(detail) => [&[1], detail.as_bytes()].concat(),
    };
    let said = Aad::new("key-job")
        .with(job.id.as_bytes())
        .with(job.kind.as_str().as_bytes())
        .with(&detail)
        .with(&job.created_at.to_be_bytes())
        .with(job.created_by.as_bytes());
    hmac_sha256(key, &[label::KEY_JOB_ROW, said.as_bytes()])
}

fn from_raw(raw: RawJob) -> Result<JobRow, Error> {
    let place = Place { table: "key_jobs", row: &raw.id };
    Ok(JobRow {
        id: place.id("id", &raw.id)?,
        kind: place.word("kind", &raw.kind, JobKind::parse)?,
        state: place.word("state", &raw.state, JobState::parse)?,
        total: place.count("total", raw.total)?,
        done: place.count("done", raw.done)?,
        after: raw.after_id.as_deref().map(|id| place.id("after_id", id)).transpose()?,
        holder: raw.holder,
        lease_until: raw.lease_until,
        detail: raw.detail,
        outcome: raw.outcome,
        created_at: raw.created_at,
        created_by: raw.created_by,
        finished_at: raw.finished_at,
    })
}
