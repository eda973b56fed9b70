//! Why something could not be done with a client key.
//! Says what and what to do.
//! Must never repeat a key.

use crate::client::BadScope;
use crate::crypto::CryptoError;
use crate::store;

#[derive(Debug)]
pub(crate) enum RosterError {
    BadScope(BadScope),
    /// A member of the row that cannot be compiled; a fault of whoever stored it.
    BadMember {
        member: &'static str,
        fault: &'static str,
    },
    LastAdmin,
    NotFound,
    Store(store::Error),
    Crypto(CryptoError),
}

impl From<store::Error> for RosterError {
    fn from(fault: store::Error) -> Self {
        match fault {
            store::Error::LastAdmin => Self::LastAdmin,
            other @ (store::Error::Open { .. }
            | store::Error::Newer { .. }
            | store::Error::Damaged { .. }
            | store::Error::Lacking { .. }
            | store::Error::Orphaned
            | store::Error::MasterGone
            | store::Error::Miscounted { .. }
            | store::Error::Contradiction { .. }
            | store::Error::Duplicate { .. }
            | store::Error::Stale
            | store::Error::LeaseLost
            | store::Error::Worn
            | store::Error::Unreachable { .. }
            | store::Error::Full { .. }
            | store::Error::Failed { .. }) => Self::Store(other),
        }
    }
}

impl From<CryptoError> for RosterError {
    fn from(fault: CryptoError) -> Self {
        Self::Crypto(fault)
    }
}

impl std::fmt::Display for RosterError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::BadScope(bad) => write!(formatter, "`{}`: {}", bad.scope, bad.fault),
            Self::BadMember { member, fault } => write!(formatter, "{member}: {fault}"),
            Self::LastAdmin => store::Error::LastAdmin.fmt(formatter),
            Self::NotFound => formatter.write_str("there is no client key of that id"),
            Self::Store(fault) => fault.fmt(formatter),
            Self::Crypto(fault) => fault.fmt(formatter),
        }
    }
}

impl std::error::Error for RosterError {}
