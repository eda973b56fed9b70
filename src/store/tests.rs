//! What the store promises, shown on both databases. Every test of a table is an ordinary function
//! over a `Bed`, named once in `on_both!`, which makes one test of it for SQLite and one for
//! PostgreSQL. Must never pass over PostgreSQL silently where there is none.

mod alerts;
mod archive;
mod client_keys;
mod client_routes;
mod idempotency;
mod leases;
mod master_keys;
mod nodes;
mod opening;
mod record_blocks;
mod renewals;
mod repeated_calls;
mod schema;
mod secrets;
mod small_tables;

use std::path::PathBuf;
use std::sync::Arc;

use sqlx::{AssertSqlSafe, Connection, PgConnection};
use uuid::Uuid;

use super::client_key_hashes::KeyPreview;
use super::idempotency::*;
use super::installation::Installation;
use super::symbols::BackfillStatus;
use super::*;
use crate::secret::SecretBytes;

const NOW_MS: i64 = 1_800_000_000_000;

/// A store on an empty database of its own, and a clock that stands still.
struct Bed {
    store: Store,
    clock: Clock,
    settings: Settings,
    home: Home,
}

/// What is thrown away with the bed.
pub(crate) enum Home {
    Folder(tempfile::TempDir),
    Database { server: String, name: String },
}

impl Bed {
    async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let target = Target::Sqlite(folder.path().join("sealgate.db"));
        Self::open(target, Home::Folder(folder)).await
    }

    async fn postgres() -> Self {
        let (url, home) = empty_database().await;
        Self::open(postgres_target(&url), home).await
    }

    async fn open(target: Target, home: Home) -> Self {
        let clock = Clock::settable(NOW_MS);
        let settings = Settings { target };
        let store = Store::open(&settings, clock.clone()).await.unwrap();
        Self { store, clock, settings, home }
    }

    /// The same database, opened as another node would.
    async fn reopen(&self) -> Result<Store, Error> {
        Store::open(&self.settings, self.clock.clone()).await
    }

    /// Does what somebody with the database's password could do.
    async fn tamper(&self, sql: &'static str) -> u64 {
        self.store.tamper(sql).await
    }

    fn file(&self) -> PathBuf {
        match &self.home {
            Home::Folder(folder) => folder.path().join("sealgate.db"),
            Home::Database { .. } => panic!("PostgreSQL has no file here"),
        }
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let Self::Database { server, name } = self else { return };
        let sql = format!("DROP DATABASE {name} WITH (FORCE)");
        let server = server.clone();
        // Dropping cannot wait for a future, and also happens while a test panics.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let mut connection = PgConnection::connect(&server).await?;
                sqlx::query(AssertSqlSafe(sql)).execute(&mut connection).await
            })
        });
        let dropped: Result<_, sqlx::Error> = dropping.join().unwrap();
        assert!(dropped.is_ok() || std::thread::panicking(), "{dropped:?}");
    }
}

/// An empty database on the test run's server, and its URL.
pub(crate) async fn empty_database() -> (String, Home) {
    let server = server_url();
    let name = format!("sealgate_{}", Uuid::now_v7().simple());
    let mut connection = PgConnection::connect(&server).await.unwrap();
    let sql = format!("CREATE DATABASE {name}");
    sqlx::query(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
    let (base, _) = server.rsplit_once('/').unwrap();
    (format!("{base}/{name}"), Home::Database { server, name })
}

#[expect(clippy::disallowed_methods, reason = "the test command says here where its server is")]
fn server_url() -> String {
    let Ok(url) = std::env::var("SEALGATE_TEST_POSTGRES") else {
        panic!("run the tests with `make test`, which starts PostgreSQL");
    };
    url
}

pub(crate) fn postgres_target(url: &str) -> Target {
    Target::Postgres(Arc::new(SecretBytes::copy_of(url.as_bytes())))
}

/// One test of each function for each database.
macro_rules! on_both {
    ($($name:ident),+ $(,)?) => {
        $(mod $name {
            use super::super::Bed;

            #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn on_sqlite() {
                super::$name(Bed::sqlite().await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn on_postgres() {
                super::$name(Bed::postgres().await).await;
            }
        })+
    };
}

use on_both;
