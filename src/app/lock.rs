//! One process, one data folder, and one database file where the database is one. The folder is
//! made private, both are locked while the process lives, and the node's own name is kept there.
//! The kernel lets go of the locks when the process dies, however it dies.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use super::StartError;
use crate::crypto;
use crate::store::Target;

pub(super) struct DataLock {
    node: String,
    _file: File,
    _database: Option<File>,
}

impl DataLock {
    pub(super) fn take(folder: &Path, target: &Target) -> Result<Self, StartError> {
        let failed = |cause: std::io::Error| StartError::DataFolder {
            folder: folder.to_owned(),
            cause: cause.to_string(),
        };
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
        let path = folder.join("lock");
        let file =
            OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path);
        let file = file.map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => {
                return Err(StartError::InUse(folder.to_owned()));
            }
            Err(std::fs::TryLockError::Error(cause)) => return Err(failed(cause)),
        }
        let node = node_name(folder).map_err(failed)?;
        let database = match target {
            Target::Sqlite(path) => hold(path)?,
            // Made for several nodes.
            Target::Postgres(_) => None,
        };
        Ok(Self { node, _file: file, _database: database })
    }

    /// Names this node's own chain of records; stays the same as long as the folder does.
    pub(super) fn node(&self) -> &str {
        &self.node
    }
}

/// Beside the file, because SQLite loses its own locks when anybody else here closes the file. None
/// where there is no folder for it: then the database cannot be opened either, which has its line.
fn hold(database: &Path) -> Result<Option<File>, StartError> {
    // By whatever way it is named.
    let database = std::fs::canonicalize(database).unwrap_or_else(|_| database.to_owned());
    let mut path = database.clone().into_os_string();
    path.push(".lock");
    let opened = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path);
    let Ok(file) = opened else { return Ok(None) };
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(std::fs::TryLockError::WouldBlock) => Err(StartError::DatabaseInUse(database)),
        Err(std::fs::TryLockError::Error(cause)) => {
            Err(StartError::DataFolder { folder: database, cause: cause.to_string() })
        }
    }
}

fn node_name(folder: &Path) -> std::io::Result<String> {
    let path = folder.join("node");
    match std::fs::read_to_string(&path) {
        Ok(name) if is_name(name.trim()) => return Ok(name.trim().to_owned()),
        Ok(_) => {
            let what = "the file `node` does not hold a node's name; bring it back from a backup";
            return Err(std::io::Error::other(what));
        }
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => {}
        Err(cause) => return Err(cause),
    }
    let random: [u8; 6] = crypto::random_bytes().map_err(std::io::Error::other)?;
    let name = random.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let beside = folder.join("node.new");
    let mut file =
        OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&beside)?;
    file.write_all(name.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&beside, &path)?;
    Ok(name)
}

fn is_name(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_database_file_has_one_process_whatever_its_data_folder() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (folder.path().join("one"), folder.path().join("two"));
        let file = folder.path().join("sealgate.db");
        let target = Target::Sqlite(file.clone());
        std::fs::write(&file, "").unwrap();
        let held = DataLock::take(&one, &target).unwrap();
        let again = DataLock::take(&two, &target).err().unwrap();
        assert!(again.to_string().contains("sealgate.db"), "{again}");
        let link = folder.path().join("other.db");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert!(DataLock::take(&two, &Target::Sqlite(link.clone())).is_err());
        drop(held);
        assert!(DataLock::take(&two, &Target::Sqlite(link)).is_ok());
    }
}
