//! Where the heap's memory comes from and goes to.
//!
//! Growing is only moving an address, so the heap grows by exactly the pages it needs, and never
//! into the VM's memory limit: an allocation fails before the kernel would end the VM. A large free
//! area at the end goes back to the kernel.

use core::alloc::Layout;
use core::ops::Range;
use core::ptr::NonNull;
use denali_abi::convert::{u64_to_usize, usize_to_u64};
use denali_abi::layout::PAGE_SIZE;
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
    /// Returns the addresses the heap may take.
    fn addresses(&self) -> Range<u64>;

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
    /// Pages that went back to the kernel.
    released: u64,
}

impl<M: Memory> Pages<M> {
    pub(crate) const fn new(memory: M) -> Self {
        Self {
            memory,
            resident_before: 0,
            end: 0,
            released: 0,
        }
    }

    /// Returns how many pages the heap spans.
    pub(crate) fn extent(&self) -> u64 {
        match self.end {
            0 => 0,
            end => (usize_to_u64(end) - self.memory.addresses().start) / PAGE_SIZE,
        }
    }

    /// Returns how many bytes could be allocated if `free` bytes of the heap are: no more than the VM
    /// has pages left, nor than the heap may still grow.
    pub(crate) fn left(&self, free: usize) -> usize {
        let limit = self.memory.limit_pages().saturating_sub(RESERVE_PAGES);
        let unused = limit.saturating_sub(self.memory.resident_pages());
        let extent = self.extent();
        let growth = limit.saturating_sub(self.resident_before + extent + extent / TABLE_PAGES);
        u64_to_usize(unused.min(growth + usize_to_u64(free) / PAGE_SIZE) * PAGE_SIZE)
    }

    /// Gives the whole pages between two addresses back to the kernel.
    ///
    /// # Safety
    ///
    /// Nothing may live there.
    pub(super) unsafe fn give_back(&mut self, start: u64, end: u64) {
        // SAFETY: the caller warrants that nothing lives there.
        unsafe { self.memory.release(start, end) };
        self.released += (end - start) / PAGE_SIZE;
    }

    /// Returns how many pages have gone back to the kernel.
    pub(crate) fn released(&self) -> u64 {
        self.released
    }

    /// Returns whether the heap may reach up to `end`, `growth` pages further than now.
    ///
    /// What was granted but not touched yet does not count as resident, so the whole extent of the
    /// heap must fit beside what was there before it, too.
    fn may_grow(&self, end: u64, growth: u64) -> bool {
        let extent = (end - self.memory.addresses().start) / PAGE_SIZE;
        let limit = self.memory.limit_pages();
        let overhead = |pages: u64| pages + pages / TABLE_PAGES + 1 + RESERVE_PAGES;
        end <= self.memory.addresses().end
            && self.memory.resident_pages() + overhead(growth) <= limit
            && self.resident_before + overhead(extent) <= limit
    }
}

// SAFETY: nothing here allocates.
unsafe impl<M: Memory> Source for Pages<M> {
    const TRACK_HEAP_END: bool = true;

