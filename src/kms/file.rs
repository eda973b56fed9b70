//! The kind `file`: 32 random bytes in a file of mode 0600.
//! Must never write a master key over another one, and never read one that others can read: a
//! mode that is too open is refused, not repaired.

mod leftover;

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
    write_new(path).map_err(|fault| fault.at(path))?;
    Ok(true)
}

/// The new key of a rotation, made beside the present one; and the one that this is.
pub(super) struct Staged {
    pub(super) key: LocalKey,
    pub(super) present: MasterId,
    /// Nothing can be wrapped by it yet.
    pub(super) fresh: bool,
}

/// Makes it, or takes up the one that was made before a kill: the one that the database names.
/// Whatever else lies in its place was made by nobody whom this house knows, and is put aside.
pub(super) fn stage(path: &Path, is_named: &dyn Fn(&MasterId) -> bool) -> Result<Staged, KmsError> {
    let present = load(path)?.id();
    leftover::sweep(path, is_named);
    let staged = named(path, "new");
    if std::fs::symlink_metadata(&staged).is_ok() {
        match leftover::id_of(&staged) {
            Some(id) if id != present && is_named(&id) => {
                return Ok(Staged { key: load(&staged)?, present, fresh: false });
            }
            Some(_) | None => leftover::put_aside(path, &staged)?,
        }
    }
    write_new(&staged).map_err(|fault| fault.at(&staged))?;
    Ok(Staged { key: load(&staged)?, present, fresh: true })
}

/// What interrupted writes have left goes.
pub(super) fn sweep(path: &Path, is_named: &dyn Fn(&MasterId) -> bool) {
    leftover::sweep(path, is_named);
}

/// What lies where a new key goes, and is none that the database names.
pub(super) fn stray(path: &Path, is_named: &dyn Fn(&MasterId) -> bool) -> Option<PathBuf> {
    let staged = named(path, "new");
    std::fs::symlink_metadata(&staged).ok()?;
    match leftover::id_of(&staged) {
        Some(id) if is_named(&id) => None,
        Some(_) | None => Some(staged),
    }
}

/// Takes a staged key away again that nothing was wrapped by.
pub(super) fn unstage(path: &Path, id: &MasterId) {
    let staged = named(path, "new");
    if leftover::id_of(&staged).as_ref() == Some(id)
        && let Err(fault) = std::fs::remove_file(&staged)
    {
        tracing::warn!(file = %staged.display(), %fault, "an unused key file stays; remove it");
    }
}

/// What rotations have left beside the present one: the new key, former ones, those put aside. One
/// that cannot be read is passed over; a row that needs it says so.
pub(super) fn beside(path: &Path) -> Vec<LocalKey> {
    let Some(name) = path.file_name().map(|name| name.to_string_lossy().into_owned()) else {
        return Vec::new();
    };
    let (new, old) = (format!("{name}.new"), format!("{name}.old-"));
    // One that was put aside wraps nothing; but where a row names it, it must be found.
    let aside = format!("{name}.{}", leftover::ASIDE);
    let is_ours = |file: &str| file == new || file.starts_with(&old) || file.starts_with(&aside);
    let mut keys = Vec::new();
    for (file, place) in leftover::around(path) {
        if is_ours(&file) {
            match load(&place) {
                Ok(key) => keys.push(key),
                Err(fault) => tracing::warn!(%fault, "a key beside the master key is passed over"),
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
    let staged = leftover::find(path, to).ok_or_else(|| KmsError::OtherMaster(to.clone()))?;
    check(&staged)?;
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

impl Failed {
    fn at(self, path: &Path) -> KmsError {
        match self {
            Self::Io(cause) => {
                KmsError::Unwritable { path: path.to_owned(), cause: cause.to_string() }
            }
            Self::Crypto(fault) => KmsError::Crypto(fault),
        }
    }
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
    // A name of its own: what an interrupted write has left stands in nobody's way.
    let beside = named(path, &format!("{}{}", leftover::PART, uuid::Uuid::now_v7().simple()));
    let mut file =
        std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    if let Err(cause) = file.write_all(key.expose()).and_then(|()| file.sync_all()) {
        // A full disk, perhaps: nothing of it stays. What cannot go is swept by the next start.
        let _gone = std::fs::remove_file(&beside);
        return Err(cause.into());
    }
    failpoint::pass(failpoint::place::MASTER_WRITTEN);
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

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn what_lies_where_the_new_key_goes_is_taken_up_only_if_the_database_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        create_if_missing(&path).unwrap();
        let staged = folder.path().join("master.key.new");
        let first = stage(&path, &|_| false).ok().unwrap();
        assert!(first.fresh && first.present == load(&path).unwrap().id());
        let id = first.key.id();
        let again = stage(&path, &|named| *named == id).ok().unwrap();
        assert!(!again.fresh && again.key.id() == id);

        // A whole key that nobody has named, one that was cut, a folder, and the present one.
        std::fs::write(&staged, [0; 32]).unwrap();
        let foreign = load(&staged).unwrap().id();
        for made in ["whole", "cut", "folder", "present"] {
            match made {
                "whole" => {}
                "cut" => std::fs::write(&staged, [1; 9]).unwrap(),
                "folder" => {
                    std::fs::remove_file(&staged).unwrap();
                    std::fs::create_dir(&staged).unwrap();
                }
                _ => std::fs::write(&staged, std::fs::read(&path).unwrap()).unwrap(),
            }
            let named = |id: &MasterId| made == "present" && *id == first.present;
            let staged = stage(&path, &named).ok().unwrap();
            assert!(staged.fresh, "{made}");
            assert!(staged.key.id() != foreign && staged.key.id() != first.present, "{made}");
        }
        let aside = names(folder.path());
        let aside = aside.iter().filter(|name| name.starts_with("master.key.aside-")).count();
        assert_eq!(aside, 4, "nothing is thrown away");
        // The one that the database names may not lie open.
        let id = load(&staged).unwrap().id();
        std::fs::set_permissions(&staged, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(stage(&path, &|n| *n == id), Err(KmsError::TooOpen { .. })));
    }

    #[test]
    fn what_interrupted_writes_have_left_is_swept_and_stands_in_nobodys_way() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        create_if_missing(&path).unwrap();
        let process = std::process::id();
        for name in [
            format!("master.key.new-{process}"),
            format!("master.new-{process}"),
            String::from("master.key.part-00"),
            String::from("master.key.new.part-00"),
        ] {
            std::fs::write(folder.path().join(name), [7; 32]).unwrap();
        }
        // Killed between its two names: the same key lies there twice.
        std::fs::hard_link(&path, folder.path().join("master.key.part-01")).unwrap();
        std::fs::write(folder.path().join("master.key.backup"), [7; 32]).unwrap();
        let id = load(&path).unwrap().id();
        stage(&path, &|named| *named == id).ok().unwrap();
        let expected = ["master.key", "master.key.backup", "master.key.new"];
        assert_eq!(names(folder.path()), expected);
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
