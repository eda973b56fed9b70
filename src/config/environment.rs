//! The process's environment, read here and nowhere else, once.
//! Tests hand in a map.
//! Must never print the value of a variable: any of them may be a secret.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::kubernetes;
use crate::secret::SecretBytes;

pub(super) const PREFIX: &str = "SEALGATE_";
const CONFIG: &str = "SEALGATE_CONFIG";
const KEY: &str = "SEALGATE_KEY";
const URL: &str = "SEALGATE_URL";
const TEST_PREFIX: &str = "SEALGATE_TEST_";

/// Variables and current folder of the process.
pub struct Environment {
    variables: BTreeMap<String, OsString>,
    folder: PathBuf,
}

impl Environment {
    #[expect(clippy::disallowed_methods, reason = "this file is the home of the environment")]
    pub fn of_process() -> Self {
        let named = |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value));
        Self {
            variables: std::env::vars_os().filter_map(named).collect(),
            folder: std::env::current_dir().unwrap_or_else(|_| PathBuf::from(".")),
        }
    }

    /// For tests: these variables and no others, in this folder.
    pub fn of(folder: &Path, variables: &[(&str, &str)]) -> Self {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), OsString::from(*value));
        Self { variables: variables.iter().map(owned).collect(), folder: folder.to_owned() }
    }

    /// The current folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// `RUST_LOG`.
    pub fn log_filter(&self) -> Option<&str> {
        self.text("RUST_LOG").filter(|text| !text.is_empty())
    }

    /// `NO_COLOR` is set to anything but nothing, or the terminal can show none.
    pub fn no_colour(&self) -> bool {
        let asked = self.variables.get("NO_COLOR").is_some_and(|value| !value.is_empty());
        asked || self.text("TERM") == Some("dumb")
    }

    /// `SEALGATE_KEY`: the client key for a remote server.
    pub fn key(&self) -> Option<SecretBytes> {
        let text = self.text(KEY).map(str::trim).filter(|text| !text.is_empty())?;
        Some(SecretBytes::copy_of(text.as_bytes()))
    }

    /// `SEALGATE_URL`: the remote server.
    pub fn url(&self) -> Option<&str> {
        self.text(URL).filter(|text| !text.is_empty())
    }

    /// `SEALGATE_TEST_FAILPOINT`: where a test wants this process to be killed.
    #[cfg(feature = "failpoints")]
    pub fn failpoint(&self) -> Option<&str> {
        self.text("SEALGATE_TEST_FAILPOINT")
    }

    /// `SEALGATE_CONFIG`: the settings file.
    pub(super) fn settings_file(&self) -> Option<PathBuf> {
        self.variables.get(CONFIG).filter(|value| !value.is_empty()).map(PathBuf::from)
    }

    /// The value of any variable. None if it is not set; an error if it is not UTF-8.
    pub(super) fn value(&self, name: &str) -> Option<Result<&str, NotText>> {
        self.variables.get(name).map(|value| value.to_str().ok_or(NotText))
    }

    /// Every variable that can only be meant as a setting, in order of name.
    pub(super) fn overrides(&self) -> impl Iterator<Item = &str> {
        let own = |name: &&str| {
            name.starts_with(PREFIX)
                && ![CONFIG, KEY, URL].contains(name)
                && !name.starts_with(TEST_PREFIX)
                && !self.is_of_a_neighbour(name)
        };
        self.variables.keys().map(String::as_str).filter(own)
    }

    fn is_of_a_neighbour(&self, name: &str) -> bool {
        let rest = name.strip_prefix(PREFIX).unwrap_or_default();
        self.text(name).is_some_and(|value| kubernetes::is_of_a_neighbour(rest, value))
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.variables.get(name)?.to_str()
    }
}

/// A value that is not UTF-8.
#[derive(Clone, Copy, Debug)]
pub(super) struct NotText;
