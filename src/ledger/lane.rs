//! A lane: the slots of one worker, and the lists that they travel in. A seat is taken from the
//! free list, a closed record goes onto the closed list, the writer hands stored slots back: plain
//! stores and one compare-exchange each, no lock and no system call. Must never wait for anybody.
//!
//! Both shared lists are only ever pushed to, or taken whole, so the usual trouble of such lists
//! (an index that comes back between a look and an exchange) cannot arise. The free list is last
//! in, first out, and chains are used up one after the other: the slots in use stay few, hot and
//! mostly in cache.

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use tokio::sync::Notify;
use uuid::Uuid;

use super::commit::{Commit, Kept};
use super::frame::Birth;
use super::mapping::Segment;
use super::record::Begin;
use super::seat::Seat;
use super::slot::{Progress, Slot, State};
use super::sums::{Moment, Sums};
use crate::clock::Clock;
use crate::refusal::Reason;

const NONE: u32 = 0;
/// How long a reading of the wall clock serves; in between it is moved on by the other clock.
const WALL_SERVES_NS: u64 = 50_000_000;

/// On a cache line of its own, so that the writer's touch does not slow the worker.
#[repr(align(64))]
struct Apart<T>(T);

/// What a lane's owner, its records and the writer share.
pub(super) struct Shared {
    pub(super) number: u32,
    pub(super) clock: Clock,
    segments: Box<[OnceLock<Segment>]>,
    /// log2 of the slots in a segment.
    shift: u32,
    made: AtomicU64,
    /// Written by the lane's owner alone.
    taken: Apart<AtomicU64>,
    given_back: Apart<AtomicU64>,
    /// Heads of lists: an index plus one, 0 for an empty list.
    closed: Apart<AtomicU32>,
    returned: Apart<AtomicU32>,
    /// The worker cuts what is still under way.
    leaving: AtomicBool,
    /// Who carries records to the disk before anybody is answered; None where nobody waits for it.
    pub(super) commit: Option<Arc<Commit>>,
}

/// One worker's own end of a lane.
pub(crate) struct Lane {
    shared: Arc<Shared>,
    /// Heads of chains of free slots, the hottest last.
    chains: RefCell<Vec<u32>>,
    births: Cell<u32>,
    wall: Cell<Wall>,
    /// 48 random bits that no other lane has.
    random: u64,
    /// Shared with the writer, which ends windows in which nothing more happens.
    sums: Arc<Mutex<Sums>>,
}

/// The wall clock as it was read last, beside the clock that never goes back.
#[derive(Clone, Copy)]
struct Wall {
    unix_ms: i64,
    at_ns: u64,
}

/// A slot that somebody holds; goes where it belongs when it is dropped.
pub(super) struct Place {
    pub(super) shared: Arc<Shared>,
    index: u32,
    /// True once something was written: then the writer must see it.
    pub(super) opened: bool,
}

impl Shared {
    pub(super) fn new(
        number: u32,
        clock: Clock,
        (most_segments, shift): (usize, u32),
        commit: Option<Arc<Commit>>,
    ) -> Self {
        Self {
            commit,
            number,
            clock,
            segments: (0..most_segments).map(|_| OnceLock::new()).collect(),
            shift,
            made: AtomicU64::new(0),
            taken: Apart(AtomicU64::new(0)),
            given_back: Apart(AtomicU64::new(0)),
            closed: Apart(AtomicU32::new(NONE)),
            returned: Apart(AtomicU32::new(NONE)),
            leaving: AtomicBool::new(false),
        }
    }

    /// Puts a fresh segment into its place and its slots onto the free list. Called by one thread
    /// at a time. False if the place is taken or does not exist.
    pub(super) fn add(&self, segment: Segment) -> bool {
        let shape = segment.shape();
        let first = shape.segment << self.shift;
        for (next, link) in (first + 2..).zip(&segment.links[..]) {
            link.store(next, Ordering::Relaxed);
        }
        let Some(place) = self.segments.get(shape.segment as usize) else {
            return false;
        };
        if place.set(segment).is_err() {
            return false;
        }
        self.push_chain(&self.returned.0, first + 1, first + shape.slots);
        self.made.fetch_add(u64::from(shape.slots), Ordering::Relaxed);
        true
    }

