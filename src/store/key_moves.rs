//! What moves in the key hierarchy, one row a transaction: a data key under another key-encryption
//! key, a value under another data key, a key-encryption key under another master key. Each is
//! written only over what was read (compare and swap), and together with its job's progress. Must
//! never move a row for a job whose lease was lost.

use uuid::Uuid;

use super::dialect::{Tx, changing, reading, rows};
use super::inventories::{self, InventoryRow};
use super::keks::MasterId;
use super::key_jobs::{self, JobStep};
use super::lenient::Unread;
use super::secrets::{Loaded, RawSecret, from_raw, select};
use super::wraps::Wrapped;
use super::{Error, SecretRow, Store, VersionRow, master_passphrases};

/// A data key's new wrap.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rewrapped<'a> {
    /// As it was read.
    pub(crate) former: &'a SecretRow,
    pub(crate) kek_id: Uuid,
    pub(crate) data_key: &'a [u8],
}

/// An envelope over the one that was read.
#[derive(Clone, Debug)]
pub(crate) struct Resealed<'a> {
    pub(crate) former: &'a VersionRow,
    pub(crate) envelope: Vec<u8>,
    pub(crate) destinations: [u8; 32],
}

/// A key-encryption key's new wrap.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Remastered<'a> {
    pub(crate) kek_id: Uuid,
    pub(crate) former: &'a [u8],
    pub(crate) wrapped: &'a [u8],
    pub(crate) master: &'a MasterId,
}

const MOVE: &str = "UPDATE secrets SET kek_id = $1, data_key = $2
    WHERE id = $3 AND kek_id = $4 AND data_key = $5";
const RESEAL: &str = "UPDATE secret_versions SET envelope = $1, destinations = $2
    WHERE secret_id = $3 AND version = $4 AND envelope = $5";
const REMASTER: &str = "UPDATE keks SET wrapped = $1, master_kind = $2, master_id = $3
    WHERE id = $4 AND wrapped = $5";
const COUNT_OLD: &str = "SELECT COUNT(*) FROM secrets
    WHERE kek_id NOT IN (SELECT id FROM keks WHERE state = 'active')";
const COUNT_UP_TO: &str = "SELECT COUNT(*) FROM secrets WHERE id <= $1";
const BY_KEK: &str = "SELECT kek_id, COUNT(*) FROM secrets GROUP BY kek_id";

impl Store {
    /// Secrets whose data key hangs on an old generation, by id.
    pub(crate) async fn secrets_on_old_keks(
        &self,
        after: Uuid,
        limit: u32,
    ) -> Result<Loaded<SecretRow>, Error> {
        const OLD: &str = select!(
            "WHERE id > $1 AND kek_id NOT IN (SELECT id FROM keks WHERE state = 'active')
            ORDER BY id LIMIT $2"
        );
        let (after, limit) = (after.to_string(), i64::from(limit));
        let raw = rows!(self, "secrets", sqlx::query(OLD).bind(after.as_str()).bind(limit));
        let read = |raw: Result<RawSecret, Unread>| from_raw(raw?);
        Ok(Loaded::collect(raw.into_iter().map(read)))
    }

    pub(crate) async fn count_secrets_on_old_keks(&self) -> Result<u64, Error> {
        let count: i64 = reading!(self, db => sqlx::query_scalar(COUNT_OLD).fetch_one(db))?;
        Ok(count.unsigned_abs())
    }

    /// Ids of secrets that are not younger than `last`, by id.
    pub(crate) async fn secret_ids(
        &self,
        (after, last): (Uuid, Uuid),
        limit: u32,
    ) -> Result<Vec<Uuid>, Error> {
        const IDS: &str = "SELECT id FROM secrets WHERE id > $1 AND id <= $2 ORDER BY id LIMIT $3";
        let (after, last, limit) = (after.to_string(), last.to_string(), i64::from(limit));
        let ids = rows!(
            self,
            "secrets",
            sqlx::query(IDS).bind(after.as_str()).bind(last.as_str()).bind(limit)
        );
        // What is no id is found and named by whoever reads the whole row.
        let id = |row: Result<(String,), Unread>| Uuid::try_parse(&row.ok()?.0).ok();
        Ok(ids.into_iter().filter_map(id).collect())
    }

