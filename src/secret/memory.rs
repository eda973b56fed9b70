//! Where key material lies: pages that are locked, left out of dumps and out of children, with a
//! guard page on either side; and the allocator that wipes what the program frees. The only
//! `unsafe` of this room, sound because each block has one owner, `Locked`, and each mapping lives
//! as long as the process. Must never end the process because the system refuses: it falls back to
//! weaker memory, and says so through `protection`.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::num::NonZeroUsize;
use std::ops::{Deref, DerefMut};
use std::os::fd::{FromRawFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::libc;
use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags, madvise, mlock, mmap, mmap_anonymous};

/// Blocks are whole units; nothing that is kept here needs a greater alignment.
const UNIT_BYTES: usize = 64;
/// A multiple of every page size.
const SEGMENT_BYTES: usize = 256 * 1024;
const UNITS: usize = SEGMENT_BYTES / UNIT_BYTES;

/// How well key material is kept, from best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protection {
    /// Pages that the kernel itself cannot read, locked and in no dump.
    Secret,
    /// Locked, and left out of dumps.
    Locked,
    /// Left out of dumps, but may be swapped out: the limit on locked memory is too low.
    Unlocked,
    /// Some of it lies in ordinary memory: the budget is used up.
    Overflowing,
}

/// A value in protected memory, wiped when it is dropped.
pub struct Locked<T: 'static> {
    place: NonNull<T>,
    /// Of the arena, or of the ordinary allocator.
    arena: bool,
}

struct Arena {
    segments: Vec<Segment>,
    budget: usize,
    worst: Protection,
}

struct Segment {
    start: NonNull<u8>,
    /// One bit a unit.
    taken: [u64; UNITS / 64],
}

static ARENA: Mutex<Arena> =
    Mutex::new(Arena { segments: Vec::new(), budget: 4 << 20, worst: Protection::Secret });

/// Takes the first pages and keeps to a budget from now on; yields how well they are protected.
pub fn prepare(budget_bytes: usize) -> Protection {
    let mut arena = arena();
    arena.budget = budget_bytes;
    if arena.segments.is_empty() {
        arena.grow();
    }
    arena.worst
}

/// How well all key material of this moment is kept.
pub fn protection() -> Protection {
    arena().worst
}

/// Nothing panics while it is held.
fn arena() -> MutexGuard<'static, Arena> {
    ARENA.lock().unwrap_or_else(PoisonError::into_inner)
}

#[expect(unsafe_code, reason = "owns a block of the arena; each step says why it is sound")]
impl<T: 'static> Locked<T> {
    const LAYOUT: Layout = {
        assert!(align_of::<T>() <= UNIT_BYTES && size_of::<T>() > 0);
        Layout::new::<T>()
    };

    /// Moves the value in. What it leaves behind on the stack is the caller's to wipe.
    pub fn new(value: T) -> Self {
        let block = arena().allocate(Self::LAYOUT.size());
        let arena = block.is_some();
        let place = block.unwrap_or_else(|| {
            // SAFETY: the layout has a size other than nought, as `LAYOUT` asserts.
            let block = unsafe { std::alloc::alloc(Self::LAYOUT) };
            NonNull::new(block).unwrap_or_else(|| std::alloc::handle_alloc_error(Self::LAYOUT))
        });
        let place = place.cast::<T>();
        // SAFETY: the block is large enough, aligned to a unit or as asked, writable, and nobody
        // else's.
        unsafe { place.write(value) };
        Self { place, arena }
    }
}

#[expect(unsafe_code, reason = "as above")]
impl<T: 'static> Deref for Locked<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: `new` has put a value there, which lives until `drop`.
        unsafe { self.place.as_ref() }
    }
}

#[expect(unsafe_code, reason = "as above")]
impl<T: 'static> DerefMut for Locked<T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in `deref`, and `self` is borrowed alone.
        unsafe { self.place.as_mut() }
    }
}

#[expect(unsafe_code, reason = "as above")]
impl<T: 'static> Drop for Locked<T> {
    fn drop(&mut self) {
        let block = self.place.cast::<u8>();
        // SAFETY: the value is there, is dropped once, and its bytes stay ours until they are given
        // back below.
        unsafe {
            self.place.drop_in_place();
            wipe(block.as_ptr(), size_of::<T>());
        }
        if self.arena {
            arena().give_back(block, size_of::<T>());
        } else {
            // SAFETY: `new` took it from there with this layout.
            unsafe { std::alloc::dealloc(block.as_ptr(), Self::LAYOUT) };
        }
    }
}

