//! The fake disks, as the core's tests rely on them.

use super::*;
use crate::machine::{Event, Machine};

fn machine() -> FakeMachine {
    let mut machine = FakeMachine::new(256);
    machine.fake_disks().add(1000, Writable::Yes);
    machine.fake_disks().add(10, Writable::No);
    for frame in 0..256 {
        machine.zero_frame(FrameId(frame));
    }
    machine
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

fn finish(machine: &mut FakeMachine) -> DiskCompletion {
    machine.idle_until(None);
    assert_eq!(machine.poll_event(), Some(Event::DiskDone));
    machine.disk_completion().unwrap()
}

/// Writes one frame of `fill` to `block` and reads it back into another; returns what came.
fn round_trip(machine: &mut FakeMachine, block: u64, fill: u8) -> [u8; FRAME_LEN] {
    machine.write_frame(FrameId(0), 0, &[fill; FRAME_LEN]);
    for (tag, operation, frame) in [(1, DiskOperation::Write, 0), (2, DiskOperation::Read, 1)] {
        machine
            .disk_submit(&request(tag, operation, block, &[FrameId(frame)]))
            .unwrap();
        assert_eq!(finish(machine).result, Ok(()));
    }
    let mut bytes = [0; FRAME_LEN];
    machine.read_frame(FrameId(1), 0, &mut bytes);
    bytes
}

#[test]
fn what_was_written_is_read_back() {
    let mut machine = machine();
    assert_eq!(round_trip(&mut machine, 7, 0x11), [0x11; FRAME_LEN]);
    assert_eq!(machine.fake_disks().contents(0, 7), [0x11; FRAME_LEN]);
    assert_eq!(machine.fake_disks().contents(0, 8), [0; FRAME_LEN]);
}

#[test]
fn requests_overtake_each_other_and_all_complete() {
    let mut machine = machine();
    machine.fake_disks().set_latency_ns(1000, 1_000_000);
    machine.fake_disks().set_requests_max(100);
    let frames: Vec<FrameId> = (0..100).map(FrameId).collect();
    for (tag, frame) in (0..).zip(&frames) {
        let frame = core::slice::from_ref(frame);
        machine
            .disk_submit(&request(tag, DiskOperation::Read, 0, frame))
            .unwrap();
    }
    let one_more = request(100, DiskOperation::Read, 0, &[FrameId(200)]);
    assert_eq!(machine.disk_submit(&one_more), Err(DiskFull));
    let mut tags: Vec<u32> = (0..100).map(|_| finish(&mut machine).tag).collect();
    assert!(!tags.is_sorted());
    tags.sort_unstable();
    assert_eq!(tags, (0..100).collect::<Vec<u32>>());
    assert_eq!(
        (machine.disk_completion(), machine.poll_event()),
        (None, None)
    );
}

#[test]
fn wrong_requests_complete_with_an_error() {
    let mut machine = machine();
    let frame = [FrameId(0)];
    let many: Vec<FrameId> = (0..65).map(FrameId).collect();
    let read = request(0, DiskOperation::Read, 0, &frame);
    let cases = [
        (DiskRequest { disk: 2, ..read }, DiskError::OutOfRange),
        (
            DiskRequest {
                block: 1000,
                ..read
            },
            DiskError::OutOfRange,
        ),
        (
            DiskRequest {
                block: u64::MAX,
                ..read
            },
            DiskError::OutOfRange,
        ),
        (
            DiskRequest {
                frames: &[],
                ..read
            },
            DiskError::OutOfRange,
        ),
        (
            DiskRequest {
                frames: &many,
                ..read
            },
            DiskError::OutOfRange,
        ),
        (
            DiskRequest {
                disk: 1,
                operation: DiskOperation::Write,
                ..read
            },
            DiskError::ReadOnly,
        ),
    ];
    for (request, error) in cases {
        machine.disk_submit(&request).unwrap();
        assert_eq!(finish(&mut machine).result, Err(error), "{request:?}");
    }
}

#[test]
fn each_fault_shows_as_what_it_is() {
    let ones = [0x11; FRAME_LEN];
    let differing = |bytes: &[u8; FRAME_LEN]| bytes.iter().filter(|&&byte| byte != 0x11).count();
    for seed in 1..100 {
        let mut machine = machine();
        machine.fake_disks().set_seed(seed);
        machine.fake_disks().inject(DiskFault::Flip);
        assert_eq!(differing(&round_trip(&mut machine, 3, 0x11)), 1);
        assert_eq!(machine.fake_disks().contents(0, 3), ones);
        machine.fake_disks().inject(DiskFault::Torn);
        let torn = differing(&round_trip(&mut machine, 4, 0x11));
        assert!(torn.is_multiple_of(SECTOR_LEN) && (1..FRAME_LEN).contains(&torn));
        machine.fake_disks().inject(DiskFault::Stale);
        assert_eq!(round_trip(&mut machine, 4, 0x22)[0], 0x11);
        machine.fake_disks().inject(DiskFault::Misdirected);
        assert_eq!(round_trip(&mut machine, 5, 0x11), [0; FRAME_LEN]);
        let stray = (0..1000).filter(|&block| machine.fake_disks().contents(0, block) == ones);
        assert_eq!(stray.count(), 2, "block 3 and where block 5 went");
        assert_eq!(machine.fake_disks().faults(), 4);
    }
}

#[test]
fn errors_come_as_often_as_the_odds_say() {
    let mut machine = machine();
    machine.fake_disks().set_odds(DiskFault::Error, 10);
    let mut errors = 0;
    for tag in 0..10_000 {
        machine
            .disk_submit(&request(tag, DiskOperation::Flush, 0, &[]))
            .unwrap();
        errors += usize::from(finish(&mut machine).result == Err(DiskError::Device));
    }
    assert!((900..1100).contains(&errors), "{errors}");
}

#[test]
#[should_panic(expected = "belongs to a disk")]
fn a_frame_under_way_must_not_be_written() {
    let mut machine = machine();
    machine.fake_disks().set_latency_ns(10, 10);
    machine
        .disk_submit(&request(1, DiskOperation::Write, 0, &[FrameId(5)]))
        .unwrap();
    machine.write_frame(FrameId(5), 0, &[1]);
}
