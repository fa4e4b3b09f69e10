//! Work done on first use.

use crate::sync::{GuestCell, OnceLock};
use core::fmt;
use core::ops::Deref;

/// Work to be done once.
#[derive(Debug, Default)]
pub struct Once {
    done: OnceLock<()>,
}

impl Once {
    /// Makes a piece of work that has not been done.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            done: OnceLock::new(),
        }
    }

    /// Does the work if this is the first call; waits for it if another thread is at it. `work`
    /// must not come back here: it would wait for itself.
    pub fn call_once(&self, work: impl FnOnce()) {
        self.done.get_or_init(work);
    }

    /// Returns whether the work has been done.
    pub fn is_completed(&self) -> bool {
        self.done.get().is_some()
    }
}

/// A value made on first use, by a function given beforehand.
pub struct LazyLock<T, F = fn() -> T> {
    value: OnceLock<T>,
    make: GuestCell<Option<F>>,
}

impl<T, F: FnOnce() -> T> LazyLock<T, F> {
    /// Makes a value to be made by `make`.
    #[must_use]
    pub const fn new(make: F) -> Self {
        Self {
            value: OnceLock::new(),
            make: GuestCell::new(Some(make)),
        }
    }

    /// Returns the value, made now if this is its first use.
    pub fn force(this: &Self) -> &T {
        this.value.get_or_init(|| {
            let make = this.make.with(Option::take);
            make.expect("the value is made once")()
        })
    }
}

impl<T, F: FnOnce() -> T> Deref for LazyLock<T, F> {
    type Target = T;

    fn deref(&self) -> &T {
        Self::force(self)
    }
}

impl<T: fmt::Debug, F> fmt::Debug for LazyLock<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LazyLock").field(&self.value.get()).finish()
    }
}