// SAFETY: a `Locked` owns its value alone, like a `Box`.
#[expect(unsafe_code, reason = "as above")]
unsafe impl<T: Send> Send for Locked<T> {}
// SAFETY: as above; a shared `Locked` gives shared references alone.
#[expect(unsafe_code, reason = "as above")]
unsafe impl<T: Sync> Sync for Locked<T> {}

// SAFETY: a segment's pages belong to the arena, which is behind a lock.
#[expect(unsafe_code, reason = "the pointer is what keeps it from being so by itself")]
unsafe impl Send for Segment {}

impl Arena {
    fn allocate(&mut self, bytes: usize) -> Option<NonNull<u8>> {
        let units = bytes.div_ceil(UNIT_BYTES);
        if let Some(block) = self.take(units) {
            return Some(block);
        }
        if self.grow() {
            return self.take(units);
        }
        if self.worst != Protection::Overflowing {
            self.worst = Protection::Overflowing;
            let (what, remedy) = (self.worst.sentence(), self.worst.remedy());
            tracing::warn!(remedy, "{what}");
        }
        None
    }

    fn take(&mut self, units: usize) -> Option<NonNull<u8>> {
        self.segments.iter_mut().find_map(|segment| segment.take(units))
    }

    fn give_back(&mut self, block: NonNull<u8>, bytes: usize) {
        let units = bytes.div_ceil(UNIT_BYTES);
        for segment in &mut self.segments {
            let offset = block.addr().get().wrapping_sub(segment.start.addr().get());
            if offset < SEGMENT_BYTES {
                segment.mark(offset / UNIT_BYTES, units, false);
                return;
            }
        }
    }

    /// One segment more; false where the budget or the system says no.
    fn grow(&mut self) -> bool {
        if (self.segments.len() + 1) * SEGMENT_BYTES > self.budget {
            return false;
        }
        let Some((start, protection)) = map_segment() else { return false };
        self.worst = self.worst.max(protection);
        self.segments.push(Segment { start, taken: [0; UNITS / 64] });
        true
    }
}

impl Segment {
    /// The first run of free units that is long enough.
    fn take(&mut self, units: usize) -> Option<NonNull<u8>> {
        let mut run = 0;
        for unit in 0..UNITS {
            run = if self.is_taken(unit) { 0 } else { run + 1 };
            if run == units {
                let first = unit + 1 - units;
                self.mark(first, units, true);
                return Some(self.at(first));
            }
        }
        None
    }

    fn is_taken(&self, unit: usize) -> bool {
        self.taken.get(unit / 64).is_none_or(|word| word >> (unit % 64) & 1 == 1)
    }

    fn mark(&mut self, first: usize, units: usize, taken: bool) {
        for unit in first..first + units {
            if let Some(word) = self.taken.get_mut(unit / 64) {
                let bit = 1 << (unit % 64);
                *word = if taken { *word | bit } else { *word & !bit };
            }
        }
    }

    #[expect(unsafe_code, reason = "one step inside a mapping")]
    fn at(&self, unit: usize) -> NonNull<u8> {
        // SAFETY: callers give a unit below `UNITS`, so the result lies inside the mapping.
        unsafe { self.start.add(unit * UNIT_BYTES) }
    }
}

/// Pages for one segment between two guard pages, and how well they are protected. They are never
/// given back: references into them may live until the process ends.
#[expect(unsafe_code, reason = "system calls about memory that nobody else has")]
fn map_segment() -> Option<(NonNull<u8>, Protection)> {
    let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok()??;
    let page = usize::try_from(page).ok()?;
    let whole = NonZeroUsize::new(SEGMENT_BYTES + 2 * page)?;
    // SAFETY: a fresh mapping at a place of the kernel's choice, readable by nobody: the guards.
    let reserved =
        unsafe { mmap_anonymous(None, whole, ProtFlags::PROT_NONE, MapFlags::MAP_PRIVATE) };
    // SAFETY: one page into a mapping of more than two.
    let middle = unsafe { reserved.ok()?.byte_add(page) };
    let (address, length) = (middle.addr(), NonZeroUsize::new(SEGMENT_BYTES)?);
    let writable = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    if let Some(file) = secret_file() {
        let flags = MapFlags::MAP_SHARED | MapFlags::MAP_FIXED;
        // SAFETY: replaces our own reserved pages, which nobody has seen yet.
        if unsafe { mmap(Some(address), length, writable, flags, &file, 0) }.is_ok() {
            // SAFETY: our own pages; a child must not share them. A kernel that has such pages
            // knows the advice.
            let _ = unsafe { madvise(middle, SEGMENT_BYTES, MmapAdvise::MADV_DONTFORK) };
            return Some((middle.cast(), Protection::Secret));
        }
    }
    let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_FIXED;
    // SAFETY: as above.
    unsafe { mmap_anonymous(Some(address), length, writable, flags) }.ok()?;
    for advice in [MmapAdvise::MADV_DONTDUMP, MmapAdvise::MADV_WIPEONFORK] {
        // SAFETY: our own pages, still empty. Where the kernel does not know the advice, the rest
        // of the protection stands.
        let _ = unsafe { madvise(middle, SEGMENT_BYTES, advice) };
    }
    // SAFETY: our own pages.
    let locked = unsafe { mlock(middle, SEGMENT_BYTES) }.is_ok();
    let protection = if locked { Protection::Locked } else { Protection::Unlocked };
    Some((middle.cast(), protection))
}

