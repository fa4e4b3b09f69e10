//! Synchronization among green threads.
//!
//! Threads are cooperative and share one virtual CPU, so none of this spins: whoever must wait
//! gives the CPU away, and whoever releases hands over to the longest waiting. A value that is
//! only touched between two switches needs no lock at all but a [`GuestCell`].

mod barrier;
mod cell;
pub mod channel;
mod condvar;
mod lazy;
mod mutex;
mod once;
mod rwlock;
mod semaphore;
mod wait_queue;

pub use alloc::sync::{Arc, Weak};
pub use barrier::{Barrier, BarrierWaitResult};
pub use cell::GuestCell;
pub use condvar::Condvar;
pub use lazy::{LazyLock, Once};
pub use mutex::{Mutex, MutexGuard};
pub use once::OnceLock;
pub use rwlock::{RwLock, RwLockReadGuard, RwLockWriteGuard};
pub use semaphore::Semaphore;
pub use wait_queue::WaitQueue;

#[cfg(test)]
mod tests;
