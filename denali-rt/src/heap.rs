//! The heap: talc on memory that the kernel provides on first touch.
//!
//! Growing is only moving an address, so the heap grows by exactly the pages it needs, and never
//! into the VM's memory limit: an allocation fails before the kernel would end the VM. A large free
//! area at the end goes back to the kernel.

#![expect(unsafe_code, reason = "implements the global allocator")]

use core::alloc::Layout;
use core::ptr::NonNull;
use denali_abi::convert::{u64_to_usize, usize_to_u64};
use denali_abi::layout::{HEAP_END, PAGE_SIZE};
use talc::base::binning::Binning;
use talc::base::{CHUNK_UNIT, Talc};
use talc::min_first_heap_size;
use talc::source::Source;

/// Pages the heap leaves for stacks, page tables and the network's buffers.
const RESERVE_PAGES: u64 = 16;

/// Free pages at the end of the heap that go back to the kernel at once.
const RELEASE_PAGES: u64 = 32;

/// Free pages that stay for the next allocations when others go back.
const KEPT_PAGES: u64 = 8;

/// Pages one page table maps.
const TABLE_PAGES: u64 = 512;

/// What the heap needs to know of the VM.
pub(crate) trait Memory: core::fmt::Debug {
    /// Returns where the heap starts.
    fn start(&self) -> u64;

    /// Returns the pages the VM uses now.
    fn resident_pages(&self) -> u64;

    /// Returns the VM's memory limit in pages.
    fn limit_pages(&self) -> u64;

    /// Gives the whole pages between two addresses back to the kernel.
    ///
    /// # Safety
    ///
    /// Nothing may live there.
    unsafe fn release(&mut self, start: u64, end: u64);
}

/// Gives talc memory and takes it back.
#[derive(Debug)]
pub(crate) struct Pages<M> {
    memory: M,
    /// Pages in use when the heap was established: image, tables, first stack.
    resident_before: u64,
    /// End of the heap, or 0 before it is established.
    end: usize,
}

impl<M: Memory> Pages<M> {
    pub(crate) const fn new(memory: M) -> Self {
        Self { memory, resident_before: 0, end: 0 }
    }

    /// Returns whether the heap may reach up to `end`, `growth` pages further than now.
    ///
    /// What was granted but not touched yet does not count as resident, so the whole extent of the
    /// heap must fit beside what was there before it, too.
    fn may_grow(&self, end: u64, growth: u64) -> bool {
        let extent = (end - self.memory.start()) / PAGE_SIZE;
        let limit = self.memory.limit_pages();
        let overhead = |pages: u64| pages + pages / TABLE_PAGES + 1 + RESERVE_PAGES;
        end <= HEAP_END
            && self.memory.resident_pages() + overhead(growth) <= limit
            && self.resident_before + overhead(extent) <= limit
    }
}

// SAFETY: nothing here allocates.
unsafe impl<M: Memory> Source for Pages<M> {
    const TRACK_HEAP_END: bool = true;

    fn acquire<B: Binning>(talc: &mut Talc<Self, B>, layout: Layout) -> Result<(), ()> {
        let pages = &mut talc.source;
        let old_end = NonNull::new(core::ptr::with_exposed_provenance_mut::<u8>(pages.end));
        let start = pages.memory.start();
        let mut needed = usize_to_u64(layout.size()) + 2 * usize_to_u64(CHUNK_UNIT);
        if layout.align() > CHUNK_UNIT {
            needed += usize_to_u64(layout.align());
        }
        let from = match old_end {
            Some(_) => usize_to_u64(pages.end),
            None => {
                pages.resident_before = pages.memory.resident_pages();
                needed += usize_to_u64(min_first_heap_size::<B>());
                start
            }
        };
        let new_end = from.checked_add(needed).ok_or(())?.next_multiple_of(PAGE_SIZE);
        if !pages.may_grow(new_end, (new_end - from) / PAGE_SIZE) {
            return Err(());
        }
        let end = match old_end {
            // SAFETY: `old_end` is what talc returned last, and the pages behind it are heap that
            // nobody has been given.
            Some(old_end) => unsafe { talc.extend(old_end, pointer(new_end)) },
            // SAFETY: the heap starts behind the image, and nobody else uses it.
            None => unsafe { talc.claim(pointer(start), u64_to_usize(new_end - start)) }.ok_or(())?,
        };
        talc.source.end = end.as_ptr().expose_provenance();
        Ok(())
    }

    unsafe fn resize(&mut self, free: *mut u8, end: *mut u8, is_heap_base: bool) -> *mut u8 {
        let old_end = usize_to_u64(end.addr());
        let new_end = usize_to_u64(free.addr()).next_multiple_of(PAGE_SIZE) + KEPT_PAGES * PAGE_SIZE;
        if is_heap_base || old_end < new_end + (RELEASE_PAGES - KEPT_PAGES) * PAGE_SIZE {
            return end;
        }
        // SAFETY: talc calls this when everything from `free` to the end of the heap is free, and
        // the heap ends at `new_end` from now on.
        unsafe { self.memory.release(new_end, old_end) };
        self.end = u64_to_usize(new_end);
        pointer(new_end)
    }
}

fn pointer(address: u64) -> *mut u8 {
    core::ptr::with_exposed_provenance_mut(u64_to_usize(address))
}

/// The allocator of a guest.
#[cfg(denali)]
mod global {
    use super::{Memory, Pages};
    use crate::sync::GuestCell;
    use crate::{hypercall, registers};
    use core::alloc::{GlobalAlloc, Layout};
    use core::ptr::NonNull;
    use talc::base::Talc;
    use talc::base::binning::DefaultBinning;

    #[global_allocator]
    static HEAP: Heap = Heap(GuestCell::new(Talc::new(Pages::new(Vm))));

    struct Heap(GuestCell<Talc<Pages<Vm>, DefaultBinning>>);

    // SAFETY: talc is an allocator, and the cell lets one caller at a time use it.
    unsafe impl GlobalAlloc for Heap {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            // SAFETY: the caller warrants that the size is not zero.
            let allocated = self.0.with(|talc| unsafe { talc.allocate(layout) });
            allocated.map_or(core::ptr::null_mut(), NonNull::as_ptr)
        }

        unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
            // SAFETY: the caller warrants that this allocator gave out `pointer` for `layout`.
            self.0.with(|talc| unsafe { talc.deallocate(pointer, layout) });
        }

        unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
            // SAFETY: the caller warrants that this allocator gave out `pointer` for `layout` and
            // that `size` is not zero.
            if self.0.with(|talc| unsafe { talc.try_realloc_in_place(pointer, layout, size) }) {
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
        fn start(&self) -> u64 {
            registers::get().heap_start
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
}
