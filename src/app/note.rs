//! The note of a restore in the data folder, where the database's owner cannot write: which one,
//! into which database, and what that said before. Left before the commit, so that whoever comes
//! next after a death knows what to ask the database for. Behind it, until it is in the trail,
//! lies what the record of the restore says.
//! Must never be forgotten for another database's sake.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde_json::{Value, json};

/// Of a restore whose end is not known yet.
pub(super) const NOTE: &str = "restore.pending";
/// Of one that is over, and in no trail yet.
const RECORD: &str = "restore.record";

/// By what the database tells whether a restore was committed, and when it began.
pub(super) struct Note {
    pub(super) mark: String,
    pub(super) begun_ms: i64,
    /// The mark of the one before it in the same database.
    pub(super) former: Option<String>,
    /// The database, in words for people.
    pub(super) place: String,
}

impl Note {
    /// Before the commit: from here on a death is answered by whoever opens the house next.
    pub(super) fn leave(&self, data_dir: &Path) -> std::io::Result<()> {
        let text = json!({
            "mark": self.mark, "begun_ms": self.begun_ms, "former": self.former,
            "place": self.place,
        });
        write(data_dir, ("restore.new", NOTE), &text)
    }

    pub(super) fn read(data_dir: &Path) -> std::io::Result<Option<Self>> {
        let Some(text) = read(data_dir, NOTE)? else { return Ok(None) };
        let note = serde_json::from_str(&text).ok().and_then(|note: Value| {
            Some(Self {
                mark: note.get("mark")?.as_str()?.to_owned(),
                begun_ms: note.get("begun_ms")?.as_i64()?,
                former: note.get("former")?.as_str().map(str::to_owned),
                place: note.get("place")?.as_str()?.to_owned(),
            })
        });
        if note.is_none() {
            tracing::warn!(
                "the note of a restore in data_dir is none of Sealgate's; it is not used"
            );
        }
        Ok(note)
    }

    pub(super) fn forget(data_dir: &Path) -> std::io::Result<()> {
        forget(data_dir, NOTE)
    }
}

/// What the trail is to say, once there is one to write into.
pub(super) fn leave_record(data_dir: &Path, detail: &Value) -> std::io::Result<()> {
    write(data_dir, ("restore.record.new", RECORD), detail)
}

/// What is not in the trail yet. Twice there after a death in between, and never not at all.
pub(super) fn record(data_dir: &Path) -> std::io::Result<Option<Value>> {
    let text = read(data_dir, RECORD)?;
    Ok(text.map(|text| serde_json::from_str(&text).unwrap_or(Value::Null)))
}

pub(super) fn forget_record(data_dir: &Path) -> std::io::Result<()> {
    forget(data_dir, RECORD)
}

/// Names in this folder outlive a power cut.
pub(super) fn lasting(folder: &Path) -> std::io::Result<()> {
    match folder.as_os_str().is_empty() {
        true => File::open(".")?.sync_all(),
        false => File::open(folder)?.sync_all(),
    }
}

/// Killed at any moment, the former file stands or the new one.
fn write(data_dir: &Path, (new, name): (&str, &str), text: &Value) -> std::io::Result<()> {
    let beside = data_dir.join(new);
    // Whatever somebody put there: a pipe would be waited for, a link leads elsewhere.
    match std::fs::remove_file(&beside) {
        Err(cause) if cause.kind() != ErrorKind::NotFound => return Err(cause),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&beside)?;
    file.write_all(text.to_string().as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&beside, data_dir.join(name))?;
    lasting(data_dir)
}

fn read(data_dir: &Path, name: &str) -> std::io::Result<Option<String>> {
    let path = data_dir.join(name);
    match std::fs::metadata(&path) {
        // Whoever waits for what a pipe brings waits for ever.
        Ok(found) if !found.is_file() => return Ok(None),
        Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(None),
        found => found?,
    };
    std::fs::read(path).map(|bytes| Some(String::from_utf8_lossy(&bytes).into_owned()))
}

fn forget(data_dir: &Path, name: &str) -> std::io::Result<()> {
    std::fs::remove_file(data_dir.join(name))?;
    lasting(data_dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note() -> Note {
        Note {
            mark: String::from("m"),
            begun_ms: 7,
            former: Some(String::from("a\nb \"c")),
            place: String::from("SQLite at here"),
        }
    }

    #[test]
    fn whatever_lies_where_a_note_is_made_is_waited_for_by_nobody_and_followed_nowhere() {
        for new in ["restore.new", "restore.pending"] {
            let folder = tempfile::tempdir().unwrap();
            let (path, elsewhere) = (folder.path().join(new), folder.path().join("elsewhere"));
            for kind in ["pipe", "link", "file"] {
                match kind {
                    "pipe" => {
                        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
                    }
                    "link" => std::os::unix::fs::symlink(&elsewhere, &path).unwrap(),
                    _ => std::fs::write(&path, "old").unwrap(),
                }
                std::fs::write(&elsewhere, "as it was").unwrap();
                let (sender, left) = std::sync::mpsc::channel();
                let data = folder.path().to_owned();
                std::thread::spawn(move || {
                    sender.send(note().leave(&data).map_err(|cause| cause.to_string())).unwrap();
                });
                let patience = std::time::Duration::from_secs(10);
                left.recv_timeout(patience).expect("it waits").unwrap();
                assert_eq!(std::fs::read_to_string(&elsewhere).unwrap(), "as it was", "{kind}");
                let read = Note::read(folder.path()).unwrap().unwrap();
                assert_eq!((read.mark, read.former), (note().mark, note().former), "{kind}");
                assert_eq!((read.begun_ms, read.place), (7, note().place), "{kind}");
                Note::forget(folder.path()).unwrap();
            }
        }
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("restore.new")).unwrap();
        assert!(note().leave(folder.path()).is_err(), "a folder stays, and the restore ends");
    }

    #[test]
    fn what_is_no_note_is_none() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Note::read(folder.path()).unwrap().is_none());
        for text in ["", "{}", "m 7", "{\"mark\":1}", "\u{0}"] {
            std::fs::write(folder.path().join(NOTE), text).unwrap();
            assert!(Note::read(folder.path()).unwrap().is_none(), "{text:?}");
        }
        std::fs::remove_file(folder.path().join(NOTE)).unwrap();
        nix::unistd::mkfifo(&folder.path().join(NOTE), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(Note::read(folder.path()).unwrap().is_none());
    }
}
