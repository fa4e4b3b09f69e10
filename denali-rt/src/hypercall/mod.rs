//! Hypercalls as safe functions: the only place a guest leaves its own code.
//!
//! Outside a VM, in tests on a developer's machine, the few calls that make sense there are served
//! by the standard library and the rest fail with `NotPermitted`.

#![expect(unsafe_code, reason = "releasing memory destroys contents")]

pub mod control;

#[cfg(not(denali))]
mod outside;
#[cfg(denali)]
mod syscall;

use crate::time::Instant;
use core::ops::Range;
use denali_abi::convert::{u64_to_usize, usize_to_u64};
use denali_abi::errno::Errno;
use denali_abi::hypercall::{CONSOLE_WRITE_MAX, Hypercall, NO_DEADLINE, RANDOM_MAX};
use denali_abi::layout::PAGE_SIZE;
#[cfg(not(denali))]
use outside::call;
#[cfg(denali)]
use syscall::call;

/// Pages that one `release_memory` handles.
const RELEASE_PAGES_MAX: u64 = 4096;

/// Sends what the transmit ring holds and gives up the CPU until a virtual interrupt is pending or
/// `deadline` passes; `None` waits for an interrupt alone. Returns the pending mask
/// ([`denali_abi::shared::interrupt`]).
pub fn idle_with_timeout(deadline: Option<Instant>) -> u32 {
    let deadline_ns = deadline.map_or(NO_DEADLINE, Instant::as_ns);
    let pending = call(Hypercall::IdleWithTimeout, [deadline_ns, 0, 0, 0]).unwrap_or(0);
    u32::try_from(pending).unwrap_or(u32::MAX)
}

/// Ends the VM with an exit code.
pub fn terminate(code: i32) -> ! {
    loop {
        // The kernel takes the low 32 bits.
        let _ = call(
            Hypercall::Terminate,
            [u64::from(code.cast_unsigned()), 0, 0, 0],
        );
    }
}

/// Gives the rest of the quantum to other VMs.
pub fn yield_cpu() {
    // Yielding cannot fail.
    let _ = call(Hypercall::Yield, [0; 4]);
}

/// Sends what the transmit ring holds.
pub fn network_notify() {
    // Notifying cannot fail; bad ring indices end the VM instead.
    let _ = call(Hypercall::NetworkNotify, [0; 4]);
}

/// Has the kernel take what the ring of block devices holds.
pub(crate) fn block_submit() {
    // Submitting cannot fail; bad ring indices end the VM instead.
    let _ = call(Hypercall::BlockSubmit, [0; 4]);
}

/// Writes bytes to the console and returns how many were taken, at most
/// [`CONSOLE_WRITE_MAX`].
pub fn console_write(bytes: &[u8]) -> usize {
    let len = usize_to_u64(bytes.len()).min(CONSOLE_WRITE_MAX);
    let taken = call(
        Hypercall::ConsoleWrite,
        [address(bytes.as_ptr()), len, 0, 0],
    );
    u64_to_usize(taken.unwrap_or(0))
}

/// Writes all bytes to the console, in as many calls as it takes; gives up if none is taken.
pub fn console_write_all(bytes: &[u8]) {
    let mut rest = bytes;
    while !rest.is_empty() {
        let taken = console_write(rest);
        if taken == 0 {
            return;
        }
        rest = rest.get(taken..).unwrap_or_default();
    }
}

/// Fills `bytes` with random bytes fit for keys.
///
/// # Panics
///
/// If the kernel refuses, which it never does for memory of our own: better no service than one
/// with guessable keys.
pub fn random_all(bytes: &mut [u8]) {
    for chunk in bytes.chunks_mut(u64_to_usize(RANDOM_MAX)) {
        let len = usize_to_u64(chunk.len());
        let given = call(Hypercall::Random, [address(chunk.as_mut_ptr()), len, 0, 0]);
        assert_eq!(given, Ok(len), "the kernel gave no random bytes");
    }
}

/// Gives the whole pages of an address range of heap or stacks back to the kernel. They read as
/// zero afterwards, so nothing may live there. Returns how many were resident.
///
/// # Errors
///
/// [`Errno::BadAddress`] if the range reaches beyond heap and stacks.
///
/// # Safety
///
/// Nobody may rely on the contents of the range.
pub unsafe fn release_memory(addresses: Range<u64>) -> Result<u64, Errno> {
    let end = addresses.end / PAGE_SIZE;
    let mut first = addresses.start.div_ceil(PAGE_SIZE);
    let mut released = 0;
    while first < end {
        let pages = (end - first).min(RELEASE_PAGES_MAX);
        released += call(Hypercall::ReleaseMemory, [first * PAGE_SIZE, pages, 0, 0])?;
        first += pages;
    }
    Ok(released)
}

/// Registers an entry for upcalls on whatever stack is in use; it must keep to
/// [`denali_abi::upcall`].
#[cfg(denali)]
pub(crate) fn register_upcall(entry: u64) {
    let registered = call(Hypercall::RegisterUpcall, [entry, 0, 0, 0]);
    debug_assert_eq!(registered, Ok(0), "the entry is in our text");
}

/// Returns the address of guest memory as the kernel wants it.
fn address<T>(pointer: *const T) -> u64 {
    usize_to_u64(pointer.expose_provenance())
}
