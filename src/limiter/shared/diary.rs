//! What this node lets in by itself is written down as it happens, in one file in the data folder:
//! when Redis went away, what was known of a window then, and what was let in since. A node that
//! is killed finds it when it starts, so that it spends its share once and tells it after all.
//! A line is handed to the kernel before its call is answered: it outlives a killed process, not a
//! machine. Must never count a call in Redis's stead, nor keep one from being answered.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::mirror::{Held, Mirror};
use super::tally::Cell;

/// Beyond this the file is written anew, with the last word on each part alone.
const REWRITE_ABOVE: u64 = 8 << 20;
/// All before it was told.
const ENDED: &str = "E";
/// All that was known is written.
const NOTED: &str = "n";
/// Ending of the name under which a damaged one is set aside.
pub(super) const DAMAGED: &str = "damaged";

/// When Redis went away, as far as this node knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Began {
    pub(super) unix_ms: i64,
    /// The nodes' common time at that moment.
    pub(super) now_us: u64,
    pub(super) nodes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum What {
    /// By all nodes, when Redis went away.
    Known,
    /// By this node since.
    Alone,
}

/// What was found of a time without Redis that has not been told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) began: Option<Began>,
    /// When the former process was last there.
    pub(super) last_ms: i64,
    /// What was known of all windows stands there, and not of some alone.
    pub(super) is_noted: bool,
    /// All was told when it ended.
    pub(super) is_ended: bool,
    /// A line of it is not as it was written.
    pub(super) is_damaged: bool,
    /// The last word on each part of each window.
    pub(super) cells: BTreeMap<(Box<str>, What, u64), u64>,
}

pub(super) struct Diary(Mutex<Book>);

struct Book {
    path: PathBuf,
    file: Option<File>,
    bytes: u64,
    rewrite_above: u64,
    /// Grows with every time without Redis. Not 0.
    volume: u64,
    is_begun: bool,
}

impl Diary {
    /// What cannot be read is a fault that is told, and no reason to stay closed.
    pub(super) fn open(path: PathBuf) -> (Self, Found) {
        let found = match std::fs::read(&path) {
            Ok(bytes) => Found::read(&String::from_utf8_lossy(&bytes)),
            Err(fault) if fault.kind() == std::io::ErrorKind::NotFound => Found::default(),
            Err(fault) => {
                tracing::error!(%fault, path = %path.display(), "{}", UNREADABLE);
                Found::default()
            }
        };
        if found.is_damaged {
            set_aside(&path);
        }
        let mut book = Book {
            path,
            file: None,
            bytes: 0,
            rewrite_above: REWRITE_ABOVE,
            volume: 1,
            is_begun: found.began.is_some(),
        };
        if found.is_damaged
            && let Err(fault) = book.replace(&found.write())
        {
            tracing::error!(%fault, path = %book.path.display(), "{}", UNREADABLE);
        }
        (Self(Mutex::new(book)), found)
    }

