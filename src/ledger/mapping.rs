//! Segment files: made with real blocks, mapped shared, seen by everybody else as atomic words.
//! The only `unsafe` of the journal. Must never shrink a file that is mapped, and never map a file
//! whose blocks are not there: writing into a hole of a full disk would kill the process.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use memmap2::MmapRaw;

use crate::crypto::crc32;
use crate::failpoint;

const MAGIC: &[u8; 8] = b"SGJOURN1";
/// One page, so that the slots begin on a page of their own.
const HEADER_BYTES: usize = 4096;
const WRITTEN_HEADER_BYTES: usize = 8 + 32 + 4 * 4 + 4;

/// What the slots of a segment look like, and where it belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) lane: u32,
    pub(super) segment: u32,
    pub(super) slot_bytes: u32,
    pub(super) slots: u32,
}

impl Shape {
    pub(super) fn file_bytes(self) -> u64 {
        HEADER_BYTES as u64 + u64::from(self.slot_bytes) * u64::from(self.slots)
    }

    /// Slots hold whole words; the bounds keep a header that lies from asking for the moon.
    fn is_sane(self) -> bool {
        (1024..=65_536).contains(&self.slot_bytes)
            && self.slot_bytes.is_multiple_of(8)
            && (1..=1_048_576).contains(&self.slots)
    }
}

/// Why a file in the journal's folder cannot be used.
#[derive(Debug)]
pub(super) enum SegmentError {
    Io(io::Error),
    /// A format of another age, or no segment at all.
    Unreadable,
    /// Emptied, cut, or changed in its header.
    Damaged,
    /// Written by another installation or node.
    Foreign,
}

impl From<io::Error> for SegmentError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// One mapped file of slots.
pub(super) struct Segment {
    map: MmapRaw,
    shape: Shape,
    /// Links the slots into the lists of their lane. Beside the mapping, because lists die with the
    /// process and would only dirty the file.
    pub(super) links: Box<[AtomicU32]>,
    /// Something was written that its disk may not have.
    dirty: AtomicBool,
    /// A trip to the disk failed: the system may take for written what is not.
    spoilt: AtomicBool,
}

impl Segment {
    /// A new segment, all slots free. The file gets its name last, so a name promises a whole file.
    pub(super) fn create(path: &Path, owner: &[u8; 32], shape: Shape) -> io::Result<Self> {
        let unfinished = unfinished(path);
        let made = Self::create_as(&unfinished, owner, shape).and_then(|segment| {
            std::fs::rename(&unfinished, path)?;
            Ok(segment)
        });
        if made.is_err() {
            // Gives the blocks back that a full disk had left for it; nothing else can be done.
            let _ = std::fs::remove_file(&unfinished);
        }
        made
    }

    fn create_as(path: &Path, owner: &[u8; 32], shape: Shape) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(path)?;
        let length = i64::try_from(shape.file_bytes()).map_err(io::Error::other)?;
        nix::fcntl::posix_fallocate(&file, 0, length)?;
        file.write_all(&header(owner, shape))?;
        Self::map(&file, shape)
    }

    /// A segment that an earlier process left behind.
    pub(super) fn open(path: &Path, owner: &[u8; 32]) -> Result<Self, SegmentError> {
        let mut file = OpenOptions::new().read(true).write(true).open(path)?;
        let mut bytes = Vec::with_capacity(WRITTEN_HEADER_BYTES);
        (&mut file).take(WRITTEN_HEADER_BYTES as u64).read_to_end(&mut bytes)?;
        // Another version's holds records that it alone can read.
        let is_ours = bytes.starts_with(MAGIC) || MAGIC.starts_with(&bytes);
        if !is_ours && bytes.iter().any(|byte| *byte != 0) {
            return Err(SegmentError::Unreadable);
        }
        let bytes = <[u8; WRITTEN_HEADER_BYTES]>::try_from(bytes);
        let bytes = bytes.map_err(|_| SegmentError::Damaged)?;
        let (found_owner, shape) = read_header(&bytes).ok_or(SegmentError::Damaged)?;
        if !shape.is_sane() || file.metadata()?.len() != shape.file_bytes() {
            return Err(SegmentError::Damaged);
        }
        if &found_owner != owner {
            return Err(SegmentError::Foreign);
        }
        Ok(Self::map(&file, shape)?)
    }

    fn map(file: &File, shape: Shape) -> io::Result<Self> {
        let map = MmapRaw::map_raw(file)?;
        if map.len() as u64 != shape.file_bytes() {
            return Err(io::Error::other("the file changed its length while it was mapped"));
        }
        let links = (0..shape.slots).map(|_| AtomicU32::new(0)).collect();
        let (dirty, spoilt) = (AtomicBool::new(false), AtomicBool::new(false));
        Ok(Self { map, shape, links, dirty, spoilt })
    }

    pub(super) fn shape(&self) -> Shape {
        self.shape
    }

    /// The words of one slot; empty if there is no such slot.
    pub(super) fn slot(&self, index: u32) -> &[AtomicU64] {
        let words = self.shape.slot_bytes as usize / 8;
        let start = HEADER_BYTES / 8 + index as usize * words;
        self.words().get(start..start + words).unwrap_or(&[])
    }

    pub(super) fn touched(&self) {
        self.dirty.store(true, Ordering::Release);
    }

    /// Carries what was written before this call to the disk. After a failure all of it is written
    /// anew: what the system had tried in vain it counts as done.
    pub(super) fn sync(&self) -> io::Result<()> {
        if !self.dirty.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        if self.spoilt.load(Ordering::Acquire) {
            const WORDS_OF_A_PAGE: usize = 4096 / 8;
            for word in self.words().iter().step_by(WORDS_OF_A_PAGE) {
                word.fetch_or(0, Ordering::Relaxed);
            }
        }
        let done = match failpoint::fails(failpoint::place::JOURNAL_SYNC) {
            true => Err(io::Error::other("as a test wants it")),
            false => self.map.flush(),
        };
        self.spoilt.store(done.is_err(), Ordering::Release);
        if done.is_err() {
            self.dirty.store(true, Ordering::Release);
        }
        done
    }

    #[expect(
        unsafe_code,
        reason = "the one view of the mapped memory; why it is sound stands inside"
    )]
    fn words(&self) -> &[AtomicU64] {
        let pointer = self.map.as_ptr().cast::<AtomicU64>();
        // SAFETY: the pointer is the start of a mapping of `map.len()` bytes, page-aligned,
        // readable and writable, which lives as long as `self`. Every bit pattern is an AtomicU64.
        // This is the only view of it within the process, so every access is atomic. Other
        // processes are kept out by the data folder's lock and mode; the file was allocated in full
        // and is never cut.
        unsafe { std::slice::from_raw_parts(pointer, self.map.len() / 8) }
    }
}

