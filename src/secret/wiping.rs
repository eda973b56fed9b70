//! The allocator that wipes what the program frees, the threads that spare large buffers from it,
//! and the stack behind what libraries do with secrets. Its `unsafe` is sound because the system's
//! allocator does the work, a block is wiped while it is still its owner's, and a frame's own array
//! is the frame's. Must never leave a small block as it is.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::mem::MaybeUninit;

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

/// More than the frames of any of the libraries that this is for, in a build for debugging too.
const STACK_BYTES: usize = 16 * 1024;

/// Whatever `act` leaves on the stack is wiped: libraries move keys, and blocks of what they open,
/// through frames that they do not wipe. What they return must hold nothing of it inline.
pub(crate) fn leaving_nothing<R>(act: impl FnOnce() -> R) -> R {
    let result = below(act);
    wipe_stack();
    result
}

/// In frames of its own, where the next call's frame will be.
#[inline(never)]
fn below<R>(act: impl FnOnce() -> R) -> R {
    act()
}

#[expect(unsafe_code, reason = "zeros that nobody reads, into an array of this very frame")]
#[inline(never)]
fn wipe_stack() {
    let mut dead = MaybeUninit::<[u8; STACK_BYTES]>::uninit();
    // SAFETY: the array is this frame's, and as long.
    unsafe { wipe(dead.as_mut_ptr().cast(), STACK_BYTES) }
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
pub(super) unsafe fn wipe(block: *mut u8, bytes: usize) {
    // SAFETY: the caller's promise. The empty instruction may read all memory for all that the
    // compiler knows, hence the zeros must be there.
    unsafe {
        block.write_bytes(0, bytes);
        std::arch::asm!("/* {0} */", in(reg) block, options(nostack, preserves_flags));
    }
}

/// Free pages go back to the system. The system's allocator keeps what lies between blocks that are
/// in use, which is most of what thousands of clients leave behind when they fall silent. Takes
/// its time, and holds up whoever allocates meanwhile: for a thread that carries no traffic, now
/// and then.
#[cfg(target_env = "gnu")]
#[expect(unsafe_code, reason = "a call of the system's allocator that no crate wraps")]
pub(crate) fn give_back() {
    // SAFETY: it touches free blocks alone, under the allocator's own locks, and takes no pointer.
    let _gave_any = unsafe { nix::libc::malloc_trim(0) };
}

/// Other allocators give back by themselves.
#[cfg(not(target_env = "gnu"))]
pub(crate) fn give_back() {}

#[cfg(test)]
mod tests {
    use super::*;

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
