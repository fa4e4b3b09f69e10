//! What happens between threads: the network moves, timers fire, and if nothing is left to do the
//! VM idles until the earliest deadline.
//!
//! There is no idle thread and no poll thread: whichever thread gives the CPU away does this on its
//! own stack. So an idle VM makes a single crossing, and that one says when to come back.

use crate::heap;
use crate::hypercall::{self, control};
use crate::net;
use crate::process;
use crate::thread::scheduler;
use crate::time::{Duration, Instant};
use denali_abi::shared::interrupt;

/// How long runnable threads may keep the network and timers waiting.
pub(super) const POLL_INTERVAL: Duration = Duration::from_micros(200);

/// Lets the network and timers catch up with `now`. Returns the network's next deadline.
pub(super) fn poll(now: Instant) -> Option<Instant> {
    process::notice_stop();
    let network_deadline = net::poll(now);
    scheduler::wake_expired(now);
    network_deadline
}

/// Idles until something happens, unless a thread is runnable by then.
pub(super) fn wait() {
    let now = Instant::now();
    let network_deadline = poll(now);
    if scheduler::has_runnable() {
        return;
    }
    let deadlines = [
        network_deadline,
        scheduler::next_deadline(),
        heap::tidy(now),
    ];
    let deadline = deadlines.into_iter().flatten().min();
    let pending = hypercall::idle_with_timeout(deadline);
    if pending & interrupt::CONTROL != 0 {
        control::vm_changes().wake_all();
    }
}
