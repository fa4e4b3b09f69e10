//! Waiting for a condition on what a mutex protects.

use crate::interrupt;
use crate::sync::{MutexGuard, WaitQueue};
use crate::time::{Duration, Instant};

/// A condition variable.
///
/// Wakes may be spurious in principle: test the condition in a loop, or use
/// [`wait_while`](Self::wait_while).
#[derive(Debug, Default)]
pub struct Condvar {
    waiting: WaitQueue,
}

impl Condvar {
    /// Makes a condition nobody waits for.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            waiting: WaitQueue::new(),
        }
    }

    /// Releases the lock, waits until notified and takes the lock again.
    pub fn wait<'a, T: ?Sized>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        let _masked = interrupt::mask();
        let mutex = MutexGuard::mutex(&guard);
        drop(guard);
        self.waiting.wait();
        mutex.lock()
    }

    /// Waits as long as `condition` holds.
    pub fn wait_while<'a, T: ?Sized>(
        &self,
        mut guard: MutexGuard<'a, T>,
        mut condition: impl FnMut(&mut T) -> bool,
    ) -> MutexGuard<'a, T> {
        while condition(&mut guard) {
            guard = self.wait(guard);
        }
        guard
    }

    /// Like [`wait`](Self::wait), until `deadline` at the latest. Returns the lock and whether the
    /// time was up first.
    pub fn wait_until<'a, T: ?Sized>(
        &self,
        guard: MutexGuard<'a, T>,
        deadline: Instant,
    ) -> (MutexGuard<'a, T>, bool) {
        let _masked = interrupt::mask();
        let mutex = MutexGuard::mutex(&guard);
        drop(guard);
        let timed_out = self.waiting.wait_until(deadline);
        (mutex.lock(), timed_out)
    }

    /// Like [`wait_until`](Self::wait_until) with a duration from now.
    pub fn wait_timeout<'a, T: ?Sized>(
        &self,
        guard: MutexGuard<'a, T>,
        timeout: Duration,
    ) -> (MutexGuard<'a, T>, bool) {
        self.wait_until(guard, Instant::now() + timeout)
    }

    /// Wakes the thread that waits longest.
    pub fn notify_one(&self) {
        self.waiting.wake_one();
    }

    /// Wakes all threads that wait.
    pub fn notify_all(&self) {
        self.waiting.wake_all();
    }
}
