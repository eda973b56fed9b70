//! The table `alert_destinations`: who is told of alerts. What a destination is, its secret
//! included, lies in an envelope that binds the whole row; its key comes from the vault and goes
//! with it. Must never show what lies in it to whoever has the database alone.

use uuid::Uuid;

use super::columns::Place;
use super::dialect::{changing, row, rows};
use super::lenient::Unread;
use super::{Error, RowKey, Store};
use crate::crypto::{self, Aad, CryptoError, Layer, Parent, hmac_sha256, label};
use crate::secret::{Key, SecretBytes};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DestinationRow {
    pub(crate) id: Uuid,
    pub(crate) name: String,
    pub(crate) sealed: Vec<u8>,
    pub(crate) created_at: i64,
    pub(crate) created_by: String,
    pub(crate) updated_at: i64,
}

#[derive(sqlx::FromRow)]
struct RawDestination {
    id: String,
    name: String,
    sealed: Vec<u8>,
    created_at: i64,
    created_by: String,
    updated_at: i64,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, name, sealed, created_at, created_by, updated_at FROM alert_destinations ",
            $rest
        )
    };
}

const INSERT: &str = "INSERT INTO alert_destinations
    (id, name, sealed, created_at, created_by, updated_at) VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT DO NOTHING";
const UPDATE: &str = "UPDATE alert_destinations SET name = $2, sealed = $3, updated_at = $4
    WHERE id = $1 AND NOT EXISTS
        (SELECT 1 FROM alert_destinations o WHERE o.name = $2 AND o.id <> $1)";
const DELETE: &str = "DELETE FROM alert_destinations WHERE id = $1";

impl Store {
    /// False where another one has that name.
    pub(crate) async fn add_destination(&self, row: &DestinationRow) -> Result<bool, Error> {
        let mut tx = self.begin().await?;
        let added = changing!(
            &mut tx,
            sqlx::query(INSERT)
                .bind(row.id.to_string())
                .bind(row.name.as_str())
                .bind(row.sealed.as_slice())
                .bind(row.created_at)
                .bind(row.created_by.as_str())
                .bind(row.updated_at)
        )?;
        tx.commit().await?;
        Ok(added > 0)
    }

    /// False where another one has that name, or where it is gone.
    pub(crate) async fn change_destination(&self, row: &DestinationRow) -> Result<bool, Error> {
        let mut tx = self.begin().await?;
        let changed = changing!(
            &mut tx,
            sqlx::query(UPDATE)
                .bind(row.id.to_string())
                .bind(row.name.as_str())
                .bind(row.sealed.as_slice())
                .bind(row.updated_at)
        )?;
        tx.commit().await?;
        Ok(changed > 0)
    }

    /// With all that it was still to be told.
    pub(crate) async fn drop_destination(&self, id: Uuid) -> Result<bool, Error> {
        let mut tx = self.begin().await?;
        let gone = changing!(&mut tx, sqlx::query(DELETE).bind(id.to_string()))?;
        tx.commit().await?;
        Ok(gone > 0)
    }

    /// By id. One that cannot be read hides no other.
    pub(crate) async fn destinations(&self) -> Result<Vec<DestinationRow>, Error> {
        const ALL: &str = select!("ORDER BY id");
        let raw: Vec<Result<RawDestination, Unread>> =
            rows!(self, "alert_destinations", sqlx::query(ALL));
        Ok(raw.into_iter().filter_map(|raw| from_raw(raw.ok()?).ok()).collect())
    }

    pub(crate) async fn destination(&self, id: Uuid) -> Result<Option<DestinationRow>, Error> {
        const ONE: &str = select!("WHERE id = $1");
        let raw = row!(self, "alert_destinations", sqlx::query(ONE).bind(id.to_string()))?;
        raw.map(from_raw).transpose()
    }

    /// Those that are not as Sealgate left them, as this key judges.
    pub(crate) async fn unfit_destinations(&self, key: &RowKey) -> Result<Vec<String>, Error> {
        const ALL: &str = select!("ORDER BY id");
        let RowKey::Here(key) = key else { return Ok(Vec::new()) };
        let raw: Vec<Result<RawDestination, Unread>> =
            rows!(self, "alert_destinations", sqlx::query(ALL));
        let unfit = |raw: Result<RawDestination, Unread>| {
            let row = match raw.map_err(Error::from).and_then(from_raw) {
                Ok(row) => row,
                Err(fault) => return Some(format!("{fault} Nobody is told by it.")),
            };
            let shown = row.id;
            opened(key, &row).err().map(|_| {
                format!(
                    "the row {shown} of the table alert_destinations is not as Sealgate left it, \
                     so nobody is told of alerts by it; `sealgate alert destinations remove \
                     {shown}`, and add it anew"
                )
            })
        };
        Ok(raw.into_iter().filter_map(unfit).collect())
    }

    /// The row with what it is, as it may be stored.
    pub(crate) fn sealed_destination(
        &self,
        mut row: DestinationRow,
        plain: &SecretBytes,
    ) -> Result<DestinationRow, CryptoError> {
        let RowKey::Here(key) = &*self.row_key() else { return Err(CryptoError::WrongParent) };
        let key = derived(key);
        let layer = Layer::AlertDestination;
        row.sealed = crypto::seal(parent(&key), layer, &aad(&row), plain.expose())?;
        Ok(row)
    }

    pub(crate) fn opened_destination(
        &self,
        row: &DestinationRow,
    ) -> Result<SecretBytes, CryptoError> {
        let RowKey::Here(key) = &*self.row_key() else { return Err(CryptoError::WrongParent) };
        opened(key, row)
    }

    /// By which it is known that a recipient has a delivery, though none stands in the database.
    /// None: sealed.
    pub(crate) fn recipient_mark(&self, delivery: Uuid, mailbox: &str) -> Option<String> {
        let RowKey::Here(key) = &*self.row_key() else { return None };
        let parts = [delivery.as_bytes().as_slice(), mailbox.as_bytes()];
        let mark = hmac_sha256(&derived(key), &parts);
        Some(mark.iter().take(8).map(|byte| format!("{byte:02x}")).collect())
    }
}

fn opened(key: &Key, row: &DestinationRow) -> Result<SecretBytes, CryptoError> {
    let key = derived(key);
    crypto::open(parent(&key), Layer::AlertDestination, &aad(row), &row.sealed)
}

fn derived(key: &Key) -> Key {
    Key::copy_of(&hmac_sha256(key, &[label::ALERT_DESTINATION]))
}

fn parent(key: &Key) -> Parent<'_> {
    Parent { id: crypto::key_id(key, label::ALERT_DESTINATION), key }
}

/// Over the rest of the row.
fn aad(row: &DestinationRow) -> Aad {
    Aad::new("alert-destination")
        .with(row.id.as_bytes())
        .with(row.name.as_bytes())
        .with(&row.created_at.to_be_bytes())
        .with(row.created_by.as_bytes())
        .with(&row.updated_at.to_be_bytes())
}

fn from_raw(raw: RawDestination) -> Result<DestinationRow, Error> {
    let place = Place { table: "alert_destinations", row: &raw.id };
    Ok(DestinationRow {
        id: place.id("id", &raw.id)?,
        name: raw.name,
        sealed: raw.sealed,
        created_at: raw.created_at,
        created_by: raw.created_by,
        updated_at: raw.updated_at,
    })
}
