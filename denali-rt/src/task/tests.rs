//! Tasks among real green threads.

use super::*;
use crate::sync::{Arc, GuestCell, Mutex, Semaphore, WaitQueue, channel};
use crate::thread;
use crate::time::{Duration, Instant};
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::pin::pin;
use core::task::{Context, Waker};

const MOMENT: Duration = Duration::from_millis(5);
const LONG: Duration = Duration::from_secs(60);

#[test]
fn tasks_take_turns_in_the_order_they_became_ready() {
    let order = Rc::new(RefCell::new(Vec::new()));
    block_on(async {
        let tasks: Vec<_> = (0..3)
            .map(|n| {
                let order = Rc::clone(&order);
                spawn(async move {
                    for round in 0..3 {
                        order.borrow_mut().push(10 * round + n);
                        yield_now().await;
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await;
        }
    });
    assert_eq!(order.take(), [0, 1, 2, 10, 11, 12, 20, 21, 22]);
}

#[test]
fn a_thousand_sleeps_take_as_long_as_one() {
    let start = Instant::now();
    let sum = block_on(async {
        let tasks: Vec<_> = (0..1_000_u64)
            .map(|n| {
                spawn(async move {
                    sleep(MOMENT).await;
                    n
                })
            })
            .collect();
        let mut sum = 0;
        for task in tasks {
            sum += task.await;
        }
        sum
    });
    assert_eq!(sum, 499_500);
    assert!((MOMENT..MOMENT * 100).contains(&start.elapsed()));
}

#[test]
fn a_busy_task_does_not_keep_threads_waiting() {
    let rounds = Arc::new(GuestCell::new(0));
    let theirs = Arc::clone(&rounds);
    let thread = thread::spawn(move || {
        for _ in 0..10 {
            theirs.with(|rounds| *rounds += 1);
            thread::yield_now();
        }
    });
    block_on(async {
        let mut polls = 0;
        while rounds.with(|rounds| *rounds < 10) {
            polls += 1;
            assert!(polls < 100, "the thread starves");
            yield_now().await;
        }
    });
    thread.join();
}

#[test]
fn a_task_awaits_a_thread_and_a_thread_a_task() {
    let (to_task, in_task) = channel::bounded(1);
    let (to_thread, in_thread) = channel::unbounded();
    let thread = thread::spawn(move || {
        (0..10).for_each(|n| to_task.send(n).unwrap());
        drop(to_task);
        in_thread.iter().sum::<i32>()
    });
    let sum = block_on(async move {
        let relay = spawn(async move {
            while let Ok(number) = in_task.recv_async().await {
                to_thread.send_async(number).await.unwrap();
            }
        });
        relay.await;
        thread.join_async().await
    });
    assert_eq!(sum, 45);
}

#[test]
fn a_timeout_ends_what_takes_too_long_and_only_that() {
    struct Witness(Rc<Cell<bool>>);
    impl Drop for Witness {
        fn drop(&mut self) {
            self.0.set(true);
        }
    }
    let dropped = Rc::new(Cell::new(false));
    let witness = Witness(Rc::clone(&dropped));
    block_on(async {
        let slow = async move {
            let _witness = witness;
            sleep(LONG).await;
        };
        assert_eq!(timeout(MOMENT, slow).await, Err(Elapsed));
        assert!(dropped.get());
        assert_eq!(timeout(LONG, async { 7 }).await, Ok(7));
    });
}

#[test]
fn a_sleep_that_is_dropped_leaves_no_timer() {
    let before = thread::scheduler::next_deadline();
    block_on(async {
        let mut sleeping = sleep(LONG);
        let waker = Waker::noop();
        let poll = core::pin::Pin::new(&mut sleeping).poll(&mut Context::from_waker(waker));
        assert!(poll.is_pending());
        assert!(thread::scheduler::next_deadline().is_some());
    });
    assert_eq!(thread::scheduler::next_deadline(), before);
}

#[test]
#[expect(
    clippy::async_yields_async,
    reason = "the handle outlives its executor"
)]
fn tasks_that_are_left_over_are_dropped_with_their_executor() {
    let held = Rc::new(());
    let theirs = Rc::clone(&held);
    let handle = block_on(async {
        spawn(async move {
            sleep(LONG).await;
            drop(theirs);
        })
    });
    assert_eq!(Rc::strong_count(&held), 1);
    assert!(!handle.is_finished());
    handle.cancel();
}

#[test]
fn a_cancelled_task_goes_no_further() {
    let steps = Rc::new(Cell::new(0));
    let theirs = Rc::clone(&steps);
    block_on(async {
        let task = spawn(async move {
            loop {
                theirs.set(theirs.get() + 1);
                yield_now().await;
            }
        });
        yield_now().await;
        yield_now().await;
        task.cancel();
        let taken = steps.get();
        assert!(taken > 0);
        yield_now().await;
        yield_now().await;
        assert_eq!(steps.get(), taken);
    });
    assert_eq!(Rc::strong_count(&steps), 1);
}

#[test]
fn places_of_ended_tasks_are_used_again_and_not_mistaken() {
    block_on(async {
        for round in 0..100 {
            let first = spawn(async move { round });
            assert_eq!(first.await, round);
            let second = spawn(yield_now());
            yield_now().await;
            second.await;
        }
    });
}

#[test]
fn an_executor_runs_inside_of_another() {
    let result = block_on(async {
        let outer = spawn(async { 1 });
        let inner = block_on(async { spawn(async { 2 }).await });
        outer.await + inner
    });
    assert_eq!(result, 3);
}

#[test]
#[should_panic(expected = "code that `task::block_on` runs")]
fn a_task_needs_an_executor() {
    drop(spawn(async {}));
}

#[test]
fn a_wait_that_is_dropped_leaves_the_queue_and_passes_a_wake_on() {
    let queue = WaitQueue::new();
    let mut context = Context::from_waker(Waker::noop());
    {
        let waiting = pin!(queue.wait_async());
        assert!(waiting.poll(&mut context).is_pending());
        assert!(!queue.is_empty());
    }
    assert!(queue.is_empty());
    let mut second = pin!(queue.wait_async());
    {
        let mut first = pin!(queue.wait_async());
        assert!(first.as_mut().poll(&mut context).is_pending());
        assert!(second.as_mut().poll(&mut context).is_pending());
        assert!(queue.wake_one());
        assert!(second.as_mut().poll(&mut context).is_pending());
    }
    assert!(second.poll(&mut context).is_ready());
}

#[test]
fn a_permit_for_a_task_that_went_away_is_not_lost() {
    let semaphore = Semaphore::new(0);
    let mut context = Context::from_waker(Waker::noop());
    {
        let waiting = pin!(semaphore.acquire_async());
        assert!(waiting.poll(&mut context).is_pending());
        semaphore.release();
        assert_eq!(semaphore.available(), 0);
    }
    assert_eq!(semaphore.available(), 1);
}

#[test]
fn threads_and_tasks_queue_for_one_lock() {
    let order = Arc::new(Mutex::new(Vec::new()));
    let guard = order.lock();
    let theirs = Arc::clone(&order);
    let thread = thread::spawn(move || theirs.lock().push("thread"));
    thread::yield_now();
    block_on(async {
        let theirs = Arc::clone(&order);
        let task = spawn(async move { theirs.lock_async().await.push("task") });
        yield_now().await;
        yield_now().await;
        drop(guard);
        task.await;
    });
    thread.join();
    assert_eq!(*order.lock(), ["thread", "task"]);
}
