//! The kind `file`: 32 random bytes in a file of mode 0600.
//! Must never write a master key over another one, and never read one that others can read: a
//! mode that is too open is refused, not repaired.

use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::KmsError;
use super::local::LocalKey;
use crate::crypto::{self, CryptoError};
use crate::failpoint;
use crate::secret::Key;
use crate::store::{MasterId, MasterKind};

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

/// The new key of a rotation: made beside the present one, or the one that was made before a kill.
pub(super) fn stage(path: &Path) -> Result<LocalKey, KmsError> {
    let staged = named(path, "new");
    create_if_missing(&staged)?;
    load(&staged)
}

/// What a rotation has left beside the present one: the new key, and former ones. One that cannot
/// be read is passed over; a row that needs it says so.
pub(super) fn beside(path: &Path) -> Vec<LocalKey> {
    let Some(name) = path.file_name().map(|name| name.to_string_lossy().into_owned()) else {
        return Vec::new();
    };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let Ok(entries) = std::fs::read_dir(folder.unwrap_or_else(|| Path::new("."))) else {
        return Vec::new();
    };
    let (new, old) = (format!("{name}.new"), format!("{name}.old-"));
    let is_ours = |file: &str| file == new || file.starts_with(&old);
    let mut keys = Vec::new();
    for entry in entries.flatten() {
        if is_ours(&entry.file_name().to_string_lossy()) {
            match load(&entry.path()) {
                Ok(key) => keys.push(key),
                Err(fault) => tracing::warn!(%fault, "a former master key is passed over"),
            }
        }
    }
    keys
}

/// The staged key takes the place of the present one, which keeps a name of its own; where that was
/// is told. At every moment a whole key lies at `path`. Does nothing where it was done before.
pub(super) fn place(path: &Path, from: &MasterId, to: &MasterId) -> Result<PathBuf, KmsError> {
    let failed = |cause: std::io::Error| KmsError::Unwritable {
        path: path.to_owned(),
        cause: cause.to_string(),
    };
    // Enough of its id to tell files apart.
    let short: String = from.id.chars().take(8).collect();
    let old = named(path, &format!("old-{short}"));
    if load(path)?.id() == *to {
        return Ok(old);
    }
    if !old.exists() {
        std::fs::hard_link(path, &old).map_err(failed)?;
        sync_folder(path).map_err(failed)?;
    }
    failpoint::pass(failpoint::place::MASTER_KEPT);
    let staged = named(path, "new");
    if load(&staged)?.id() != *to {
        return Err(KmsError::OtherMaster(to.clone()));
    }
    std::fs::rename(&staged, path).map_err(failed)?;
    sync_folder(path).map_err(failed)?;
    Ok(old)
}

/// `master.key` becomes `master.key.new`: beside it, whatever its own name is.
fn named(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    PathBuf::from(name)
}

fn sync_folder(path: &Path) -> std::io::Result<()> {
    match path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        Some(folder) => std::fs::File::open(folder)?.sync_all(),
        None => Ok(()),
    }
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
