//! What the kernel's heap is for, which bounds the number of VMs.

/// Bytes of the kernel's heap for each VM: its descriptor and its places in tables, which grow by
/// doubling.
const HEAP_BYTES_PER_VM: u64 = 1024;

/// Bytes of the kernel's heap for each frame of memory: its record, its part of the frames that are
/// held for VMs that sleep, and of what is known of pages on swap.
const HEAP_BYTES_PER_FRAME: u64 = 60;

/// Bytes of the kernel's heap for what does not grow with VMs or memory: transfers between memory
/// and disk under way, arguments of VMs that have not begun, tables of drivers and policies.
const HEAP_BYTES_FIXED: u64 = 640 * 1024;

/// Returns how many bytes of heap a host with `frames` frames needs for `vms` VMs.
#[must_use]
pub const fn bytes(frames: u64, vms: u64) -> u64 {
    frames * HEAP_BYTES_PER_FRAME + HEAP_BYTES_FIXED + vms * HEAP_BYTES_PER_VM
}

/// Returns how many VMs a heap of `bytes` bytes is enough for on a host with `frames` frames.
#[must_use]
pub const fn vms_in(bytes: u64, frames: u64) -> u64 {
    bytes.saturating_sub(self::bytes(frames, 0)) / HEAP_BYTES_PER_VM
}
