//! What every check answers with: a line that is green or red, and what to do about it.
//! Each looks at one thing.
//! Must never hold a value that nobody may read.

use super::super::failure::one_line;
use crate::config::Config;
use crate::store::Target;

/// One thing that was looked at.
pub(super) struct Check {
    pub(super) name: &'static str,
    pub(super) ok: bool,
    pub(super) detail: String,
    /// What to do where it is not well, or may not be what was meant.
    pub(super) remedy: Option<String>,
}

impl Check {
    pub(super) fn green(name: &'static str, detail: impl Into<String>) -> Self {
        Self { name, ok: true, detail: one_line(&detail.into()), remedy: None }
    }

    /// Nothing is wrong; it may just not be what was meant.
    pub(super) fn note(
        name: &'static str,
        detail: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { remedy: Some(remedy.into()), ..Self::green(name, detail) }
    }

    pub(super) fn red(
        name: &'static str,
        detail: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        let (detail, remedy) = (one_line(&detail.into()), Some(remedy.into()));
        Self { name, ok: false, detail, remedy }
    }
}

/// Opening a SQLite database that is not there would make it.
pub(super) fn database_stands(config: &Config) -> bool {
    match &config.store.target {
        Target::Sqlite(path) => path.exists(),
        Target::Postgres(_) => true,
    }
}
