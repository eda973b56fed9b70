//! The newest list of each category that this node has seen, in a file of the data folder, where
//! the database's owner does not write: a list that was put back, or is gone, is older than that.
//! The lists are sealed as they are in the database. Must never go back to an earlier epoch, and
//! never keep the house from starting.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use crate::store::{InventoryRow, ProviderList};

/// The file's name in the data folder.
pub(crate) const FILE: &str = "anchors";
/// What a node leaves in its data folder when it serves.
const JOURNAL: &str = "journal";
const HEAD: &str = "sealgate-anchors 1";
const DOUBT: &str = "doubt ";
const WRAPS: &str = "wraps ";
const MASTER: &str = "master ";
const SIGNING: &str = "signing ";
const PROVIDERS: &str = "providers ";
const END: &str = "end";

pub(crate) struct Anchors {
    /// None: nothing is kept.
    path: Option<PathBuf>,
    installation: Uuid,
    state: Mutex<State>,
    /// The file stood, and nothing is doubted: what it does not name has never been.
    is_whole: bool,
    /// Neither the file nor anything else of this node was there.
    is_new: bool,
}

#[derive(Default)]
struct State {
    held: Held,
    /// As the file has it; none where there is none.
    written: Option<Held>,
}

#[derive(Clone, Default, PartialEq)]
struct Held {
    lists: BTreeMap<String, InventoryRow>,
    /// How often each key-encryption key had wrapped.
    wraps: BTreeMap<Uuid, u64>,
    /// What rows that a passphrase opens said when they last opened, by their master key's id.
    masters: BTreeMap<String, [u8; 32]>,
    /// The highest number of a key that signs tokens.
    signing: i64,
    /// The newest list of stored providers.
    providers: Option<ProviderList>,
    /// What was taken as it stood for want of anything better, until somebody has looked.
    doubts: BTreeSet<String>,
}

/// What a file that cannot be trusted says.
enum Unread {
    Missing,
    /// It belongs to another installation, whose place this one has taken.
    Foreign,
    Damaged(String),
}

impl Anchors {
    /// Of a house that has no data folder of its own.
    pub(crate) fn none(installation: Uuid) -> Self {
        let state = Mutex::default();
        Self { path: None, installation, state, is_whole: true, is_new: false }
    }

    /// What stands in the folder. A file that is not there though this node has served before, or
    /// that cannot be read, is a doubt, and taken for none.
    pub(crate) fn read(folder: &Path, installation: Uuid) -> Self {
        let path = folder.join(FILE);
        let read = load(&path, installation);
        let is_missing = matches!(read, Err(Unread::Missing));
        let is_new = is_missing && !has_journal(folder);
        let mut state = State::default();
        match read {
            Ok(held) => state = State { held: held.clone(), written: Some(held) },
            Err(Unread::Missing) if is_new => {}
            Err(Unread::Missing) => state.doubt(&path, "is gone, though this node has served"),
            Err(Unread::Foreign) => state.doubt(&path, "belongs to another installation"),
            Err(Unread::Damaged(what)) => state.doubt(&path, &what),
        }
        let is_whole = state.written.is_some() && state.held.doubts.is_empty();
        Self { path: Some(path), installation, state: Mutex::new(state), is_whole, is_new }
    }

    /// Whose lists are kept in this folder, by the file alone.
    pub(crate) fn whose(folder: &Path) -> Option<Uuid> {
        let text = read_file(&folder.join(FILE)).ok()?;
        text.lines().next()?.strip_prefix(HEAD)?.trim().parse().ok()
    }

    /// Has a house ever served from this folder?
    pub(crate) fn tell_of_a_house(folder: &Path) -> bool {
        folder.join(FILE).exists() || has_journal(folder)
    }

    /// Of an installation that was made, or restored, this moment: nothing has been seen of it.
    pub(crate) fn begin(folder: &Path, installation: Uuid) -> io::Result<()> {
        write(&folder.join(FILE), &text(installation, &Held::default()))
    }

    /// Can what is not anchored be told from what was taken away?
    pub(super) fn are_whole(&self) -> bool {
        self.is_whole
    }

    /// Is there a folder for them?
    pub(super) fn are_kept(&self) -> bool {
        self.path.is_some()
    }

    /// A node that was never here before takes the lists of the others as they stand.
    pub(super) fn are_new(&self) -> bool {
        self.is_new
    }

    /// What was taken over as it stood, and waits for somebody who looks.
    pub(super) fn doubts(&self) -> Vec<String> {
        self.lock().held.doubts.iter().cloned().collect()
    }

