//! The folder of the journal: which segments there are, who owns them, and how many more may be
//! made. Segments are made here, ahead of need and by the writer's side alone, so that no request
//! ever waits for a file. Must never pass the budget.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use uuid::Uuid;

use super::block::Link;
use super::commit::Commit;
use super::lane::Shared;
use super::mapping::{self, Segment, SegmentError, Shape};
use super::{Error, Settings};
use crate::clock::Clock;
use crate::crypto::{Sha256, crc32, label};
use crate::store::Checkpoint;

/// Slots of the workers' lanes and of the house's own, which also hold what a change altered.
const WORKER_SLOT_BYTES: u32 = 1024;
const HOUSE_SLOT_BYTES: u32 = 4096;
/// 4096 and 256 slots: 4 MiB and 1 MiB a segment, unless the budget is small.
const WORKER_SHIFT: u32 = 12;
const HOUSE_SHIFT: u32 = 8;
/// A worker begins with room for what a full core can call between two looks of an idle writer.
const FIRST_WORKER_SEGMENTS: u32 = 2;
const LEAST_SHIFT: u32 = 4;
/// Stands in the journal's folder once the trail was found cut.
const CUT_FILE: &str = "cut";
/// The last checkpoint that was signed and stored, beside `head`.
const CHECKPOINT_FILE: &str = "checkpoint";
const HEAD_BYTES: usize = 32 + 8 + 32 + 4;

/// How the segments of one lane are made.
#[derive(Clone, Copy, Debug)]
struct Plan {
    slot_bytes: u32,
    shift: u32,
    first_segments: u32,
}

/// The folder, and what is left of the budget.
pub(super) struct Journal {
    folder: PathBuf,
    owner: [u8; 32],
    left_bytes: AtomicU64,
    worker: Plan,
    house: Plan,
    workers: u32,
    pub(super) commit: Option<Arc<Commit>>,
    /// Holds the end of the chain, where the database's owner cannot write.
    head: fs::File,
    /// Where what stood in the place of `head` lies, and was none.
    put_aside: Option<PathBuf>,
}

/// What an earlier process left.
pub(super) struct LeftBehind {
    pub(super) segments: Vec<(PathBuf, Segment)>,
    pub(super) findings: Vec<serde_json::Value>,
}

/// What a look finds.
pub(super) struct Seen {
    pub(super) remembered: Option<Link>,
    pub(super) cut: Option<u64>,
    /// Each a sentence.
    pub(super) faults: Vec<String>,
}