/// True for what a killed process may leave of a segment that it was about to make.
pub(super) fn is_unfinished(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "new")
}

fn unfinished(path: &Path) -> PathBuf {
    path.with_extension("new")
}

fn header(owner: &[u8; 32], shape: Shape) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(owner);
    for number in [shape.lane, shape.segment, shape.slot_bytes, shape.slots] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    let sum = crc32(0, &bytes);
    bytes.extend_from_slice(&sum.to_le_bytes());
    bytes
}

fn read_header(bytes: &[u8; WRITTEN_HEADER_BYTES]) -> Option<([u8; 32], Shape)> {
    let (magic, rest) = bytes.split_first_chunk::<8>()?;
    let (owner, mut rest) = rest.split_first_chunk::<32>()?;
    let mut numbers = [0; 5];
    for number in &mut numbers {
        let (taken, left) = rest.split_first_chunk::<4>()?;
        *number = u32::from_le_bytes(*taken);
        rest = left;
    }
    let [lane, segment, slot_bytes, slots, sum] = numbers;
    let summed = bytes.get(..WRITTEN_HEADER_BYTES - 4)?;
    let shape = Shape { lane, segment, slot_bytes, slots };
    (magic == MAGIC && crc32(0, summed) == sum).then_some((*owner, shape))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;

    const SHAPE: Shape = Shape { lane: 3, segment: 7, slot_bytes: 1024, slots: 16 };
    const OWNER: [u8; 32] = [9; 32];

    #[test]
    fn what_was_written_into_a_slot_is_there_when_the_file_is_opened_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("3-7.journal");
        let segment = Segment::create(&path, &OWNER, SHAPE).unwrap();
        segment.slot(15)[127].store(42, Ordering::Relaxed);
        assert!(segment.slot(16).is_empty());
        drop(segment);
        let segment = Segment::open(&path, &OWNER).unwrap();
        assert_eq!(segment.shape(), SHAPE);
        assert_eq!(segment.slot(15)[127].load(Ordering::Relaxed), 42);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn foreign_short_and_damaged_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("3-7.journal");
        drop(Segment::create(&path, &OWNER, SHAPE).unwrap());
        assert!(matches!(Segment::open(&path, &[8; 32]), Err(SegmentError::Foreign)));
        let whole = std::fs::read(&path).unwrap();
        for (length, at) in [(0, 0), (10, 0), (whole.len() - 1, 0), (whole.len(), 44)] {
            let mut bytes = whole[..length].to_vec();
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= u8::from(length == whole.len());
            }
            std::fs::write(&path, &bytes).unwrap();
            let refused = Segment::open(&path, &OWNER);
            assert!(matches!(refused, Err(SegmentError::Damaged)), "{length} {at}");
        }
    }

    #[test]
    fn the_blocks_of_a_segment_are_really_there() {
        use std::os::unix::fs::MetadataExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("0-0.journal");
        drop(Segment::create(&path, &OWNER, SHAPE).unwrap());
        let metadata = std::fs::metadata(&path).unwrap();
        assert!(metadata.blocks() * 512 >= SHAPE.file_bytes());
        assert_eq!(metadata.mode() & 0o777, 0o600);
    }
}
