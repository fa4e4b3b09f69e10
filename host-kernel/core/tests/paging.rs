//! VMs that do not fit into memory: they leave whole, sleep for the price of their descriptor, and
//! come back as they were.

mod host;

use core::mem::offset_of;
use denali_abi::control::{VmConfig, VmState};
use denali_abi::convert::usize_to_u64;
use denali_abi::end::{EndReason, EndRecord};
use denali_abi::errno::Errno;
use denali_abi::hypercall::Hypercall;
use denali_abi::layout::{PAGE_SIZE, SHARED_ADDRESS};
use denali_abi::net::{Descriptor, RING_LEN};
use denali_abi::shared::{SharedPage, interrupt};
use denali_kernel_core::VmId;
use denali_kernel_core::machine::fake::DiskFault;
use denali_kernel_core::machine::{Machine, Position};
use denali_kernel_core::paging::{NO_SPACE, Residence};
use host::{DATA, Host, SCRATCH, network};
use zerocopy::IntoBytes;

/// The router's hardware address: somebody behind the wire.
const ROUTER: [u8; 6] = [0x52, 0x55, 10, 90, 0, 2];

/// Frames of the host: a few dozen VMs fit.
const FRAMES: u32 = 1024;

/// Turns of the kernel's loop in which everything must be done.
const TURNS_MAX: u32 = 20_000;

fn host() -> (Host, u64) {
    host_with("")
}

fn host_with(command_line: &str) -> (Host, u64) {
    let mut host = Host::boot_with_disks(FRAMES, command_line, 2, 1 << 20);
    host.machine.fake_disks().set_latency_ns(50_000, 2_000_000);
    let image = host.create_image().expect("there is room");
    (host, image)
}

fn secret(number: u32, page: u64) -> [u8; 16] {
    let mut secret = [0x5a; 16];
    secret[..4].copy_from_slice(&number.to_le_bytes());
    secret[8..].copy_from_slice(&page.to_le_bytes());
    secret
}

/// Where a guest keeps its pages of secrets, behind its receive buffers.
fn page_at(page: u64) -> u64 {
    SCRATCH + (RING_LEN as u64 + page) * PAGE_SIZE
}

/// Lets the loop turn until a VM is in a state; the supervisor idles meanwhile.
fn until(host: &mut Host, vm: VmId, states: &[VmState]) {
    for _ in 0..TURNS_MAX {
        if host.state(vm).is_some_and(|state| states.contains(&state)) {
            return;
        }
        host.turn();
    }
    let (vm, stats) = (host.kernel.vm(vm), host.kernel.paging_stats());
    panic!("for ever: {vm:?}, {stats:?}");
}

/// Lets the supervisor wait for an interrupt, so that the machine may idle.
fn rest_supervisor(host: &mut Host) {
    if host.state(host.supervisor) == Some(VmState::Ready) {
        let supervisor = host.supervisor;
        host.call(supervisor, Hypercall::IdleWithTimeout, &[u64::MAX]);
    }
}

fn wake_supervisor(host: &mut Host) {
    if host.state(host.supervisor) == Some(VmState::Idle) {
        host.call_number(host.supervisor, 0, &[]);
    }
}

/// Posts all receive buffers.
fn post(host: &mut Host, vm: VmId) {
    for index in 0..u64::from(RING_LEN) {
        let descriptor = Descriptor {
            address: SCRATCH + PAGE_SIZE * index,
            length: 2048,
            ..Descriptor::default()
        };
        let at = SHARED_ADDRESS + usize_to_u64(offset_of!(SharedPage, rx)) + index * 16;
        assert!(host.write(vm, at, descriptor.as_bytes()));
    }
    let posted = SHARED_ADDRESS + usize_to_u64(offset_of!(SharedPage, rx_posted));
    assert!(host.write(vm, posted, &RING_LEN.to_le_bytes()));
}

/// A VM with receive buffers and `pages` pages of secrets that waits for an interrupt.
fn sleeper(host: &mut Host, image: u64, number: u32, pages: u64) -> VmId {
    let vm = host.create_vm(image, number);
    until(host, vm, &[VmState::Ready]);
    post(host, vm);
    for page in 0..pages {
        write_patiently(host, vm, page_at(page), &secret(number, page));
    }
    host.call(vm, Hypercall::IdleWithTimeout, &[u64::MAX]);
    assert_eq!(host.state(vm), Some(VmState::Idle));
    vm
}