    pub(super) fn slot(&self, index: u32) -> Slot<'_> {
        let segment = self.segments.get((index >> self.shift) as usize).and_then(OnceLock::get);
        let within = index & ((1 << self.shift) - 1);
        Slot(segment.map_or(&[], |segment| segment.slot(within)))
    }

    /// A slot was written whose record is to reach the disk.
    pub(super) fn touched(&self, index: u32) {
        let segment = self.segments.get((index >> self.shift) as usize).and_then(OnceLock::get);
        segment.into_iter().for_each(Segment::touched);
    }

    /// Carries every segment to the disk, whatever becomes of another.
    pub(super) fn sync(&self) -> std::io::Result<()> {
        let segments = self.segments.iter().map_while(OnceLock::get);
        segments.map(Segment::sync).fold(Ok(()), std::io::Result::and)
    }

    pub(super) fn slots(&self) -> u64 {
        self.made.load(Ordering::Relaxed)
    }

    pub(super) fn in_use(&self) -> u64 {
        let given_back = self.given_back.0.load(Ordering::Acquire);
        self.taken.0.load(Ordering::Relaxed).saturating_sub(given_back)
    }

    pub(super) fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Relaxed)
    }

    /// More than half of the slots are free.
    pub(super) fn is_roomy(&self) -> bool {
        self.in_use() * 2 < self.slots()
    }

    /// All records closed since the last call, in the order in which they closed.
    pub(super) fn take_closed(&self, into: &mut Vec<u32>) {
        let start = into.len();
        let mut head = self.closed.0.swap(NONE, Ordering::Acquire);
        while let Some(index) = head.checked_sub(1) {
            into.push(index);
            head = self.link(index).map_or(NONE, |link| link.load(Ordering::Relaxed));
        }
        into.get_mut(start..).unwrap_or_default().reverse();
    }

    /// Stored slots become free: marked so in the file first, then given to the owner in one piece.
    pub(super) fn give_back(&self, slots: &[u32]) {
        let (Some(first), Some(last)) = (slots.first(), slots.last()) else {
            return;
        };
        for (index, next) in slots.iter().zip(slots.iter().skip(1)) {
            if let Some(link) = self.link(*index) {
                link.store(next + 1, Ordering::Relaxed);
            }
        }
        for index in slots {
            self.slot(*index).free();
        }
        self.push_chain(&self.returned.0, first + 1, last + 1);
        self.given_back.0.fetch_add(slots.len() as u64, Ordering::AcqRel);
    }

    /// `first` and `last` as list heads are written: an index plus one.
    fn push_chain(&self, head: &AtomicU32, first: u32, last: u32) {
        let Some(link) = last.checked_sub(1).and_then(|index| self.link(index)) else {
            return;
        };
        let mut old = head.load(Ordering::Relaxed);
        loop {
            link.store(old, Ordering::Relaxed);
            match head.compare_exchange_weak(old, first, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => old = now,
            }
        }
    }

    fn link(&self, index: u32) -> Option<&AtomicU32> {
        let segment = self.segments.get((index >> self.shift) as usize)?.get()?;
        segment.links.get((index & ((1 << self.shift) - 1)) as usize)
    }
}

impl Lane {
    pub(super) fn new(shared: Arc<Shared>, random: u64) -> Self {
        let wall = Wall { at_ns: shared.clock.monotonic_ns(), unix_ms: shared.clock.unix_ms() };
        Self {
            shared,
            wall: Cell::new(wall),
            chains: RefCell::new(Vec::with_capacity(64)),
            births: Cell::new(0),
            random: random & ((1 << 48) - 1),
            sums: Arc::default(),
        }
    }

