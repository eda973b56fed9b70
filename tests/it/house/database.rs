//! A database for one house: a file in its folder, or a fresh database on the test command's
//! server.

use std::path::{Path, PathBuf};

use sqlx::{AssertSqlSafe, Connection, Row};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Sqlite,
    Postgres,
}

pub(crate) enum Database {
    Sqlite(PathBuf),
    Postgres { server: String, name: String },
}

/// Where the test command's own PostgreSQL is; tests make their databases there.
const SERVER: &str = "SEALGATE_TEST_POSTGRES";

impl Database {
    pub(crate) async fn fresh(kind: Kind, folder: &Path) -> Self {
        match kind {
            Kind::Sqlite => Self::Sqlite(folder.join("sealgate.db")),
            Kind::Postgres => {
                let server = server();
                let name = format!("it_{}", uuid::Uuid::now_v7().simple());
                run(&server, &format!("CREATE DATABASE {name}")).await;
                Self::Postgres { server, name }
            }
        }
    }

    pub(crate) fn settings(&self) -> String {
        match self {
            Self::Sqlite(path) => format!("database.url = \"sqlite://{}\"\n", path.display()),
            Self::Postgres { server, name } => {
                format!("database.url = \"{}\"\n", url(server, name))
            }
        }
    }

    /// Every row of every table as text. SQLite's file is read with the folder's others.
    pub(crate) async fn dump(&self) -> Vec<u8> {
        let Self::Postgres { server, name } = self else {
            return Vec::new();
        };
        let mut connection = connect(&url(server, name)).await;
        let tables =
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'";
        let mut all = Vec::new();
        for row in sqlx::query(tables).fetch_all(&mut connection).await.unwrap() {
            let table: String = row.get(0);
            let sql = format!("SELECT CAST(t.* AS TEXT) FROM \"{table}\" t");
            for row in sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut connection).await.unwrap() {
                all.extend_from_slice(row.get::<String, _>(0).as_bytes());
                all.push(b'\n');
            }
        }
        connection.close().await.unwrap();
        all
    }

    /// Does what somebody with the database's password could do.
    pub(crate) async fn tamper(&self, sql: &str) {
        match self {
            Self::Sqlite(path) => {
                let mut connection =
                    sqlx::SqliteConnection::connect(&format!("sqlite://{}", path.display()))
                        .await
                        .unwrap();
                sqlx::query("PRAGMA busy_timeout = 10000").execute(&mut connection).await.unwrap();
                let sql = AssertSqlSafe(sql.to_owned());
                sqlx::query(sql).execute(&mut connection).await.unwrap();
                connection.close().await.unwrap();
            }
            Self::Postgres { server, name } => run(&url(server, name), sql).await,
        }
    }

    /// The same; how many rows it changed.
    pub(crate) async fn tamper_counting(&self, sql: &str) -> u64 {
        let sql = AssertSqlSafe(sql.to_owned());
        match self {
            Self::Sqlite(path) => {
                let url = format!("sqlite://{}", path.display());
                let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
                sqlx::query(sql).execute(&mut connection).await.unwrap().rows_affected()
            }
            Self::Postgres { server, name } => {
                let mut connection = connect(&url(server, name)).await;
                sqlx::query(sql).execute(&mut connection).await.unwrap().rows_affected()
            }
        }
    }

    /// PostgreSQL lets nobody in any more, and shows out whoever is there.
    pub(crate) async fn go_away(&self) {
        self.allow_connections(false).await;
        if let Self::Postgres { server, name } = self {
            let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = ";
            run(server, &format!("{sql}'{name}'")).await;
        }
    }

    pub(crate) async fn come_back(&self) {
        self.allow_connections(true).await;
    }

    async fn allow_connections(&self, allowed: bool) {
        let Self::Postgres { server, name } = self else {
            panic!("an embedded database cannot go away");
        };
        run(server, &format!("ALTER DATABASE {name} WITH ALLOW_CONNECTIONS {allowed}")).await;
    }

    pub(crate) async fn drop_it(&self) {
        if let Self::Postgres { server, name } = self {
            run(server, &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await;
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the test command tells its tests where they may work"
)]
fn server() -> String {
    std::env::var(SERVER).unwrap_or_else(|_| {
        panic!(
            "{SERVER} is not set: run the tests by `make test`, which starts a PostgreSQL for them"
        )
    })
}

/// The same server and user, another database.
fn url(server: &str, name: &str) -> String {
    let (before, query) = server.split_once('?').map_or((server, None), |(a, b)| (a, Some(b)));
    let (host, _) = before.rsplit_once('/').unwrap();
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    format!("{host}/{name}{query}")
}

async fn connect(url: &str) -> sqlx::PgConnection {
    sqlx::PgConnection::connect(url).await.unwrap()
}

async fn run(server: &str, sql: &str) {
    let mut connection = connect(server).await;
    sqlx::query(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}
