//! Who holds the master key.

use std::path::PathBuf;

/// Where the master key is. Other kinds are refused by config until they are built.
#[derive(Clone, Debug)]
pub enum Settings {
    File { path: PathBuf },
}
