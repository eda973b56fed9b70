//! Reports for people: what is read from tables, sums and trail, put together and written as JSON,
//! CSV or a page to print. One file for each concern; all kinds share one form.
//! Must never hold a value of a secret, a key or a query, and must never change anything.

mod backups;
mod broad;
mod csv;
mod document;
mod facts;
mod finding;
mod html;
mod hygiene;
mod keys;
mod repeats;
mod secrets;
mod security;
mod send;
mod usage;

use std::fmt;

use crate::backup;
use crate::store::{self, Store};
use crate::vault::{Vault, VaultError};

pub(crate) use self::csv::quoted;
pub(crate) use self::document::Document;
pub(crate) use self::html::STYLE;
pub(crate) use self::hygiene::Limits;
pub(crate) use self::send::{Plan, Sender};

/// What a report is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReportKind {
    /// Keys that somebody should look at.
    Hygiene,
    /// What calls came to.
    Usage,
    /// What was refused, told and changed.
    Security,
}

/// What somebody wants to know.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) from_ms: i64,
    /// Before this moment.
    pub(crate) to_ms: i64,
    /// The id or the name of a client key.
    pub(crate) client: Option<String>,
    pub(crate) provider: Option<String>,
}

/// Where reports are read from.
pub(crate) struct Sources<'a> {
    pub(crate) store: &'a Store,
    pub(crate) vault: &'a Vault,
    pub(crate) backups: &'a backup::Settings,
    pub(crate) now_ms: i64,
}

#[derive(Debug)]
pub(crate) enum ReportError {
    Store(store::Error),
    Vault(VaultError),
    /// More than a report holds: a shorter time.
    TooMuch,
}

const A_DAY_MS: i64 = 86_400_000;

impl ReportKind {
    pub(crate) const ALL: [Self; 3] = [Self::Hygiene, Self::Usage, Self::Security];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Hygiene => "hygiene",
            Self::Usage => "usage",
            Self::Security => "security",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

impl From<store::Error> for ReportError {
    fn from(fault: store::Error) -> Self {
        Self::Store(fault)
    }
}

impl From<VaultError> for ReportError {
    fn from(fault: VaultError) -> Self {
        Self::Vault(fault)
    }
}

impl fmt::Display for ReportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(fault) => fault.fmt(f),
            Self::Vault(fault) => fault.fmt(f),
            Self::TooMuch => f.write_str("there is more than one report holds"),
        }
    }
}
