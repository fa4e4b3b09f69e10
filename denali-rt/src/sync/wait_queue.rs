//! Where threads wait for one another: what every blocking primitive here is made of.

use crate::sync::GuestCell;
use crate::thread::scheduler::{self, ThreadId, Wake};
use crate::time::Instant;
use alloc::collections::VecDeque;

/// Threads that wait for something, woken in the order they came.
///
/// Deciding to wait and waiting is one step: no other thread runs in between, so a caller tests its
/// condition and calls [`wait`](Self::wait) without a lock around both.
#[derive(Debug, Default)]
pub struct WaitQueue {
    waiting: GuestCell<VecDeque<ThreadId>>,
}

impl WaitQueue {
    /// Makes an empty queue.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            waiting: GuestCell::new(VecDeque::new()),
        }
    }

    /// Waits until woken.
    pub fn wait(&self) {
        self.enqueue_current();
        scheduler::block(None);
    }

    /// Waits until woken or until `deadline`. Returns whether the time was up first.
    pub fn wait_until(&self, deadline: Instant) -> bool {
        let current = self.enqueue_current();
        scheduler::block(Some(deadline)) == Wake::Deadline && self.withdraw(current)
    }

    /// Waits until woken or until `deadline`, if there is one. Returns whether the time was up
    /// first.
    pub fn wait_until_maybe(&self, deadline: Option<Instant>) -> bool {
        match deadline {
            Some(deadline) => self.wait_until(deadline),
            None => {
                self.wait();
                false
            }
        }
    }

    /// Wakes the thread that waits longest. Returns whether there was one.
    pub fn wake_one(&self) -> bool {
        let first = self.waiting.with(VecDeque::pop_front);
        first.inspect(|id| scheduler::wake(*id)).is_some()
    }

    /// Wakes every thread that waits now. Returns how many there were.
    pub fn wake_all(&self) -> usize {
        let all = self.waiting.with(core::mem::take);
        for id in &all {
            scheduler::wake(*id);
        }
        all.len()
    }

    /// Returns whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.with(|waiting| waiting.is_empty())
    }

    /// Takes a thread out. Returns whether it was there: one whose time was up may have been woken
    /// before it ran again, and what it was woken for is then its own.
    fn withdraw(&self, thread: ThreadId) -> bool {
        self.waiting.with(|waiting| {
            let place = waiting.iter().position(|id| *id == thread);
            place.and_then(|place| waiting.remove(place)).is_some()
        })
    }

    fn enqueue_current(&self) -> ThreadId {
        let current = scheduler::current();
        self.waiting.with(|waiting| waiting.push_back(current));
        current
    }
}
