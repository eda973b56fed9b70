//! Opens an SQLite file: looks at it before SQLite does, so that a folder, a foreign file or a cut
//! one is refused and left as it is; then migrates and makes the pools.
//! Must never repair a file.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection, SqliteConnection, SqlitePool};

use super::dialect::Pools;
use super::error::{SqliteCode, lies_at, sqlite_code};
use super::{Error, migrate};

const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// How long to wait for a turn among our own: the queue is fair, and waiting loses no place in it.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(25);
const READERS: u32 = 4;
/// How often to try to empty the journal; each waits for readers by itself.
const FOLDS: u32 = 3;

const HEADER_BYTES: usize = 100;
const MAGIC: &[u8] = b"SQLite format 3\0";

const RESTORE: &str = "It was left as it is; restore it from a backup, or name another file.";
const PERMISSIONS: &str = "Check owner, permissions and free space of the file and its folder.";

/// `schema`: no further than this step.
pub(super) async fn open(path: &Path, schema: Option<i64>) -> Result<(Pools, String), Error> {
    let place = format!("SQLite at {}", path.display());
    let refused =
        |(fault, remedy): (String, _)| Error::Open { place: place.clone(), fault, remedy };
    prepare_file(path).map_err(refused)?;
    lies_at(path);

    let options = SqliteConnectOptions::new()
        .filename(path)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        .synchronous(SqliteSynchronous::Full)
        // What is deleted or overwritten is also overwritten in the file.
        .pragma("secure_delete", "ON");
    let mut first = connect_first(&options).await.map_err(|error| refused(explain(&error)))?;
    let mut tx =
        first.begin_with("BEGIN IMMEDIATE").await.map_err(|error| refused(explain(&error)))?;
    migrate::sqlite(&mut tx, &place, schema).await?;
    tx.commit().await.map_err(|error| refused(explain(&error)))?;

    // A connection here is a thread and an open file: kept for good, and nothing to ping.
    let pool = |size| {
        SqlitePoolOptions::new()
            .max_connections(size)
            .acquire_timeout(QUEUE_TIMEOUT)
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false)
    };
    let writer = pool(1).after_release(|connection, _| Box::pin(has_ended(connection)));
    let writer = writer.connect_with(options.clone()).await?;
    let readers = pool(READERS).connect_with(options.pragma("query_only", "ON")).await?;
    first.close().await?;
    // What a killed process had changed last, and could not fold any more.
    fold(&writer).await;
    Ok((Pools::Sqlite { writer, readers }, place))
}

/// False for a connection that still believes in a transaction; it is closed then. On a full disk
/// SQLite rolls back by itself, the driver's own rollback fails, and no later one would ever begin.
async fn has_ended(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    if connection.is_in_transaction() {
        // A rollback may still be on its way to the connection's thread; this waits behind it.
        connection.ping().await?;
    }
    Ok(!connection.is_in_transaction())
}

pub(super) async fn check_integrity(readers: &SqlitePool, place: &str) -> Result<(), Error> {
    let lines: Vec<String> = sqlx::query_scalar("PRAGMA quick_check").fetch_all(readers).await?;
    match lines.as_slice() {
        [line] if line == "ok" => Ok(()),
        [] => Err(Error::Damaged { fault: format!("{place} gave no answer to its check") }),
        [line, ..] => {
            let first = line.lines().next().unwrap_or_default();
            Err(Error::Damaged { fault: format!("{place}: {first} ({} findings)", lines.len()) })
        }
    }
}

/// Writes the journal into the file and empties it. Best effort: a reader that holds an old moment
/// is waited for, and whoever folds next takes what it held back.
pub(super) async fn fold(writer: &SqlitePool) {
    const FOLD: &str = "PRAGMA wal_checkpoint(TRUNCATE)";
    for _ in 0..FOLDS {
        // Being kept from it is an answer, and no error.
        match sqlx::query_as::<_, (i64, i64, i64)>(FOLD).fetch_one(writer).await {
            Ok((0, _, _)) => return,
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(%error, "the database's journal could not be folded");
                return;
            }
        }
    }
    tracing::warn!("readers keep the database's journal from being emptied; the next fold does it");
}

