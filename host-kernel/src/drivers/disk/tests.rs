//! The driver against honest, lying and hanging devices.

use super::fake::{FRAME_FIRST, FRAMES, FakeDisk};
use super::*;
use crate::drivers::dma::DeviceMemory;
use crate::drivers::fake::{FakePlatform, NOTIFICATIONS};
use denali_kernel_core::machine::{DISK_FRAMES_MAX, DiskOperation, FrameId, Writable};

const VECTORS: [u8; 2] = [0x42, 0x43];
const FEATURE_READ_ONLY: u32 = 1 << 5;
const FEATURE_BLOCK_SIZE: u32 = 1 << 6;
const FEATURE_SEGMENTS_MAX: u32 = 1 << 2;
const FEATURE_FLUSH: u32 = 1 << 9;
const STATUS: usize = 20;

struct Setup {
    platform: FakePlatform,
    disks: Disks,
    device: FakeDisk,
    frames: DeviceMemory,
    registers: DeviceMemory,
    memory: DeviceMemory,
}

impl Setup {
    /// One disk of 1,000 blocks.
    fn new() -> Self {
        let mut platform = FakePlatform::with_disks(&[8000], FEATURE_FLUSH);
        let (registers, memory) = platform.views();
        let physical = u64::from(FRAME_FIRST) * 4096;
        let frames = DeviceMemory::for_test(physical, FRAMES * 4096);
        Self {
            disks: Disks::probe(&mut platform, &VECTORS),
            device: FakeDisk::new(memory.device_view(), frames.device_view(), 1000),
            platform,
            frames,
            registers,
            memory,
        }
    }

    fn submit(&mut self, tag: u32, operation: DiskOperation, block: u64, frames: &[FrameId]) {
        let request = request(tag, operation, block, frames);
        self.disks.submit(&request, Time::from_ns(5)).unwrap();
        self.disks.flush();
    }

    /// Submits the read of a block at a time, and does not tell the device.
    fn queue(&mut self, tag: u32, block: u64, now_ns: u64) -> Result<(), DiskFull> {
        let frames = [frame(tag % 200)];
        let read = request(tag, DiskOperation::Read, block, &frames);
        self.disks.submit(&read, Time::from_ns(now_ns))
    }

    /// Lets the device serve one request and returns what the core learns.
    fn serve(&mut self) -> Option<DiskCompletion> {
        let request = self.device.take().expect("a request was published");
        if self.device.serve(&request) {
            self.disks.interrupt(0);
        }
        self.completion()
    }

    fn completion(&mut self) -> Option<DiskCompletion> {
        self.disks.completion(&mut self.platform)
    }

    fn reattach(&mut self) {
        let (memory, frames) = (self.memory.device_view(), self.frames.device_view());
        self.device = FakeDisk::new(memory, frames, 1000);
    }
}

fn request(tag: u32, operation: DiskOperation, block: u64, frames: &[FrameId]) -> DiskRequest<'_> {
    DiskRequest {
        tag,
        disk: 0,
        operation,
        block,
        frames,
    }
}

fn frame(nth: u32) -> FrameId {
    FrameId(FRAME_FIRST + nth)
}

fn done(tag: u32, result: Result<(), DiskError>) -> Option<DiskCompletion> {
    Some(DiskCompletion { tag, result })
}

#[test]
fn frames_go_to_the_disk_and_come_back_in_their_order() {
    let mut setup = Setup::new();
    for nth in 0..4 {
        setup
            .frames
            .copy_in(nth * 4096, &[b'a' + u8::try_from(nth).unwrap(); 4096]);
    }
    let scattered = [frame(3), frame(0), frame(1), frame(2)];
    setup.submit(7, DiskOperation::Write, 500, &scattered);
    assert_eq!(setup.serve(), done(7, Ok(())));
    let written: Vec<u8> = (500..504)
        .map(|block| setup.device.contents[block * 4096])
        .collect();
    assert_eq!(written, *b"dabc");
    setup.submit(8, DiskOperation::Read, 501, &[frame(9), frame(8)]);
    assert_eq!(setup.serve(), done(8, Ok(())));
    assert_eq!(setup.frames.read_u8(9 * 4096 + 4095), b'a');
    assert_eq!(setup.frames.read_u8(8 * 4096), b'b');
    assert_eq!(setup.completion(), None);
}

