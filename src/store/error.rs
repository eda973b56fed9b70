//! Everything that can go wrong with the database, each as one line: what, why, what to
//! do. Must never hold a password, a URL, or the value of a column that could be
//! secret.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use sqlx::error::ErrorKind;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Error {
    /// The database cannot be opened.
    Open { place: String, fault: String, remedy: &'static str },
    /// A newer binary has migrated it.
    Newer { place: String, found: i64, known: i64 },
    /// The file does not hold together.
    Damaged { fault: String },
    /// A row says what the model does not know.
    Contradiction { table: &'static str, row: String, column: &'static str, fault: String },
    /// Tables or columns are not there that this program needs.
    Lacking { fault: String },
    /// Another row, on which this one hangs, is not there.
    Orphaned,
    /// Another row has this key or this name already.
    Duplicate { table: String },
    /// The change would leave no active admin key.
    LastAdmin,
    /// The row was read before somebody else changed it; read again and repeat.
    Stale,
    /// Somebody else works on this job now.
    LeaseLost,
    /// The master key that would wrap this one is gone: the house has moved to another.
    MasterGone,
    /// The count of what a key-encryption key has wrapped was edited.
    Miscounted { kek: String, fault: &'static str },
    /// The key-encryption key has wrapped as often as one may.
    Worn,
    /// The database does not answer now; the same call may succeed later.
    Unreachable { fault: String },
    /// There is no room for the change on the database's disk.
    Full { place: String },
    /// The database refused the statement.
    Failed { fault: String },
}

impl Error {
    /// The row that contradicts the model.
    pub(crate) fn row(&self) -> Option<&str> {
        if let Self::Contradiction { row, .. } = self { Some(row) } else { None }
    }
}

impl Error {
    /// Is a restored backup the way out, and not another setting, another try or other rights?
    pub(crate) fn calls_for_a_backup(&self) -> bool {
        match self {
            Self::Open { remedy, .. } => remedy.contains("restore") || remedy.contains("the cause"),
            Self::Newer { .. }
            | Self::Damaged { .. }
            | Self::Contradiction { .. }
            | Self::Lacking { .. }
            | Self::Orphaned
            | Self::Failed { .. } => true,
            Self::Duplicate { .. }
            | Self::LastAdmin
            | Self::Stale
            | Self::LeaseLost
            | Self::MasterGone
            | Self::Miscounted { .. }
            | Self::Worn
            | Self::Full { .. }
            | Self::Unreachable { .. } => false,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open { place, fault, remedy } => {
                write!(f, "{place} cannot be opened: {fault}. {remedy}")
            }
            Self::Newer { place, found, known } => write!(
                f,
                "{place} is newer than this program: it has schema {found}, this program knows up \
                 to {known}. Start the newer program, or restore a backup from before the upgrade."
            ),
            Self::Damaged { fault } => {
                write!(f, "The database is damaged: {fault}. Stop the server and restore a backup.")
            }
            Self::Contradiction { table, row, column, fault } => {
                contradiction(f, (table, row), (column, fault))
            }
            Self::Lacking { fault } => write!(
                f,
                "The database lacks what this program needs: {fault}. `sealgate doctor` names all \
                 that is missing; stop the server and restore a backup."
            ),
            Self::Orphaned => f.write_str(
                "A row on which this one hangs, a key-encryption key's perhaps, is gone: somebody \
                 deleted it outside Sealgate. `sealgate doctor` names it and says what to do.",
            ),
            Self::Duplicate { table } => write!(
                f,
                "The table {table} has a row with this key already. Choose another name, or change \
                 the row that is there."
            ),
            Self::LastAdmin => f.write_str(
                "Without this key as it is nobody could administer Sealgate, now or some day, or not \
                 all of it: it is the last active admin key, or the last that has neither an end \
                 nor scopes nor bounds. Create another admin key of the same tier without any of \
                 these first.",
            ),
            Self::Stale => f.write_str(
                "The row was changed by somebody else at the same moment. Repeat the call.",
            ),
            Self::LeaseLost => f.write_str(
                "Another node has taken this job over, because this one was silent for too long.",
            ),
            Self::MasterGone => f.write_str(MASTER_GONE),
            Self::Miscounted { kek, fault } => write!(
                f,
                "The count of wraps of the key-encryption key {kek} {fault}: somebody edited the table \
                 keks, so it wraps nothing more. Run `sealgate kek rotate`, then `sealgate kek rewrap`."
            ),
            Self::Worn => f.write_str(
                "The category's key-encryption key has wrapped 2^31 data keys and wraps no more. \
                 Run `sealgate kek rotate`, then `sealgate kek rewrap`.",
            ),
            Self::Unreachable { fault } => unreachable(f, fault),
            Self::Full { place } => full(f, place),
            Self::Failed { fault } => {
                write!(f, "The database refused a statement: {fault}. `sealgate doctor` checks it.")
            }
        }
    }
}

const MASTER_GONE: &str = "The master key that this server has is no longer in the table \
    master_passphrases: another server has moved the house to a new one. Restart this one, or seal \
    and unseal it, and repeat the call.";

fn full(f: &mut fmt::Formatter<'_>, place: &str) -> fmt::Result {
    write!(
        f,
        "The disk is full at {place}: free space there, then repeat the call. Nothing of it was kept."
    )
}

fn unreachable(f: &mut fmt::Formatter<'_>, fault: &str) -> fmt::Result {
    write!(
        f,
        "The database does not answer: {fault}. Check that it runs and can be reached; the call can \
         be repeated."
    )
}

fn contradiction(
    f: &mut fmt::Formatter<'_>,
    (table, row): (&str, &str),
    (column, fault): (&str, &str),
) -> fmt::Result {
    match column {
        // A row that fits no seal: its fault names the one remedy.
        "seal" => write!(f, "The row {row} of table {table} is not as Sealgate left it: {fault}."),
        _ => write!(
            f,
            "The row {row} of table {table} contradicts the model: column {column} {fault}. Somebody \
             changed it by hand, or a newer program wrote it; restore the row from a backup."
        ),
    }
}

impl std::error::Error for Error {}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        if let Some(refused) = error.as_database_error() {
            if refused.kind() == ErrorKind::UniqueViolation {
                return Self::Duplicate { table: duplicate_table(refused) };
            }
            if refused.kind() == ErrorKind::ForeignKeyViolation {
                return Self::Orphaned;
            }
            if is_lacking(refused) {
                return Self::Lacking { fault: refused.message().to_owned() };
            }
            if refused.code().as_deref() == Some("53100") {
                return Self::Full { place: String::from("PostgreSQL's data folder") };
            }
            if refused.code().as_deref() == Some("55P03") {
                return Self::Unreachable { fault: String::from(HELD) };
            }
            return match sqlite_code(&error) {
                Some(SqliteCode::Full) => Self::Full { place: place() },
                Some(SqliteCode::Busy) => Self::Unreachable {
                    fault: String::from("another process holds the file's write lock"),
                },
                Some(SqliteCode::Damaged) => Self::Damaged { fault: refused.message().to_owned() },
                Some(SqliteCode::ReadOnly | SqliteCode::CannotOpen) | None => {
                    Self::Failed { fault: refused.message().to_owned() }
                }
            };
        }
        let fault = error.to_string();
        if matches!(error, sqlx::Error::ColumnNotFound(_)) {
            return Self::Lacking { fault };
        }
        if is_connection_lost(&error) {
            Self::Unreachable { fault }
        } else {
            Self::Failed { fault }
        }
    }
}