/// A file of pages that the kernel takes out of its own map; None where it has no such thing.
#[expect(unsafe_code, reason = "a system call that no crate wraps")]
fn secret_file() -> Option<OwnedFd> {
    // SAFETY: takes one number and touches no memory.
    let number = unsafe { libc::syscall(libc::SYS_memfd_secret, libc::O_CLOEXEC) };
    let number = libc::c_int::try_from(number).ok().filter(|number| *number >= 0)?;
    // SAFETY: the call has just made it, and nobody else knows it.
    let file = unsafe { OwnedFd::from_raw_fd(number) };
    nix::unistd::ftruncate(&file, libc::off_t::try_from(SEGMENT_BYTES).ok()?).ok()?;
    Some(file)
}

/// Wipes what the program frees, so that copies which other libraries make of a placed credential
/// (a write buffer of hyper's, a path of HTTP/2's) do not outlive their use. Without it a core
/// file shows keys that were sent long ago.
struct Wiping;

/// Blocks up to this size are wiped on every thread.
const SMALL_BYTES: usize = 4096;

thread_local! {
    /// Of the threads that carry traffic, which free two read buffers a call: wiping those would
    /// cost a tenth of the call, and what they hold is what clients sent and providers answered.
    static SPARES_BUFFERS: Cell<bool> = const { Cell::new(false) };
}

/// From now on this thread leaves large blocks as they are when it frees them, outside of
/// `wiping_all`.
pub(crate) fn spare_buffers() {
    SPARES_BUFFERS.set(true);
}

/// A key has come in on this thread by a way that nobody expects one: nothing is spared any more.
pub(crate) fn spare_nothing() {
    SPARES_BUFFERS.set(false);
}

/// Whatever `act` frees is wiped, whatever its size.
pub(crate) fn wiping_all<R>(act: impl FnOnce() -> R) -> R {
    let spares = SPARES_BUFFERS.replace(false);
    let result = act();
    SPARES_BUFFERS.set(spares);
    result
}

#[global_allocator]
static WIPING: Wiping = Wiping;

// SAFETY: the system's allocator does the work; a block is wiped while it is still the caller's.
// Growing takes the default's way (take, copy, give back), so that the old place is wiped too.
#[expect(unsafe_code, reason = "the trait of allocators is unsafe as a whole")]
unsafe impl GlobalAlloc for Wiping {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the trait's promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the block is the caller's, as long as its layout says, until it is given back.
        unsafe {
            if layout.size() <= SMALL_BYTES || !SPARES_BUFFERS.get() {
                wipe(block, layout.size());
            }
            System.dealloc(block, layout);
        }
    }
}