#[test]
fn neighbouring_frames_are_one_piece() {
    let mut setup = Setup::new();
    let frames: Vec<FrameId> = (0..64).map(frame).collect();
    setup.submit(1, DiskOperation::Read, 0, &frames);
    let whole = setup.device.take().unwrap();
    assert_eq!(whole.pieces, [(u64::from(FRAME_FIRST) * 4096, 64 * 4096)]);
    let apart: Vec<FrameId> = (0..64).map(|nth| frame(2 * nth)).collect();
    setup.submit(2, DiskOperation::Read, 0, &apart);
    assert_eq!(setup.device.take().unwrap().pieces.len(), DISK_FRAMES_MAX);
}

#[test]
fn many_requests_are_under_way_and_end_in_any_order() {
    let mut setup = Setup::new();
    for tag in 0..128 {
        setup.queue(tag, u64::from(tag), 5).unwrap();
    }
    assert_eq!(setup.queue(128, 0, 5), Err(DiskFull));
    assert!(setup.device.take().is_none(), "nothing before the flush");
    setup.disks.flush();
    let mut requests: Vec<_> = core::iter::from_fn(|| setup.device.take()).collect();
    requests.reverse();
    let interrupts = requests.iter().filter(|&it| setup.device.serve(it)).count();
    assert_eq!(
        interrupts, 1,
        "one interrupt for all that come before it is served"
    );
    setup.disks.interrupt(0);
    for tag in (0..128).rev() {
        assert_eq!(setup.completion(), done(tag, Ok(())));
    }
    assert_eq!((setup.completion(), setup.disks.has_event()), (None, false));
    assert_eq!(setup.disks.deadline(), None);
    assert!(setup.queue(128, 0, 5).is_ok());
}

#[test]
fn a_batch_rings_the_bell_once() {
    let mut setup = Setup::new();
    let rung = |setup: &mut Setup| {
        let rung = setup.registers.read_u16(NOTIFICATIONS) == 0;
        setup.registers.write_u16(NOTIFICATIONS, 0xffff);
        rung
    };
    let _ = rung(&mut setup);
    setup.submit(1, DiskOperation::Flush, 0, &[]);
    assert!(rung(&mut setup));
    setup.submit(2, DiskOperation::Flush, 0, &[]);
    assert!(
        !rung(&mut setup),
        "the device has not asked to be told again"
    );
    setup.disks.flush();
    assert!(!rung(&mut setup));
}

#[test]
fn flushes_reach_a_device_that_caches_and_no_other() {
    let mut setup = Setup::new();
    setup.submit(1, DiskOperation::Flush, 99, &[]);
    let flush = setup.device.take().unwrap();
    assert_eq!((flush.kind, flush.sector, flush.pieces.len()), (4, 0, 0));
    assert!(setup.device.answer(&flush, 0, 1));
    setup.disks.interrupt(0);
    assert_eq!(setup.completion(), done(1, Ok(())));
    let mut platform = FakePlatform::with_disks(&[8000], 0);
    let mut disks = Disks::probe(&mut platform, &VECTORS);
    let flush = request(2, DiskOperation::Flush, 0, &[]);
    disks.submit(&flush, Time::from_ns(5)).unwrap();
    assert!(disks.has_event());
    assert_eq!(disks.completion(&mut platform), done(2, Ok(())));
}

#[test]
fn several_disks_of_any_size_are_used_as_far_as_blocks_reach() {
    let sizes = [0, 7, 8, 8001, u64::MAX];
    let mut platform = FakePlatform::with_disks(&sizes, FEATURE_READ_ONLY);
    let mut disks = Disks::probe(&mut platform, &[1, 2, 3, 4, 5]);
    let blocks: Vec<u64> = disks.infos().iter().map(|info| info.blocks).collect();
    assert_eq!(blocks, [0, 0, 1, 1000, u64::MAX / 8]);
    assert!(
        disks
            .infos()
            .iter()
            .all(|info| info.writable == Writable::No)
    );
    let frames = [frame(0)];
    let write = request(1, DiskOperation::Write, 0, &frames);
    for (disk, error) in [(0, DiskError::OutOfRange), (2, DiskError::ReadOnly)] {
        disks
            .submit(&DiskRequest { disk, ..write }, Time::from_ns(5))
            .unwrap();
        assert_eq!(disks.completion(&mut platform), done(1, Err(error)));
    }
    assert_eq!(
        Disks::probe(&mut FakePlatform::with_disks(&sizes, 0), &VECTORS)
            .infos()
            .len(),
        2
    );
}

