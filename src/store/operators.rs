//! The table `operators`: who signs in to the console. Every row is under a seal, and every change
//! of one is made only where the seal is still the one that was read: two changes at once cannot
//! undo each other, and a code that was used is used.
//! Must never hold a password, a code or an invitation, and must never answer an edited row as one
//! that signs somebody in.

use uuid::Uuid;

use super::columns::{ABOVE_ALL_IDS, Place};
use super::dialect::{changing, reading, row, rows};
use super::lenient::Unread;
use super::operator_seals::{UNFIT, made};
use super::{Error, RowKey, Store};
use crate::client::Role;
use crate::secret;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OperatorRow {
    pub(crate) id: Uuid,
    /// What is typed to sign in; lower case.
    pub(crate) name: String,
    pub(crate) email: Option<String>,
    pub(crate) role: Role,
    /// Its hash; None: invited, and nobody has come yet.
    pub(crate) password: Option<String>,
    /// The envelope of the secret that codes are made of.
    pub(crate) totp: Option<Vec<u8>>,
    /// The step of the last code that was used: neither it nor an earlier one passes again.
    pub(crate) totp_step: i64,
    /// The digests of the recovery codes that are left, one behind the other.
    pub(crate) recovery: Vec<u8>,
    /// The digest of an invitation that nobody has accepted yet.
    pub(crate) invitation: Option<Vec<u8>>,
    pub(crate) invitation_ends_at: Option<i64>,
    pub(crate) created_at: i64,
    pub(crate) created_by: String,
    pub(crate) updated_at: i64,
    /// As it was read; nothing in a row that is to be written.
    pub(crate) seal: Vec<u8>,
}

/// An operator as his row stands, for people who look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StandingOperator {
    pub(crate) row: OperatorRow,
    pub(crate) fits: bool,
}

#[derive(sqlx::FromRow)]
pub(super) struct RawOperator {
    pub(super) id: String,
    name: String,
    email: Option<String>,
    role: String,
    password: Option<String>,
    totp: Option<Vec<u8>>,
    totp_step: i64,
    recovery: Vec<u8>,
    invitation: Option<Vec<u8>>,
    invitation_ends_at: Option<i64>,
    created_at: i64,
    created_by: String,
    updated_at: i64,
    seal: Vec<u8>,
}

macro_rules! columns {
    ($rest:literal) => {
        concat!(
            "SELECT id, name, email, role, password, totp, totp_step, recovery, invitation,
            invitation_ends_at, created_at, created_by, updated_at, seal FROM operators ",
            $rest
        )
    };
}

const BY_ID: &str = columns!("WHERE id = $1");
const BY_NAME: &str = columns!("WHERE name = $1");
const BY_INVITATION: &str = columns!("WHERE invitation = $1");
const PAGE: &str = columns!("WHERE id < $1 ORDER BY id DESC LIMIT $2");
const ALL: &str = columns!("ORDER BY id");
const ANY: &str = "SELECT COUNT(*) FROM operators";
const INSERT: &str = "INSERT INTO operators (id, name, email, role, password, totp, totp_step,
    recovery, invitation, invitation_ends_at, created_at, created_by, updated_at, seal)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)";
const UPDATE: &str = "UPDATE operators SET name = $1, email = $2, role = $3, password = $4,
    totp = $5, totp_step = $6, recovery = $7, invitation = $8, invitation_ends_at = $9,
    updated_at = $10, seal = $11, created_at = $12, created_by = $13 WHERE id = $14 AND seal = $15";
const DELETE: &str = "DELETE FROM operators WHERE id = $1";
const END_SESSIONS: &str = "DELETE FROM operator_sessions WHERE operator_id = $1";

impl Store {
    /// `Error::Duplicate` where somebody has the name already.
    pub(crate) async fn insert_operator(&self, row: &OperatorRow) -> Result<(), Error> {
        let id = row.id.to_string();
        let seal = self.seal_of_operator(row).ok_or_else(|| self.unsealable(&id))?;
        let mut tx = self.begin().await?;
        changing!(
            &mut tx,
            sqlx::query(INSERT)
                .bind(id.as_str())
                .bind(row.name.as_str())
                .bind(row.email.as_deref())
                .bind(row.role.as_str())
                .bind(row.password.as_deref())
                .bind(row.totp.as_deref())
                .bind(row.totp_step)
                .bind(row.recovery.as_slice())
                .bind(row.invitation.as_deref())
                .bind(row.invitation_ends_at)
                .bind(row.created_at)
                .bind(row.created_by.as_str())
                .bind(row.updated_at)
                .bind(seal.as_slice())
        )?;
        Ok(tx.commit().await?)
    }

    /// Writes over what was read with this seal, and ends every session where that is asked for.
    /// False where something else stands by now.
    pub(crate) async fn update_operator(
        &self,
        row: &OperatorRow,
        ends_sessions: bool,
    ) -> Result<bool, Error> {
        let id = row.id.to_string();
        let seal = self.seal_of_operator(row).ok_or_else(|| self.unsealable(&id))?;
        let mut tx = self.begin().await?;
        let changed = changing!(
            &mut tx,
            sqlx::query(UPDATE)
                .bind(row.name.as_str())
                .bind(row.email.as_deref())
                .bind(row.role.as_str())
                .bind(row.password.as_deref())
                .bind(row.totp.as_deref())
                .bind(row.totp_step)
                .bind(row.recovery.as_slice())
                .bind(row.invitation.as_deref())
                .bind(row.invitation_ends_at)
                .bind(row.updated_at)
                .bind(seal.as_slice())
                .bind(row.created_at)
                .bind(row.created_by.as_str())
                .bind(id.as_str())
                .bind(row.seal.as_slice())
        )?;
        if changed > 0 && ends_sessions {
            changing!(&mut tx, sqlx::query(END_SESSIONS).bind(id.as_str()))?;
        }
        tx.commit().await?;
        Ok(changed > 0)
    }

