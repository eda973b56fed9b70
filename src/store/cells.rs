//! Cells that hold what their column cannot: of another class than the schema says, a NULL where
//! there must be something, a text that is none. PostgreSQL keeps such out by itself; SQLite takes
//! them from whoever alters the schema for a moment. For `doctor` and for starts: one line for each
//! row and column, made from the schema, so that none is forgotten. Must never repeat a value.

use sqlx::sqlite::SqlitePool;
use sqlx::{AssertSqlSafe, Row};

use super::columns::Place;
use super::dialect::Pools;
use super::lenient::{Cells, UNREADABLE, interned, shown};
use super::{Error, Store, schema};

/// Tables that grow with every call: their texts are read by whoever reads their rows.
const LONG: [&str; 4] = ["idempotency", "recent_calls", "record_blocks", "record_checkpoints"];
/// What others publish, and far more than all the rest together: a start does not wait for it. The
/// schema keeps its classes, and what is no number there is answered to nobody.
const HISTORY: &str = "market_data";
const AT_ONCE: i64 = 1_000;
/// More than anybody reads; the first are as telling.
const MOST: usize = 100;
const COLUMNS: &str = "SELECT m.name, c.name, c.type, c.\"notnull\", c.pk
    FROM sqlite_master m, pragma_table_info(m.name) c
    WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%' AND m.name <> '_sqlx_migrations'
    ORDER BY m.name, c.cid";

struct Column {
    table: String,
    name: String,
    kind: String,
    may_be_null: bool,
    is_key: bool,
}

impl Store {
    /// One line for each.
    pub(crate) async fn unreadable_cells(&self) -> Result<Vec<String>, Error> {
        let Pools::Sqlite { readers, .. } = &self.pools else { return Ok(Vec::new()) };
        let columns: Vec<(String, String, String, i64, i64)> =
            sqlx::query_as(COLUMNS).fetch_all(readers).await?;
        let column = |(table, name, kind, notnull, pk): (String, String, String, i64, i64)| {
            let may_be_null = notnull == 0 && pk == 0;
            Column { table, name, kind, may_be_null, is_key: pk > 0 }
        };
        let ours = schema::ours().await?;
        let is_ours = |column: &Column| ours.contains(&(column.table.clone(), column.name.clone()));
        let columns: Vec<Column> = columns.into_iter().map(column).filter(is_ours).collect();
        let mut lines = Vec::new();
        for of_table in columns.chunk_by(|one, next| one.table == next.table) {
            let table = of_table.first().map(|first| first.table.as_str()).unwrap_or_default();
            if table == HISTORY {
                continue;
            }
            look(readers, of_table, &mut lines).await?;
            if !LONG.contains(&table) {
                read(readers, of_table, &mut lines).await?;
            }
        }
        lines.truncate(MOST);
        Ok(lines)
    }
}

/// All columns of one table in one pass.
async fn look(
    readers: &SqlitePool,
    columns: &[Column],
    lines: &mut Vec<String>,
) -> Result<(), Error> {
    let Some(first) = columns.first() else { return Ok(()) };
    let table = first.table.as_str();
    let keys: Vec<&str> =
        columns.iter().filter(|column| column.is_key).map(|column| &*column.name).collect();
    let wrong: Vec<String> = columns.iter().map(is_wrong).collect();
    let flags: Vec<String> = wrong.iter().map(|wrong| format!("({wrong})")).collect();
    let sql = format!(
        "SELECT {}, {} FROM {table} WHERE {} LIMIT {MOST}",
        keys.join(", "),
        flags.join(", "),
        flags.join(" OR ")
    );
    let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(readers).await?;
    for row in &rows {
        let key: Vec<String> = (0..keys.len()).map(|at| shown(&row.bytes(at))).collect();
        let key = key.join(" ");
        for (at, column) in columns.iter().enumerate() {
            if row.try_get::<i64, _>(keys.len() + at).unwrap_or(1) != 0 {
                let place = Place { table: interned(table), row: &key };
                lines.push(place.contradiction(interned(&column.name), UNREADABLE).to_string());
            }
        }
    }
    Ok(())
}

/// Which texts are none, their bytes being no UTF-8: the database itself does not tell.
async fn read(
    readers: &SqlitePool,
    columns: &[Column],
    lines: &mut Vec<String>,
) -> Result<(), Error> {
    let Some(first) = columns.first() else { return Ok(()) };
    let table = first.table.as_str();
    let texts: Vec<&Column> = columns.iter().filter(|column| column.kind == "TEXT").collect();
    let keys: Vec<&Column> = columns.iter().filter(|column| column.is_key).collect();
    let listed: Vec<&str> = keys.iter().chain(&texts).map(|column| &*column.name).collect();
    let sql = format!(
        "SELECT rowid, {} FROM {table} WHERE rowid > $1 ORDER BY rowid LIMIT {AT_ONCE}",
        listed.join(", ")
    );
    let mut last = i64::MIN;
    while !texts.is_empty() && lines.len() < MOST {
        let sql = AssertSqlSafe(sql.as_str());
        let rows = sqlx::query(sql).bind(last).fetch_all(readers).await?;
        let Some(end) = rows.last() else { return Ok(()) };
        last = end.try_get(0)?;
        for row in &rows {
            for (at, column) in texts.iter().enumerate() {
                let bytes = row.bytes(1 + keys.len() + at);
                if std::str::from_utf8(&bytes).is_err() {
                    let key: Vec<String> =
                        (1..=keys.len()).map(|at| shown(&row.bytes(at))).collect();
                    let place = Place { table: interned(table), row: &key.join(" ") };
                    let fault = place.contradiction(interned(&column.name), UNREADABLE);
                    lines.push(fault.to_string());
                }
            }
        }
    }
    Ok(())
}

fn is_wrong(column: &Column) -> String {
    let Column { name, kind, may_be_null, .. } = column;
    let class = kind.to_ascii_lowercase();
    let null = if *may_be_null { ", 'null'" } else { "" };
    format!("typeof({name}) NOT IN ('{class}'{null})")
}
