//! The tables `secret_checks` and `secret_health`: what was found of a provider's key, the last
//! checks of each secret, and where it stands. Whoever checks by schedule, or warns, claims that
//! here first: of several nodes one does it. Must never hold a value, nor what a provider said.

use uuid::Uuid;

use super::columns::{Place, words};
use super::dialect::{changing, row, rows, within};
use super::lenient::Unread;
use super::{Error, Store};

words! {
    /// Is the provider content with the secret?
    Health {
        Healthy = "healthy",
        /// It serves, and something about it is not as it should be.
        Degraded = "degraded",
        Refused = "refused",
        /// Nobody could tell.
        Unknown = "unknown",
    }
}

words! {
    /// What the provider said of a key.
    Outcome {
        Good = "good",
        Refused = "refused",
        /// It was not asked, not reached, or its answer says nothing of the key.
        Unknown = "unknown",
    }
}

words! {
    /// Why a key was checked.
    Cause {
        Asked = "asked",
        /// Before it was stored.
        Entry = "entry",
        Schedule = "schedule",
        /// The provider had refused a caller.
        Refusal = "refusal",
        Rotation = "rotation",
    }
}

/// One check, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CheckRow {
    pub(crate) id: Uuid,
    pub(crate) secret_id: Uuid,
    pub(crate) version: u32,
    pub(crate) checked_at: i64,
    pub(crate) cause: Cause,
    pub(crate) actor: String,
    pub(crate) outcome: Outcome,
    pub(crate) health: Health,
    /// Its steps, as JSON.
    pub(crate) report: String,
}

/// Where a secret stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HealthRow {
    pub(crate) secret_id: Uuid,
    pub(crate) health: Health,
    pub(crate) why: String,
    /// Since when it is that.
    pub(crate) since: i64,
    pub(crate) checked_at: i64,
    /// `paper` or `live`, where the provider tells.
    pub(crate) account: Option<String>,
    /// A JSON list of names.
    pub(crate) permissions: Option<String>,
    /// A JSON object of numbers.
    pub(crate) limits: Option<String>,
    /// When the key ends, as the provider says.
    pub(crate) told_end: Option<i64>,
}

#[derive(sqlx::FromRow)]
struct RawCheck {
    id: String,
    secret_id: String,
    version: i64,
    checked_at: i64,
    cause: String,
    actor: String,
    outcome: String,
    health: String,
    report: String,
}

#[derive(sqlx::FromRow)]
struct RawHealth {
    secret_id: String,
    health: String,
    why: String,
    since: i64,
    checked_at: i64,
    account: Option<String>,
    permissions: Option<String>,
    limits: Option<String>,
    told_end: Option<i64>,
}

/// Checks of one secret that are kept.
const KEPT: i64 = 50;
const INSERT: &str = "INSERT INTO secret_checks
    (id, secret_id, version, checked_at, cause, actor, outcome, health, report)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
const PRUNE: &str = "DELETE FROM secret_checks WHERE secret_id = $1 AND id NOT IN (
    SELECT id FROM secret_checks WHERE secret_id = $1 ORDER BY id DESC LIMIT $2)";
const STANDS: &str = "INSERT INTO secret_health (secret_id, health, why, since, checked_at,
        account, permissions, limits, told_end)
    VALUES ($1, $2, $3, $4, $4, $5, $6, $7, $8)
    ON CONFLICT (secret_id) DO UPDATE SET
        since = CASE WHEN secret_health.health = excluded.health AND secret_health.checked_at > 0
            THEN secret_health.since ELSE excluded.since END,
        health = excluded.health, why = excluded.why, checked_at = excluded.checked_at,
        account = COALESCE(excluded.account, secret_health.account),
        permissions = COALESCE(excluded.permissions, secret_health.permissions),
        limits = COALESCE(excluded.limits, secret_health.limits),
        told_end = COALESCE(excluded.told_end, secret_health.told_end)";
const CHECKS: &str = "SELECT id, secret_id, version, checked_at, cause, actor, outcome, health,
    report FROM secret_checks WHERE secret_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3";
const HEALTHS: &str = "SELECT secret_id, health, why, since, checked_at, account, permissions,
    limits, told_end FROM secret_health ORDER BY secret_id";
const HEALTH: &str = "SELECT secret_id, health, why, since, checked_at, account, permissions,
    limits, told_end FROM secret_health WHERE secret_id = $1";

// A new one is asked about within the first round, at a moment of its own.
const CLAIM: &str = "INSERT INTO secret_health (secret_id, health, why, since, checked_at,
        next_check)
    VALUES ($1, 'unknown', '', $2, 0, $3)
    ON CONFLICT (secret_id) DO UPDATE SET next_check = excluded.next_check
    WHERE secret_health.next_check IS NULL OR secret_health.next_check <= $2
        OR secret_health.next_check > $4";
const WARN: &str = "INSERT INTO secret_health (secret_id, health, why, since, checked_at,
        warned, warned_of)
    VALUES ($1, 'unknown', '', $2, 0, $3, $4)
    ON CONFLICT (secret_id) DO UPDATE SET warned = excluded.warned, warned_of = excluded.warned_of
    WHERE secret_health.warned_of IS NULL OR secret_health.warned_of <> excluded.warned_of
        OR secret_health.warned > excluded.warned";
const NEXT: &str = "SELECT next_check FROM secret_health WHERE secret_id = $1";

