//! One slot of a segment: a state word, then frames. Each step writes its frame behind the last and
//! publishes it with one store of the state word, so that a process that is killed anywhere leaves
//! the last complete step readable. Must never overwrite a frame that was published.
//!
//! The state word: `checksum of all frames u32 | end in words u16 | state u8 | mark u8`; 0 is a
//! free slot. The last word of a slot may repeat an earlier state word, of a step that must be
//! readable whatever the disk keeps of a later one (see `pin`). Being one word, it cannot be torn
//! from its checksum. A stored record's slot is simply free again.

use std::sync::atomic::{AtomicU64, Ordering};

use super::frame::{CLOSE_BYTES, CLOSE_DURATION_AT, OPEN_STARTED_NS_AT};
use crate::crypto::crc32;

const MARK: u8 = 0xA5;

/// How far a call had come when its slot was last written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum State {
    Open,
    Forwarded,
    Answered,
    Closed,
}

/// What a slot holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Free,
    /// The state, and how many bytes of frames were read.
    Whole(State, usize),
    /// The checksum or the state word itself is wrong.
    Torn,
}

/// Where the next frame of a slot goes; kept by whoever writes the slot.
#[derive(Clone, Copy, Debug)]
pub(super) struct Progress {
    checksum: u32,
    end: usize,
}

impl Progress {
    /// Of a slot in which nothing stands yet.
    pub(super) const START: Self = Self { checksum: 0, end: 1 };
}

impl State {
    const ALL: [Self; 4] = [Self::Open, Self::Forwarded, Self::Answered, Self::Closed];

    fn byte(self) -> u8 {
        match self {
            Self::Open => 1,
            Self::Forwarded => 2,
            Self::Answered => 3,
            Self::Closed => 4,
        }
    }
}

/// The words of one slot.
#[derive(Clone, Copy)]
pub(super) struct Slot<'a>(pub(super) &'a [AtomicU64]);

impl Slot<'_> {
    /// Appends a frame and publishes it, if `reserve` bytes stay free behind it. False if not.
    pub(super) fn append(
        self,
        progress: &mut Progress,
        state: State,
        frame: &[u8],
        reserve: usize,
    ) -> bool {
        let end = progress.end + frame.len() / 8;
        // The last word is the pin's.
        if end + reserve / 8 >= self.0.len() {
            return false;
        }
        let Some(room) = self.0.get(progress.end..end) else {
            return false;
        };
        for (word, bytes) in room.iter().zip(frame.as_chunks::<8>().0) {
            word.store(u64::from_le_bytes(*bytes), Ordering::Relaxed);
        }
        progress.checksum = crc32(progress.checksum, frame);
        progress.end = end;
        if let Some(word) = self.0.first() {
            word.store(state_word(progress.checksum, end, state), Ordering::Release);
        }
        true
    }

    pub(super) fn bytes_left(self, progress: Progress) -> usize {
        self.0.len().saturating_sub(progress.end + 1) * 8
    }

    /// Makes this step readable even where a disk that lost its power kept half of a later one.
    pub(super) fn pin(self, progress: Progress, state: State) {
        if let Some(word) = self.0.last() {
            word.store(state_word(progress.checksum, progress.end, state), Ordering::Release);
        }
    }

    /// What an earlier record has pinned says nothing of a new one.
    pub(super) fn unpin(self) {
        if let Some(word) = self.0.last() {
            word.store(0, Ordering::Release);
        }
    }

    /// True if exactly these bytes stand at the place, which is counted from the first frame on.
    pub(super) fn holds(self, at_byte: usize, bytes: &[u8]) -> bool {
        let Some(words) = self.0.get(1 + at_byte / 8..) else {
            return false;
        };
        let (chunks, rest) = bytes.as_chunks::<8>();
        let mut words = words.iter().map(|word| word.load(Ordering::Relaxed).to_le_bytes());
        let same = chunks.iter().all(|chunk| words.next().as_ref() == Some(chunk));
        same && (rest.is_empty() || words.next().is_some_and(|word| word.starts_with(rest)))
    }

    /// When a closed record closed, on its process's monotonic clock; what orders the lanes'
    /// records.
    pub(super) fn closed_at_ns(self) -> u64 {
        let load = |index: usize| self.0.get(index).map_or(0, |word| word.load(Ordering::Relaxed));
        let word = self.0.first().map_or(0, |word| word.load(Ordering::Acquire));
        let closing = usize::from(end_of(word)).saturating_sub(CLOSE_BYTES / 8);
        load(1 + OPEN_STARTED_NS_AT / 8).saturating_add(load(closing + CLOSE_DURATION_AT / 8))
    }

    /// Appends the frames of a slot that this process wrote and closed; no checksum is computed.
    /// Returns how many bytes they are; 0 for a free slot.
    pub(super) fn copy_frames(self, out: &mut Vec<u8>) -> usize {
        self.copy_up_to(self.0.first().map_or(0, |word| word.load(Ordering::Acquire)), out)
    }

    fn copy_up_to(self, word: u64, out: &mut Vec<u8>) -> usize {
        let end = usize::from(end_of(word));
        let words = self.0.get(1..end).unwrap_or_default();
        let start = out.len();
        out.resize(start + words.len() * 8, 0);
        let room = out.get_mut(start..).unwrap_or_default().as_chunks_mut::<8>().0;
        for (bytes, word) in room.iter_mut().zip(words) {
            *bytes = word.load(Ordering::Relaxed).to_le_bytes();
        }
        words.len() * 8
    }

    /// Reads a slot that another process may have left at any point; appends its frames if whole.
    pub(super) fn read(self, out: &mut Vec<u8>) -> Content {
        let load = |word: Option<&AtomicU64>| word.map_or(0, |word| word.load(Ordering::Acquire));
        let word = load(self.0.first());
        if word == 0 {
            return Content::Free;
        }
        let whole = self.read_up_to(word, out);
        whole.or_else(|| self.read_up_to(load(self.0.last()), out)).unwrap_or(Content::Torn)
    }

    /// None if what the word promises does not stand there.
    fn read_up_to(self, word: u64, out: &mut Vec<u8>) -> Option<Content> {
        let start = out.len();
        let length = self.copy_up_to(word, out);
        let checksum = crc32(0, out.get(start..).unwrap_or_default());
        let state = State::ALL
            .into_iter()
            .find(|state| length > 0 && word == state_word(checksum, 1 + length / 8, *state));
        if state.is_none() {
            out.truncate(start);
        }
        state.map(|state| Content::Whole(state, length))
    }

    /// Everything that stands in the slot, for a record of what could not be read.
    pub(super) fn copy_all(self) -> Vec<u8> {
        self.0.iter().flat_map(|word| word.load(Ordering::Relaxed).to_le_bytes()).collect()
    }

    pub(super) fn free(self) {
        if let Some(word) = self.0.first() {
            word.store(0, Ordering::Release);
        }
    }
}

