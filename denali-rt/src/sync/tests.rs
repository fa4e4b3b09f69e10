//! The primitives among real green threads.

use super::*;
use crate::thread::{self, JoinHandle, scheduler, spawn, yield_now};
use crate::time::{Duration, Instant};
use alloc::vec::Vec;
use channel::{RecvError, SendError, TryRecvError, TrySendError};

fn soon() -> Instant {
    Instant::now() + Duration::from_millis(5)
}

#[test]
fn a_mutex_admits_one_thread_at_a_time() {
    let count = Arc::new(Mutex::new(0));
    let handles: Vec<_> = (0..10)
        .map(|_| {
            let count = Arc::clone(&count);
            spawn(move || {
                for _ in 0..10 {
                    let mut guard = count.lock();
                    let before = *guard;
                    yield_now();
                    *guard = before + 1;
                }
            })
        })
        .collect();
    handles.into_iter().for_each(JoinHandle::join);
    assert_eq!(*count.lock(), 100);
}

#[test]
fn a_mutex_is_handed_to_who_waits_longest() {
    let order = Arc::new(Mutex::new(Vec::new()));
    let guard = order.lock();
    let handles: Vec<_> = (0..3)
        .map(|n| {
            let order = Arc::clone(&order);
            spawn(move || order.lock().push(n))
        })
        .collect();
    yield_now();
    drop(guard);
    assert!(order.try_lock().is_none());
    handles.into_iter().for_each(JoinHandle::join);
    assert_eq!(*order.lock(), [0, 1, 2]);
}

#[test]
fn a_lock_that_does_not_come_free_in_time_is_not_taken() {
    let mutex = Mutex::new(());
    let guard = mutex.lock();
    assert!(mutex.lock_until(soon()).is_none());
    drop(guard);
    assert!(mutex.lock_until(soon()).is_some());
}

#[test]
fn a_lock_handed_over_when_the_time_was_just_up_is_not_lost() {
    let mutex = Arc::new(Mutex::new(()));
    let theirs = Arc::clone(&mutex);
    let guard = mutex.lock();
    let deadline = Instant::now() + Duration::from_secs(60);
    let waiting = spawn(move || theirs.lock_until(deadline).is_some());
    yield_now();
    scheduler::wake_expired(deadline);
    drop(guard);
    assert!(waiting.join());
    assert!(mutex.try_lock().is_some());
}

#[test]
fn a_condition_wakes_those_who_wait_for_it() {
    let shared = Arc::new((Mutex::new(0), Condvar::new()));
    let theirs = Arc::clone(&shared);
    let waiting = spawn(move || *theirs.1.wait_while(theirs.0.lock(), |value| *value < 3));
    for _ in 0..3 {
        yield_now();
        *shared.0.lock() += 1;
        shared.1.notify_all();
    }
    assert_eq!(waiting.join(), 3);
    let (_guard, timed_out) = shared.1.wait_until(shared.0.lock(), soon());
    assert!(timed_out);
}

#[test]
fn a_semaphore_bounds_how_many_go_on() {
    let semaphore = Arc::new(Semaphore::new(2));
    let inside = Arc::new(GuestCell::new((0, 0)));
    let handles: Vec<_> = (0..10)
        .map(|_| {
            let (semaphore, inside) = (Arc::clone(&semaphore), Arc::clone(&inside));
            spawn(move || {
                semaphore.acquire();
                inside.with(|(now, most)| {
                    *now += 1;
                    *most = (*most).max(*now);
                });
                yield_now();
                inside.with(|(now, _)| *now -= 1);
                semaphore.release();
            })
        })
        .collect();
    handles.into_iter().for_each(JoinHandle::join);
    assert_eq!(inside.with(|counts| *counts), (0, 2));
    assert_eq!(semaphore.available(), 2);
    assert!(semaphore.try_acquire() && semaphore.try_acquire() && !semaphore.try_acquire());
    assert!(!semaphore.acquire_until(soon()));
}

#[test]
fn a_wait_that_timed_out_is_not_woken_in_anothers_place() {
    let queue = WaitQueue::new();
    assert!(queue.wait_until(soon()));
    assert!(queue.is_empty());
    assert!(!queue.wake_one());
    assert_eq!(queue.wake_all(), 0);
}

#[test]
fn a_bounded_channel_makes_its_senders_wait() {
    let (sender, receiver) = channel::bounded(2);
    let sending = spawn(move || (0..10).try_for_each(|n| sender.send(n)));
    yield_now();
    assert!(!sending.is_finished());
    assert_eq!(
        receiver.iter().collect::<Vec<_>>(),
        (0..10).collect::<Vec<_>>()
    );
    assert_eq!(sending.join(), Ok(()));
    assert_eq!(receiver.recv(), Err(RecvError));
}

#[test]
fn a_full_channel_gives_the_message_back() {
    let (sender, receiver) = channel::bounded(1);
    assert_eq!(sender.try_send(1), Ok(()));
    assert_eq!(sender.try_send(2), Err(TrySendError::Full(2)));
    drop(receiver);
    assert_eq!(sender.try_send(3), Err(TrySendError::Disconnected(3)));
    assert_eq!(sender.send(4), Err(SendError(4)));
}

