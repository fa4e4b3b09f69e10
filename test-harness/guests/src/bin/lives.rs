//! Takes the supervisor's place and makes VMs live and die, as many as its first argument says.
//!
//! In crowds of a few: some end by themselves, some by a fault, some are stopped in their sleep.
//! After every thousand lives the host's frames, promises, VMs and images must be as before.

#![no_std]
#![cfg_attr(denali, no_main)]

extern crate alloc;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use denali_abi::control::{VmConfig, VmState};
use denali_abi::errno::Errno;
use denali_abi::hypercall::{HYPERCALL_BASE, Hypercall};
use denali_abi::image::{IMAGE_MAGIC, ImageHeader};
use denali_abi::layout::IMAGE_BASE;
use denali_abi::net::NetworkConfig;
use denali_rt::hypercall::control;

denali_rt::entry!(main);

/// VMs that live at the same time.
const CROWD: u64 = 8;

/// Lives between two looks at the host.
const LIVES_COUNTED: u64 = 1_000;

/// Turns given to a VM that ends by itself; it needs one.
const TURNS_MAX: u32 = 10_000;

/// What the VMs run, 32 bytes each: `terminate(0)`; a write to the heap and `ud2`;
/// `idle_with_timeout` without end. They move the number of the call to `eax`.
const TEXT: [&[u8]; 3] = [
    &[0xb8, 0x01, 0x00, 0x45, 0x44, 0x31, 0xff, 0x0f, 0x05],
    &[0xb8, 0x00, 0x00, 0x00, 0x01, 0xc6, 0x00, 0x01, 0x0f, 0x0b],
    &[
        0xb8, 0x00, 0x00, 0x45, 0x44, 0x48, 0xc7, 0xc7, 0xff, 0xff, 0xff, 0xff, 0x0f, 0x05, 0xeb,
        0xf0,
    ],
];

const _: () = assert!(HYPERCALL_BASE == 0x4445_0000);
const _: () = assert!(Hypercall::Terminate.number() == HYPERCALL_BASE + 1);

/// Which image sleeps until it is stopped.
const SLEEPER: u64 = 2;

fn main() -> Result<(), String> {
    let lives = denali_rt::env::args().next();
    let lives = lives.and_then(|lives| lives.parse().ok()).unwrap_or(1_000);
    let images = images().map_err(|error| format!("images: {error:?}"))?;
    let mut before = None;
    let mut lived = 0;
    while lived < lives {
        let vms = (lived..lived + CROWD).map(|number| Ok((create(&images, number)?, number)));
        let vms: Result<Vec<(u64, u64)>, Errno> = vms.collect();
        let vms = vms.map_err(|error| format!("life {lived}: {error:?}"))?;
        for (vm, number) in vms {
            end(vm, number).map_err(|error| format!("the end of life {number}: {error:?}"))?;
        }
        lived += CROWD;
        if lived % LIVES_COUNTED < CROWD {
            let now = accounts().map_err(|error| format!("host status: {error:?}"))?;
            let before = *before.get_or_insert(now);
            if before != now {
                return Err(format!("{before:?} before, {now:?} after {lived} lives"));
            }
        }
    }
    denali_rt::println!("{lived} lives, and nothing is left of them");
    loop {
        denali_rt::thread::sleep(core::time::Duration::from_secs(3600));
    }
}

/// Makes an image for each way to end.
fn images() -> Result<Vec<u64>, Errno> {
    let mut images = Vec::new();
    for text in TEXT {
        let header = ImageHeader {
            magic: IMAGE_MAGIC,
            abi_version: denali_abi::ABI_VERSION,
            memory_pages: 16,
            text_pages: 1,
            rodata_pages: 0,
            data_pages: 0,
            bss_pages: 0,
            entry: IMAGE_BASE,
            build_id: [0; denali_abi::image::BUILD_ID_LEN],
            reserved: 0,
        };
        let image = control::image_create(&header)?;
        control::image_write(image, 0, text)?;
        images.push(image);
    }
    Ok(images)
}

fn create(images: &[u64], number: u64) -> Result<u64, Errno> {
    let [a, b, c, d, ..] = number.to_le_bytes();
    let config = VmConfig {
        image: *images.get(kind(number)).ok_or(Errno::NotFound)?,
        memory_pages: 16,
        network: NetworkConfig {
            mac: [2, 1, d, c, b, a],
            address: [10, 91, b, a],
            prefix_len: 8,
            ..NetworkConfig::default()
        },
        name: *b"life\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
        ..VmConfig::default()
    };
    control::vm_create(&config, &[], &[])
}

/// Returns the place of the image that the VM of this number runs.
fn kind(number: u64) -> usize {
    usize::from(u8::try_from(number % 3).unwrap_or(0))
}

/// Lets a VM come to its end, and frees it.
fn end(vm: u64, number: u64) -> Result<(), Errno> {
    let wanted = if number % 3 == SLEEPER {
        VmState::Idle
    } else {
        VmState::Ended
    };
    let mut turns = 0;
    while control::vm_status(vm)?.state != wanted.code() {
        turns += 1;
        if turns > TURNS_MAX {
            return Err(Errno::Busy);
        }
        denali_rt::hypercall::yield_cpu();
    }
    control::vm_stop(vm)?;
    control::vm_destroy(vm)
}

/// What may not change.
fn accounts() -> Result<[u64; 4], Errno> {
    let host = control::host_status()?;
    Ok([
        host.frames_free,
        host.frames_committed,
        host.vms,
        host.images,
    ])
}
