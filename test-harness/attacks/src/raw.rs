//! What an honest guest never does: hypercalls with any number and argument, and memory by number.

use crate::{Outcome, ensure};
use core::arch::asm;
use denali_abi::errno::Errno;
use denali_abi::hypercall::Hypercall;
use denali_abi::layout::SHARED_ADDRESS;
use denali_abi::net::{Descriptor, RING_LEN};
use denali_abi::shared::SharedPage;
use denali_rt::time::Instant;

/// The kernel's text.
pub const KERNEL_TEXT: u64 = 0xffff_ffff_8020_0000;

/// The kernel's view of all memory.
pub const DIRECT_MAP: u64 = 0xffff_8000_0000_0000;

/// Addresses at which a guest has nothing.
pub const FOREIGN: [u64; 15] = [
    0,
    8,
    0x000f_ffff,
    0x0010_2000,
    0x0010_ffff,
    0x2000_0000,
    0x6000_0fff,
    0x8000_0000,
    1 << 46,
    (1 << 47) - 1,
    1 << 47,
    DIRECT_MAP,
    KERNEL_TEXT,
    u64::MAX - 7,
    u64::MAX,
];

/// Makes a hypercall of any number and returns `rax`.
#[inline(never)]
pub fn call(number: u64, arguments: [u64; 4]) -> i64 {
    let [first, second, third, fourth] = arguments;
    let result;
    // SAFETY: attacks name no memory that this VM's code relies on.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number => result,
            in("rdi") first,
            in("rsi") second,
            in("rdx") third,
            in("r10") fourth,
            clobber_abi("sysv64"),
        );
    }
    result
}

/// Makes a hypercall that exists.
pub fn hypercall(call_: Hypercall, arguments: [u64; 4]) -> i64 {
    call(call_.number(), arguments)
}

/// Checks that a hypercall was refused with `errno`.
///
/// # Errors
///
/// It was not.
pub fn refused(result: i64, errno: Errno) -> Outcome {
    let expected = -i64::from(errno.code());
    ensure!(result == expected, "{result} instead of {expected}");
    Ok(())
}

/// Reads eight bytes at any address.
#[must_use]
pub fn peek(address: u64) -> u64 {
    let value;
    // SAFETY: none where the kernel must end this VM; elsewhere eight bytes of this VM.
    unsafe { asm!("mov {}, [{}]", out(reg) value, in(reg) address, options(nostack, readonly)) };
    value
}

/// Writes eight bytes at any address.
pub fn poke(address: u64, value: u64) {
    // SAFETY: none where the kernel must end this VM; elsewhere memory that nothing relies on.
    unsafe { asm!("mov [{}], {}", in(reg) address, in(reg) value, options(nostack)) };
}

/// Calls any address.
pub fn execute(address: u64) {
    // SAFETY: none; the kernel must end this VM.
    unsafe { asm!("call {}", in(reg) address, clobber_abi("sysv64")) };
}

/// Returns the number of the page's field as an address.
#[must_use]
pub fn address_of<T>(value: *const T) -> u64 {
    value.expose_provenance() as u64
}

/// Lends the shared page as it is; nothing else of this VM uses it.
pub fn shared<R>(action: impl FnOnce(&mut SharedPage) -> R) -> R {
    let mut copy = load_shared();
    let result = action(&mut copy);
    store_shared(&copy);
    result
}

const SHARED: *mut SharedPage =
    core::ptr::with_exposed_provenance_mut(denali_abi::convert::u64_to_usize(SHARED_ADDRESS));

#[inline(never)]
fn load_shared() -> SharedPage {
    // SAFETY: the shared page is this VM's, and an attack never starts the network of `denali-rt`.
    unsafe { SHARED.read_volatile() }
}

#[inline(never)]
fn store_shared(page: &SharedPage) {
    // SAFETY: as in `load_shared`.
    unsafe { SHARED.write_volatile(*page) };
}

/// Puts descriptors into the transmit ring and notifies the kernel.
pub fn transmit(descriptors: &[Descriptor]) {
    shared(|page| {
        for &descriptor in descriptors {
            page.tx[(page.tx_produced % RING_LEN) as usize] = descriptor;
            page.tx_produced = page.tx_produced.wrapping_add(1);
        }
    });
    hypercall(Hypercall::NetworkNotify, [0; 4]);
}

/// Returns the descriptor of a buffer.
#[must_use]
pub fn descriptor(address: u64, length: u32) -> Descriptor {
    Descriptor {
        address,
        length,
        flags: 0,
        segment_size: 0,
    }
}

/// Waits up to `milliseconds` for virtual interrupts, and returns the pending mask.
pub fn wait(milliseconds: u64) -> i64 {
    let deadline = Instant::now().as_ns() + milliseconds * 1_000_000;
    hypercall(Hypercall::IdleWithTimeout, [deadline, 0, 0, 0])
}
