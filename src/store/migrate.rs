//! The numbered migrations of both dialects, embedded in the binary and run when the store opens.
//! Forward only; `migrations/README.md` has the rules.
//! Must never run on a database that is newer.

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::{PgConnection, SqliteConnection};

use super::Error;

pub(super) static SQLITE: Migrator = sqlx::migrate!("migrations/sqlite");
pub(super) static POSTGRES: Migrator = sqlx::migrate!("migrations/postgres");

const NEWEST: &str = "SELECT MAX(version) FROM _sqlx_migrations";

// `run_direct` below is `run` without its generic way to a connection, through which the compiler
// cannot see that the future is `Send`.

/// Must be called within a transaction that holds the write lock from its start: the driver itself
/// takes no lock on SQLite, and two processes would both run the first step.
pub(super) async fn sqlite(
    connection: &mut SqliteConnection,
    place: &str,
    schema: Option<i64>,
) -> Result<(), Error> {
    if let Err(error) = SQLITE.run_direct(schema, &mut *connection, false).await {
        // Where even this fails, the first error says more.
        let found = sqlx::query_scalar(NEWEST).fetch_one(connection).await.unwrap_or(None);
        return Err(explain(error, place, found, &SQLITE));
    }
    Ok(())
}

/// The driver holds an advisory lock meanwhile. If a step fails, the lock ends with the connection,
/// which therefore must not come from a pool.
pub(super) async fn postgres(connection: &mut PgConnection, place: &str) -> Result<(), Error> {
    if let Err(error) = POSTGRES.run_direct(None, &mut *connection, false).await {
        let found = sqlx::query_scalar(NEWEST).fetch_one(connection).await.unwrap_or(None);
        return Err(explain(error, place, found, &POSTGRES));
    }
    Ok(())
}

pub(super) fn newest() -> i64 {
    SQLITE.iter().map(|step| step.version).max().unwrap_or(0)
}

fn explain(error: MigrateError, place: &str, found: Option<i64>, migrator: &Migrator) -> Error {
    let known = migrator.iter().map(|step| step.version).max().unwrap_or(0);
    let place = place.to_owned();
    let refused = |fault: String, remedy| Error::Open { place: place.clone(), fault, remedy };
    if let (MigrateError::VersionMissing(_), Some(found)) = (&error, found)
        && found > known
    {
        return Error::Newer { place, found, known };
    }
    if let MigrateError::VersionMissing(number) = error {
        return refused(
            format!("its schema step {number} is not the one that this program has"),
            "Start the program that made the database, or restore a backup.",
        );
    }
    if let MigrateError::VersionMismatch(number) = error {
        let ours = migrator.iter().find(|step| step.version == number);
        let sum: String = ours.map_or_else(String::new, |step| {
            step.checksum.iter().map(|byte| format!("{byte:02x}")).collect()
        });
        return refused(
            format!(
                "its schema step {number} is not the one that this program has, by the checksum in \
                 the table _sqlx_migrations, where this program has {sum}"
            ),
            "Start the program that made the database; if that is this one, somebody edited the \
             row: write that checksum there again, in hexadecimal, or restore a backup.",
        );
    }
    if let MigrateError::Dirty(number) = error {
        return refused(
            format!(
                "its schema step {number} is called unfinished (success in the table \
                 _sqlx_migrations), which no program leaves: a step and its row are one transaction"
            ),
            "Somebody edited the row: set success to 1 (true on PostgreSQL) again for that version, \
             or restore a backup.",
        );
    }
    if let MigrateError::ExecuteMigration(cause, number) = &error
        && stands_already(&cause.to_string())
    {
        return refused(
            format!(
                "what schema step {number} makes stands already, though its row in the table \
                 _sqlx_migrations does not: somebody deleted it"
            ),
            "Nothing was changed. Put that row back from a copy of the database, or restore a backup.",
        );
    }
    if let MigrateError::ExecuteMigration(cause, number) = error {
        return refused(
            format!("schema step {number} failed: {cause}"),
            "Nothing of this step was kept; remove the cause and start again.",
        );
    }
    refused(
        format!("its schema cannot be brought up to date: {error}"),
        "Remove the cause and start again; finished steps are kept.",
    )
}

/// Both databases have sentences of their own for it.
fn stands_already(cause: &str) -> bool {
    cause.contains("already exists") || cause.contains("duplicate column name")
}
