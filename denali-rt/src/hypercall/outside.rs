//! Hypercalls outside a VM: enough for tests of services and of this crate.

#![expect(unsafe_code, reason = "takes the same addresses the kernel would")]

use denali_abi::convert::u64_to_usize;
use denali_abi::errno::Errno;
use denali_abi::hypercall::{Hypercall, NO_DEADLINE};
use denali_abi::shared::interrupt;
use std::io::{Read, Write};
use std::{fs, io, process, slice, thread};

/// Does with the standard library what the kernel would do.
pub(super) fn call(number: Hypercall, arguments: [u64; 4]) -> Result<u64, Errno> {
    let [first, second, ..] = arguments;
    let pointer = core::ptr::with_exposed_provenance_mut::<u8>(u64_to_usize(first));
    match number {
        Hypercall::IdleWithTimeout => idle(first),
        Hypercall::Terminate =>
        {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "the kernel takes the low bits"
            )]
            process::exit((first as u32).cast_signed())
        }
        Hypercall::Yield => {
            thread::yield_now();
            Ok(0)
        }
        Hypercall::ConsoleWrite => {
            // SAFETY: the only caller passes address and length of a slice it borrows.
            let bytes = unsafe { slice::from_raw_parts(pointer, u64_to_usize(second)) };
            io::stdout().write_all(bytes).map_or(Ok(0), |()| Ok(second))
        }
        Hypercall::Random => {
            // SAFETY: the only caller passes address and length of a slice it borrows mutably.
            let bytes = unsafe { slice::from_raw_parts_mut(pointer, u64_to_usize(second)) };
            let read = fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(bytes));
            read.map_or(Err(Errno::Invalid), |()| Ok(second))
        }
        Hypercall::NetworkNotify | Hypercall::ReleaseMemory => Ok(0),
        _ => Err(Errno::NotPermitted),
    }
}

/// Sleeps until the deadline: outside a VM there are no other interrupts.
fn idle(deadline_ns: u64) -> Result<u64, Errno> {
    assert_ne!(
        deadline_ns, NO_DEADLINE,
        "all threads wait, and nothing outside can wake them"
    );
    let now = crate::time::Instant::now();
    thread::sleep(crate::time::Instant::from_ns(deadline_ns) - now);
    Ok(u64::from(interrupt::TIMER))
}
