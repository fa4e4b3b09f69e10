//! The pool of a guest: its slabs are allocations of the heap, and so are its buffers to whoever has
//! one.

use super::pool::{Counts, Pool, SLAB_BYTES, Slabs, buffer_len};
use super::untouched;
use crate::hypercall;
use crate::sync::GuestCell;
use alloc::alloc::{alloc, dealloc};
use alloc::vec::Vec;
use core::alloc::Layout;
use core::ops::Range;
use core::ptr::NonNull;
use denali_abi::convert::{u64_to_usize, usize_to_u64};
use denali_abi::layout::PAGE_SIZE;

static POOL: GuestCell<Pool<Heap>> = GuestCell::new(Pool::new(Heap));

/// The layout of a slab.
const SLAB: Layout = match Layout::from_size_align(SLAB_BYTES, u64_to_usize(PAGE_SIZE)) {
    Ok(layout) => layout,
    Err(_) => panic!("a page is a power of two"),
};

/// Returns a buffer of at least `len` bytes, or `None` without memory.
pub(super) fn buffer(len: usize) -> Option<Vec<u8>> {
    let Some(rounded) = buffer_len(len) else {
        return untouched::zeroed(len);
    };
    let address = POOL.with(|pool| pool.take(len))?;
    let start = core::ptr::with_exposed_provenance_mut(address);
    // SAFETY: the buffer lies in a slab, whose bytes have all been written or read as zero, and is
    // the caller's alone; the allocator, which the pool is a part of, takes it back with this layout.
    Some(unsafe { Vec::from_raw_parts(start, rounded, rounded) })
}

/// Returns whether an allocation with this layout may be a buffer.
fn may_be_buffer(layout: Layout) -> bool {
    layout.align() == 1 && buffer_len(layout.size()) == Some(layout.size())
}

/// Takes an allocation back if it is a buffer of the pool. Returns whether it was.
pub(super) fn take_back(pointer: *mut u8, layout: Layout) -> bool {
    may_be_buffer(layout) && POOL.with(|pool| pool.free(pointer.addr()))
}

/// Returns whether an allocation is a buffer of the pool.
pub(super) fn holds(pointer: *mut u8, layout: Layout) -> bool {
    may_be_buffer(layout) && POOL.with(|pool| pool.holds(pointer.addr()))
}

/// Returns what the pool holds.
pub(super) fn counts() -> Counts {
    POOL.with(|pool| pool.counts())
}

/// Gives back what nobody uses.
pub(super) fn trim() {
    POOL.with(Pool::trim);
}

/// The heap of this VM. What the pool allocates while it is borrowed is no buffer, by its alignment,
/// so freeing it does not ask the pool.
#[derive(Debug)]
struct Heap;

impl Slabs for Heap {
    fn acquire(&mut self) -> Option<usize> {
        // SAFETY: the size of a slab is not zero.
        let slab = NonNull::new(unsafe { alloc(SLAB) })?;
        let start = slab.as_ptr().expose_provenance();
        release(&(start..start + SLAB_BYTES));
        Some(start)
    }

    fn give_up(&mut self, start: usize) {
        release(&(start..start + SLAB_BYTES));
        // SAFETY: the slab was allocated with this layout, and the pool knows of no buffer in it.
        unsafe { dealloc(core::ptr::with_exposed_provenance_mut(start), SLAB) };
    }

    fn vacate(&mut self, pages: Range<usize>) {
        release(&pages);
    }
}

/// Gives pages of a slab in which no buffer is taken back to the kernel.
fn release(pages: &Range<usize>) {
    let addresses = usize_to_u64(pages.start)..usize_to_u64(pages.end);
    // SAFETY: the pool's counts say that nobody has a buffer there.
    let released = unsafe { hypercall::release_memory(addresses) };
    debug_assert!(released.is_ok(), "a slab lies in the heap");
}
