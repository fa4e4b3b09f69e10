//! A cell that can be a `static`: the cheapest lock of a system without parallelism.
//!
//! Interrupts are masked while it is borrowed, so threads switch only where they wait. A closure that
//! does not wait therefore has the value to itself, and the flag merely catches mistakes: waiting, or
//! entering again, inside of it.

#![expect(unsafe_code, reason = "lends a shared value to one borrower at a time")]

use crate::interrupt;
use core::cell::UnsafeCell;
use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};

/// A value shared by all green threads, borrowed for the length of a closure.
pub struct GuestCell<T> {
    borrowed: AtomicBool,
    value: UnsafeCell<T>,
}

// SAFETY: the flag admits one borrower at a time whichever thread asks, so sharing the cell only
// ever moves access to the value from thread to thread.
unsafe impl<T: Send> Sync for GuestCell<T> {}

impl<T> GuestCell<T> {
    /// Makes a cell.
    #[must_use]
    pub const fn new(value: T) -> Self {
        Self {
            borrowed: AtomicBool::new(false),
            value: UnsafeCell::new(value),
        }
    }

    /// Calls `f` with the value.
    ///
    /// # Panics
    ///
    /// If the value is already borrowed: `f` of another call waits or calls `with` again.
    #[track_caller]
    pub fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        match self.try_with(f) {
            Some(result) => result,
            None => panic!("GuestCell entered twice"),
        }
    }

    /// Calls `f` with the value, or returns `None` if it is already borrowed.
    pub fn try_with<R>(&self, f: impl FnOnce(&mut T) -> R) -> Option<R> {
        let _masked = interrupt::mask();
        if self.borrowed.swap(true, Ordering::Acquire) {
            return None;
        }
        let _release = Release(&self.borrowed);
        // SAFETY: the flag was clear and is set until `_release` is dropped, so this is the only
        // reference.
        let value = unsafe { &mut *self.value.get() };
        Some(f(value))
    }

    /// Returns the value.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: Default> Default for GuestCell<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> fmt::Debug for GuestCell<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuestCell").finish_non_exhaustive()
    }
}

/// Ends a borrow, also when the borrower unwinds.
struct Release<'a>(&'a AtomicBool);

impl Drop for Release<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lends_the_value_to_one_borrower_at_a_time() {
        let cell = GuestCell::new(1);
        cell.with(|value| {
            *value += 1;
            assert_eq!(cell.try_with(|_| ()), None);
        });
        assert_eq!(cell.try_with(|value| *value), Some(2));
        assert_eq!(cell.into_inner(), 2);
    }

    #[test]
    #[should_panic(expected = "GuestCell entered twice")]
    fn panics_on_re_entry() {
        let cell = GuestCell::new(());
        cell.with(|()| cell.with(|()| ()));
    }
}
