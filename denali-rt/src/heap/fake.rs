//! A heap on an array, for tests.

use super::pages::{Memory, Pages};
use core::alloc::Layout;
use core::cell::Cell;
use core::ops::Range;
use denali_abi::convert::{u64_to_usize, usize_to_u64};
use denali_abi::layout::PAGE_SIZE;
use std::boxed::Box;
use std::rc::Rc;
use talc::base::Talc;
use talc::base::binning::DefaultBinning;

const ARENA_LEN: usize = 4 << 20;
pub(super) const LIMIT_PAGES: u64 = 512;
pub(super) const BEFORE_PAGES: u64 = 20;

/// A VM whose heap is an array. Every granted page counts as resident at once.
#[derive(Debug)]
pub(super) struct FakeVm {
    start: u64,
    released_pages: Rc<Cell<u64>>,
}

impl Memory for FakeVm {
    fn addresses(&self) -> Range<u64> {
        self.start..self.start + usize_to_u64(ARENA_LEN) - PAGE_SIZE
    }

    fn resident_pages(&self) -> u64 {
        BEFORE_PAGES
    }

    fn limit_pages(&self) -> u64 {
        LIMIT_PAGES
    }

    unsafe fn release(&mut self, start: u64, end: u64) {
        assert!(start.is_multiple_of(PAGE_SIZE) && start < end);
        let len = u64_to_usize(end - start);
        let area = core::ptr::with_exposed_provenance_mut::<u8>(u64_to_usize(start));
        // SAFETY: the heap gave the range up, and it lies in the arena.
        unsafe { area.write_bytes(0xdd, len) };
        self.released_pages
            .set(self.released_pages.get() + (end - start) / PAGE_SIZE);
    }
}

pub(super) fn heap() -> (Talc<Pages<FakeVm>, DefaultBinning>, Rc<Cell<u64>>) {
    let arena = Box::leak(alloc::vec![0_u8; ARENA_LEN].into_boxed_slice());
    let start = usize_to_u64(arena.as_mut_ptr().expose_provenance());
    let released_pages = Rc::new(Cell::new(0));
    let vm = FakeVm {
        start: start.next_multiple_of(PAGE_SIZE),
        released_pages: Rc::clone(&released_pages),
    };
    (Talc::new(Pages::new(vm)), released_pages)
}

pub(super) fn bytes(len: usize) -> Layout {
    Layout::from_size_align(len, 8).unwrap()
}
