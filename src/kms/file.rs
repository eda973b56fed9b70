//! The kind `file`: 32 random bytes in a file of mode 0600.
//! Must never write a master key over another one, and never read one that others can read: a
//! mode that is too open is refused, not repaired.

use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use super::KmsError;
use super::local::LocalKey;
use crate::crypto::{self, CryptoError};
use crate::secret::Key;
use crate::store::MasterKind;

/// Reads the master key that is there.
pub(super) fn load(path: &Path) -> Result<LocalKey, KmsError> {
    check(path)?;
    let unreadable = |cause: std::io::Error| KmsError::Unreadable {
        path: path.to_owned(),
        cause: cause.to_string(),
    };
    let mut file = std::fs::File::open(path).map_err(unreadable)?;
    let key = Key::fill_with(|buffer| file.read_exact(buffer)).map_err(unreadable)?;
    Ok(LocalKey::new(MasterKind::File, key))
}

/// Makes the first master key; true if it was made, false if one already stood there.
pub(super) fn create_if_missing(path: &Path) -> Result<bool, KmsError> {
    if path.exists() {
        return Ok(false);
    }
    write_new(path).map_err(|fault| match fault {
        Failed::Io(cause) => {
            KmsError::Unwritable { path: path.to_owned(), cause: cause.to_string() }
        }
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

/// Is there a master key at its place, whole and private?
pub(super) fn check(path: &Path) -> Result<(), KmsError> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_start_makes_a_private_key_and_the_next_finds_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys/master.key");
        assert!(matches!(load(&path), Err(KmsError::Missing(_))));
        assert!(create_if_missing(&path).unwrap());
        assert!(!create_if_missing(&path).unwrap());
        let first = load(&path).unwrap();
        assert_eq!(first.id(), load(&path).unwrap().id());
    }

    #[test]
    fn a_key_that_others_can_read_or_that_is_cut_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        create_if_missing(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(load(&path), Err(KmsError::TooOpen { .. })));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::write(&path, [0; 31]).unwrap();
        assert!(matches!(load(&path), Err(KmsError::WrongSize { .. })));
    }
}
