//! Why the house does not start: one line each, saying what, why and what to do.
//! Rooms bring their own line; what belongs to no room is said here. Must never hold a password,
//! a key or a path inside somebody's secret.

use std::fmt;
use std::path::PathBuf;

use crate::admin::LocalError;
use crate::catalogue::OpenError;
use crate::crypto::CryptoError;
use crate::emulator::EmulatorError;
use crate::kms::KmsError;
use crate::net::{ListenError, TlsError};
use crate::provider::BadProvider;
use crate::roster::RosterError;
use crate::vault::VaultError;
use crate::{backup, ledger, store};

/// A cause, already in words.
#[derive(Debug)]
pub enum StartError {
    Clock(String),
    DataFolder {
        folder: PathBuf,
        cause: String,
    },
    InUse(PathBuf),
    DatabaseInUse(PathBuf),
    /// Another room's own line.
    Room(String),
}

impl fmt::Display for StartError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Clock(now) => write!(
                formatter,
                "the machine's clock says {now}, so expiries and records would be wrong; set the clock \
                 (for example with NTP) and start again"
            ),
            Self::DataFolder { folder, cause } => write!(
                formatter,
                "cannot use the data folder {}: {cause}; make it writable for this user, or set data_dir",
                folder.display()
            ),
            Self::InUse(folder) => write!(
                formatter,
                "another Sealgate process uses the data folder {}; stop it, or set data_dir to another \
                 folder",
                folder.display()
            ),
            Self::DatabaseInUse(file) => write!(
                formatter,
                "another Sealgate process, with another data_dir, uses the database {}; stop it, or set \
                 database.url to another file (several servers share PostgreSQL)",
                file.display()
            ),
            Self::Room(line) => formatter.write_str(line),
        }
    }
}

impl std::error::Error for StartError {}

macro_rules! from_rooms {
    ($($room:ty),* $(,)?) => {
        $(impl From<$room> for StartError {
            fn from(fault: $room) -> Self {
                Self::Room(fault.to_string())
            }
        })*
    };
}

from_rooms!(
    LocalError,
    OpenError,
    store::Error,
    ledger::Error,
    KmsError,
    VaultError,
    RosterError,
    ListenError,
    TlsError,
    EmulatorError,
    backup::Fault,
    BadProvider,
    CryptoError,
    std::io::Error,
);