    pub(crate) async fn count_secrets_up_to(&self, last: Uuid) -> Result<u64, Error> {
        let last = last.to_string();
        let count: i64 =
            reading!(self, db => sqlx::query_scalar(COUNT_UP_TO).bind(last).fetch_one(db))?;
        Ok(count.unsigned_abs())
    }

    /// How many secrets hang on each key-encryption key.
    pub(crate) async fn secrets_by_kek(&self) -> Result<Vec<(Uuid, u64)>, Error> {
        let raw = rows!(self, "secrets", sqlx::query(BY_KEK));
        let row = |row: Result<(String, i64), Unread>| {
            let (id, count) = row.ok()?;
            Some((Uuid::try_parse(&id).ok()?, count.unsigned_abs()))
        };
        Ok(raw.into_iter().filter_map(row).collect())
    }

    /// `Error::Stale` if somebody else has changed the row, or the key is not active any more.
    pub(crate) async fn rewrap_secret(
        &self,
        row: &Rewrapped<'_>,
        step: &JobStep<'_>,
    ) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        key_jobs::step(&mut tx, step).await?;
        let wrapped = self.move_data_key(&mut tx, row).await?;
        self.commit_counted(tx, wrapped).await
    }

    /// A new data key, and every value of the secret under it.
    pub(crate) async fn rekey_secret(
        &self,
        (row, values): (&Rewrapped<'_>, &[Resealed<'_>]),
        inventory: &InventoryRow,
        step: &JobStep<'_>,
    ) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        key_jobs::step(&mut tx, step).await?;
        inventories::put(&mut tx, inventory).await?;
        let wrapped = self.move_data_key(&mut tx, row).await?;
        for value in values {
            reseal(&mut tx, value).await?;
        }
        self.commit_counted(tx, wrapped).await
    }

    /// The same values for other destinations.
    pub(crate) async fn reseal_secret(
        &self,
        values: &[Resealed<'_>],
        inventory: &InventoryRow,
    ) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        inventories::put(&mut tx, inventory).await?;
        for value in values {
            reseal(&mut tx, value).await?;
        }
        Ok(tx.commit().await?)
    }

    pub(crate) async fn remaster_kek(
        &self,
        row: &Remastered<'_>,
        step: &JobStep<'_>,
    ) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        key_jobs::step(&mut tx, step).await?;
        master_passphrases::hold(&mut tx, row.master).await?;
        let moved = changing!(
            &mut tx,
            sqlx::query(REMASTER)
                .bind(row.wrapped)
                .bind(row.master.kind.as_str())
                .bind(row.master.id.as_str())
                .bind(row.kek_id.to_string())
                .bind(row.former)
        )?;
        if moved == 0 {
            return Err(Error::Stale);
        }
        Ok(tx.commit().await?)
    }

    async fn move_data_key(&self, tx: &mut Tx, row: &Rewrapped<'_>) -> Result<Wrapped, Error> {
        let moved = changing!(
            tx,
            sqlx::query(MOVE)
                .bind(row.kek_id.to_string())
                .bind(row.data_key)
                .bind(row.former.id.to_string())
                .bind(row.former.kek_id.to_string())
                .bind(row.former.data_key.as_slice())
        )?;
        if moved == 0 {
            return Err(Error::Stale);
        }
        self.count_wrap_in(tx, row.kek_id).await
    }
}

async fn reseal(tx: &mut Tx, value: &Resealed<'_>) -> Result<(), Error> {
    let resealed = changing!(
        tx,
        sqlx::query(RESEAL)
            .bind(value.envelope.as_slice())
            .bind(value.destinations.as_slice())
            .bind(value.former.secret_id.to_string())
            .bind(i64::from(value.former.version))
            .bind(value.former.envelope.as_deref())
    )?;
    if resealed == 0 { Err(Error::Stale) } else { Ok(()) }
}
