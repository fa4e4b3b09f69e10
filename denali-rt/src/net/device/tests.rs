//! The device against a kernel played by the test.

use super::receive::{BLOCK, CALM_POLLS};
use super::*;
use core::mem::offset_of;
use core::ptr::with_exposed_provenance_mut;
use denali_abi::block::{BlockCompletion, BlockRequest, BlockRings};
use denali_abi::net::Descriptor;
use smoltcp::phy::{Device, RxToken as _, TxToken as _};
use std::boxed::Box;
use std::cell::Cell;
use std::vec::Vec;

std::thread_local! {
    static NOTIFIED: Cell<u32> = const { Cell::new(0) };
    static CONSUMES: Cell<*mut SharedPage> = const { Cell::new(core::ptr::null_mut()) };
}

/// The shared page as a VM finds it.
const ZERO: SharedPage = {
    const EMPTY: Descriptor = Descriptor {
        address: 0,
        length: 0,
        flags: 0,
        segment_size: 0,
    };
    SharedPage {
        interrupts_enabled: 0,
        pending: 0,
        tx_produced: 0,
        tx_consumed: 0,
        rx_posted: 0,
        rx_filled: 0,
        timer_ns: 0,
        thread: [0; 16],
        rx_accepts: 0,
        reserved: [0; 3],
        tx: [EMPTY; 64],
        rx: [EMPTY; 64],
        block: BlockRings {
            submitted: 0,
            taken: 0,
            completed: 0,
            reaped: 0,
            requests: [BlockRequest {
                operation: 0,
                volume: 0,
                block: 0,
                address: 0,
                tag: 0,
            }; 16],
            completions: [BlockCompletion {
                tag: 0,
                result: 0,
                reserved: 0,
            }; 16],
        },
    }
};

/// A kernel that reads rings and buffers as the real one does.
struct Kernel {
    page: Page,
    sent: Vec<Vec<u8>>,
}

/// A device whose kernel takes everything off us.
fn setup() -> (RingDevice, Kernel) {
    setup_with(flags::CHECKSUM_PARTIAL | flags::SEGMENT_TCP4 | flags::SEGMENT_TCP6)
}

fn setup_with(features: u16) -> (RingDevice, Kernel) {
    let network = NetworkConfig {
        frame_len_max: 1514,
        features: u32::from(features),
        ..NetworkConfig::default()
    };
    let pointer = Box::into_raw(Box::new(ZERO));
    CONSUMES.set(pointer);
    let notify = || {
        NOTIFIED.set(NOTIFIED.get() + 1);
        // SAFETY: the page is leaked.
        let page = unsafe { Page::new(CONSUMES.get()) };
        Kernel {
            page,
            sent: Vec::new(),
        }
        .send_all();
    };
    // SAFETY: the page is leaked, and only this device uses its rings.
    let device = unsafe { RingDevice::new(pointer, &network, notify) };
    // SAFETY: the page is leaked.
    let page = unsafe { Page::new(pointer) };
    (
        device,
        Kernel {
            page,
            sent: Vec::new(),
        },
    )
}

