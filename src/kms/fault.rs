//! Why a master key cannot be used: one line each, saying what, why and what to do. Told apart:
//! what concerns the master key as a whole, and what concerns one wrapped key.
//! Must never hold key material, a passphrase or a token.

use std::fmt;
use std::path::PathBuf;

use crate::crypto::CryptoError;
use crate::store::{self, MasterId};

#[derive(Debug)]
pub(crate) enum KmsError {
    Missing(PathBuf),
    TooOpen {
        path: PathBuf,
        mode: u32,
    },
    WrongSize {
        path: PathBuf,
        bytes: u64,
    },
    Unreadable {
        path: PathBuf,
        cause: String,
    },
    Unwritable {
        path: PathBuf,
        cause: String,
    },
    /// A file with the passphrase or the token cannot be used.
    Source {
        what: &'static str,
        path: PathBuf,
        cause: String,
    },
    /// Others can read it.
    OpenSource {
        what: &'static str,
        path: PathBuf,
        mode: u32,
    },
    /// Nobody has typed the passphrase, and the settings name no place of it.
    NeedsPassphrase,
    WrongPassphrase,
    ShortPassphrase {
        least: usize,
    },
    /// Long enough, and among the first guesses all the same.
    WeakPassphrase,
    /// A passphrase was typed where none opens anything.
    NoPassphraseHere,
    /// No master key was made yet.
    NotSetUp,
    /// The row of a master key that a passphrase opens is not as it was left.
    LostRow {
        id: String,
        fault: String,
    },
    /// This program was built without that kind.
    #[cfg(not(feature = "aws-kms"))]
    NotBuilt,
    /// Wrapped by a master key that is not at hand.
    OtherMaster(MasterId),
    /// The KMS does not answer at present; it is worth trying again.
    Away {
        what: String,
        cause: String,
    },
    /// The KMS answers, and says no to all of it: a right, a key or a token is missing.
    Denied {
        what: String,
        cause: String,
    },
    /// This one thing does not open: it was edited, moved, or made for something else.
    Crypto(CryptoError),
    Store(store::Error),
}

impl KmsError {
    /// Does it concern the master key as a whole, and not the one thing that was to be unwrapped?
    pub(crate) fn is_of_the_master(&self) -> bool {
        match self {
            Self::Missing(_)
            | Self::TooOpen { .. }
            | Self::WrongSize { .. }
            | Self::Unreadable { .. }
            | Self::Unwritable { .. }
            | Self::Source { .. }
            | Self::OpenSource { .. }
            | Self::NeedsPassphrase
            | Self::WrongPassphrase
            | Self::ShortPassphrase { .. }
            | Self::WeakPassphrase
            | Self::NoPassphraseHere
            | Self::NotSetUp
            | Self::LostRow { .. }
            | Self::Away { .. }
            | Self::Denied { .. }
            | Self::Store(_) => true,
            #[cfg(not(feature = "aws-kms"))]
            Self::NotBuilt => true,
            Self::OtherMaster(_) | Self::Crypto(_) => false,
        }
    }

    /// The sentence of a fault of a file; None of any other.
    fn of_a_file(&self) -> Option<String> {
        if let Self::Missing(path) = self {
            return Some(format!(
                "the master key {} is missing; bring it back from its safe copy (without it no secret \
                 can be opened), or set master_key.path to where it lies",
                path.display()
            ));
        }
        if let Self::TooOpen { path, mode } = self {
            let path = path.display();
            return Some(format!(
                "the master key {path} has mode {mode:04o}, others can read it; run: chmod 600 {path}"
            ));
        }
        if let Self::WrongSize { path, bytes } = self {
            return Some(format!(
                "the master key {} has {bytes} bytes instead of 32; it is damaged or another file",
                path.display()
            ));
        }
        if let Self::Unreadable { path, cause } = self {
            return Some(format!("cannot read the master key {}: {cause}", path.display()));
        }
        if let Self::Unwritable { path, cause } = self {
            return Some(format!(
                "cannot write the master key {}: {cause}; its folder must let the user write that \
                 the server runs as",
                path.display()
            ));
        }
        if let Self::Source { what, path, cause } = self {
            return Some(format!(
                "cannot read the {what} of the master key from {}: {cause}; write it there, or set \
                 master_key.{what} to where it is",
                path.display()
            ));
        }
        let Self::OpenSource { what, path, mode } = self else { return None };
        let path = path.display();
        Some(format!(
            "the file {path} with the {what} of the master key has mode {mode:04o}, others can read \
             it; run: chmod 600 {path}"
        ))
    }

    /// Is it of those that a house waits for, sealed, instead of not starting at all?
    pub(crate) fn is_awaited(&self) -> bool {
        matches!(
            self,
            Self::NeedsPassphrase | Self::Away { .. } | Self::Denied { .. } | Self::LostRow { .. }
        )
    }
}

impl fmt::Display for KmsError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(_)
            | Self::TooOpen { .. }
            | Self::WrongSize { .. }
            | Self::Unreadable { .. }
            | Self::Unwritable { .. }
            | Self::Source { .. }
            | Self::OpenSource { .. } => formatter.write_str(&self.of_a_file().unwrap_or_default()),
            Self::NeedsPassphrase => formatter.write_str(
                "the master key is held by a passphrase that nobody has typed; run `sealgate unseal`, \
                 or set master_key.passphrase",
            ),
            Self::WrongPassphrase => formatter
                .write_str("this passphrase opens no master key; nothing was changed, try again"),
            Self::ShortPassphrase { least } => write!(
                formatter,
                "a passphrase of fewer than {least} characters is guessed too soon; choose several \
                 random words"
            ),
            Self::WeakPassphrase => formatter.write_str(
                "this passphrase is among the first that are guessed: too few different characters, \
                 characters in a row, or one that many take; choose several random words",
            ),
            Self::NoPassphraseHere => formatter
                .write_str("the master key is not held by a passphrase; unseal without one"),
            Self::NotSetUp => formatter.write_str(
                "this installation has no master key that a passphrase opens; run `sealgate init`, \
                 or set master_key to the kind that it was made with",
            ),
            Self::LostRow { id, fault } => write!(
                formatter,
                "the row {id} of the table master_passphrases, the master key that a passphrase \
                 opens, {fault}: it was changed outside Sealgate, and cannot be made again; bring \
                 the installation back with `sealgate backup restore`"
            ),
            #[cfg(not(feature = "aws-kms"))]
            Self::NotBuilt => formatter.write_str(
                "this program was built without AWS KMS; build it with `--features aws-kms`",
            ),
            Self::OtherMaster(id) => write!(
                formatter,
                "it was wrapped by another master key ({} {}); set master_key to that one",
                id.kind.as_str(),
                id.id
            ),
            Self::Away { what, cause } => {
                write!(formatter, "{what} does not answer: {cause}; it is tried again by itself")
            }
            Self::Denied { what, cause } => write!(formatter, "{what} refuses: {cause}"),
            Self::Crypto(fault) => fault.fmt(formatter),
            Self::Store(fault) => fault.fmt(formatter),
        }
    }
}

impl std::error::Error for KmsError {}

impl From<CryptoError> for KmsError {
    fn from(fault: CryptoError) -> Self {
        Self::Crypto(fault)
    }
}

impl From<store::Error> for KmsError {
    fn from(fault: store::Error) -> Self {
        Self::Store(fault)
    }
}
