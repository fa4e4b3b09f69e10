//! Frames between VMs, the wire and the supervisor, and who is woken by them.

mod host;

use core::mem::offset_of;
use denali_abi::control::VmState;
use denali_abi::convert::usize_to_u64;
use denali_abi::end::EndReason;
use denali_abi::hypercall::Hypercall;
use denali_abi::layout::{PAGE_SIZE, SHARED_ADDRESS};
use denali_abi::net::{Descriptor, RING_LEN, addressing};
use denali_abi::shared::{SharedPage, interrupt};
use denali_kernel_core::VmId;
use denali_kernel_core::kernel::Handled;
use denali_kernel_core::machine::disk::Writable;
use denali_kernel_core::machine::fake::FakeMachine;
use denali_kernel_core::machine::{Event, Exit, Machine};
use host::{Host, SCRATCH, network};
use zerocopy::IntoBytes;

/// The router's hardware address: somebody behind the wire.
const ROUTER: [u8; 6] = [0x52, 0x55, 10, 90, 0, 2];

const BROADCAST: [u8; 6] = [0xff; 6];

fn host() -> (Host, u64) {
    let mut host = Host::boot(2048, "");
    let image = host.create_image().expect("there is room");
    (host, image)
}

/// An IPv4 frame with an unassigned protocol.
fn frame(destination: [u8; 6], source: [u8; 6], address: [u8; 4]) -> Vec<u8> {
    let mut frame = [destination, source].concat();
    frame.extend_from_slice(&[8, 0, 0x45, 0, 0, 28, 0, 0, 0, 0, 64, 253, 0, 0]);
    frame.extend_from_slice(&address);
    frame.extend_from_slice(&[10, 90, 0, 2]);
    frame.extend_from_slice(b"datagram");
    frame
}

/// A frame from the VM number `number`.
fn frame_from(number: u32, destination: [u8; 6]) -> Vec<u8> {
    frame(destination, network(number).mac, network(number).address)
}

