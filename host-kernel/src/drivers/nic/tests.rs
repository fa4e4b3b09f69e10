//! The driver against a fake machine and an honest or lying device.

use super::*;
use crate::drivers::dma::DeviceMemory;
use crate::drivers::fake::{FakeNic, FakePlatform, MSIX_TABLE, NOTIFICATIONS};
use denali_abi::net::flags;

const VECTORS: Vectors = Vectors {
    receive: 0x40,
    transmit: 0x41,
};

struct Setup {
    nic: Nic,
    device: FakeNic,
    registers: DeviceMemory,
    memory: DeviceMemory,
}

impl Setup {
    fn new() -> Self {
        Self::on(FakePlatform::new())
    }

    /// A device with 64 buffers that offers to join what it receives.
    fn joining() -> Self {
        let platform = FakePlatform::new();
        let (mut registers, _) = platform.views();
        registers.write_u32(4, 1 << 29 | 1 << 15 | 1 << 8 | 1 << 7 | 1 << 5 | 1 << 1 | 1);
        registers.write_u16(24, 64);
        Self::on(platform)
    }

    fn on(mut platform: FakePlatform) -> Self {
        let (registers, memory) = platform.views();
        let nic = Nic::probe(&mut platform, VECTORS).unwrap().unwrap();
        let mut setup = Self {
            device: attach(&memory, &nic),
            nic,
            registers,
            memory,
        };
        setup.keep_notified();
        setup
    }

    /// Lets the device attach anew, after a reset.
    fn reattach(&mut self) {
        self.device = attach(&self.memory, &self.nic);
    }

    /// Clears the doorbells and returns whether one of the queues was notified.
    fn keep_notified(&mut self) -> bool {
        let rung = self.registers.read_u16(NOTIFICATIONS);
        self.registers.write_u16(NOTIFICATIONS, 0xffff);
        rung != 0xffff
    }
}

fn attach(memory: &DeviceMemory, nic: &Nic) -> FakeNic {
    let queue = &nic.transmit.queue;
    FakeNic::new(memory.device_view(), queue.addresses(), queue.count())
}

/// What a device said of a received frame that is whole and not verified.
fn plain(length: usize) -> Option<Received> {
    Some(Received {
        length,
        offload: Offload::default(),
    })
}

#[test]
fn a_device_behind_a_bridge_is_found_and_set_up() {
    let mut platform = FakePlatform::new();
    let (registers, _) = platform.views();
    let nic = Nic::probe(&mut platform, VECTORS).unwrap().unwrap();
    assert_eq!(nic.mac(), [0x52, 0x54, 0, 1, 2, 3]);
    assert_eq!(nic.receive.queue.count(), 16);
    assert_eq!(registers.read_u8(20), 1 | 2 | 8 | 4, "status: driver OK");
    assert_eq!(*platform.device(4) & 6, 6, "memory and bus master");
    assert_eq!(*platform.device(0x40) >> 30, 2, "MSI-X on, not masked");
    let entry = |n: usize, at: usize| registers.read_u32(MSIX_TABLE + 16 * n + at);
    assert_eq!(
        [entry(0, 0), entry(0, 8), entry(0, 12)],
        [0xfee0_3000, 0x40, 0]
    );
    assert_eq!(
        [entry(1, 0), entry(1, 8), entry(1, 12)],
        [0xfee0_3000, 0x41, 0]
    );
}

#[test]
fn a_machine_without_nic_says_none() {
    let mut platform = FakePlatform::new();
    *platform.device(0) = 0x100e_8086;
    assert!(Nic::probe(&mut platform, VECTORS).unwrap().is_none());
}

#[test]
fn unusable_devices_are_errors_that_say_why() {
    let cases: [(usize, u32, &str); 5] = [
        (0x34, 0, "common configuration"),
        (0x40, 0x0003_5012, "MSI-X"),
        (0x20, 0xd, "BAR 4"),
        (0x24, 0x70, "cannot be mapped"),
        // The list is a loop that never reaches the structure.
        (0x40, 0x0003_4011, "common configuration"),
    ];
    for (offset, value, expected) in cases {
        let mut platform = FakePlatform::new();
        *platform.device(offset) = value;
        let error = Nic::probe(&mut platform, VECTORS).unwrap_err();
        let text = std::format!("{error}");
        assert!(
            text.starts_with("virtio-net at 05:00.0: ") && text.contains(expected),
            "{text}"
        );
    }
    let mut platform = FakePlatform::new();
    platform.exhaust_memory();
    let error = Nic::probe(&mut platform, VECTORS).unwrap_err();
    assert_eq!(error.reason, Reason::NoMemory);
}