impl Journal {
    /// Creates the folder where it is missing. Knows the installation, so that the journal of
    /// another one is refused rather than mixed in.
    pub(super) fn new(
        settings: &Settings,
        installation: Uuid,
        node: &str,
        workers: usize,
    ) -> Result<Self, Error> {
        let folder = settings.folder.clone();
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder);
        made.map_err(|error| Error::Folder { folder: folder.clone(), error })?;
        let workers = u32::try_from(workers).unwrap_or(u32::MAX);
        let (worker, house) = plans(settings.budget_bytes, workers)
            .ok_or(Error::Budget { budget_bytes: settings.budget_bytes, workers })?;
        let left_bytes = AtomicU64::new(settings.budget_bytes);
        let path = folder.join("head");
        let owner = owner(installation, node);
        let put_aside = put_damaged_aside(&path)
            .map_err(|error| Error::Folder { folder: path.clone(), error })?;
        let mut options = fs::OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let head = options.open(&path).map_err(|error| Error::Folder { folder: path, error })?;
        let commit = settings.is_strict.then(Arc::default);
        Ok(Self { folder, owner, left_bytes, worker, house, workers, commit, head, put_aside })
    }

    /// Notes how far the chain is stored. A note that cannot be written is only one proof less.
    pub(super) fn remember(&self, link: &Link) {
        let mut bytes = Vec::with_capacity(HEAD_BYTES);
        bytes.extend_from_slice(&self.owner);
        bytes.extend_from_slice(&link.next_sequence.to_le_bytes());
        bytes.extend_from_slice(&link.hash);
        let sum = crc32(0, &bytes).to_le_bytes();
        bytes.extend_from_slice(&sum);
        if let Err(error) = self.head.write_all_at(&bytes, 0) {
            tracing::warn!(%error, "The end of the trail could not be noted in the journal.");
        }
    }

    /// How far the chain was stored when it was last noted; None if nothing legible stands there.
    pub(super) fn remembered(&self) -> Option<Link> {
        remembered(&self.head, &self.owner)
    }

    /// The same for what was signed of it.
    pub(super) fn remember_checkpoint(&self, checkpoint: &Checkpoint) {
        let (path, new) = (self.folder.join(CHECKPOINT_FILE), self.folder.join("checkpoint.new"));
        let written = fs::write(&new, checkpoint.to_line()).and_then(|()| fs::rename(&new, &path));
        if let Err(error) = written {
            tracing::warn!(%error, "The last checkpoint could not be noted in the journal.");
        }
    }

    /// None if nothing legible stands there.
    pub(super) fn remembered_checkpoint(&self) -> Option<Checkpoint> {
        let bytes = fs::read(self.folder.join(CHECKPOINT_FILE)).ok()?;
        Checkpoint::of_json(&serde_json::from_slice(&bytes).ok()?)
    }

    /// How far the webhook has confirmed.
    pub(super) fn pushed_file(&self) -> PathBuf {
        self.folder.join("pushed")
    }

    /// The database had less of the chain than was stored. Stands until the journal is taken
    /// away, so that no later look can call the trail whole.
    pub(super) fn note_cut(&self, from_sequence: u64) {
        let path = self.folder.join(CUT_FILE);
        if self.cut().is_none()
            && let Err(error) = fs::write(path, from_sequence.to_string())
        {
            tracing::warn!(%error, "The cut trail could not be noted in the journal.");
        }
    }

    /// The first record that is missing, if an earlier start found the trail cut.
    pub(super) fn cut(&self) -> Option<u64> {
        cut(&self.folder)
    }

    /// The segments that an earlier process left, whatever their shape was. What it left unfinished
    /// was never used and goes.
    pub(super) fn left_behind(&self) -> Result<LeftBehind, Error> {
        let broken = |error| Error::Folder { folder: self.folder.clone(), error };
        let mut paths = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(broken)? {
            let path = entry.map_err(broken)?.path();
            if mapping::is_unfinished(&path) {
                fs::remove_file(&path).map_err(broken)?;
            } else if path.extension().is_some_and(|extension| extension == "journal") {
                paths.push(path);
            }
        }
        paths.sort();
        let mut left = LeftBehind { segments: Vec::new(), findings: Vec::new() };
        left.findings.extend(self.put_aside.iter().map(
            |beside| serde_json::json!({"alert": "integrity", "finding": damaged_head(beside)}),
        ));
        // The file that says whose journal this is stood, and said: ours. A part of it that says
        // something else was edited.
        let is_ours = self.remembered().is_some();
        for path in paths {
            match Segment::open(&path, &self.owner) {
                Ok(segment) => left.segments.push((path, segment)),
                Err(SegmentError::Io(error)) => return Err(Error::Folder { folder: path, error }),
                Err(SegmentError::Unreadable) => return Err(Error::Unreadable { path }),
                Err(SegmentError::Foreign) if !is_ours => return Err(Error::Foreign { path }),
                Err(SegmentError::Damaged | SegmentError::Foreign) => {
                    let beside = aside(&path);
                    fs::rename(&path, &beside).map_err(broken)?;
                    left.findings.push(serde_json::json!({
                        "alert": "integrity",
                        "finding": damaged(&beside),
                    }));
                }
            }
        }
        Ok(left)
    }

    /// Where it is, for people.
    pub(super) fn place(&self) -> &str {
        self.folder.to_str().unwrap_or("data_dir")
    }

    /// Once everything in it was stored.
    pub(super) fn remove(&self, path: &Path) -> Result<(), Error> {
        fs::remove_file(path).map_err(|error| Error::Folder { folder: path.to_owned(), error })
    }

    /// One lane for each worker and, last, the house's own, each with its first segments.
    pub(super) fn lanes(&self, clock: &Clock) -> Result<Vec<Arc<Shared>>, Error> {
        let broken = |error| Error::Folder { folder: self.folder.clone(), error };
        let mut lanes = Vec::new();
        for number in 0..=self.workers {
            let plan = self.plan(number);
            let most = self.left_bytes.load(Ordering::Relaxed) / plan.segment_bytes();
            let most = usize::try_from(most.min(1 << 16)).unwrap_or(1);
            let commit = self.commit.clone();
            let lane = Arc::new(Shared::new(number, clock.clone(), (most, plan.shift), commit));
            lanes.push(lane);
        }
        for lane in &lanes {
            for _ in 0..self.plan(lane.number).first_segments {
                self.extend(lane).map_err(broken)?;
            }
        }
        Ok(lanes)
    }

    /// Makes one more segment for a lane. False if the budget is used up.
    pub(super) fn extend(&self, lane: &Shared) -> io::Result<bool> {
        let plan = self.plan(lane.number);
        let segment = u32::try_from(lane.slots() >> plan.shift).unwrap_or(u32::MAX);
        let shape = Shape {
            lane: lane.number,
            segment,
            slot_bytes: plan.slot_bytes,
            slots: 1 << plan.shift,
        };
        let left = self.left_bytes.load(Ordering::Relaxed);
        let Some(left) = left.checked_sub(plan.segment_bytes()) else {
            return Ok(false);
        };
        let path = self.folder.join(format!("{}-{segment}.journal", lane.number));
        let made = Segment::create(&path, &self.owner, shape)?;
        if self.commit.is_some() {
            // The name, too: a file that nobody finds holds nothing.
            fs::File::open(&path)?.sync_all()?;
            fs::File::open(&self.folder)?.sync_all()?;
        }
        let added = lane.add(made);
        if added {
            self.left_bytes.store(left, Ordering::Relaxed);
        }
        Ok(added)
    }

    fn plan(&self, lane: u32) -> Plan {
        if lane < self.workers { self.worker } else { self.house }
    }
}

