//! The table `providers`: what operators laid over the catalogue, or added to it. Tells the other
//! nodes of every change.
//! Must never judge an entry: whoever reads it checks it as strictly as settings.

use super::changes::{self, Changed};
use super::dialect::{changing, reading};
use super::{Error, Store};

/// One entry: its members as JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProviderRow {
    pub(crate) id: String,
    pub(crate) members: String,
}

const ALL: &str = "SELECT id, members FROM providers ORDER BY id";
const PUT: &str = "INSERT INTO providers (id, members, updated_at, updated_by)
    VALUES ($1, $2, $3, $4) ON CONFLICT (id) DO UPDATE
    SET members = excluded.members, updated_at = excluded.updated_at,
        updated_by = excluded.updated_by";
const DROP: &str = "DELETE FROM providers WHERE id = $1";

impl Store {
    /// By id.
    pub(crate) async fn providers(&self) -> Result<Vec<ProviderRow>, Error> {
        let raw: Vec<(String, String)> = reading!(self, db => sqlx::query_as(ALL).fetch_all(db))?;
        Ok(raw.into_iter().map(|(id, members)| ProviderRow { id, members }).collect())
    }

    pub(crate) async fn put_provider(&self, row: &ProviderRow, by: &str) -> Result<(), Error> {
        let now_ms = self.clock.unix_ms();
        let mut tx = self.begin().await?;
        let (id, members) = (row.id.as_str(), row.members.as_str());
        changing!(&mut tx, sqlx::query(PUT).bind(id).bind(members).bind(now_ms).bind(by))?;
        changes::tell(&mut tx, Changed::Providers).await?;
        Ok(tx.commit().await?)
    }

    /// False where there is none.
    pub(crate) async fn drop_provider(&self, id: &str) -> Result<bool, Error> {
        let mut tx = self.begin().await?;
        let dropped = changing!(&mut tx, sqlx::query(DROP).bind(id))?;
        changes::tell(&mut tx, Changed::Providers).await?;
        tx.commit().await?;
        Ok(dropped > 0)
    }
}
