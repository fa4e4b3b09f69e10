//! Statics of a kernel with one CPU and interrupts off.

#![expect(unsafe_code, reason = "makes a static mutable and Sync")]

use core::cell::{RefCell, RefMut};

/// A mutable static; borrowing it twice at a time is a bug and panics.
#[derive(Debug)]
pub(crate) struct KernelCell<T>(RefCell<T>);

// SAFETY: this kernel runs on one CPU, and interrupt handlers that run Rust do so only at the idle
// `sti; hlt`, where no borrow is held; so no two borrows are ever made concurrently.
unsafe impl<T: Send> Sync for KernelCell<T> {}

impl<T> KernelCell<T> {
    /// Makes the cell.
    pub(crate) const fn new(value: T) -> Self {
        Self(RefCell::new(value))
    }

    /// Borrows the contents.
    ///
    /// # Panics
    ///
    /// If they are borrowed already.
    pub(crate) fn borrow(&self) -> RefMut<'_, T> {
        self.0.borrow_mut()
    }

    /// Borrows the contents unless they are borrowed already: for the panic path.
    pub(crate) fn try_borrow(&self) -> Option<RefMut<'_, T>> {
        self.0.try_borrow_mut().ok()
    }
}
