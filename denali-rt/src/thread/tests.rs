//! Green threads, run for real on stacks of this machine's memory.

use super::*;
use alloc::vec::Vec;

/// A list several threads write to.
type Trace = Arc<GuestCell<Vec<u32>>>;

fn trace() -> (Trace, Trace) {
    let trace = Trace::default();
    (Arc::clone(&trace), trace)
}

#[test]
fn join_returns_what_the_thread_returned() {
    let handles: Vec<_> = (0..100_u64).map(|n| spawn(move || n * n)).collect();
    assert!(!handles[0].is_finished());
    let squares: u64 = handles.into_iter().map(JoinHandle::join).sum();
    assert_eq!(squares, 328_350);
}

#[test]
fn threads_take_turns_in_the_order_they_became_runnable() {
    let (theirs, ours) = trace();
    let handles: Vec<_> = (0..3)
        .map(|n| {
            let trace = Arc::clone(&theirs);
            spawn(move || {
                for round in 0..3 {
                    trace.with(|list| list.push(10 * round + n));
                    yield_now();
                }
            })
        })
        .collect();
    handles.into_iter().for_each(JoinHandle::join);
    assert_eq!(
        ours.with(core::mem::take),
        [0, 1, 2, 10, 11, 12, 20, 21, 22]
    );
}

#[test]
fn sleepers_wake_in_the_order_of_their_deadlines() {
    let (theirs, ours) = trace();
    let start = Instant::now();
    let handles: Vec<_> = [30, 10, 20]
        .map(|ms| {
            let trace = Arc::clone(&theirs);
            spawn(move || {
                sleep(Duration::from_millis(u64::from(ms)));
                trace.with(|list| list.push(ms));
            })
        })
        .into();
    handles.into_iter().for_each(JoinHandle::join);
    assert_eq!(ours.with(core::mem::take), [10, 20, 30]);
    assert!(start.elapsed() >= Duration::from_millis(30));
}

#[test]
fn unpark_ends_the_present_or_the_next_park() {
    let main = current();
    assert_eq!(main.name(), Some("main"));
    main.unpark();
    park();
    let parked = spawn(park);
    yield_now();
    assert!(!parked.is_finished());
    parked.thread().unpark();
    parked.join();
}

#[test]
fn unpark_does_not_end_other_waits() {
    let queue = Arc::new(WaitQueue::new());
    let theirs = Arc::clone(&queue);
    let waiting = spawn(move || {
        theirs.wait();
        park();
    });
    yield_now();
    waiting.thread().unpark();
    yield_now();
    assert!(!waiting.is_finished());
    assert!(queue.wake_one());
    waiting.join();
}

#[test]
fn park_gives_up_at_its_deadline() {
    let start = Instant::now();
    park_timeout(Duration::from_millis(5));
    assert!(start.elapsed() >= Duration::from_millis(5));
}

#[test]
fn a_dead_thread_is_not_taken_for_the_one_that_got_its_place() {
    let dead = spawn(|| ());
    let handle = dead.thread().clone();
    dead.join();
    let next = spawn(park);
    handle.unpark();
    yield_now();
    yield_now();
    assert!(!next.is_finished());
    next.thread().unpark();
    next.join();
}

#[test]
fn a_thread_knows_its_name() {
    let named = Builder::new().name("worker").stack(StackSize::Large);
    let name = named
        .spawn(|| current().name().map(String::from))
        .unwrap()
        .join();
    assert_eq!(name.as_deref(), Some("worker"));
}

#[test]
fn registers_and_floating_point_survive_switches() {
    let handles: Vec<_> = (1..=8_u32)
        .map(|n| {
            spawn(move || {
                let mut sum = 0.0_f64;
                for step in 0..1_000 {
                    sum += f64::from(n) * f64::from(step);
                    yield_now();
                }
                sum
            })
        })
        .collect();
    for (handle, n) in handles.into_iter().zip(1_u32..) {
        assert_eq!(
            handle.join().to_bits(),
            (f64::from(n) * 499_500.0).to_bits()
        );
    }
}

#[test]
fn ten_thousand_threads_come_and_go() {
    for _ in 0..100 {
        let handles: Vec<_> = (0..100).map(|_| spawn(yield_now)).collect();
        handles.into_iter().for_each(JoinHandle::join);
    }
}
