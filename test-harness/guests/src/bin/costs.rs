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
use denali_abi::block::{BLOCK_LEN, BLOCK_RING_LEN, BlockRequest, VOLUME_KEY_LEN, operation};
use denali_abi::control::{FrozenVm, HostStatus, Limits, VmConfig, VmState, VmStatus, vm_flags};
use denali_abi::convert::{u32_to_usize, u64_to_usize};
use denali_abi::hypercall::Hypercall;
use denali_abi::image::{BUILD_ID_LEN, IMAGE_MAGIC, ImageHeader};
use denali_abi::layout::{HEAP_END, IMAGE_BASE, PAGE_SIZE, SHARED_ADDRESS};
use denali_abi::net::NetworkConfig;
use denali_abi::registers::NAME_MAX;
use denali_abi::shared::SharedPage;
use denali_rt::registers::time_stamp_counter;
use denali_rt::{interrupt, println, process, registers};

denali_rt::entry!(main);

/// Calls of each kind that are counted; the least of their costs is the path without a fault.
const CALLS: usize = 16;

/// Yields within which another VM has had its turn.
const YIELDS_MAX: usize = 1000;

/// The name of the other VMs.
const NAME: [u8; NAME_MAX] = {
    let mut name = [0; NAME_MAX];
    name[0] = b'y';
    name
};

const SHARED: *mut SharedPage =
    core::ptr::with_exposed_provenance_mut(u64_to_usize(SHARED_ADDRESS));

/// Bytes of memory for what `image_write` takes.
const CONTENTS: usize = 64 << 10;

/// Bytes of them that are a line for the console.
const LINE: usize = 64;

/// Text of a VM that yields and makes another call, for ever if it comes back: `mov eax, YIELD;
/// syscall; mov eax, CALL; syscall; jmp`.
const fn caller(number: Hypercall) -> [u8; 16] {
    let [a, b, c, d, ..] = Hypercall::Yield.number().to_le_bytes();
    let [e, f, g, h, ..] = number.number().to_le_bytes();
    [
        0xb8, a, b, c, d, 0x0f, 0x05, 0xb8, e, f, g, h, 0x0f, 0x05, 0xeb, 0xf0,
    ]
}

