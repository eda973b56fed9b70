//! Why an operator is not signed in, or something of one is not changed. What a stranger is told of
//! it is one and the same sentence.
//! Must never hold what was typed.

use std::time::Duration;

use uuid::Uuid;

use crate::crypto::CryptoError;
use crate::store;

#[derive(Debug)]
pub(crate) enum OperatorFault {
    /// Name, password or code: which of them only the trail says, and whose it was.
    Wrong {
        who: Option<(Uuid, String)>,
        what: &'static str,
    },
    /// After too many wrong ones.
    TooSoon {
        wait: Duration,
    },
    /// Too many passwords are being checked.
    Busy,
    /// The keys that judge operators are away.
    Sealed,
    /// It may be no password.
    Weak(&'static str),
    NotFound,
    NameTaken,
    /// Whoever asks has no session any more.
    Ended,
    Store(store::Error),
    Crypto(CryptoError),
}

impl From<store::Error> for OperatorFault {
    fn from(fault: store::Error) -> Self {
        if matches!(fault, store::Error::Duplicate { .. }) {
            return Self::NameTaken;
        }
        if fault == store::Error::Stale { Self::Sealed } else { Self::Store(fault) }
    }
}

impl From<CryptoError> for OperatorFault {
    fn from(fault: CryptoError) -> Self {
        Self::Crypto(fault)
    }
}
