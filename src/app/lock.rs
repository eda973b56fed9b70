//! One process, one data folder: made private, locked while the process lives, and the place of the
//! node's own name.
//! The kernel lets go of the lock when the process dies, however it dies.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use super::StartError;
use crate::crypto;

pub(super) struct DataLock {
    node: String,
    _file: File,
}

impl DataLock {
    pub(super) fn take(folder: &Path) -> Result<Self, StartError> {
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
        Ok(Self { node, _file: file })
    }

    /// Names this node's own chain of records; stays the same as long as the folder does.
    pub(super) fn node(&self) -> &str {
        &self.node
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
