//! All that lasts, as plain rows: read in one consistent snapshot, and loaded in one transaction
//! into either dialect. Knows tables and columns, not what they mean. Must never put a value into
//! the text of a statement; names come from the list below and from the catalogue alone.

use sqlx::{AssertSqlSafe, Row};

use super::dialect::{Pools, Tx, changing, reading, within};
use super::market_data::make_months;
use super::{Error, Store, leases};

/// A cell as a value of a statement; a null of the column's own type.
macro_rules! bind {
    ($query:expr, $cell:expr, $kind:expr) => {
        match ($cell, $kind) {
            (Cell::Null, Kind::Integer) => $query.bind(None::<i64>),
            (Cell::Null, Kind::Text) => $query.bind(None::<String>),
            (Cell::Null, Kind::Bytes) => $query.bind(None::<Vec<u8>>),
            (Cell::Integer(number), _) => $query.bind(number),
            (Cell::Text(text), _) => $query.bind(text),
            (Cell::Bytes(bytes), _) => $query.bind(bytes),
        }
    };
}

macro_rules! cells {
    ($row:expr, $kinds:expr) => {
        $kinds
            .iter()
            .enumerate()
            .map(|(at, kind)| {
                Ok(match kind {
                    Kind::Integer => $row.try_get::<Option<i64>, _>(at)?.map(Cell::Integer),
                    Kind::Text => $row.try_get::<Option<String>, _>(at)?.map(Cell::Text),
                    Kind::Bytes => $row.try_get::<Option<Vec<u8>>, _>(at)?.map(Cell::Bytes),
                }
                .unwrap_or(Cell::Null))
            })
            .collect::<Result<Vec<Cell>, sqlx::Error>>()
    };
}

/// One column of one row, the same in both dialects.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Cell {
    Null,
    Integer(i64),
    Text(String),
    Bytes(Vec<u8>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Integer,
    Text,
    Bytes,
}

/// A table, its primary key, and how many of its rows are read at once.
pub(crate) struct Archived {
    pub(crate) name: &'static str,
    key: &'static [&'static str],
    page: i64,
}

/// What a backup holds, parents before children.
pub(crate) const ARCHIVED: &[Archived] = &[
    Archived { name: "installation", key: &["singleton"], page: 1 },
    Archived { name: "client_keys", key: &["id"], page: 500 },
    Archived { name: "client_key_hashes", key: &["key_hash"], page: 500 },
    Archived { name: "keks", key: &["id"], page: 500 },
    Archived { name: "secrets", key: &["id"], page: 500 },
    Archived { name: "secret_versions", key: &["secret_id", "version"], page: 50 },
    Archived { name: "secret_places", key: &["secret_id"], page: 500 },
    Archived { name: "inventories", key: &["category"], page: 50 },
    Archived { name: "key_jobs", key: &["id"], page: 500 },
    Archived { name: "monthly_calls", key: &["client_id"], page: 500 },
    Archived { name: "recent_calls", key: &["node", "end_at", "client_id"], page: 500 },
    Archived { name: "counted_records", key: &["node"], page: 50 },
    Archived { name: "providers", key: &["id"], page: 500 },
    Archived { name: "provider_list", key: &["singleton"], page: 1 },
    Archived { name: "operators", key: &["id"], page: 500 },
    Archived { name: "alert_destinations", key: &["id"], page: 500 },
    Archived { name: "client_addresses", key: &["client_id", "address"], page: 500 },
    Archived {
        name: "client_routes",
        key: &["client_id", "node", "provider", "method", "path"],
        page: 500,
    },
    Archived {
        name: "repeated_calls",
        key: &["client_id", "node", "day", "secret_id", "provider", "path"],
        page: 500,
    },
    Archived { name: "symbols", key: &["id"], page: 500 },
    Archived { name: "market_data", key: &["symbol_id", "span", "time"], page: 500 },
    Archived { name: "market_series", key: &["symbol_id", "span"], page: 500 },
    Archived { name: "backfill_history", key: &["id"], page: 500 },
    Archived { name: "backfill_parts", key: &["run_id", "symbol_id"], page: 500 },
    // A block may be a mebibyte.
    Archived { name: "record_blocks", key: &["node", "first_sequence"], page: 8 },
    Archived { name: "record_marks", key: &["node", "first_sequence"], page: 100 },
    Archived {
        name: "usage_rollups",
        key: &["bucket", "dimension", "start", "name", "node"],
        page: 500,
    },
    Archived { name: "record_checkpoints", key: &["node", "last_sequence"], page: 500 },
    Archived { name: "record_archives", key: &["node", "first_sequence"], page: 500 },
];

