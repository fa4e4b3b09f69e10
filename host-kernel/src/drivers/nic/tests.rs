//! The driver against a fake machine and an honest or lying device.

use super::*;
use crate::drivers::dma::DeviceMemory;
use crate::drivers::fake::{FakeNic, FakePlatform, MSIX_TABLE, NOTIFICATIONS};

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
        let mut platform = FakePlatform::new();
        let (registers, memory) = platform.views();
        let nic = Nic::probe(&mut platform, VECTORS).unwrap().unwrap();
        let mut setup = Self {
            device: FakeNic::new(memory.device_view(), nic.transmit.queue.addresses()),
            nic,
            registers,
            memory,
        };
        setup.keep_notified();
        setup
    }

    /// Lets the device attach anew, after a reset.
    fn reattach(&mut self) {
        let addresses = self.nic.transmit.queue.addresses();
        self.device = FakeNic::new(self.memory.device_view(), addresses);
    }

    /// Clears the doorbells and returns whether one of the queues was notified.
    fn keep_notified(&mut self) -> bool {
        let rung = self.registers.read_u16(NOTIFICATIONS);
        self.registers.write_u16(NOTIFICATIONS, 0xffff);
        rung != 0xffff
    }
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
            assert_eq!(setup.nic.receive(&mut buffer), Some(3));
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
    for length in [Some(5), Some(6), None] {
        assert_eq!(setup.nic.poll_event(), Some(Event::NicReceive));
        assert_eq!(setup.nic.receive(&mut buffer), length);
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
    assert_eq!(setup.nic.receive(&mut buffer), Some(4));
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
        assert_eq!(setup.nic.receive(&mut buffer), Some(5));
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