/// What is no file, or is one and says nothing that any node wrote: kept as evidence. Another
/// house's is left where it is.
fn put_damaged_aside(path: &Path) -> io::Result<Option<PathBuf>> {
    let Ok(metadata) = fs::symlink_metadata(path) else { return Ok(None) };
    let is_legible = || fs::File::open(path).is_ok_and(|head| legible(&head).is_some());
    if metadata.is_file() && (metadata.len() == 0 || is_legible()) {
        return Ok(None);
    }
    let beside = aside(path);
    fs::rename(path, &beside)?;
    tracing::error!(aside = %beside.display(), "integrity: the journal's head was put aside");
    Ok(Some(beside))
}

fn remembered(head: &fs::File, owner: &[u8; 32]) -> Option<Link> {
    legible(head).filter(|(found, _)| found == owner).map(|(_, link)| link)
}

/// Whose it is, and what it says.
fn legible(head: &fs::File) -> Option<([u8; 32], Link)> {
    let mut bytes = [0; HEAD_BYTES];
    head.read_exact_at(&mut bytes, 0).ok()?;
    let (summed, sum) = bytes.split_last_chunk::<4>()?;
    let (found, rest) = summed.split_first_chunk::<32>()?;
    let (next_sequence, rest) = rest.split_first_chunk::<8>()?;
    let hash = *rest.first_chunk::<32>()?;
    let link = Link { next_sequence: u64::from_le_bytes(*next_sequence), hash };
    (crc32(0, summed).to_le_bytes() == *sum).then_some((*found, link))
}

