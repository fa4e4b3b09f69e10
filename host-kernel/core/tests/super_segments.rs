//! Super-segments and checksums that guests leave to others: to the wire and to each other.

mod host;

use core::mem::offset_of;
use denali_abi::control::VmState;
use denali_abi::convert::{u32_to_usize, usize_to_u64};
use denali_abi::end::EndReason;
use denali_abi::hypercall::Hypercall;
use denali_abi::layout::SHARED_ADDRESS;
use denali_abi::net::{Descriptor, RING_LEN, flags};
use denali_abi::shared::SharedPage;
use denali_kernel_core::VmId;
use denali_kernel_core::machine::{Event, Machine, Offload};
use host::{Host, SCRATCH, network};
use zerocopy::{FromZeros, IntoBytes};

const ROUTER: [u8; 6] = [0x52, 0x55, 10, 90, 0, 2];

const ALL: u16 = flags::CHECKSUM_PARTIAL | flags::SEGMENT_TCP4 | flags::SEGMENT_TCP6;

/// Headers of a TCP frame without options.
const HEADERS: usize = 54;

/// Payload of the super-segment, and of its segments.
const PAYLOAD: usize = 20_000;
const SIZE: u16 = 1460;

fn shared(offset: usize) -> u64 {
    SHARED_ADDRESS + usize_to_u64(offset)
}

/// Returns byte `nth` of the payload.
fn byte(nth: usize) -> u8 {
    u8::try_from(nth % 251).expect("below 251")
}

/// A TCP frame of the VM number 1, its lengths and checksums garbage.
fn super_segment(destination: [u8; 6]) -> Vec<u8> {
    let mut frame = [destination, network(1).mac].concat();
    frame.extend([8, 0, 0x45, 0, 0xff, 0xff, 0, 0, 0x40, 0, 64, 6, 1, 2]);
    frame.extend(network(1).address);
    frame.extend([10, 90, 0, 2]);
    frame.extend([
        0, 80, 0x9c, 0x40, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 0x18, 1, 0, 9, 9, 0, 0,
    ]);
    frame.extend((0..PAYLOAD).map(byte));
    frame
}

/// Sends one frame, cut into two descriptors, as the VM does when it idles.
fn send(host: &mut Host, vm: VmId, frame: &[u8], said: u16, segment_size: u16) {
    let middle = 10_000;
    host.write(vm, SCRATCH, frame);
    let length = |bytes: usize| u32::try_from(bytes).expect("short");
    let first = Descriptor {
        address: SCRATCH,
        length: length(middle),
        flags: said | flags::MORE,
        segment_size,
    };
    let second = Descriptor {
        address: SCRATCH + usize_to_u64(middle),
        length: length(frame.len() - middle),
        ..Descriptor::default()
    };
    let ring = shared(offset_of!(SharedPage, tx));
    host.write(vm, ring, first.as_bytes());
    host.write(vm, ring + 16, second.as_bytes());
    host.write(
        vm,
        shared(offset_of!(SharedPage, tx_produced)),
        &2_u32.to_le_bytes(),
    );
    host.call(vm, Hypercall::NetworkNotify, &[]);
}

/// Posts the whole ring of buffers of 1,520 bytes.
fn post(host: &mut Host, vm: VmId, accepts: u16) {
    for index in 0..RING_LEN {
        let descriptor = Descriptor {
            address: SCRATCH + 0x1_0000 + 1520 * u64::from(index),
            length: 1520,
            ..Descriptor::default()
        };
        let at = shared(offset_of!(SharedPage, rx)) + u64::from(index) * 16;
        host.write(vm, at, descriptor.as_bytes());
    }
    host.write(
        vm,
        shared(offset_of!(SharedPage, rx_posted)),
        &RING_LEN.to_le_bytes(),
    );
    let accepts = u32::from(accepts);
    host.write(
        vm,
        shared(offset_of!(SharedPage, rx_accepts)),
        &accepts.to_le_bytes(),
    );
}

