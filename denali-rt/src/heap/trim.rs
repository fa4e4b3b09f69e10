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
const WORTHWHILE: usize = 64 * 1024;

/// How long nothing may have been freed: what a busy service frees it soon needs again.
const QUIET: Duration = Duration::from_millis(500);

/// The smallest free area that is looked for, in bytes.
const SMALLEST: usize = 2 * u64_to_usize(PAGE_SIZE);

/// Decides when to trim.
#[derive(Debug)]
pub(super) struct Schedule {
    /// Bytes freed since the last trim.
    freed: usize,
    /// What `freed` was when it was last looked at, and when that was.
    seen: (usize, Instant),
}

impl Schedule {
    pub(super) const fn new() -> Self {
        Self {
            freed: 0,
            seen: (0, Instant::from_ns(0)),
        }
    }

    /// Takes note of freed bytes.
    pub(super) fn freed(&mut self, bytes: usize) {
        self.freed = self.freed.saturating_add(bytes);
    }

    /// Decides whether to trim at `now`; if not, says when to ask again.
    pub(super) fn decide(&mut self, now: Instant) -> Decision {
        if self.freed < WORTHWHILE {
            return Decision::NotNeeded;
        }
        if self.freed != self.seen.0 {
            self.seen = (self.freed, now);
        }
        let due = self.seen.1 + QUIET;
        if now < due {
            return Decision::At(due);
        }
        self.freed = 0;
        self.seen.0 = 0;
        Decision::Now
    }
}

/// Whether to trim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// Not before more is freed.
    NotNeeded,
    /// Not before then.
    At(Instant),
    /// Now.
    Now,
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
        assert!(released_pages.get() >= 60 * 2, "{released_pages:?}");
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
        schedule.freed(WORTHWHILE - 1);
        assert_eq!(schedule.decide(at(0)), Decision::NotNeeded);
        schedule.freed(1);
        assert_eq!(schedule.decide(at(1)), Decision::At(at(501)));
        assert_eq!(schedule.decide(at(400)), Decision::At(at(501)));
        schedule.freed(1);
        assert_eq!(schedule.decide(at(500)), Decision::At(at(1000)));
        assert_eq!(schedule.decide(at(1000)), Decision::Now);
        assert_eq!(schedule.decide(at(2000)), Decision::NotNeeded);
    }
}
