//! Values of which each thread has its own.

#![expect(unsafe_code, reason = "keeps values that must stay with their thread")]

use crate::thread::scheduler;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::any::Any;
use core::cell::{Cell, RefCell};
use core::fmt;

/// Declares values of which each thread has its own, as `std::thread_local!` does.
///
/// A value is made when its thread first uses it and dropped at the end of the thread; what the
/// first thread has is never dropped, since the end of `main` is the end of the VM.
///
/// ```
/// use core::cell::Cell;
/// denali_rt::thread_local! {
///     static REQUESTS: Cell<u32> = const { Cell::new(0) };
/// }
/// REQUESTS.set(REQUESTS.get() + 1);
/// ```
#[macro_export]
macro_rules! thread_local {
    () => {};
    ($(#[$meta:meta])* $visibility:vis static $name:ident: $type:ty = $init:expr
        $(; $($rest:tt)*)?) => {
        $(#[$meta])*
        $visibility static $name: $crate::thread::LocalKey<$type> =
            $crate::thread::LocalKey::new(|| $init);
        $($crate::thread_local! { $($rest)* })?
    };
}

/// Names a value of which each thread has its own; made by [`thread_local!`](crate::thread_local).
pub struct LocalKey<T: 'static> {
    init: fn() -> T,
}

/// The value was asked for at the end of its thread, after it had been dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccessError;

impl<T: 'static> LocalKey<T> {
    #[doc(hidden)]
    #[must_use]
    pub const fn new(init: fn() -> T) -> Self {
        Self { init }
    }

    /// Calls `f` with the running thread's value, which is made first if there is none yet.
    ///
    /// # Panics
    ///
    /// If the thread is ending and has dropped the value already.
    pub fn with<R>(&'static self, f: impl FnOnce(&T) -> R) -> R {
        self.try_with(f)
            .expect("the thread has dropped this value at its end")
    }

    /// Calls `f` with the running thread's value, which is made first if there is none yet.
    ///
    /// # Errors
    ///
    /// If the thread is ending and has dropped the value already.
    pub fn try_with<R>(&'static self, f: impl FnOnce(&T) -> R) -> Result<R, AccessError> {
        let key = core::ptr::from_ref(self).addr();
        let present = scheduler::with_locals(|locals| locals.find(key));
        let value = match present {
            Found::Value(value) => value,
            Found::Dropped => return Err(AccessError),
            Found::Nothing => {
                // Made outside of the scheduler: making it may wait or use other keys.
                let made: Rc<dyn Any> = Rc::new((self.init)());
                scheduler::with_locals(|locals| locals.insert(key, Rc::clone(&made)));
                made
            }
        };
        let value = value.downcast::<T>().map_err(|_| AccessError)?;
        Ok(f(&value))
    }
}

impl<T: 'static> LocalKey<Cell<T>> {
    /// Sets the running thread's value.
    pub fn set(&'static self, value: T) {
        self.with(|cell| cell.set(value));
    }

    /// Returns a copy of the running thread's value.
    pub fn get(&'static self) -> T
    where
        T: Copy,
    {
        self.with(Cell::get)
    }

    /// Replaces the running thread's value and returns it.
    pub fn replace(&'static self, value: T) -> T {
        self.with(|cell| cell.replace(value))
    }

    /// Takes the running thread's value and leaves the default.
    pub fn take(&'static self) -> T
    where
        T: Default,
    {
        self.with(Cell::take)
    }
}

impl<T: 'static> LocalKey<RefCell<T>> {
    /// Calls `f` with the running thread's value borrowed.
    ///
    /// # Panics
    ///
    /// If it is borrowed mutably.
    pub fn with_borrow<R>(&'static self, f: impl FnOnce(&T) -> R) -> R {
        self.with(|cell| f(&cell.borrow()))
    }

    /// Calls `f` with the running thread's value borrowed mutably.
    ///
    /// # Panics
    ///
    /// If it is borrowed.
    pub fn with_borrow_mut<R>(&'static self, f: impl FnOnce(&mut T) -> R) -> R {
        self.with(|cell| f(&mut cell.borrow_mut()))
    }
}

impl<T: 'static> fmt::Debug for LocalKey<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalKey").finish_non_exhaustive()
    }
}

impl fmt::Display for AccessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the thread has dropped this value at its end")
    }
}

impl core::error::Error for AccessError {}

/// The values of one thread, by the addresses of their keys: few, so a list will do.
#[derive(Debug, Default)]
pub(crate) struct Locals {
    values: Vec<(usize, Option<Rc<dyn Any>>)>,
}

// SAFETY: the table of threads moves between the green threads of one CPU, but only the thread
// that made a value reaches it: through `with_locals`, which is for the running thread alone.
unsafe impl Send for Locals {}

/// What a thread has under a key.
enum Found {
    Value(Rc<dyn Any>),
    Dropped,
    Nothing,
}

impl Locals {
    pub(crate) const fn new() -> Self {
        Self { values: Vec::new() }
    }

    fn find(&self, key: usize) -> Found {
        match self.values.iter().find(|(present, _)| *present == key) {
            Some((_, Some(value))) => Found::Value(Rc::clone(value)),
            Some((_, None)) => Found::Dropped,
            None => Found::Nothing,
        }
    }

    fn insert(&mut self, key: usize, value: Rc<dyn Any>) {
        self.values.push((key, Some(value)));
    }

    /// Takes the value made last, and remembers that it is gone.
    fn take_last(&mut self) -> Option<Rc<dyn Any>> {
        let mut last_first = self.values.iter_mut().rev();
        last_first.find_map(|(_, value)| value.take())
    }
}

/// Drops the running thread's values, the last made first. A value made while another is dropped is
/// dropped, too; one that is gone is not made again, so this ends.
pub(super) fn drop_all() {
    while let Some(value) = scheduler::with_locals(Locals::take_last) {
        drop(value);
    }
    drop(scheduler::with_locals(core::mem::take));
}