const HELD: &str = "another transaction holds the row and does not end; one whose client is gone \
                    ends when the database notices, or by pg_terminate_backend";

/// The few result codes of SQLite that mean something to an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SqliteCode {
    Busy,
    ReadOnly,
    Damaged,
    Full,
    CannotOpen,
}

/// Where this process's database lies; the driver's errors do not say it.
static PLACE: RwLock<Option<PathBuf>> = RwLock::new(None);

pub(super) fn lies_at(path: &Path) {
    *PLACE.write().unwrap_or_else(PoisonError::into_inner) = Some(path.to_owned());
}

fn place() -> String {
    let place = PLACE.read().unwrap_or_else(PoisonError::into_inner);
    place.as_ref().map_or_else(|| String::from("the database"), |path| path.display().to_string())
}

/// None if the error is not SQLite's, or has no remedy of its own.
pub(super) fn sqlite_code(error: &sqlx::Error) -> Option<SqliteCode> {
    let refused = error.as_database_error()?;
    refused.try_downcast_ref::<sqlx::sqlite::SqliteError>()?;
    let extended: i32 = refused.code()?.parse().ok()?;
    // What it maps beside the file could not be made longer.
    if extended == 4874 {
        return Some(SqliteCode::Full);
    }
    match extended & 0xff {
        5 | 6 => Some(SqliteCode::Busy),
        8 => Some(SqliteCode::ReadOnly),
        11 | 26 => Some(SqliteCode::Damaged),
        13 => Some(SqliteCode::Full),
        14 => Some(SqliteCode::CannotOpen),
        _ => None,
    }
}

fn is_connection_lost(error: &sqlx::Error) -> bool {
    matches!(
        error,
        sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
    )
}

/// PostgreSQL has codes of its own for it, SQLite only sentences.
fn is_lacking(refused: &dyn sqlx::error::DatabaseError) -> bool {
    let sentences = ["no such table", "no such column", "has no column named"];
    matches!(refused.code().as_deref(), Some("42P01" | "42703"))
        || sentences.iter().any(|sentence| refused.message().contains(sentence))
}

/// SQLite names the table in its sentence alone: "UNIQUE constraint failed: secrets.provider, …".
fn duplicate_table(refused: &dyn sqlx::error::DatabaseError) -> String {
    let named = refused.table().or_else(|| {
        let (_, columns) = refused.message().split_once("failed: ")?;
        columns.split('.').next()
    });
    named.unwrap_or("unknown").to_owned()
}
