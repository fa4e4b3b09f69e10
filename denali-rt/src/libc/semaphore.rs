//! `semaphore.h`: unnamed semaphores.

use super::errno::{self, EAGAIN, EINVAL, EOVERFLOW, ETIMEDOUT, Errno};
use super::futex::{self, Ended};
use super::memory::{In, Out};
use super::time::{CLOCK_REALTIME, TimeSpec};
use crate::time::Instant;
use core::ffi::{c_int, c_uint};
use core::sync::atomic::{AtomicU32, Ordering};

/// A semaphore, in the size of Linux.
#[derive(Debug)]
#[repr(C)]
pub struct Semaphore {
    count: AtomicU32,
    _reserved: [u32; 7],
}

const _: () = assert!(size_of::<Semaphore>() == 32);

/// Largest count.
const COUNT_MAX: u32 = c_int::MAX.unsigned_abs();

impl Semaphore {
    fn try_take(&self) -> Result<(), Errno> {
        let take = |count: u32| count.checked_sub(1);
        let taken = self
            .count
            .fetch_update(Ordering::Acquire, Ordering::Relaxed, take);
        taken.map(|_| ()).map_err(|_| Errno(EAGAIN))
    }

    fn take(&self, deadline: Option<Instant>) -> Result<(), Errno> {
        while self.try_take().is_err() {
            if futex::wait(&self.count, 0, deadline) == Ended::TimedOut {
                return Err(Errno(ETIMEDOUT));
            }
        }
        Ok(())
    }

    fn give(&self) -> Result<(), Errno> {
        let give = |count| (count < COUNT_MAX).then_some(count + 1);
        let given = self
            .count
            .fetch_update(Ordering::Release, Ordering::Relaxed, give);
        given.map_err(|_| Errno(EOVERFLOW))?;
        futex::wake(&self.count, 1);
        Ok(())
    }
}

fn with(semaphore: Out<Semaphore>, f: impl FnOnce(&Semaphore) -> Result<(), Errno>) -> c_int {
    let result = semaphore.object().ok_or(Errno(EINVAL)).and_then(f);
    errno::answer(result.map(|()| 0))
}

/// Makes a semaphore with a count.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn sem_init(semaphore: Out<Semaphore>, _shared: c_int, count: c_uint) -> c_int {
    if count > COUNT_MAX {
        return errno::answer(Err(Errno(EINVAL)));
    }
    semaphore.write(Semaphore {
        count: AtomicU32::new(count),
        _reserved: [0; 7],
    });
    0
}

/// Ends a semaphore that nobody waits for.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn sem_destroy(_semaphore: Out<Semaphore>) -> c_int {
    0
}

/// Waits until the count is not zero, and takes one.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn sem_wait(semaphore: Out<Semaphore>) -> c_int {
    with(semaphore, |semaphore| semaphore.take(None))
}

/// Like [`sem_wait`], until a time of the wall clock.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn sem_timedwait(semaphore: Out<Semaphore>, until: In<TimeSpec>) -> c_int {
    with(semaphore, |semaphore| {
        let until = until.read().ok_or(Errno(EINVAL))?;
        semaphore.take(Some(until.deadline(CLOCK_REALTIME)?))
    })
}

/// Takes one if the count is not zero.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn sem_trywait(semaphore: Out<Semaphore>) -> c_int {
    with(semaphore, Semaphore::try_take)
}

/// Adds one and wakes a thread that waits.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn sem_post(semaphore: Out<Semaphore>) -> c_int {
    with(semaphore, Semaphore::give)
}

/// Tells the count.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn sem_getvalue(semaphore: Out<Semaphore>, result: Out<c_int>) -> c_int {
    with(semaphore, |semaphore| {
        result.write(semaphore.count.load(Ordering::Relaxed).cast_signed());
        Ok(())
    })
}
