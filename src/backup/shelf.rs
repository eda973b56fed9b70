//! The folder where the house keeps the backups that it makes: named by their time, written beside
//! and renamed when they are whole, the oldest thrown away. Must never touch a file that it did not
//! name.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::{Fault, Lock, Made, Source, create};

const BEFORE: &str = "sealgate-";
const AFTER: &str = ".age";

pub(crate) struct Shelf {
    folder: PathBuf,
}

/// One whole backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shelved {
    pub(crate) name: String,
    pub(crate) bytes: u64,
    pub(crate) created_at_ms: i64,
}

/// A new one, and what was damaged in the house when it was made.
pub(crate) struct Kept {
    pub(crate) shelved: Shelved,
    pub(crate) faults: Vec<String>,
}

/// A file that gets its name when it is whole, and goes if it never is.
pub(super) struct Unfinished {
    path: PathBuf,
    named: PathBuf,
}

impl Shelf {
    pub(crate) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// Newest first.
    pub(crate) fn list(&self) -> std::io::Result<Vec<Shelved>> {
        let entries = match std::fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(cause) => return Err(cause),
        };
        let mut found = Vec::new();
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if let Some(created_at_ms) = time_of(&name) {
                found.push(Shelved { name, bytes: entry.metadata()?.len(), created_at_ms });
            }
        }
        found.sort_by(|left, right| right.name.cmp(&left.name));
        Ok(found)
    }

    pub(crate) async fn add(&self, source: Source<'_>, lock: Lock) -> Result<Kept, Fault> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        let name = name_of(source.clock.unix_ms());
        let path = self.folder.join(&name);
        let mut faults = source.vault.damage().await?;
        let (unfinished, file) = Unfinished::begin(&path)?;
        let made = create(source, lock, Syncing::of(file)).await?;
        let Made { created_at_ms, faults: of_keys, .. } = made;
        faults.extend(of_keys);
        unfinished.finish()?;
        let bytes = std::fs::metadata(&path)?.len();
        Ok(Kept { shelved: Shelved { name, bytes, created_at_ms }, faults })
    }

    /// Throws the oldest away; yields how many. What was made when the clock was wrong, later than
    /// now, neither counts nor goes.
    pub(crate) fn prune(&self, keep: usize, now_ms: i64) -> std::io::Result<usize> {
        let made = self.list()?.into_iter().filter(|shelved| shelved.created_at_ms <= now_ms);
        let old: Vec<Shelved> = made.skip(keep.max(1)).collect();
        for shelved in &old {
            std::fs::remove_file(self.folder.join(&shelved.name))?;
        }
        Ok(old.len())
    }
}

impl Unfinished {
    pub(super) fn begin(named: &Path) -> std::io::Result<(Self, File)> {
        let mut path = named.as_os_str().to_owned();
        path.push(format!(".part-{}", std::process::id()));
        let path = PathBuf::from(path);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        Ok((Self { path, named: named.to_owned() }, file))
    }

    /// A hard link fails where the name is taken: no backup is ever overwritten.
    pub(super) fn finish(self) -> std::io::Result<()> {
        std::fs::hard_link(&self.path, &self.named)?;
        if let Some(folder) = self.named.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            File::open(folder)?.sync_all()?;
        }
        Ok(())
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // Whole or not, the unfinished name has no use any more.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// A file whose last flush is on the disk.
pub(super) struct Syncing(BufWriter<File>);

impl Syncing {
    pub(super) fn of(file: File) -> Self {
        Self(BufWriter::with_capacity(256 * 1024, file))
    }
}

impl Write for Syncing {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()?;
        self.0.get_ref().sync_all()
    }
}

/// `sealgate-20260115T120000123Z.age`: sorted by name is sorted by time.
fn name_of(at_ms: i64) -> String {
    let time = crate::clock::rfc3339(at_ms);
    let digits: String = time.chars().filter(|letter| letter.is_ascii_digit()).collect();
    let (day, rest) = digits.split_at_checked(8).unwrap_or((&digits, ""));
    format!("{BEFORE}{day}T{rest:0<9}Z{AFTER}")
}

fn time_of(name: &str) -> Option<i64> {
    let digits = name.strip_prefix(BEFORE)?.strip_suffix(AFTER)?.strip_suffix('Z')?;
    let (day, time) = digits.split_once('T')?;
    let number = |text: &str, at: std::ops::Range<usize>| text.get(at)?.parse::<i16>().ok();
    if day.len() != 8 || time.len() != 9 {
        return None;
    }
    let small = |text: &str, at| i8::try_from(number(text, at)?).ok();
    let moment = jiff::civil::DateTime::new(
        number(day, 0..4)?,
        small(day, 4..6)?,
        small(day, 6..8)?,
        small(time, 0..2)?,
        small(time, 2..4)?,
        small(time, 4..6)?,
        i32::from(number(time, 6..9)?) * 1_000_000,
    );
    let zoned = moment.ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(zoned.timestamp().as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_its_time_and_foreign_names_tell_none() {
        for at_ms in [1_768_478_400_000, 1_768_478_400_123, 0] {
            assert_eq!(time_of(&name_of(at_ms)), Some(at_ms), "{}", name_of(at_ms));
        }
        assert_eq!(name_of(1_768_478_400_000), "sealgate-20260115T120000000Z.age");
        for name in ["sealgate-.age", "notes.age", "sealgate-20260115T120000000Z.age.part-1"] {
            assert_eq!(time_of(name), None, "{name}");
        }
    }

    #[test]
    fn the_oldest_go_and_what_is_not_ours_stays() {
        let folder = tempfile::tempdir().unwrap();
        for hour in 0..5 {
            let name = name_of(1_768_478_400_000 + hour * 3_600_000);
            std::fs::write(folder.path().join(name), "x").unwrap();
        }
        std::fs::write(folder.path().join("notes.age"), "x").unwrap();
        let shelf = Shelf::new(folder.path());
        let now_ms = 1_768_478_400_000 + 5 * 3_600_000;
        assert_eq!(shelf.prune(2, now_ms).unwrap(), 3);
        let left = shelf.list().unwrap();
        assert_eq!(left.len(), 2);
        assert_eq!(left[0].created_at_ms, 1_768_478_400_000 + 4 * 3_600_000);
        assert!(folder.path().join("notes.age").exists());
        assert_eq!(Shelf::new(&folder.path().join("none")).list().unwrap(), []);
    }

    #[test]
    fn one_from_the_future_pushes_none_out() {
        let folder = tempfile::tempdir().unwrap();
        let now_ms = 1_768_478_400_000;
        for at_ms in [now_ms - 2, now_ms - 1, now_ms, now_ms + 1, now_ms + 2] {
            std::fs::write(folder.path().join(name_of(at_ms)), "x").unwrap();
        }
        let shelf = Shelf::new(folder.path());
        assert_eq!(shelf.prune(2, now_ms).unwrap(), 1);
        let left: Vec<i64> = shelf.list().unwrap().iter().map(|one| one.created_at_ms).collect();
        assert_eq!(left, [now_ms + 2, now_ms + 1, now_ms, now_ms - 1]);
    }
}