#[test]
fn unusable_disks_are_left_out() {
    let spoil: [(usize, u32, u32); 3] = [
        (0x200c, 63, FEATURE_SEGMENTS_MAX),
        (0x2014, 8192, FEATURE_BLOCK_SIZE),
        (0x2014, 0, FEATURE_BLOCK_SIZE),
    ];
    for (register, value, feature) in spoil {
        let mut platform = FakePlatform::with_disks(&[8000, 800], feature);
        let (mut registers, _) = platform.views();
        registers.write_u32(register, value);
        let disks = Disks::probe(&mut platform, &VECTORS);
        assert_eq!(disks.infos().len(), 1, "{register:#x}");
        assert_eq!(disks.infos()[0].blocks, 100);
    }
    let mut platform = FakePlatform::with_disks(&[8000], 0);
    platform.exhaust_memory();
    assert!(Disks::probe(&mut platform, &VECTORS).infos().is_empty());
    let mut platform = FakePlatform::with_disks(&[8000], 0);
    let (mut registers, _) = platform.views();
    registers.write_u16(24, 65);
    assert!(
        Disks::probe(&mut platform, &VECTORS).infos().is_empty(),
        "a short queue"
    );
}

#[test]
fn what_the_device_did_not_do_is_an_error() {
    for (operation, status, length) in [
        (DiskOperation::Read, 1, 4097),
        (DiskOperation::Read, 2, 4097),
        (DiskOperation::Read, 0xff, 4097),
        (DiskOperation::Read, 0, 4095),
        (DiskOperation::Read, 0, 1),
        (DiskOperation::Read, 0, 4098),
        (DiskOperation::Read, 0, u32::MAX),
        (DiskOperation::Write, 1, 1),
        (DiskOperation::Write, 0xff, 0),
    ] {
        let mut setup = Setup::new();
        setup.submit(3, operation, 0, &[frame(0)]);
        let request = setup.device.take().unwrap();
        setup.device.answer(&request, status, length);
        setup.disks.interrupt(0);
        let expected = done(3, Err(DiskError::Device));
        assert_eq!(
            setup.completion(),
            expected,
            "{operation:?} {status} {length}"
        );
    }
}

#[test]
fn a_device_that_breaks_the_protocol_is_reset_and_its_requests_fail() {
    let lies: [fn(&mut FakeDisk) -> bool; 4] = [
        |device| device.queue.finish(127, 1),
        |device| device.queue.finish(u32::MAX, 1),
        |device| device.queue.set_used_index(0x8000),
        |device| {
            let request = device.take().unwrap();
            device.serve(&request) | device.serve(&request)
        },
    ];
    for (nth, lie) in lies.into_iter().enumerate() {
        let mut setup = Setup::new();
        for tag in [1, 2] {
            setup.submit(tag, DiskOperation::Read, 0, &[frame(tag)]);
        }
        lie(&mut setup.device);
        setup.disks.interrupt(0);
        let mut ends: Vec<_> = core::iter::from_fn(|| setup.completion()).collect();
        ends.sort_by_key(|end| end.tag);
        assert_eq!(ends.len(), 2, "lie {nth}");
        assert_eq!(ends[1].result, Err(DiskError::Broken), "lie {nth}");
        // It works again.
        setup.reattach();
        setup.submit(3, DiskOperation::Read, 0, &[frame(3)]);
        assert_eq!(setup.serve(), done(3, Ok(())));
    }
}

