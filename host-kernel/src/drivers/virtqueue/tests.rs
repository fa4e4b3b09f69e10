//! The queue against an honest and a lying device.

use super::fake::{FakeQueue, buffers};
use super::*;

fn pair(count: u16) -> (Virtqueue, FakeQueue) {
    let memory = DeviceMemory::for_test(0x8000, QUEUE_BYTES);
    let view = memory.device_view();
    let buffers = buffers(count, Direction::FromDevice);
    let queue = Virtqueue::new(memory, buffers, Suppression::EventIndex);
    let device = FakeQueue::new(view, queue.addresses(), count);
    (queue, device)
}

fn post_all(queue: &mut Virtqueue) -> Notify {
    while let Some(buffer) = queue.take_free() {
        queue.post(buffer, 2048);
    }
    queue.publish()
}

#[test]
fn buffers_go_around_many_times() {
    let (mut queue, mut device) = pair(8);
    let _ = post_all(&mut queue);
    for turn in 0..200_000u32 {
        let (id, address, length) = device.take().unwrap();
        assert_eq!(address, 0x1_0000_0000 + 2048 * u64::from(id));
        assert_eq!(length, 2048);
        device.finish(u32::from(id), turn % 2049);
        let used = queue.take_used().unwrap().unwrap();
        assert_eq!(
            used,
            Used {
                buffer: id,
                length: turn % 2049,
                clamped: false
            }
        );
        assert_eq!(queue.take_used(), Ok(None));
        queue.post(used.buffer, 2048);
        let _ = queue.publish();
    }
}

#[test]
fn the_device_sees_nothing_before_publish() {
    let (mut queue, mut device) = pair(4);
    let buffer = queue.take_free().unwrap();
    queue.post(buffer, 60);
    assert_eq!(device.take(), None);
    assert_eq!(queue.publish(), Notify::Needed);
    assert_eq!(device.take(), Some((0, 0x1_0000_0000, 60)));
    assert_eq!(queue.publish(), Notify::NotNeeded, "nothing new");
}

#[test]
fn the_device_is_notified_only_when_it_asked() {
    let (mut queue, mut device) = pair(8);
    assert_eq!(post_all(&mut queue), Notify::Needed);
    device.set_available_event(9);
    for expected in [Notify::NotNeeded, Notify::Needed, Notify::NotNeeded] {
        let (id, ..) = device.take().unwrap();
        device.finish(u32::from(id), 1);
        let used = queue.take_used().unwrap().unwrap();
        queue.post(used.buffer, 2048);
        assert_eq!(queue.publish(), expected);
    }
}

/// What a machine without a fence between write and read makes of it.
#[test]
fn a_wish_that_was_seen_too_late_is_found_by_the_second_look() {
    let (mut queue, mut device) = pair(8);
    assert_eq!(post_all(&mut queue), Notify::Needed);
    device.set_available_event(100);
    for _ in 0..2 {
        let (id, ..) = device.take().unwrap();
        device.finish(u32::from(id), 1);
        assert!(queue.has_used());
        let used = queue.take_used().unwrap().unwrap();
        assert!(!queue.has_used());
        queue.post(used.buffer, 2048);
        assert_eq!(queue.publish(), Notify::NotNeeded);
    }
    device.set_available_event(8);
    assert_eq!(queue.look_again(), Notify::Needed);
    assert_eq!(queue.look_again(), Notify::NotNeeded, "told by now");
    device.set_available_event(10);
    assert_eq!(queue.look_again(), Notify::NotNeeded, "nothing is new");
}

#[test]
fn interrupts_come_only_when_armed() {
    let (mut queue, mut device) = pair(8);
    let _ = post_all(&mut queue);
    assert!(!device.finish(0, 1), "a new queue is disarmed");
    assert!(queue.arm(1), "one is done already");
    assert_eq!(queue.take_used().unwrap().unwrap().buffer, 0);
    assert!(!queue.arm(1));
    assert!(device.finish(1, 1));
    assert!(!queue.arm(3), "one done, three wanted");
    assert!(!device.finish(2, 1));
    assert!(device.finish(3, 1));
    queue.disarm();
    assert!(!device.finish(4, 1));
}