impl Store {
    /// True for the one node that is to ask now. A secret that was never seen by the schedule waits
    /// for a round's part first, so that a start asks nobody.
    pub(crate) async fn claim_check(
        &self,
        id: Uuid,
        (now_ms, next_ms): (i64, i64),
    ) -> Result<bool, Error> {
        let mut tx = self.begin().await?;
        let found: Option<(Option<i64>,)> = {
            let id = id.to_string();
            within!(&mut tx, db => sqlx::query_as(NEXT).bind(id).fetch_optional(db))?
        };
        let was_planned = found.is_some_and(|(next,)| next.is_some());
        // Further away than any round is long: a clock that was wrong, or somebody's edit.
        let most_ms = next_ms.saturating_add(next_ms.saturating_sub(now_ms));
        let claimed = changing!(
            &mut tx,
            sqlx::query(CLAIM).bind(id.to_string()).bind(now_ms).bind(next_ms).bind(most_ms)
        )?;
        tx.commit().await?;
        Ok(claimed > 0 && was_planned)
    }

    /// True for the one node that is to warn of this end, so many days before it.
    pub(crate) async fn claim_secret_warning(
        &self,
        id: Uuid,
        (end_ms, days): (i64, i64),
        now_ms: i64,
    ) -> Result<bool, Error> {
        let mut tx = self.begin().await?;
        let claimed = changing!(
            &mut tx,
            sqlx::query(WARN).bind(id.to_string()).bind(now_ms).bind(days).bind(end_ms)
        )?;
        tx.commit().await?;
        Ok(claimed > 0)
    }

    /// The check, and what it says of the secret from now on, in one transaction. The oldest checks
    /// make room. What was told earlier and not this time stays. `stands` is None where the
    /// check is of a version that calls do not use.
    pub(crate) async fn note_check(
        &self,
        check: &CheckRow,
        stands: Option<&HealthRow>,
    ) -> Result<(), Error> {
        let id = check.secret_id.to_string();
        let mut tx = self.begin().await?;
        changing!(
            &mut tx,
            sqlx::query(INSERT)
                .bind(check.id.to_string())
                .bind(id.as_str())
                .bind(i64::from(check.version))
                .bind(check.checked_at)
                .bind(check.cause.as_str())
                .bind(check.actor.as_str())
                .bind(check.outcome.as_str())
                .bind(check.health.as_str())
                .bind(check.report.as_str())
        )?;
        changing!(&mut tx, sqlx::query(PRUNE).bind(id.as_str()).bind(KEPT))?;
        if let Some(stands) = stands {
            changing!(
                &mut tx,
                sqlx::query(STANDS)
                    .bind(id.as_str())
                    .bind(stands.health.as_str())
                    .bind(stands.why.as_str())
                    .bind(stands.checked_at)
                    .bind(stands.account.as_deref())
                    .bind(stands.permissions.as_deref())
                    .bind(stands.limits.as_deref())
                    .bind(stands.told_end)
            )?;
        }
        Ok(tx.commit().await?)
    }

    /// Newest first, those behind one. One that cannot be read is left out.
    pub(crate) async fn secret_checks(
        &self,
        secret_id: Uuid,
        after: Option<Uuid>,
        limit: u32,
    ) -> Result<Vec<CheckRow>, Error> {
        let before =
            after.map_or_else(|| super::columns::ABOVE_ALL_IDS.into(), |id| id.to_string());
        let raw: Vec<Result<RawCheck, Unread>> = rows!(
            self,
            "secret_checks",
            sqlx::query(CHECKS)
                .bind(secret_id.to_string())
                .bind(before.as_str())
                .bind(i64::from(limit))
        );
        Ok(raw.into_iter().filter_map(|raw| check_from(raw.ok()?).ok()).collect())
    }

    /// Of every secret that was ever checked. One that cannot be read is as one that was not.
    pub(crate) async fn secret_healths(&self) -> Result<Vec<HealthRow>, Error> {
        let raw: Vec<Result<RawHealth, Unread>> =
            rows!(self, "secret_health", sqlx::query(HEALTHS));
        Ok(raw.into_iter().filter_map(|raw| health_from(raw.ok()?).ok()).collect())
    }

    pub(crate) async fn secret_health(&self, id: Uuid) -> Result<Option<HealthRow>, Error> {
        let read = row!(self, "secret_health", sqlx::query(HEALTH).bind(id.to_string()));
        match read {
            Ok(raw) => Ok(raw.and_then(|raw| health_from(raw).ok())),
            Err(Error::Contradiction { .. }) => Ok(None),
            Err(fault) => Err(fault),
        }
    }
}

fn check_from(raw: RawCheck) -> Result<CheckRow, Error> {
    let place = Place { table: "secret_checks", row: &raw.id };
    Ok(CheckRow {
        id: place.id("id", &raw.id)?,
        secret_id: place.id("secret_id", &raw.secret_id)?,
        version: place.small("version", raw.version)?,
        checked_at: raw.checked_at,
        cause: place.word("cause", &raw.cause, Cause::parse)?,
        actor: raw.actor,
        outcome: place.word("outcome", &raw.outcome, Outcome::parse)?,
        health: place.word("health", &raw.health, Health::parse)?,
        report: raw.report,
    })
}

fn health_from(raw: RawHealth) -> Result<HealthRow, Error> {
    let place = Place { table: "secret_health", row: &raw.secret_id };
    Ok(HealthRow {
        secret_id: place.id("secret_id", &raw.secret_id)?,
        health: place.word("health", &raw.health, Health::parse)?,
        why: raw.why,
        since: raw.since,
        checked_at: raw.checked_at,
        account: raw.account,
        permissions: raw.permissions,
        limits: raw.limits,
        told_end: raw.told_end,
    })
}
