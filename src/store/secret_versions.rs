//! The table `secret_versions`: the sealed values of each secret, numbered from 1.
//! Must never keep an envelope in a version that is destroyed, nor give one back to
//! it.

use uuid::Uuid;

use super::columns::{Place, words};
use super::dialect::{Tx, changing, rows};
use super::lenient::Unread;
use super::{Error, InventoryRow, SecretRow, Store, secrets};

words! {
    VersionState {
        /// Stored, carries no calls yet.
        Pending = "pending",
        Active = "active",
        /// Still carries calls, its successor takes over.
        Retiring = "retiring",
        Retired = "retired",
        /// Its envelope is gone.
        Destroyed = "destroyed",
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct VersionRow {
    pub(crate) secret_id: Uuid,
    pub(crate) version: u32,
    pub(crate) state: VersionState,
    /// None exactly when it is destroyed.
    pub(crate) envelope: Option<Vec<u8>>,
    /// Digest of the destinations for which the envelope was sealed.
    pub(crate) destinations: [u8; 32],
    pub(crate) created_at: i64,
    pub(crate) created_by: String,
    pub(crate) last_used_at: Option<i64>,
}

/// When a version was last sent to its provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct VersionUse {
    pub(crate) secret_id: Uuid,
    pub(crate) version: u32,
    pub(crate) at: i64,
}

/// What becomes of the versions that a new active one replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Former {
    /// Retired; can be rolled back to.
    #[cfg_attr(not(test), expect(dead_code, reason = "rotation by stages keeps the former one"))]
    Keep,
    /// Destroyed: the envelope is overwritten at once.
    Destroy,
}

/// One version, from the state that it must be in to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shift {
    pub(crate) version: u32,
    pub(crate) from: VersionState,
    pub(crate) to: VersionState,
}

impl Shift {
    pub(crate) fn of(version: u32, from: VersionState, to: VersionState) -> Self {
        Self { version, from, to }
    }
}

#[derive(sqlx::FromRow)]
struct RawNumber {
    secret_id: String,
    version: i64,
}

#[derive(sqlx::FromRow)]
pub(super) struct RawVersion {
    pub(super) secret_id: String,
    version: i64,
    state: String,
    envelope: Option<Vec<u8>>,
    destinations: Vec<u8>,
    created_at: i64,
    created_by: String,
    last_used_at: Option<i64>,
}

const INSERT: &str = "INSERT INTO secret_versions
    (secret_id, version, state, envelope, destinations, created_at, created_by, last_used_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
const TOUCH: &str = "UPDATE secret_versions SET last_used_at = $1
    WHERE secret_id = $2 AND version = $3 AND (last_used_at IS NULL OR last_used_at < $1)";
const RETIRE_FORMER: &str = "UPDATE secret_versions SET state = 'retired'
    WHERE secret_id = $1 AND state IN ('active', 'retiring')";
const DESTROY_FORMER: &str = "UPDATE secret_versions SET state = 'destroyed', envelope = NULL
    WHERE secret_id = $1 AND state IN ('active', 'retiring')";
const SHIFT: &str = "UPDATE secret_versions SET state = $1,
    envelope = CASE WHEN $1 = 'destroyed' THEN NULL ELSE envelope END
    WHERE secret_id = $2 AND version = $3 AND state = $4";
const RETIRING: &str = "SELECT secret_id, version FROM secret_versions WHERE state = 'retiring'";
const DESTROY_ALL: &str = "UPDATE secret_versions SET state = 'destroyed', envelope = NULL
    WHERE secret_id = $1";
const DELETE_ALL: &str = "DELETE FROM secret_versions WHERE secret_id = $1";
const NEW_VALUE: &str = "UPDATE secrets SET fingerprint = $1, updated_at = $2 WHERE id = $3";
// It was said of the key before.
const NOTHING_TOLD: &str = "UPDATE secret_health SET told_end = NULL WHERE secret_id = $1";
#[cfg(test)]
const REPLACE: &str = "UPDATE secret_versions SET envelope = $1, destinations = $2
    WHERE secret_id = $3 AND version = $4 AND state <> 'destroyed'";

impl Store {
    /// As it is, beside the others. `Error::Duplicate` if the number is taken.
    #[cfg(test)]
    pub(crate) async fn insert_version(&self, version: &VersionRow) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        insert(&mut tx, version).await?;
        Ok(tx.commit().await?)
    }

    /// Puts version n+1 in as the active one, with the secret's new fingerprint, and retires the
    /// former. Of two at once, one gets `Error::Duplicate`. False if there is no such secret.
    pub(crate) async fn insert_active_version(
        &self,
        version: &VersionRow,
        fingerprint: &str,
        former: Former,
        inventory: Option<&InventoryRow>,
    ) -> Result<bool, Error> {
        let id = version.secret_id.to_string();
        let retire = match former {
            Former::Keep => RETIRE_FORMER,
            Former::Destroy => DESTROY_FORMER,
        };
        let mut tx = self.begin().await?;
        secrets::noted(&mut tx, inventory).await?;
        // The secret's row first: it makes two rotations at once run one after the other.
        let found = changing!(
            &mut tx,
            sqlx::query(NEW_VALUE).bind(fingerprint).bind(version.created_at).bind(id.as_str())
        )?;
        if found == 0 {
            return Ok(false);
        }
        changing!(&mut tx, sqlx::query(retire).bind(id.as_str()))?;
        changing!(&mut tx, sqlx::query(NOTHING_TOLD).bind(id.as_str()))?;
        let active = VersionRow { state: VersionState::Active, ..version.clone() };
        insert(&mut tx, &active).await?;
        tx.commit().await?;
        match former {
            Former::Keep => {}
            Former::Destroy => self.forget_journal().await,
        }
        Ok(true)
    }

    /// Beside the others, for no call yet. `Error::Duplicate` if the number is taken.
    pub(crate) async fn insert_pending_version(
        &self,
        version: &VersionRow,
        inventory: &InventoryRow,
    ) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        secrets::noted(&mut tx, Some(inventory)).await?;
        insert(&mut tx, version).await?;
        Ok(tx.commit().await?)
    }

    /// All of them or none, with the secret's fingerprint and the list. `Error::Stale` where one is
    /// in another state by now.
    pub(crate) async fn shift_versions(
        &self,
        secret: &SecretRow,
        shifts: &[Shift],
        inventory: &InventoryRow,
    ) -> Result<(), Error> {
        let id = secret.id.to_string();
        let mut tx = self.begin().await?;
        secrets::noted(&mut tx, Some(inventory)).await?;
        changing!(
            &mut tx,
            sqlx::query(NEW_VALUE)
                .bind(secret.fingerprint.as_str())
                .bind(secret.updated_at)
                .bind(id.as_str())
        )?;
        for shift in shifts {
            let shifted = changing!(
                &mut tx,
                sqlx::query(SHIFT)
                    .bind(shift.to.as_str())
                    .bind(id.as_str())
                    .bind(i64::from(shift.version))
                    .bind(shift.from.as_str())
            )?;
            if shifted == 0 {
                return Err(Error::Stale);
            }
        }
        if shifts.iter().any(|shift| shift.to == VersionState::Active) {
            changing!(&mut tx, sqlx::query(NOTHING_TOLD).bind(id.as_str()))?;
        }
        tx.commit().await?;
        if shifts.iter().any(|shift| shift.to == VersionState::Destroyed) {
            self.forget_journal().await;
        }
        Ok(())
    }

    /// Former versions that are still there. What cannot be read is none.
    pub(crate) async fn retiring_versions(&self) -> Result<Vec<(Uuid, u32)>, Error> {
        let raw: Vec<Result<RawNumber, Unread>> =
            rows!(self, "secret_versions", sqlx::query(RETIRING));
        let number = |raw: RawNumber| {
            Some((Uuid::try_parse(&raw.secret_id).ok()?, u32::try_from(raw.version).ok()?))
        };
        Ok(raw.into_iter().filter_map(|raw| number(raw.ok()?)).collect())
    }

    /// The same value, sealed anew. False if there is no such version, or it is destroyed.
    #[cfg(test)]
    pub(crate) async fn replace_envelope(
        &self,
        secret_id: Uuid,
        version: u32,
        envelope: &[u8],
        destinations: &[u8; 32],
    ) -> Result<bool, Error> {
        let mut tx = self.begin().await?;
        let replaced = changing!(
            &mut tx,
            sqlx::query(REPLACE)
                .bind(envelope)
                .bind(destinations.as_slice())
                .bind(secret_id.to_string())
                .bind(i64::from(version))
        )?;
        tx.commit().await?;
        Ok(replaced > 0)
    }
}

