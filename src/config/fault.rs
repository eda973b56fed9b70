//! What is wrong with the settings: one line with the file or the variable, the dotted key, the
//! fault and the nearest right name. Must never carry the value of a secret, and never a line
//! break.

use std::fmt;

/// The first fault that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The settings file, the environment variable, or "built-in defaults".
    source: String,
    key: Option<String>,
    what: String,
}

impl Fault {
    pub(super) fn new(
        source: impl Into<String>,
        key: Option<&str>,
        what: impl Into<String>,
    ) -> Self {
        let what = what.into();
        let what = what.split_whitespace().collect::<Vec<_>>().join(" ");
        Self { source: source.into(), key: key.map(str::to_owned), what }
    }

    /// The dotted key, where the fault has one.
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.key {
            Some(key) => write!(formatter, "{}: {key}: {}", self.source, self.what),
            None => write!(formatter, "{}: {}", self.source, self.what),
        }
    }
}

impl std::error::Error for Fault {}
