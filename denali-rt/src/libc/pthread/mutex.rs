//! Mutexes: normal, recursive and error-checking.

use super::super::errno::{EAGAIN, EBUSY, EDEADLK, EINVAL, EPERM, ETIMEDOUT, Errno, code};
use super::super::futex::{self, Ended};
use super::super::memory::{In, Out};
use super::super::time::{CLOCK_REALTIME, TimeSpec};
use super::pthread_self;
use crate::time::Instant;
use core::ffi::c_int;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// A mutex, with its kind where Linux has it.
#[derive(Debug)]
#[repr(C)]
pub struct Mutex {
    /// [`FREE`], [`HELD`] or [`WANTED`].
    state: AtomicU32,
    /// How often a recursive one is held.
    count: AtomicU32,
    /// The thread that holds it.
    owner: AtomicU64,
    kind: AtomicU32,
    _reserved: [u32; 5],
}

const _: () = assert!(size_of::<Mutex>() == 40);

const FREE: u32 = 0;
const HELD: u32 = 1;
/// Held, and maybe waited for.
const WANTED: u32 = 2;

const NORMAL: u32 = 0;
const RECURSIVE: u32 = 1;
const ERROR_CHECKING: u32 = 2;

/// The kind of a mutex to be made.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct MutexAttr {
    kind: u32,
}

impl Mutex {
    /// Waits for the lock, until `deadline` if there is one.
    pub(super) fn lock(&self, deadline: Option<Instant>) -> Result<(), Errno> {
        if self.enter_again(EDEADLK)? || self.take(HELD) {
            return Ok(());
        }
        // Whoever waited takes it as wanted: others may still wait (Drepper 2011, "Futexes Are
        // Tricky", mutex 2).
        while self.state.swap(WANTED, Ordering::Acquire) != FREE {
            if futex::wait(&self.state, WANTED, deadline) == Ended::TimedOut {
                return Err(Errno(ETIMEDOUT));
            }
        }
        self.taken();
        Ok(())
    }

    fn try_lock(&self) -> Result<(), Errno> {
        if self.enter_again(EBUSY)? || self.take(HELD) {
            Ok(())
        } else {
            Err(Errno(EBUSY))
        }
    }

    pub(super) fn unlock(&self) -> Result<(), Errno> {
        let kind = self.kind.load(Ordering::Relaxed);
        if kind != NORMAL && self.owner.load(Ordering::Relaxed) != pthread_self() {
            return Err(Errno(EPERM));
        }
        if kind == RECURSIVE && self.count.fetch_sub(1, Ordering::Relaxed) > 1 {
            return Ok(());
        }
        self.owner.store(0, Ordering::Relaxed);
        if self.state.swap(FREE, Ordering::Release) == WANTED {
            futex::wake(&self.state, 1);
        }
        Ok(())
    }

    /// Returns whether the running thread holds a recursive mutex and now does once more; fails with
    /// `held` for an error-checking one that it holds.
    fn enter_again(&self, held: c_int) -> Result<bool, Errno> {
        let kind = self.kind.load(Ordering::Relaxed);
        if kind == NORMAL || self.owner.load(Ordering::Relaxed) != pthread_self() {
            return Ok(false);
        }
        if kind == ERROR_CHECKING {
            return Err(Errno(held));
        }
        let count = self.count.load(Ordering::Relaxed);
        let more = count.checked_add(1).ok_or(Errno(EAGAIN))?;
        self.count.store(more, Ordering::Relaxed);
        Ok(true)
    }

    fn take(&self, state: u32) -> bool {
        let taken = self
            .state
            .compare_exchange(FREE, state, Ordering::Acquire, Ordering::Relaxed)
            .is_ok();
        if taken {
            self.taken();
        }
        taken
    }

    /// Notes the owner, which normal ones do not need.
    fn taken(&self) {
        if self.kind.load(Ordering::Relaxed) != NORMAL {
            self.owner.store(pthread_self(), Ordering::Relaxed);
            self.count.store(1, Ordering::Relaxed);
        }
    }
}

/// Calls `f` with a mutex. Returns 0 or an error number.
fn with(mutex: Out<Mutex>, f: impl FnOnce(&Mutex) -> Result<(), Errno>) -> c_int {
    code(mutex.object().ok_or(Errno(EINVAL)).and_then(f))
}

/// Makes a mutex.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn pthread_mutex_init(mutex: Out<Mutex>, attr: In<MutexAttr>) -> c_int {
    mutex.write(Mutex {
        state: AtomicU32::new(FREE),
        count: AtomicU32::new(0),
        owner: AtomicU64::new(0),
        kind: AtomicU32::new(attr.read().map_or(NORMAL, |attr| attr.kind)),
        _reserved: [0; 5],
    });
    0
}

/// Ends a mutex that nobody holds.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn pthread_mutex_destroy(mutex: Out<Mutex>) -> c_int {
    with(mutex, |mutex| match mutex.state.load(Ordering::Relaxed) {
        FREE => Ok(()),
        _ => Err(Errno(EBUSY)),
    })
}

/// Waits for a mutex.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn pthread_mutex_lock(mutex: Out<Mutex>) -> c_int {
    with(mutex, |mutex| mutex.lock(None))
}

/// Waits for a mutex until a time of the wall clock.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn pthread_mutex_timedlock(mutex: Out<Mutex>, until: In<TimeSpec>) -> c_int {
    with(mutex, |mutex| mutex.lock(Some(deadline(until)?)))
}

/// Returns a time of the wall clock as a deadline.
pub(super) fn deadline(until: In<TimeSpec>) -> Result<Instant, Errno> {
    until.read().ok_or(Errno(EINVAL))?.deadline(CLOCK_REALTIME)
}

/// Takes a mutex if nobody holds it.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn pthread_mutex_trylock(mutex: Out<Mutex>) -> c_int {
    with(mutex, Mutex::try_lock)
}

/// Frees a mutex.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn pthread_mutex_unlock(mutex: Out<Mutex>) -> c_int {
    with(mutex, Mutex::unlock)
}

/// Makes attributes.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn pthread_mutexattr_init(attr: Out<MutexAttr>) -> c_int {
    attr.write(MutexAttr { kind: NORMAL });
    0
}

/// Ends the use of attributes.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn pthread_mutexattr_destroy(_attr: Out<MutexAttr>) -> c_int {
    0
}

/// Sets the kind: normal (0), recursive (1) or error-checking (2).
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn pthread_mutexattr_settype(attr: Out<MutexAttr>, kind: c_int) -> c_int {
    match u32::try_from(kind) {
        Ok(kind @ NORMAL..=ERROR_CHECKING) => attr.write(MutexAttr { kind }),
        _ => return EINVAL,
    }
    0
}

/// Tells the kind.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn pthread_mutexattr_gettype(attr: In<MutexAttr>, kind: Out<c_int>) -> c_int {
    let known = attr.read().map_or(NORMAL, |attr| attr.kind);
    kind.write(known.cast_signed());
    0
}
