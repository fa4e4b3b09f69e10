//! VMs that are registered and have never run: they cost their descriptor, and begin with the first
//! packet for them.

mod host;

use core::mem::offset_of;
use denali_abi::control::{VmConfig, VmState, vm_flags};
use denali_abi::convert::usize_to_u64;
use denali_abi::errno::Errno;
use denali_abi::hypercall::Hypercall;
use denali_abi::layout::{PAGE_SIZE, SHARED_ADDRESS};
use denali_abi::net::{Descriptor, RING_LEN};
use denali_abi::registers::VirtualRegisters;
use denali_abi::shared::{SharedPage, interrupt};
use denali_kernel_core::machine::{Exit, Machine};
use denali_kernel_core::paging::NO_SPACE;
use denali_kernel_core::{Next, VmId};
use host::{Host, SCRATCH, network};
use zerocopy::IntoBytes;

/// Turns of the kernel's loop in which everything must be done.
const TURNS_MAX: u32 = 1000;

fn host() -> (Host, u64) {
    let mut host = Host::boot_with_disks(1024, "", 1, 1 << 24);
    let image = host.create_image().expect("there is room");
    (host, image)
}

fn dormant(image: u64, number: u32) -> VmConfig {
    VmConfig {
        flags: vm_flags::DORMANT,
        ..Host::config(image, number)
    }
}

fn frame_for(number: u32) -> Vec<u8> {
    let mut frame = [network(number).mac, [0x52, 0x55, 10, 90, 0, 2]].concat();
    frame.extend_from_slice(&[8, 0, 0x45, 0, 0, 28, 0, 0, 0, 0, 64, 253, 0, 0]);
    frame.extend_from_slice(&[10, 90, 0, 2]);
    frame.extend_from_slice(&network(number).address);
    frame.extend_from_slice(b"datagram");
    frame
}

fn until_ready(host: &mut Host, vm: VmId) {
    for _ in 0..TURNS_MAX {
        if host.state(vm) == Some(VmState::Ready) {
            return;
        }
        host.turn();
    }
    panic!("for ever: {:?}", host.kernel.vm(vm));
}

fn post(host: &mut Host, vm: VmId) {
    let descriptor = Descriptor {
        address: SCRATCH,
        length: 2048,
        ..Descriptor::default()
    };
    let at = SHARED_ADDRESS + usize_to_u64(offset_of!(SharedPage, rx));
    for index in 0..u64::from(RING_LEN) {
        assert!(host.write(vm, at + index * 16, descriptor.as_bytes()));
    }
    let posted = SHARED_ADDRESS + usize_to_u64(offset_of!(SharedPage, rx_posted));
    assert!(host.write(vm, posted, &RING_LEN.to_le_bytes()));
}

#[test]
fn thousands_cost_no_frame_and_nothing_on_disk() {
    let (mut host, image) = host();
    let free = host.host_status().frames_free;
    for number in 1..=10_000 {
        host.create(&dormant(image, number)).expect("room for it");
    }
    assert_eq!(host.host_status().frames_free, free);
    let stats = host.kernel.paging_stats().expect("there are disks");
    assert_eq!((stats.blocks_written, stats.departures), (0, 0));
    host.audit();
}

#[test]
fn one_begins_with_its_first_packet_and_gets_it_when_it_first_waits() {
    let (mut host, image) = host();
    let vm = host.create(&dormant(image, 7)).expect("room");
    for _ in 0..10 {
        host.turn();
    }
    assert_eq!(host.state(vm), Some(VmState::Dormant));
    host.machine.arrive(&frame_for(7));
    until_ready(&mut host, vm);
    let mut registers = [0; 5];
    let at = denali_abi::layout::REGISTERS_ADDRESS
        + usize_to_u64(offset_of!(VirtualRegisters, arguments));
    assert!(host.read(vm, at, &mut registers));
    assert_eq!(&registers, b"hello");
    // What comes meanwhile waits behind the first one.
    host.machine.arrive(&frame_for(7));
    while let Some(event) = host.machine.poll_event() {
        host.kernel.deliver(event, &mut host.machine);
    }
    assert_eq!(host.kernel.vm(vm).expect("it lives").counters.rx_frames, 0);
    post(&mut host, vm);
    let result = host.call(vm, Hypercall::IdleWithTimeout, &[u64::MAX]);
    assert_eq!(host.state(vm), Some(VmState::Ready), "woken at once");
    assert_eq!(result, Some(i64::from(interrupt::RECEIVE)));
    assert_eq!(host.kernel.vm(vm).expect("it lives").counters.rx_frames, 2);
    host.audit();
}