#[test]
fn what_device_and_driver_missed_of_each_other_is_found() {
    let mut setup = Setup::new();
    let mut buffer = [0; 1514];
    // An interrupt that the device did not send, as it had not seen that it was to.
    setup.device.deliver(&[1, 2, 3]);
    assert!(!setup.nic.has_event());
    setup.nic.look_again();
    assert_eq!(setup.nic.poll_event(), Some(Event::NicReceive));
    assert_eq!(setup.nic.receive(&mut buffer), plain(3));
    assert_eq!(setup.nic.receive(&mut buffer), None);
    setup.nic.look_again();
    assert!(!setup.nic.has_event());
    // A frame that the device was not told of, as we had not seen that it wished to be.
    setup.device.transmit.set_available_event(100);
    setup.keep_notified();
    setup.nic.transmit(&[9; 60], Offload::default()).unwrap();
    setup.nic.flush();
    assert!(!setup.keep_notified());
    setup.device.transmit.set_available_event(0);
    setup.nic.look_again();
    assert!(setup.keep_notified());
}

#[test]
fn received_frames_come_in_order_and_interrupt_once() {
    let mut setup = Setup::new();
    let mut buffer = [0; 1514];
    for round in 0..1000u16 {
        let [low, high] = round.to_le_bytes();
        assert!(setup.device.deliver(&[low, high, 1]), "armed while empty");
        setup.nic.rx_interrupt();
        assert!(
            !setup.device.deliver(&[low, high, 2]),
            "not again before it is empty"
        );
        assert_eq!(setup.nic.poll_event(), Some(Event::NicReceive));
        assert_eq!(setup.nic.poll_event(), None);
        for tag in [1, 2] {
            assert_eq!(setup.nic.receive(&mut buffer), plain(3));
            assert_eq!(buffer[..3], [low, high, tag]);
        }
        assert_eq!(setup.nic.receive(&mut buffer), None);
    }
    assert_eq!(setup.nic.counters(), Counters::default());
}

#[test]
fn a_caller_that_stops_early_is_told_again() {
    let mut setup = Setup::new();
    setup.device.deliver(b"first");
    setup.device.deliver(b"second");
    setup.nic.rx_interrupt();
    let mut buffer = [0; 1514];
    for expected in [plain(5), plain(6), None] {
        assert_eq!(setup.nic.poll_event(), Some(Event::NicReceive));
        assert_eq!(setup.nic.receive(&mut buffer), expected);
    }
    assert_eq!(setup.nic.poll_event(), None);
}

#[test]
fn frames_too_long_or_too_short_are_dropped_and_counted() {
    let mut setup = Setup::new();
    setup.device.deliver(&[7; 2036]);
    setup.device.deliver(&[]);
    let (id, ..) = setup.device.receive.take().unwrap();
    setup.device.receive.finish(u32::from(id), 5000);
    let (id, ..) = setup.device.receive.take().unwrap();
    setup.device.receive.finish(u32::from(id), 11);
    setup.device.deliver(b"good");
    let mut buffer = [0; 1514];
    assert_eq!(setup.nic.receive(&mut buffer), plain(4));
    assert_eq!(setup.nic.receive(&mut buffer), None);
    assert_eq!(setup.nic.counters().receive_dropped, 4);
    assert!(
        setup
            .nic
            .transmit(&std::vec![0; SUPER_LEN_MAX + 1], Offload::default())
            .is_ok()
    );
    assert!(
        setup
            .nic
            .transmit(&std::vec![0; 100_000], Offload::default())
            .is_ok()
    );
    assert_eq!(setup.nic.counters().transmit_dropped, 2);
}