fn state_word(checksum: u32, end: usize, state: State) -> u64 {
    let end = u64::try_from(end).unwrap_or(u64::MAX) & 0xFFFF;
    u64::from(checksum) << 32 | end << 16 | u64::from(state.byte()) << 8 | u64::from(MARK)
}

fn end_of(word: u64) -> u16 {
    let [_, _, low, high, ..] = word.to_le_bytes();
    u16::from_le_bytes([low, high])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words() -> Vec<AtomicU64> {
        (0..128).map(|_| AtomicU64::new(0)).collect()
    }

    #[test]
    fn every_step_leaves_all_steps_so_far_readable() {
        let words = words();
        let slot = Slot(&words);
        let mut progress = Progress::START;
        let mut out = Vec::new();
        assert_eq!(slot.read(&mut out), Content::Free);
        for (count, state) in State::ALL.into_iter().enumerate() {
            assert!(slot.append(&mut progress, state, &[7; 24], 0));
            out.clear();
            let length = (count + 1) * 24;
            assert_eq!(slot.read(&mut out), Content::Whole(state, length));
            assert_eq!(out, vec![7; length]);
        }
        slot.free();
        assert_eq!(slot.read(&mut out), Content::Free);
    }

    #[test]
    fn a_slot_that_was_half_overwritten_is_torn() {
        for at in [0, 1, 5] {
            let words = words();
            let slot = Slot(&words);
            assert!(slot.append(&mut Progress::START.clone(), State::Open, &[7; 48], 0));
            words[at].fetch_xor(1 << 17, Ordering::Relaxed);
            let mut out = Vec::new();
            assert_eq!(slot.read(&mut out), Content::Torn, "word {at}");
            assert!(out.is_empty());
        }
    }

    #[test]
    fn a_pinned_step_outlives_a_later_one_of_which_the_disk_kept_half() {
        let words = words();
        let slot = Slot(&words);
        let mut progress = Progress::START;
        slot.unpin();
        assert!(slot.append(&mut progress, State::Answered, &[7; 48], 0));
        slot.pin(progress, State::Answered);
        assert!(slot.append(&mut progress, State::Closed, &[8; 24], 0));
        let mut out = Vec::new();
        assert_eq!(slot.read(&mut out), Content::Whole(State::Closed, 72));
        out.clear();
        // The state word reached the disk, the frame did not.
        words[8].store(0, Ordering::Relaxed);
        assert_eq!(slot.read(&mut out), Content::Whole(State::Answered, 48));
        assert_eq!(out, [7; 48]);
        // A pinned step that is itself damaged is nothing.
        words[3].fetch_xor(1, Ordering::Relaxed);
        out.clear();
        assert_eq!(slot.read(&mut out), Content::Torn);
        slot.free();
        assert_eq!(slot.read(&mut out), Content::Free);
    }

    #[test]
    fn a_frame_that_would_eat_the_reserve_is_refused() {
        let words = words();
        let slot = Slot(&words);
        let mut progress = Progress::START;
        assert!(!slot.append(&mut progress, State::Open, &[1; 1008], 8));
        assert!(slot.append(&mut progress, State::Open, &[1; 1000], 8));
        assert_eq!(slot.bytes_left(progress), 8);
        assert!(slot.append(&mut progress, State::Closed, &[2; 8], 0));
        assert!(!slot.append(&mut progress, State::Closed, &[3; 8], 0));
        let mut out = Vec::new();
        assert_eq!(slot.read(&mut out), Content::Whole(State::Closed, 1008));
    }

    #[test]
    fn texts_are_compared_to_their_last_byte() {
        let words = words();
        let slot = Slot(&words);
        let frame = *b"01234567abcdefghijk\0\0\0\0\0";
        assert!(slot.append(&mut Progress::START.clone(), State::Open, &frame, 0));
        assert!(slot.holds(8, b"abcdefgh"));
        assert!(slot.holds(8, b"abcdefghijk"));
        assert!(!slot.holds(8, b"abcdefghijl"));
        assert!(!slot.holds(8, b"abcdefgX"));
    }
}
