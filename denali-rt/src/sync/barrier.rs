//! Meeting of a number of threads.

use crate::interrupt;
use crate::sync::{GuestCell, WaitQueue};

/// Where threads wait until a number of them has come; then all go on, and it starts anew.
#[derive(Debug)]
pub struct Barrier {
    threads: usize,
    arrived: GuestCell<usize>,
    waiting: WaitQueue,
}

/// What a [`Barrier::wait`] tells its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BarrierWaitResult {
    is_leader: bool,
}

impl Barrier {
    /// Makes a barrier for `threads` threads; none and one make no difference.
    #[must_use]
    pub const fn new(threads: usize) -> Self {
        Self {
            threads,
            arrived: GuestCell::new(0),
            waiting: WaitQueue::new(),
        }
    }

    /// Waits until all have come.
    pub fn wait(&self) -> BarrierWaitResult {
        let _masked = interrupt::mask();
        let is_leader = self.arrived.with(|arrived| {
            *arrived += 1;
            let complete = *arrived >= self.threads;
            if complete {
                *arrived = 0;
            }
            complete
        });
        if is_leader {
            self.waiting.wake_all();
        } else {
            self.waiting.wait();
        }
        BarrierWaitResult { is_leader }
    }
}

impl BarrierWaitResult {
    /// Returns whether this thread is the one that came last.
    #[must_use]
    pub fn is_leader(self) -> bool {
        self.is_leader
    }
}
