//! What the migrations make, beside what stands: tables and columns that somebody has dropped, and
//! triggers, columns and indexes that somebody has made or dropped.
//! For `doctor`, and before anything else that looks at rows.
//! Must never mend anything.

use std::collections::BTreeSet;

use sqlx::{Connection, SqliteConnection};
use tokio::sync::OnceCell;

use super::dialect::Pools;
use super::{Error, Store, migrate};

/// Table and column; the same in both dialects.
pub(super) type Schema = BTreeSet<Pair>;
pub(super) type Pair = (String, String);

const SQLITE: &str = "SELECT m.name, c.name FROM sqlite_master m, pragma_table_info(m.name) c
    WHERE m.type = 'table'";
const POSTGRES: &str = "SELECT CAST(table_name AS TEXT), CAST(column_name AS TEXT)
    FROM information_schema.columns WHERE table_schema = current_schema()";

const TRIGGERS_SQLITE: &str = "SELECT name, tbl_name FROM sqlite_master WHERE type = 'trigger'";
const TRIGGERS_POSTGRES: &str = "SELECT CAST(t.tgname AS TEXT), CAST(c.relname AS TEXT)
    FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE NOT t.tgisinternal AND n.nspname = current_schema()";
const INDEXES_SQLITE: &str = "SELECT tbl_name, name FROM sqlite_master
    WHERE type = 'index' AND name NOT LIKE 'sqlite_%'";
const INDEXES_POSTGRES: &str = "SELECT CAST(tablename AS TEXT), CAST(indexname AS TEXT)
    FROM pg_indexes WHERE schemaname = current_schema()";

/// What the migrations make.
struct Wanted {
    columns: Schema,
    indexes: Schema,
}

static WANTED: OnceCell<Wanted> = OnceCell::const_new();

impl Store {
    /// One line for each trigger, and for each column or index that is not as the migrations make
    /// it: the database obeys them before it obeys Sealgate.
    pub(crate) async fn strangers(&self) -> Result<Vec<String>, Error> {
        let wanted = WANTED.get_or_try_init(wanted).await?;
        let (triggers, columns, indexes): (Vec<Pair>, Vec<Pair>, Vec<Pair>) = match &self.pools {
            Pools::Sqlite { readers, .. } => (
                sqlx::query_as(TRIGGERS_SQLITE).fetch_all(readers).await?,
                sqlx::query_as(SQLITE).fetch_all(readers).await?,
                sqlx::query_as(INDEXES_SQLITE).fetch_all(readers).await?,
            ),
            Pools::Postgres(pool) => (
                sqlx::query_as(TRIGGERS_POSTGRES).fetch_all(pool).await?,
                sqlx::query_as(POSTGRES).fetch_all(pool).await?,
                sqlx::query_as(INDEXES_POSTGRES).fetch_all(pool).await?,
            ),
        };
        let mut lines = Vec::new();
        for (name, table) in triggers {
            lines.push(format!(
                "the table {} has a trigger {:?} that Sealgate did not make: changes may be undone \
                 or altered by it, revocations among them; drop it, and find out who made it",
                shown(&table),
                shown(&name)
            ));
        }
        let ours: BTreeSet<&str> = wanted.columns.iter().map(|(table, _)| &**table).collect();
        let is_strange = |pair: &&Pair| ours.contains(&*pair.0) && !wanted.columns.contains(*pair);
        for (table, column) in columns.iter().filter(is_strange) {
            lines.push(format!(
                "the table {table} has a column {:?} that Sealgate did not make; drop it",
                shown(column)
            ));
        }
        let indexes: Schema = indexes.into_iter().collect();
        for (table, index) in wanted.indexes.difference(&indexes) {
            lines.push(format!("the index {index} of the table {table} is missing; {REMEDY}"));
        }
        Ok(lines)
    }

    /// One line for each table or column that is not there.
    pub(crate) async fn lacking(&self) -> Result<Vec<String>, Error> {
        let wanted = &WANTED.get_or_try_init(wanted).await?.columns;
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

fn shown(name: &str) -> String {
    name.chars().take(100).collect()
}

/// Table and column, as the migrations make them: nobody else's name gets into a statement.
pub(super) async fn ours() -> Result<&'static Schema, Error> {
    Ok(&WANTED.get_or_try_init(wanted).await?.columns)
}

/// In a database that is gone with this call.
async fn wanted() -> Result<Wanted, Error> {
    let mut scratch = SqliteConnection::connect("sqlite::memory:").await?;
    migrate::sqlite(&mut scratch, "a scratch database", None).await?;
    let made: Vec<(String, String)> = sqlx::query_as(SQLITE).fetch_all(&mut scratch).await?;
    let indexes: Vec<Pair> = sqlx::query_as(INDEXES_SQLITE).fetch_all(&mut scratch).await?;
    scratch.close().await?;
    let columns = made.into_iter().filter(|(table, _)| !table.starts_with("sqlite_")).collect();
    Ok(Wanted { columns, indexes: indexes.into_iter().collect() })
}
