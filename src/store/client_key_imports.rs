//! Keys of older systems taken over into `client_keys` and `client_key_hashes`, many in one
//! transaction. A digest that is known already refuses its own line alone. Must never put a preview
//! beside such a digest: its absence says that a key was imported.

use super::changes::{self, Changed};
use super::client_key_row::ClientKeyRow;
use super::client_keys;
use super::dialect::{changing, reading};
use super::{Error, Store};

/// One key of an older system: what it may do, and the digest that proves it.
pub(crate) struct ImportedKey {
    pub(crate) row: ClientKeyRow,
    pub(crate) digest: [u8; 32],
}

const INSERT: &str = "INSERT INTO client_key_hashes
    (key_hash, client_key_id, key_preview, created_at, valid_until)
    VALUES ($1, $2, NULL, $3, NULL) ON CONFLICT (key_hash) DO NOTHING";
const HAS_IMPORTED: &str = "SELECT CAST(COUNT(*) AS BIGINT) FROM
    (SELECT client_key_id FROM client_key_hashes WHERE key_preview IS NULL LIMIT 1) AS one";

impl Store {
    /// One answer each: false where the digest is known already.
    pub(crate) async fn import_client_keys(
        &self,
        keys: &[ImportedKey],
    ) -> Result<Vec<bool>, Error> {
        let mut tx = self.begin().await?;
        let mut taken = Vec::with_capacity(keys.len());
        for key in keys {
            // The row comes first, because the digest refers to it.
            client_keys::insert(&mut tx, &key.row).await?;
            let inserted = changing!(
                &mut tx,
                sqlx::query(INSERT)
                    .bind(key.digest.as_slice())
                    .bind(key.row.id.to_string())
                    .bind(key.row.created_at)
            )?;
            if inserted == 0 {
                client_keys::delete(&mut tx, key.row.id).await?;
            } else {
                self.seal_row(&mut tx, &key.row.id.to_string()).await?;
            }
            taken.push(inserted > 0);
        }
        changes::tell(&mut tx, Changed::NewClientKeys).await?;
        tx.commit().await?;
        Ok(taken)
    }

    /// Is there any key of an older system?
    pub(crate) async fn has_imported_client_keys(&self) -> Result<bool, Error> {
        let count: i64 = reading!(self, db => sqlx::query_scalar(HAS_IMPORTED).fetch_one(db))?;
        Ok(count > 0)
    }
}
