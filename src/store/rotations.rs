//! The table `rotations`: how a new version of a secret takes over, which step it is at, and since
//! when. Shared by all nodes: whoever moves it on says from where, and of two one is told that he
//! was late. Must never hold a value.

use uuid::Uuid;

use super::columns::{Place, words};
use super::dialect::{changing, row, rows};
use super::lenient::Unread;
use super::{Error, Store};

words! {
    /// Where a rotation stands.
    RotationState {
        Running = "running",
        /// It stays at its step until somebody says so.
        Paused = "paused",
        Promoted = "promoted",
        RolledBack = "rolled_back",
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RotationRow {
    pub(crate) secret_id: Uuid,
    pub(crate) from_version: u32,
    pub(crate) to_version: u32,
    pub(crate) state: RotationState,
    /// Percent of the calls, step by step.
    pub(crate) steps: Vec<u32>,
    pub(crate) step: u32,
    pub(crate) hold_ms: i64,
    pub(crate) step_since: i64,
    pub(crate) started_at: i64,
    pub(crate) updated_at: i64,
    pub(crate) actor: String,
    /// Why it was rolled back or paused.
    pub(crate) why: Option<String>,
    /// When the former version was sent to the provider last, as any node knows.
    pub(crate) old_used_at: Option<i64>,
    /// The former version is gone since.
    pub(crate) retired_at: Option<i64>,
    /// What came of calls, on all nodes, since it began.
    pub(crate) counts: Counts,
    /// The same when the step began.
    pub(crate) at_step: Counts,
}

/// Calls with the new version, those of them that were refused, that failed; the same of the old
/// one; what the old one served in the place of the new, and what could not be served so.
pub(crate) type Counts = [u64; 8];

#[derive(sqlx::FromRow)]
struct RawRotation {
    secret_id: String,
    from_version: i64,
    to_version: i64,
    state: String,
    steps: String,
    step: i64,
    hold_ms: i64,
    step_since: i64,
    started_at: i64,
    updated_at: i64,
    actor: String,
    why: Option<String>,
    old_used_at: Option<i64>,
    retired_at: Option<i64>,
    new_calls: i64,
    new_refused: i64,
    new_failed: i64,
    old_calls: i64,
    old_refused: i64,
    old_failed: i64,
    saved: i64,
    lost: i64,
    at_step: String,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT secret_id, from_version, to_version, state, steps, step, hold_ms, step_since,
            started_at, updated_at, actor, why, old_used_at, retired_at, new_calls,
            new_refused, new_failed, old_calls, old_refused, old_failed, saved, lost, at_step
            FROM rotations ",
            $rest
        )
    };
}

const OPEN: &str = select!(
    "WHERE state IN ('running', 'paused') OR (retired_at IS NULL AND state = 'promoted')
    ORDER BY secret_id"
);
const ALL: &str = select!("ORDER BY secret_id");
const ONE: &str = select!("WHERE secret_id = $1");
const BEGIN: &str =
    "INSERT INTO rotations (secret_id, from_version, to_version, state, steps, step,
        hold_ms, step_since, started_at, updated_at, actor)
    VALUES ($1, $2, $3, 'running', $4, 0, $5, $6, $6, $6, $7)
    ON CONFLICT (secret_id) DO UPDATE SET from_version = excluded.from_version,
        to_version = excluded.to_version, state = excluded.state, steps = excluded.steps,
        step = 0, hold_ms = excluded.hold_ms, step_since = excluded.step_since,
        started_at = excluded.started_at, updated_at = excluded.updated_at,
        actor = excluded.actor, why = NULL, old_used_at = NULL, retired_at = NULL,
        new_calls = 0, new_refused = 0, new_failed = 0, old_calls = 0, old_refused = 0,
        old_failed = 0, saved = 0, lost = 0, at_step = '[]'
    WHERE rotations.state NOT IN ('running', 'paused')";
const MOVE: &str = "UPDATE rotations SET state = $1, step = $2, step_since = $3, updated_at = $4,
    why = $5, at_step = $6
    WHERE secret_id = $7 AND to_version = $8 AND state = $9 AND step = $10 AND step_since = $11";
const COUNT: &str = "UPDATE rotations SET new_calls = new_calls + $1,
    new_refused = new_refused + $2, new_failed = new_failed + $3, old_calls = old_calls + $4,
    old_refused = old_refused + $5, old_failed = old_failed + $6, saved = saved + $7,
    lost = lost + $8 WHERE secret_id = $9 AND to_version = $10";
const USED: &str = "UPDATE rotations SET old_used_at = $1
    WHERE secret_id = $2 AND to_version = $3 AND (old_used_at IS NULL OR old_used_at < $1)";
const RETIRED: &str = "UPDATE rotations SET retired_at = $1
    WHERE secret_id = $2 AND to_version = $3 AND retired_at IS NULL";

impl Store {
    /// False where one is under way.
    pub(crate) async fn begin_rotation(&self, rotation: &RotationRow) -> Result<bool, Error> {
        let mut tx = self.begin().await?;
        let begun = changing!(
            &mut tx,
            sqlx::query(BEGIN)
                .bind(rotation.secret_id.to_string())
                .bind(i64::from(rotation.from_version))
                .bind(i64::from(rotation.to_version))
                .bind(serde_json::json!(rotation.steps).to_string())
                .bind(rotation.hold_ms)
                .bind(rotation.started_at)
                .bind(rotation.actor.as_str())
        )?;
        tx.commit().await?;
        Ok(begun > 0)
    }

