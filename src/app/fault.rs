//! Why the house does not start.
//! One line each, saying what, why and what to do.
//! Must never repeat a secret: a password in a URL, a value of a setting.

use std::fmt;
use std::path::PathBuf;

use crate::admin::LocalError;
use crate::crypto::CryptoError;
use crate::emulator::EmulatorError;
use crate::kms::KmsError;
use crate::net::{ListenError, TlsError};
use crate::provider::BadProvider;
use crate::roster::RosterError;
use crate::vault::VaultError;
use crate::{ledger, store};

/// A cause, already in words.
#[derive(Debug)]
pub enum StartError {
    Clock(String),
    DataFolder {
        folder: PathBuf,
        cause: String,
    },
    InUse(PathBuf),
    #[doc(hidden)]
    Socket(LocalError),
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
            Self::Socket(fault) => fault.fmt(formatter),
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
    store::Error,
    ledger::Error,
    KmsError,
    VaultError,
    RosterError,
    ListenError,
    TlsError,
    EmulatorError,
    BadProvider,
    CryptoError,
    std::io::Error,
);
