//! `audit export`: the trail as lines, to a file or to standard output.
//! An export that broke off is taken up behind its last whole record.
//! Must never overwrite a file.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde_json::Value;

use super::super::failure::Failure;
use super::super::link::{self, encoded};
use super::super::{Ground, Reach};
use super::{Filter, TRAIL};
use crate::ledger::{Packing, whole_pieces};

/// Longer than any few lines.
const TAIL_BYTES: u64 = 1 << 20;

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Ndjson,
    Csv,
}

#[derive(Clone, Copy, ValueEnum)]
enum Compress {
    Gzip,
    Zstd,
}

impl Compress {
    fn packing(self) -> Packing {
        match self {
            Self::Gzip => Packing::Gzip,
            Self::Zstd => Packing::Zstd,
        }
    }
}

#[derive(Args)]
pub(in super::super) struct Export {
    /// A new file; standard output if not said
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// ndjson can be verified offline, csv is for spreadsheets
    #[arg(long, value_enum, default_value = "ndjson")]
    format: Format,
    /// Packed, piece by piece; `audit verify --offline` reads it as it is
    #[arg(long, value_enum, value_name = "HOW")]
    compress: Option<Compress>,
    /// Go on where an export in NDJSON to the same file broke off
    #[arg(long, requires = "output")]
    resume: bool,
    #[command(flatten)]
    filter: Filter,
    #[command(flatten)]
    reach: Reach,
}

impl Export {
    pub(super) fn run(self, ground: &Ground) -> Result<(), Failure> {
        let format = match self.format {
            Format::Ndjson => "ndjson",
            Format::Csv => "csv",
        };
        let mut packing = self.compress.map(Compress::packing);
        let mut path = format!("{TRAIL}/export?format={format}{}", self.filter.query());
        let Some(to) = &self.output else {
            let mut out = std::io::stdout().lock();
            return link::with(ground, &self.reach, async |link| {
                link.stream(&path, packing.map(Packing::as_str), &mut out).await
            })
            .map(|_| ());
        };
        if self.resume && matches!(self.format, Format::Csv) {
            return Err(Failure::usage("only an export in NDJSON can be taken up again"));
        }
        let mut file = if self.resume { reopened(to)? } else { made(to)? };
        let mut had = None;
        if self.resume {
            // It goes on as it was begun.
            packing = Packing::of(&mut file).map_err(|error| broken(to, &error))?;
            let last = match packing {
                Some(packing) => last_packed(&mut file, packing),
                None => last_record(&mut file),
            };
            had = last.map_err(|error| broken(to, &error))?;
        }
        if let Some((node, sequence)) = had {
            path.push_str(&format!("&cursor={}", encoded(&format!("{node}:{sequence}"))));
        }
        let bytes = link::with(ground, &self.reach, async |link| {
            link.stream(&path, packing.map(Packing::as_str), &mut file).await
        })?;
        file.sync_all().map_err(|error| broken(to, &error))?;
        let output = ground.output(self.reach.print);
        if output.json {
            return output.value(&serde_json::json!({"file": to, "bytes": bytes}));
        }
        output.remark(&format!("{bytes} bytes written to {}", to.display()))
    }
}

fn made(path: &Path) -> Result<File, Failure> {
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path);
    file.map_err(|error| broken(path, &error))
}

fn reopened(path: &Path) -> Result<File, Failure> {
    OpenOptions::new().read(true).write(true).open(path).map_err(|error| broken(path, &error))
}

fn broken(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(format!("{} cannot be written: {error}", path.display()))
}

/// Cuts off what stands behind the last whole record, and answers which one that is; None of an
/// empty file. A file without one is left as it is.
fn last_record(file: &mut File) -> std::io::Result<Option<(String, u64)>> {
    let length = file.metadata()?.len();
    let from = length.saturating_sub(TAIL_BYTES);
    file.seek(SeekFrom::Start(from))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    let mut end = tail.len();
    while let Some(place) = tail.get(..end).and_then(|all| all.iter().rposition(|b| *b == b'\n')) {
        let begin = tail.get(..place).and_then(|all| all.iter().rposition(|b| *b == b'\n'));
        let line = tail.get(begin.map_or(0, |at| at + 1)..place).unwrap_or_default();
        if let Some(found) = record_of(line) {
            let kept = from + u64::try_from(place).unwrap_or(0) + 1;
            file.set_len(kept)?;
            file.seek(SeekFrom::Start(kept))?;
            return Ok(Some(found));
        }
        end = place;
    }
    if length == 0 {
        return Ok(None);
    }
    Err(std::io::Error::other("it holds no whole record of an export; name a new file"))
}

/// The same of a packed one: what stands behind the last whole piece with a record is cut off.
fn last_packed(file: &mut File, packing: Packing) -> std::io::Result<Option<(String, u64)>> {
    let mut last = None;
    whole_pieces(file, packing, |piece, end| {
        let found = piece.split(|byte| *byte == b'\n').rev().find_map(record_of);
        if let Some(found) = found {
            last = Some((found, end));
        }
    })?;
    let Some((found, end)) = last else {
        let none = "it holds no whole record of an export; name a new file";
        return Err(std::io::Error::other(none));
    };
    file.set_len(end)?;
    file.seek(SeekFrom::Start(end))?;
    Ok(Some(found))
}

fn record_of(line: &[u8]) -> Option<(String, u64)> {
    let value: Value = serde_json::from_slice(line).ok()?;
    value.get("kind")?;
    Some((value.get("node")?.as_str()?.to_owned(), value.get("sequence")?.as_u64()?))
}
