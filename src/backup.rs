//! Sealed snapshots of the whole house: made while it runs, proven in a scratch place, restored
//! into an empty one. The format stands in `docs/backup.md`. A backup carries every key-encryption
//! key under a key of its own, never the master key. Must never write a backup that is not
//! encrypted, and never touch a house before the backup was unpacked whole.

mod create;
mod door;
mod frame;
mod restore;
mod schedule;
mod scratch;
mod shelf;

use std::path::PathBuf;
use std::time::Duration;

pub(crate) use self::create::{Made, Progress, Source, create};
pub(crate) use self::door::{Lock, Unlock, generate_identity};
pub use self::restore::Verdict;
pub(crate) use self::restore::{Target, restore, verify};
pub(crate) use self::schedule::{Schedule, run as run_schedule};
pub(crate) use self::scratch::sweep;
pub(crate) use self::shelf::{Kept, Shelf, Shelved};
use crate::kms::KmsError;
use crate::store;
use crate::vault::VaultError;

/// Backups that the house makes by itself.
#[derive(Clone, Debug)]
pub struct Settings {
    pub folder: PathBuf,
    /// None: nothing is made by schedule.
    pub every: Option<Duration>,
    /// So many of the newest stay.
    pub keep: usize,
    /// Public keys of age.
    pub recipients: Vec<String>,
}

/// How far a restore has come; after each the process may die.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Unpacked,
    Proven,
    Emptied,
    Loaded,
    Committed,
    /// What belonged to the house that went has made room.
    PutAside,
}

/// Why a backup was not made, does not open, or is not restored.
#[derive(Debug)]
pub(crate) enum Fault {
    /// Reading or writing the file.
    Io(std::io::Error),
    NoRecipient,
    BadRecipient(String),
    BadIdentity(String),
    WrongKey(String),
    /// Cut, edited, or no backup at all.
    Damaged(&'static str),
    Newer {
        format: u16,
        schema: i64,
    },
    NotEmpty,
    /// The other half of the work ended early; its own fault says more.
    BrokenOff,
    Store(store::Error),
    Vault(VaultError),
    Kms(KmsError),
}

impl std::fmt::Display for Fault {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Io(cause) => write!(formatter, "the backup's file: {cause}"),
            Self::NoRecipient => formatter.write_str(
                "a backup needs somebody who can open it; give a passphrase or a recipient, or set \
                 backup.recipients",
            ),
            Self::BadRecipient(text) => {
                write!(formatter, "{text:?} is no public key of age; they begin with age1")
            }
            Self::BadIdentity(why) => write!(
                formatter,
                "the identity file holds no key of age: {why}; its key begins with AGE-SECRET-KEY-1"
            ),
            Self::WrongKey(why) => write!(
                formatter,
                "the backup does not open: {why}; give the passphrase or the identity that it was \
                 made for"
            ),
            Self::Damaged(what) => write!(
                formatter,
                "the backup is damaged: {what}; nothing was changed, take another one"
            ),
            Self::Newer { format, schema } => write!(
                formatter,
                "the backup is of a newer program (format {format}, schema {schema}); nothing was \
                 changed, restore it with that program"
            ),
            Self::NotEmpty => formatter.write_str(
                "this installation holds secrets or client keys, and a restore would replace \
                 everything; give --replace if that is meant",
            ),
            Self::BrokenOff => formatter.write_str("the backup broke off; try again"),
            Self::Store(fault) => fault.fmt(formatter),
            Self::Vault(fault) => fault.fmt(formatter),
            Self::Kms(fault) => fault.fmt(formatter),
        }
    }
}

impl std::error::Error for Fault {}

macro_rules! from {
    ($($kind:ident: $fault:ty),* $(,)?) => {
        $(impl From<$fault> for Fault {
            fn from(fault: $fault) -> Self {
                Self::$kind(fault)
            }
        })*
    };
}

from!(Io: std::io::Error, Store: store::Error, Vault: VaultError, Kms: KmsError);

impl From<crate::crypto::CryptoError> for Fault {
    fn from(fault: crate::crypto::CryptoError) -> Self {
        Self::Vault(VaultError::Crypto(fault))
    }
}
