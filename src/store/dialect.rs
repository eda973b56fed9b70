//! The split between SQLite and PostgreSQL: the pools, a transaction, and three small macros that
//! run one statement on whichever it is.
//! Must never grow a second text of a statement.

use std::time::Duration;

use sqlx::{PgPool, Postgres, Sqlite, SqlitePool, Transaction};

#[derive(Clone)]
pub(super) enum Pools {
    /// One writer, so that writers queue here and not in the file's lock.
    Sqlite {
        writer: SqlitePool,
        readers: SqlitePool,
    },
    Postgres(PgPool),
}

/// A transaction that writes; rolled back when it is dropped before `commit`.
pub(super) enum Tx {
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(Transaction<'static, Postgres>),
}

impl Tx {
    pub(super) async fn begin(pools: &Pools) -> Result<Self, sqlx::Error> {
        match pools {
            // A plain BEGIN takes the write lock at the first write, and then fails without waiting
            // if another process wrote meanwhile.
            Pools::Sqlite { writer, .. } => {
                writer.begin_with("BEGIN IMMEDIATE").await.map(Self::Sqlite)
            }
            Pools::Postgres(pool) => pool.begin().await.map(Self::Postgres),
        }
    }

    pub(super) async fn commit(self) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(tx) => tx.commit().await,
            Self::Postgres(tx) => tx.commit().await,
        }
    }

    /// For a row that another transaction holds. On SQLite there is none beside this one.
    pub(super) async fn wait_no_longer_than(&mut self, most: Duration) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(_) => Ok(()),
            Self::Postgres(tx) => sqlx::query("SELECT set_config('lock_timeout', $1, true)")
                .bind(most.as_millis().to_string())
                .execute(&mut **tx)
                .await
                .map(|_| ()),
        }
    }

    /// Makes transactions that take the same lock run one after another. On SQLite they do anyway.
    pub(super) async fn serialise(&mut self, lock: Lock) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(_) => Ok(()),
            Self::Postgres(tx) => sqlx::query("SELECT pg_advisory_xact_lock($1)")
                .bind(lock.number())
                .execute(&mut **tx)
                .await
                .map(|_| ()),
        }
    }
}

/// What several nodes must not decide at the same time.
#[derive(Clone, Copy)]
pub(super) enum Lock {
    Admins,
}

impl Lock {
    fn number(self) -> i64 {
        match self {
            Self::Admins => i64::from_be_bytes(*b"sealadmn"),
        }
    }
}

/// One reading statement outside a transaction.
macro_rules! reading {
    ($store:expr, $database:ident => $statement:expr) => {
        match &$store.pools {
            $crate::store::dialect::Pools::Sqlite { readers: $database, .. } => $statement.await,
            $crate::store::dialect::Pools::Postgres($database) => $statement.await,
        }
    };
}

/// One reading statement inside a transaction.
macro_rules! within {
    ($tx:expr, $database:ident => $statement:expr) => {
        match $tx {
            $crate::store::dialect::Tx::Sqlite(tx) => {
                let $database = &mut **tx;
                $statement.await
            }
            $crate::store::dialect::Tx::Postgres(tx) => {
                let $database = &mut **tx;
                $statement.await
            }
        }
    };
}

/// Every row of a reading statement by itself: what cannot be read is an error of that row alone.
macro_rules! rows {
    ($store:expr, $table:literal, $query:expr) => {
        match &$store.pools {
            $crate::store::dialect::Pools::Sqlite { readers, .. } => {
                $crate::store::lenient::all($table, &$query.fetch_all(readers).await?)
            }
            $crate::store::dialect::Pools::Postgres(pool) => {
                $crate::store::lenient::all($table, &$query.fetch_all(pool).await?)
            }
        }
    };
}

/// The same inside a transaction.
macro_rules! rows_within {
    ($tx:expr, $table:literal, $query:expr) => {
        match $tx {
            $crate::store::dialect::Tx::Sqlite(tx) => {
                $crate::store::lenient::all($table, &$query.fetch_all(&mut **tx).await?)
            }
            $crate::store::dialect::Tx::Postgres(tx) => {
                $crate::store::lenient::all($table, &$query.fetch_all(&mut **tx).await?)
            }
        }
    };
}

/// The first row of a reading statement, if there is one; `Error::Contradiction` where it cannot be
/// read.
macro_rules! row {
    ($store:expr, $table:literal, $query:expr) => {
        match &$store.pools {
            $crate::store::dialect::Pools::Sqlite { readers, .. } => {
                let found = $query.fetch_optional(readers).await?;
                $crate::store::lenient::one($table, found.as_ref())
            }
            $crate::store::dialect::Pools::Postgres(pool) => {
                let found = $query.fetch_optional(pool).await?;
                $crate::store::lenient::one($table, found.as_ref())
            }
        }
    };
}

/// The same inside a transaction.
macro_rules! row_within {
    ($tx:expr, $table:literal, $query:expr) => {
        match $tx {
            $crate::store::dialect::Tx::Sqlite(tx) => {
                let found = $query.fetch_optional(&mut **tx).await?;
                $crate::store::lenient::one($table, found.as_ref())
            }
            $crate::store::dialect::Tx::Postgres(tx) => {
                let found = $query.fetch_optional(&mut **tx).await?;
                $crate::store::lenient::one($table, found.as_ref())
            }
        }
    };
}

/// One writing statement inside a transaction; yields the number of rows that it changed.
macro_rules! changing {
    ($tx:expr, $query:expr) => {
        match $tx {
            $crate::store::dialect::Tx::Sqlite(tx) => {
                $query.execute(&mut **tx).await.map(|done| done.rows_affected())
            }
            $crate::store::dialect::Tx::Postgres(tx) => {
                $query.execute(&mut **tx).await.map(|done| done.rows_affected())
            }
        }
    };
}

pub(super) use {changing, reading, row, row_within, rows, rows_within, within};
