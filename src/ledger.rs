//! The record of every request and change.

use std::path::PathBuf;

#[derive(Clone, Debug)]
pub struct Settings {
    /// The folder of the journal: `{data_dir}/journal`.
    pub folder: PathBuf,
    pub retention_days: u32,
}
