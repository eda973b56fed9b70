//! Why old records stay in the database, in a sentence that says what to look after. Nothing of
//! what failed was carried out.
//! Must never name a record's content.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::block::Bad;
use crate::store;

/// Why nothing was carried out. All of it stays in the database, then.
#[derive(Debug)]
pub(crate) enum Unarchived {
    Store(store::Error),
    Disk {
        path: PathBuf,
        error: io::Error,
    },
    /// The trail is not whole there.
    Broken(Bad),
    /// They should be gone for long: nobody vouches for them.
    Unvouched {
        through: u64,
    },
}

impl From<store::Error> for Unarchived {
    fn from(error: store::Error) -> Self {
        Self::Store(error)
    }
}

impl fmt::Display for Unarchived {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => write!(f, "old records stay in the database: {error}"),
            Self::Disk { path, error } => write!(
                f,
                "old records stay in the database, because their archive {} cannot be written: \
                 {error}; see audit.archive_folder",
                path.display()
            ),
            Self::Broken(bad) => {
                write!(f, "old records stay in the database, because they are not whole: {bad}")
            }
            Self::Unvouched { through } => write!(
                f,
                "old records, up to number {through}, stay in the database, because no checkpoint of \
                 them has reached every place outside; see audit.checkpoint_file and \
                 audit.checkpoint_webhook"
            ),
        }
    }
}

impl std::error::Error for Unarchived {}
