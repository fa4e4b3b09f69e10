//! Free pages between allocations go back to the kernel once the heap has been quiet for a while.
//!
//! The allocator keeps its free areas to itself, so a trim takes the large ones as allocations,
//! returns their pages, and frees them again: what lies there reads as zero when it is next used,
//! and costs the VM nothing until then.

use super::pages::{Memory, Pages};
use crate::time::{Duration, Instant};
use core::alloc::Layout;
use core::ptr::NonNull;
use denali_abi::convert::{u64_to_usize, usize_to_u64};
use denali_abi::layout::PAGE_SIZE;
use talc::base::Talc;
use talc::base::binning::Binning;

/// Bytes that must have been freed since the last trim to make another worth its crossings.
const WORTHWHILE: u64 = 16 * 1024;

/// How long nothing may have been freed: what a busy service frees it soon needs again.
const QUIET: Duration = Duration::from_millis(500);

/// The smallest free area that is looked for, in bytes: what is left beside those twice as large.
const SMALLEST: usize = u64_to_usize(PAGE_SIZE);

/// Decides when to trim, from how many bytes have been freed since the start.
#[derive(Debug)]
pub(super) struct Schedule {
    /// How many they were after the last trim.
    trimmed: u64,
    /// How many they were when they were last looked at, and when that number was new.
    seen: (u64, Instant),
}

impl Schedule {
    pub(super) const fn new() -> Self {
        Self {
            trimmed: 0,
            seen: (0, Instant::from_ns(0)),
        }
    }

    /// Returns when to trim if nothing more is freed: perhaps now; `None` if it is not worthwhile.
    pub(super) fn due(&mut self, now: Instant, freed: u64) -> Option<Instant> {
        if freed - self.trimmed < WORTHWHILE {
            return None;
        }
        if freed != self.seen.0 {
            self.seen = (freed, now);
        }
        Some(self.seen.1 + QUIET)
    }

    /// Takes note of a trim, whose own areas are among those `freed`.
    pub(super) fn trimmed(&mut self, freed: u64) {
        self.trimmed = freed;
    }
}

/// An area taken for a trim; it lies at the area's start.
struct Taken {
    len: usize,
    next: Option<NonNull<Self>>,
}

/// Returns the whole pages of the free areas to the kernel.
pub(super) fn trim<M: Memory, B: Binning>(talc: &mut Talc<Pages<M>, B>) {
    let largest = u64_to_usize(talc.source.extent() * PAGE_SIZE);
    let mut len = largest.checked_next_power_of_two().unwrap_or(0);
    let mut taken = None;
    while len >= SMALLEST {
        // SAFETY: the size is not zero.
        while let Some(area) = unsafe { talc.try_allocate(layout(len)) } {
            let area = area.cast::<Taken>();
            let link = Taken { len, next: taken };
            // SAFETY: the area is page aligned, long enough, and has just become ours.
            unsafe { area.write(link) };
            taken = Some(area);
        }
        len /= 2;
    }
    while let Some(area) = taken {
        // SAFETY: the area was written when it was taken.
        let Taken { len, next } = unsafe { area.read() };
        let start = usize_to_u64(area.as_ptr().expose_provenance());
        // SAFETY: the area is ours, and what was written to it has been read.
        unsafe { talc.source.give_back(start, start + usize_to_u64(len)) };
        // SAFETY: talc gave out the area for this layout.
        unsafe { talc.deallocate(area.as_ptr().cast(), layout(len)) };
        taken = next;
    }
}

/// Returns the layout of an area of whole pages.
fn layout(len: usize) -> Layout {
    Layout::from_size_align(len, u64_to_usize(PAGE_SIZE)).expect("no larger than the heap")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::heap::fake::{bytes, heap};
    use alloc::vec::Vec;

    #[test]
    fn free_pages_between_allocations_go_back_and_the_rest_stays() {
        let (mut talc, released_pages) = heap();
        let (small, large) = (bytes(100), bytes(20_000));
        // SAFETY: no size is zero.
        let mut allocate = |layout| unsafe { talc.allocate(layout) }.unwrap();
        let areas: Vec<_> = (0..60)
            .map(|_| (allocate(small), allocate(large)))
            .collect();
        for (kept, freed) in &areas {
            // SAFETY: the area is 100 bytes long.
            unsafe { kept.as_ptr().write_bytes(0x5a, 100) };
            // SAFETY: talc gave out the area for this layout.
            unsafe { talc.deallocate(freed.as_ptr(), large) };
        }
        assert_eq!(released_pages.get(), 0);
        let before = *talc.counters();
        trim(&mut talc);
        // However it lies, an area of 20,000 bytes has three whole pages.
        assert!(released_pages.get() >= 60 * 3, "{released_pages:?}");
        assert_eq!(talc.counters().allocated_bytes, before.allocated_bytes);
        for (kept, _) in &areas {
            // SAFETY: the area is 100 bytes long and was filled.
            let contents = unsafe { core::slice::from_raw_parts(kept.as_ptr(), 100) };
            assert!(contents.iter().all(|byte| *byte == 0x5a));
        }
        // What was given back can be allocated again.
        // SAFETY: no size is zero.
        assert!((0..60).all(|_| unsafe { talc.try_allocate(large) }.is_some()));
    }

    #[test]
    fn a_trim_waits_until_the_heap_is_quiet() {
        let mut schedule = Schedule::new();
        let at = |milliseconds| Instant::from_ns(0) + Duration::from_millis(milliseconds);
        assert_eq!(schedule.due(at(0), WORTHWHILE - 1), None);
        assert_eq!(schedule.due(at(1), WORTHWHILE), Some(at(501)));
        assert_eq!(schedule.due(at(400), WORTHWHILE), Some(at(501)));
        assert_eq!(schedule.due(at(500), WORTHWHILE + 1), Some(at(1000)));
        assert_eq!(schedule.due(at(1000), WORTHWHILE + 1), Some(at(1000)));
        schedule.trimmed(WORTHWHILE + 9);
        assert_eq!(schedule.due(at(2000), WORTHWHILE + 9), None);
        assert_eq!(schedule.due(at(3000), 2 * WORTHWHILE + 9), Some(at(3500)));
    }
}
