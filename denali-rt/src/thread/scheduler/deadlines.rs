//! Who waits for a point in time: threads and tasks in one wheel.

use super::{Scheduler, Sleeper, Wake, with};
use crate::interrupt;
use crate::time::{Instant, TimerKey};
use core::task::Waker;

/// Ends the waits whose deadlines are at or before `now`.
pub(crate) fn wake_expired(now: Instant) {
    // Wakers are called outside, since they wake threads.
    while let Some(task) = with(|scheduler| scheduler.expire(now)) {
        task.wake();
    }
}

/// Calls `waker` once `deadline` has come.
pub(crate) fn set_timer(deadline: Instant, waker: Waker) -> TimerKey {
    interrupt::arm_before(deadline);
    with(|scheduler| scheduler.timers.insert(deadline, Sleeper::Task(waker)))
}

/// Forgets about a timer that was set, unless it has expired.
pub(crate) fn cancel_timer(timer: TimerKey) {
    // The waker is dropped outside, where it may do as it likes.
    drop(with(|scheduler| scheduler.timers.cancel(timer)));
}

/// Returns the earliest deadline of a waiting thread.
pub(crate) fn next_deadline() -> Option<Instant> {
    with(|scheduler| scheduler.timers.next_deadline())
}

impl Scheduler {
    /// Ends the waits of threads whose deadlines are at or before `now`, up to the first task whose
    /// deadline is: its waker is returned.
    fn expire(&mut self, now: Instant) -> Option<Waker> {
        loop {
            match self.timers.expire(now)? {
                Sleeper::Task(waker) => return Some(waker),
                Sleeper::Thread(thread) => {
                    self.threads[thread.slot()].timer = None;
                    self.resume(thread, Wake::Deadline);
                }
            }
        }
    }
}
