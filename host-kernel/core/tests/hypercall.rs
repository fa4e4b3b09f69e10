//! Each hypercall with good and with hostile arguments.

mod host;

use denali_abi::control::{KERNEL_VM, VmConfig, VmState};
use denali_abi::end::EndReason;
use denali_abi::errno::Errno;
use denali_abi::hypercall::Hypercall;
use denali_abi::layout::{
    GUEST_END, HEAP_END, IMAGE_BASE, PAGE_SIZE, REGISTERS_ADDRESS, SHARED_ADDRESS,
    SMALL_STACKS_BASE,
};
use denali_abi::registers::VirtualRegisters;
use denali_abi::shared::interrupt;
use denali_kernel_core::VmId;
use denali_kernel_core::machine::Machine;
use denali_kernel_core::machine::fake::BOOT_REPORT;
use host::{DATA, Host, LIMIT, SCRATCH, header, network};
use std::collections::BTreeSet;
use zerocopy::{FromZeros, IntoBytes};

/// Addresses at which no guest can pass a buffer of any length.
const BAD: [u64; 9] = [
    0,
    REGISTERS_ADDRESS - 1,
    SHARED_ADDRESS + PAGE_SIZE,
    SMALL_STACKS_BASE,
    GUEST_END,
    0x0000_7fff_ffff_f000,
    0xffff_8000_0000_0000,
    u64::MAX - 7,
    u64::MAX,
];

fn host() -> (Host, VmId) {
    let mut host = Host::boot(1024, "");
    let image = host.create_image().expect("there is room");
    let vm = host.create_vm(image, 1);
    (host, vm)
}

fn errno(errno: Errno) -> Option<i64> {
    Some(-i64::from(errno.code()))
}

#[test]
fn a_new_vm_sees_its_registers_and_arguments() {
    let (mut host, vm) = host();
    let mut registers = VirtualRegisters::new_zeroed();
    assert!(host.read(vm, REGISTERS_ADDRESS, registers.as_mut_bytes()));
    assert_eq!(registers.vm_id, vm.raw());
    assert_eq!(registers.memory_pages, LIMIT);
    assert_eq!(registers.heap_start, header().end_address());
    assert_eq!(
        &registers.arguments[..registers.arguments_len as usize],
        b"hello"
    );
    assert_eq!(registers.network.mac, network(1).mac);
    assert_ne!(registers.seed, [0; 32]);
    let resident = host.status(vm).unwrap().resident_pages;
    let mut again = VirtualRegisters::new_zeroed();
    host.read(vm, REGISTERS_ADDRESS, again.as_mut_bytes());
    assert_eq!(again.resident_pages, resident);
}

#[test]
fn no_two_vms_ever_created_have_the_same_seed() {
    let (mut host, first) = host();
    let image = host.kernel.vm(first).expect("it lives").image.raw();
    let mut seeds = BTreeSet::new();
    for number in 2..400 {
        let vm = host.create_vm(image, number);
        let mut registers = VirtualRegisters::new_zeroed();
        assert!(host.read(vm, REGISTERS_ADDRESS, registers.as_mut_bytes()));
        assert_eq!(registers.resume_generation, 0);
        assert_eq!(registers.clock, host.machine.clock());
        assert!(seeds.insert(registers.seed));
        host.control(Hypercall::VmStop, &[vm.raw()])
            .expect("stopped");
        host.control(Hypercall::VmDestroy, &[vm.raw()])
            .expect("destroyed");
    }
}

#[test]
fn an_unknown_number_ends_the_vm() {
    for number in [
        0,
        1,
        60,
        0x4444_ffff,
        Hypercall::BlockSubmit.number() + 1,
        u64::MAX,
    ] {
        let (mut host, vm) = host();
        assert_eq!(host.call_number(vm, number, &[]), None);
        let status = host.status(vm).unwrap();
        assert_eq!(
            EndReason::from_code(status.end.reason),
            Some(EndReason::BadHypercall)
        );
        assert_eq!(status.end.detail, number);
        host.audit();
    }
}

#[test]
fn a_service_may_make_no_control_call() {
    let (mut host, vm) = host();
    for call in Hypercall::ALL.into_iter().filter(|call| call.is_control()) {
        assert_eq!(
            host.call(vm, call, &[vm.raw(), DATA]),
            errno(Errno::NotPermitted),
            "{call:?}"
        );
    }
}

