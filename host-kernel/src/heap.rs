//! The kernel's heap: one region taken at boot, never grown.
//!
//! It holds the core's tables. What VMs make the kernel allocate lies in frames, not here.

#![expect(unsafe_code, reason = "the global allocator")]

use crate::arch::paging::direct_map;
use core::alloc::{GlobalAlloc, Layout};
use denali_abi::convert::u64_to_usize;
use host_kernel::boot_info::PhysicalRange;
use talc::TalcCell;
use talc::source::Manual;

struct KernelHeap(TalcCell<Manual>);

// SAFETY: one CPU, and interrupt handlers run no Rust, so that no two calls ever overlap.
unsafe impl Sync for KernelHeap {}

// SAFETY: everything is `TalcCell`'s doing.
unsafe impl GlobalAlloc for KernelHeap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps `GlobalAlloc`'s contract.
        unsafe { self.0.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as in `alloc`.
        unsafe { self.0.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: as in `alloc`.
        unsafe { self.0.realloc(pointer, layout, new_size) }
    }
}

#[global_allocator]
static HEAP: KernelHeap = KernelHeap(TalcCell::new(Manual));

/// Gives the heap its memory, which must be in the direct map and used for nothing else.
///
/// # Panics
///
/// If the region is too small to manage.
pub(crate) fn start(region: PhysicalRange) {
    // SAFETY: the region was taken from free RAM for the heap alone, and the direct map holds it
    // for ever.
    let heap = unsafe {
        HEAP.0
            .claim(direct_map(region.start), u64_to_usize(region.length()))
    };
    assert!(
        heap.is_some(),
        "a heap of {} bytes is too small",
        region.length()
    );
}