    fn acquire<B: Binning>(talc: &mut Talc<Self, B>, layout: Layout) -> Result<(), ()> {
        let old_end = NonNull::new(pointer(usize_to_u64(talc.source.end)));
        let start = talc.source.memory.addresses().start;
        let mut needed = usize_to_u64(layout.size()) + 2 * usize_to_u64(CHUNK_UNIT);
        if layout.align() > CHUNK_UNIT {
            needed += usize_to_u64(layout.align());
        }
        // What is free at the end of the heap counts towards the need.
        let (free_from, heap_end) = match old_end {
            // SAFETY: `old_end` is the end of the heap as talc knows it.
            Some(end) => (address(unsafe { talc.reserved(end) }.up_to), address(end)),
            None => {
                talc.source.resident_before = talc.source.memory.resident_pages();
                needed += usize_to_u64(min_first_heap_size::<B>());
                (start, start)
            }
        };
        let wanted_end = free_from.checked_add(needed).ok_or(())?;
        let new_end = wanted_end.max(heap_end + 1).next_multiple_of(PAGE_SIZE);
        if !talc
            .source
            .may_grow(new_end, (new_end - heap_end) / PAGE_SIZE)
        {
            return Err(());
        }
        let end = match old_end {
            // SAFETY: `old_end` is the end of the heap as talc knows it, and the pages behind it
            // are heap that nobody has been given.
            Some(old_end) => unsafe { talc.extend(old_end, pointer(new_end)) },
            None => {
                let len = u64_to_usize(new_end - start);
                // SAFETY: the heap starts behind the image, and nobody else uses it.
                unsafe { talc.claim(pointer(start), len) }.ok_or(())?
            }
        };
        talc.source.end = end.as_ptr().expose_provenance();
        Ok(())
    }

    unsafe fn resize(&mut self, free: *mut u8, end: *mut u8, is_heap_base: bool) -> *mut u8 {
        let old_end = usize_to_u64(end.addr());
        let new_end =
            usize_to_u64(free.addr()).next_multiple_of(PAGE_SIZE) + KEPT_PAGES * PAGE_SIZE;
        if is_heap_base || old_end < new_end + (RELEASE_PAGES - KEPT_PAGES) * PAGE_SIZE {
            return end;
        }
        // SAFETY: talc calls this when everything from `free` to the end of the heap is free, and
        // the heap ends at `new_end` from now on.
        unsafe { self.give_back(new_end, old_end) };
        self.end = u64_to_usize(new_end);
        pointer(new_end)
    }
}

fn address(pointer: NonNull<u8>) -> u64 {
    usize_to_u64(pointer.as_ptr().expose_provenance())
}

