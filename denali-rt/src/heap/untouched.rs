//! Bytes that cost no memory until they are written.
//!
//! A page that went back to the kernel reads as zero, so the whole pages of a new area are given
//! back instead of being cleared.

use crate::hypercall;
use alloc::vec::Vec;
use denali_abi::convert::{u64_to_usize, usize_to_u64};
use denali_abi::layout::PAGE_SIZE;

/// Returns `len` zero bytes, or `None` without memory.
pub(super) fn zeroed(len: usize) -> Option<Vec<u8>> {
    let mut bytes: Vec<u8> = Vec::new();
    bytes.try_reserve_exact(len).ok()?;
    let area = bytes.as_mut_ptr();
    let start = usize_to_u64(area.expose_provenance());
    let end = start + usize_to_u64(len);
    let pages = start.next_multiple_of(PAGE_SIZE)..end - end % PAGE_SIZE;
    // SAFETY: the area has just been allocated and nothing has been written to it.
    if pages.is_empty() || unsafe { hypercall::release_memory(pages.clone()) }.is_err() {
        // SAFETY: the area is `len` bytes long.
        unsafe { area.write_bytes(0, len) };
    } else {
        let head_len = u64_to_usize(pages.start - start);
        // SAFETY: the whole pages begin within the area.
        unsafe { area.write_bytes(0, head_len) };
        let tail_len = u64_to_usize(end - pages.end);
        // SAFETY: the whole pages end within the area.
        let tail = unsafe { area.add(len - tail_len) };
        // SAFETY: the rest of the area lies there.
        unsafe { tail.write_bytes(0, tail_len) };
    }
    // SAFETY: all bytes have been written, or read as zero because their pages went back.
    unsafe { bytes.set_len(len) };
    Some(bytes)
}

/// Gives the whole pages among `bytes` back to the kernel; their contents are lost.
pub(super) fn vacate(bytes: &mut [u8]) {
    let range = bytes.as_mut_ptr_range();
    let addresses = range.start.expose_provenance()..range.end.expose_provenance();
    let addresses = usize_to_u64(addresses.start)..usize_to_u64(addresses.end);
    // SAFETY: the bytes are borrowed mutably, so nobody else reads them meanwhile, and read as zero
    // afterwards. Stacks and the heap go back; what cannot stays as it is.
    let _ = unsafe { hypercall::release_memory(addresses) };
}
