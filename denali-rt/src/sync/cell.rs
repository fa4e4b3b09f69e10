//! A cell that can be a `static`: the cheapest lock of a system without parallelism.
//!
//! Interrupts are masked while it is borrowed, so threads switch only where they wait. A closure that
//! does not wait therefore has the value to itself, and the flag merely catches mistakes: waiting, or
//! entering again, inside of it.

#![expect(unsafe_code, reason = "lends a shared value to one borrower at a time")]

use crate::interrupt;
use core::cell::UnsafeCell;
use core::fmt;
use flag::Flag;

/// A value shared by all green threads, borrowed for the length of a closure.
pub struct GuestCell<T> {
    borrowed: Flag,
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
            borrowed: Flag::new(),
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
        if !self.borrowed.set() {
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
struct Release<'a>(&'a Flag);

impl Drop for Release<'_> {
    fn drop(&mut self) {
        self.0.clear();
    }
}

/// Whether a cell is borrowed.
#[cfg(denali)]
mod flag {
    use core::sync::atomic::{AtomicBool, Ordering};

    pub(super) struct Flag(AtomicBool);

    impl Flag {
        pub(super) const fn new() -> Self {
            Self(AtomicBool::new(false))
        }

        /// Sets the flag. Returns whether it was clear.
        pub(super) fn set(&self) -> bool {
            !self.0.swap(true, Ordering::Acquire)
        }

        pub(super) fn clear(&self) {
            self.0.store(false, Ordering::Release);
        }
    }
}

/// Who borrows a cell: outside a VM several system threads, each with green threads of its own, take
/// turns.
#[cfg(not(denali))]
mod flag {
    use core::sync::atomic::{AtomicUsize, Ordering};

    std::thread_local! {
        /// Its address tells the system's threads apart.
        static MARK: u8 = const { 0 };
    }

    /// The mark of the thread that has set it, or 0.
    pub(super) struct Flag(AtomicUsize);

    impl Flag {
        pub(super) const fn new() -> Self {
            Self(AtomicUsize::new(0))
        }

        /// Sets the flag once no other system thread has. Returns whether it was clear.
        pub(super) fn set(&self) -> bool {
            let own = MARK.with(|mark| core::ptr::from_ref(mark).addr());
            loop {
                let free = self
                    .0
                    .compare_exchange(0, own, Ordering::Acquire, Ordering::Relaxed);
                match free {
                    Ok(_) => return true,
                    Err(borrower) if borrower == own => return false,
                    Err(_) => std::thread::yield_now(),
                }
            }
        }

        pub(super) fn clear(&self) {
            self.0.store(0, Ordering::Release);
        }
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
