//! Descriptors of every kind but sockets, which need a VM.

use super::epoll::{Epoll, Happened};
use super::event::{Event, Taking};
use super::pipe::pipe;
use super::timer::{Setting, Timer};
use super::*;
use crate::libc::errno::{EBADF, EEXIST, EMFILE, ENOENT, EPIPE};
use crate::thread;
use crate::time::Duration;
use alloc::vec::Vec;

const SOON: Duration = Duration::from_millis(2);

/// What `epoll_ctl` says for an edge and for once.
const EDGE: u32 = 1 << 31;
const ONESHOT: u32 = 1 << 30;

fn wanted(events: u32, data: u64) -> Happened {
    Happened { events, data }
}

/// Looks at a set without waiting and returns what has happened.
fn look(epoll: &Epoll) -> Vec<(u64, u32)> {
    let mut found = Vec::new();
    epoll.wait(16, Some(Instant::from_ns(0)), |_, happened| {
        found.push((
            happened.data,
            happened.events & (epoll::IN | epoll::OUT | epoll::HUP),
        ));
    });
    found
}

#[test]
fn numbers_are_the_lowest_free_ones_and_bounded() {
    // Other tests open descriptors at the same time, so this one looks far above theirs.
    let far = 9_000;
    let one = duplicate(1, far).unwrap();
    let two = duplicate(one, far).unwrap();
    assert_eq!((one, two), (far, far + 1));
    close(one).unwrap();
    assert_eq!(duplicate(2, far).unwrap(), one);
    assert_eq!(close(far + 50), Err(Errno(EBADF)));
    assert_eq!(get(-1).unwrap_err(), Errno(EBADF));
    assert_eq!(duplicate_to(two, one), Ok(one));
    assert_eq!(duplicate(1, 16_384), Err(Errno(EMFILE)));
    close(one).unwrap();
    close(two).unwrap();
    assert_eq!(read(0, &mut [0; 4]), Ok(0));
}

#[test]
fn a_pipe_wakes_its_reader_and_ends_with_its_writer() {
    let (reader, writer) = pipe();
    let from = open(|| reader, false).unwrap();
    let to = open(|| writer, false).unwrap();
    let other = thread::spawn(move || {
        thread::sleep(SOON);
        write(to, b"hello").unwrap();
        close(to).unwrap();
    });
    let mut buffer = [0; 8];
    assert_eq!(read(from, &mut buffer), Ok(5));
    assert_eq!(read(from, &mut buffer), Ok(0));
    other.join();
    close(from).unwrap();
}

#[test]
fn a_full_pipe_waits_for_its_reader_or_fails_without_one() {
    let (reader, writer) = pipe();
    let from = open(|| reader, false).unwrap();
    let to = open(|| writer, true).unwrap();
    let block = alloc::vec![7; 60_000];
    assert_eq!(write(to, &block), Ok(60_000));
    assert_eq!(write(to, &block), Ok(5_536));
    assert_eq!(write(to, b"x"), Err(Errno(EAGAIN)));
    get(to).unwrap().set_nonblocking(false);
    let other = thread::spawn(move || {
        thread::sleep(SOON);
        read(from, &mut alloc::vec![0; 60_000])
    });
    assert_eq!(write(to, b"waited"), Ok(6));
    other.join().unwrap();
    assert_eq!(get(from).unwrap().object().available(), Ok(5_542));
    close(from).unwrap();
    assert_eq!(write(to, b"x"), Err(Errno(EPIPE)));
    close(to).unwrap();
}

#[test]
fn a_counter_counts() {
    let count = Event::new(3, Taking::All);
    let mut buffer = [0; 8];
    assert_eq!(count.try_write(&2_u64.to_le_bytes()), Ok(8));
    assert_eq!(
        (count.try_read(&mut buffer), buffer),
        (Ok(8), 5_u64.to_le_bytes())
    );
    assert_eq!(count.try_read(&mut buffer), Err(Errno(EAGAIN)));
    assert_eq!(count.try_write(&u64::MAX.to_le_bytes()), Err(Errno(EINVAL)));
    assert_eq!(count.try_write(&(u64::MAX - 1).to_le_bytes()), Ok(8));
    assert_eq!(count.try_write(&1_u64.to_le_bytes()), Err(Errno(EAGAIN)));
    assert!(!count.readiness().writable);
    let one = Event::new(2, Taking::One);
    assert_eq!(
        (one.try_read(&mut buffer), buffer),
        (Ok(8), 1_u64.to_le_bytes())
    );
    assert_eq!(one.try_read(&mut [0; 7]), Err(Errno(EINVAL)));
    assert!(one.readiness().readable);
}