#[test]
fn without_event_index_flags_suppress() {
    let memory = DeviceMemory::for_test(0, QUEUE_BYTES);
    let mut view = memory.device_view();
    let buffers = buffers(4, Direction::ToDevice);
    let mut queue = Virtqueue::new(memory, buffers, Suppression::Flags);
    assert_eq!(view.read_u16(AVAILABLE), AVAILABLE_NO_INTERRUPT);
    assert!(!queue.arm(1));
    assert_eq!(view.read_u16(AVAILABLE), 0);
    assert_eq!(post_all(&mut queue), Notify::Needed);
    view.write_u16(USED, USED_NO_NOTIFY);
    let (id, _) = (
        view.write_u16(USED + INDEX, 1),
        view.write_u32(USED + RING, 2),
    );
    let () = id;
    let used = queue.take_used().unwrap().unwrap();
    queue.post(used.buffer, 10);
    assert_eq!(queue.publish(), Notify::NotNeeded);
}

#[test]
fn wrong_and_repeated_buffers_are_violations() {
    for lie in [8, 255, 256, 0xffff, 0x1_0000, u32::MAX] {
        let (mut queue, mut device) = pair(8);
        let _ = post_all(&mut queue);
        device.finish(lie, 1);
        assert_eq!(queue.take_used(), Err(Violation::NotInFlight(lie)));
    }
    let (mut queue, mut device) = pair(8);
    let _ = post_all(&mut queue);
    device.finish(3, 1);
    device.finish(3, 1);
    assert!(queue.take_used().is_ok());
    assert_eq!(queue.take_used(), Err(Violation::NotInFlight(3)));
}

#[test]
fn a_used_index_beyond_what_is_in_flight_is_a_violation() {
    for lie in [1, 7, 300, 0x8000, 0xffff] {
        let (mut queue, mut device) = pair(8);
        device.set_used_index(lie);
        assert_eq!(
            queue.take_used(),
            Err(Violation::UsedIndex(lie)),
            "nothing is in flight"
        );
    }
    let (mut queue, mut device) = pair(8);
    let _ = post_all(&mut queue);
    device.set_used_index(9);
    assert_eq!(queue.take_used(), Err(Violation::UsedIndex(9)));
}

#[test]
fn lengths_are_clamped_to_the_buffer() {
    let (mut queue, mut device) = pair(8);
    let _ = post_all(&mut queue);
    device.finish(5, u32::MAX);
    let used = queue.take_used().unwrap().unwrap();
    assert_eq!(
        used,
        Used {
            buffer: 5,
            length: 2048,
            clamped: true
        }
    );
}

#[test]
fn a_random_liar_never_corrupts_the_books() {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    let (mut queue, mut device) = pair(16);
    for _ in 0..50_000 {
        let _ = post_all(&mut queue);
        let roll = random();
        let honest = roll % 4 != 0;
        match device.take() {
            Some((id, ..)) if honest => {
                device.finish(u32::from(id), 100);
            }
            _ => {
                let [id, a, b, c, ..] = roll.to_be_bytes();
                device.finish(u32::from(id % 20), u32::from_le_bytes([a, b, c, 0]));
            }
        }
        match queue.take_used() {
            Ok(Some(used)) => queue.give_back(used.buffer),
            Ok(None) => {}
            Err(_) => {
                queue.reset();
                device = FakeQueue::new(queue.memory.device_view(), queue.addresses(), 16);
            }
        }
        let in_flight = queue.in_flight.iter().filter(|&&it| it).count();
        assert_eq!(in_flight + queue.free.len(), 16);
    }
}
