//! Bytes in and out of frames, through the direct map.
//!
//! The kernel never follows an address of a guest: the core translates pages to frames first.
//! Nothing here makes a reference to a frame, since a guest's contents change under it.

#![expect(unsafe_code, reason = "copies to and from frames")]

use crate::arch::paging::{direct_map, frame_address};
use core::ptr::copy_nonoverlapping;
use denali_kernel_core::machine::FrameId;
use host_kernel::boot_info::PhysicalRange;

const FRAME_BYTES: usize = 4096;

/// Returns the address of `length` bytes at `offset` in a frame.
///
/// # Panics
///
/// If they are not inside the frame, which the core promises they are.
fn place(frame: FrameId, offset: usize, length: usize) -> *mut u8 {
    let inside = offset
        .checked_add(length)
        .is_some_and(|end| end <= FRAME_BYTES);
    assert!(inside, "a frame has no {length} bytes at {offset}");
    direct_map(frame_address(frame)).wrapping_add(offset)
}

/// Copies bytes out of a frame.
pub(crate) fn read(frame: FrameId, offset: usize, buffer: &mut [u8]) {
    let from = place(frame, offset, buffer.len());
    // SAFETY: `place` checked the bounds; frames of the core's table are RAM in the direct map,
    // which holds neither the kernel image nor the heap's live objects, so `buffer` is elsewhere.
    unsafe { copy_nonoverlapping(from.cast_const(), buffer.as_mut_ptr(), buffer.len()) }
}

/// Copies bytes into a frame.
pub(crate) fn write(frame: FrameId, offset: usize, bytes: &[u8]) {
    let to = place(frame, offset, bytes.len());
    // SAFETY: as in `read`.
    unsafe { copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) }
}

/// Fills a frame with zeros.
pub(crate) fn zero(frame: FrameId) {
    let to = place(frame, 0, FRAME_BYTES);
    // SAFETY: as in `read`; the core owns the frame.
    unsafe { to.write_bytes(0, FRAME_BYTES) }
}

/// Copies a whole frame.
pub(crate) fn copy(from: FrameId, to: FrameId) {
    if from == to {
        return;
    }
    let source = place(from, 0, FRAME_BYTES);
    let destination = place(to, 0, FRAME_BYTES);
    // SAFETY: as in `read`; two frames do not overlap.
    unsafe { copy_nonoverlapping(source.cast_const(), destination, FRAME_BYTES) }
}

/// Lends the boot module.
pub(crate) fn module(range: PhysicalRange) -> &'static [u8] {
    let length = denali_abi::convert::u64_to_usize(range.length());
    // SAFETY: the loader put the module there; it is mapped read-only for ever, excluded from the
    // memory that is given away, and nobody writes to it.
    unsafe { core::slice::from_raw_parts(direct_map(range.start), length) }
}

/// Physical memory as the boot tables map it, for reading the loader's tables.
#[derive(Debug)]
pub(crate) struct BootMemory;

impl host_kernel::boot_info::PhysicalMemory for BootMemory {
    fn bytes(&self, start: u64, length: usize) -> Option<&[u8]> {
        let end = start.checked_add(denali_abi::convert::usize_to_u64(length))?;
        if start == 0 || end > crate::arch::paging::BOOT_MAP_END {
            return None;
        }
        // SAFETY: the boot tables map everything below 4 GiB; only the loader's tables are read,
        // before anything writes to memory that was not the kernel's from the start.
        Some(unsafe { core::slice::from_raw_parts(direct_map(start), length) })
    }
}