#[test]
fn a_timer_expires_once_or_again_and_again() {
    let timer = open(|| Timer::new(1), false).unwrap();
    let description = get(timer).unwrap();
    let set = |next: Duration, interval| {
        let setting = Setting::new(Some(Instant::now() + next), interval);
        description.object().as_timer().unwrap().set(setting);
    };
    set(SOON, Duration::ZERO);
    let mut buffer = [0; 8];
    assert_eq!(
        (read(timer, &mut buffer), buffer),
        (Ok(8), 1_u64.to_le_bytes())
    );
    description.set_nonblocking(true);
    assert_eq!(read(timer, &mut buffer), Err(Errno(EAGAIN)));
    set(SOON, SOON);
    thread::sleep(5 * SOON);
    assert_eq!(read(timer, &mut buffer), Ok(8));
    assert!(u64::from_le_bytes(buffer) >= 4);
    description.set_nonblocking(false);
    assert_eq!(read(timer, &mut buffer), Ok(8));
    close(timer).unwrap();
}

#[test]
fn a_set_tells_of_levels_edges_and_once() {
    let epoll = Epoll::new();
    let event = open(|| Event::new(0, Taking::All), true).unwrap();
    let description = get(event).unwrap();
    let more = 1_u64.to_le_bytes();
    epoll
        .add(event, &description, wanted(epoll::IN, 7))
        .unwrap();
    assert_eq!(
        epoll.add(event, &description, wanted(epoll::IN, 7)),
        Err(Errno(EEXIST))
    );
    assert_eq!(look(&epoll), []);
    write(event, &more).unwrap();
    assert_eq!(look(&epoll), [(7, epoll::IN)]);
    assert_eq!(look(&epoll), [(7, epoll::IN)]);
    epoll
        .modify(event, &description, wanted(epoll::IN | EDGE, 8))
        .unwrap();
    assert_eq!(look(&epoll), [(8, epoll::IN)]);
    assert_eq!(look(&epoll), []);
    write(event, &more).unwrap();
    assert_eq!(look(&epoll), [(8, epoll::IN)]);
    assert_eq!(look(&epoll), []);
    epoll
        .modify(event, &description, wanted(epoll::IN | ONESHOT, 9))
        .unwrap();
    assert_eq!(look(&epoll), [(9, epoll::IN)]);
    write(event, &more).unwrap();
    assert_eq!(look(&epoll), []);
    epoll
        .modify(event, &description, wanted(epoll::IN | epoll::OUT, 10))
        .unwrap();
    assert_eq!(look(&epoll), [(10, epoll::IN | epoll::OUT)]);
    epoll.remove(event).unwrap();
    assert_eq!(epoll.remove(event), Err(Errno(ENOENT)));
    assert_eq!(look(&epoll), []);
    close(event).unwrap();
}

#[test]
fn a_set_wakes_who_waits_and_forgets_what_is_closed() {
    let epoll = Epoll::new();
    let (reader, writer) = pipe();
    let from = open(|| reader, true).unwrap();
    let to = open(|| writer, true).unwrap();
    epoll
        .add(from, &get(from).unwrap(), wanted(epoll::IN, 1))
        .unwrap();
    let other = thread::spawn(move || {
        thread::sleep(SOON);
        close(to).unwrap();
    });
    let mut found = Vec::new();
    let count = epoll.wait(4, None, |_, happened| found.push(happened.events));
    assert_eq!(count, 1);
    assert!(found[0] & epoll::HUP != 0, "{found:?}");
    other.join();
    close(from).unwrap();
    assert_eq!(look(&epoll), []);
    let soon = Instant::now() + SOON;
    assert_eq!(epoll.wait(4, Some(soon), |_, _| ()), 0);
    assert!(Instant::now() >= soon);
}

#[test]
fn a_set_can_be_watched_but_not_by_itself() {
    let (inner, event) = (open(Epoll::new, false).unwrap(), Event::new(0, Taking::All));
    let event = open(|| event, false).unwrap();
    let outer = Epoll::new();
    let set = get(inner).unwrap();
    let inner_set = set.object().as_epoll().unwrap();
    outer.add(inner, &set, wanted(epoll::IN, 1)).unwrap();
    inner_set
        .add(event, &get(event).unwrap(), wanted(epoll::IN, 2))
        .unwrap();
    assert_eq!(
        inner_set.add(inner, &set, wanted(epoll::IN, 3)),
        Err(Errno(EINVAL))
    );
    look(&outer);
    look(inner_set);
    write(event, &1_u64.to_le_bytes()).unwrap();
    assert_eq!(look(&outer), [(1, epoll::IN)]);
    assert_eq!(look(inner_set), [(2, epoll::IN)]);
    close(event).unwrap();
    close(inner).unwrap();
}