    /// From where it stands to where it is to stand; false where another one was faster.
    pub(crate) async fn move_rotation(
        &self,
        from: &RotationRow,
        to: &RotationRow,
    ) -> Result<bool, Error> {
        let mut tx = self.begin().await?;
        let moved = changing!(
            &mut tx,
            sqlx::query(MOVE)
                .bind(to.state.as_str())
                .bind(i64::from(to.step))
                .bind(to.step_since)
                .bind(to.updated_at)
                .bind(to.why.as_deref())
                .bind(serde_json::json!(to.at_step).to_string())
                .bind(from.secret_id.to_string())
                .bind(i64::from(from.to_version))
                .bind(from.state.as_str())
                .bind(i64::from(from.step))
                .bind(from.step_since)
        )?;
        tx.commit().await?;
        Ok(moved > 0)
    }

    /// So many more on this node.
    pub(crate) async fn count_rotation(
        &self,
        rotation: &RotationRow,
        more: Counts,
    ) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        let more = more.map(|count| i64::try_from(count).unwrap_or(i64::MAX));
        let [new_calls, new_refused, new_failed, old_calls, old_refused, old_failed, saved, lost] =
            more;
        changing!(
            &mut tx,
            sqlx::query(COUNT)
                .bind(new_calls)
                .bind(new_refused)
                .bind(new_failed)
                .bind(old_calls)
                .bind(old_refused)
                .bind(old_failed)
                .bind(saved)
                .bind(lost)
                .bind(rotation.secret_id.to_string())
                .bind(i64::from(rotation.to_version))
        )?;
        Ok(tx.commit().await?)
    }

    /// The former version was sent at this time.
    pub(crate) async fn note_old_use(
        &self,
        rotation: &RotationRow,
        used_at: i64,
    ) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        changing!(
            &mut tx,
            sqlx::query(USED)
                .bind(used_at)
                .bind(rotation.secret_id.to_string())
                .bind(i64::from(rotation.to_version))
        )?;
        Ok(tx.commit().await?)
    }

    /// True for the one who is to say so.
    pub(crate) async fn note_retired(
        &self,
        rotation: &RotationRow,
        now_ms: i64,
    ) -> Result<bool, Error> {
        let mut tx = self.begin().await?;
        let noted = changing!(
            &mut tx,
            sqlx::query(RETIRED)
                .bind(now_ms)
                .bind(rotation.secret_id.to_string())
                .bind(i64::from(rotation.to_version))
        )?;
        tx.commit().await?;
        Ok(noted > 0)
    }

    /// Those that somebody has to look after. One that cannot be read moves no calls.
    pub(crate) async fn open_rotations(&self) -> Result<Vec<RotationRow>, Error> {
        let raw: Vec<Result<RawRotation, Unread>> = rows!(self, "rotations", sqlx::query(OPEN));
        Ok(raw.into_iter().filter_map(|raw| from_raw(raw.ok()?).ok()).collect())
    }

    pub(crate) async fn rotations(&self) -> Result<Vec<RotationRow>, Error> {
        let raw: Vec<Result<RawRotation, Unread>> = rows!(self, "rotations", sqlx::query(ALL));
        Ok(raw.into_iter().filter_map(|raw| from_raw(raw.ok()?).ok()).collect())
    }

    /// The last one of a secret.
    pub(crate) async fn rotation(&self, id: Uuid) -> Result<Option<RotationRow>, Error> {
        let read = row!(self, "rotations", sqlx::query(ONE).bind(id.to_string()));
        match read {
            Ok(raw) => Ok(raw.and_then(|raw| from_raw(raw).ok())),
            Err(Error::Contradiction { .. }) => Ok(None),
            Err(fault) => Err(fault),
        }
    }
}

fn from_raw(raw: RawRotation) -> Result<RotationRow, Error> {
    let place = Place { table: "rotations", row: &raw.secret_id };
    let steps = serde_json::from_str(&raw.steps);
    let counts = [
        raw.new_calls,
        raw.new_refused,
        raw.new_failed,
        raw.old_calls,
        raw.old_refused,
        raw.old_failed,
        raw.saved,
        raw.lost,
    ];
    let at_step: Vec<u64> = serde_json::from_str(&raw.at_step).unwrap_or_default();
    Ok(RotationRow {
        secret_id: place.id("secret_id", &raw.secret_id)?,
        from_version: place.small("from_version", raw.from_version)?,
        to_version: place.small("to_version", raw.to_version)?,
        state: place.word("state", &raw.state, RotationState::parse)?,
        steps: steps.map_err(|_| place.contradiction("steps", "is not a JSON list of numbers"))?,
        step: place.small("step", raw.step)?,
        hold_ms: raw.hold_ms,
        step_since: raw.step_since,
        started_at: raw.started_at,
        updated_at: raw.updated_at,
        actor: raw.actor,
        why: raw.why,
        old_used_at: raw.old_used_at,
        retired_at: raw.retired_at,
        counts: counts.map(|count| u64::try_from(count).unwrap_or(0)),
        at_step: at_step.try_into().unwrap_or_default(),
    })
}