    /// A place for one record. None if there is no room: the call must not go on.
    pub(crate) fn seat(&self) -> Option<Seat> {
        let index = self.pop()?;
        let taken = &self.shared.taken.0;
        taken.store(taken.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        let started_at_ns = self.shared.clock.monotonic_ns();
        let started_at_ms = self.unix_ms(started_at_ns);
        let birth = Birth { id: self.new_id(started_at_ms), started_at_ms, started_at_ns };
        let place = Place { shared: Arc::clone(&self.shared), index, opened: false };
        Some(Seat::new(place, birth))
    }

    /// A no that was said before a seat was taken: kept as a record of its own, or, beyond a
    /// bounded rate, as one of many, so that a flood of them cannot crowd out those who may call.
    pub(crate) fn refused(&self, reason: Reason, begin: &Begin<'_>) {
        let ns = self.shared.clock.monotonic_ns();
        let now = Moment { ns, unix_ms: self.unix_ms(ns) };
        super::lock(&self.sums).note(reason, begin, now, || self.spare_seat());
    }

    /// Whether everything that was written here until now is on disk; None where nobody waits for
    /// that.
    pub(crate) fn kept(&self) -> Option<Kept> {
        self.shared.commit.as_ref().map(|commit| commit.ask())
    }

    /// From here on a call that breaks off was broken off by us.
    pub(crate) fn leave(&self) {
        self.shared.leaving.store(true, Ordering::Relaxed);
    }

    /// A place for what is not a call: only while there is plenty of room.
    pub(super) fn spare_seat(&self) -> Option<Seat> {
        if self.shared.is_roomy() { self.seat() } else { None }
    }

    /// A place; who makes room is woken where half of it is taken.
    pub(super) fn seat_or_call_for(&self, room: &Notify) -> Option<Seat> {
        let seat = self.seat();
        if !self.shared.is_roomy() {
            room.notify_one();
        }
        seat
    }

    pub(super) fn sums(&self) -> Arc<Mutex<Sums>> {
        Arc::clone(&self.sums)
    }

    fn pop(&self) -> Option<u32> {
        let returned = &self.shared.returned.0;
        let mut chains = self.chains.borrow_mut();
        // A look costs nothing while the writer is away; the exchange is paid once a batch.
        if returned.load(Ordering::Relaxed) != NONE {
            let head = returned.swap(NONE, Ordering::Acquire);
            if head != NONE {
                chains.push(head);
            }
        }
        let index = chains.pop()?.checked_sub(1)?;
        let next = self.shared.link(index)?.load(Ordering::Relaxed);
        if next != NONE {
            chains.push(next);
        }
        Some(index)
    }

    /// Reads the wall clock now and then only: clocks are the dearest part of a record.
    fn unix_ms(&self, now_ns: u64) -> i64 {
        let wall = self.wall.get();
        let since_ns = now_ns.saturating_sub(wall.at_ns);
        if since_ns < WALL_SERVES_NS {
            return wall.unix_ms.saturating_add_unsigned(since_ns / 1_000_000);
        }
        let unix_ms = self.shared.clock.unix_ms();
        self.wall.set(Wall { unix_ms, at_ns: now_ns });
        unix_ms
    }

    /// The layout of a UUID v7: time, a counter that orders within the millisecond, the lane's own
    /// random bits. No two lanes share those, so nothing needs to be drawn per record.
    fn new_id(&self, unix_ms: i64) -> Uuid {
        let count = self.births.get().wrapping_add(1);
        self.births.set(count);
        let time = u128::from(unix_ms.unsigned_abs()) & 0xFFFF_FFFF_FFFF;
        let (high, low) = (u128::from(count >> 14) & 0xFFF, u128::from(count) & 0x3FFF);
        let bits = time << 80 | 7 << 76 | high << 64 | 2 << 62 | low << 48;
        Uuid::from_u128(bits | u128::from(self.random))
    }
}

impl Place {
    pub(super) fn slot(&self) -> Slot<'_> {
        self.shared.slot(self.index)
    }
}

impl Place {
    /// What stands now is to reach the disk, and to be readable there whatever follows.
    pub(super) fn pin(&self, progress: Progress, state: State) {
        if self.shared.commit.is_some() {
            self.slot().pin(progress, state);
            self.shared.touched(self.index);
        }
    }

    /// A new record begins.
    pub(super) fn unpin(&self) {
        if self.shared.commit.is_some() {
            self.slot().unpin();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let shared = &self.shared;
        if self.opened {
            shared.push_chain(&shared.closed.0, self.index + 1, self.index + 1);
        } else {
            shared.push_chain(&shared.returned.0, self.index + 1, self.index + 1);
            shared.given_back.0.fetch_add(1, Ordering::AcqRel);
        }
    }
}
