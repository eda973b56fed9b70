//! The scratch folder of one unpacked backup: private, gone when it is dropped. One whose process
//! was killed is told by its lock, which nobody holds any more, and swept.
//! Must never remove one that is in use.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use uuid::Uuid;

const BEFORE: &str = "scratch-";
const LOCK: &str = "lock";

/// What is in it is sealed as it was in the house.
pub(super) struct Scratch {
    path: PathBuf,
    _lock: File,
}

impl Scratch {
    pub(super) fn make(folder: &Path) -> std::io::Result<Self> {
        let path = folder.join(format!("{BEFORE}{}", Uuid::now_v7().simple()));
        DirBuilder::new().recursive(true).mode(0o700).create(&path)?;
        let mut lock = OpenOptions::new();
        let lock = lock.write(true).create_new(true).mode(0o600).open(path.join(LOCK))?;
        lock.lock()?;
        Ok(Self { path, _lock: lock })
    }

    pub(super) fn file(&self) -> PathBuf {
        self.path.join("scratch.db")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(fault) = std::fs::remove_dir_all(&self.path) {
            let folder = self.path.display();
            tracing::warn!(%folder, %fault, "a scratch folder stays; the next start sweeps it");
        }
    }
}

/// Removes those that a killed verification or restore has left.
pub(crate) fn sweep(folder: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = entry.path();
        if !is_ours(&name) || !path.is_dir() || is_in_use(&path) {
            continue;
        }
        match std::fs::remove_dir_all(&path) {
            Ok(()) => tracing::info!(folder = %path.display(), "a killed restore was swept"),
            Err(fault) => tracing::warn!(folder = %path.display(), %fault, "cannot be swept"),
        }
    }
}

fn is_ours(name: &str) -> bool {
    name.strip_prefix(BEFORE).is_some_and(|id| Uuid::try_parse(id).is_ok())
}

fn is_in_use(scratch: &Path) -> bool {
    match OpenOptions::new().write(true).open(scratch.join(LOCK)) {
        Ok(lock) => matches!(lock.try_lock(), Err(TryLockError::WouldBlock)),
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_restore_left_is_swept_and_what_is_in_use_or_foreign_stays() {
        let folder = tempfile::tempdir().unwrap();
        let used = Scratch::make(folder.path()).unwrap();
        let killed = Scratch::make(folder.path()).unwrap();
        let left = killed.path.clone();
        std::fs::write(killed.file(), "x").unwrap();
        // As a kill leaves it: unlocked, and there.
        killed._lock.unlock().unwrap();
        let old = folder.path().join(format!("{BEFORE}{}", Uuid::now_v7().simple()));
        std::fs::create_dir(&old).unwrap();
        std::fs::create_dir(folder.path().join("scratch-notes")).unwrap();
        sweep(folder.path());
        assert!(used.path.exists() && folder.path().join("scratch-notes").exists());
        assert!(!left.exists() && !old.exists());
        std::mem::forget(killed);
    }
}
