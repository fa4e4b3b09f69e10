//! One writer or many readers.
//!
//! Everybody passes a turnstile in the order they came. Who cannot enter yet waits in the turnstile
//! and holds up those behind, so a stream of readers starves no writer nor the other way round, and
//! readers that came together go in together.

#![expect(unsafe_code, reason = "a guard hands out what its lock protects")]

use crate::interrupt;
use crate::sync::{GuestCell, Mutex, WaitQueue};
use crate::time::Instant;
use core::cell::UnsafeCell;
use core::fmt;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};

/// A value for one writer or many readers at a time, in the order they came.
///
/// A thread that holds a read lock must not ask for a second one: a writer that waits in between
/// would wait for the first and be waited for by the second.
pub struct RwLock<T: ?Sized> {
    turnstile: Mutex<()>,
    inside: GuestCell<Inside>,
    /// Where the one in the turnstile waits.
    vacated: WaitQueue,
    value: UnsafeCell<T>,
}

/// Who holds the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Inside {
    /// This many readers.
    Readers(usize),
    Writer,
}

/// What somebody wants to do.
#[derive(Clone, Copy)]
enum Access {
    Read,
    Write,
}

// SAFETY: `inside` admits one writer or only readers, so threads share the value or pass it on.
unsafe impl<T: ?Sized + Send + Sync> Sync for RwLock<T> {}

// SAFETY: nothing in the lock but its value belongs to a thread.
unsafe impl<T: ?Sized + Send> Send for RwLock<T> {}

impl<T> RwLock<T> {
    /// Makes an unlocked lock.
    #[must_use]
    pub const fn new(value: T) -> Self {
        Self {
            turnstile: Mutex::new(()),
            inside: GuestCell::new(Inside::Readers(0)),
            vacated: WaitQueue::new(),
            value: UnsafeCell::new(value),
        }
    }

    /// Returns the value.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> RwLock<T> {
    /// Waits until it may read.
    pub fn read(&self) -> RwLockReadGuard<'_, T> {
        self.enter(Access::Read, None);
        RwLockReadGuard::of(self)
    }

    /// Waits until it may read, or until `deadline`.
    pub fn read_until(&self, deadline: Instant) -> Option<RwLockReadGuard<'_, T>> {
        self.enter(Access::Read, Some(deadline))
            .then(|| RwLockReadGuard::of(self))
    }

    /// Returns the value to read if nobody writes or waits.
    pub fn try_read(&self) -> Option<RwLockReadGuard<'_, T>> {
        self.try_enter(Access::Read)
            .then(|| RwLockReadGuard::of(self))
    }

    /// Waits until it may write.
    pub fn write(&self) -> RwLockWriteGuard<'_, T> {
        self.enter(Access::Write, None);
        RwLockWriteGuard::of(self)
    }

    /// Waits until it may write, or until `deadline`.
    pub fn write_until(&self, deadline: Instant) -> Option<RwLockWriteGuard<'_, T>> {
        self.enter(Access::Write, Some(deadline))
            .then(|| RwLockWriteGuard::of(self))
    }

    /// Returns the value to write if nobody reads, writes or waits.
    pub fn try_write(&self) -> Option<RwLockWriteGuard<'_, T>> {
        self.try_enter(Access::Write)
            .then(|| RwLockWriteGuard::of(self))
    }

    /// Returns the value; the borrow proves that nobody holds the lock.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    /// Waits to go in. Returns whether it did before `deadline`.
    fn enter(&self, access: Access, deadline: Option<Instant>) -> bool {
        let _masked = interrupt::mask();
        let turn = match deadline {
            Some(deadline) => self.turnstile.lock_until(deadline),
            None => Some(self.turnstile.lock()),
        };
        let Some(_turn) = turn else {
            return false;
        };
        while !self.admit(access) {
            if self.vacated.wait_until_maybe(deadline) {
                return false;
            }
        }
        true
    }

    fn try_enter(&self, access: Access) -> bool {
        let _masked = interrupt::mask();
        self.turnstile.try_lock().is_some() && self.admit(access)
    }

    fn admit(&self, access: Access) -> bool {
        self.inside.with(|inside| {
            let next = match (*inside, access) {
                (Inside::Readers(0), Access::Write) => Inside::Writer,
                (Inside::Readers(count), Access::Read) => Inside::Readers(count + 1),
                (Inside::Writer, _) | (Inside::Readers(_), Access::Write) => return false,
            };
            *inside = next;
            true
        })
    }

    fn leave(&self) {
        let _masked = interrupt::mask();
        let rest = self.inside.with(|inside| {
            *inside = match *inside {
                Inside::Readers(count) => Inside::Readers(count.saturating_sub(1)),
                Inside::Writer => Inside::Readers(0),
            };
            *inside
        });
        if rest == Inside::Readers(0) {
            self.vacated.wake_one();
        }
    }
}

impl<T: Default> Default for RwLock<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.try_read() {
            Some(guard) => f.debug_tuple("RwLock").field(&&*guard).finish(),
            None => f.write_str("RwLock(<locked>)"),
        }
    }
}

/// Shared access to the value of an [`RwLock`], until dropped.
#[must_use = "the lock is released at once if the guard is not kept"]
pub struct RwLockReadGuard<'a, T: ?Sized> {
    lock: &'a RwLock<T>,
    _not_send: PhantomData<*const ()>,
}

/// Exclusive access to the value of an [`RwLock`], until dropped.
#[must_use = "the lock is released at once if the guard is not kept"]
pub struct RwLockWriteGuard<'a, T: ?Sized> {
    lock: &'a RwLock<T>,
    _not_send: PhantomData<*const ()>,
}

// SAFETY: a shared guard gives shared access to the value and nothing else.
unsafe impl<T: ?Sized + Sync> Sync for RwLockReadGuard<'_, T> {}

// SAFETY: a shared guard gives shared access to the value and nothing else.
unsafe impl<T: ?Sized + Sync> Sync for RwLockWriteGuard<'_, T> {}

impl<'a, T: ?Sized> RwLockReadGuard<'a, T> {
    /// Makes the guard of a reader that has been admitted.
    fn of(lock: &'a RwLock<T>) -> Self {
        Self {
            lock,
            _not_send: PhantomData,
        }
    }
}

impl<'a, T: ?Sized> RwLockWriteGuard<'a, T> {
    /// Makes the guard of a writer that has been admitted.
    fn of(lock: &'a RwLock<T>) -> Self {
        Self {
            lock,
            _not_send: PhantomData,
        }
    }
}

impl<T: ?Sized> Deref for RwLockReadGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: while this reader is inside no writer is.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T: ?Sized> Deref for RwLockWriteGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: while this writer is inside nobody else is.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T: ?Sized> DerefMut for RwLockWriteGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above, and the guard itself is borrowed mutably.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T: ?Sized> Drop for RwLockReadGuard<'_, T> {
    fn drop(&mut self) {
        self.lock.leave();
    }
}

impl<T: ?Sized> Drop for RwLockWriteGuard<'_, T> {
    fn drop(&mut self) {
        self.lock.leave();
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLockReadGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLockWriteGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