/// Zeros that the compiler may not leave out, although nobody reads them.
///
/// # Safety
/// `block` must be valid for writing `bytes` bytes.
#[expect(unsafe_code, reason = "writes through a pointer that its callers vouch for")]
#[inline]
unsafe fn wipe(block: *mut u8, bytes: usize) {
    // SAFETY: the caller's promise. The empty instruction may read all memory for all that the
    // compiler knows, hence the zeros must be there.
    unsafe {
        block.write_bytes(0, bytes);
        std::arch::asm!("/* {0} */", in(reg) block, options(nostack, preserves_flags));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_wiped_when_it_is_given_back_and_taken_again_later() {
        let first = Locked::new([0xa5_u8; 200]);
        let place = first.place.cast::<u8>();
        assert!(first.arena);
        assert_eq!(*first, [0xa5; 200]);
        drop(first);
        // SAFETY: segments are never unmapped. Another thread's test may use it by now, but not
        // with this pattern.
        #[expect(unsafe_code, reason = "looks at what was given back")]
        let left = unsafe { std::slice::from_raw_parts(place.as_ptr(), 200) };
        assert_ne!(left, [0xa5; 200]);
    }

    #[test]
    fn blocks_never_overlap() {
        let mut blocks: Vec<Locked<[u8; 100]>> =
            (0..200).map(|byte| Locked::new([byte; 100])).collect();
        blocks.retain(|block| block[0] % 3 != 0);
        let more: Vec<Locked<[u64; 70]>> = (0..100).map(|word| Locked::new([word; 70])).collect();
        assert!(blocks.iter().all(|block| block.iter().all(|byte| *byte == block[0])));
        assert!(more.iter().zip(0..).all(|(block, word)| **block == [word; 70]));
    }

    #[test]
    fn what_is_larger_than_the_budget_lies_elsewhere_and_is_told() {
        let mut arena =
            Arena { segments: Vec::new(), budget: SEGMENT_BYTES, worst: Protection::Secret };
        assert!(arena.allocate(SEGMENT_BYTES).is_some());
        assert_ne!(arena.worst, Protection::Overflowing);
        assert!(arena.allocate(1).is_none());
        assert_eq!(arena.worst, Protection::Overflowing);
    }

    /// What the kernel says of the mapping that holds an address.
    fn flags_of(address: usize) -> String {
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let mut inside = false;
        for line in maps.lines() {
            let range = line.split(' ').next().and_then(|range| range.split_once('-'));
            let bounds = range.and_then(|(start, end)| {
                let hex = |text| usize::from_str_radix(text, 16).ok();
                Some(hex(start)?..hex(end)?)
            });
            if let Some(bounds) = bounds {
                inside = bounds.contains(&address);
            }
            if let (true, Some(flags)) = (inside, line.strip_prefix("VmFlags: ")) {
                return flags.to_owned();
            }
        }
        panic!("no such mapping");
    }

    #[test]
    fn key_material_is_locked_and_in_no_dump() {
        let key = Locked::new([7_u8; 32]);
        let address = key.place.addr().get();
        let flags = flags_of(address);
        let has = |flag: &str| flags.split(' ').any(|found| found == flag);
        assert!(has("dd"), "dumped: {flags}");
        assert!(has("lo") || protection() == Protection::Unlocked, "not locked: {flags}");
    }

    #[test]
    #[ignore = "run by the tests below in a process of its own"]
    fn steps_behind_the_end_child() {
        let mut arena =
            Arena { segments: Vec::new(), budget: SEGMENT_BYTES, worst: Protection::Secret };
        let block = arena.allocate(SEGMENT_BYTES).unwrap();
        // SAFETY: none; that is the point: the guard page ends the process.
        #[expect(unsafe_code, reason = "shows that the guard page is there")]
        unsafe {
            block.byte_add(SEGMENT_BYTES).write_volatile(1);
        }
    }

    #[test]
    #[ignore = "run by the tests below in a process of its own"]
    fn low_limit_child() {
        use nix::sys::resource::{Resource, setrlimit};
        setrlimit(Resource::RLIMIT_MEMLOCK, 0, 0).unwrap();
        // Root may lock what it likes.
        if nix::unistd::geteuid().is_root() {
            nix::unistd::setuid(nix::unistd::Uid::from_raw(65_534)).unwrap();
        }
        assert_eq!(prepare(1 << 20), Protection::Unlocked);
        assert_eq!(*Locked::new([7_u8; 32]), [7; 32]);
    }

    fn child(name: &str) -> std::process::ExitStatus {
        let name = format!("secret::memory::tests::{name}");
        let arguments = ["--exact", name.as_str(), "--ignored"];
        let child =
            std::process::Command::new(std::env::current_exe().unwrap()).args(arguments).output();
        child.unwrap().status
    }

    #[test]
    fn a_step_behind_the_end_meets_a_guard() {
        use std::os::unix::process::ExitStatusExt;
        assert_eq!(child("steps_behind_the_end_child").signal(), Some(libc::SIGSEGV));
    }

    #[test]
    fn a_limit_that_is_too_low_is_told_and_ends_nothing() {
        assert!(child("low_limit_child").success());
    }

    #[test]
    fn wiping_reaches_every_byte_and_none_beside_it() {
        let mut bytes = [7_u8; 100];
        // SAFETY: inside the array.
        #[expect(unsafe_code, reason = "calls what it tests")]
        unsafe {
            wipe(bytes.as_mut_ptr().add(1), 98);
        }
        assert_eq!((bytes[0], bytes[99]), (7, 7));
        assert!(bytes[1..99].iter().all(|byte| *byte == 0));
    }
}
