//! What the migrations make, beside what stands: tables and columns that somebody has dropped.
//! For `doctor`, and before anything else that looks at rows.
//! Must never mend anything.

use std::collections::BTreeSet;

use sqlx::{Connection, SqliteConnection};
use tokio::sync::OnceCell;

use super::dialect::Pools;
use super::{Error, Store, migrate};

/// Table and column; the same in both dialects.
type Schema = BTreeSet<(String, String)>;

const SQLITE: &str = "SELECT m.name, c.name FROM sqlite_master m, pragma_table_info(m.name) c
    WHERE m.type = 'table'";
const POSTGRES: &str = "SELECT CAST(table_name AS TEXT), CAST(column_name AS TEXT)
    FROM information_schema.columns WHERE table_schema = current_schema()";

impl Store {
    /// One line for each table or column that is not there.
    pub(crate) async fn lacking(&self) -> Result<Vec<String>, Error> {
        static WANTED: OnceCell<Schema> = OnceCell::const_new();
        let wanted = WANTED.get_or_try_init(wanted).await?;
        let found: Vec<(String, String)> = match &self.pools {
            Pools::Sqlite { readers, .. } => sqlx::query_as(SQLITE).fetch_all(readers).await?,
            Pools::Postgres(pool) => sqlx::query_as(POSTGRES).fetch_all(pool).await?,
        };
        let found: Schema = found.into_iter().collect();
        let tables: BTreeSet<&str> = found.iter().map(|(table, _)| table.as_str()).collect();
        let missing = wanted.difference(&found).map(|(table, column)| {
            if tables.contains(table.as_str()) {
                format!("the column {column} of the table {table} is missing; {REMEDY}")
            } else {
                format!("the table {table} is missing; {REMEDY}")
            }
        });
        Ok(missing.collect::<BTreeSet<_>>().into_iter().collect())
    }
}

impl Store {
    /// Could a house be brought back into it?
    pub(crate) async fn demand_whole(&self) -> Result<(), Error> {
        self.check_integrity().await?;
        match self.lacking().await?.into_iter().next() {
            None => Ok(()),
            Some(fault) => Err(Error::Lacking { fault }),
        }
    }
}

const REMEDY: &str = "somebody dropped it outside Sealgate: stop the server and restore a backup";

/// In a database that is gone with this call.
async fn wanted() -> Result<Schema, Error> {
    let mut scratch = SqliteConnection::connect("sqlite::memory:").await?;
    migrate::sqlite(&mut scratch, "a scratch database", None).await?;
    let made: Vec<(String, String)> = sqlx::query_as(SQLITE).fetch_all(&mut scratch).await?;
    scratch.close().await?;
    Ok(made.into_iter().filter(|(table, _)| !table.starts_with("sqlite_")).collect())
}
