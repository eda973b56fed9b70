//! Who holds the master key.
//! This version knows one kind, a file; the others come behind the same face. Must never write a
//! master key over another one, and never read one that others can read.

use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::crypto::{self, CryptoError, label};
use crate::secret::Key;

/// Where the master key is. Other kinds are refused by config until they are built.
#[derive(Clone, Debug)]
pub enum Settings {
    File { path: PathBuf },
}

/// The master key in use and the id that envelopes name it by.
pub(crate) struct MasterKey {
    pub(crate) id: [u8; 16],
    pub(crate) key: Key,
}

#[derive(Debug)]
pub(crate) enum KmsError {
    Missing(PathBuf),
    TooOpen { path: PathBuf, mode: u32 },
    WrongSize { path: PathBuf, bytes: u64 },
    Unreadable { path: PathBuf, cause: String },
    Unwritable { path: PathBuf, cause: String },
    Crypto(CryptoError),
}

impl std::fmt::Display for KmsError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Missing(path) => write!(
                formatter,
                "the master key {} is missing; bring it back from its safe copy (without it no secret \
                 can be opened), or set master_key.path to where it lies",
                path.display()
            ),
            Self::TooOpen { path, mode } => write!(
                formatter,
                "the master key {} has mode {mode:04o}, others can read it; run: chmod 600 {}",
                path.display(),
                path.display()
            ),
            Self::WrongSize { path, bytes } => write!(
                formatter,
                "the master key {} has {bytes} bytes instead of 32; it is damaged or another file",
                path.display()
            ),
            Self::Unreadable { path, cause } => {
                write!(formatter, "cannot read the master key {}: {cause}", path.display())
            }
            Self::Unwritable { path, cause } => {
                write!(formatter, "cannot create the master key {}: {cause}", path.display())
            }
            Self::Crypto(fault) => fault.fmt(formatter),
        }
    }
}

impl std::error::Error for KmsError {}

/// Reads the master key that is there.
pub(crate) fn load(settings: &Settings) -> Result<MasterKey, KmsError> {
    let Settings::File { path } = settings;
    check_file(path)?;
    let unreadable = |cause: std::io::Error| KmsError::Unreadable {
        path: path.clone(),
        cause: cause.to_string(),
    };
    let mut file = std::fs::File::open(path).map_err(unreadable)?;
    let key = Key::fill_with(|buffer| file.read_exact(buffer)).map_err(unreadable)?;
    Ok(named(key))
}

/// Is there a master key at its place, whole and private?
pub(crate) fn check(settings: &Settings) -> Result<(), KmsError> {
    let Settings::File { path } = settings;
    check_file(path)
}

/// Makes the first master key; true if it was made, false if one already stood there.
pub(crate) fn create_if_missing(settings: &Settings) -> Result<bool, KmsError> {
    let Settings::File { path } = settings;
    if path.exists() {
        return Ok(false);
    }
    write_new(path).map_err(|fault| match fault {
        Failed::Io(cause) => KmsError::Unwritable { path: path.clone(), cause: cause.to_string() },
        Failed::Crypto(fault) => KmsError::Crypto(fault),
    })?;
    Ok(true)
}

enum Failed {
    Io(std::io::Error),
    Crypto(CryptoError),
}

impl From<std::io::Error> for Failed {
    fn from(cause: std::io::Error) -> Self {
        Self::Io(cause)
    }
}

/// Written beside and linked into place, so that a crash leaves either the whole key or none.
fn write_new(path: &Path) -> Result<(), Failed> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let key = Key::fill_with(crypto::fill_random).map_err(Failed::Crypto)?;
    let beside = path.with_extension(format!("new-{}", std::process::id()));
    let mut file =
        std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    file.write_all(key.expose())?;
    file.sync_all()?;
    // A hard link fails if the name exists: two starts at once cannot both win.
    let linked = std::fs::hard_link(&beside, path);
    std::fs::remove_file(&beside)?;
    linked?;
    if let Some(folder) = folder {
        std::fs::File::open(folder)?.sync_all()?;
    }
    Ok(())
}

fn check_file(path: &Path) -> Result<(), KmsError> {
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => {
            return Err(KmsError::Missing(path.to_owned()));
        }
        Err(cause) => {
            return Err(KmsError::Unreadable { path: path.to_owned(), cause: cause.to_string() });
        }
    };
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(KmsError::TooOpen { path: path.to_owned(), mode });
    }
    if metadata.size() != 32 {
        return Err(KmsError::WrongSize { path: path.to_owned(), bytes: metadata.size() });
    }
    Ok(())
}

/// The id is derived from the key, so that it needs no place of its own and cannot be wrong.
fn named(key: Key) -> MasterKey {
    MasterKey { id: crypto::key_id(&key, label::MASTER_KEY_ID), key }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_start_makes_a_private_key_and_the_next_finds_it() {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings::File { path: folder.path().join("keys/master.key") };
        assert!(matches!(load(&settings), Err(KmsError::Missing(_))));
        assert!(create_if_missing(&settings).unwrap());
        assert!(!create_if_missing(&settings).unwrap());
        let first = load(&settings).unwrap();
        assert_eq!(first.id, load(&settings).unwrap().id);
    }

    #[test]
    fn a_key_that_others_can_read_or_that_is_cut_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        let settings = Settings::File { path: path.clone() };
        create_if_missing(&settings).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(load(&settings), Err(KmsError::TooOpen { .. })));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::write(&path, [0; 31]).unwrap();
        assert!(matches!(load(&settings), Err(KmsError::WrongSize { .. })));
    }
}
