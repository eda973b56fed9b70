//! The table `installation`: one row, the identity that every sealed value is bound
//! to. Must never change once it stands: what was sealed under another id does not
//! open.

use uuid::Uuid;

use super::columns::Place;
use super::dialect::{changing, reading, row, row_within};
use super::lenient::Cell;
use super::{Error, Store};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Installation {
    pub(crate) id: Uuid,
    pub(crate) created_at: i64,
}

#[derive(sqlx::FromRow)]
struct RawInstallation {
    id: String,
    created_at: Cell<i64>,
}

const SELECT: &str = "SELECT id, created_at FROM installation";

impl Store {
    pub(crate) async fn installation(&self) -> Result<Option<Installation>, Error> {
        let raw = row!(self, "installation", sqlx::query(SELECT))?;
        raw.map(from_raw).transpose()
    }

    /// Is there nothing that a house could have left? Then what stands was brought by nobody.
    pub(crate) async fn is_blank(&self) -> Result<bool, Error> {
        const ROWS: &str = "SELECT (SELECT COUNT(*) FROM client_keys)
            + (SELECT COUNT(*) FROM keks) + (SELECT COUNT(*) FROM record_blocks)";
        let rows: i64 = reading!(self, db => sqlx::query_scalar(ROWS).fetch_one(db))?;
        Ok(rows == 0)
    }

    /// Answers with the one that stands: of two nodes that start at once, both get the same.
    pub(crate) async fn create_installation(&self, id: Uuid) -> Result<Installation, Error> {
        const INSERT: &str = "INSERT INTO installation (singleton, id, created_at)
            VALUES (1, $1, $2) ON CONFLICT (singleton) DO NOTHING";
        let mut tx = self.begin().await?;
        changing!(&mut tx, sqlx::query(INSERT).bind(id.to_string()).bind(self.clock.unix_ms()))?;
        let raw = row_within!(&mut tx, "installation", sqlx::query(SELECT))?;
        tx.commit().await?;
        raw.ok_or_else(|| sqlx::Error::RowNotFound.into()).and_then(from_raw)
    }
}

fn from_raw(raw: RawInstallation) -> Result<Installation, Error> {
    let place = Place { table: "installation", row: &raw.id };
    Ok(Installation { id: place.id("id", &raw.id)?, created_at: raw.created_at.or(0) })
}