    /// Stands until somebody has looked. False if it stood already, or nothing is kept.
    pub(super) fn doubt(&self, sentence: &str) -> bool {
        self.path.is_some() && self.lock().held.doubts.insert(one_line(sentence))
    }

    pub(super) fn of(&self, category: &str) -> Option<InventoryRow> {
        self.lock().held.lists.get(category).cloned()
    }

    pub(super) fn all(&self) -> BTreeMap<String, InventoryRow> {
        self.lock().held.lists.clone()
    }

    /// How often each key had wrapped.
    pub(super) fn wraps(&self) -> BTreeMap<Uuid, u64> {
        self.lock().held.wraps.clone()
    }

    /// Counts that fit their seals; written with the next `advance`.
    pub(super) fn has_wrapped(&self, id: Uuid, wraps: u64) {
        if self.path.is_some() {
            let mut state = self.lock();
            let known = state.held.wraps.entry(id).or_default();
            *known = wraps.max(*known);
        }
    }

    /// Of each row that a passphrase opens, when it last opened.
    pub(super) fn masters(&self) -> BTreeMap<String, [u8; 32]> {
        self.lock().held.masters.clone()
    }

    /// These have just opened; written with the next `advance`.
    pub(super) fn have_opened(&self, rows: Vec<(String, [u8; 32])>) {
        if self.path.is_some() {
            self.lock().held.masters = rows.into_iter().collect();
        }
    }

    pub(super) fn providers(&self) -> Option<ProviderList> {
        self.lock().held.providers.clone()
    }

    /// Written with the next `advance`.
    pub(super) fn sees_providers(&self, list: Option<ProviderList>) {
        let mut state = self.lock();
        let known = state.held.providers.as_ref().map_or(0, |known| known.epoch);
        if let Some(list) = list.filter(|list| self.path.is_some() && list.epoch > known) {
            state.held.providers = Some(list);
        }
    }

    pub(super) fn signing_key(&self) -> i64 {
        self.lock().held.signing
    }

    /// The last one stands, and that a later one did was told; written with the next `advance`.
    /// False if it is known.
    pub(super) fn sees_signing_key(&self, number: i64) -> bool {
        let mut state = self.lock();
        let is_new = self.path.is_some() && number != state.held.signing;
        if is_new {
            state.held.signing = number;
        }
        is_new
    }

    /// Somebody has looked, and means what stands: the file stays until the next `advance`.
    pub(super) fn forget(&self) {
        let mut state = self.lock();
        // A row of a master key is proved by its passphrase, and by nobody who looks at it.
        let masters = std::mem::take(&mut state.held.masters);
        let signing = state.held.signing;
        // Each stored provider is meant by being written again.
        let providers = state.held.providers.take();
        state.held = Held { masters, signing, providers, ..Held::default() };
    }

