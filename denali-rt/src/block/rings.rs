//! The rings of block devices in the shared page, and buffers the kernel works on.

#![expect(unsafe_code, reason = "shares rings and buffers with the kernel")]

use super::Block;
use alloc::boxed::Box;
use core::mem::offset_of;
use core::ptr::NonNull;
use denali_abi::block::{BLOCK_LEN, BLOCK_RING_LEN, BlockCompletion, BlockRequest, BlockRings};
use denali_abi::convert::{u32_to_usize, u64_to_usize, usize_to_u64};
use denali_abi::layout::SHARED_ADDRESS;
use denali_abi::shared::SharedPage;

/// The rings. The kernel may work on them between any two instructions of ours, so every access is
/// volatile.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rings(*mut BlockRings);

// SAFETY: only the driver uses the rings, from whichever thread, one at a time.
unsafe impl Send for Rings {}

impl Rings {
    /// Returns the rings of this VM.
    pub(super) fn of_this_vm() -> Self {
        let at = u64_to_usize(SHARED_ADDRESS) + offset_of!(SharedPage, block);
        // SAFETY: the kernel maps the page there for the whole life of the VM, and nothing else
        // here uses these rings.
        unsafe { Self::new(core::ptr::with_exposed_provenance_mut(at)) }
    }

    /// Wraps a pointer to rings.
    ///
    /// # Safety
    ///
    /// They must be valid for reads and writes for as long as the value is used, and nobody but the
    /// kernel may use them besides.
    pub(super) const unsafe fn new(rings: *mut BlockRings) -> Self {
        Self(rings)
    }

    /// Returns how many completions there were.
    pub(super) fn completed(self) -> u32 {
        let at = self.field(offset_of!(BlockRings, completed));
        // SAFETY: a field of the rings, which are valid by `new`, and aligned.
        unsafe { at.read_volatile() }
    }

    /// Says how many requests there are.
    pub(super) fn set_submitted(self, count: u32) {
        let at = self.field(offset_of!(BlockRings, submitted));
        // SAFETY: a field of the rings, which are valid by `new`, and aligned.
        unsafe { at.write_volatile(count) }
    }

    /// Says how many completions were read.
    pub(super) fn set_reaped(self, count: u32) {
        let at = self.field(offset_of!(BlockRings, reaped));
        // SAFETY: a field of the rings, which are valid by `new`, and aligned.
        unsafe { at.write_volatile(count) }
    }

    /// Writes a request.
    pub(super) fn set_request(self, index: u32, request: BlockRequest) {
        let at = offset_of!(BlockRings, requests) + slot(index) * size_of::<BlockRequest>();
        let place = self.0.wrapping_byte_add(at).cast::<BlockRequest>();
        // SAFETY: the slot lies within the rings, which are valid by `new`, and is aligned.
        unsafe { place.write_volatile(request) }
    }

    /// Reads a completion.
    pub(super) fn completion(self, index: u32) -> BlockCompletion {
        let at = offset_of!(BlockRings, completions) + slot(index) * size_of::<BlockCompletion>();
        let place = self.0.wrapping_byte_add(at).cast::<BlockCompletion>();
        // SAFETY: the slot lies within the rings, which are valid by `new`, and is aligned.
        unsafe { place.read_volatile() }
    }

    fn field(self, offset: usize) -> *mut u32 {
        self.0.wrapping_byte_add(offset).cast::<u32>()
    }
}

const fn slot(index: u32) -> usize {
    u32_to_usize(index % BLOCK_RING_LEN)
}

/// A block of memory that the kernel reads or writes while a request is under way. There is no
/// reference to it then.
#[derive(Debug)]
pub(super) struct Buffer(NonNull<Block>);

// SAFETY: it owns its memory.
unsafe impl Send for Buffer {}

impl Buffer {
    pub(super) fn new() -> Self {
        let block = Box::leak(Box::new([0; BLOCK_LEN]));
        Self(NonNull::from(block))
    }

    /// Returns its address as the kernel wants it.
    pub(super) fn address(&self) -> u64 {
        usize_to_u64(self.0.as_ptr().expose_provenance())
    }

    /// Fills it; no request with it may be under way.
    pub(super) fn fill(&mut self, block: &Block) {
        // SAFETY: the memory is ours, and the driver uses it only between requests.
        unsafe { self.0.as_ptr().write_volatile(*block) }
    }

    /// Copies it out; no request with it may be under way.
    pub(super) fn copy_to(&self, block: &mut Block) {
        // SAFETY: as in `fill`; the kernel has written plain bytes.
        *block = unsafe { self.0.as_ptr().read_volatile() };
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // SAFETY: the pointer came from a leaked box, and the driver drops only buffers that no
        // request uses.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}