    /// What each of these holds now. What was known is written when a window is first met.
    pub(super) fn note<'a>(
        &self,
        began: impl FnOnce() -> Began,
        windows: impl Iterator<Item = (&'a Mirror, &'a mut Held)>,
    ) {
        let mut book = self.book();
        let mut text = String::new();
        if !book.is_begun {
            book.is_begun = true;
            let Began { unix_ms, now_us, nodes } = began();
            line(&mut text, format!("T {unix_ms} {now_us} {nodes}"));
        }
        for (mirror, held) in windows {
            if held.noted_in != book.volume {
                held.noted_in = book.volume;
                lines(&mut text, 'k', &mirror.name, held.known.cells());
            }
            // Only the newest part has changed.
            let newest = held.alone.cells().last();
            lines(&mut text, 'a', &mirror.name, newest.map_or(&[], std::slice::from_ref));
        }
        book.write(&text);
    }

    /// One part of a window that is not its newest.
    pub(super) fn note_part(
        &self,
        began: impl FnOnce() -> Began,
        (mirror, held): (&Mirror, &mut Held),
        part: u64,
    ) {
        self.note(began, std::iter::once((mirror, &mut *held)));
        let mut text = String::new();
        let cells: Vec<Cell> =
            held.alone.cells().iter().filter(|cell| cell.part == part).copied().collect();
        lines(&mut text, 'a', &mirror.name, &cells);
        self.book().write(&text);
    }

    /// This process is there still, and so is the time without Redis.
    pub(super) fn tick(&self, unix_ms: i64) {
        let mut book = self.book();
        if book.is_begun {
            let mut text = String::new();
            line(&mut text, format!("t {unix_ms}"));
            book.write(&text);
        }
    }

    /// What was known of every window has been noted.
    pub(super) fn noted(&self) {
        let mut book = self.book();
        if book.is_begun {
            let mut text = String::new();
            line(&mut text, String::from(NOTED));
            book.write(&text);
        }
    }

    /// What was found is too old to say what the others did since: only what is to be told stays.
    pub(super) fn renew(&self, began: Began, found: &Found) {
        let alone = found.cells.iter().filter(|((_, what, _), _)| *what == What::Alone);
        let cells = alone.map(|(key, calls)| (key.clone(), *calls)).collect();
        let last_ms = began.unix_ms;
        let text = Found { began: Some(began), last_ms, cells, ..Found::default() }.write();
        let mut book = self.book();
        if let Err(fault) = book.replace(&text) {
            tracing::error!(%fault, path = %book.path.display(), "{}", UNREADABLE);
        }
    }

    /// These parts were told.
    pub(super) fn told(&self, mirror: &Mirror, held: &Held, cells: &[Cell]) {
        let mut book = self.book();
        if !book.is_begun || cells.is_empty() {
            return;
        }
        let left = |part: u64| held.alone.cells().iter().find(|cell| cell.part == part).copied();
        let now = cells.iter().map(|cell| left(cell.part).unwrap_or(Cell { calls: 0, ..*cell }));
        let mut text = String::new();
        lines(&mut text, 'a', &mirror.name, &now.collect::<Vec<_>>());
        book.write(&text);
    }

    /// It should be there, and is not: for `doctor`.
    pub(super) fn is_missed(&self) {
        let place = self.book().path.with_extension(DAMAGED);
        if let Err(fault) = private().append(true).open(&place) {
            tracing::error!(%fault, path = %place.display(), "a lost file cannot be noted");
        }
    }

    /// Windows of which this volume says something.
    pub(super) fn has_noted(&self, held: &Held) -> bool {
        held.noted_in == self.book().volume
    }

    /// All was told. `is_still` is asked while nothing can be written.
    pub(super) fn end(&self, is_still: impl FnOnce() -> bool) {
        let mut book = self.book();
        if !book.is_begun || !is_still() {
            return;
        }
        let mut text = String::new();
        line(&mut text, String::from(ENDED));
        if let Err(fault) = book.replace(&text) {
            tracing::error!(%fault, path = %book.path.display(), "{}", UNREADABLE);
            return;
        }
        book.volume += 1;
        book.is_begun = false;
    }

    /// That of what was found is this one.
    pub(super) fn volume(&self) -> u64 {
        self.book().volume
    }

    /// Nothing behind this lock is left half-changed by a panic.
    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const UNREADABLE: &str = "what this node let in without Redis cannot be kept: if it is killed now, \
                          it may spend its share again; see the data folder";

impl Book {
    fn write(&mut self, text: &str) {
        if let Err(fault) = self.try_write(text) {
            // Once: the next call would say the same.
            if self.file.take().is_some() || self.bytes == 0 {
                tracing::error!(%fault, path = %self.path.display(), "{}", UNREADABLE);
            }
        }
    }

    fn try_write(&mut self, text: &str) -> std::io::Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        if self.bytes > self.rewrite_above {
            self.rewrite()?;
        }
        if self.file.is_none() {
            let file = private().append(true).open(&self.path)?;
            self.bytes = file.metadata()?.len();
            self.file = Some(file);
        }
        let Some(file) = &mut self.file else { return Ok(()) };
        file.write_all(text.as_bytes())?;
        self.bytes += u64::try_from(text.len()).unwrap_or(0);
        Ok(())
    }

    /// The last word on each part.
    fn rewrite(&mut self) -> std::io::Result<()> {
        let mut text = String::new();
        File::open(&self.path)?.read_to_string(&mut text)?;
        self.replace(&Found::read(&text).write())
    }

    fn replace(&mut self, text: &str) -> std::io::Result<()> {
        let beside = self.path.with_extension("new");
        private().write(true).truncate(true).open(&beside)?.write_all(text.as_bytes())?;
        std::fs::rename(&beside, &self.path)?;
        self.file = None;
        self.bytes = u64::try_from(text.len()).unwrap_or(0);
        self.rewrite_above = REWRITE_ABOVE.max(self.bytes.saturating_mul(2));
        Ok(())
    }
}

/// It holds ids of client keys, and addresses of visitors.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.create(true).mode(0o600);
    options
}

fn lines(text: &mut String, what: char, name: &str, cells: &[Cell]) {
    for Cell { part, calls } in cells {
        line(text, format!("{what} {name} {part} {calls}"));
    }
}