/// Lets VMs compute in turn until one has used this much CPU time.
fn compute(host: &mut Host, vm: VmId, cpu_ns: u64) {
    while host.kernel.vm(vm).expect("it lives").counters.cpu_ns < cpu_ns {
        let now = host.machine.now();
        let Next::Run { vm: runs, .. } = host.kernel.next(now, &mut host.machine) else {
            panic!("nobody is ready");
        };
        host.machine.advance(5_000_000);
        host.kernel
            .handle(runs, Exit::Interrupted, &mut host.machine);
    }
}

#[test]
fn one_that_never_waits_gets_its_frames_once_it_has_run_for_a_while() {
    let (mut host, image) = host();
    let vm = host.create(&dormant(image, 7)).expect("room");
    host.machine.arrive(&frame_for(7));
    until_ready(&mut host, vm);
    post(&mut host, vm);
    let mut frames_after = |cpu_ns| {
        compute(&mut host, vm, cpu_ns);
        // However busy the host is, and long ago its beginning.
        host.machine.advance(60_000_000_000);
        host.machine.arrive(&frame_for(7));
        while let Some(event) = host.machine.poll_event() {
            host.kernel.deliver(event, &mut host.machine);
        }
        host.kernel.vm(vm).expect("it lives").counters.rx_frames
    };
    assert_eq!(frames_after(100_000_000), 0);
    assert_eq!(frames_after(600_000_000), 3);
}

#[test]
fn one_that_never_ran_can_be_stopped_and_removed() {
    let (mut host, image) = host();
    let space = host.kernel.swap_space();
    let free = host.host_status().frames_free;
    let vm = host.create(&dormant(image, 1)).expect("room");
    assert_eq!(host.kernel.vm(vm).expect("it is there").space, NO_SPACE);
    let asked = [vm.raw(), host.machine.now().as_ns() + 1_000_000_000];
    host.control(Hypercall::VmStop, &asked).expect("it goes");
    assert_eq!(host.state(vm), Some(VmState::Ended));
    host.audit();
    host.control(Hypercall::VmDestroy, &[vm.raw()])
        .expect("it goes");
    host.control(Hypercall::ImageDestroy, &[image])
        .expect("nobody runs it");
    assert_eq!(host.kernel.swap_space(), space);
    assert!(host.host_status().frames_free >= free);
    host.audit();
}

#[test]
fn all_that_have_not_begun_share_the_arguments_of_their_image() {
    let (mut host, image) = host();
    let text = |number: u32| [number.to_le_bytes(), [b'x'; 4]].concat().repeat(300);
    let create = |host: &mut Host, number: u32, words: &[u8]| {
        let config = VmConfig {
            arguments_len: u32::try_from(words.len()).expect("short"),
            arguments: SCRATCH + PAGE_SIZE,
            ..dormant(image, number)
        };
        let supervisor = host.supervisor;
        assert!(host.write(supervisor, SCRATCH + PAGE_SIZE, words));
        host.create(&config)
    };
    let made: Vec<VmId> = (1..=1000)
        .map(|number| create(&mut host, number, &text(0)).expect("they are equal"))
        .collect();
    let other = create(&mut host, 1001, &text(1));
    assert_eq!(other, Err(Errno::OutOfMemory), "an image has one set");
    host.audit();
    for vm in made {
        host.control(Hypercall::VmStop, &[vm.raw(), 0])
            .expect("it goes");
    }
    create(&mut host, 1001, &text(1)).expect("nobody is left who begins with others");
    host.audit();
}

#[test]
fn without_disks_and_with_unknown_flags_the_answer_is_no() {
    let mut bare = Host::boot(1024, "");
    let image = bare.create_image().expect("there is room");
    assert_eq!(bare.create(&dormant(image, 1)), Err(Errno::Invalid));
    let (mut host, image) = host();
    let unknown = VmConfig {
        flags: !(vm_flags::DORMANT | vm_flags::FROZEN),
        ..Host::config(image, 1)
    };
    assert_eq!(host.create(&unknown), Err(Errno::Invalid));
}