fn pointer(address: u64) -> *mut u8 {
    core::ptr::with_exposed_provenance_mut(u64_to_usize(address))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::heap::fake::{BEFORE_PAGES, FakeVm, LIMIT_PAGES, bytes, heap};
    use crate::heap::{Counts, Stats, pool};
    use alloc::vec::Vec;
    use talc::base::binning::DefaultBinning;

    #[test]
    fn an_allocation_fails_before_the_memory_limit() {
        let (mut talc, _) = heap();
        let mut pages = 0;
        // SAFETY: the size is not zero.
        while unsafe { talc.allocate(bytes(4096)) }.is_some() {
            pages += 1;
        }
        let most = LIMIT_PAGES - BEFORE_PAGES - RESERVE_PAGES;
        assert!((most - 10..most).contains(&pages), "{pages} of {most}");
        // SAFETY: the size is not zero.
        assert_eq!(unsafe { talc.allocate(bytes(usize::MAX / 4)) }, None);
    }

    #[test]
    fn what_is_left_shrinks_with_the_heap_and_comes_again() {
        let (mut talc, _) = heap();
        let left = |talc: &Talc<Pages<FakeVm>, DefaultBinning>| {
            talc.source.left(talc.counters().available_bytes)
        };
        let before = left(&talc);
        // SAFETY: the size is not zero.
        let area = unsafe { talc.allocate(bytes(100 * 4096)) }.unwrap();
        let with_area = left(&talc);
        assert!((100..=102).contains(&((before - with_area) / 4096)));
        // SAFETY: talc gave out the area for this layout.
        unsafe { talc.deallocate(area.as_ptr(), bytes(100 * 4096)) };
        assert!(left(&talc) >= with_area + 99 * 4096);
    }

    #[test]
    fn the_heap_grows_by_no_more_than_it_needs() {
        let (mut talc, _) = heap();
        // SAFETY: the size is not zero.
        let first = unsafe { talc.allocate(bytes(100)) };
        assert!(first.is_some());
        let start = talc.source.memory.addresses().start;
        assert_eq!(usize_to_u64(talc.source.end) - start, PAGE_SIZE);
        // SAFETY: the size is not zero.
        let second = unsafe { talc.allocate(bytes(3 * 4096)) };
        assert!(second.is_some());
        assert_eq!(usize_to_u64(talc.source.end) - start, 4 * PAGE_SIZE);
    }

    #[test]
    fn a_large_free_end_goes_back_to_the_kernel_and_comes_again() {
        let (mut talc, released_pages) = heap();
        let large = bytes(100 * 4096);
        for round in 1..=3 {
            // SAFETY: the size is not zero.
            let area = unsafe { talc.allocate(large) }.unwrap();
            // SAFETY: talc has just given out the area for this layout.
            unsafe { talc.deallocate(area.as_ptr(), large) };
            assert!(
                released_pages.get() >= round * (100 - KEPT_PAGES - 2),
                "{released_pages:?}"
            );
        }
    }

    #[test]
    fn statistics_follow_what_is_allocated_and_freed() {
        let (mut talc, _) = heap();
        let stats = |talc: &Talc<Pages<FakeVm>, DefaultBinning>| {
            Stats::of(&Counts {
                counters: *talc.counters(),
                peak: 0,
                extent: talc.source.extent(),
                released: talc.source.released(),
                pool: pool::Counts::default(),
            })
        };
        assert_eq!(stats(&talc), Stats::default());
        // SAFETY: the size is not zero.
        let small = unsafe { talc.allocate(bytes(1000)) }.unwrap();
        // SAFETY: the size is not zero.
        let large = unsafe { talc.allocate(bytes(100 * 4096)) }.unwrap();
        let full = stats(&talc);
        assert_eq!((full.allocations, full.allocated_bytes), (2, 410_600));
        assert!((101..=102).contains(&full.pages) && full.free_bytes < 2 * 4096);
        // SAFETY: talc gave out the area for this layout.
        unsafe { talc.deallocate(large.as_ptr(), bytes(100 * 4096)) };
        let freed = stats(&talc);
        assert_eq!((freed.allocations, freed.allocated_bytes), (1, 1000));
        assert_eq!(freed.pages + freed.released_pages, full.pages);
        assert!(freed.released_pages > 80);
        // SAFETY: talc gave out the area for this layout.
        unsafe { talc.deallocate(small.as_ptr(), bytes(1000)) };
        assert_eq!(stats(&talc).allocated_bytes, 0);
    }

    #[test]
    fn allocations_keep_their_contents_through_growth_and_release() {
        let (mut talc, released_pages) = heap();
        let mut live: Vec<(NonNull<u8>, usize, u8)> = Vec::new();
        let mut seed = 11_u64;
        for step in 0..20_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let random = u64_to_usize(seed >> 33);
            let shrinking = step % 4_000 >= 2_000;
            if live.is_empty() || !shrinking && !random.is_multiple_of(3) {
                let len = 1 + random
                    % if random.is_multiple_of(16) {
                        60_000
                    } else {
                        300
                    };
                // SAFETY: the size is not zero.
                let Some(area) = (unsafe { talc.allocate(bytes(len)) }) else {
                    continue;
                };
                let mark = random.to_le_bytes()[1];
                // SAFETY: the area is `len` bytes long.
                unsafe { area.as_ptr().write_bytes(mark, len) };
                live.push((area, len, mark));
            } else {
                let (area, len, mark) = live.swap_remove(random % live.len());
                // SAFETY: the area is `len` bytes long and was filled when it was allocated.
                let contents = unsafe { core::slice::from_raw_parts(area.as_ptr(), len) };
                assert!(contents.iter().all(|byte| *byte == mark));
                // SAFETY: talc gave out the area for this layout.
                unsafe { talc.deallocate(area.as_ptr(), bytes(len)) };
            }
        }
        assert!(released_pages.get() > 0);
    }
}