/// Of this house and this moment alone: repeats of calls, turns, what opens the old master key, tokens and
/// what signs them, who is signed in, what providers said of keys when they were asked last, what is
/// amiss and who is still to be told of it.
#[cfg(test)]
pub(super) const LEFT_OUT: &[&str] = &[
    "alert_deliveries",
    "alert_nodes",
    "alert_places",
    "alerts",
    "change_revision",
    "changes",
    "client_tokens",
    "idempotency",
    "leases",
    "master_passphrases",
    "nodes",
    "operator_sessions",
    "renewals",
    "rotations",
    "secret_checks",
    "secret_health",
    "signing_keys",
];

/// One moment of the database; others go on writing.
pub(crate) struct Snapshot(pub(super) Tx);

/// Rows on their way in; nothing stands before `commit`, nothing is left without it.
pub(crate) struct Loading(Tx);

struct Columns(Vec<(String, Kind)>);

impl Store {
    pub(crate) async fn snapshot(&self) -> Result<Snapshot, Error> {
        const MOMENT: &str = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY";
        let mut tx = match &self.pools {
            Pools::Sqlite { readers, .. } => Tx::Sqlite(readers.begin().await?),
            Pools::Postgres(pool) => Tx::Postgres(pool.begin().await?),
        };
        if let Tx::Postgres(tx) = &mut tx {
            sqlx::query(MOMENT).execute(&mut **tx).await?;
        }
        Ok(Snapshot(tx))
    }

    /// Empties every archived table first, within the same transaction.
    pub(crate) async fn load(&self) -> Result<Loading, Error> {
        let mut tx = self.begin().await?;
        changing!(&mut tx, sqlx::query("DELETE FROM signing_keys"))?;
        // Of the house that was: the trail that comes in was read there.
        changing!(&mut tx, sqlx::query("DELETE FROM alerts"))?;
        changing!(&mut tx, sqlx::query("DELETE FROM alert_places"))?;
        changing!(&mut tx, sqlx::query("DELETE FROM alert_nodes"))?;
        for table in ARCHIVED.iter().rev() {
            let sql = format!("DELETE FROM {}", table.name);
            changing!(&mut tx, sqlx::query(AssertSqlSafe(sql)))?;
        }
        changing!(&mut tx, sqlx::query("DELETE FROM idempotency"))?;
        Ok(Loading(tx))
    }

    /// Would a restore destroy anything? What `init` makes by itself is nothing.
    pub(crate) async fn is_fresh(&self) -> Result<bool, Error> {
        const USED: &str = "SELECT (SELECT COUNT(*) FROM secrets)
            + (SELECT COUNT(*) FROM client_keys WHERE created_by <> 'house')
            + (SELECT COUNT(*) FROM operators)";
        let used: i64 = reading!(self, db => sqlx::query_scalar(USED).fetch_one(db))?;
        Ok(used == 0)
    }
}

impl Snapshot {
    /// How many rows it has at this moment.
    pub(crate) async fn count(&mut self, table: &Archived) -> Result<u64, Error> {
        let sql = format!("SELECT COUNT(*) FROM {}", table.name);
        let count: i64 = within!(&mut self.0, db => {
            sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(db)
        })?;
        Ok(count.unsigned_abs())
    }

    pub(crate) async fn columns(&mut self, table: &Archived) -> Result<Vec<String>, Error> {
        let columns = columns(&mut self.0, table.name).await?;
        Ok(columns.0.into_iter().map(|(name, _)| name).collect())
    }

    /// The rows that follow one in the order of the key; the first ones where there is none.
    pub(crate) async fn page(
        &mut self,
        table: &Archived,
        after: Option<&[Cell]>,
    ) -> Result<Vec<Vec<Cell>>, Error> {
        let columns = columns(&mut self.0, table.name).await?;
        let key = table.key.join(", ");
        let marks = |from: usize| {
            let marks: Vec<String> =
                (from..from + table.key.len()).map(|n| format!("${n}")).collect();
            marks.join(", ")
        };
        let (name, listed) = (table.name, columns.listed());
        let sql = match after {
            Some(_) => format!(
                "SELECT {listed} FROM {name} WHERE ({key}) > ({}) ORDER BY {key} LIMIT {}",
                marks(1),
                table.page
            ),
            None => format!("SELECT {listed} FROM {name} ORDER BY {key} LIMIT {}", table.page),
        };
        let after: Vec<Cell> = match after {
            Some(row) => table.key.iter().filter_map(|key| columns.cell(row, key)).collect(),
            None => Vec::new(),
        };
        let kinds: Vec<Kind> = columns.0.iter().map(|(_, kind)| *kind).collect();
        within!(&mut self.0, db => async {
            let mut query = sqlx::query(AssertSqlSafe(sql));
            for cell in after {
                query = bind!(query, cell, Kind::Text);
            }
            let rows = query.fetch_all(db).await?;
            let cells = rows.iter().map(|row| cells!(row, kinds));
            Ok::<_, Error>(cells.collect::<Result<_, sqlx::Error>>()?)
        })
    }
}