/// Writes as the guest does, however long it has to wait for memory.
fn write_patiently(host: &mut Host, vm: VmId, address: u64, bytes: &[u8]) {
    while !host.write(vm, address, bytes) {
        until(host, vm, &[VmState::Ready]);
    }
}

fn check_secrets(host: &mut Host, vm: VmId, number: u32, pages: u64) {
    for page in 0..pages {
        let mut found = [0; 16];
        while !host.read(vm, page_at(page), &mut found) {
            until(host, vm, &[VmState::Ready]);
        }
        assert_eq!(found, secret(number, page), "{vm}, page {page}");
    }
}

fn frame_for(number: u32) -> Vec<u8> {
    let mut frame = [network(number).mac, ROUTER].concat();
    frame.extend_from_slice(&[8, 0, 0x45, 0, 0, 28, 0, 0, 0, 0, 64, 253, 0, 0]);
    frame.extend_from_slice(&[10, 90, 0, 2]);
    frame.extend_from_slice(&network(number).address);
    frame.extend_from_slice(b"datagram");
    frame
}

fn arp_request(target: [u8; 4]) -> Vec<u8> {
    let mut frame = [[0xff; 6], ROUTER].concat();
    frame.extend_from_slice(&[8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
    frame.extend_from_slice(&ROUTER);
    frame.extend_from_slice(&[10, 90, 0, 2, 0, 0, 0, 0, 0, 0]);
    frame.extend_from_slice(&target);
    frame
}

fn end(host: &Host, vm: VmId) -> EndRecord {
    let vm = host.kernel.vm(vm).expect("the descriptor stays");
    vm.end.as_deref().expect("it ended").record
}

fn residence(host: &Host, vm: VmId) -> Option<Residence> {
    Some(host.kernel.vm(vm)?.swap?.residence)
}

/// Creates sleepers until `count` of the first ones are on swap; returns all.
fn crowd(host: &mut Host, image: u64, out: usize) -> Vec<VmId> {
    let mut vms = Vec::new();
    for number in 1..1000 {
        vms.push(sleeper(host, image, number, 4));
        for _ in 0..4 {
            host.kernel.work(&mut host.machine);
        }
        host.machine.advance(10_000_000);
        while let Some(event) = host.machine.poll_event() {
            host.kernel.deliver(event, &mut host.machine);
        }
        let sleeping = vms
            .iter()
            .filter(|&&vm| residence(host, vm) == Some(Residence::Out));
        if sleeping.count() >= out {
            return vms;
        }
    }
    panic!("memory for a thousand VMs");
}

fn first_out(host: &Host, vms: &[VmId]) -> (VmId, u32) {
    let mut numbered = vms.iter().copied().zip(1..);
    numbered
        .find(|&(vm, _)| residence(host, vm) == Some(Residence::Out))
        .expect("somebody sleeps")
}

#[test]
fn what_does_not_fit_sleeps_and_a_frame_wakes_it_as_it_was() {
    let (mut host, image) = host();
    let vms = crowd(&mut host, image, 20);
    host.audit();
    let (vm, number) = first_out(&host, &vms);
    let descriptor = host.kernel.vm(vm).expect("it exists");
    assert_eq!((descriptor.frames.count(), descriptor.space), (0, NO_SPACE));

    host.machine.arrive(&frame_for(number));
    until(&mut host, vm, &[VmState::Ready]);
    host.audit();
    let result = host.machine.take_result(host.space(vm));
    assert_eq!(result, Some(i64::from(interrupt::RECEIVE)));
    assert_eq!(host.kernel.vm(vm).expect("it exists").counters.rx_frames, 1);
    check_secrets(&mut host, vm, number, 4);
    let mut text = [0; 1];
    assert!(host.read(vm, DATA, &mut text) && text == *b"D");
}

#[test]
fn everybody_can_be_woken_one_after_the_other() {
    let (mut host, image) = host();
    let vms = crowd(&mut host, image, 60);
    rest_supervisor(&mut host);
    for round in 0..2 {
        for (&vm, number) in vms.iter().zip(1..) {
            host.machine.arrive(&frame_for(number));
            until(&mut host, vm, &[VmState::Ready]);
            check_secrets(&mut host, vm, number, 4);
            host.call(vm, Hypercall::IdleWithTimeout, &[u64::MAX]);
            until(&mut host, vm, &[VmState::Idle, VmState::Dormant]);
        }
        host.audit();
        let stats = host.kernel.paging_stats().expect("there are disks");
        assert!(stats.arrivals >= 60 * (round + 1), "{stats:?}");
    }
    wake_supervisor(&mut host);
}

/// A VM that printed a text and is on swap.
fn talker(host: &mut Host, image: u64, text: &[u8], position: Position) -> VmId {
    let vm = host.create_vm(image, 1);
    post(host, vm);
    write_patiently(host, vm, page_at(0), text);
    let written = usize_to_u64(text.len());
    host.call(vm, Hypercall::ConsoleWrite, &[page_at(0), written]);
    host.machine.set_position(host.space(vm), position);
    host.call(vm, Hypercall::IdleWithTimeout, &[u64::MAX]);
    for number in 2.. {
        if residence(host, vm) == Some(Residence::Out) {
            break;
        }
        sleeper(host, image, number, 4);
        host.turn();
    }
    vm
}

#[test]
fn registers_console_and_position_come_back() {
    let (mut host, image) = host();
    let text = b"I was here before\n";
    let written = usize_to_u64(text.len());
    let position = Position {
        rip: 0x11_1234,
        rsp: 0x2000_8000,
    };
    let vm = talker(&mut host, image, text, position);
    let read = [vm.raw(), 0, SCRATCH + 2048, 64];
    let asleep = host.control(Hypercall::ConsoleRead, &read);
    assert_eq!(asleep, Err(Errno::Busy), "it is called for its console");
    until(&mut host, vm, &[VmState::Idle]);
    assert_eq!(host.control(Hypercall::ConsoleRead, &read), Ok(written));
    let mut found = [0; 26];
    assert!(host.read(host.supervisor, SCRATCH + 2048, &mut found));
    assert_eq!(&found[8..], text);
    assert_eq!(host.machine.position(host.space(vm)), position);
    host.audit();
}

#[test]
fn a_sleeper_that_is_ended_has_no_console_and_nobody_waits_for_it() {
    let (mut host, image) = host();
    let vm = talker(&mut host, image, b"gone\n", Position::default());
    assert_eq!(host.control(Hypercall::VmStop, &[vm.raw()]), Ok(0));
    let read = [vm.raw(), 0, SCRATCH + 2048, 64];
    assert_eq!(host.control(Hypercall::ConsoleRead, &read), Ok(0));
    let mut position = [0; 8];
    assert!(host.read(host.supervisor, SCRATCH + 2048, &mut position));
    assert_eq!(u64::from_le_bytes(position), 5, "behind what it printed");
    host.audit();
}

#[test]
fn an_alarm_wakes_and_says_so() {
    let (mut host, image) = host();
    let vm = host.create_vm(image, 1);
    let deadline = host.machine.now().as_ns() + 60_000_000_000;
    host.call(vm, Hypercall::IdleWithTimeout, &[deadline]);
    for number in 2.. {
        if residence(&host, vm) == Some(Residence::Out) {
            break;
        }
        sleeper(&mut host, image, number, 4);
        host.turn();
    }
    host.audit();
    rest_supervisor(&mut host);
    until(&mut host, vm, &[VmState::Ready]);
    let now = host.machine.now().as_ns();
    assert!((deadline..deadline + 1_000_000_000).contains(&now), "{now}");
    let result = host.machine.take_result(host.space(vm));
    assert_eq!(result, Some(i64::from(interrupt::TIMER)));
    host.audit();
}

#[test]
fn arp_is_answered_for_sleepers_and_broadcasts_wake_nobody() {
    let (mut host, image) = host();
    let vms = crowd(&mut host, image, 20);
    let (vm, number) = first_out(&host, &vms);
    while host.machine.take_sent().is_some() {}
    host.machine.arrive(&arp_request(network(number).address));
    let mut broadcast = frame_for(number);
    broadcast[..6].fill(0xff);
    host.machine.arrive(&broadcast);
    while let Some(event) = host.machine.poll_event() {
        host.kernel.deliver(event, &mut host.machine);
    }
    let reply = host.machine.take_sent().expect("an answer");
    assert_eq!(
        (&reply[..6], &reply[6..12]),
        (&ROUTER[..], &network(number).mac[..])
    );
    assert_eq!(&reply[20..22], [0, 2], "a reply");
    assert_eq!(&reply[22..28], network(number).mac);
    assert_eq!(&reply[28..32], network(number).address);
    assert_eq!(&reply[38..42], [10, 90, 0, 2]);
    assert_eq!(residence(&host, vm), Some(Residence::Out));
    let stats = host.kernel.paging_stats().expect("there are disks");
    assert_eq!((stats.wakes, host.machine.take_sent()), (0, None));
}

#[test]
fn what_is_meant_for_all_reaches_those_in_memory() {
    let (mut host, image) = host();
    let vms = crowd(&mut host, image, 20);
    let (woken, number) = first_out(&host, &vms);
    host.machine.arrive(&frame_for(number));
    until(&mut host, woken, &[VmState::Ready]);
    let mut broadcast = frame_for(number);
    broadcast[..6].fill(0xff);
    host.machine.arrive(&broadcast);
    while let Some(event) = host.machine.poll_event() {
        host.kernel.deliver(event, &mut host.machine);
    }
    for vm in vms {
        let heard = host.kernel.vm(vm).expect("it exists").counters.rx_frames;
        let is_in = residence(&host, vm) == Some(Residence::In);
        assert_eq!(heard, u64::from(is_in) + u64::from(vm == woken), "{vm}");
    }
}

#[test]
fn pages_that_say_nothing_new_are_not_written() {
    let (mut host, image) = host();
    let vm = host.create_vm(image, 1);
    let mut byte = [0];
    // Eight pages of zeros, one like the image's, and one that is its own.
    for page in 0..8 {
        assert!(host.read(vm, page_at(page), &mut byte));
    }
    assert!(host.read(vm, DATA, &mut byte));
    write_patiently(&mut host, vm, page_at(9), b"own");
    host.call(vm, Hypercall::IdleWithTimeout, &[u64::MAX]);
    for number in 2.. {
        if residence(&host, vm) == Some(Residence::Out) {
            break;
        }
        sleeper(&mut host, image, number, 4);
        host.turn();
    }
    let swap = host.kernel.vm(vm).and_then(|vm| vm.swap).expect("paged");
    assert_eq!(swap.entries, 3, "context, registers and one page");
}

#[test]
fn a_disk_that_lies_ends_one_vm_and_nobody_else() {
    for fault in [DiskFault::Flip, DiskFault::Misdirected] {
        let (mut host, image) = host();
        let vms = crowd(&mut host, image, 20);
        let (vm, number) = first_out(&host, &vms);
        host.machine.fake_disks().inject(fault);
        host.machine.arrive(&frame_for(number));
        until(&mut host, vm, &[VmState::Ended]);
        let end = end(&host, vm);
        assert_eq!(end.reason, EndReason::SwapCorrupt.code(), "{fault:?}");
        host.audit();
        let others = vms.iter().filter(|&&other| other != vm);
        let alive = |other: &VmId| host.state(*other) != Some(VmState::Ended);
        assert!(others.copied().all(|other| alive(&other)));
    }
}

#[test]
fn a_torn_or_lost_write_is_noticed_when_it_is_read() {
    for fault in [DiskFault::Torn, DiskFault::Stale] {
        let (mut host, image) = host();
        let vms = crowd(&mut host, image, 20);
        let (vm, number) = first_out(&host, &vms);
        // Once in and out again over its old blocks, this time badly.
        host.machine.arrive(&frame_for(number));
        until(&mut host, vm, &[VmState::Ready]);
        write_patiently(&mut host, vm, page_at(0), b"changed");
        host.call(vm, Hypercall::IdleWithTimeout, &[u64::MAX]);
        rest_supervisor(&mut host);
        let mut turns = 0;
        while residence(&host, vm) == Some(Residence::In) {
            let other = 1 + turns / 10 % u32::try_from(vms.len()).expect("few");
            if turns % 10 == 0 && other != number {
                host.machine.arrive(&frame_for(other));
            }
            host.turn();
            turns += 1;
        }
        host.machine.fake_disks().set_odds(fault, 1);
        while residence(&host, vm) != Some(Residence::Out) {
            host.turn();
        }
        host.machine.fake_disks().set_odds(fault, 0);
        host.machine.arrive(&frame_for(number));
        until(&mut host, vm, &[VmState::Ended]);
        let end = end(&host, vm);
        assert_eq!(end.reason, EndReason::SwapCorrupt.code(), "{fault:?}");
        host.audit();
    }
}

#[test]
fn a_failed_write_goes_elsewhere_and_a_failed_read_is_tried_again() {
    let (mut host, image) = host();
    for _ in 0..3 {
        host.machine.fake_disks().inject(DiskFault::Error);
    }
    let vms = crowd(&mut host, image, 20);
    let stats = host.kernel.paging_stats().expect("there are disks");
    assert_eq!(stats.disk_errors, 3);
    assert!(stats.blocks_retired > 0);
    let (vm, number) = first_out(&host, &vms);
    host.machine.fake_disks().inject(DiskFault::Error);
    host.machine.arrive(&frame_for(number));
    until(&mut host, vm, &[VmState::Ready]);
    check_secrets(&mut host, vm, number, 4);
    host.audit();
    assert!(vms.iter().all(|&vm| host.state(vm) != Some(VmState::Ended)));
}

#[test]
fn a_disk_that_is_gone_ends_who_needs_it() {
    let (mut host, image) = host();
    let vms = crowd(&mut host, image, 20);
    let (vm, number) = first_out(&host, &vms);
    host.machine.fake_disks().set_odds(DiskFault::Error, 1);
    host.machine.arrive(&frame_for(number));
    until(&mut host, vm, &[VmState::Ended]);
    let end = end(&host, vm);
    assert_eq!(end.reason, EndReason::DiskError.code());
    host.audit();
}

#[test]
fn stopping_gives_everything_back_wherever_a_vm_is() {
    let (mut host, image) = host();
    let before = host.kernel.frames().free();
    let space = host.kernel.swap_space();
    let vms = crowd(&mut host, image, 30);
    // Some on their way in, some on their way out, some out, some in.
    for number in 1..20 {
        host.machine.arrive(&frame_for(number));
        while let Some(event) = host.machine.poll_event() {
            host.kernel.deliver(event, &mut host.machine);
        }
        host.kernel.work(&mut host.machine);
    }
    let mut seen = Vec::new();
    for &vm in &vms {
        seen.extend(residence(&host, vm));
        host.control(Hypercall::VmStop, &[vm.raw()])
            .expect("it exists");
        host.control(Hypercall::VmDestroy, &[vm.raw()])
            .expect("it ended");
    }
    assert!(seen.contains(&Residence::Entering) && seen.contains(&Residence::Out));
    for _ in 0..200 {
        host.turn();
    }
    host.audit();
    assert_eq!(host.kernel.swap_space(), space);
    // The supervisor has touched its scratch memory meanwhile.
    assert!(host.kernel.frames().free() + 8 >= before);
}

#[test]
fn full_swap_is_an_answer_and_recovers() {
    let mut host = Host::boot_with_disks(FRAMES, "", 1, 1024);
    let image = host.create_image().expect("there is room");
    let mut vms = Vec::new();
    let refused = loop {
        let number = u32::try_from(vms.len()).expect("few") + 1;
        match host.create(&Host::config(image, number)) {
            Ok(vm) => vms.push(vm),
            Err(errno) => break errno,
        }
    };
    assert_eq!((refused, vms.len()), (Errno::OutOfMemory, 15));
    assert_eq!(
        host.kernel
            .paging_stats()
            .expect("there are disks")
            .swap_full,
        1
    );
    let last = vms.pop().expect("some");
    host.control(Hypercall::VmStop, &[last.raw()])
        .expect("it exists");
    assert!(host.create(&Host::config(image, 99)).is_ok());
    host.audit();
}

#[test]
fn a_service_that_never_ran_costs_its_descriptor_and_starts_on_its_first_frame() {
    let (mut host, image) = host();
    // Busy VMs fill memory, so that newcomers wait.
    let config = |number| VmConfig {
        memory_pages: 800,
        ..Host::config(image, number)
    };
    let busy = host.create(&config(900)).expect("there is room");
    for page in 0..700 {
        write_patiently(&mut host, busy, page_at(page), b"busy");
    }
    let vms: Vec<VmId> = (1..200)
        .map(|number| host.create_vm(image, number))
        .collect();
    for _ in 0..3000 {
        host.kernel.work(&mut host.machine);
        host.machine.advance(100_000);
        while let Some(event) = host.machine.poll_event() {
            host.kernel.deliver(event, &mut host.machine);
        }
    }
    host.audit();
    let out = vms
        .iter()
        .filter(|&&vm| residence(&host, vm) == Some(Residence::Out))
        .count();
    assert!(out > 150, "{out}");
    let vm = first_out(&host, &vms).0;
    assert_eq!(host.kernel.vm(vm).expect("it exists").frames.count(), 0);
    host.control(Hypercall::VmStop, &[busy.raw()])
        .expect("it exists");
    until(&mut host, vm, &[VmState::Ready]);
    let mut registers = [0; 8];
    assert!(host.read(
        vm,
        denali_abi::layout::REGISTERS_ADDRESS + 8,
        &mut registers
    ));
    assert_eq!(u64::from_le_bytes(registers), vm.raw());
    host.audit();
}

#[test]
fn a_vm_that_wants_memory_waits_for_it() {
    let (mut host, image) = host();
    let config = |number| VmConfig {
        memory_pages: 600,
        ..Host::config(image, number)
    };
    let greedy = [1, 2, 3].map(|number| host.create(&config(number)).expect("there is room"));
    for half in [0..250, 250..550] {
        for (vm, number) in greedy.into_iter().zip(1..) {
            until(&mut host, vm, &[VmState::Ready]);
            for page in half.clone() {
                write_patiently(&mut host, vm, page_at(page), &secret(number, page));
            }
        }
    }
    let stats = host.kernel.paging_stats().expect("there are disks");
    assert!(stats.stalls > 0 && stats.departures > 0, "{stats:?}");
    for (vm, number) in greedy.into_iter().zip(1..) {
        until(&mut host, vm, &[VmState::Ready]);
        check_secrets(&mut host, vm, number, 550);
    }
    host.audit();
}

/// A VM of which some pages are on swap while it is in memory, and the others that made it so.
fn trimmed(host: &mut Host, image: u64) -> VmId {
    let config = |number| VmConfig {
        memory_pages: 600,
        ..Host::config(image, number)
    };
    let [vm, other] = [1, 2].map(|number| host.create(&config(number)).expect("there is room"));
    for (number, vm) in [(1, vm), (2, other)] {
        for page in 0..450 {
            write_patiently(host, vm, page_at(page), &secret(number, page));
            // It works with what it has for a while.
            for _ in 0..3 {
                host.turn();
            }
            until(host, vm, &[VmState::Ready]);
        }
    }
    until(host, vm, &[VmState::Ready]);
    vm
}

fn page_outs(host: &Host) -> u64 {
    host.kernel
        .paging_stats()
        .expect("there are disks")
        .page_outs
}

#[test]
fn single_pages_of_a_busy_vm_go_and_come_back() {
    for line in ["", "replacement=clock", "cluster=4", "cluster=64"] {
        let (mut host, image) = host_with(line);
        let vm = trimmed(&mut host, image);
        assert!(page_outs(&host) > 0, "{line}");
        host.audit();
        check_secrets(&mut host, vm, 1, 450);
        let stats = host.kernel.paging_stats().expect("there are disks");
        assert!(stats.faults > 0 && stats.page_ins > 0, "{line}: {stats:?}");
        host.audit();
    }
}

#[test]
fn a_cluster_is_read_ahead() {
    let ins_per_fault = |line| {
        let (mut host, image) = host_with(line);
        let vm = trimmed(&mut host, image);
        check_secrets(&mut host, vm, 1, 450);
        let stats = host.kernel.paging_stats().expect("there are disks");
        stats.page_ins as f64 / stats.faults as f64
    };
    let (one, many) = (ins_per_fault("cluster=4"), ins_per_fault("cluster=64"));
    assert!(one < 1.1 && many > 3.0, "{one} {many}");
}

#[test]
fn without_working_sets_a_vm_comes_back_by_its_faults() {
    let (mut host, image) = host_with("working-set=off");
    let vms = crowd(&mut host, image, 20);
    let (vm, number) = first_out(&host, &vms);
    let before = host
        .kernel
        .paging_stats()
        .expect("there are disks")
        .blocks_read;
    host.machine.arrive(&frame_for(number));
    until(&mut host, vm, &[VmState::Ready]);
    check_secrets(&mut host, vm, number, 4);
    // The frame that woke it waited for the page of its buffer.
    for _ in 0..1000 {
        host.turn();
    }
    let descriptor = host.kernel.vm(vm).expect("it exists");
    assert_eq!(descriptor.counters.rx_frames, 1);
    let stats = host.kernel.paging_stats().expect("there are disks");
    assert!(stats.faults > 0 && stats.page_ins > 0 && stats.blocks_read > before);
    host.audit();
}

#[test]
fn a_disk_that_lies_about_one_page_ends_one_vm() {
    for fault in [DiskFault::Flip, DiskFault::Misdirected, DiskFault::Error] {
        let (mut host, image) = host();
        let vm = trimmed(&mut host, image);
        host.machine.fake_disks().set_odds(fault, 1);
        for page in 0..450 {
            let mut found = [0; 16];
            let mut turns = 0;
            while host.state(vm) != Some(VmState::Ended)
                && !host.read(vm, page_at(page), &mut found)
            {
                host.turn();
                turns += 1;
                assert!(turns < TURNS_MAX, "{fault:?}: for ever");
            }
            if host.state(vm) == Some(VmState::Ended) {
                break;
            }
        }
        host.machine.fake_disks().set_odds(fault, 0);
        let expected = match fault {
            DiskFault::Error => EndReason::DiskError,
            _ => EndReason::SwapCorrupt,
        };
        assert_eq!(end(&host, vm).reason, expected.code(), "{fault:?}");
        for _ in 0..200 {
            host.turn();
        }
        host.audit();
    }
}

#[test]
fn a_page_written_badly_is_noticed_when_it_is_read() {
    for fault in [DiskFault::Torn, DiskFault::Stale] {
        let (mut host, image) = host();
        host.machine.fake_disks().set_odds(fault, 1);
        let vm = trimmed(&mut host, image);
        host.machine.fake_disks().set_odds(fault, 0);
        for page in 0..450 {
            let mut found = [0; 16];
            while host.state(vm) != Some(VmState::Ended)
                && !host.read(vm, page_at(page), &mut found)
            {
                host.turn();
            }
            if host.state(vm) == Some(VmState::Ended) {
                break;
            }
            assert_eq!(found, secret(1, page), "{fault:?}, page {page}");
        }
        assert_eq!(end(&host, vm).reason, EndReason::SwapCorrupt.code());
        host.audit();
    }
}

#[test]
fn pages_given_up_while_they_are_on_swap_are_zero_again() {
    let (mut host, image) = host();
    let vm = trimmed(&mut host, image);
    let pages = [page_at(0), 450];
    loop {
        until(&mut host, vm, &[VmState::Ready]);
        if host.call(vm, Hypercall::ReleaseMemory, &pages).is_some() {
            break;
        }
    }
    let mut found = [1; 16];
    for page in (0..450).step_by(7) {
        while !host.read(vm, page_at(page), &mut found) {
            until(&mut host, vm, &[VmState::Ready]);
        }
        assert_eq!(found, [0; 16]);
    }
    host.audit();
}

#[test]
fn a_call_that_names_a_page_on_swap_is_made_again() {
    let (mut host, image) = host();
    let vm = trimmed(&mut host, image);
    let mut waited = 0;
    for page in 0..450 {
        loop {
            until(&mut host, vm, &[VmState::Ready]);
            if host
                .call(vm, Hypercall::ConsoleWrite, &[page_at(page), 16])
                .is_some()
            {
                break;
            }
            assert_ne!(host.state(vm), Some(VmState::Ended));
            waited += 1;
        }
    }
    assert!(waited > 0, "everything was in memory");
    let written = host
        .kernel
        .vm(vm)
        .expect("it exists")
        .counters
        .console_written;
    assert_eq!(written, 450 * 16, "nothing twice");
    host.audit();
}

#[test]
fn what_is_done_between_two_turns_does_not_grow_with_the_busy_vms() {
    for line in ["", "replacement=clock"] {
        let (mut host, image) = host_with(line);
        // They are busy and get no CPU time, as when the kernel has all of it.
        for number in 1..=20 {
            let vm = host.create_vm(image, number);
            for page in 0..35 {
                write_patiently(&mut host, vm, page_at(page), &secret(number, page));
            }
        }
        let mut taken = host.machine.marks_taken();
        for _ in 0..200 {
            host.machine.advance(50_000_000);
            while let Some(event) = host.machine.poll_event() {
                host.kernel.deliver(event, &mut host.machine);
            }
            host.kernel.work(&mut host.machine);
            let looked_at = host.machine.marks_taken() - taken;
            assert!(looked_at < 1000, "{line}: {looked_at} pages in one go");
            taken += looked_at;
        }
        for _ in 0..100 {
            host.machine.advance(50_000_000);
            host.kernel.work(&mut host.machine);
        }
        let again = host.machine.marks_taken() - taken;
        assert_eq!(again, 0, "{line}: nobody has run, so nothing is new");
    }
}