fn cut(folder: &Path) -> Option<u64> {
    let text = fs::read_to_string(folder.join(CUT_FILE)).ok()?;
    Some(text.trim().parse().unwrap_or(1))
}

fn owner(installation: Uuid, node: &str) -> [u8; 32] {
    let mut owner = Sha256::new(label::RECORD);
    owner.update(b"/journal/");
    owner.update(installation.as_bytes());
    owner.update(node.as_bytes());
    owner.finish()
}

/// Where a damaged segment lies after the start that found it.
fn aside(path: &Path) -> PathBuf {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".damaged");
    PathBuf::from(beside)
}

fn damaged_head(path: &Path) -> String {
    format!(
        "{} said where this node's trail ends, and somebody changed it: the trail goes on from \
         what the database and the journal's other files say; run `sealgate audit verify`, keep \
         the file as evidence, and say with `sealgate secret accept` that you have seen it",
        path.display()
    )
}

fn damaged(path: &Path) -> String {
    format!(
        "{} was a part of the journal, and somebody emptied, cut or changed it: what was in it \
         alone is not in the trail; keep the file as evidence, and say with `sealgate secret \
         accept` that you have seen it",
        path.display()
    )
}

/// Does the journal remember the end of this node's chain?
pub(super) fn is_of(settings: &Settings, installation: Uuid, node: &str) -> bool {
    let path = settings.folder.join("head");
    let head = path.is_file().then(|| fs::File::open(&path).ok()).flatten();
    head.is_some_and(|head| remembered(&head, &owner(installation, node)).is_some())
}

/// What stands in the folder of a house that does not run.
pub(super) fn look(settings: &Settings, installation: Uuid, node: &str) -> Seen {
    let owner = owner(installation, node);
    let path = settings.folder.join("head");
    let head = path.is_file().then(|| fs::File::open(&path).ok()).flatten();
    let mut seen = Seen {
        remembered: head.and_then(|head| remembered(&head, &owner)),
        cut: cut(&settings.folder),
        faults: Vec::new(),
    };
    let entries = fs::read_dir(&settings.folder).into_iter().flatten().filter_map(Result::ok);
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        if path.extension().is_some_and(|extension| extension == "journal") {
            let fault = match Segment::open(&path, &owner) {
                Ok(_) => continue,
                Err(SegmentError::Damaged) => damaged(&path),
                Err(SegmentError::Io(error)) => Error::Folder { folder: path, error }.to_string(),
                Err(SegmentError::Unreadable) => Error::Unreadable { path }.to_string(),
                Err(SegmentError::Foreign) => Error::Foreign { path }.to_string(),
            };
            seen.faults.push(fault);
        }
    }
    seen
}

impl Plan {
    fn segment_bytes(self) -> u64 {
        u64::from(self.slot_bytes) << self.shift
    }
}

/// The usual segments, halved until the first ones of all lanes take at most half of the budget.
fn plans(budget_bytes: u64, workers: u32) -> Option<(Plan, Plan)> {
    let least = LEAST_SHIFT + (HOUSE_SLOT_BYTES / WORKER_SLOT_BYTES).ilog2();
    (least..=WORKER_SHIFT).rev().find_map(|shift| {
        let first_segments = FIRST_WORKER_SEGMENTS;
        let worker = Plan { slot_bytes: WORKER_SLOT_BYTES, shift, first_segments };
        let shift = (shift + HOUSE_SHIFT).saturating_sub(WORKER_SHIFT).max(LEAST_SHIFT);
        let house = Plan { slot_bytes: HOUSE_SLOT_BYTES, shift, first_segments: 1 };
        let workers = u64::from(workers) * u64::from(worker.first_segments);
        let first_bytes = workers * worker.segment_bytes() + house.segment_bytes();
        (first_bytes <= budget_bytes / 2).then_some((worker, house))
    })
}