/// Changing an empty file to WAL needs it alone, and SQLite does not wait for that by itself.
async fn connect_first(options: &SqliteConnectOptions) -> Result<SqliteConnection, sqlx::Error> {
    let options = options.clone().journal_mode(SqliteJournalMode::Wal);
    let mut attempts_left = 100;
    loop {
        attempts_left -= 1;
        match SqliteConnection::connect_with(&options).await {
            Err(error) if attempts_left > 0 && sqlite_code(&error) == Some(SqliteCode::Busy) => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            answer => return answer,
        }
    }
}

/// Creates the file, readable by its owner alone, or looks whether it can be a database at all.
/// Closing the file here also ends the locks that this process has on it through another store, as
/// the system counts locks by process; that is why another process must be kept out by other means.
fn prepare_file(path: &Path) -> Result<(), (String, &'static str)> {
    // Before the file itself, which has its header before there is a WAL. The rollback journal
    // proves nothing of the kind: the very first change of an empty file has one.
    let has_wal = has_bytes(&beside(path, "-wal"));
    let has_journal = has_wal || has_bytes(&beside(path, "-journal"));
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => return create(path),
        Err(error) => return Err((error.to_string(), PERMISSIONS)),
    };
    if metadata.is_dir() {
        return Err((String::from("it is a folder"), "Name a file in it, such as sealgate.db."));
    }
    if !metadata.is_file() {
        return Err((String::from("it is not a regular file"), "Name another file."));
    }
    // For writing as well: SQLite itself would fall back to reading, and fail at the first change.
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .map_err(|error| (error.to_string(), PERMISSIONS))?;
    if metadata.len() == 0 && !has_wal {
        return Ok(()); // another node's first start, or one that was killed there
    }
    let mut header = [0; HEADER_BYTES];
    match file.read_exact(&mut header) {
        Ok(()) if header.starts_with(MAGIC) => {}
        Err(error) if error.kind() != ErrorKind::UnexpectedEof => {
            return Err((error.to_string(), PERMISSIONS));
        }
        Err(_) if metadata.len() == 0 => {
            return Err((String::from("it is empty, but has a journal"), RESTORE));
        }
        Ok(()) | Err(_) => return Err((String::from("it is not an SQLite database"), RESTORE)),
    }
    let whole = expected_bytes(&header);
    if metadata.len() < whole && !has_journal {
        let fault = format!("it is cut short, {} of {whole} bytes are there", metadata.len());
        return Err((fault, RESTORE));
    }
    Ok(())
}

fn create(path: &Path) -> Result<(), (String, &'static str)> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => Ok(()),
        // Another process was faster.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Err((String::from("its folder does not exist"), "Create the folder, or name another."))
        }
        Err(error) => Err((format!("it cannot be created: {error}"), PERMISSIONS)),
    }
}

/// The size that the header promises; 0 where it promises none. While a journal is there the file
/// may rightly be shorter, and SQLite finds out by itself.
fn expected_bytes(header: &[u8; HEADER_BYTES]) -> u64 {
    let number = |at: usize| {
        let bytes = header.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        u32::from_be_bytes(bytes.unwrap_or([0; 4]))
    };
    let page_bytes = match number(16) >> 16 {
        1 => 65_536,
        size => u64::from(size),
    };
    // The count is valid only if the last writer kept it, which it says by repeating its counter.
    if number(24) == number(92) { u64::from(number(28)) * page_bytes } else { 0 }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn has_bytes(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.len() > 0)
}

fn explain(error: &sqlx::Error) -> (String, &'static str) {
    match sqlite_code(error) {
        Some(SqliteCode::Busy) => (
            String::from("another process holds it"),
            "Stop the other process, or give each its own data folder.",
        ),
        Some(SqliteCode::ReadOnly | SqliteCode::CannotOpen | SqliteCode::Full) => {
            (plain(error), PERMISSIONS)
        }
        Some(SqliteCode::Damaged) => (plain(error), RESTORE),
        None => (plain(error), PERMISSIONS),
    }
}

fn plain(error: &sqlx::Error) -> String {
    error.as_database_error().map_or_else(|| error.to_string(), |inner| inner.message().to_owned())
}
