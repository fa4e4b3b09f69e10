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

#[test]
fn scoped_threads_borrow_and_have_ended_when_the_scope_ends() {
    let numbers: Vec<u32> = (0..100).collect();
    let total = GuestCell::new(0);
    let longest = scope(|scope| {
        for part in numbers.chunks(7) {
            scope.spawn(|| {
                yield_now();
                total.with(|total| *total += part.iter().sum::<u32>());
            });
        }
        let named = Builder::new().name("counter");
        let counting = named.spawn_scoped(scope, || numbers.iter().max()).unwrap();
        assert_eq!(counting.thread().name(), Some("counter"));
        counting.join().copied()
    });
    assert_eq!((longest, total.into_inner()), (Some(99), 4_950));
}

mod locals {
    use super::*;
    use core::cell::{Cell, RefCell};

    crate::thread_local! {
        static COUNT: Cell<u32> = const { Cell::new(7) };
        static NAMES: RefCell<Vec<u32>> = RefCell::new(Vec::new());
    }

    #[test]
    fn each_thread_has_its_own_value() {
        COUNT.set(1);
        let handles: Vec<_> = (10..20)
            .map(|n| {
                spawn(move || {
                    assert_eq!(COUNT.replace(n), 7);
                    yield_now();
                    NAMES.with_borrow_mut(|names| names.push(n));
                    (COUNT.get(), NAMES.with_borrow(Vec::len))
                })
            })
            .collect();
        for (handle, n) in handles.into_iter().zip(10..) {
            assert_eq!(handle.join(), (n, 1));
        }
        assert_eq!(COUNT.get(), 1);
    }

    static DROPPED: GuestCell<Vec<&str>> = GuestCell::new(Vec::new());

    struct Witness(&'static str);

    impl Drop for Witness {
        fn drop(&mut self) {
            DROPPED.with(|dropped| dropped.push(self.0));
            // One that is gone is not made again; one that never was is made and dropped, too.
            assert!(SECOND.try_with(|_| ()).is_err());
            LATE.try_with(|_| ()).unwrap_or_default();
            yield_now();
        }
    }

    crate::thread_local! {
        static FIRST: Witness = Witness("first");
        static SECOND: Witness = Witness("second");
        static LATE: Cell<u32> = Cell::new(0);
    }

    #[test]
    fn values_are_dropped_at_the_end_of_the_thread_the_last_made_first() {
        spawn(|| {
            FIRST.with(|_| ());
            SECOND.try_with(|_| ()).unwrap_or_default();
        })
        .join();
        for _ in 0..10 {
            yield_now();
        }
        assert_eq!(DROPPED.with(core::mem::take), ["second", "first"]);
    }
}

/// Lets threads yield, sleep, wake and wait at random, and checks that between becoming runnable
/// and running a thread is overtaken by none.
#[test]
fn nobody_runs_twice_while_another_is_runnable() {
    let seed = std::env::var("SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or_else(|| Instant::now().as_ns() | 1);
    std::println!("SEED={seed}");
    let fair = Arc::new(Fair::default());
    let queue = Arc::new(WaitQueue::new());
    let handles: Vec<_> = (0..20_u64)
        .map(|n| {
            let (fair, queue) = (Arc::clone(&fair), Arc::clone(&queue));
            spawn(move || {
                let mut random = seed.wrapping_add(n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
                for _ in 0..200 {
                    random = random
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1);
                    match random >> 61 {
                        0 => sleep(Duration::from_micros(random >> 56 & 63)),
                        1 => park_timeout(Duration::from_micros(random >> 56 & 63)),
                        2 => drop(queue.wait_until(Instant::now() + Duration::from_micros(50))),
                        3 => drop(queue.wake_one()),
                        _ => fair.yield_now(n),
                    }
                }
            })
        })
        .collect();
    handles.into_iter().for_each(JoinHandle::join);
}

/// Who yielded when, and who has run since.
#[derive(Default)]
struct Fair {
    /// For each thread that yields: which others have yielded since.
    waiting: GuestCell<Vec<(u64, Vec<u64>)>>,
}

impl Fair {
    fn yield_now(&self, thread: u64) {
        self.waiting.with(|waiting| {
            for (_, since) in waiting.iter_mut() {
                assert!(!since.contains(&thread), "{thread} overtook another");
                since.push(thread);
            }
            waiting.push((thread, Vec::new()));
        });
        yield_now();
        self.waiting
            .with(|waiting| waiting.retain(|(other, _)| *other != thread));
    }
}
