//! One process, one data folder, and one database file where the database is one. The folder is
//! made private, both are locked while the process lives, and the node's own name is kept there.
//! The kernel lets go of the locks when the process dies, however it dies.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::StartError;
use crate::crypto;
use crate::store::Target;

pub(super) struct DataLock {
    folder: PathBuf,
    /// None: what stands there is no name.
    node: Option<String>,
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
        [&path, &folder.join("node"), &folder.join("node.new")].into_iter().try_for_each(plain)?;
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
        let node = match node_name(folder) {
            Ok(name) => Some(name),
            Err(cause) if cause.kind() == std::io::ErrorKind::InvalidData => None,
            Err(cause) => return Err(failed(cause)),
        };
        let database = match target {
            Target::Sqlite(path) => hold(path)?,
            // Made for several nodes.
            Target::Postgres(_) => None,
        };
        Ok(Self { folder: folder.to_owned(), node, _file: file, _database: database })
    }

    /// Names this node's own chain of records; stays the same as long as the folder does.
    pub(super) fn node(&self) -> &str {
        self.node.as_deref().unwrap_or_default()
    }

    /// The file with the name was put aside: a new one.
    pub(super) fn begin_anew(&mut self) -> Result<(), StartError> {
        let name = node_name(&self.folder).map_err(|cause| StartError::DataFolder {
            folder: self.folder.clone(),
            cause: cause.to_string(),
        })?;
        self.node = Some(name);
        Ok(())
    }

    /// The journal knows whose it is, though somebody has changed the file: that name is written
    /// there again, and what was found comes back. Where nothing tells it, an error.
    pub(super) fn settle(
        &mut self,
        of_journal: Option<String>,
    ) -> Result<Option<String>, StartError> {
        match (&self.node, of_journal) {
            (Some(_), None) => Ok(None),
            (None, None) => node_of(&self.folder).map(|_| None),
            (Some(node), Some(known)) if *node == known => Ok(None),
            (_, Some(known)) => {
                let written = write_name(&self.folder, &known);
                written.map_err(|cause| StartError::DataFolder {
                    folder: self.folder.clone(),
                    cause: cause.to_string(),
                })?;
                self.node = Some(known);
                Ok(Some(renamed("the journal knows the right one, which stands there again")))
            }
        }
    }
}

/// Not there, or a file: opening a pipe waits for ever for its other end.
fn plain(path: impl AsRef<Path>) -> Result<(), StartError> {
    match std::fs::metadata(path.as_ref()) {
        Ok(metadata) if !metadata.is_file() => Err(StartError::Room(format!(
            "{} is no plain file: somebody put it there in the place of one of Sealgate's; find out \
             who writes into the folder, move it away, and start again",
            path.as_ref().display()
        ))),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Beside the file, because SQLite loses its own locks when anybody else here closes the file. None
/// where there is no folder for it: then the database cannot be opened either, which has its line.
fn hold(database: &Path) -> Result<Option<File>, StartError> {
    // By whatever way it is named.
    let database = std::fs::canonicalize(database).unwrap_or_else(|_| database.to_owned());
    let mut path = database.clone().into_os_string();
    path.push(".lock");
    plain(&path)?;
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

/// The name that is kept in the folder; None where none is yet.
pub(super) fn node_of(folder: &Path) -> Result<Option<String>, StartError> {
    kept_name(&folder.join("node")).map_err(|cause| StartError::DataFolder {
        folder: folder.to_owned(),
        cause: cause.to_string(),
    })
}

fn kept_name(path: &Path) -> std::io::Result<Option<String>> {
    match std::fs::read_to_string(path) {
        Ok(name) if is_name(name.trim()) => Ok(Some(name.trim().to_owned())),
        Ok(_) => {
            let what = "the file `node` does not hold a node's name; bring it back from a copy \
                        (twelve hexadecimal digits, as in `node` of any record of this node)";
            Err(std::io::Error::new(std::io::ErrorKind::InvalidData, what))
        }
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(cause),
    }
}

fn node_name(folder: &Path) -> std::io::Result<String> {
    let path = folder.join("node");
    if let Some(name) = kept_name(&path)? {
        return Ok(name);
    }
    let random: [u8; 6] = crypto::random_bytes().map_err(std::io::Error::other)?;
    let name = random.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    write_name(folder, &name)?;
    Ok(name)
}

pub(super) fn renamed(what: &str) -> String {
    format!(
        "somebody changed the name of this node (the file `node` in data_dir); {what}. Find out who \
         writes into the folder, then say with `sealgate secret accept` that you have seen it"
    )
}

fn write_name(folder: &Path, name: &str) -> std::io::Result<()> {
    let beside = folder.join("node.new");
    let mut file =
        OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&beside)?;
    file.write_all(name.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&beside, folder.join("node"))
}

fn is_name(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_file_in_the_place_of_one_is_named_and_waited_for_by_nobody() {
        for name in ["lock", "node", "node.new", "house.db.lock"] {
            for is_pipe in [true, false] {
                let folder = tempfile::tempdir().unwrap();
                let path = folder.path().join(name);
                match is_pipe {
                    true => nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap(),
                    false => std::fs::create_dir(&path).unwrap(),
                }
                let target = Target::Sqlite(folder.path().join("house.db"));
                std::fs::write(folder.path().join("house.db"), "").unwrap();
                let fault = DataLock::take(folder.path(), &target).err().unwrap().to_string();
                assert!(fault.contains(name) && fault.contains("no plain file"), "{fault}");
            }
        }
    }

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