    /// His sessions go with him. False if there is none.
    pub(crate) async fn delete_operator(&self, id: Uuid) -> Result<bool, Error> {
        let mut tx = self.begin().await?;
        changing!(&mut tx, sqlx::query(END_SESSIONS).bind(id.to_string()))?;
        let deleted = changing!(&mut tx, sqlx::query(DELETE).bind(id.to_string()))?;
        tx.commit().await?;
        Ok(deleted > 0)
    }

    /// As it stands, edited or not.
    pub(crate) async fn standing_operator(
        &self,
        id: Uuid,
    ) -> Result<Option<StandingOperator>, Error> {
        let raw: Option<RawOperator> =
            row!(self, "operators", sqlx::query(BY_ID).bind(id.to_string()))?;
        raw.map(|raw| Ok(self.standing(from_raw(raw)?))).transpose()
    }

    /// `Error::Contradiction` where somebody has edited the row.
    pub(crate) async fn operator_by_name(&self, name: &str) -> Result<Option<OperatorRow>, Error> {
        let raw: Option<RawOperator> = row!(self, "operators", sqlx::query(BY_NAME).bind(name))?;
        raw.map(|raw| self.fitting(from_raw(raw)?)).transpose()
    }

    /// The same.
    pub(crate) async fn operator_by_invitation(
        &self,
        digest: &[u8; 32],
    ) -> Result<Option<OperatorRow>, Error> {
        let query = digest.as_slice();
        let raw: Option<RawOperator> =
            row!(self, "operators", sqlx::query(BY_INVITATION).bind(query))?;
        raw.map(|raw| self.fitting(from_raw(raw)?)).transpose()
    }

    /// The same.
    pub(crate) async fn operator(&self, id: Uuid) -> Result<Option<OperatorRow>, Error> {
        let standing = self.standing_operator(id).await?;
        standing.map(|standing| self.fitting(standing.row)).transpose()
    }

    /// Newest first. One that cannot be read hides no other; `doctor` names it.
    pub(crate) async fn operators_page(
        &self,
        after: Option<Uuid>,
        limit: u32,
    ) -> Result<Vec<StandingOperator>, Error> {
        let below = after.map_or_else(|| ABOVE_ALL_IDS.to_owned(), |id| id.to_string());
        let raw: Vec<Result<RawOperator, Unread>> =
            rows!(self, "operators", sqlx::query(PAGE).bind(below.as_str()).bind(i64::from(limit)));
        let rows = raw.into_iter().flatten().filter_map(|raw| from_raw(raw).ok());
        Ok(rows.map(|row| self.standing(row)).collect())
    }

    /// Was there ever one to sign in?
    pub(crate) async fn has_operators(&self) -> Result<bool, Error> {
        let count: i64 = reading!(self, db => sqlx::query_scalar(ANY).fetch_one(db))?;
        Ok(count > 0)
    }

    /// A line for each operator that does not fit, by this key.
    pub(crate) async fn unfit_operators(&self, key: &RowKey) -> Result<Vec<String>, Error> {
        let RowKey::Here(key) = key else { return Ok(Vec::new()) };
        let raw: Vec<Result<RawOperator, Unread>> = rows!(self, "operators", sqlx::query(ALL));
        let line = |raw: Result<RawOperator, Unread>| {
            let row = match raw.map_err(Error::from).and_then(from_raw) {
                Ok(row) => row,
                Err(fault) => return Some(format!("{fault} Or `sealgate operator remove` it.")),
            };
            let fits = secret::same(&row.seal, &made(key, &row));
            (!fits).then(|| unfit(&row).to_string())
        };
        Ok(raw.into_iter().filter_map(line).collect())
    }

    pub(super) fn standing(&self, row: OperatorRow) -> StandingOperator {
        let fits = self.seal_of_operator(&row).is_some_and(|seal| secret::same(&seal, &row.seal));
        StandingOperator { row, fits }
    }

    fn fitting(&self, row: OperatorRow) -> Result<OperatorRow, Error> {
        let StandingOperator { row, fits } = self.standing(row);
        if fits { Ok(row) } else { Err(unfit(&row)) }
    }
}

fn unfit(row: &OperatorRow) -> Error {
    Place { table: "operators", row: &row.id.to_string() }.contradiction("seal", UNFIT)
}

pub(super) fn from_raw(raw: RawOperator) -> Result<OperatorRow, Error> {
    let place = Place { table: "operators", row: &raw.id };
    Ok(OperatorRow {
        id: place.id("id", &raw.id)?,
        role: place.word("role", &raw.role, Role::parse)?,
        name: raw.name,
        email: raw.email,
        password: raw.password,
        totp: raw.totp,
        totp_step: raw.totp_step,
        recovery: raw.recovery,
        invitation: raw.invitation,
        invitation_ends_at: raw.invitation_ends_at,
        created_at: raw.created_at,
        created_by: raw.created_by,
        updated_at: raw.updated_at,
        seal: raw.seal,
    })
}
