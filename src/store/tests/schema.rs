//! Both dialects' migrations must give the same tables, columns, keys, indexes and references.
//! Compared by what each database says of itself.
//! Must never compare the text of the migrations: it differs by design.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::{PgPool, SqlitePool};

use super::{Bed, Pools, on_both};
use crate::store::migrate;

#[derive(Debug, Default, PartialEq, Eq)]
struct Table {
    /// Name, type, nullable, default.
    columns: BTreeSet<(String, &'static str, bool, Option<String>)>,
    primary_key: Vec<String>,
    /// Unique or not, columns in their order.
    indexes: BTreeSet<(bool, Vec<String>)>,
    /// Column, table, column there, deleted together.
    references: BTreeSet<(String, String, String, bool)>,
}

type Schema = BTreeMap<String, Table>;

#[tokio::test]
async fn both_dialects_give_the_same_schema() {
    let (sqlite, postgres) = (Bed::sqlite().await, Bed::postgres().await);
    let Pools::Sqlite { readers, .. } = &sqlite.store.pools else { panic!("not SQLite") };
    let Pools::Postgres(pool) = &postgres.store.pools else { panic!("not PostgreSQL") };
    let (left, right) = (sqlite_schema(readers).await, postgres_schema(pool).await);

    let expected = [
        "alert_deliveries",
        "alert_destinations",
        "alert_nodes",
        "alert_places",
        "alerts",
        "backfill_history",
        "backfill_parts",
        "change_revision",
        "changes",
        "client_addresses",
        "client_key_hashes",
        "client_keys",
        "client_routes",
        "client_tokens",
        "counted_records",
        "idempotency",
        "installation",
        "inventories",
        "keks",
        "key_jobs",
        "leases",
        "market_data",
        "market_series",
        "master_passphrases",
        "monthly_calls",
        "nodes",
        "operator_sessions",
        "operators",
        "provider_list",
        "providers",
        "recent_calls",
        "record_archives",
        "record_blocks",
        "record_checkpoints",
        "record_marks",
        "renewals",
        "repeated_calls",
        "rotations",
        "secret_checks",
        "secret_health",
        "secret_places",
        "secret_versions",
        "secrets",
        "signing_keys",
        "symbols",
        "usage_rollups",
    ];
    assert_eq!(left.keys().collect::<Vec<_>>(), expected);
    assert_eq!(right.keys().collect::<Vec<_>>(), expected);
    for (name, table) in &left {
        assert_eq!(Some(table), right.get(name), "SQLite left, PostgreSQL right: {name}");
    }
}

#[test]
fn migrations_are_numbered_alike_and_without_gaps() {
    let steps = |migrator: &'static sqlx::migrate::Migrator| {
        migrator.iter().map(|step| (step.version, step.description.clone())).collect::<Vec<_>>()
    };
    let (sqlite, postgres) = (steps(&migrate::SQLITE), steps(&migrate::POSTGRES));
    assert_eq!(sqlite, postgres);
    let numbers: Vec<i64> = sqlite.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, (1..=i64::try_from(numbers.len()).unwrap()).collect::<Vec<_>>());
}

async fn the_version_is_the_newest_step(bed: Bed) {
    let newest = migrate::SQLITE.iter().map(|step| step.version).max().unwrap();
    assert_eq!(bed.store.schema_version().await.unwrap(), newest);
}

on_both!(the_version_is_the_newest_step);