impl Kernel {
    fn memory(descriptor: Descriptor, len: usize) -> &'static mut [u8] {
        let start = with_exposed_provenance_mut(u64_to_usize(descriptor.address));
        // SAFETY: the guest lends the buffer it describes to the kernel, which is us.
        unsafe { core::slice::from_raw_parts_mut(start, len) }
    }

    fn posted(&self) -> u32 {
        let posted = self.page.load(offset_of!(SharedPage, rx_posted));
        posted.wrapping_sub(self.page.load(offset_of!(SharedPage, rx_filled)))
    }

    fn receive(&mut self, frame: &[u8], flags: u16) -> bool {
        if self.posted() == 0 {
            return false;
        }
        let filled = self.page.load(offset_of!(SharedPage, rx_filled));
        let mut descriptor = self.page.descriptor(offset_of!(SharedPage, rx), filled);
        assert!(descriptor.length >= 1514);
        Self::memory(descriptor, frame.len()).copy_from_slice(frame);
        descriptor.length = u32::try_from(frame.len()).unwrap();
        descriptor.flags = flags;
        self.page
            .set_descriptor(offset_of!(SharedPage, rx), filled, descriptor);
        self.page
            .store(offset_of!(SharedPage, rx_filled), filled.wrapping_add(1));
        true
    }

    /// Puts a super-segment into as many buffers as it takes, and returns how many.
    fn receive_super(&mut self, frame: &[u8]) -> usize {
        let mut rest = frame;
        let mut buffers = 0;
        while !rest.is_empty() {
            let filled = self.page.load(offset_of!(SharedPage, rx_filled));
            let posted = self.page.descriptor(offset_of!(SharedPage, rx), filled);
            let (part, behind) = rest.split_at(rest.len().min(u32_to_usize(posted.length)));
            let more = if behind.is_empty() { 0 } else { flags::MORE };
            let said = if buffers == 0 {
                flags::SEGMENT_TCP4 | flags::CHECKSUM_PARTIAL
            } else {
                0
            };
            assert!(self.receive(part, said | more));
            rest = behind;
            buffers += 1;
        }
        buffers
    }

    fn send_all(&mut self) {
        let mut consumed = self.page.load(offset_of!(SharedPage, tx_consumed));
        while consumed != self.page.load(offset_of!(SharedPage, tx_produced)) {
            let descriptor = self.page.descriptor(offset_of!(SharedPage, tx), consumed);
            let len = usize::try_from(descriptor.length).unwrap();
            self.sent.push(Self::memory(descriptor, len).to_vec());
            consumed = consumed.wrapping_add(1);
        }
        self.page
            .store(offset_of!(SharedPage, tx_consumed), consumed);
    }
}

const NOW: Instant = Instant::ZERO;

fn send(device: &mut RingDevice, byte: u8) {
    device
        .transmit(NOW)
        .unwrap()
        .consume(60, |frame| frame.fill(byte));
}

#[test]
fn frames_gather_until_the_vm_idles() {
    let (mut device, mut kernel) = setup();
    device.refresh();
    send(&mut device, 1);
    send(&mut device, 2);
    assert_eq!(NOTIFIED.get(), 0);
    kernel.send_all();
    assert_eq!(kernel.sent, [[1; 60], [2; 60]]);
    device.refresh();
    assert_eq!(NOTIFIED.get(), 0);
}

#[test]
fn frames_that_lie_from_one_poll_to_the_next_are_sent() {
    let (mut device, _) = setup();
    device.refresh();
    send(&mut device, 1);
    device.refresh();
    assert_eq!(NOTIFIED.get(), 1);
    device.refresh();
    assert_eq!(NOTIFIED.get(), 1);
}

#[test]
fn a_full_ring_is_sent_at_once() {
    let (mut device, _) = setup();
    device.refresh();
    for _ in 0..RING_LEN {
        send(&mut device, 1);
    }
    assert_eq!(NOTIFIED.get(), 1);
    assert!(device.can_transmit());
}

#[test]
fn received_frames_come_in_order_and_their_buffers_go_round() {
    let (mut device, mut kernel) = setup();
    device.refresh();
    assert_eq!(kernel.posted(), BLOCK);
    for round in 0..200_u8 {
        assert!(kernel.receive(&[round; 100], 0));
        assert!(kernel.receive(&[round; 200], flags::CHECKSUM_VALID));
        device.refresh();
        assert_eq!(
            device.peek(),
            Some((&[round; 100][..], Checksum::Unverified))
        );
        let (token, _) = device.receive(NOW).unwrap();
        token.consume(|frame| assert_eq!(frame, [round; 100]));
        assert_eq!(device.peek(), Some((&[round; 200][..], Checksum::Verified)));
        device.skip();
        assert_eq!(device.peek(), None);
        assert_eq!(kernel.posted(), BLOCK);
    }
}

#[test]
fn the_number_of_buffers_follows_the_load() {
    let (mut device, mut kernel) = setup();
    device.refresh();
    for _ in 0..5 {
        while kernel.receive(&[1; 60], 0) {}
        device.refresh();
        while device.peek().is_some() {
            device.skip();
        }
    }
    assert_eq!(kernel.posted(), RING_LEN);
    for _ in 0..CALM_POLLS * 4 {
        kernel.receive(&[1; 60], 0);
        device.refresh();
        device.skip();
    }
    assert_eq!(kernel.posted(), BLOCK);
    while kernel.receive(&[2; 60], 0) {}
    device.refresh();
    while let Some((frame, _)) = device.peek() {
        assert_eq!(frame, [2; 60]);
        device.skip();
    }
}