#[test]
fn a_batch_of_frames_is_one_notification_without_interrupts() {
    let mut setup = Setup::new();
    for round in 0..100u8 {
        for number in 0..10u8 {
            setup
                .nic
                .transmit(&[round, number], Offload::default())
                .unwrap();
        }
        assert!(setup.device.send().is_none(), "nothing before flush");
        assert!(!setup.keep_notified());
        setup
            .device
            .transmit
            .set_available_event(u16::from(round) * 10);
        setup.nic.flush();
        assert!(setup.keep_notified());
        for number in 0..10u8 {
            assert_eq!(setup.device.send(), Some((std::vec![round, number], false)));
        }
    }
}

#[test]
fn a_full_queue_interrupts_when_half_is_sent() {
    let mut setup = Setup::new();
    for _ in 0..16 {
        setup.nic.transmit(b"frame", Offload::default()).unwrap();
    }
    assert_eq!(
        setup.nic.transmit(b"frame", Offload::default()),
        Err(NicFull)
    );
    assert_eq!(setup.nic.poll_event(), None);
    let wanted: std::vec::Vec<bool> = (0..16).map(|_| setup.device.send().unwrap().1).collect();
    assert_eq!(wanted.iter().position(|&wanted| wanted), Some(7));
    assert_eq!(wanted.iter().filter(|&&wanted| wanted).count(), 1);
    setup.nic.tx_interrupt();
    assert_eq!(setup.nic.poll_event(), Some(Event::NicTransmit));
    assert_eq!(setup.nic.poll_event(), None);
    setup.nic.transmit(b"frame", Offload::default()).unwrap();
}

#[test]
fn a_stale_interrupt_does_not_lose_the_one_awaited() {
    let mut setup = Setup::new();
    while setup.nic.transmit(b"frame", Offload::default()).is_ok() {}
    setup.nic.tx_interrupt();
    assert_eq!(setup.nic.poll_event(), None);
    let interrupts = (0..16).filter(|_| setup.device.send().unwrap().1).count();
    assert_eq!(interrupts, 1);
}

#[test]
fn a_liar_is_reset_and_works_again_and_is_given_up_at_last() {
    let mut setup = Setup::new();
    let mut buffer = [0; 1514];
    for resets in 1..=RESETS_MAX {
        setup.device.receive.finish(999, 60);
        assert_eq!(setup.nic.receive(&mut buffer), None);
        assert_eq!(setup.nic.counters().resets, resets);
        setup.reattach();
        setup.device.deliver(b"again");
        assert_eq!(setup.nic.receive(&mut buffer), plain(5));
        setup.nic.transmit(b"out", Offload::default()).unwrap();
        setup.nic.flush();
        assert_eq!(setup.device.send().unwrap().0, b"out");
    }
    setup.device.receive.finish(999, 60);
    assert_eq!(setup.nic.receive(&mut buffer), None);
    assert!(setup.nic.given_up);
    assert_eq!(setup.nic.transmit(b"nobody", Offload::default()), Ok(()));
    assert_eq!(setup.nic.counters().transmit_dropped, 1);
    assert_eq!(setup.registers.read_u8(20), 0, "left in reset");
}

#[test]
fn who_waits_for_room_is_told_even_if_a_reset_made_it() {
    let mut setup = Setup::new();
    while setup.nic.transmit(b"frame", Offload::default()).is_ok() {}
    setup.device.receive.finish(999, 60);
    assert_eq!(setup.nic.receive(&mut [0; 1514]), None);
    assert_eq!(setup.nic.poll_event(), Some(Event::NicTransmit));
}

#[test]
fn a_long_frame_goes_out_as_a_chain_with_what_is_left_to_do() {
    let mut setup = Setup::new();
    let offload = Offload {
        flags: flags::CHECKSUM_PARTIAL | flags::SEGMENT_TCP6,
        segment_size: 1440,
        header_len: 74,
        checksum_start: 54,
        checksum_offset: 16,
    };
    let expected = [1, 4, 74, 0, 0xa0, 5, 54, 0, 16, 0, 0, 0];
    for length in (2000..30_000).step_by(613).chain([2036, 2037, 4084, 4085]) {
        let frame: std::vec::Vec<u8> = (0..length)
            .map(|nth| u8::try_from(nth % 253).unwrap())
            .collect();
        setup.nic.transmit(&frame, offload).unwrap();
        setup.nic.transmit(b"short", Offload::default()).unwrap();
        setup.nic.flush();
        let (bytes, _) = setup.device.send_with_header().unwrap();
        assert_eq!(bytes[..12], expected);
        assert_eq!(bytes[12..], frame);
        assert_eq!(setup.device.send().unwrap().0, b"short");
        setup.nic.tx_interrupt();
        assert_eq!(setup.nic.transmit.queue.free_count(), 16, "all came back");
    }
}

