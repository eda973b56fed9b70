//! The only SQL.

/// Where the database is.
#[derive(Clone)]
pub struct Settings {
    pub target: Target,
}

#[derive(Clone)]
pub enum Target {
    Sqlite(std::path::PathBuf),
    /// The whole URL, password included, hence never printed.
    Postgres(std::sync::Arc<crate::secret::SecretBytes>),
}