/// Returns the frames that a VM received, each with flags and segment size of its first descriptor.
fn received(host: &mut Host, vm: VmId) -> Vec<(Vec<u8>, u16, u16)> {
    let mut filled = [0; 4];
    host.read(vm, shared(offset_of!(SharedPage, rx_filled)), &mut filled);
    let mut frames = Vec::new();
    let mut goes_on = false;
    for index in 0..u32::from_le_bytes(filled) {
        let mut descriptor = Descriptor::new_zeroed();
        let at = shared(offset_of!(SharedPage, rx)) + u64::from(index) * 16;
        host.read(vm, at, descriptor.as_mut_bytes());
        let mut bytes = vec![0; u32_to_usize(descriptor.length)];
        host.read(vm, descriptor.address, &mut bytes);
        if !goes_on {
            let said = descriptor.flags & !flags::MORE;
            frames.push((Vec::new(), said, descriptor.segment_size));
        }
        goes_on = descriptor.flags & flags::MORE != 0;
        frames.last_mut().expect("one was begun").0.extend(bytes);
    }
    assert!(!goes_on, "every frame has an end");
    frames
}

/// Checks that ordinary frames carry the payload of the super-segment, once and in order.
fn assert_whole(segments: &[Vec<u8>]) {
    let mut next = 0;
    for segment in segments {
        assert!(segment.len() <= HEADERS + usize::from(SIZE));
        let sequence: [u8; 4] = segment[38..42].try_into().expect("four bytes");
        assert_eq!(u32_to_usize(u32::from_be_bytes(sequence)), next);
        let payload = &segment[HEADERS..];
        let expected = (next..).map(byte);
        assert!(payload.iter().copied().eq(expected.take(payload.len())));
        next += payload.len();
    }
    assert_eq!(next, PAYLOAD);
}

fn host(command_line: &str) -> (Host, u64) {
    let mut host = Host::boot(2048, command_line);
    let image = host.create_image().expect("there is room");
    (host, image)
}

fn sent(host: &mut Host) -> Vec<Vec<u8>> {
    core::iter::from_fn(|| host.machine.take_sent()).collect()
}

#[test]
fn a_nic_that_can_cut_gets_it_whole() {
    let (mut host, image) = host("");
    host.machine.set_nic_offloads(ALL);
    let vm = host.create_vm(image, 1);
    let frame = super_segment(ROUTER);
    send(&mut host, vm, &frame, flags::SEGMENT_TCP4, SIZE);
    let (bytes, offload) = host.machine.take_sent_with_offload().expect("one frame");
    assert_eq!(bytes[HEADERS..], frame[HEADERS..]);
    let expected = Offload {
        flags: flags::CHECKSUM_PARTIAL | flags::SEGMENT_TCP4,
        segment_size: SIZE,
        header_len: 54,
        checksum_start: 34,
        checksum_offset: 16,
    };
    assert_eq!(offload, expected);
    assert!(host.machine.take_sent().is_none());
    host.audit();
}

#[test]
fn for_a_nic_that_cannot_the_kernel_cuts() {
    let (mut host, image) = host("");
    let vm = host.create_vm(image, 1);
    send(
        &mut host,
        vm,
        &super_segment(ROUTER),
        flags::SEGMENT_TCP4,
        SIZE,
    );
    assert_whole(&sent(&mut host));
    host.audit();
}

#[test]
fn segments_that_find_no_room_follow_once_there_is_some() {
    let (mut host, image) = host("");
    let vm = host.create_vm(image, 1);
    host.machine.set_transmit_room(3);
    send(
        &mut host,
        vm,
        &super_segment(ROUTER),
        flags::SEGMENT_TCP4,
        SIZE,
    );
    let mut all = sent(&mut host);
    for room in [0, 1, 4, 100] {
        host.machine.set_transmit_room(room);
        while let Some(event) = host.machine.poll_event() {
            host.kernel.deliver(event, &mut host.machine);
        }
        let more = sent(&mut host);
        assert!(more.len() <= room);
        all.extend(more);
    }
    assert_whole(&all);
    host.audit();
}

#[test]
fn between_vms_nothing_is_cut_nor_summed() {
    let (mut host, image) = host("");
    let [from, to] = [1, 2].map(|number| host.create_vm(image, number));
    post(&mut host, to, ALL);
    let frame = super_segment(network(2).mac);
    send(&mut host, from, &frame, flags::SEGMENT_TCP4, SIZE);
    let frames = received(&mut host, to);
    assert_eq!(frames.len(), 1);
    let (bytes, said, size) = &frames[0];
    assert_eq!(bytes[HEADERS..], frame[HEADERS..]);
    assert_eq!(
        (*said, *size),
        (flags::CHECKSUM_PARTIAL | flags::SEGMENT_TCP4, SIZE)
    );
    host.audit();
}