#[test]
fn a_long_frame_waits_until_there_are_buffers_for_all_of_it() {
    let mut setup = Setup::new();
    let frame = std::vec![7; 20_000];
    setup.nic.transmit(&frame, Offload::default()).unwrap();
    assert_eq!(
        setup.nic.transmit(&frame, Offload::default()),
        Err(NicFull),
        "10 of 16 buffers are under way"
    );
    setup.nic.tx_interrupt();
    assert_eq!(setup.nic.poll_event(), None, "6 free buffers are no room");
    let (bytes, interrupt) = setup.device.send_with_header().unwrap();
    assert_eq!((bytes.len(), interrupt), (20_012, true));
    setup.nic.tx_interrupt();
    assert_eq!(setup.nic.poll_event(), Some(Event::NicTransmit));
    assert!(setup.nic.transmit(&frame, Offload::default()).is_ok());
}

#[test]
fn cutting_is_left_only_to_a_queue_that_takes_the_longest_frame() {
    for (buffers, expected) in [
        (16, flags::CHECKSUM_PARTIAL),
        (
            64,
            flags::CHECKSUM_PARTIAL | flags::SEGMENT_TCP4 | flags::SEGMENT_TCP6,
        ),
    ] {
        let mut platform = FakePlatform::new();
        let (mut registers, _) = platform.views();
        registers.write_u32(4, 1 << 29 | 1 << 12 | 1 << 11 | 1 << 5 | 1);
        registers.write_u16(24, buffers);
        let nic = Nic::probe(&mut platform, VECTORS).unwrap().unwrap();
        assert_eq!(nic.offloads(), expected);
    }
}

/// The header before a frame in `buffers` buffers, to be cut at 1460 bytes.
fn joined(kind: u8, buffers: u16) -> [u8; 12] {
    let [low, high] = buffers.to_le_bytes();
    [1, kind, 54, 0, 0xb4, 5, 34, 0, 16, 0, low, high]
}

fn bytes(length: usize) -> std::vec::Vec<u8> {
    (0..length)
        .map(|nth| u8::try_from(nth % 253).unwrap())
        .collect()
}

#[test]
fn a_joined_frame_is_gathered_from_its_buffers() {
    let mut setup = Setup::joining();
    let mut buffer = std::vec![0; SUPER_LEN_MAX];
    for length in (1000..60_000)
        .step_by(1777)
        .chain([2036, 2037, SUPER_LEN_MAX])
    {
        for (kind, flag) in [(1, flags::SEGMENT_TCP4), (4, flags::SEGMENT_TCP6)] {
            let frame = bytes(length);
            let count = u16::try_from((12 + length).div_ceil(2048)).unwrap();
            setup.device.deliver_behind(&joined(kind, count), &frame);
            setup
                .device
                .deliver_behind(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0], b"short");
            let received = setup.nic.receive(&mut buffer).unwrap();
            assert_eq!(received.length, length);
            assert_eq!(received.offload.flags, flags::CHECKSUM_PARTIAL | flag);
            assert_eq!(received.offload.segment_size, 1460);
            assert_eq!(buffer[..length], frame);
            assert_eq!(setup.nic.receive(&mut buffer), plain(5));
            assert_eq!(setup.nic.receive(&mut buffer), None);
        }
    }
    assert_eq!(setup.nic.counters(), Counters::default());
}

#[test]
fn what_the_device_says_of_a_checksum_is_passed_on() {
    let mut setup = Setup::joining();
    for (bits, expected) in [
        (0, 0),
        (1, flags::CHECKSUM_PARTIAL),
        (2, flags::CHECKSUM_VALID),
        (3, flags::CHECKSUM_PARTIAL),
    ] {
        let header = [bits, 0, 0, 0, 0, 0, 34, 0, 16, 0, 1, 0];
        setup.device.deliver_behind(&header, b"frame");
        let received = setup.nic.receive(&mut [0; 1514]).unwrap();
        assert_eq!(received.offload.flags, expected);
    }
}

