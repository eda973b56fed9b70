//! The table `inventories`: for each category a sealed list of what it holds, numbered by epochs.
//! A change of secrets writes the next epoch in its own transaction, so that two changes at once
//! cannot both build on the same one. Must never know what is in a list.

use uuid::Uuid;

use super::columns::{Place, signed};
#[cfg(test)]
use super::dialect::row;
use super::dialect::{Tx, changing, rows, rows_within};
use super::lenient::Unread;
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

/// A category's row as it stands, whether it can be read or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) category: String,
    /// Its epoch as the column holds it; whoever replaces the row names it. One that is no number
    /// is the highest.
    pub(crate) mark: i64,
    pub(crate) row: Result<InventoryRow, Error>,
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
    WHERE category = $4 AND (epoch = $5 OR ($5 = 9223372036854775807 AND epoch > $5))";

impl Store {
    pub(crate) async fn inventories(&self) -> Result<Loaded<InventoryRow>, Error> {
        let raw = rows!(self, "inventories", sqlx::query(ALL));
        let read = |raw: Result<RawInventory, Unread>| from_raw(raw?);
        Ok(Loaded::collect(raw.into_iter().map(read)))
    }

    #[cfg(test)]
    pub(crate) async fn inventory(&self, category: &str) -> Result<Option<InventoryRow>, Error> {
        let raw = row!(self, "inventories", sqlx::query(ONE).bind(category))?;
        raw.map(from_raw).transpose()
    }

    /// The next epoch, with no secret changed. `Error::Stale` if somebody else wrote it first.
    pub(crate) async fn put_inventory(&self, next: &InventoryRow) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        put(&mut tx, next).await?;
        let wrapped = self.count_list_in(&mut tx, next.kek_id).await?;
        self.commit_counted(tx, wrapped).await
    }

    /// Every row, those included that contradict the model.
    pub(crate) async fn lists(&self) -> Result<Vec<Listed>, Error> {
        Ok(rows!(self, "inventories", sqlx::query(ALL)).into_iter().map(listed).collect())
    }

    pub(crate) async fn list_of(&self, category: &str) -> Result<Option<Listed>, Error> {
        let raw = rows!(self, "inventories", sqlx::query(ONE).bind(category));
        Ok(raw.into_iter().next().map(listed))
    }

    /// One of a category that has neither a key nor a secret.
    pub(crate) async fn drop_stray_inventory(&self, category: &str) -> Result<(), Error> {
        const DROP: &str = "DELETE FROM inventories WHERE CAST(category AS TEXT) = $1
            AND NOT EXISTS (SELECT 1 FROM keks WHERE category = $1)
            AND NOT EXISTS (SELECT 1 FROM secrets WHERE category = $1)";
        let mut tx = self.begin().await?;
        changing!(&mut tx, sqlx::query(DROP).bind(category))?;
        Ok(tx.commit().await?)
    }

    /// In the place of a row that cannot be used, or of one that is not there; whatever the new
    /// epoch is. `Error::Stale` if it is not there any more, or there by now.
    pub(crate) async fn replace_inventory(
        &self,
        next: &InventoryRow,
        mark: Option<i64>,
    ) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        let written = match mark {
            Some(mark) => update(&mut tx, next, mark).await?,
            None => insert(&mut tx, next).await?,
        };
        if written == 0 {
            return Err(Error::Stale);
        }
        let wrapped = self.count_list_in(&mut tx, next.kek_id).await?;
        self.commit_counted(tx, wrapped).await
    }
}

/// The same as `lists`, at the moment of this transaction.
pub(super) async fn all(tx: &mut Tx) -> Result<Vec<Listed>, Error> {
    let raw = rows_within!(tx, "inventories", sqlx::query(ALL));
    Ok(raw.into_iter().map(listed).collect())
}

/// Writes epoch n over epoch n-1 and over no other.
pub(super) async fn put(tx: &mut Tx, next: &InventoryRow) -> Result<(), Error> {
    let written = match signed(next.epoch) - 1 {
        0 => insert(tx, next).await?,
        former => update(tx, next, former).await?,
    };
    if written == 0 { Err(Error::Stale) } else { Ok(()) }
}

/// The first one of a category, of whatever epoch. `Error::Stale` if there is one.
pub(super) async fn begin(tx: &mut Tx, first: &InventoryRow) -> Result<(), Error> {
    if insert(tx, first).await? == 0 { Err(Error::Stale) } else { Ok(()) }
}

async fn insert(tx: &mut Tx, next: &InventoryRow) -> Result<u64, Error> {
    Ok(changing!(
        tx,
        sqlx::query(INSERT)
            .bind(next.category.as_str())
            .bind(signed(next.epoch))
            .bind(next.kek_id.to_string())
            .bind(next.sealed.as_slice())
    )?)
}

async fn update(tx: &mut Tx, next: &InventoryRow, former: i64) -> Result<u64, Error> {
    Ok(changing!(
        tx,
        sqlx::query(UPDATE)
            .bind(signed(next.epoch))
            .bind(next.kek_id.to_string())
            .bind(next.sealed.as_slice())
            .bind(next.category.as_str())
            .bind(former)
    )?)
}

fn listed(raw: Result<RawInventory, Unread>) -> Listed {
    match raw {
        Ok(raw) => Listed { category: raw.category.clone(), mark: raw.epoch, row: from_raw(raw) },
        Err(unread) => Listed {
            category: unread.text(0),
            mark: unread.text(1).parse().unwrap_or(i64::MAX),
            row: Err(unread.fault),
        },
    }
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
