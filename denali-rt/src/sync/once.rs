//! A value made on first use.

#![expect(unsafe_code, reason = "shares a value that is written once")]

use crate::sync::{Mutex, MutexGuard};
use core::cell::UnsafeCell;
use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};

/// A cell written once, by whoever comes first; others wait until it is written.
pub struct OnceLock<T> {
    written: AtomicBool,
    writing: Mutex<()>,
    value: UnsafeCell<Option<T>>,
}

// SAFETY: the value is written once under `writing`; shared references to it exist only after.
unsafe impl<T: Send + Sync> Sync for OnceLock<T> {}

impl<T> OnceLock<T> {
    /// Makes an empty cell.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            written: AtomicBool::new(false),
            writing: Mutex::new(()),
            value: UnsafeCell::new(None),
        }
    }

    /// Returns the value if it has been written.
    pub fn get(&self) -> Option<&T> {
        if !self.written.load(Ordering::Acquire) {
            return None;
        }
        // SAFETY: `written` is set after the only write, so nobody changes the value any more.
        unsafe { &*self.value.get() }.as_ref()
    }

    /// Returns the value, made by `make` if this is the first call.
    pub fn get_or_init(&self, make: impl FnOnce() -> T) -> &T {
        self.write_once(make);
        self.get().expect("written just now or before")
    }

    /// Writes the value if there is none.
    ///
    /// # Errors
    ///
    /// Gives `value` back if the cell has been written before.
    pub fn set(&self, value: T) -> Result<(), T> {
        let mut value = Some(value);
        self.write_once(|| value.take().expect("taken at most once"));
        value.map_or(Ok(()), Err)
    }

    fn write_once(&self, make: impl FnOnce() -> T) {
        if self.written.load(Ordering::Acquire) {
            return;
        }
        let _guard = self.claim();
        if self.written.load(Ordering::Acquire) {
            return;
        }
        let made = Some(make());
        // SAFETY: `writing` is held and `written` is clear, so there is no other reference.
        unsafe { *self.value.get() = made };
        self.written.store(true, Ordering::Release);
    }

    /// Waits until nobody else is writing.
    #[cfg(denali)]
    fn claim(&self) -> MutexGuard<'_, ()> {
        self.writing.lock()
    }

    /// Waits until nobody else is writing. Outside a VM that may be another of the system's threads,
    /// which wakes no green thread of this one.
    #[cfg(not(denali))]
    fn claim(&self) -> MutexGuard<'_, ()> {
        loop {
            if let Some(guard) = self.writing.try_lock() {
                return guard;
            }
            crate::thread::yield_now();
        }
    }
}

impl<T> Default for OnceLock<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: fmt::Debug> fmt::Debug for OnceLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OnceLock").field(&self.get()).finish()
    }
}
