//! The allocator of a guest.

use super::pages::{Memory, Pages};
use super::pool::SLAB_BYTES;
use super::trim::{self, Schedule};
use super::{Counts, Stats, slabs};
use crate::sync::GuestCell;
use crate::time::Instant;
use crate::{hypercall, registers};
use core::alloc::{GlobalAlloc, Layout};
use core::ops::Range;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering};
use denali_abi::layout::HEAP_END;
use talc::base::Talc;
use talc::base::binning::DefaultBinning;

#[global_allocator]
static HEAP: Heap = Heap {
    talc: GuestCell::new(Talc::new(Pages::new(Vm))),
    trims: GuestCell::new(Schedule::new()),
    peak: AtomicUsize::new(0),
};

struct Heap {
    talc: GuestCell<Talc<Pages<Vm>, DefaultBinning>>,
    trims: GuestCell<Schedule>,
    peak: AtomicUsize,
}

/// Returns what the heap holds.
pub(super) fn stats() -> Stats {
    let (counters, extent, released) = HEAP.talc.with(|talc| {
        (
            *talc.counters(),
            talc.source.extent(),
            talc.source.released(),
        )
    });
    Stats::of(&Counts {
        counters,
        peak: HEAP.peak.load(Ordering::Relaxed),
        extent,
        released,
        pool: slabs::counts(),
    })
}

/// Returns how many bytes can still be allocated, the pool's free buffers among them.
pub(super) fn left() -> usize {
    let pool = slabs::counts();
    let free_in_pool = pool.slabs * SLAB_BYTES - pool.bytes;
    HEAP.talc.with(|talc| {
        let free = talc.counters().available_bytes + free_in_pool;
        talc.source.left(free)
    })
}

/// Trims the heap if it is time to; otherwise says when it will be, if at all.
pub(super) fn tidy(now: Instant) -> Option<Instant> {
    let freed = || {
        let in_heap = HEAP.talc.with(|talc| talc.counters().total_freed_bytes());
        in_heap + slabs::counts().freed
    };
    let due = HEAP.trims.with(|trims| trims.due(now, freed()))?;
    if now < due {
        return Some(due);
    }
    slabs::trim();
    HEAP.talc.with(trim::trim);
    HEAP.trims.with(|trims| trims.trimmed(freed()));
    None
}

// SAFETY: talc is an allocator, and the cell lets one caller at a time use it.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let (allocated, total) = self.talc.with(|talc| {
            // SAFETY: the caller warrants that the size is not zero.
            let allocated = unsafe { talc.allocate(layout) };
            (allocated, talc.counters().allocated_bytes)
        });
        self.peak.fetch_max(total, Ordering::Relaxed);
        allocated.map_or(core::ptr::null_mut(), NonNull::as_ptr)
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        if slabs::take_back(pointer, layout) {
            return;
        }
        // SAFETY: the caller warrants that this allocator gave out `pointer` for `layout`.
        self.talc
            .with(|talc| unsafe { talc.deallocate(pointer, layout) });
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let resize = |talc: &mut Talc<Pages<Vm>, DefaultBinning>| {
            // SAFETY: the caller warrants that this allocator gave out `pointer` for `layout`
            // and that `size` is not zero.
            let resized = unsafe { talc.try_realloc_in_place(pointer, layout, size) };
            self.peak
                .fetch_max(talc.counters().allocated_bytes, Ordering::Relaxed);
            resized
        };
        if !slabs::holds(pointer, layout) && self.talc.with(resize) {
            return pointer;
        }
        // SAFETY: the caller warrants that `size` makes a valid layout.
        let grown = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        // SAFETY: the caller warrants that `size` is not zero.
        let target = unsafe { self.alloc(grown) };
        if !target.is_null() {
            let len = layout.size().min(size);
            // SAFETY: both areas are at least `len` bytes long and, both being allocated, do
            // not overlap.
            unsafe { target.copy_from_nonoverlapping(pointer, len) };
            // SAFETY: as for `try_realloc_in_place`; nothing refers to the old area any more.
            unsafe { self.dealloc(pointer, layout) };
        }
        target
    }
}

/// The VM this runs in.
#[derive(Debug)]
struct Vm;

impl Memory for Vm {
    fn addresses(&self) -> Range<u64> {
        registers::get().heap_start..HEAP_END
    }

    fn resident_pages(&self) -> u64 {
        u64::from(registers::resident_pages())
    }

    fn limit_pages(&self) -> u64 {
        u64::from(registers::memory_pages())
    }

    unsafe fn release(&mut self, start: u64, end: u64) {
        // SAFETY: the caller warrants that nothing lives there. The call cannot fail on a
        // range of the heap.
        let _ = unsafe { hypercall::release_memory(start..end) };
    }
}
