//! POSIX threads and locks, on the green threads of the test's own.

use super::super::errno::{EBUSY, EPERM, ETIMEDOUT};
use super::super::memory::test::{input, one, text};
use super::super::semaphore::{
    Semaphore, sem_getvalue, sem_init, sem_post, sem_timedwait, sem_trywait, sem_wait,
};
use super::super::time::{CLOCK_MONOTONIC, TimeSpec, now};
use super::*;
use crate::time::Duration;
use core::sync::atomic::{AtomicU32, Ordering};

/// Returns memory as C has it before anything is initialized: all zero.
fn zeroed<T>() -> Out<T> {
    let place = super::super::malloc::calloc(1, size_of::<T>());
    place.cast()
}

/// A time of the wall clock that comes soon.
fn soon() -> TimeSpec {
    (crate::time::wall() + Duration::from_millis(2)).into()
}

fn start(function: Start, argument: Out<u8>) -> c_ulong {
    let mut thread = 0;
    assert_eq!(
        pthread_create(one(&mut thread), In::NULL, function, argument),
        0
    );
    thread
}

fn join(thread: c_ulong) -> usize {
    let mut result = Out::NULL;
    assert_eq!(pthread_join(thread, one(&mut result)), 0);
    result.address()
}

extern "C" fn echo(argument: Out<u8>) -> Out<u8> {
    argument
}

extern "C" fn leave(_argument: Out<u8>) -> Out<u8> {
    extern "C" fn deep() -> ! {
        pthread_exit(Out::NULL.add(33))
    }
    deep()
}

#[test]
fn threads_are_joined_or_detached() {
    assert_eq!(join(start(echo, Out::NULL.add(7))), 7);
    assert_eq!(join(start(leave, Out::NULL)), 33);
    let thread = start(echo, Out::NULL);
    assert_eq!(pthread_detach(thread), 0);
    assert_eq!(pthread_join(thread, Out::NULL), EINVAL);
    sched_yield();
    assert_eq!(pthread_detach(thread), ESRCH);
    assert_eq!(pthread_join(pthread_self(), Out::NULL), EDEADLK);
    assert_eq!(pthread_equal(pthread_self(), pthread_self()), 1);
    let thread = start(echo, Out::NULL);
    assert_eq!(pthread_setname_np(thread, text(c"worker")), 0);
    let mut name = [1; 16];
    assert_eq!(
        pthread_getname_np(thread, Out::from_raw(name.as_mut_ptr()), 16),
        0
    );
    assert_eq!(&name[..7], b"worker\0");
    assert_eq!(
        pthread_setname_np(thread, text(c"a name far too long")),
        ERANGE
    );
    join(thread);
}

extern "C" fn add_thousand(lock: Out<u8>) -> Out<u8> {
    static SUM: AtomicU32 = AtomicU32::new(0);
    let lock: Out<Mutex> = lock.cast();
    for _ in 0..1000 {
        pthread_mutex_lock(lock);
        let before = SUM.load(Ordering::Relaxed);
        if before.is_multiple_of(97) {
            sched_yield();
        }
        SUM.store(before + 1, Ordering::Relaxed);
        pthread_mutex_unlock(lock);
    }
    Out::NULL.add(usize::try_from(SUM.load(Ordering::Relaxed)).unwrap())
}

#[test]
fn a_mutex_admits_one_thread_at_a_time() {
    let lock = zeroed::<Mutex>();
    let threads = [(); 4].map(|()| start(add_thousand, lock.cast()));
    assert_eq!(threads.map(join).into_iter().max(), Some(4000));
    assert_eq!(pthread_mutex_destroy(lock), 0);
    super::super::malloc::free(lock.cast());
}

extern "C" fn try_it(lock: Out<u8>) -> Out<u8> {
    let number = pthread_mutex_trylock(lock.cast());
    Out::NULL.add(usize::try_from(number).unwrap())
}