    /// Takes over what is newer. The transaction that wrote a list has ended before: after a crash
    /// in between the list is newer than what is kept here, which is no fault.
    pub(super) fn advance(&self, rows: &[InventoryRow]) -> io::Result<()> {
        let mut state = self.lock();
        for row in rows {
            let known = state.held.lists.get(&row.category);
            if known.is_none_or(|known| known.epoch < row.epoch) {
                state.held.lists.insert(row.category.clone(), row.clone());
            }
        }
        let Some(path) = &self.path else {
            state.held = Held::default();
            return Ok(());
        };
        if state.written.as_ref() != Some(&state.held) {
            write(path, &text(self.installation, &state.held))?;
            state.written = Some(state.held.clone());
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn doubt(&mut self, path: &Path, what: &str) {
        let sentence = format!(
            "the file {} {what}: lists that were put back to an earlier state before cannot be told; \
             look through `sealgate secret list` and `sealgate client list`, then say with \
             `sealgate secret accept` that what stands is meant",
            path.display()
        );
        tracing::warn!(sentence, "integrity");
        self.held.doubts.insert(one_line(&sentence));
    }
}

/// The folder alone may be the root of an empty disk that somebody has given to the journal.
fn has_journal(folder: &Path) -> bool {
    let entries = std::fs::read_dir(folder.join(JOURNAL)).into_iter().flatten();
    entries.flatten().any(|entry| entry.file_type().is_ok_and(|kind| !kind.is_dir()))
}

fn one_line(text: &str) -> String {
    text.split(char::is_control).collect::<Vec<_>>().join(" ")
}

fn load(path: &Path, installation: Uuid) -> Result<Held, Unread> {
    let text = match read_file(path) {
        Ok(text) => text,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Err(Unread::Missing),
        Err(cause) => return Err(Unread::Damaged(format!("cannot be read ({cause})"))),
    };
    let mut lines = text.lines();
    let whose = lines.next().and_then(|head| head.strip_prefix(HEAD)).map(str::trim);
    match whose {
        Some(whose) if whose == installation.to_string() => {}
        Some(whose) if Uuid::parse_str(whose).is_ok() => return Err(Unread::Foreign),
        Some(_) | None => return Err(damaged()),
    }
    let mut held = Held::default();
    for line in lines {
        if line == END {
            return Ok(held);
        }
        if let Some(doubt) = line.strip_prefix(DOUBT) {
            held.doubts.insert(doubt.to_owned());
        } else if let Some(count) = line.strip_prefix(WRAPS) {
            let (id, wraps) = counted(count).ok_or_else(damaged)?;
            held.wraps.insert(id, wraps);
        } else if let Some(number) = line.strip_prefix(SIGNING) {
            held.signing = number.parse().map_err(|_| damaged())?;
        } else if let Some(list) = line.strip_prefix(PROVIDERS) {
            held.providers = Some(providers(list).ok_or_else(damaged)?);
        } else if let Some(master) = line.strip_prefix(MASTER) {
            let (digest, id) = master.split_once(' ').ok_or_else(damaged)?;
            let digest = bytes(digest).and_then(|bytes| bytes.try_into().ok());
            held.masters.insert(id.to_owned(), digest.ok_or_else(damaged)?);
        } else {
            let row = row(line).ok_or_else(damaged)?;
            held.lists.insert(row.category.clone(), row);
        }
    }
    Err(damaged())
}

/// Of a file alone: whoever waits for what a pipe brings waits for ever.
fn read_file(path: &Path) -> io::Result<String> {
    match std::fs::metadata(path)?.is_file() {
        true => std::fs::read_to_string(path),
        false => Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no plain file")),
    }
}

fn damaged() -> Unread {
    Unread::Damaged(String::from("is damaged"))
}

fn counted(line: &str) -> Option<(Uuid, u64)> {
    let (id, wraps) = line.split_once(' ')?;
    Some((id.parse().ok()?, wraps.parse().ok()?))
}

fn providers(line: &str) -> Option<ProviderList> {
    let mut words = line.splitn(3, ' ');
    Some(ProviderList {
        epoch: words.next()?.parse().ok()?,
        seal: bytes(words.next()?)?,
        entries: words.next()?.to_owned(),
    })
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

fn hex(bytes: &[u8]) -> String {
    let mut hex = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

fn text(installation: Uuid, held: &Held) -> String {
    let mut text = format!("{HEAD} {installation}\n");
    // Writing to a text cannot fail.
    for doubt in &held.doubts {
        let _ = writeln!(text, "{DOUBT}{doubt}");
    }
    for (id, wraps) in &held.wraps {
        let _ = writeln!(text, "{WRAPS}{id} {wraps}");
    }
    if held.signing > 0 {
        let _ = writeln!(text, "{SIGNING}{}", held.signing);
    }
    if let Some(list) = &held.providers {
        let (epoch, seal, entries) = (list.epoch, hex(&list.seal), one_line(&list.entries));
        let _ = writeln!(text, "{PROVIDERS}{epoch} {seal} {entries}");
    }
    for (id, digest) in &held.masters {
        let _ = writeln!(text, "{MASTER}{} {}", hex(digest), one_line(id));
    }
    for row in held.lists.values() {
        let (epoch, kek_id, sealed) = (row.epoch, row.kek_id, hex(&row.sealed));
        let _ = writeln!(text, "{epoch} {kek_id} {sealed} {}", row.category);
    }
    text.push_str(END);
    text.push('\n');
    text
}

/// Killed at any moment, the former file stands or the new one.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let beside = path.with_extension("new");
    // Whatever stands there; where it cannot go, the next line says why.
    let _gone = std::fs::remove_file(&beside);
    let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&beside)?;
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

    /// As a node leaves it that has served.
    fn journal(folder: &Path) {
        std::fs::create_dir(folder.join(JOURNAL)).unwrap();
        std::fs::write(folder.join(JOURNAL).join("head"), "x").unwrap();
    }

    #[test]
    fn a_disk_that_was_given_to_the_journal_and_is_empty_tells_of_no_house() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join(JOURNAL).join("lost+found")).unwrap();
        assert!(!Anchors::tell_of_a_house(folder.path()));
        assert!(Anchors::read(folder.path(), Uuid::from_u128(1)).are_new());
        std::fs::write(folder.path().join(JOURNAL).join("head"), "x").unwrap();
        assert!(Anchors::tell_of_a_house(folder.path()));
        assert!(!Anchors::read(folder.path(), Uuid::from_u128(1)).are_new());
    }