fn main() {
    let _masked = interrupt::mask();
    let mut contents = vec![0x90_u8; CONTENTS];
    contents[LINE - 1] = b'\n';
    let at = address(contents.as_ptr());
    guest_calls(at);
    control_calls(at);
    block_calls();
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
    let image_of = |code: [u8; 16]| {
        let image = call(H::ImageCreate, [address(&raw const header), 0, 0, 0]);
        let code = [image, 0, address(code.as_ptr()), code.len() as u64];
        call(H::ImageWrite, code);
        image
    };
    let mut config = config_of(image_of(caller(H::Yield)), 0);
    let vms = count(H::VmCreate, |nth| {
        config = config_of(config.image, nth);
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
    count(H::VmSucceed, |nth| [vms[nth], 0, 0, 0]);
    count(H::VmStop, |nth| [vms[nth], 0, 0, 0]);
    count(H::VmDestroy, |nth| [vms[nth], 0, 0, 0]);
    let peer = call(H::VmCreate, [address(&raw const config), 0, 0, 0]);
    tell::<CALLS>("switch", |_| [0; 4], H::Yield);
    call(H::VmStop, [peer, 0, 0, 0]);
    call(H::VmDestroy, [peer, 0, 0, 0]);
    checkpoint_calls(config.image, at);
    let ending = image_of(caller(H::Terminate));
    count_terminate(ending);
}

/// Counts what a checkpoint is made of, and one page that is written and read.
fn checkpoint_calls(image: u64, page: u64) {
    use Hypercall as H;
    let create = |flags| {
        let config = VmConfig {
            flags,
            ..config_of(image, 0)
        };
        call(H::VmCreate, [address(&raw const config), 0, 0, 0])
    };
    let end = |vm| {
        call(H::VmStop, [vm, 0, 0, 0]);
        call(H::VmDestroy, [vm, 0, 0, 0]);
    };
    let mut saved = vec![0_u8; size_of::<FrozenVm>()];
    let to = address(saved.as_mut_ptr());
    count(H::ImageRead, |_| [image, 1, to, 0]);
    let ran = create(0);
    call(H::Yield, [0; 4]);
    count(H::VmFreeze, |_| {
        call(H::VmThaw, [ran, 0, 0, 0]);
        [ran, 0, 0, 0]
    });
    count(H::VmSave, |_| [ran, to, 0, 0]);
    count(H::VmThaw, |_| {
        call(H::VmFreeze, [ran, 0, 0, 0]);
        [ran, 0, 0, 0]
    });
    end(ran);
    let fresh = create(vm_flags::FROZEN);
    let number = HEAP_END / PAGE_SIZE - 1;
    count(H::PageWrite, |_| [fresh, number, page, 0]);
    count(H::PageRead, |_| [fresh, number, to, 0]);
    end(fresh);
}

/// Counts the yield in which a VM that ends does so.
fn count_terminate(image: u64) {
    use Hypercall as H;
    let mut least = u64::MAX;
    for nth in 0..CALLS {
        let config = config_of(image, nth);
        let vm = call(H::VmCreate, [address(&raw const config), 0, 0, 0]);
        let has_ended = || {
            let mut status = VmStatus::default();
            call(H::VmStatus, [vm, address(&raw mut status), 0, 0]);
            status.state == VmState::Ended as u32
        };
        // Whose turn it is, is the scheduler's business, and it may be the other's at any time.
        for _ in 0..YIELDS_MAX {
            let lives = !has_ended();
            let before = time_stamp_counter();
            call(H::Yield, [0; 4]);
            let cost = time_stamp_counter() - before;
            if has_ended() {
                least = if lives { least.min(cost) } else { least };
                break;
            }
        }
    }
    tell_cost(H::Terminate.name(), least, 0);
}

/// Counts how the store is opened, which happens once, and a block of it asked for, on a host that
/// has one.
fn block_calls() {
    use Hypercall as H;
    let key: [u8; VOLUME_KEY_LEN] = core::array::from_fn(|nth| nth.to_le_bytes()[0]);
    let [blocks] = tell(
        H::StoreOpen.name(),
        |_| [address(&raw const key), 0, 0, 0],
        H::StoreOpen,
    );
    if blocks.cast_signed() <= 0 {
        return;
    }
    let block = vec![0_u8; BLOCK_LEN];
    let at = address(block.as_ptr());
    count(H::BlockSubmit, |_| {
        ask_for_block(at);
        [0; 4]
    });
}

/// Waits for the block that was asked for, and asks for the first one of the store: `block_submit`
/// will take the request.
fn ask_for_block(at: u64) {
    while shared().block.completed != shared().block.submitted {
        call(Hypercall::IdleWithTimeout, [u64::MAX, 0, 0, 0]);
    }
    let mut page = shared();
    let rings = &mut page.block;
    let slot = u32_to_usize(rings.submitted % BLOCK_RING_LEN);
    rings.reaped = rings.completed;
    rings.requests[slot] = BlockRequest {
        operation: operation::READ,
        address: at,
        ..BlockRequest::default()
    };
    rings.submitted = rings.submitted.wrapping_add(1);
    // SAFETY: the shared page is this VM's, which has neither started the network of `denali-rt` nor
    // opened a volume.
    unsafe { SHARED.write_volatile(page) };
}

fn shared() -> SharedPage {
    // SAFETY: as where it is written.
    unsafe { SHARED.read_volatile() }
}

/// Returns what a VM with this number begins with.
fn config_of(image: u64, nth: usize) -> VmConfig {
    let number = nth.to_le_bytes()[0];
    VmConfig {
        image,
        limits: Limits::default(),
        name: NAME,
        network: NetworkConfig {
            mac: [2, 0, 0, 0, 0, number],
            address: [10, 0, 0, number + 1],
            prefix_len: 24,
            ..NetworkConfig::default()
        },
        ..VmConfig::default()
    }
}

/// Counts a hypercall and tells its name and the cost. Returns the results.
fn count(number: Hypercall, arguments: impl FnMut(usize) -> [u64; 4]) -> [u64; CALLS] {
    tell(number.name(), arguments, number)
}

/// Makes a hypercall `N` times and tells the least cost under `name`. Returns the results.
fn tell<const N: usize>(
    name: &str,
    mut arguments: impl FnMut(usize) -> [u64; 4],
    number: Hypercall,
) -> [u64; N] {
    let mut least = u64::MAX;
    let results = core::array::from_fn(|nth| {
        let arguments = arguments(nth);
        let before = time_stamp_counter();
        let result = call(number, arguments);
        least = least.min(time_stamp_counter() - before);
        result
    });
    tell_cost(name, least, results[N - 1]);
    results
}

/// Tells the cost of what took `least` with reading the counter.
fn tell_cost(name: &str, least: u64, result: u64) {
    let before = time_stamp_counter();
    let empty = time_stamp_counter() - before;
    println!("cost {name} {} result {result:#x}", least - empty);
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