#[test]
fn mutexes_have_kinds() {
    let (lock, mut attr) = (zeroed::<Mutex>(), zeroed::<MutexAttr>());
    for (kind, again) in [(1, 0), (2, EDEADLK)] {
        assert_eq!(pthread_mutexattr_settype(attr, kind), 0);
        pthread_mutex_init(lock, attr.readable());
        assert_eq!(pthread_mutex_unlock(lock), EPERM);
        assert_eq!(
            (pthread_mutex_lock(lock), pthread_mutex_lock(lock)),
            (0, again)
        );
        assert_eq!(
            join(start(try_it, lock.cast())),
            usize::try_from(EBUSY).unwrap()
        );
        assert_eq!(pthread_mutex_unlock(lock), 0);
        if again == 0 {
            assert_eq!(pthread_mutex_destroy(lock), EBUSY);
            assert_eq!(pthread_mutex_unlock(lock), 0);
        }
        assert_eq!(join(start(try_it, lock.cast())), 0);
        pthread_mutex_init(lock, In::NULL);
    }
    pthread_mutex_lock(lock);
    assert_eq!(pthread_mutex_timedlock(lock, input(&[soon()])), ETIMEDOUT);
    assert_eq!(pthread_mutexattr_settype(attr, 9), EINVAL);
    attr.slice(1);
}

/// What two threads tell each other.
#[repr(C)]
struct Exchange {
    lock: Mutex,
    cond: Cond,
    turn: AtomicU32,
}

extern "C" fn answer_turns(exchange: Out<u8>) -> Out<u8> {
    let place: Out<Exchange> = exchange.cast();
    let exchange = place.object().unwrap();
    let (lock, cond) = (
        Out::from_raw((&raw const exchange.lock).cast_mut()),
        Out::from_raw((&raw const exchange.cond).cast_mut()),
    );
    pthread_mutex_lock(lock);
    for turn in 0..100 {
        while exchange.turn.load(Ordering::Relaxed) != 2 * turn + 1 {
            pthread_cond_wait(cond, lock);
        }
        exchange.turn.store(2 * turn + 2, Ordering::Relaxed);
        pthread_cond_broadcast(cond);
    }
    pthread_mutex_unlock(lock);
    Out::NULL
}

#[test]
fn a_condition_is_waited_for_and_times_out() {
    let place = zeroed::<Exchange>();
    let exchange = place.object().unwrap();
    let (lock, cond) = (
        Out::from_raw((&raw const exchange.lock).cast_mut()),
        Out::from_raw((&raw const exchange.cond).cast_mut()),
    );
    let other = start(answer_turns, place.cast());
    pthread_mutex_lock(lock);
    for turn in 0..100 {
        exchange.turn.store(2 * turn + 1, Ordering::Relaxed);
        pthread_cond_signal(cond);
        while exchange.turn.load(Ordering::Relaxed) != 2 * turn + 2 {
            pthread_cond_wait(cond, lock);
        }
    }
    assert_eq!(
        pthread_cond_timedwait(cond, lock, input(&[soon()])),
        ETIMEDOUT
    );
    let attr = zeroed::<CondAttr>();
    assert_eq!(pthread_condattr_setclock(attr, CLOCK_MONOTONIC), 0);
    assert_eq!(pthread_condattr_setclock(attr, 77), EINVAL);
    pthread_cond_init(cond, attr.readable());
    let until = now(CLOCK_MONOTONIC).unwrap() + Duration::from_millis(2);
    assert_eq!(
        pthread_cond_timedwait(cond, lock, input(&[until.into()])),
        ETIMEDOUT
    );
    pthread_mutex_unlock(lock);
    join(other);
}

#[test]
fn many_read_or_one_writes() {
    let lock = zeroed::<RwLock>();
    assert_eq!(
        (pthread_rwlock_rdlock(lock), pthread_rwlock_tryrdlock(lock)),
        (0, 0)
    );
    assert_eq!(pthread_rwlock_trywrlock(lock), EBUSY);
    assert_eq!(
        pthread_rwlock_timedwrlock(lock, input(&[soon()])),
        ETIMEDOUT
    );
    assert_eq!(
        (pthread_rwlock_unlock(lock), pthread_rwlock_unlock(lock)),
        (0, 0)
    );
    assert_eq!(pthread_rwlock_unlock(lock), EPERM);
    assert_eq!(pthread_rwlock_wrlock(lock), 0);
    assert_eq!(pthread_rwlock_tryrdlock(lock), EBUSY);
    assert_eq!(
        pthread_rwlock_timedrdlock(lock, input(&[soon()])),
        ETIMEDOUT
    );
    extern "C" fn read(lock: Out<u8>) -> Out<u8> {
        pthread_rwlock_rdlock(lock.cast());
        pthread_rwlock_unlock(lock.cast());
        Out::NULL
    }
    let readers = [(); 3].map(|()| start(read, lock.cast()));
    sched_yield();
    assert_eq!(pthread_rwlock_unlock(lock), 0);
    for reader in readers {
        join(reader);
    }
    assert_eq!(pthread_rwlock_destroy(lock), 0);
}

