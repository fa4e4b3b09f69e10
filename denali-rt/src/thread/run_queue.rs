//! Which thread runs next: the one that has been runnable longest, those that were preempted last.
//!
//! A thread that gives the CPU away by itself is quick; one that had to be preempted computes. The
//! quick ones go first, so what waits for packets answers soon, but only so many of them: whoever
//! computes gets on, too.

use crate::thread::scheduler::ThreadId;
use alloc::collections::VecDeque;

/// Threads that may go before one that was preempted.
const PASSES_MAX: u32 = 16;

/// Runnable threads: two queues, each first come, first served.
///
/// Each thread is queued at most once, so with room reserved for all of them waking one never
/// allocates.
#[derive(Debug)]
pub(crate) struct RunQueue {
    ready: VecDeque<ThreadId>,
    preempted: VecDeque<ThreadId>,
    /// Threads that went before the first that was preempted.
    passes: u32,
}

impl RunQueue {
    pub(crate) const fn new() -> Self {
        Self {
            ready: VecDeque::new(),
            preempted: VecDeque::new(),
            passes: 0,
        }
    }

    /// Makes room for `threads` threads. Returns whether there is memory for it.
    pub(crate) fn reserve(&mut self, threads: usize) -> bool {
        [&mut self.ready, &mut self.preempted]
            .into_iter()
            .all(|queue| {
                let missing = threads.saturating_sub(queue.len());
                queue.try_reserve(missing).is_ok()
            })
    }

    /// Adds a thread that became runnable or gave the CPU away.
    pub(crate) fn push(&mut self, thread: ThreadId) {
        self.ready.push_back(thread);
    }

    /// Adds a thread from which the CPU was taken.
    pub(crate) fn push_preempted(&mut self, thread: ThreadId) {
        self.preempted.push_back(thread);
    }

    pub(crate) fn pop(&mut self) -> Option<ThreadId> {
        let is_passed = !self.preempted.is_empty();
        if is_passed && (self.ready.is_empty() || self.passes >= PASSES_MAX) {
            self.passes = 0;
            return self.preempted.pop_front();
        }
        self.passes += u32::from(is_passed);
        self.ready.pop_front()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ready.is_empty() && self.preempted.is_empty()
    }

    /// Returns whether a thread is runnable that was not preempted.
    pub(crate) fn has_quick(&self) -> bool {
        !self.ready.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_preempted_go_last_and_are_not_starved() {
        let [busy, other, quick] = [1, 2, 3].map(ThreadId::for_test);
        let mut queue = RunQueue::new();
        assert!(queue.reserve(3));
        queue.push_preempted(busy);
        queue.push_preempted(other);
        queue.push(quick);
        let order: [_; 40] = core::array::from_fn(|_| {
            let next = queue.pop().unwrap();
            if next == quick {
                queue.push(quick);
            } else {
                queue.push_preempted(next);
            }
            next
        });
        let place = |wanted| order.iter().position(|thread| *thread == wanted);
        assert_eq!(
            (place(quick), place(busy), place(other)),
            (Some(0), Some(16), Some(33))
        );
        assert!(!queue.is_empty() && queue.has_quick());
    }

    #[test]
    fn those_that_compute_take_turns() {
        let [one, two] = [1, 2].map(ThreadId::for_test);
        let mut queue = RunQueue::new();
        assert!(queue.reserve(2));
        for _ in 0..3 {
            queue.push_preempted(one);
            queue.push_preempted(two);
            assert!(!queue.has_quick());
            assert_eq!(
                (queue.pop(), queue.pop(), queue.pop()),
                (Some(one), Some(two), None)
            );
        }
    }
}