#[test]
fn bad_addresses_are_an_error_everywhere() {
    let (mut host, vm) = host();
    for address in BAD {
        for call in [Hypercall::ConsoleWrite, Hypercall::Random] {
            let result = host.call(vm, call, &[address, 64]);
            assert_eq!(result, errno(Errno::BadAddress), "{call:?} {address:#x}");
        }
        for call in [
            Hypercall::ImageCreate,
            Hypercall::VmCreate,
            Hypercall::HostStatus,
        ] {
            assert_eq!(
                host.control(call, &[address]),
                Err(Errno::BadAddress),
                "{call:?}"
            );
        }
        let status = host.control(Hypercall::VmStatus, &[vm.raw(), address]);
        assert_eq!(status, Err(Errno::BadAddress));
        let read = host.control(Hypercall::ConsoleRead, &[vm.raw(), 0, address, 64]);
        assert_eq!(read, Err(Errno::BadAddress));
        let config = VmConfig {
            arguments: address,
            ..Host::config(1, 9)
        };
        assert_eq!(host.create(&config), Err(Errno::BadAddress));
    }
    host.audit();
}

#[test]
fn the_kernel_writes_nowhere_the_guest_could_not() {
    let (mut host, vm) = host();
    for address in [REGISTERS_ADDRESS, IMAGE_BASE, IMAGE_BASE + PAGE_SIZE] {
        assert_eq!(
            host.call(vm, Hypercall::Random, &[address, 8]),
            errno(Errno::BadAddress)
        );
    }
    assert_eq!(
        host.call(vm, Hypercall::Random, &[DATA + PAGE_SIZE - 4, 8]),
        Some(8)
    );
    assert_eq!(
        host.call(vm, Hypercall::Random, &[DATA, u64::MAX]),
        Some(256)
    );
    assert_eq!(host.call(vm, Hypercall::Random, &[DATA, 0]), Some(0));
    host.audit();
}

#[test]
fn a_call_at_the_memory_limit_is_an_error() {
    let (mut host, vm) = host();
    let mut page = SCRATCH;
    while host.status(vm).unwrap().resident_pages < LIMIT {
        assert!(host.write(vm, page, b"x"));
        page += PAGE_SIZE;
    }
    assert_eq!(
        host.call(vm, Hypercall::Random, &[page, 8]),
        errno(Errno::OutOfMemory)
    );
    assert_eq!(
        host.call(vm, Hypercall::ReleaseMemory, &[SCRATCH, 1]),
        Some(1)
    );
    assert_eq!(host.call(vm, Hypercall::Random, &[page, 8]), Some(8));
    host.audit();
}

#[test]
fn console_bytes_reach_the_supervisor_and_outlive_the_vm() {
    let (mut host, vm) = host();
    host.write(vm, DATA, b"first line\n");
    assert_eq!(
        host.call(vm, Hypercall::ConsoleWrite, &[DATA, 11]),
        Some(11)
    );
    assert_eq!(host.call(vm, Hypercall::ConsoleWrite, &[DATA, 0]), Some(0));
    host.call(vm, Hypercall::Terminate, &[3]);
    let read = [vm.raw(), 6, SCRATCH, 8 + 100];
    assert_eq!(host.control(Hypercall::ConsoleRead, &read), Ok(5));
    let mut bytes = [0; 13];
    host.read(host.supervisor, SCRATCH, &mut bytes);
    assert_eq!(bytes, *b"\x06\0\0\0\0\0\0\0line\n");
    assert_eq!(
        host.control(Hypercall::ConsoleRead, &[vm.raw(), 0, SCRATCH, 7]),
        Err(Errno::Invalid)
    );
}

#[test]
fn the_supervisor_reads_what_the_kernel_said_while_booting() {
    let (mut host, vm) = host();
    let read = |position, length| [KERNEL_VM, position, SCRATCH, length];
    let length = BOOT_REPORT.len() as u64;
    let whole = host.control(Hypercall::ConsoleRead, &read(0, 8 + 5000));
    assert_eq!(whole, Ok(length));
    let mut bytes = vec![0; 8 + BOOT_REPORT.len()];
    host.read(host.supervisor, SCRATCH, &mut bytes);
    assert_eq!(bytes, [&[0; 8], BOOT_REPORT].concat());
    for (position, length, answer) in [
        (9, 8 + 4, Ok(4)),
        (length, 8 + 100, Ok(0)),
        (u64::MAX, 8 + 100, Ok(0)),
        (0, 8, Ok(0)),
        (0, 7, Err(Errno::Invalid)),
    ] {
        let read = host.control(Hypercall::ConsoleRead, &read(position, length));
        assert_eq!(read, answer, "{position} {length}");
    }
    let nowhere = [KERNEL_VM, 0, u64::MAX - 3, 100];
    let answer = host.control(Hypercall::ConsoleRead, &nowhere);
    assert_eq!(answer, Err(Errno::BadAddress));
    let refused = host.call(vm, Hypercall::ConsoleRead, &read(0, 100));
    assert_eq!(refused, errno(Errno::NotPermitted));
    host.audit();
}