#[test]
fn the_loss_of_the_receiver_frees_waiting_senders() {
    let (sender, receiver) = channel::bounded(1);
    let second = sender.clone();
    let sending = [sender, second].map(|sender| spawn(move || (sender.send(1), sender.send(2))));
    yield_now();
    drop(receiver);
    let results = sending.map(JoinHandle::join);
    assert!(results.iter().all(|(_, later)| *later == Err(SendError(2))));
}

#[test]
fn an_empty_channel_is_told_from_an_abandoned_one() {
    let (sender, receiver) = channel::unbounded::<u32>();
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    assert_eq!(receiver.recv_until(soon()), Err(TryRecvError::Empty));
    let receiving = spawn(move || receiver.recv());
    yield_now();
    drop(sender);
    assert_eq!(receiving.join(), Err(RecvError));
}

#[test]
fn a_once_lock_is_written_once_even_if_the_writer_waits() {
    let cell = Arc::new(OnceLock::new());
    let handles: Vec<_> = (0..5)
        .map(|n| {
            let cell = Arc::clone(&cell);
            spawn(move || {
                *cell.get_or_init(|| {
                    thread::sleep(Duration::from_millis(1));
                    n
                })
            })
        })
        .collect();
    assert!(
        handles
            .into_iter()
            .map(JoinHandle::join)
            .all(|value| value == 0)
    );
    assert_eq!(cell.set(9), Err(9));
    assert_eq!(cell.get(), Some(&0));
}

#[test]
fn a_lock_has_many_readers_or_one_writer() {
    let lock = RwLock::new(1);
    let (first, second) = (lock.read(), lock.read());
    assert!(lock.try_write().is_none() && lock.write_until(soon()).is_none());
    assert_eq!((*first, *second), (1, 1));
    drop((first, second));
    let mut writer = lock.write();
    *writer += 1;
    assert!(lock.try_read().is_none() && lock.read_until(soon()).is_none());
    assert!(lock.try_write().is_none());
    drop(writer);
    assert_eq!(*lock.try_read().unwrap(), 2);
    assert_eq!(lock.into_inner(), 2);
}

#[test]
fn readers_and_writers_go_in_in_the_order_they_came() {
    let lock = Arc::new(RwLock::new(()));
    let order = Arc::new(GuestCell::new(Vec::new()));
    let first = lock.write();
    let enter = |name: &'static str, is_writer: bool| {
        let (lock, order) = (Arc::clone(&lock), Arc::clone(&order));
        spawn(move || {
            let (_writer, _reader) = if is_writer {
                (Some(lock.write()), None)
            } else {
                (None, Some(lock.read()))
            };
            order.with(|order| order.push(name));
            yield_now();
            yield_now();
            order.with(|order| order.push("out"));
        })
    };
    let handles = [
        enter("reader 1", false),
        enter("reader 2", false),
        enter("writer", true),
        enter("reader 3", false),
    ];
    yield_now();
    drop(first);
    handles.into_iter().for_each(JoinHandle::join);
    let readers = ["reader 1", "reader 2", "out", "out"];
    let rest = ["writer", "out", "reader 3", "out"];
    assert_eq!(order.with(core::mem::take), [readers, rest].concat());
}

#[test]
fn a_barrier_lets_all_go_when_the_last_has_come_and_starts_anew() {
    let barrier = Barrier::new(3);
    let leaders: usize = thread::scope(|scope| {
        let meeting =
            [(); 3].map(|()| scope.spawn(|| (0..4).filter(|_| barrier.wait().is_leader()).count()));
        yield_now();
        meeting.map(thread::ScopedJoinHandle::join).iter().sum()
    });
    assert_eq!(leaders, 4);
    assert!(Barrier::new(1).wait().is_leader());
}

#[test]
fn work_is_done_once_and_a_lazy_value_made_once() {
    static ONCE: Once = Once::new();
    static COUNT: GuestCell<u32> = GuestCell::new(0);
    static LAZY: LazyLock<u32> = LazyLock::new(|| {
        yield_now();
        COUNT.with(|count| {
            *count += 1;
            *count
        })
    });
    assert!(!ONCE.is_completed());
    (0..3).for_each(|_| ONCE.call_once(|| COUNT.with(|count| *count += 10)));
    assert!(ONCE.is_completed());
    thread::scope(|scope| {
        let values = [(); 3]
            .map(|()| scope.spawn(|| *LAZY))
            .map(thread::ScopedJoinHandle::join);
        assert_eq!(values, [11; 3]);
    });
}

#[test]
fn a_send_gives_up_when_the_time_is_up() {
    let (sender, receiver) = channel::bounded(1);
    assert_eq!(sender.send_until(1, soon()), Ok(()));
    assert_eq!(sender.send_until(2, soon()), Err(TrySendError::Full(2)));
    assert_eq!(receiver.try_iter().collect::<Vec<_>>(), [1]);
    let sending = spawn(move || sender.send_timeout(3, Duration::from_secs(60)));
    assert_eq!(receiver.into_iter().collect::<Vec<_>>(), [3]);
    assert_eq!(sending.join(), Ok(()));
}

#[test]
fn threads_of_the_system_wait_for_a_value_that_another_of_them_makes() {
    static VALUE: OnceLock<u32> = OnceLock::new();
    let begun = std::sync::Barrier::new(2);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            VALUE.get_or_init(|| {
                begun.wait();
                std::thread::sleep(Duration::from_millis(20));
                7
            })
        });
        begun.wait();
        assert_eq!(VALUE.get_or_init(|| 8), &7);
    });
}
