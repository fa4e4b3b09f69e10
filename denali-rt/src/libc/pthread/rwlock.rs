//! Locks for readers and writers. Readers come before writers that wait, as on Linux.

use super::super::errno::{EAGAIN, EBUSY, EINVAL, EPERM, ETIMEDOUT, Errno, code};
use super::super::futex::{self, Ended};
use super::super::memory::{In, Out};
use super::super::time::TimeSpec;
use super::mutex::deadline;
use crate::time::Instant;
use core::ffi::c_int;
use core::sync::atomic::{AtomicU32, Ordering};

/// A lock, in the size of Linux.
#[derive(Debug)]
#[repr(C)]
pub struct RwLock {
    /// The number of readers, or [`WRITER`].
    state: AtomicU32,
    _reserved: [u32; 13],
}

const _: () = assert!(size_of::<RwLock>() == 56);

/// A writer holds the lock.
const WRITER: u32 = u32::MAX;

/// More readers than this are refused.
const READERS_MAX: u32 = WRITER - 1;

/// How the lock is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Read,
    Write,
}

impl RwLock {
    fn try_lock(&self, mode: Mode) -> Result<(), Errno> {
        let take = |state| match (mode, state) {
            (Mode::Write, 0) => Some(WRITER),
            (Mode::Read, ..READERS_MAX) => Some(state + 1),
            _ => None,
        };
        let taken = self
            .state
            .fetch_update(Ordering::Acquire, Ordering::Relaxed, take);
        taken.map(|_| ()).map_err(|state| match (mode, state) {
            (Mode::Read, READERS_MAX) => Errno(EAGAIN),
            _ => Errno(EBUSY),
        })
    }

    fn lock(&self, mode: Mode, deadline: Option<Instant>) -> Result<(), Errno> {
        loop {
            let state = self.state.load(Ordering::Relaxed);
            match self.try_lock(mode) {
                Err(Errno(EBUSY)) => (),
                result => return result,
            }
            if futex::wait(&self.state, state, deadline) == Ended::TimedOut {
                return Err(Errno(ETIMEDOUT));
            }
        }
    }

    fn unlock(&self) -> Result<(), Errno> {
        let give = |state| match state {
            0 => None,
            WRITER => Some(0),
            readers => Some(readers - 1),
        };
        let state = self
            .state
            .fetch_update(Ordering::Release, Ordering::Relaxed, give);
        match state {
            Ok(WRITER | 1) => {
                futex::wake(&self.state, futex::ALL);
                Ok(())
            }
            Ok(_) => Ok(()),
            Err(_) => Err(Errno(EPERM)),
        }
    }
}

fn with(lock: Out<RwLock>, f: impl FnOnce(&RwLock) -> Result<(), Errno>) -> c_int {
    code(lock.object().ok_or(Errno(EINVAL)).and_then(f))
}

/// Makes a lock.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn pthread_rwlock_init(lock: Out<RwLock>, _attr: In<u8>) -> c_int {
    lock.write(RwLock {
        state: AtomicU32::new(0),
        _reserved: [0; 13],
    });
    0
}

/// Ends a lock that nobody holds.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn pthread_rwlock_destroy(lock: Out<RwLock>) -> c_int {
    with(lock, |lock| match lock.state.load(Ordering::Relaxed) {
        0 => Ok(()),
        _ => Err(Errno(EBUSY)),
    })
}

/// Waits for the lock as a reader.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn pthread_rwlock_rdlock(lock: Out<RwLock>) -> c_int {
    with(lock, |lock| lock.lock(Mode::Read, None))
}

/// Waits for the lock as a reader, until a time of the wall clock.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn pthread_rwlock_timedrdlock(lock: Out<RwLock>, until: In<TimeSpec>) -> c_int {
    with(lock, |lock| lock.lock(Mode::Read, Some(deadline(until)?)))
}

/// Takes the lock as a reader if no writer holds it.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn pthread_rwlock_tryrdlock(lock: Out<RwLock>) -> c_int {
    with(lock, |lock| lock.try_lock(Mode::Read))
}

/// Waits for the lock as the writer.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn pthread_rwlock_wrlock(lock: Out<RwLock>) -> c_int {
    with(lock, |lock| lock.lock(Mode::Write, None))
}

/// Waits for the lock as the writer, until a time of the wall clock.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn pthread_rwlock_timedwrlock(lock: Out<RwLock>, until: In<TimeSpec>) -> c_int {
    with(lock, |lock| lock.lock(Mode::Write, Some(deadline(until)?)))
}

/// Takes the lock as the writer if nobody holds it.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn pthread_rwlock_trywrlock(lock: Out<RwLock>) -> c_int {
    with(lock, |lock| lock.try_lock(Mode::Write))
}

/// Frees the lock.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn pthread_rwlock_unlock(lock: Out<RwLock>) -> c_int {
    with(lock, RwLock::unlock)
}
