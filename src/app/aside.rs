//! What a restore puts aside: the journal, the node's name and the anchors of the house that went.
//! Not before its transaction is committed; its note lies in the data folder from before the
//! commit on, so that whoever comes next after a death finishes it, or finds that there is nothing
//! to finish. Must never remove anything, and never put aside what belongs to the house that
//! stands.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::StartError;
use super::note::{self, NOTE, Note, lasting};
use crate::clock::rfc3339;
use crate::failpoint::{self, place};
use crate::store::Store;
use crate::vault::{ANCHORS, Anchors};

/// What became of a restore whose end nobody saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Settled {
    /// There was none.
    Nothing,
    /// It was not committed, and never will be: the house is the former one.
    Forgotten,
    /// Its house stands, and what belonged to the former one was put aside.
    Finished,
    /// It was into another database; the note waits for that one.
    Elsewhere,
}

/// Finishes a restore that was committed, forgets one that was not. Where it finished one, this
/// node gets another name. Under the data folder's lock.
pub(super) async fn settle(
    data_dir: &Path,
    journal: &Path,
    store: &Store,
) -> Result<Settled, StartError> {
    let failed = |cause: std::io::Error| StartError::DataFolder {
        folder: data_dir.to_owned(),
        cause: cause.to_string(),
    };
    let Some(note) = Note::read(data_dir).map_err(failed)? else { return Ok(Settled::Nothing) };
    let begun = rfc3339(note.begun_ms);
    let last = store.last_restore().await?;
    if last.as_ref() == Some(&note.mark) {
        put_aside(data_dir, journal, note.begun_ms).map_err(failed)?;
        // What stands now is meant, though this node has never seen it.
        if let Some(installation) = store.installation().await? {
            Anchors::begin(data_dir, installation.id)?;
        }
        failpoint::pass(place::RESTORE_ANCHORED);
        let detail = json!({"begun": begun, "finished_by": "the next start"});
        note::leave_record(data_dir, &detail).map_err(failed)?;
        failpoint::pass(place::RESTORE_WRITTEN);
        Note::forget(data_dir).map_err(failed)?;
        failpoint::pass(place::RESTORE_SETTLED);
        tracing::warn!(begun, "a restore was finished: what was the former house's is put aside");
        return Ok(Settled::Finished);
    }
    if note.place != store.describe() {
        let place = note.place;
        tracing::warn!(
            begun,
            place,
            "the note of a restore into another database stays in data_dir"
        );
        return Ok(Settled::Elsewhere);
    }
    if last != note.former {
        return Err(StartError::Room(overtaken(data_dir, &begun)));
    }
    Note::forget(data_dir).map_err(failed)?;
    tracing::warn!(begun, "a restore was never committed: the house is what it was before");
    Ok(Settled::Forgotten)
}

/// By another node, perhaps: what lies here belongs to a database that is gone either way, unless
/// somebody has edited the row.
fn overtaken(data_dir: &Path, begun: &str) -> String {
    format!(
        "a restore that was begun here at {begun} was cut off, and the database says of another one \
         since; so the journal, `node` and `anchors` in {} may be of a house that is gone. Nothing \
         was changed: if somebody has restored a backup since, from another node perhaps, move the \
         three away and remove {NOTE}; if nobody has, remove {NOTE} alone; then start again",
        data_dir.display()
    )
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
            give_way(&path, &aside)?;
        }
        failpoint::pass(place::RESTORE_ASIDE);
    }
    journal.parent().map_or(Ok(()), lasting)?;
    lasting(data_dir)
}

/// A folder that cannot lose its name, being the root of a disk of its own, or that is a link to a
/// place that somebody chose, stays: its files go into a folder within.
fn give_way(path: &Path, aside: &Path) -> std::io::Result<()> {
    if !path.is_symlink() {
        match std::fs::rename(path, aside) {
            Err(cause) if path.is_dir() && stays(&cause) => {}
            done => return done,
        }
    }
    let Some(name) = aside.file_name().filter(|_| path.is_dir()) else {
        return std::fs::rename(path, aside);
    };
    let within = path.join(name);
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        // The journal has files alone; what else a disk's root holds is the system's.
        if entry.file_type()?.is_file() {
            std::fs::create_dir_all(&within)?;
            std::fs::rename(entry.path(), within.join(entry.file_name()))?;
            failpoint::pass(place::RESTORE_EMPTIED);
        }
    }
    match within.exists() {
        true => lasting(&within).and_then(|()| lasting(path)),
        false => Ok(()),
    }
}

fn stays(cause: &std::io::Error) -> bool {
    matches!(cause.kind(), ErrorKind::ResourceBusy | ErrorKind::CrossesDevices)
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
