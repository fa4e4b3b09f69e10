//! What happens between threads: the network moves, timers fire, and if nothing is left to do the
//! VM idles until the earliest deadline.
//!
//! There is no idle thread and no poll thread: whichever thread gives the CPU away, or is interrupted
//! in the middle of something, does this on its own stack. So an idle VM makes a single crossing, and
//! that one says when to come back.

use crate::block;
use crate::heap::{self, Tidied};
use crate::hypercall::{self, control};
use crate::interrupt;
use crate::net;
use crate::process;
use crate::resume;
use crate::thread::scheduler;
use crate::time::{Duration, Instant};
use denali_abi::shared::interrupt::{BLOCK, CONTROL};

/// How long runnable threads may keep the network and timers waiting.
pub(super) const POLL_INTERVAL: Duration = Duration::from_micros(200);

/// Serves interrupts that were `delivered` or are pending: lets the network and timers catch up with
/// `now`. Returns the network's next deadline.
pub(crate) fn poll(now: Instant, delivered: u32) -> Option<Instant> {
    resume::notice(now);
    process::notice_stop();
    notice(delivered | interrupt::take());
    let network_deadline = net::poll(now);
    scheduler::wake_expired(now);
    network_deadline
}

/// Idles until something happens, unless a thread is runnable by then.
pub(super) fn wait() {
    net::start();
    let now = Instant::now();
    let network_deadline = poll(now, 0);
    if scheduler::has_runnable() {
        return;
    }
    let tidy_at = match heap::tidy(now) {
        Tidied::Later(due) => Some(due),
        Tidied::Now => {
            scheduler::cool_stacks();
            net::rest();
            None
        }
        Tidied::Never => None,
    };
    let deadlines = [network_deadline, scheduler::next_deadline(), tidy_at];
    let deadline = deadlines.into_iter().flatten().min();
    interrupt::disarm();
    let pending = hypercall::idle_with_timeout(deadline);
    notice(pending);
}

/// Wakes those who wait for what is `pending`, the network and timers aside.
fn notice(pending: u32) {
    if pending & CONTROL != 0 {
        control::vm_changes().wake_all();
    }
    if pending & BLOCK != 0 {
        block::poll();
    }
}