async fn sqlite_schema(pool: &SqlitePool) -> Schema {
    const COLUMNS: &str = "SELECT m.name, c.name, c.type, c.\"notnull\", c.dflt_value, c.pk
        FROM sqlite_master m, pragma_table_info(m.name) c
        WHERE m.type = 'table' AND m.name NOT LIKE '\\_%' ESCAPE '\\' AND m.name NOT LIKE 'sqlite%'
        ORDER BY m.name, c.pk";
    const INDEXES: &str = "SELECT l.\"unique\", group_concat(c.name, ',' ORDER BY c.seqno)
        FROM pragma_index_list($1) l, pragma_index_info(l.name) c
        WHERE l.origin <> 'pk' GROUP BY l.name";
    const REFERENCES: &str =
        "SELECT \"from\", \"table\", \"to\", on_delete FROM pragma_foreign_key_list($1)";
    type Column = (String, String, String, bool, Option<String>, i64);
    let mut schema = Schema::new();
    let columns: Vec<Column> = sqlx::query_as(COLUMNS).fetch_all(pool).await.unwrap();
    for (table, name, kind, not_null, default, key) in columns {
        let table = schema.entry(table).or_default();
        table.columns.insert((name.clone(), common_type(&kind), !not_null, default));
        if key > 0 {
            table.primary_key.push(name);
        }
    }
    for (name, table) in &mut schema {
        let indexes: Vec<(bool, String)> =
            sqlx::query_as(INDEXES).bind(name).fetch_all(pool).await.unwrap();
        table.indexes = indexes.into_iter().map(|(unique, list)| (unique, split(&list))).collect();
        let references: Vec<(String, String, String, String)> =
            sqlx::query_as(REFERENCES).bind(name).fetch_all(pool).await.unwrap();
        table.references = references
            .into_iter()
            .map(|(from, to, column, deleted)| (from, to, column, deleted == "CASCADE"))
            .collect();
    }
    schema
}

async fn postgres_schema(pool: &PgPool) -> Schema {
    const COLUMNS: &str = "SELECT table_name::text, column_name::text, data_type::text,
        is_nullable = 'YES', column_default::text FROM information_schema.columns
        WHERE table_schema = 'public' AND table_name NOT LIKE '\\_%'";
    const INDEXES: &str = "SELECT t.relname::text, i.indisprimary, i.indisunique,
        array_to_string(ARRAY(SELECT a.attname FROM unnest(i.indkey) WITH ORDINALITY k (number, n)
            JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = k.number ORDER BY k.n), ',')
        FROM pg_index i JOIN pg_class t ON t.oid = i.indrelid
        JOIN pg_namespace s ON s.oid = t.relnamespace
        WHERE s.nspname = 'public' AND t.relname NOT LIKE '\\_%'";
    const REFERENCES: &str = "SELECT c.conrelid::regclass::text, f.attname::text,
        c.confrelid::regclass::text, t.attname::text, c.confdeltype = 'c' FROM pg_constraint c
        JOIN pg_attribute f ON f.attrelid = c.conrelid AND f.attnum = c.conkey[1]
        JOIN pg_attribute t ON t.attrelid = c.confrelid AND t.attnum = c.confkey[1]
        WHERE c.contype = 'f'";
    type Column = (String, String, String, bool, Option<String>);
    let mut schema = Schema::new();
    let columns: Vec<Column> = sqlx::query_as(COLUMNS).fetch_all(pool).await.unwrap();
    for (table, name, kind, nullable, default) in columns {
        let table = schema.entry(table).or_default();
        // It says of a text that it is one.
        let default = default.map(|default| default.trim_end_matches("::text").to_owned());
        table.columns.insert((name, common_type(&kind), nullable, default));
    }
    let indexes: Vec<(String, bool, bool, String)> =
        sqlx::query_as(INDEXES).fetch_all(pool).await.unwrap();
    for (table, primary, unique, list) in indexes {
        let table = schema.get_mut(&table).unwrap();
        if primary {
            table.primary_key = split(&list);
        } else {
            table.indexes.insert((unique, split(&list)));
        }
    }
    let references: Vec<(String, String, String, String, bool)> =
        sqlx::query_as(REFERENCES).fetch_all(pool).await.unwrap();
    for (table, from, to, column, together) in references {
        schema.get_mut(&table).unwrap().references.insert((from, to, column, together));
    }
    schema
}

fn common_type(declared: &str) -> &'static str {
    match declared {
        "INTEGER" | "bigint" => "number",
        "TEXT" | "text" => "text",
        "BLOB" | "bytea" => "bytes",
        other => panic!("{other} is not one of the three types that migrations may use"),
    }
}

fn split(list: &str) -> Vec<String> {
    list.split(',').map(str::to_owned).collect()
}