    #[test]
    fn what_is_kept_is_read_again_and_never_goes_back() {
        let folder = tempfile::tempdir().unwrap();
        let installation = Uuid::from_u128(1);
        let anchors = Anchors::read(folder.path(), installation);
        assert!(anchors.doubts().is_empty() && anchors.all().is_empty());
        anchors.advance(&[list("ai", 3), list("market data", 9)]).unwrap();
        anchors.advance(&[list("ai", 2)]).unwrap();
        let again = Anchors::read(folder.path(), installation);
        assert_eq!(again.of("ai"), Some(list("ai", 3)));
        assert_eq!(again.of("market data"), Some(list("market data", 9)));
        // Another installation's say nothing here.
        assert!(Anchors::read(folder.path(), Uuid::from_u128(2)).all().is_empty());
    }

    #[test]
    fn a_file_that_is_damaged_or_gone_is_doubted_until_somebody_has_looked() {
        let folder = tempfile::tempdir().unwrap();
        let installation = Uuid::from_u128(1);
        let read = || Anchors::read(folder.path(), installation);
        let fresh = read();
        assert!(fresh.are_new() && !fresh.are_whole() && fresh.doubts().is_empty());
        Anchors::begin(folder.path(), installation).unwrap();
        assert!(!read().are_new() && read().are_whole());
        read().advance(&[list("ai", 3)]).unwrap();
        journal(folder.path());
        let path = folder.path().join(FILE);
        let whole = std::fs::read_to_string(&path).unwrap();
        let cuts = [0, 5, whole.len() - 5, whole.len() / 2].map(|cut| Some(&whole[..cut]));
        let foreign = whole.replace(&installation.to_string(), &Uuid::nil().to_string());
        for found in cuts.into_iter().chain([Some(foreign.as_str()), None]) {
            match found {
                Some(text) => std::fs::write(&path, text).unwrap(),
                None => std::fs::remove_file(&path).unwrap(),
            }
            let anchors = read();
            assert!(anchors.all().is_empty() && !anchors.are_whole(), "{found:?}");
            let told = anchors.doubts();
            assert!(told.len() == 1 && told[0].contains("secret accept"), "{told:?}");
            anchors.advance(&[list("ai", 3)]).unwrap();
            // Across starts, too.
            assert_eq!(read().doubts(), told);
            read().forget();
            assert_eq!(read().doubts(), told, "not before the next lists are known");
            let anchors = read();
            anchors.forget();
            anchors.advance(&[list("ai", 2)]).unwrap();
            assert!(read().doubts().is_empty() && read().of("ai") == Some(list("ai", 2)));
        }
    }

    #[test]
    fn a_pipe_or_a_folder_in_its_place_is_doubted_and_waited_for_by_nobody() {
        let installation = Uuid::from_u128(1);
        for is_pipe in [true, false] {
            for at in [String::from(FILE), format!("{FILE}.new")] {
                let folder = tempfile::tempdir().unwrap();
                journal(folder.path());
                let path = folder.path().join(&at);
                let make = if is_pipe { "mkfifo" } else { "mkdir" };
                let made = std::process::Command::new(make).arg(&path).status().unwrap();
                assert!(made.success(), "{make}");
                let (sender, read) = std::sync::mpsc::channel();
                let (data, is_its_own) = (folder.path().to_owned(), at == FILE);
                std::thread::spawn(move || {
                    let anchors = Anchors::read(&data, installation);
                    let doubts = anchors.doubts();
                    let whose = Anchors::whose(&data);
                    sender.send((doubts, whose, anchors.advance(&[list("ai", 3)]))).unwrap();
                });
                let patience = std::time::Duration::from_secs(10);
                let (doubts, whose, written) = read.recv_timeout(patience).expect("it waits");
                assert_eq!(doubts.len(), 1, "{at}: {doubts:?}");
                assert_eq!(doubts[0].contains("no plain file"), is_its_own, "{doubts:?}");
                assert_eq!(whose, None, "{at}");
                // A pipe makes room for the new file; a folder does not, and is told.
                assert_eq!(written.is_ok(), is_pipe, "{at}: {written:?}");
            }
        }
    }
}
