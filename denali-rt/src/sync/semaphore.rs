//! A number of permits: the way to bound how many threads do something at once.

use crate::interrupt;
use crate::sync::{GuestCell, WaitQueue};
use crate::time::{Duration, Instant};

/// A counting semaphore. Permits go to waiting threads in the order they came.
#[derive(Debug)]
pub struct Semaphore {
    permits: GuestCell<usize>,
    waiting: WaitQueue,
}

impl Semaphore {
    /// Makes a semaphore with `permits` permits.
    #[must_use]
    pub const fn new(permits: usize) -> Self {
        Self {
            permits: GuestCell::new(permits),
            waiting: WaitQueue::new(),
        }
    }

    /// Waits for a permit and takes it.
    pub fn acquire(&self) {
        let _masked = interrupt::mask();
        if !self.try_acquire() {
            self.waiting.wait();
        }
    }

    /// Takes a permit if there is one. Returns whether there was.
    pub fn try_acquire(&self) -> bool {
        self.permits.with(|permits| match permits.checked_sub(1) {
            Some(rest) => {
                *permits = rest;
                true
            }
            None => false,
        })
    }

    /// Waits for a permit until `deadline`. Returns whether it got one.
    pub fn acquire_until(&self, deadline: Instant) -> bool {
        let _masked = interrupt::mask();
        self.try_acquire() || !self.waiting.wait_until(deadline)
    }

    /// Like [`acquire_until`](Self::acquire_until) with a duration from now.
    pub fn acquire_timeout(&self, timeout: Duration) -> bool {
        self.acquire_until(Instant::now() + timeout)
    }

    /// Waits for a permit and takes it, as a task.
    pub async fn acquire_async(&self) {
        let acquire = || self.try_acquire();
        self.waiting.wait_unless(acquire, || self.release()).await;
    }

    /// Gives a permit back, to the first in the queue if there is one.
    pub fn release(&self) {
        let _masked = interrupt::mask();
        if !self.waiting.wake_one() {
            self.permits.with(|permits| *permits += 1);
        }
    }

    /// Returns the number of permits that can be had without waiting.
    pub fn available(&self) -> usize {
        self.permits.with(|permits| *permits)
    }
}