#[test]
fn a_late_answer_to_a_request_before_a_reset_answers_nothing() {
    let mut setup = Setup::new();
    setup.submit(1, DiskOperation::Read, 0, &[frame(0)]);
    let late = setup.device.take().unwrap();
    setup
        .disks
        .expire(Time::from_ns(5 + TIMEOUT_NS), &mut setup.platform);
    assert_eq!(setup.completion(), done(1, Err(DiskError::Timeout)));
    setup.device.answer(&late, 0, 4097);
    setup.disks.interrupt(0);
    assert_eq!(setup.completion(), None, "reset again rather than believed");
    setup.reattach();
    setup.submit(2, DiskOperation::Read, 0, &[frame(0)]);
    assert_eq!(setup.serve(), done(2, Ok(())));
}

#[test]
fn a_hung_device_times_out_even_while_it_serves_others() {
    let mut setup = Setup::new();
    setup.submit(1, DiskOperation::Read, 0, &[frame(0)]);
    let _hung = setup.device.take().unwrap();
    setup.queue(2, 0, TIMEOUT_NS).unwrap();
    setup.disks.flush();
    assert_eq!(setup.serve(), done(2, Ok(())));
    let deadline = setup.disks.deadline().unwrap();
    assert_eq!(deadline, Time::from_ns(5 + TIMEOUT_NS));
    setup
        .disks
        .expire(Time::from_ns(4 + TIMEOUT_NS), &mut setup.platform);
    assert_eq!(setup.completion(), None);
    setup.disks.expire(deadline, &mut setup.platform);
    assert!(setup.disks.has_event());
    assert_eq!(setup.completion(), done(1, Err(DiskError::Timeout)));
    assert_eq!(setup.disks.deadline(), None);
}

#[test]
fn the_deadline_is_that_of_what_is_still_under_way() {
    let mut setup = Setup::new();
    setup.submit(1, DiskOperation::Read, 0, &[frame(0)]);
    setup.queue(2, 0, 1000).unwrap();
    setup.disks.flush();
    assert_eq!(setup.serve(), done(1, Ok(())));
    setup
        .disks
        .expire(Time::from_ns(5 + TIMEOUT_NS), &mut setup.platform);
    assert_eq!(
        setup.completion(),
        None,
        "the first was in time, the second has time"
    );
    assert_eq!(
        setup.disks.deadline(),
        Some(Time::from_ns(1000 + TIMEOUT_NS))
    );
}

#[test]
fn a_device_that_hangs_again_and_again_is_given_up() {
    let mut setup = Setup::new();
    for tag in 0..8 {
        setup.submit(tag, DiskOperation::Write, 0, &[frame(0)]);
        setup
            .disks
            .expire(Time::from_ns(5 + TIMEOUT_NS), &mut setup.platform);
        assert_eq!(setup.completion(), done(tag, Err(DiskError::Timeout)));
    }
    assert_eq!(
        setup.registers.read_u8(STATUS) & 128,
        128,
        "told that it failed"
    );
    setup.submit(9, DiskOperation::Write, 0, &[frame(0)]);
    assert_eq!(setup.completion(), done(9, Err(DiskError::Broken)));
}

#[test]
fn a_random_liar_never_loses_or_repeats_a_request() {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    for _ in 0..40 {
        let mut setup = Setup::new();
        let mut open = std::collections::BTreeSet::new();
        for tag in 0..500 {
            if setup.queue(tag, 0, 5).is_ok() {
                open.insert(tag);
            }
            setup.disks.flush();
            match (random() % 8, setup.device.take()) {
                (0, _) => {
                    let id = u32::try_from(random() % 140).unwrap();
                    setup.device.queue.finish(id, 9);
                }
                (1, Some(_)) | (_, None) => {}
                (_, Some(request)) => {
                    setup.device.serve(&request);
                }
            }
            setup.disks.interrupt(0);
            while let Some(DiskCompletion { tag, result }) = setup.completion() {
                assert!(open.remove(&tag), "tag {tag} was not under way");
                if result == Err(DiskError::Broken) {
                    setup.reattach();
                }
            }
        }
        setup
            .disks
            .expire(Time::from_ns(5 + TIMEOUT_NS), &mut setup.platform);
        while let Some(DiskCompletion { tag, .. }) = setup.completion() {
            assert!(open.remove(&tag), "tag {tag} was not under way");
        }
        assert!(open.is_empty(), "{open:?} never ended");
    }
}
