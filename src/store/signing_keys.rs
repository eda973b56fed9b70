//! The table `signing_keys`: the keys that sign tokens, sealed, in the order in which they were
//! made. Few: the present one, the next, and a former one for a day.
//! Must never hold one that is not sealed under a key-encryption key that stands.

use uuid::Uuid;

use super::columns::Place;
use super::dialect::{changing, rows};
use super::lenient::Unread;
use super::secrets::Loaded;
use super::{Error, Store};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SigningKeyRow {
    pub(crate) number: i64,
    pub(crate) kek_id: Uuid,
    pub(crate) sealed: Vec<u8>,
    pub(crate) created_at: i64,
}

#[derive(sqlx::FromRow)]
struct RawSigningKey {
    number: i64,
    kek_id: String,
    sealed: Vec<u8>,
    created_at: i64,
}

const ALL: &str = "SELECT number, kek_id, sealed, created_at FROM signing_keys ORDER BY number";
const INSERT: &str =
    "INSERT INTO signing_keys (number, kek_id, sealed, created_at) VALUES ($1, $2, $3, $4)";
const RESEAL: &str =
    "UPDATE signing_keys SET kek_id = $1, sealed = $2 WHERE number = $3 AND kek_id = $4";
const DROP: &str = "DELETE FROM signing_keys WHERE number = $1";

impl Store {
    /// The earliest first.
    pub(crate) async fn signing_keys(&self) -> Result<Loaded<SigningKeyRow>, Error> {
        let raw = rows!(self, "signing_keys", sqlx::query(ALL));
        let read = |raw: Result<RawSigningKey, Unread>| from_raw(raw?);
        Ok(Loaded::collect(raw.into_iter().map(read)))
    }

    /// `Error::Duplicate` if another node was faster, `Error::Stale` if the key-encryption key is
    /// not the active one any more.
    pub(crate) async fn insert_signing_key(&self, key: &SigningKeyRow) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        let wrapped = self.count_wrap_in(&mut tx, key.kek_id).await?;
        changing!(
            &mut tx,
            sqlx::query(INSERT)
                .bind(key.number)
                .bind(key.kek_id.to_string())
                .bind(key.sealed.as_slice())
                .bind(key.created_at)
        )?;
        self.commit_counted(tx, wrapped).await
    }

    /// The same key under another key-encryption key. False if it hangs on `former` no more.
    pub(crate) async fn reseal_signing_key(
        &self,
        key: &SigningKeyRow,
        former: Uuid,
    ) -> Result<bool, Error> {
        let mut tx = self.begin().await?;
        let wrapped = self.count_wrap_in(&mut tx, key.kek_id).await?;
        let changed = changing!(
            &mut tx,
            sqlx::query(RESEAL)
                .bind(key.kek_id.to_string())
                .bind(key.sealed.as_slice())
                .bind(key.number)
                .bind(former.to_string())
        )?;
        self.commit_counted(tx, wrapped).await?;
        Ok(changed > 0)
    }

    pub(crate) async fn drop_signing_key(&self, number: i64) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        changing!(&mut tx, sqlx::query(DROP).bind(number))?;
        Ok(tx.commit().await?)
    }
}

fn from_raw(raw: RawSigningKey) -> Result<SigningKeyRow, Error> {
    let row = raw.number.to_string();
    let place = Place { table: "signing_keys", row: &row };
    Ok(SigningKeyRow {
        number: raw.number,
        kek_id: place.id("kek_id", &raw.kek_id)?,
        sealed: raw.sealed,
        created_at: raw.created_at,
    })
}
