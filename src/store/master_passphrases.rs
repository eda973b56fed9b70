//! The table `master_passphrases`: master keys that a passphrase opens, each in an envelope, with
//! the salt and the parameters that make its key of the passphrase. Must never hold a passphrase,
//! nor a master key in clear.

use super::columns::Place;
use super::dialect::{Tx, changing, rows};
use super::lenient::Unread;
use super::secrets::Loaded;
use super::{Error, MasterId, MasterKind, Store};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PassphraseRow {
    /// Of the master key: stays the same when the passphrase or the parameters change.
    pub(crate) master_id: String,
    pub(crate) wrapped: Vec<u8>,
    pub(crate) salt: Vec<u8>,
    pub(crate) memory_kib: u32,
    pub(crate) passes: u32,
    pub(crate) lanes: u32,
    pub(crate) created_at: i64,
    pub(crate) updated_at: i64,
}

#[derive(sqlx::FromRow)]
struct RawPassphrase {
    master_id: String,
    wrapped: Vec<u8>,
    salt: Vec<u8>,
    memory_kib: i64,
    passes: i64,
    lanes: i64,
    created_at: i64,
    updated_at: i64,
}

const ALL: &str =
    "SELECT master_id, wrapped, salt, memory_kib, passes, lanes, created_at, updated_at
    FROM master_passphrases ORDER BY created_at DESC, master_id";
const INSERT: &str = "INSERT INTO master_passphrases
    (master_id, wrapped, salt, memory_kib, passes, lanes, created_at, updated_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
const HOLD: &str = "UPDATE master_passphrases SET master_id = master_id WHERE master_id = $1";
const REPLACE: &str = "UPDATE master_passphrases
    SET wrapped = $2, salt = $3, memory_kib = $4, passes = $5, lanes = $6, updated_at = $7
    WHERE master_id = $1 AND wrapped = $8";

impl Store {
    pub(crate) async fn insert_master_passphrase(&self, row: &PassphraseRow) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        changing!(
            &mut tx,
            sqlx::query(INSERT)
                .bind(row.master_id.as_str())
                .bind(row.wrapped.as_slice())
                .bind(row.salt.as_slice())
                .bind(i64::from(row.memory_kib))
                .bind(i64::from(row.passes))
                .bind(i64::from(row.lanes))
                .bind(row.created_at)
                .bind(row.updated_at)
        )?;
        Ok(tx.commit().await?)
    }

    /// Puts `row` in the place of the row that held `former`. False if somebody else was faster.
    pub(crate) async fn replace_master_passphrase(
        &self,
        row: &PassphraseRow,
        former: &[u8],
    ) -> Result<bool, Error> {
        let mut tx = self.begin().await?;
        let replaced = changing!(
            &mut tx,
            sqlx::query(REPLACE)
                .bind(row.master_id.as_str())
                .bind(row.wrapped.as_slice())
                .bind(row.salt.as_slice())
                .bind(i64::from(row.memory_kib))
                .bind(i64::from(row.passes))
                .bind(i64::from(row.lanes))
                .bind(row.updated_at)
                .bind(former)
        )?;
        tx.commit().await?;
        self.forget_journal().await;
        Ok(replaced > 0)
    }

    /// The newest first.
    pub(crate) async fn master_passphrases(&self) -> Result<Loaded<PassphraseRow>, Error> {
        let raw = rows!(self, "master_passphrases", sqlx::query(ALL));
        let read = |raw: Result<RawPassphrase, Unread>| from_raw(raw?);
        Ok(Loaded::collect(raw.into_iter().map(read)))
    }

    /// False if there is none of that id, or if something is wrapped by it. Whoever has deleted
    /// the last one folds the journal, once.
    pub(crate) async fn delete_master_passphrase(&self, master_id: &str) -> Result<bool, Error> {
        const DELETE: &str = "DELETE FROM master_passphrases WHERE master_id = $1
            AND NOT EXISTS (SELECT 1 FROM keks WHERE master_kind = 'passphrase'
                AND lower(master_id) = lower($1) AND length(wrapped) > 0)";
        let mut tx = self.begin().await?;
        // Whoever wraps by it at this moment holds it, too: only then is it seen who does.
        changing!(&mut tx, sqlx::query(HOLD).bind(master_id))?;
        let deleted = changing!(&mut tx, sqlx::query(DELETE).bind(master_id))?;
        tx.commit().await?;
        Ok(deleted > 0)
    }
}

/// A key-encryption key is wrapped by a master key that stays until this transaction ends.
/// `Error::MasterGone` where another node has taken it away.
pub(super) async fn hold(tx: &mut Tx, master: &MasterId) -> Result<(), Error> {
    match master.kind {
        MasterKind::Passphrase => {
            let held = changing!(&mut *tx, sqlx::query(HOLD).bind(master.id.as_str()))?;
            if held > 0 { Ok(()) } else { Err(Error::MasterGone) }
        }
        MasterKind::File | MasterKind::AwsKms | MasterKind::VaultTransit => Ok(()),
    }
}

fn from_raw(raw: RawPassphrase) -> Result<PassphraseRow, Error> {
    let place = Place { table: "master_passphrases", row: &raw.master_id };
    Ok(PassphraseRow {
        memory_kib: place.small("memory_kib", raw.memory_kib)?,
        passes: place.small("passes", raw.passes)?,
        lanes: place.small("lanes", raw.lanes)?,
        master_id: raw.master_id,
        wrapped: raw.wrapped,
        salt: raw.salt,
        created_at: raw.created_at,
        updated_at: raw.updated_at,
    })
}