/// With its sum, by which a line that was damaged is known.
fn line(text: &mut String, line: String) {
    text.push_str(&line);
    text.push_str(&format!(" #{:08x}\n", sum(&line)));
}

/// FNV-1a: against accidents, not against whoever may write here.
fn sum(line: &str) -> u32 {
    line.bytes().fold(0x811c_9dc5, |sum, byte| (sum ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// As it was written. None where it is not.
fn unsummed(line: &str) -> Option<&str> {
    let (line, told) = line.rsplit_once(" #")?;
    (u32::from_str_radix(told, 16) == Ok(sum(line))).then_some(line)
}

/// Kept as evidence, and for `doctor`.
fn set_aside(path: &Path) {
    if let Err(fault) = std::fs::copy(path, path.with_extension(DAMAGED)) {
        tracing::error!(%fault, path = %path.display(), "a damaged file cannot be set aside");
    }
}

impl Found {
    /// A line that was cut off by a kill, or that makes no sense, is none.
    pub(super) fn read(text: &str) -> Self {
        let mut found = Self::default();
        let whole = text.rfind('\n').map_or("", |end| text.get(..end).unwrap_or(""));
        for line in whole.lines() {
            let Some(line) = unsummed(line) else {
                found.is_damaged = true;
                continue;
            };
            let mut words = line.split(' ');
            let what = match words.next() {
                Some(ENDED) => {
                    found = Self { is_ended: true, ..Self::default() };
                    continue;
                }
                Some("T") => {
                    // The first one: what was let in since has not been told.
                    found.began = found.began.or_else(|| began(&mut words));
                    found.is_ended = false;
                    found.last_ms = found.last_ms.max(found.began.map_or(0, |it| it.unix_ms));
                    continue;
                }
                Some(NOTED) => {
                    found.is_noted = true;
                    continue;
                }
                Some("t") => {
                    let last_ms = words.next().and_then(|word| word.parse().ok());
                    found.last_ms = last_ms.unwrap_or(found.last_ms);
                    continue;
                }
                Some("k") => What::Known,
                Some("a") => What::Alone,
                Some(_) | None => continue,
            };
            let name = words.next();
            let mut number = || words.next()?.parse().ok();
            if let (Some(name), Some(part), Some(calls)) = (name, number(), number()) {
                found.cells.insert((name.into(), what, part), calls);
            }
        }
        found
    }

    pub(super) fn write(&self) -> String {
        let mut text = String::new();
        if let Some(Began { unix_ms, now_us, nodes }) = self.began {
            line(&mut text, format!("T {unix_ms} {now_us} {nodes}"));
            line(&mut text, format!("t {}", self.last_ms));
        }
        if self.is_noted {
            line(&mut text, String::from(NOTED));
        }
        for ((name, what, part), calls) in &self.cells {
            let what = match what {
                What::Known => 'k',
                What::Alone => 'a',
            };
            lines(&mut text, what, name, &[Cell { part: *part, calls: *calls }]);
        }
        text
    }
}

fn began<'a>(words: &mut impl Iterator<Item = &'a str>) -> Option<Began> {
    let unix_ms = words.next()?.parse().ok()?;
    let now_us = words.next()?.parse().ok()?;
    Some(Began { unix_ms, now_us, nodes: words.next()?.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summed(said: &str) -> String {
        let mut text = String::new();
        said.lines().for_each(|one| line(&mut text, one.to_owned()));
        text
    }

    #[test]
    fn the_last_word_on_a_part_counts_and_a_line_that_was_cut_off_does_not() {
        let said = "T 1000 2000000 3\nk w60:ab 7 40\na w60:ab 8 1\na w60:ab 8 2\nT 9 9 9\nodd\nt 1500\n\
                    a w60:ab 9 1";
        let text = summed(said) + "a w60:ab 9";
        let found = Found::read(&text);
        assert_eq!(found.began, Some(Began { unix_ms: 1000, now_us: 2_000_000, nodes: 3 }));
        let written = summed("T 1000 2000000 3\nt 1500\nk w60:ab 7 40\na w60:ab 8 2\na w60:ab 9 1");
        assert_eq!(found.write(), written);
        assert_eq!(Found::read(&written), found);
        let told = Found::read(&(written.clone() + &summed("E")));
        assert!(told.is_ended && told.cells.is_empty() && told.began.is_none());
        for damaged in [written.replace("8 2", "8 1"), written.replace(" #", " ")] {
            assert!(Found::read(&damaged).is_damaged, "{damaged}");
        }
        assert_eq!(Found::read("a w60:ab 9 1").cells.len(), 0);
    }
}