/// An ARP request from the router.
fn arp_request(target: [u8; 4]) -> Vec<u8> {
    let mut frame = [BROADCAST, ROUTER].concat();
    frame.extend_from_slice(&[8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
    frame.extend_from_slice(&ROUTER);
    frame.extend_from_slice(&[10, 90, 0, 2, 0, 0, 0, 0, 0, 0]);
    frame.extend_from_slice(&target);
    frame
}

fn shared(offset: usize) -> u64 {
    SHARED_ADDRESS + usize_to_u64(offset)
}

/// Puts `frames` into the transmit ring from slot `first` on, without crossing.
fn fill_ring(host: &mut Host, vm: VmId, first: u32, frames: &[Vec<u8>]) {
    let mut index = first;
    for frame in frames {
        let slot = u64::from(index % RING_LEN);
        let address = SCRATCH + slot * 64;
        assert!(frame.len() <= 64);
        let length = u32::try_from(frame.len()).expect("short");
        let descriptor = Descriptor {
            address,
            length,
            ..Descriptor::default()
        };
        host.write(vm, address, frame);
        host.write(
            vm,
            shared(offset_of!(SharedPage, tx)) + slot * 16,
            descriptor.as_bytes(),
        );
        index += 1;
    }
    host.write(
        vm,
        shared(offset_of!(SharedPage, tx_produced)),
        &index.to_le_bytes(),
    );
}

/// Posts `count` receive buffers of a page each.
fn post(host: &mut Host, vm: VmId, count: u32) {
    for index in 0..count {
        let address = SCRATCH + PAGE_SIZE * (2 + u64::from(index));
        let descriptor = Descriptor {
            address,
            length: 2048,
            ..Descriptor::default()
        };
        let at = shared(offset_of!(SharedPage, rx)) + u64::from(index) * 16;
        host.write(vm, at, descriptor.as_bytes());
    }
    host.write(
        vm,
        shared(offset_of!(SharedPage, rx_posted)),
        &count.to_le_bytes(),
    );
}

fn received(host: &Host, vm: VmId) -> u64 {
    host.kernel.vm(vm).expect("it exists").counters.rx_frames
}

fn sleep(host: &mut Host, vm: VmId) {
    assert_eq!(host.call(vm, Hypercall::IdleWithTimeout, &[u64::MAX]), None);
    assert_eq!(host.state(vm), Some(VmState::Idle));
}

fn arrive(host: &mut Host, frame: &[u8]) {
    host.machine.arrive(frame);
    while let Some(event) = host.machine.poll_event() {
        host.kernel.deliver(event, &mut host.machine);
    }
}

#[test]
fn a_frame_wakes_the_vm_it_is_for_and_no_other() {
    let (mut host, image) = host();
    let vms = [1, 2, 3].map(|number| host.create_vm(image, number));
    for vm in vms {
        post(&mut host, vm, 4);
        sleep(&mut host, vm);
    }
    let sent = frame(network(2).mac, ROUTER, [10, 90, 0, 2]);
    arrive(&mut host, &sent);
    assert_eq!(
        vms.map(|vm| host.state(vm)),
        [VmState::Idle, VmState::Ready, VmState::Idle].map(Some)
    );
    let space = host.space(vms[1]);
    assert_eq!(
        host.machine.take_result(space),
        Some(i64::from(interrupt::RECEIVE))
    );
    let mut bytes = vec![0; sent.len()];
    host.read(vms[1], SCRATCH + 2 * PAGE_SIZE, &mut bytes);
    assert_eq!(bytes, sent);
    host.audit();
}

#[test]
fn going_idle_sends_first() {
    let (mut host, image) = host();
    let vm = host.create_vm(image, 1);
    let sent = frame_from(1, ROUTER);
    fill_ring(&mut host, vm, 0, core::slice::from_ref(&sent));
    sleep(&mut host, vm);
    assert_eq!(host.machine.take_sent(), Some(sent));
    assert_eq!(host.kernel.stats().nic_tx_frames, 1);
}

#[test]
fn vms_reach_each_other_without_the_wire() {
    let (mut host, image) = host();
    let sender = host.create_vm(image, 1);
    let receiver = host.create_vm(image, 2);
    post(&mut host, receiver, 1);
    sleep(&mut host, receiver);
    fill_ring(
        &mut host,
        sender,
        0,
        &[frame_from(1, network(2).mac), frame_from(1, network(2).mac)],
    );
    assert_eq!(host.call(sender, Hypercall::NetworkNotify, &[]), Some(0));
    assert_eq!(host.state(receiver), Some(VmState::Ready));
    assert_eq!(host.machine.take_sent(), None);
    let counters = host.kernel.vm(receiver).expect("it exists").counters;
    assert_eq!(
        (counters.rx_frames, counters.rx_dropped),
        (1, 1),
        "one buffer was posted"
    );
}

#[test]
fn a_forged_source_is_not_sent() {
    let (mut host, image) = host();
    let vm = host.create_vm(image, 1);
    let forged = [
        frame(ROUTER, network(2).mac, network(1).address),
        frame(ROUTER, network(1).mac, network(2).address),
        b"short".to_vec(),
    ];
    fill_ring(&mut host, vm, 0, &forged);
    assert_eq!(host.call(vm, Hypercall::NetworkNotify, &[]), Some(0));
    assert_eq!(host.machine.take_sent(), None);
    assert_eq!(host.status(vm).expect("it exists").tx_refused, 3);
}

/// A DHCP message between a client and the server behind the wire (RFC 2131 §2).
fn dhcp(to: [u8; 6], from: [u8; 6], ports: [u8; 2], op: u8, kind: u8, yours: [u8; 4]) -> Vec<u8> {
    let client = if op == 1 { from } else { to };
    let mut message = vec![0; 240];
    message[..3].copy_from_slice(&[op, 1, 6]);
    message[16..20].copy_from_slice(&yours);
    message[28..34].copy_from_slice(&client);
    message[236..240].copy_from_slice(&[99, 130, 83, 99]);
    message.extend([53, 1, kind, 255]);
    let length = |more: usize| {
        u16::try_from(message.len() + more)
            .expect("short")
            .to_be_bytes()
    };
    let (addresses, destination) = match op {
        1 => ([[0; 4], [255; 4]], BROADCAST),
        _ => ([[10, 90, 0, 2], yours], to),
    };
    let mut frame = [destination, from].concat();
    frame.extend_from_slice(&[8, 0, 0x45, 0]);
    frame.extend_from_slice(&length(28));
    frame.extend_from_slice(&[0, 0, 0, 0, 64, 17, 0, 0]);
    frame.extend_from_slice(addresses.as_flattened());
    frame.extend_from_slice(&[0, ports[0], 0, ports[1]]);
    frame.extend_from_slice(&length(8));
    frame.extend_from_slice(&[0, 0]);
    frame.extend_from_slice(&message);
    frame
}

#[test]
fn the_status_shows_the_address_a_dhcp_server_gave() {
    const REQUEST: u8 = 3;
    const ACKNOWLEDGE: u8 = 5;
    let (mut host, image) = host();
    let mut config = Host::config(image, 1);
    config.network.addressing = addressing::DHCP;
    config.network.address = [0; 4];
    let vm = host.create(&config).expect("there is room");
    let mac = config.network.mac;
    let request = dhcp(ROUTER, mac, [68, 67], 1, REQUEST, [0; 4]);
    let descriptor = Descriptor {
        address: SCRATCH,
        length: u32::try_from(request.len()).expect("short"),
        ..Descriptor::default()
    };
    host.write(vm, SCRATCH, &request);
    host.write(
        vm,
        shared(offset_of!(SharedPage, tx)),
        descriptor.as_bytes(),
    );
    host.write(
        vm,
        shared(offset_of!(SharedPage, tx_produced)),
        &1_u32.to_le_bytes(),
    );
    assert_eq!(host.call(vm, Hypercall::NetworkNotify, &[]), Some(0));
    assert_eq!(
        host.status(vm).map(|status| status.network.address),
        Ok([0; 4])
    );
    let address = [10, 90, 0, 100];
    arrive(
        &mut host,
        &dhcp(mac, ROUTER, [67, 68], 2, ACKNOWLEDGE, address),
    );
    assert_eq!(
        host.status(vm).map(|status| status.network.address),
        Ok(address)
    );
}

#[test]
fn a_full_nic_leaves_frames_in_the_ring() {
    let (mut host, image) = host();
    let vm = host.create_vm(image, 1);
    let frames: Vec<_> = (0..5).map(|_| frame_from(1, ROUTER)).collect();
    fill_ring(&mut host, vm, 0, &frames);
    host.machine.set_transmit_room(2);
    sleep(&mut host, vm);
    assert_eq!(host.kernel.stats().nic_tx_frames, 2);
    host.machine.set_transmit_room(2);
    let event = host.machine.poll_event().expect("there is room");
    host.kernel.deliver(event, &mut host.machine);
    assert_eq!(host.kernel.stats().nic_tx_frames, 4);
    host.machine.set_transmit_room(100);
    let event = host.machine.poll_event().expect("there is room");
    host.kernel.deliver(event, &mut host.machine);
    assert_eq!(host.kernel.stats().nic_tx_frames, 5);
    host.audit();
}

#[test]
fn a_ring_that_was_full_brings_a_transmit_interrupt() {
    let (mut host, image) = host();
    let vm = host.create_vm(image, 1);
    let frames: Vec<_> = (0..RING_LEN).map(|_| frame_from(1, ROUTER)).collect();
    fill_ring(&mut host, vm, 0, &frames);
    let mut seen = 0;
    for _ in 0..4 {
        let result = host.call(vm, Hypercall::IdleWithTimeout, &[u64::MAX]);
        let Some(mask) = result else { break };
        seen |= mask;
    }
    assert_eq!(seen, i64::from(interrupt::TRANSMIT));
    assert_eq!(
        host.state(vm),
        Some(VmState::Idle),
        "it waits only when all is sent"
    );
    assert_eq!(host.kernel.stats().nic_tx_frames, u64::from(RING_LEN));
}

#[test]
fn a_ring_that_lies_ends_its_owner() {
    let (mut host, image) = host();
    let vm = host.create_vm(image, 1);
    let peer = host.create_vm(image, 2);
    host.write(
        vm,
        shared(offset_of!(SharedPage, tx_produced)),
        &1000_u32.to_le_bytes(),
    );
    assert_eq!(host.call(vm, Hypercall::NetworkNotify, &[]), None);
    host.write(
        peer,
        shared(offset_of!(SharedPage, rx_posted)),
        &1000_u32.to_le_bytes(),
    );
    sleep(&mut host, peer);
    arrive(&mut host, &frame(network(2).mac, ROUTER, [10, 90, 0, 2]));
    for vm in [vm, peer] {
        let end = host.status(vm).expect("it is not destroyed").end;
        assert_eq!(
            EndReason::from_code(end.reason),
            Some(EndReason::RingViolation)
        );
    }
    host.audit();
}

#[test]
fn a_broadcast_reaches_everybody_with_a_buffer() {
    let (mut host, image) = host();
    let vms = [1, 2, 3].map(|number| host.create_vm(image, number));
    post(&mut host, vms[1], 2);
    post(&mut host, vms[2], 2);
    fill_ring(&mut host, vms[0], 0, &[frame_from(1, BROADCAST)]);
    host.call(vms[0], Hypercall::NetworkNotify, &[]);
    assert_eq!(vms.map(|vm| received(&host, vm)), [0, 1, 1]);
    assert!(host.machine.take_sent().is_some(), "the wire hears it, too");
}

#[test]
fn the_supervisor_says_who_it_is_by_its_first_frame() {
    let (mut host, image) = host();
    let (supervisor, mac) = (host.supervisor, host.machine.nic_mac());
    let vm = host.create_vm(image, 1);
    post(&mut host, supervisor, 8);
    post(&mut host, vm, 8);
    arrive(&mut host, &arp_request([10, 90, 0, 15]));
    assert_eq!(received(&host, supervisor), 1, "the question may be for it");
    fill_ring(
        &mut host,
        supervisor,
        0,
        &[frame(ROUTER, mac, [10, 90, 0, 15])],
    );
    assert_eq!(host.control(Hypercall::NetworkNotify, &[]), Ok(0));
    assert!(host.machine.take_sent().is_some());
    arrive(&mut host, &arp_request([10, 90, 0, 99]));
    assert_eq!(
        received(&host, supervisor),
        1,
        "now others' questions are not"
    );
    arrive(&mut host, &arp_request([10, 90, 0, 15]));
    assert_eq!(received(&host, supervisor), 2);
    fill_ring(
        &mut host,
        supervisor,
        1,
        &[frame(ROUTER, mac, network(1).address)],
    );
    host.control(Hypercall::NetworkNotify, &[])
        .expect("it is the frame that is refused");
    assert_eq!(host.machine.take_sent(), None);
    assert_eq!(received(&host, vm), 0);
    host.audit();
}

#[test]
fn the_supervisor_cannot_take_the_address_of_a_vm() {
    let (mut host, image) = host();
    let (supervisor, mac) = (host.supervisor, host.machine.nic_mac());
    host.create_vm(image, 1);
    let own = frame(ROUTER, mac, [10, 90, 0, 15]);
    fill_ring(
        &mut host,
        supervisor,
        0,
        &[frame(ROUTER, mac, network(1).address), own.clone()],
    );
    host.control(Hypercall::NetworkNotify, &[])
        .expect("it is the frame that is refused");
    assert_eq!(host.machine.take_sent(), Some(own));
    assert_eq!(host.machine.take_sent(), None);
}

#[test]
fn an_event_takes_a_bounded_number_of_frames() {
    let (mut host, _) = host();
    for _ in 0..1000 {
        host.machine
            .arrive(&frame([2, 1, 1, 1, 1, 1], ROUTER, [10, 90, 0, 2]));
    }
    host.kernel.deliver(Event::NicReceive, &mut host.machine);
    let stats = host.kernel.stats();
    let batch = u64::from(RING_LEN) / 2;
    assert_eq!((stats.nic_rx_frames, stats.nic_dropped), (batch, batch));
    assert_eq!(
        host.machine.poll_event(),
        Some(Event::NicReceive),
        "the rest is not forgotten"
    );
}

#[test]
fn one_crossing_sends_to_all_once() {
    let (mut host, image) = host();
    let vm = host.create_vm(image, 1);
    let other = host.create_vm(image, 2);
    post(&mut host, other, 8);
    fill_ring(&mut host, vm, 0, &vec![frame_from(1, BROADCAST); 3]);
    for sent in 1..=3 {
        let result = host.call(vm, Hypercall::IdleWithTimeout, &[u64::MAX]);
        let rest = Some(i64::from(interrupt::TRANSMIT));
        assert!(
            result == rest || sent == 3,
            "{result:?}: it is told of the rest"
        );
        assert_eq!(received(&host, other), sent);
    }
    arrive(&mut host, &frame(BROADCAST, ROUTER, [10, 90, 0, 2]));
    assert_eq!(received(&host, other), 4);
}

#[test]
fn a_frame_that_comes_before_the_deadline_cancels_the_alarm() {
    let (mut host, image) = host();
    let vm = host.create_vm(image, 1);
    let deadline = host.machine.now().plus_ns(1_000_000);
    let sent = frame(network(1).mac, ROUTER, [10, 90, 0, 2]);
    post(&mut host, vm, 2);
    for (pause_ns, expected) in [
        (10, interrupt::RECEIVE),
        (1_000_000, interrupt::RECEIVE | interrupt::TIMER),
    ] {
        assert_eq!(
            host.call(vm, Hypercall::IdleWithTimeout, &[deadline.as_ns()]),
            None
        );
        host.machine.advance(pause_ns);
        arrive(&mut host, &sent);
        let space = host.space(vm);
        assert_eq!(host.machine.take_result(space), Some(i64::from(expected)));
        host.audit();
    }
}

#[test]
fn a_frame_that_wakes_somebody_is_a_reason_to_decide_anew() {
    let (mut host, image) = host();
    let (sender, receiver) = (host.create_vm(image, 1), host.create_vm(image, 2));
    post(&mut host, receiver, 2);
    sleep(&mut host, receiver);
    fill_ring(&mut host, sender, 0, &[frame_from(1, network(2).mac)]);
    host.next();
    while host.kernel.take_trace().is_some() {}
    let mut notify = || {
        let exit = Exit::Hypercall {
            number: Hypercall::NetworkNotify.number(),
            arguments: [0; 6],
        };
        host.next();
        let (kernel, machine) = (&mut host.kernel, &mut host.machine);
        kernel.handle_or_resume(sender, exit, machine)
    };
    assert_eq!(notify(), Handled::Decide);
    assert_eq!(notify(), Handled::Resume, "nothing was left to send");
    assert_eq!(host.state(receiver), Some(VmState::Ready));
}

#[test]
fn a_frame_that_arrives_while_the_host_boots_does_not_silence_the_nic() {
    let mut machine = FakeMachine::new(512);
    machine.fake_disks().add(4096, Writable::Yes);
    machine.fake_disks().set_latency_ns(20_000, 500_000);
    machine.arrive(&[0xff; 60]);
    let mut host = Host::boot_on(machine, 512, "", |_| {});
    host.machine.arrive(&[0xff; 60]);
    while let Some(event) = host.machine.poll_event() {
        host.kernel.deliver(event, &mut host.machine);
    }
    assert_eq!(host.kernel.stats().nic_rx_frames, 2);
}
