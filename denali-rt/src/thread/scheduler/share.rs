//! How long a thread keeps the CPU though it neither waits nor yields.

use super::{Scheduler, switch_away, with};
use crate::interrupt;
use crate::thread::idle;
use crate::time::{Duration, Instant};

/// How long a thread computes before those that compute, too, get their turn.
const QUANTUM: Duration = Duration::from_millis(10);

/// How long a thread runs before one that was just woken may preempt it: requests that are answered
/// at once cost no more switches than they did.
const GRACE: Duration = Duration::from_millis(1);

/// Lets others run if they are runnable and the current thread has had its share. With interrupts
/// masked.
pub(crate) fn preempt(now: Instant) {
    if with(|scheduler| scheduler.gives_way(now)) {
        with(|scheduler| scheduler.ready.push_preempted(scheduler.current));
        switch_away();
    }
}

/// Begins a quantum of the current thread.
#[cfg(denali)]
pub(crate) fn begin_quantum(now: Instant) {
    with(|scheduler| scheduler.begin_quantum(now));
}

impl Scheduler {
    /// Returns whether others should run now; the current thread goes on with its quantum or a new
    /// one otherwise.
    fn gives_way(&mut self, now: Instant) -> bool {
        let ran = now - self.began;
        if ran >= GRACE && self.ready.has_quick() || ran >= QUANTUM && !self.ready.is_empty() {
            self.next_poll = now + idle::POLL_INTERVAL;
            return true;
        }
        if ran >= QUANTUM {
            self.began = now;
        }
        self.arm();
        false
    }

    pub(super) fn begin_quantum(&mut self, now: Instant) {
        self.began = now;
        self.arm();
    }

    /// Has the timer interrupt when the quantum is over or somebody's deadline has come.
    fn arm(&mut self) {
        let quantum_end = self.began + QUANTUM;
        let deadline = self.timers.next_deadline();
        interrupt::arm(deadline.map_or(quantum_end, |deadline| deadline.min(quantum_end)));
    }
}