#[test]
fn a_vm_that_takes_ordinary_frames_gets_ordinary_frames() {
    for accepts in [0, flags::CHECKSUM_PARTIAL] {
        let (mut host, image) = host("");
        let [from, to] = [1, 2].map(|number| host.create_vm(image, number));
        post(&mut host, to, accepts);
        let frame = super_segment(network(2).mac);
        send(&mut host, from, &frame, flags::SEGMENT_TCP4, SIZE);
        let frames = received(&mut host, to);
        assert!(frames.iter().all(|&(_, said, size)| (said, size) == (0, 0)));
        let bytes: Vec<_> = frames.into_iter().map(|(bytes, ..)| bytes).collect();
        assert_whole(&bytes);
        host.audit();
    }
}

#[test]
fn a_super_segment_claims_no_other_sender_than_a_frame_may() {
    let (mut host, image) = host("");
    let vm = host.create_vm(image, 1);
    let mut foreign = super_segment(ROUTER);
    foreign[29] ^= 1;
    send(&mut host, vm, &foreign, flags::SEGMENT_TCP4, SIZE);
    let counters = host.kernel.vm(vm).expect("it lives").counters;
    assert_eq!((counters.tx_refused, counters.tx_frames), (1, 0));
    let (mut host, image) = self::host("");
    let vm = host.create_vm(image, 1);
    let group = super_segment([0xff; 6]);
    send(&mut host, vm, &group, flags::SEGMENT_TCP4, SIZE);
    let counters = host.kernel.vm(vm).expect("it lives").counters;
    assert_eq!((counters.tx_refused, counters.tx_frames), (1, 0));
    assert!(sent(&mut host).is_empty());
}

#[test]
fn what_is_not_offered_ends_the_vm() {
    let cases = [
        ("net-offload=off", flags::SEGMENT_TCP4, SIZE),
        ("net-offload=off", flags::CHECKSUM_PARTIAL, 0),
        ("", flags::CHECKSUM_VALID, 0),
        ("", flags::SEGMENT_TCP4, 0),
        ("", flags::CHECKSUM_PARTIAL, SIZE),
        ("", 0, SIZE),
        // Long, and not to be cut.
        ("", 0, 0),
        ("", flags::CHECKSUM_PARTIAL, 0),
    ];
    for (command_line, said, segment_size) in cases {
        let (mut host, image) = host(command_line);
        let vm = host.create_vm(image, 1);
        send(&mut host, vm, &super_segment(ROUTER), said, segment_size);
        let ended = host.kernel.vm(vm).expect("the record stays");
        let end = ended.end.as_deref().expect("it ended");
        assert_eq!(
            end.record.reason,
            EndReason::RingViolation as u32,
            "{said} {segment_size}"
        );
        assert_eq!(host.state(vm), Some(VmState::Ended));
    }
}

/// A super-segment from the router for the VM number 2, as a NIC that joins segments gives it.
fn joined() -> Vec<u8> {
    let mut frame = super_segment(network(2).mac);
    frame[6..12].copy_from_slice(&ROUTER);
    let length = u16::try_from(frame.len() - 14).expect("short");
    frame[16..18].copy_from_slice(&length.to_be_bytes());
    frame[24..26].fill(0);
    let words = frame[14..34].chunks_exact(2);
    let sum: u32 = words
        .map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])))
        .sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    let checksum = !u16::try_from((sum & 0xffff) + (sum >> 16)).expect("folded");
    frame[24..26].copy_from_slice(&checksum.to_be_bytes());
    frame
}

/// Lets a frame arrive of which a NIC says this.
fn arrive(host: &mut Host, frame: &[u8], said: u16, segment_size: u16) {
    let offload = Offload {
        flags: said,
        segment_size,
        ..Offload::default()
    };
    host.machine.arrive_with(frame, offload);
    host.kernel.deliver(Event::NicReceive, &mut host.machine);
}

const JOINED: u16 = flags::CHECKSUM_PARTIAL | flags::SEGMENT_TCP4;

#[test]
fn from_the_wire_it_arrives_whole_where_it_is_taken_so() {
    let (mut host, image) = host("");
    let vm = host.create_vm(image, 2);
    post(&mut host, vm, ALL);
    arrive(&mut host, &joined(), JOINED, SIZE);
    let frames = received(&mut host, vm);
    assert_eq!(frames.len(), 1);
    assert_eq!((frames[0].1, frames[0].2), (JOINED, SIZE));
    assert_eq!(frames[0].0[HEADERS..], joined()[HEADERS..]);
    host.audit();
}

