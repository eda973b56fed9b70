//! The newest list of each category that this node has seen, in a file of the data folder, where
//! the database's owner does not write: a list that was put back, or is gone, is older than that.
//! The lists are sealed as they are in the database. Must never go back to an earlier epoch, and
//! never keep the house from starting.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use crate::store::InventoryRow;

/// The file's name in the data folder.
pub(crate) const FILE: &str = "anchors";
const HEAD: &str = "sealgate-anchors 1";
const END: &str = "end";

pub(crate) struct Anchors {
    /// None: nothing is kept.
    path: Option<PathBuf>,
    installation: Uuid,
    held: Mutex<BTreeMap<String, InventoryRow>>,
    fault: Option<String>,
}

/// What a file that cannot be trusted says.
enum Unread {
    /// It belongs to another installation, whose place this one has taken.
    Foreign,
    Damaged(String),
}

impl Anchors {
    /// Of a house that has no data folder of its own.
    pub(crate) fn none(installation: Uuid) -> Self {
        Self { path: None, installation, held: Mutex::default(), fault: None }
    }

    /// What stands in the folder. A file that is damaged is a fault to be told, and taken for none.
    pub(crate) fn read(folder: &Path, installation: Uuid) -> Self {
        let path = folder.join(FILE);
        let (held, fault) = match load(&path, installation) {
            Ok(held) => (held, None),
            Err(Unread::Foreign) => (BTreeMap::new(), None),
            Err(Unread::Damaged(what)) => {
                let fault = format!(
                    "the file {} {what}: lists that were put back to an earlier state cannot be told \
                     until the next start; it is written anew from the lists that stand",
                    path.display()
                );
                (BTreeMap::new(), Some(fault))
            }
        };
        Self { path: Some(path), installation, held: Mutex::new(held), fault }
    }

    /// Why the file could not be read.
    pub(super) fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }

    pub(super) fn of(&self, category: &str) -> Option<InventoryRow> {
        self.lock().get(category).cloned()
    }

    pub(super) fn all(&self) -> BTreeMap<String, InventoryRow> {
        self.lock().clone()
    }

    /// Takes over what is newer. The transaction that wrote a list has ended before: after a crash
    /// in between the list is newer than what is kept here, which is no fault.
    pub(super) fn advance(&self, rows: &[InventoryRow]) -> io::Result<()> {
        let mut held = self.lock();
        let mut next = held.clone();
        for row in rows {
            let known = next.get(&row.category);
            if known.is_none_or(|known| known.epoch < row.epoch) {
                next.insert(row.category.clone(), row.clone());
            }
        }
        let Some(path) = &self.path else { return Ok(()) };
        if next != *held {
            write(path, &text(self.installation, &next))?;
            *held = next;
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, InventoryRow>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn load(path: &Path, installation: Uuid) -> Result<BTreeMap<String, InventoryRow>, Unread> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(cause) => return Err(Unread::Damaged(format!("cannot be read ({cause})"))),
    };
    let mut lines = text.lines();
    let whose = lines.next().and_then(|head| head.strip_prefix(HEAD)).map(str::trim);
    match whose {
        Some(whose) if whose == installation.to_string() => {}
        Some(whose) if Uuid::parse_str(whose).is_ok() => return Err(Unread::Foreign),
        Some(_) | None => return Err(damaged()),
    }
    let mut held = BTreeMap::new();
    for line in lines {
        if line == END {
            return Ok(held);
        }
        let row = row(line).ok_or_else(damaged)?;
        held.insert(row.category.clone(), row);
    }
    Err(damaged())
}

fn damaged() -> Unread {
    Unread::Damaged(String::from("is damaged"))
}

fn row(line: &str) -> Option<InventoryRow> {
    let mut words = line.splitn(4, ' ');
    Some(InventoryRow {
        epoch: words.next()?.parse().ok()?,
        kek_id: words.next()?.parse().ok()?,
        sealed: bytes(words.next()?)?,
        category: words.next()?.to_owned(),
    })
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    let (pairs, []) = hex.as_bytes().as_chunks::<2>() else { return None };
    let digit = |digit: u8| char::from(digit).to_digit(16);
    let byte = |&[high, low]: &[u8; 2]| u8::try_from(digit(high)? * 16 + digit(low)?).ok();
    pairs.iter().map(byte).collect()
}

fn text(installation: Uuid, rows: &BTreeMap<String, InventoryRow>) -> String {
    let mut text = format!("{HEAD} {installation}\n");
    for row in rows.values() {
        // Writing to a text cannot fail.
        let _ = write!(text, "{} {} ", row.epoch, row.kek_id);
        for byte in &row.sealed {
            let _ = write!(text, "{byte:02x}");
        }
        let _ = writeln!(text, " {}", row.category);
    }
    text.push_str(END);
    text.push('\n');
    text
}

/// Killed at any moment, the former file stands or the new one.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let beside = path.with_extension("new");
    let mut file =
        OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&beside, path)?;
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(category: &str, epoch: u64) -> InventoryRow {
        let kek_id = Uuid::from_u128(7);
        InventoryRow { category: category.to_owned(), epoch, kek_id, sealed: vec![0, 171, 255] }
    }

    #[test]
    fn what_is_kept_is_read_again_and_never_goes_back() {
        let folder = tempfile::tempdir().unwrap();
        let installation = Uuid::from_u128(1);
        let anchors = Anchors::read(folder.path(), installation);
        assert!(anchors.fault().is_none() && anchors.all().is_empty());
        anchors.advance(&[list("ai", 3), list("market data", 9)]).unwrap();
        anchors.advance(&[list("ai", 2)]).unwrap();
        let again = Anchors::read(folder.path(), installation);
        assert_eq!(again.of("ai"), Some(list("ai", 3)));
        assert_eq!(again.of("market data"), Some(list("market data", 9)));
        // Another installation's say nothing here.
        assert!(Anchors::read(folder.path(), Uuid::from_u128(2)).all().is_empty());
    }

    #[test]
    fn a_damaged_file_is_told_and_written_anew() {
        let folder = tempfile::tempdir().unwrap();
        let installation = Uuid::from_u128(1);
        Anchors::read(folder.path(), installation).advance(&[list("ai", 3)]).unwrap();
        let path = folder.path().join(FILE);
        let whole = std::fs::read_to_string(&path).unwrap();
        for cut in [0, 5, whole.len() - 5, whole.len() / 2] {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let anchors = Anchors::read(folder.path(), installation);
            assert!(anchors.fault().is_some() && anchors.all().is_empty(), "{cut}");
            anchors.advance(&[list("ai", 3)]).unwrap();
            assert!(Anchors::read(folder.path(), installation).fault().is_none());
        }
    }
}