#[test]
fn what_was_not_agreed_is_dropped_and_counted() {
    let cut = [1, 1, 54, 0, 0xb4, 5, 34, 0, 16, 0, 1, 0];
    let unsummed = [1, 0, 0, 0, 0, 0, 34, 0, 16, 0, 1, 0];
    let mut setup = Setup::new();
    for header in [cut, unsummed] {
        setup.device.deliver_behind(&header, b"frame");
    }
    assert_eq!(setup.nic.receive(&mut [0; 1514]), None);
    assert_eq!(setup.nic.counters().receive_dropped, 2);

    let mut setup = Setup::joining();
    for (bits, kind) in [(1, 3), (1, 0x81), (0, 1), (2, 4)] {
        let header = [bits, kind, 54, 0, 0xb4, 5, 34, 0, 16, 0, 1, 0];
        setup.device.deliver_behind(&header, b"frame");
    }
    assert_eq!(setup.nic.receive(&mut [0; 1514]), None);
    assert_eq!(setup.nic.counters().receive_dropped, 4);
}

#[test]
fn a_frame_that_is_too_long_is_taken_out_whole() {
    let mut setup = Setup::joining();
    setup.device.deliver_behind(&joined(1, 2), &bytes(3000));
    setup.device.deliver_behind(&joined(1, 1), b"next");
    let received = setup.nic.receive(&mut [0; 1514]).unwrap();
    assert_eq!(received.length, 4);
    assert_eq!(setup.nic.counters().receive_dropped, 1);
}

#[test]
fn lies_about_the_number_of_buffers_reset_the_device() {
    let mut setup = Setup::joining();
    let mut buffer = std::vec![0; SUPER_LEN_MAX];
    let claims = [2, 3, 64, 65, u16::MAX];
    for (resets, claimed) in (1..).zip(claims) {
        setup.device.deliver_behind(&joined(1, claimed), b"frame");
        assert_eq!(setup.nic.receive(&mut buffer), None);
        assert_eq!(setup.nic.counters().resets, resets);
        setup.reattach();
    }
    // None is one: there is a buffer, after all.
    setup.device.deliver_behind(&joined(1, 0), b"frame");
    assert_eq!(setup.nic.receive(&mut buffer).unwrap().length, 5);
}

#[test]
fn a_random_device_gets_no_more_than_resets() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    let mut buffer = std::vec![0; SUPER_LEN_MAX];
    for _ in 0..200 {
        let mut setup = Setup::joining();
        while !setup.nic.given_up && random(100) > 0 {
            let mut header = [0; 12];
            header.fill_with(|| u8::try_from(random(256)).unwrap());
            if random(2) == 0 {
                header[10..].copy_from_slice(&[u8::try_from(random(4)).unwrap(), 0]);
            }
            let claimed = u32::try_from(random(1 << 12)).unwrap();
            let length = usize::try_from(random(6000)).unwrap();
            setup
                .device
                .deliver_with(&header, &bytes(length), |said| match said {
                    _ if claimed > 3000 => claimed,
                    said => said,
                });
            let resets = setup.nic.counters().resets;
            while let Some(received) = setup.nic.receive(&mut buffer) {
                assert!((1..=buffer.len()).contains(&received.length));
            }
            if setup.nic.counters().resets > resets {
                setup.reattach();
            }
        }
    }
}

#[test]
fn super_segments_are_asked_for_only_if_the_longest_fits() {
    const JOINED: u64 = 1 << 15 | 1 << 8 | 1 << 7 | 1 << 1;
    for (offered, buffers, expected) in [
        (JOINED, 64, JOINED),
        (JOINED, 32, 1 << 1),
        (JOINED & !(1 << 15), 64, 1 << 1),
        (JOINED & !(1 << 1), 64, 0),
    ] {
        let agreed = offered & features::optional(offered, buffers);
        assert_eq!(agreed, expected);
    }
}
