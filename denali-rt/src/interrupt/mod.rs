//! Virtual interrupts: how the network and timers get their turn while a thread computes.
//!
//! The kernel interrupts a thread with an upcall when something is pending and interrupts are
//! enabled ([`denali_abi::upcall`]); the thread that was interrupted moves the network, fires timers
//! and, if it has had its share, lets others run. So *any* thread may run between any two instructions
//! of another, except where interrupts are masked: while a [`Masked`] lives, what its thread does is
//! one step to all others, up to where it waits.
//!
//! Masking is a store to the shared page, not a crossing. What came meanwhile is served when the
//! outermost mask ends.
//!
//! | file        | what                                                        |
//! |-------------|-------------------------------------------------------------|
//! | `words.rs`  | enable flag, pending mask and timer in the shared page      |
//! | `upcall.rs` | the entry: saves what the interrupted code was working with |

#[cfg(denali)]
mod upcall;
mod words;

use crate::thread::{idle, scheduler};
use crate::time::Instant;
use core::marker::PhantomData;
use core::sync::atomic::{AtomicBool, Ordering, compiler_fence};
use words::words;

/// Rounds of interrupts served at one go; what comes later is for the kernel to deliver.
const ROUNDS_MAX: u32 = 4;

/// Whether this VM takes upcalls.
static STARTED: AtomicBool = AtomicBool::new(false);

/// Keeps the running thread from being interrupted until the guard is dropped.
///
/// Between a test and the wait that follows from it there must be a mask, or what is waited for may
/// happen in between:
///
/// ```
/// use denali_rt::interrupt;
/// use denali_rt::sync::{GuestCell, WaitQueue};
///
/// static JOBS: GuestCell<u32> = GuestCell::new(1);
/// static MORE: WaitQueue = WaitQueue::new();
///
/// let _masked = interrupt::mask();
/// while JOBS.with(|jobs| *jobs == 0) {
///     MORE.wait();
/// }
/// ```
///
/// Masks nest. A thread that waits while it masks interrupts masks them for itself alone. Do not keep
/// a mask while computing for long, or across an `await`.
pub fn mask() -> Masked {
    let enabled = &words().enabled;
    let was_enabled = enabled.load(Ordering::Relaxed) != 0;
    if was_enabled {
        enabled.store(0, Ordering::Relaxed);
    }
    compiler_fence(Ordering::SeqCst);
    Masked {
        was_enabled,
        of_this_thread: PhantomData,
    }
}

/// Interrupts are masked as long as this lives; see [`mask`].
#[derive(Debug)]
#[must_use = "interrupts are masked until the guard is dropped"]
pub struct Masked {
    was_enabled: bool,
    of_this_thread: PhantomData<*const ()>,
}

impl Drop for Masked {
    fn drop(&mut self) {
        if self.was_enabled {
            enable();
        }
    }
}

/// Returns whether the running thread cannot be interrupted now.
#[must_use]
pub fn is_masked() -> bool {
    words().enabled.load(Ordering::Relaxed) == 0
}

/// Begins to take upcalls. Does nothing outside of a VM.
#[cfg(denali)]
pub(crate) fn start() {
    upcall::register();
    STARTED.store(true, Ordering::Relaxed);
    scheduler::begin_quantum(Instant::now());
    enable();
}

/// Enables interrupts for a thread that begins, if this VM takes any.
pub(crate) fn enable_for_new_thread() {
    if STARTED.load(Ordering::Relaxed) {
        enable();
    }
}

/// Enables interrupts and serves those that came while they were masked.
fn enable() {
    let words = words();
    for _ in 0..ROUNDS_MAX {
        compiler_fence(Ordering::SeqCst);
        words.enabled.store(1, Ordering::Relaxed);
        compiler_fence(Ordering::SeqCst);
        // After the store: what comes before it is seen here, what comes after it is delivered.
        if words.pending.load(Ordering::Relaxed) == 0 {
            return;
        }
        words.enabled.store(0, Ordering::Relaxed);
        compiler_fence(Ordering::SeqCst);
        serve(0);
    }
    // The kernel finds the rest pending when it next lets us run.
    words.enabled.store(1, Ordering::Relaxed);
}

/// Serves what is pending and what was `delivered`, with interrupts masked. The running thread may
/// let others run before this returns.
fn serve(delivered: u32) {
    let now = Instant::now();
    idle::poll(now, delivered);
    scheduler::preempt(now);
}

/// Returns the pending interrupts and clears them.
pub(crate) fn take() -> u32 {
    let pending = &words().pending;
    if pending.load(Ordering::Relaxed) == 0 {
        return 0;
    }
    pending.swap(0, Ordering::Relaxed)
}

/// Has the timer interrupt at `deadline` if the VM still computes then.
pub(crate) fn arm(deadline: Instant) {
    // Zero stands for never.
    words()
        .timer_ns
        .store(deadline.as_ns().max(1), Ordering::Relaxed);
}

/// Has the timer not interrupt.
pub(crate) fn disarm() {
    words().timer_ns.store(0, Ordering::Relaxed);
}

/// Has the timer interrupt at `deadline` or before.
pub(crate) fn arm_before(deadline: Instant) {
    let armed = words().timer_ns.load(Ordering::Relaxed);
    if armed == 0 || armed > deadline.as_ns() {
        arm(deadline);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use denali_abi::shared::interrupt::RECEIVE;

    #[test]
    fn masks_nest_and_the_outermost_restores() {
        assert!(is_masked(), "a VM begins masked");
        drop(mask());
        assert!(is_masked());
        enable();
        {
            let _outer = mask();
            assert!(is_masked());
            drop(mask());
            assert!(is_masked());
        }
        assert!(!is_masked());
    }

    #[test]
    fn what_came_while_masked_is_served_when_the_mask_ends() {
        enable();
        let masked = mask();
        words().pending.store(RECEIVE, Ordering::Relaxed);
        drop(mask());
        assert_eq!(words().pending.load(Ordering::Relaxed), RECEIVE);
        drop(masked);
        assert_eq!(words().pending.load(Ordering::Relaxed), 0);
        assert!(!is_masked());
    }

    #[test]
    fn the_timer_is_only_brought_forward() {
        arm(Instant::from_ns(50));
        arm_before(Instant::from_ns(70));
        assert_eq!(words().timer_ns.load(Ordering::Relaxed), 50);
        arm_before(Instant::from_ns(30));
        assert_eq!(words().timer_ns.load(Ordering::Relaxed), 30);
    }
}
