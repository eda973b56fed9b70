//! What a restore puts aside: the journal, the node's name and the anchors of the house that went.
//! Not before its transaction is committed; a note of it lies in the data folder from before the
//! commit on, so that whoever comes next after a death finishes it, or finds that there is nothing
//! to finish. Must never remove anything, and never put aside what belongs to the house that
//! stands.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::StartError;
use crate::store::Store;
use crate::vault::{ANCHORS, Anchors};

/// In the data folder, where the database's owner cannot write.
const NOTE: &str = "restore.pending";

/// By what the database tells whether a restore was committed, and when it began.
pub(super) struct Note {
    pub(super) mark: String,
    pub(super) begun_ms: i64,
}

impl Note {
    /// Before the commit: from here on a death is answered by whoever opens the house next.
    pub(super) fn leave(&self, data_dir: &Path) -> std::io::Result<()> {
        let beside = data_dir.join("restore.new");
        let mut file =
            OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&beside)?;
        file.write_all(format!("{} {}\n", self.mark, self.begun_ms).as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&beside, data_dir.join(NOTE))?;
        lasting(data_dir)
    }

    fn read(data_dir: &Path) -> std::io::Result<Option<Self>> {
        let path = data_dir.join(NOTE);
        match std::fs::metadata(&path) {
            // Whoever waits for what a pipe brings waits for ever.
            Ok(found) if !found.is_file() => return Ok(None),
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            found => found?,
        };
        let text = std::fs::read_to_string(path)?;
        let read = text.trim().split_once(' ').and_then(|(mark, begun)| {
            Some(Self { mark: mark.to_owned(), begun_ms: begun.parse().ok()? })
        });
        if read.is_none() {
            tracing::warn!(
                "the note of a restore in data_dir is none of Sealgate's; it is not used"
            );
        }
        Ok(read)
    }
}

/// Finishes a restore that was committed, forgets one that was not. True if the journal of another
/// house was put aside: then this node gets another name. Under the data folder's lock.
pub(super) async fn settle(
    data_dir: &Path,
    journal: &Path,
    store: &Store,
) -> Result<bool, StartError> {
    let failed = |cause: std::io::Error| StartError::DataFolder {
        folder: data_dir.to_owned(),
        cause: cause.to_string(),
    };
    let Some(note) = Note::read(data_dir).map_err(failed)? else { return Ok(false) };
    let is_committed = store.last_restore().await?.as_deref() == Some(&*note.mark);
    if is_committed {
        put_aside(data_dir, journal, note.begun_ms).map_err(failed)?;
        // What stands now is meant, though this node has never seen it.
        if let Some(installation) = store.installation().await? {
            Anchors::begin(data_dir, installation.id)?;
        }
    }
    std::fs::remove_file(data_dir.join(NOTE)).map_err(failed)?;
    lasting(data_dir).map_err(failed)?;
    Ok(is_committed)
}

/// The journal and the name of the node whose chain it carries on: the next start makes new ones,
/// so that no chain of the backup is continued from another place. Safe to repeat.
fn put_aside(data_dir: &Path, journal: &Path, begun_ms: i64) -> std::io::Result<()> {
    // Epochs of the database that went; the restored ones are later than any of them anyway.
    let mut all = vec![data_dir.join(ANCHORS)];
    if journal.exists() || named(journal, begun_ms).exists() {
        // The name last: what has no journal any more still has to lose its name.
        all.extend([journal.to_owned(), data_dir.join("node")]);
    }
    for path in all {
        let aside = named(&path, begun_ms);
        if path.exists() && !aside.exists() {
            std::fs::rename(&path, &aside)?;
        }
    }
    journal.parent().map_or(Ok(()), lasting)?;
    lasting(data_dir)
}

/// A database file that no program can use any more, whole and with its own journals: each has its
/// second name before any loses its first, and the file itself loses it before what belongs to it.
/// So a death in between leaves all of them together under one of the names at least.
pub(super) fn put_database_aside(path: &Path, now_ms: i64) -> std::io::Result<PathBuf> {
    let aside = named(path, now_ms);
    let with = |path: &Path, end: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(end);
        PathBuf::from(name)
    };
    let parts = ["", "-wal", "-shm", "-journal"];
    let parts = parts.map(|end| (with(path, end), with(&aside, end)));
    let there: Vec<_> = parts.iter().filter(|(from, _)| from.exists()).collect();
    for (from, to) in &there {
        std::fs::hard_link(from, to)?;
    }
    path.parent().map_or(Ok(()), lasting)?;
    for (from, _) in &there {
        std::fs::remove_file(from)?;
    }
    path.parent().map_or(Ok(()), lasting)?;
    Ok(aside)
}

pub(super) fn named(path: &Path, now_ms: i64) -> PathBuf {
    let mut aside = path.as_os_str().to_owned();
    aside.push(format!(".before-restore-{now_ms}"));
    PathBuf::from(aside)
}

/// Names in this folder outlive a power cut.
fn lasting(folder: &Path) -> std::io::Result<()> {
    match folder.as_os_str().is_empty() {
        true => File::open(".")?.sync_all(),
        false => File::open(folder)?.sync_all(),
    }
}