impl Loading {
    /// Columns that the table does not have are an error of the statement.
    pub(crate) async fn rows(
        &mut self,
        table: &Archived,
        named: &[String],
        rows: Vec<Vec<Cell>>,
    ) -> Result<(), Error> {
        let columns = columns(&mut self.0, table.name).await?;
        let unknown = |fault: String| Error::Failed { fault };
        let mut kinds = Vec::with_capacity(named.len());
        for name in named {
            let known = columns.0.iter().find(|(known, _)| known == name);
            let fault = || unknown(format!("table {} has no column {name:?}", table.name));
            kinds.push(known.ok_or_else(fault)?.1);
        }
        let marks: Vec<String> = (1..=named.len()).map(|number| format!("${number}")).collect();
        let (listed, marks) = (named.join(", "), marks.join(", "));
        if table.name == "market_data" {
            let at = named.iter().position(|name| name == "time");
            let time = |row: &Vec<Cell>| match row.get(at?)? {
                Cell::Integer(time) => Some(*time),
                Cell::Null | Cell::Text(_) | Cell::Bytes(_) => None,
            };
            make_months(&mut self.0, rows.iter().filter_map(time)).await?;
        }
        let sql = format!("INSERT INTO {} ({listed}) VALUES ({marks})", table.name);
        for row in rows {
            if row.len() != named.len() {
                return Err(unknown(format!("a row of {} has too few columns", table.name)));
            }
            let sql = AssertSqlSafe(sql.as_str());
            within!(&mut self.0, db => async {
                let mut query = sqlx::query(sql);
                for (cell, kind) in row.into_iter().zip(&kinds) {
                    query = bind!(query, cell, *kind);
                }
                query.execute(db).await.map(|_| ())
            })?;
        }
        Ok(())
    }

    /// By this mark whoever comes later tells that these rows were committed.
    pub(crate) async fn is_restore(&mut self, mark: &str, now_ms: i64) -> Result<(), Error> {
        leases::note_restore(&mut self.0, mark, now_ms).await
    }

    pub(crate) async fn commit(mut self) -> Result<(), Error> {
        // Numbers that PostgreSQL gives out by itself go on behind those that came in.
        const NEXT: &str = "SELECT setval(pg_get_serial_sequence('symbols', 'id'),
            COALESCE((SELECT MAX(id) FROM symbols), 0) + 1, false)";
        if let Tx::Postgres(tx) = &mut self.0 {
            sqlx::query(NEXT).execute(&mut **tx).await?;
        }
        Ok(self.0.commit().await?)
    }
}

impl Columns {
    fn listed(&self) -> String {
        self.0.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ")
    }

    fn cell(&self, row: &[Cell], name: &str) -> Option<Cell> {
        let at = self.0.iter().position(|(known, _)| known == name)?;
        row.get(at).cloned()
    }
}

async fn columns(tx: &mut Tx, table: &str) -> Result<Columns, Error> {
    const SQLITE: &str = "SELECT name, type FROM pragma_table_info($1) ORDER BY cid";
    const POSTGRES: &str = "SELECT CAST(column_name AS TEXT), CAST(data_type AS TEXT)
        FROM information_schema.columns
        WHERE table_schema = current_schema() AND table_name = $1 ORDER BY ordinal_position";
    let found: Vec<(String, String)> = match tx {
        Tx::Sqlite(tx) => sqlx::query_as(SQLITE).bind(table).fetch_all(&mut **tx).await?,
        Tx::Postgres(tx) => sqlx::query_as(POSTGRES).bind(table).fetch_all(&mut **tx).await?,
    };
    let column = |(name, kind): (String, String)| {
        let kind = match kind.as_str() {
            "INTEGER" | "bigint" => Kind::Integer,
            "TEXT" | "text" => Kind::Text,
            "BLOB" | "bytea" => Kind::Bytes,
            other => {
                let fault = format!("column {name} of {table} has the unknown type {other}");
                return Err(Error::Failed { fault });
            }
        };
        Ok((name, kind))
    };
    Ok(Columns(found.into_iter().map(column).collect::<Result<_, Error>>()?))
}