/// Moves "last used" forward only. Versions that are gone are skipped.
pub(super) async fn touch(tx: &mut Tx, served: &[VersionUse]) -> Result<(), Error> {
    for used in served {
        changing!(
            tx,
            sqlx::query(TOUCH)
                .bind(used.at)
                .bind(used.secret_id.to_string())
                .bind(i64::from(used.version))
        )?;
    }
    Ok(())
}

pub(super) async fn insert(tx: &mut Tx, version: &VersionRow) -> Result<(), Error> {
    changing!(
        tx,
        sqlx::query(INSERT)
            .bind(version.secret_id.to_string())
            .bind(i64::from(version.version))
            .bind(version.state.as_str())
            .bind(version.envelope.as_deref())
            .bind(version.destinations.as_slice())
            .bind(version.created_at)
            .bind(version.created_by.as_str())
            .bind(version.last_used_at)
    )?;
    Ok(())
}

/// Deletes what it has overwritten: a secret whose own row has another id takes nothing along.
pub(super) async fn destroy_all(tx: &mut Tx, secret_id: &str) -> Result<(), Error> {
    changing!(&mut *tx, sqlx::query(DESTROY_ALL).bind(secret_id))?;
    changing!(tx, sqlx::query(DELETE_ALL).bind(secret_id))?;
    Ok(())
}

pub(super) fn from_raw(raw: RawVersion) -> Result<VersionRow, Error> {
    let row = format!("{} version {}", raw.secret_id, raw.version);
    let place = Place { table: "secret_versions", row: &row };
    let state = place.word("state", &raw.state, VersionState::parse)?;
    match (state, &raw.envelope) {
        (VersionState::Destroyed, Some(_)) => {
            return Err(place.contradiction("envelope", "is there, but the version is destroyed"));
        }
        (
            VersionState::Pending
            | VersionState::Active
            | VersionState::Retiring
            | VersionState::Retired,
            None,
        ) => return Err(place.contradiction("envelope", "is missing")),
        (_, Some(_)) | (VersionState::Destroyed, None) => {}
    }
    Ok(VersionRow {
        secret_id: place.id("secret_id", &raw.secret_id)?,
        version: place.small("version", raw.version)?,
        state,
        envelope: raw.envelope,
        destinations: place.digest("destinations", &raw.destinations)?,
        created_at: raw.created_at,
        created_by: raw.created_by,
        last_used_at: raw.last_used_at,
    })
}
