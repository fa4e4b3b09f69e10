//! Which thread runs next: the one that has been runnable longest.

use crate::thread::scheduler::ThreadId;
use alloc::collections::VecDeque;

/// Runnable threads, first come, first served.
///
/// Each thread is in the queue at most once, so with room reserved for all of them waking one never
/// allocates.
#[derive(Debug)]
pub(crate) struct RunQueue {
    ready: VecDeque<ThreadId>,
}

impl RunQueue {
    pub(crate) const fn new() -> Self {
        Self {
            ready: VecDeque::new(),
        }
    }

    /// Makes room for `threads` threads. Returns whether there is memory for it.
    pub(crate) fn reserve(&mut self, threads: usize) -> bool {
        let missing = threads.saturating_sub(self.ready.len());
        self.ready.try_reserve(missing).is_ok()
    }

    pub(crate) fn push(&mut self, thread: ThreadId) {
        self.ready.push_back(thread);
    }

    pub(crate) fn pop(&mut self) -> Option<ThreadId> {
        self.ready.pop_front()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ready.is_empty()
    }
}
