//! Mutual exclusion across waits.

#![expect(unsafe_code, reason = "a guard hands out what its lock protects")]

use crate::interrupt;
use crate::sync::{GuestCell, WaitQueue};
use crate::time::Instant;
use core::cell::UnsafeCell;
use core::fmt;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};

/// A value for one thread at a time, also while that thread waits.
///
/// The lock passes from its holder to whoever waits longest, so nobody starves. It knows no
/// poisoning: a panic ends the VM.
pub struct Mutex<T: ?Sized> {
    locked: GuestCell<bool>,
    waiting: WaitQueue,
    value: UnsafeCell<T>,
}

// SAFETY: `locked` admits one guard at a time, so sharing the mutex only moves access to the value
// from thread to thread.
unsafe impl<T: ?Sized + Send> Sync for Mutex<T> {}

// SAFETY: nothing in a mutex but its value belongs to a thread.
unsafe impl<T: ?Sized + Send> Send for Mutex<T> {}

impl<T> Mutex<T> {
    /// Makes an unlocked mutex.
    #[must_use]
    pub const fn new(value: T) -> Self {
        Self {
            locked: GuestCell::new(false),
            waiting: WaitQueue::new(),
            value: UnsafeCell::new(value),
        }
    }

    /// Returns the value.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Waits for the lock.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        let _masked = interrupt::mask();
        if !self.acquire_now() {
            self.waiting.wait();
        }
        MutexGuard::of(self)
    }

    /// Takes the lock if it is free.
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        self.acquire_now().then(|| MutexGuard::of(self))
    }

    /// Waits for the lock until `deadline`.
    pub fn lock_until(&self, deadline: Instant) -> Option<MutexGuard<'_, T>> {
        let _masked = interrupt::mask();
        if !self.acquire_now() && self.waiting.wait_until(deadline) {
            return None;
        }
        Some(MutexGuard::of(self))
    }

    /// Waits for the lock, as a task. The guard must not leave its thread, and a task that holds it
    /// while it awaits holds up threads that wait for it, too.
    pub async fn lock_async(&self) -> MutexGuard<'_, T> {
        let acquire = || self.acquire_now();
        self.waiting.wait_unless(acquire, || self.release()).await;
        MutexGuard::of(self)
    }

    /// Returns the value; the borrow proves that nobody holds the lock.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    fn acquire_now(&self) -> bool {
        self.locked.with(|locked| !core::mem::replace(locked, true))
    }

    /// Hands the lock to the first in the queue, or frees it.
    fn release(&self) {
        let _masked = interrupt::mask();
        if !self.waiting.wake_one() {
            self.locked.with(|locked| *locked = false);
        }
    }
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.try_lock() {
            Some(guard) => f.debug_tuple("Mutex").field(&&*guard).finish(),
            None => f.write_str("Mutex(<locked>)"),
        }
    }
}

/// The lock of a [`Mutex`], held. Dropping it passes the lock on.
#[must_use = "the lock is released at once if the guard is not kept"]
pub struct MutexGuard<'a, T: ?Sized> {
    mutex: &'a Mutex<T>,
    _not_send: PhantomData<*const ()>,
}

// SAFETY: a shared guard gives shared access to the value and nothing else.
unsafe impl<T: ?Sized + Sync> Sync for MutexGuard<'_, T> {}

impl<'a, T: ?Sized> MutexGuard<'a, T> {
    /// Makes the guard of a lock that the caller has just been given.
    fn of(mutex: &'a Mutex<T>) -> Self {
        Self {
            mutex,
            _not_send: PhantomData,
        }
    }

    /// Returns the mutex of `guard`.
    pub(crate) fn mutex(guard: &Self) -> &'a Mutex<T> {
        guard.mutex
    }
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: this guard holds the lock, so no other reference to the value exists but those
        // borrowed from this guard.
        unsafe { &*self.mutex.value.get() }
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above, and the guard itself is borrowed mutably.
        unsafe { &mut *self.mutex.value.get() }
    }
}

impl<T: ?Sized> Drop for MutexGuard<'_, T> {
    fn drop(&mut self) {
        self.mutex.release();
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
