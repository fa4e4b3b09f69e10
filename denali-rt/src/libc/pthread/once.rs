//! Once, barriers and spin locks.

use super::super::errno::{EBUSY, EINVAL, Errno, code};
use super::super::futex;
use super::super::memory::{In, Out};
use crate::interrupt;
use crate::thread;
use core::ffi::{c_int, c_uint};
use core::sync::atomic::{AtomicU32, Ordering};

/// Nobody has begun.
const FRESH: u32 = 0;
/// Somebody is at it.
const RUNNING: u32 = 1;
const DONE: u32 = 2;

/// Calls a function unless that was done with this `once` before; waits for it to be done.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn pthread_once(once: Out<AtomicU32>, function: extern "C" fn()) -> c_int {
    code(once.object().ok_or(Errno(EINVAL)).map(|once| {
        let begun = once.compare_exchange(FRESH, RUNNING, Ordering::Acquire, Ordering::Acquire);
        if begun.is_ok() {
            function();
            once.store(DONE, Ordering::Release);
            futex::wake(once, futex::ALL);
        }
        while once.load(Ordering::Acquire) == RUNNING {
            futex::wait(once, RUNNING, None);
        }
    }))
}

/// A barrier, in the size of Linux.
#[derive(Debug)]
#[repr(C)]
pub struct Barrier {
    /// Counts how often it has opened.
    round: AtomicU32,
    /// Threads that are waiting.
    arrived: AtomicU32,
    /// Threads it opens for.
    needed: u32,
    _reserved: [u32; 5],
}

const _: () = assert!(size_of::<Barrier>() == 32);

/// What one of the threads gets.
const SERIAL_THREAD: c_int = -1;

/// Makes a barrier for `count` threads.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn pthread_barrier_init(
    barrier: Out<Barrier>,
    _attr: In<u8>,
    count: c_uint,
) -> c_int {
    if count == 0 {
        return EINVAL;
    }
    barrier.write(Barrier {
        round: AtomicU32::new(0),
        arrived: AtomicU32::new(0),
        needed: count,
        _reserved: [0; 5],
    });
    0
}

/// Ends a barrier that nobody waits at.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn pthread_barrier_destroy(_barrier: Out<Barrier>) -> c_int {
    0
}

/// Waits until as many threads have come as the barrier is for. One of them gets -1, the others 0.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn pthread_barrier_wait(barrier: Out<Barrier>) -> c_int {
    let Some(barrier) = barrier.object() else {
        return EINVAL;
    };
    // Arriving is one step to all others.
    let _masked = interrupt::mask();
    let round = barrier.round.load(Ordering::Relaxed);
    if barrier.arrived.fetch_add(1, Ordering::AcqRel) + 1 == barrier.needed {
        barrier.arrived.store(0, Ordering::Relaxed);
        barrier.round.fetch_add(1, Ordering::Release);
        futex::wake(&barrier.round, futex::ALL);
        return SERIAL_THREAD;
    }
    while barrier.round.load(Ordering::Acquire) == round {
        futex::wait(&barrier.round, round, None);
    }
    0
}

/// Makes a spin lock.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn pthread_spin_init(lock: Out<AtomicU32>, _shared: c_int) -> c_int {
    lock.write(AtomicU32::new(0));
    0
}

/// Ends a spin lock.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn pthread_spin_destroy(_lock: Out<AtomicU32>) -> c_int {
    0
}

/// Waits for a spin lock; as there is one CPU, by letting others run.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn pthread_spin_lock(lock: Out<AtomicU32>) -> c_int {
    while pthread_spin_trylock(lock) == EBUSY {
        thread::yield_now();
    }
    0
}

/// Takes a spin lock if it is free.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn pthread_spin_trylock(lock: Out<AtomicU32>) -> c_int {
    code(lock.object().ok_or(Errno(EINVAL)).and_then(
        |lock| match lock.swap(1, Ordering::Acquire) {
            0 => Ok(()),
            _ => Err(Errno(EBUSY)),
        },
    ))
}

/// Frees a spin lock.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn pthread_spin_unlock(lock: Out<AtomicU32>) -> c_int {
    code(lock.object().ok_or(Errno(EINVAL)).map(|lock| {
        lock.store(0, Ordering::Release);
    }))
}
