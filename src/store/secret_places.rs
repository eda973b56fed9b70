//! The table `secret_places`: how a secret stands beside the others of its provider, where these
//! share the load, and what was learnt of the provider's limit for it. Shared by all nodes; a
//! secret without a row has the usual place. Must never hold a value.

use uuid::Uuid;

use super::columns::Place;
use super::dialect::{changing, rows};
use super::lenient::Unread;
use super::{Error, Store};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PlaceRow {
    pub(crate) secret_id: Uuid,
    /// Its part of the calls, beside those of the others.
    pub(crate) weight: u32,
    /// Somebody has set it aside.
    pub(crate) drained_at: Option<i64>,
    /// The provider has refused it again and again where it took another one.
    pub(crate) quarantined_at: Option<i64>,
    pub(crate) quarantined_version: Option<u32>,
    pub(crate) updated_at: i64,
    pub(crate) actor: String,
    pub(crate) learnt: LearntRow,
}

/// What was learnt of the provider's limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LearntRow {
    pub(crate) closed_until: Option<i64>,
    /// Calls in a thousand seconds.
    pub(crate) rate: Option<i64>,
    /// Calls at once.
    pub(crate) depth: Option<i64>,
}

#[derive(sqlx::FromRow)]
struct RawPlace {
    secret_id: String,
    weight: i64,
    drained_at: Option<i64>,
    quarantined_at: Option<i64>,
    quarantined_version: Option<i64>,
    updated_at: i64,
    actor: String,
    closed_until: Option<i64>,
    learnt_rate: Option<i64>,
    learnt_depth: Option<i64>,
}

const ALL: &str = "SELECT secret_id, weight, drained_at, quarantined_at, quarantined_version,
    updated_at, actor, closed_until, learnt_rate, learnt_depth
    FROM secret_places ORDER BY secret_id";
/// In one statement, so that of two who change each a part of it neither undoes the other's.
const CHANGE: &str = "INSERT INTO secret_places (secret_id, weight, drained_at, updated_at, actor)
    VALUES ($1, COALESCE($2, 1), CASE WHEN $3 = 1 THEN $4 ELSE NULL END, $4, $5)
    ON CONFLICT (secret_id) DO UPDATE SET
        weight = COALESCE($2, secret_places.weight),
        drained_at = CASE WHEN $3 = 1 THEN COALESCE(secret_places.drained_at, $4)
            WHEN $3 = 0 THEN NULL ELSE secret_places.drained_at END,
        updated_at = excluded.updated_at, actor = excluded.actor";
const QUARANTINE: &str = "INSERT INTO secret_places
    (secret_id, quarantined_at, quarantined_version, updated_at, actor)
    VALUES ($1, $2, $3, $2, 'house')
    ON CONFLICT (secret_id) DO UPDATE SET quarantined_at = excluded.quarantined_at,
        quarantined_version = excluded.quarantined_version, updated_at = excluded.updated_at,
        actor = excluded.actor WHERE secret_places.quarantined_at IS NULL";
const RELEASE: &str = "UPDATE secret_places SET quarantined_at = NULL, quarantined_version = NULL,
    updated_at = $1, actor = $2 WHERE secret_id = $3 AND quarantined_at IS NOT NULL";
const LEARN: &str = "INSERT INTO secret_places
    (secret_id, updated_at, actor, closed_until, learnt_rate, learnt_depth)
    VALUES ($1, $2, 'house', $3, $4, $5)
    ON CONFLICT (secret_id) DO UPDATE SET closed_until = excluded.closed_until,
        learnt_rate = excluded.learnt_rate, learnt_depth = excluded.learnt_depth";

impl Store {
    /// Those that have a row. One that cannot be read has the usual place.
    pub(crate) async fn secret_places(&self) -> Result<Vec<PlaceRow>, Error> {
        let raw: Vec<Result<RawPlace, Unread>> = rows!(self, "secret_places", sqlx::query(ALL));
        Ok(raw.into_iter().filter_map(|raw| from_raw(raw.ok()?).ok()).collect())
    }

    /// What is not named stays as it is.
    pub(crate) async fn change_secret_place(
        &self,
        id: Uuid,
        (weight, is_drained): (Option<u32>, Option<bool>),
        (now_ms, by): (i64, &str),
    ) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        changing!(
            &mut tx,
            sqlx::query(CHANGE)
                .bind(id.to_string())
                .bind(weight.map(i64::from))
                .bind(is_drained.map(i64::from))
                .bind(now_ms)
                .bind(by)
        )?;
        Ok(tx.commit().await?)
    }

    /// True for the one who is to say so.
    pub(crate) async fn quarantine_secret(
        &self,
        (id, version): (Uuid, u32),
        now_ms: i64,
    ) -> Result<bool, Error> {
        let mut tx = self.begin().await?;
        let noted = changing!(
            &mut tx,
            sqlx::query(QUARANTINE).bind(id.to_string()).bind(now_ms).bind(i64::from(version))
        )?;
        tx.commit().await?;
        Ok(noted > 0)
    }

    /// True for the one who is to say so.
    pub(crate) async fn release_secret(
        &self,
        id: Uuid,
        (now_ms, by): (i64, &str),
    ) -> Result<bool, Error> {
        let mut tx = self.begin().await?;
        let noted =
            changing!(&mut tx, sqlx::query(RELEASE).bind(now_ms).bind(by).bind(id.to_string()))?;
        tx.commit().await?;
        Ok(noted > 0)
    }

    pub(crate) async fn learn_secret_limit(
        &self,
        id: Uuid,
        learnt: LearntRow,
        now_ms: i64,
    ) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        changing!(
            &mut tx,
            sqlx::query(LEARN)
                .bind(id.to_string())
                .bind(now_ms)
                .bind(learnt.closed_until)
                .bind(learnt.rate)
                .bind(learnt.depth)
        )?;
        Ok(tx.commit().await?)
    }
}

fn from_raw(raw: RawPlace) -> Result<PlaceRow, Error> {
    let place = Place { table: "secret_places", row: &raw.secret_id };
    let version = raw.quarantined_version;
    Ok(PlaceRow {
        secret_id: place.id("secret_id", &raw.secret_id)?,
        weight: place.small("weight", raw.weight)?,
        drained_at: raw.drained_at,
        quarantined_at: raw.quarantined_at,
        quarantined_version: version
            .map(|version| place.small("quarantined_version", version))
            .transpose()?,
        updated_at: raw.updated_at,
        actor: raw.actor,
        learnt: LearntRow {
            closed_until: raw.closed_until,
            rate: raw.learnt_rate,
            depth: raw.learnt_depth,
        },
    })
}
