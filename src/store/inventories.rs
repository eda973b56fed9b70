//! The table `inventories`: for each category a sealed list of what it holds, numbered by epochs.
//! A change of secrets writes the next epoch in its own transaction, so that two changes at once
//! cannot both build on the same one. Must never know what is in a list.

use uuid::Uuid;

use super::columns::{Place, signed};
use super::dialect::{Tx, changing, reading};
use super::secrets::Loaded;
use super::{Error, Store};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InventoryRow {
    pub(crate) category: String,
    /// Grows by one with each change; 1 is the first.
    pub(crate) epoch: u64,
    /// The key under which it is sealed.
    pub(crate) kek_id: Uuid,
    pub(crate) sealed: Vec<u8>,
}

#[derive(sqlx::FromRow)]
struct RawInventory {
    category: String,
    epoch: i64,
    kek_id: String,
    sealed: Vec<u8>,
}

const ALL: &str = "SELECT category, epoch, kek_id, sealed FROM inventories ORDER BY category";
const ONE: &str = "SELECT category, epoch, kek_id, sealed FROM inventories WHERE category = $1";
const INSERT: &str = "INSERT INTO inventories (category, epoch, kek_id, sealed)
    VALUES ($1, $2, $3, $4) ON CONFLICT (category) DO NOTHING";
const UPDATE: &str = "UPDATE inventories SET epoch = $1, kek_id = $2, sealed = $3
    WHERE category = $4 AND epoch = $5";
const REPLACE: &str = "UPDATE inventories SET epoch = $1, kek_id = $2, sealed = $3
    WHERE category = $4";

impl Store {
    pub(crate) async fn inventories(&self) -> Result<Loaded<InventoryRow>, Error> {
        let raw: Vec<RawInventory> = reading!(self, db => sqlx::query_as(ALL).fetch_all(db))?;
        Ok(Loaded::collect(raw.into_iter().map(from_raw)))
    }

    pub(crate) async fn inventory(&self, category: &str) -> Result<Option<InventoryRow>, Error> {
        let raw: Option<RawInventory> =
            reading!(self, db => sqlx::query_as(ONE).bind(category).fetch_optional(db))?;
        raw.map(from_raw).transpose()
    }

    /// The next epoch, with no secret changed. `Error::Stale` if somebody else wrote it first.
    pub(crate) async fn put_inventory(&self, next: &InventoryRow) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        put(&mut tx, next).await?;
        Ok(tx.commit().await?)
    }

    /// Begins anew where the one that stands cannot be read; whatever its epoch is.
    pub(crate) async fn replace_inventory(&self, next: &InventoryRow) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        changing!(
            &mut tx,
            sqlx::query(REPLACE)
                .bind(signed(next.epoch))
                .bind(next.kek_id.to_string())
                .bind(next.sealed.as_slice())
                .bind(next.category.as_str())
        )?;
        Ok(tx.commit().await?)
    }
}

/// Writes epoch n over epoch n-1 and over no other.
pub(super) async fn put(tx: &mut Tx, next: &InventoryRow) -> Result<(), Error> {
    let written = if next.epoch == 1 {
        changing!(
            tx,
            sqlx::query(INSERT)
                .bind(next.category.as_str())
                .bind(signed(next.epoch))
                .bind(next.kek_id.to_string())
                .bind(next.sealed.as_slice())
        )?
    } else {
        changing!(
            tx,
            sqlx::query(UPDATE)
                .bind(signed(next.epoch))
                .bind(next.kek_id.to_string())
                .bind(next.sealed.as_slice())
                .bind(next.category.as_str())
                .bind(signed(next.epoch) - 1)
        )?
    };
    if written == 0 { Err(Error::Stale) } else { Ok(()) }
}

fn from_raw(raw: RawInventory) -> Result<InventoryRow, Error> {
    let place = Place { table: "inventories", row: &raw.category };
    Ok(InventoryRow {
        epoch: place.count("epoch", raw.epoch)?,
        kek_id: place.id("kek_id", &raw.kek_id)?,
        category: raw.category,
        sealed: raw.sealed,
    })
}
