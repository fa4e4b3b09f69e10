//! Condition variables.

use super::super::errno::{EINVAL, ETIMEDOUT, Errno, code};
use super::super::futex::{self, Ended};
use super::super::memory::{In, Out};
use super::super::time::{CLOCK_MONOTONIC, CLOCK_REALTIME, TimeSpec};
use super::mutex::Mutex;
use crate::time::Instant;
use core::ffi::c_int;
use core::sync::atomic::{AtomicU32, Ordering};

/// A condition variable, in the size of Linux.
#[derive(Debug)]
#[repr(C)]
pub struct Cond {
    /// Counts signals.
    signals: AtomicU32,
    clock: AtomicU32,
    _reserved: [u64; 5],
}

const _: () = assert!(size_of::<Cond>() == 48);

/// The clock of a condition variable to be made.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct CondAttr {
    clock: u32,
}

fn wait(
    cond: Out<Cond>,
    mutex: Out<Mutex>,
    deadline: impl FnOnce(&Cond) -> Result<Option<Instant>, Errno>,
) -> Result<(), Errno> {
    let (cond, mutex) = cond.object().zip(mutex.object()).ok_or(Errno(EINVAL))?;
    let deadline = deadline(cond)?;
    // Read while the mutex is held: a signal from now on ends the wait, or keeps it from beginning.
    let signals = cond.signals.load(Ordering::Relaxed);
    mutex.unlock()?;
    let ended = futex::wait(&cond.signals, signals, deadline);
    mutex.lock(None)?;
    match ended {
        Ended::TimedOut => Err(Errno(ETIMEDOUT)),
        Ended::Woken | Ended::Changed => Ok(()),
    }
}

fn signal(cond: Out<Cond>, count: u32) -> c_int {
    code(cond.object().ok_or(Errno(EINVAL)).map(|cond| {
        cond.signals.fetch_add(1, Ordering::Relaxed);
        futex::wake(&cond.signals, count);
    }))
}

/// Makes a condition variable.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn pthread_cond_init(cond: Out<Cond>, attr: In<CondAttr>) -> c_int {
    cond.write(Cond {
        signals: AtomicU32::new(0),
        clock: AtomicU32::new(attr.read().map_or(0, |attr| attr.clock)),
        _reserved: [0; 5],
    });
    0
}

/// Ends a condition variable that nobody waits for.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn pthread_cond_destroy(_cond: Out<Cond>) -> c_int {
    0
}

/// Frees the mutex, waits for a signal, and waits for the mutex.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn pthread_cond_wait(cond: Out<Cond>, mutex: Out<Mutex>) -> c_int {
    code(wait(cond, mutex, |_| Ok(None)))
}

/// Like [`pthread_cond_wait`], until a time of the condition variable's clock.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn pthread_cond_timedwait(
    cond: Out<Cond>,
    mutex: Out<Mutex>,
    until: In<TimeSpec>,
) -> c_int {
    code(wait(cond, mutex, |cond| {
        let clock = cond.clock.load(Ordering::Relaxed).cast_signed();
        until.read().ok_or(Errno(EINVAL))?.deadline(clock).map(Some)
    }))
}

/// Wakes a thread that waits.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn pthread_cond_signal(cond: Out<Cond>) -> c_int {
    signal(cond, 1)
}

/// Wakes all threads that wait.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn pthread_cond_broadcast(cond: Out<Cond>) -> c_int {
    signal(cond, futex::ALL)
}

/// Makes attributes.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn pthread_condattr_init(attr: Out<CondAttr>) -> c_int {
    attr.write(CondAttr { clock: 0 });
    0
}

/// Ends the use of attributes.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn pthread_condattr_destroy(_attr: Out<CondAttr>) -> c_int {
    0
}

/// Sets the clock: `CLOCK_REALTIME` or `CLOCK_MONOTONIC`.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn pthread_condattr_setclock(attr: Out<CondAttr>, clock: c_int) -> c_int {
    match clock {
        CLOCK_REALTIME | CLOCK_MONOTONIC => attr.write(CondAttr {
            clock: clock.cast_unsigned(),
        }),
        _ => return EINVAL,
    }
    0
}