static CALLS: AtomicU32 = AtomicU32::new(0);

extern "C" fn initialize() {
    sched_yield();
    CALLS.fetch_add(1, Ordering::Relaxed);
}

extern "C" fn call_once(once: Out<u8>) -> Out<u8> {
    pthread_once(once.cast(), initialize);
    Out::NULL.add(usize::try_from(CALLS.load(Ordering::Relaxed)).unwrap())
}

#[test]
fn a_function_is_called_once_and_everybody_waits_for_it() {
    let once = zeroed::<AtomicU32>();
    let threads = [(); 3].map(|()| start(call_once, once.cast()));
    assert_eq!(threads.map(join), [1, 1, 1]);
}

extern "C" fn arrive(barrier: Out<u8>) -> Out<u8> {
    let serial = pthread_barrier_wait(barrier.cast()) == -1;
    Out::NULL.add(usize::from(serial))
}

#[test]
fn a_barrier_opens_for_all_and_names_one() {
    let barrier = zeroed::<Barrier>();
    assert_eq!(pthread_barrier_init(barrier, In::NULL, 0), EINVAL);
    assert_eq!(pthread_barrier_init(barrier, In::NULL, 3), 0);
    for _ in 0..2 {
        let threads = [(); 3].map(|()| start(arrive, barrier.cast()));
        assert_eq!(threads.map(join).into_iter().sum::<usize>(), 1);
    }
    let spin = zeroed::<AtomicU32>();
    assert_eq!(
        (pthread_spin_lock(spin), pthread_spin_trylock(spin)),
        (0, EBUSY)
    );
    assert_eq!(
        (pthread_spin_unlock(spin), pthread_spin_trylock(spin)),
        (0, 0)
    );
}

static DESTROYED: AtomicU32 = AtomicU32::new(0);

extern "C" fn destroy(value: Out<u8>) {
    DESTROYED.fetch_add(u32::try_from(value.address()).unwrap(), Ordering::Relaxed);
}

extern "C" fn set_value(key: Out<u8>) -> Out<u8> {
    let key = u32::try_from(key.address()).unwrap();
    let before = pthread_getspecific(key);
    pthread_setspecific(key, Out::NULL.add(5));
    before
}

#[test]
fn each_thread_has_its_own_value_destroyed_at_its_end() {
    let mut key = 0;
    assert_eq!(pthread_key_create(one(&mut key), Some(destroy)), 0);
    assert_eq!(pthread_setspecific(key, Out::NULL.add(9)), 0);
    let argument = Out::NULL.add(usize::try_from(key).unwrap());
    assert_eq!([(); 2].map(|()| join(start(set_value, argument))), [0, 0]);
    assert_eq!(DESTROYED.load(Ordering::Relaxed), 10);
    assert_eq!(pthread_getspecific(key).address(), 9);
    assert_eq!(
        (pthread_key_delete(key), pthread_key_delete(key)),
        (0, EINVAL)
    );
    assert_eq!(pthread_setspecific(key, Out::NULL), EINVAL);
    assert!(pthread_getspecific(key).is_null());
}

#[test]
fn a_semaphore_counts() {
    extern "C" fn post(semaphore: Out<u8>) -> Out<u8> {
        sem_post(semaphore.cast());
        Out::NULL
    }
    let semaphore = zeroed::<Semaphore>();
    assert_eq!(sem_init(semaphore, 0, 1), 0);
    assert_eq!((sem_wait(semaphore), sem_trywait(semaphore)), (0, -1));
    assert_eq!(errno::get(), EAGAIN);
    assert_eq!(sem_timedwait(semaphore, input(&[soon()])), -1);
    assert_eq!(errno::get(), ETIMEDOUT);
    let poster = start(post, semaphore.cast());
    assert_eq!(sem_wait(semaphore), 0);
    join(poster);
    let mut count = 9;
    assert_eq!((sem_getvalue(semaphore, one(&mut count)), count), (0, 0));
}