#[test]
fn frames_in_several_pieces_are_put_together() {
    let (mut device, mut kernel) = setup();
    device.refresh();
    let super_segment = flags::SEGMENT_TCP4 | flags::CHECKSUM_PARTIAL;
    kernel.receive(&[1; 1520], flags::MORE | super_segment);
    kernel.receive(&[2; 1520], flags::MORE);
    kernel.receive(&[3; 60], 0);
    kernel.receive(&[4; 60], 0);
    kernel.receive(&[5; 1520], flags::MORE);
    device.refresh();
    let whole = [&[1; 1520][..], &[2; 1520], &[3; 60]].concat();
    assert_eq!(device.peek(), Some((&whole[..], Checksum::Verified)));
    device.skip();
    assert_eq!(device.peek(), Some((&[4; 60][..], Checksum::Unverified)));
    device.skip();
    assert_eq!(device.peek(), None, "a frame without an end is none");
}

#[test]
fn super_segments_come_whole_once_there_have_been_some() {
    let (mut device, mut kernel) = setup();
    device.refresh();
    let frame: Vec<u8> = (0..16_000).map(|nth: u32| nth.to_le_bytes()[1]).collect();
    let mut pieces = Vec::new();
    for _ in 0..30 {
        pieces.push(kernel.receive_super(&frame));
        device.refresh();
        assert_eq!(device.peek(), Some((&frame[..], Checksum::Verified)));
        device.skip();
        assert_eq!(device.peek(), None);
        device.refresh();
        assert!(kernel.posted() >= 4, "there is always something to fill");
    }
    assert_eq!((pieces[0], pieces[29]), (11, 1));
    for _ in 0..CALM_POLLS * 3 {
        kernel.receive(&[1; 60], 0);
        device.refresh();
        device.skip();
    }
    assert_eq!(kernel.receive_super(&frame), 11, "short ones again");
    device.refresh();
    assert_eq!(device.peek(), Some((&frame[..], Checksum::Verified)));
}

#[test]
fn what_the_kernel_offers_is_used_and_nothing_else() {
    let tcp = |len: usize| {
        let mut frame = std::vec![0; len];
        frame[12..14].copy_from_slice(&[8, 0]);
        frame[23] = 6;
        frame
    };
    let checksum = flags::CHECKSUM_PARTIAL;
    let offered = [(0, 0), (checksum, checksum)];
    for (features, expected) in offered {
        let (mut device, kernel) = setup_with(features);
        let tcp_checksum = device.capabilities().checksum.tcp;
        assert_eq!(tcp_checksum.tx(), features == 0);
        assert!(device.capabilities().segmentation.tcpv4.is_none());
        for (frame, flags) in [(tcp(60), expected), (std::vec![0; 60], 0)] {
            let token = device.transmit(Instant::ZERO).unwrap();
            token.consume(frame.len(), |bytes| bytes.copy_from_slice(&frame));
            let index = kernel
                .page
                .load(offset_of!(SharedPage, tx_produced))
                .wrapping_sub(1);
            let sent = kernel.page.descriptor(offset_of!(SharedPage, tx), index);
            assert_eq!((sent.flags, sent.segment_size, sent.length), (flags, 0, 60));
        }
    }
    let (mut device, mut kernel) = setup();
    assert!(device.capabilities().segmentation.tcpv4.is_some());
    let frame = tcp(60_000);
    let mut token = device.transmit(Instant::ZERO).unwrap();
    let mut meta = PacketMeta::default();
    meta.segmentation_offload_size = NonZeroU16::new(1460);
    token.set_meta(meta);
    token.consume(frame.len(), |bytes| bytes.copy_from_slice(&frame));
    let sent = kernel.page.descriptor(offset_of!(SharedPage, tx), 0);
    assert_eq!(
        (sent.flags, sent.segment_size),
        (checksum | flags::SEGMENT_TCP4, 1460)
    );
    kernel.send_all();
    assert_eq!(kernel.sent.pop(), Some(frame));
}

#[test]
fn indices_that_make_no_sense_are_not_believed() {
    let (mut device, kernel) = setup();
    device.refresh();
    kernel.page.store(offset_of!(SharedPage, rx_filled), 1000);
    kernel.page.store(offset_of!(SharedPage, tx_consumed), 1000);
    device.refresh();
    assert_eq!(device.peek(), None);
    assert!(device.can_transmit());
}
