//! Tells what each hypercall costs, in instructions of all rings.
//!
//! Boot it in place of the supervisor under `-icount shift=0`, where the time-stamp counter counts
//! instructions.

#![no_std]
#![cfg_attr(denali, no_main)]
#![expect(unsafe_code, reason = "makes hypercalls by number")]

extern crate alloc;

use alloc::vec;
use core::arch::asm;
use denali_abi::ABI_VERSION;
use denali_abi::control::{HostStatus, Limits, VmConfig, VmStatus};
use denali_abi::hypercall::Hypercall;
use denali_abi::image::{BUILD_ID_LEN, IMAGE_MAGIC, ImageHeader};
use denali_abi::layout::{HEAP_END, IMAGE_BASE, PAGE_SIZE};
use denali_abi::net::NetworkConfig;
use denali_abi::registers::NAME_MAX;
use denali_rt::registers::time_stamp_counter;
use denali_rt::{interrupt, println, process, registers};

denali_rt::entry!(main);

/// Calls of each kind that are counted; the least of their costs is the path without a fault.
const CALLS: usize = 16;

/// The name of the other VMs.
const NAME: [u8; NAME_MAX] = {
    let mut name = [0; NAME_MAX];
    name[0] = b'y';
    name
};

/// Bytes of memory for what `image_write` takes.
const CONTENTS: usize = 64 << 10;

/// Bytes of them that are a line for the console.
const LINE: usize = 64;

/// Text of a VM that yields for ever: `mov eax, YIELD; syscall; jmp`.
const YIELDER: [u8; 9] = {
    let [a, b, c, d, ..] = Hypercall::Yield.number().to_le_bytes();
    [0xb8, a, b, c, d, 0x0f, 0x05, 0xeb, 0xf7]
};

fn main() {
    let _masked = interrupt::mask();
    let mut contents = vec![0x90_u8; CONTENTS];
    contents[LINE - 1] = b'\n';
    let at = address(contents.as_ptr());
    guest_calls(at);
    control_calls(at);
    println!("counted");
    process::exit(0);
}

/// Counts what every VM may call.
fn guest_calls(at: u64) {
    use Hypercall as H;
    count(H::Yield, |_| [0; 4]);
    count(H::NetworkNotify, |_| [0; 4]);
    count(H::IdleWithTimeout, |_| [0; 4]);
    count(H::ConsoleWrite, |_| [at, LINE as u64, 0, 0]);
    count(H::Random, |_| [at, 32, 0, 0]);
    let page = HEAP_END - PAGE_SIZE;
    count(H::ReleaseMemory, |_| {
        touch(page);
        [page, 1, 0, 0]
    });
    count(H::RegisterUpcall, |_| [0; 4]);
}

/// Counts what the supervisor alone may call, and the switch between two VMs.
fn control_calls(at: u64) {
    use Hypercall as H;
    let header = ImageHeader {
        magic: IMAGE_MAGIC,
        abi_version: ABI_VERSION,
        memory_pages: 16,
        text_pages: 16,
        rodata_pages: 0,
        data_pages: 0,
        bss_pages: 0,
        entry: IMAGE_BASE,
        build_id: [0; BUILD_ID_LEN],
        reserved: 0,
    };
    let images = count(H::ImageCreate, |_| [address(&raw const header), 0, 0, 0]);
    count(H::ImageWrite, |nth| [images[nth], 0, at, CONTENTS as u64]);
    count(H::ImageDestroy, |nth| [images[nth], 0, 0, 0]);
    let image = call(H::ImageCreate, [address(&raw const header), 0, 0, 0]);
    let code = [image, 0, address(YIELDER.as_ptr()), YIELDER.len() as u64];
    call(H::ImageWrite, code);
    let mut config = VmConfig {
        image,
        limits: Limits::default(),
        name: NAME,
        ..VmConfig::default()
    };
    let vms = count(H::VmCreate, |nth| {
        config.network = NetworkConfig {
            mac: [2, 0, 0, 0, 0, nth.to_le_bytes()[0]],
            address: [10, 0, 0, nth.to_le_bytes()[0] + 1],
            prefix_len: 24,
            ..NetworkConfig::default()
        };
        [address(&raw const config), 0, 0, 0]
    });
    count(H::VmNext, |_| [0; 4]);
    let mut status = VmStatus::default();
    count(H::VmStatus, |nth| {
        [vms[nth], address(&raw mut status), 0, 0]
    });
    let limits = Limits::default();
    count(H::VmLimits, |nth| {
        [vms[nth], address(&raw const limits), 0, 0]
    });
    let mut console = [0_u8; 256];
    let own = registers::get().vm_id;
    count(H::ConsoleRead, |_| [own, 0, address(&raw mut console), 72]);
    let mut host = HostStatus::default();
    count(H::HostStatus, |_| [address(&raw mut host), 0, 0, 0]);
    count(H::VmStop, |nth| [vms[nth], 0, 0, 0]);
    count(H::VmDestroy, |nth| [vms[nth], 0, 0, 0]);
    let peer = call(H::VmCreate, [address(&raw const config), 0, 0, 0]);
    tell("switch", |_| [0; 4], H::Yield);
    call(H::VmStop, [peer, 0, 0, 0]);
}

/// Counts a hypercall and tells its name and the cost. Returns the results.
fn count(number: Hypercall, arguments: impl FnMut(usize) -> [u64; 4]) -> [u64; CALLS] {
    tell(number.name(), arguments, number)
}

fn tell(
    name: &str,
    mut arguments: impl FnMut(usize) -> [u64; 4],
    number: Hypercall,
) -> [u64; CALLS] {
    let mut least = u64::MAX;
    let results = core::array::from_fn(|nth| {
        let arguments = arguments(nth);
        let before = time_stamp_counter();
        let result = call(number, arguments);
        least = least.min(time_stamp_counter() - before);
        result
    });
    let before = time_stamp_counter();
    let empty = time_stamp_counter() - before;
    println!(
        "cost {name} {} result {:#x}",
        least - empty,
        results[CALLS - 1]
    );
    results
}

/// Makes a hypercall.
fn call(number: Hypercall, arguments: [u64; 4]) -> u64 {
    let [first, second, third, fourth] = arguments;
    let result;
    // SAFETY: to the guest a hypercall is a function call; the memory it is given is this VM's, and
    // nothing lives in the page that is released.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number.number() => result,
            in("rdi") first,
            in("rsi") second,
            in("rdx") third,
            in("r10") fourth,
            clobber_abi("sysv64"),
            options(nostack),
        );
    }
    result
}

/// Makes a page of the heap resident.
fn touch(page: u64) {
    // SAFETY: the allocator has not come so far.
    unsafe { asm!("mov byte ptr [{}], 1", in(reg) page, options(nostack)) };
}

fn address<T>(pointer: *const T) -> u64 {
    pointer.expose_provenance() as u64
}