#[test]
fn from_the_wire_it_is_cut_for_all_others() {
    for accepts in [0, flags::CHECKSUM_PARTIAL, flags::SEGMENT_TCP6] {
        let (mut host, image) = host("");
        let vm = host.create_vm(image, 2);
        post(&mut host, vm, accepts);
        arrive(&mut host, &joined(), JOINED, SIZE);
        let frames = received(&mut host, vm);
        assert!(frames.iter().all(|&(_, said, size)| (said, size) == (0, 0)));
        let bytes: Vec<_> = frames.into_iter().map(|(bytes, ..)| bytes).collect();
        assert_whole(&bytes);
        host.audit();
    }
}

#[test]
fn for_buffers_that_hold_none_of_it_it_is_lost_and_counted() {
    for (buffers, length) in [(0, 0), (1, 1520), (RING_LEN, 16), (RING_LEN, 0)] {
        let (mut host, image) = host("");
        let vm = host.create_vm(image, 2);
        for index in 0..buffers {
            let descriptor = Descriptor {
                address: SCRATCH + 2000 * u64::from(index),
                length,
                ..Descriptor::default()
            };
            let at = shared(offset_of!(SharedPage, rx)) + u64::from(index) * 16;
            host.write(vm, at, descriptor.as_bytes());
        }
        let (posted, accepts) = (buffers.to_le_bytes(), u32::from(ALL).to_le_bytes());
        host.write(vm, shared(offset_of!(SharedPage, rx_posted)), &posted);
        host.write(vm, shared(offset_of!(SharedPage, rx_accepts)), &accepts);
        arrive(&mut host, &joined(), JOINED, SIZE);
        // One buffer holds the first segment.
        let frames = received(&mut host, vm);
        assert_eq!(frames.len(), usize::from(length > 16));
        let counters = host.kernel.vm(vm).expect("it lives").counters;
        assert_eq!(counters.rx_dropped, 1);
        assert_eq!(host.state(vm), Some(VmState::Ready));
        host.audit();
    }
}

#[test]
fn a_checksum_is_left_out_only_for_who_takes_that() {
    for (said, accepts, expected) in [
        (
            flags::CHECKSUM_VALID,
            flags::CHECKSUM_VALID,
            flags::CHECKSUM_VALID,
        ),
        (flags::CHECKSUM_VALID, 0, 0),
        (flags::CHECKSUM_PARTIAL, ALL, flags::CHECKSUM_PARTIAL),
        (flags::CHECKSUM_PARTIAL, flags::CHECKSUM_VALID, 0),
        (0, ALL, 0),
    ] {
        let (mut host, image) = host("");
        let vm = host.create_vm(image, 2);
        post(&mut host, vm, accepts);
        let mut frame = joined();
        frame.truncate(100);
        frame[16..18].copy_from_slice(&86_u16.to_be_bytes());
        arrive(&mut host, &frame, said, 0);
        let frames = received(&mut host, vm);
        assert_eq!((frames.len(), frames[0].1), (1, expected));
        // Computed exactly where it was left out and is not taken so.
        let computed = said == flags::CHECKSUM_PARTIAL && expected == 0;
        assert_eq!(frames[0].0[50..52] == [9, 9], !computed);
        host.audit();
    }
}

#[test]
fn what_a_nic_says_wrongly_reaches_nobody() {
    let mut group = joined();
    group[..6].fill(0xff);
    let mut short = joined();
    short.truncate(10_000);
    let cases = [
        (joined(), 0, 0),
        (joined(), flags::CHECKSUM_PARTIAL, 0),
        (joined(), JOINED, 0),
        (joined(), JOINED, 1461),
        (
            joined(),
            flags::CHECKSUM_PARTIAL | flags::SEGMENT_TCP6,
            SIZE,
        ),
        (joined()[..30].to_vec(), JOINED, SIZE),
        (short, JOINED, SIZE),
        (group, JOINED, SIZE),
    ];
    for (frame, said, size) in cases {
        let (mut host, image) = host("");
        let vm = host.create_vm(image, 2);
        post(&mut host, vm, ALL);
        arrive(&mut host, &frame, said, size);
        assert!(received(&mut host, vm).is_empty());
        host.audit();
    }
}