#[test]
fn an_endless_console_keeps_its_newest_page() {
    let (mut host, vm) = host();
    for round in 0..5_u8 {
        host.write(vm, SCRATCH, &[b'a' + round; 4096]);
        assert_eq!(
            host.call(vm, Hypercall::ConsoleWrite, &[SCRATCH, u64::MAX]),
            Some(4096)
        );
    }
    assert_eq!(
        host.control(Hypercall::ConsoleRead, &[vm.raw(), 0, SCRATCH, 9000]),
        Ok(4096)
    );
    let mut position = [0; 9];
    host.read(host.supervisor, SCRATCH, &mut position);
    assert_eq!(
        u64::from_le_bytes(*position.first_chunk().unwrap()),
        4 * 4096
    );
    assert_eq!(position[8], b'e');
}

#[test]
fn what_the_supervisor_writes_is_logged_by_the_machine() {
    let (mut host, _) = host();
    host.write(host.supervisor, SCRATCH, b"ready\n");
    host.control(Hypercall::ConsoleWrite, &[SCRATCH, 6])
        .unwrap();
    assert_eq!(host.machine.logged(), b"ready\n");
}

#[test]
fn released_memory_reads_as_zero_afterwards() {
    let (mut host, vm) = host();
    host.write(vm, SCRATCH, b"secret");
    let before = host.status(vm).unwrap().resident_pages;
    assert_eq!(
        host.call(vm, Hypercall::ReleaseMemory, &[SCRATCH, 1000]),
        Some(1)
    );
    assert_eq!(host.status(vm).unwrap().resident_pages, before - 1);
    let mut bytes = [1; 6];
    host.read(vm, SCRATCH, &mut bytes);
    assert_eq!(bytes, [0; 6]);
    host.audit();
}

#[test]
fn only_heap_and_stacks_can_be_released() {
    let (mut host, vm) = host();
    let heap = header().end_address();
    let release = Hypercall::ReleaseMemory;
    for (address, pages) in [
        (heap - PAGE_SIZE, 1),
        (IMAGE_BASE, 1),
        (REGISTERS_ADDRESS, 1),
        (GUEST_END - PAGE_SIZE, 2),
        (heap, u64::MAX),
        (heap, u64::MAX / PAGE_SIZE),
        (u64::MAX - PAGE_SIZE + 1, 1),
    ] {
        let result = host.call(vm, release, &[address, pages]);
        assert_eq!(result, errno(Errno::BadAddress), "{address:#x} {pages}");
    }
    assert_eq!(
        host.call(vm, release, &[heap + 8, 1]),
        errno(Errno::Invalid)
    );
    assert_eq!(host.call(vm, release, &[heap, 0]), Some(0));
    assert_eq!(
        host.call(vm, release, &[heap, (GUEST_END - heap) / PAGE_SIZE]),
        Some(0)
    );
    assert_eq!(host.call(vm, release, &[HEAP_END, 1]), Some(0));
    host.audit();
}

#[test]
fn idle_returns_at_once_what_is_pending() {
    let (mut host, vm) = host();
    host.machine.advance(100);
    assert_eq!(
        host.call(vm, Hypercall::IdleWithTimeout, &[5]),
        Some(i64::from(interrupt::TIMER))
    );
    let offset = std::mem::offset_of!(denali_abi::shared::SharedPage, pending) as u64;
    host.write(vm, SHARED_ADDRESS + offset, &u32::MAX.to_le_bytes());
    let all = interrupt::RECEIVE
        | interrupt::TRANSMIT
        | interrupt::TIMER
        | interrupt::CONTROL
        | interrupt::STOP
        | interrupt::BLOCK
        | interrupt::RESUME;
    assert_eq!(
        host.call(vm, Hypercall::IdleWithTimeout, &[u64::MAX]),
        Some(i64::from(all)),
        "unknown bits are not passed on"
    );
    assert_eq!(host.call(vm, Hypercall::IdleWithTimeout, &[u64::MAX]), None);
    assert_eq!(host.state(vm), Some(VmState::Idle));
    host.audit();
}
