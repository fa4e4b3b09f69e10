//! The end of the service: by itself, by a panic, or because it was asked to.
//!
//! `cargo denali stop` asks a service to end until a deadline, and ends it then. A service that has
//! something to finish waits for that in [`wait_for_stop`], or looks at [`stop_requested`] now and
//! then. The runtime ends one that did neither before, at once and with exit code 0.

use crate::hypercall;
use crate::interrupt;
#[cfg(denali)]
use crate::net;
use crate::registers;
use crate::sync::WaitQueue;
use crate::time::Instant;
use core::sync::atomic::{AtomicBool, AtomicI32, Ordering};

/// Ends the VM with an exit code, without running destructors. Zero means success.
///
/// Frames that can be sent now are sent; nothing waits for acknowledgements.
pub fn exit(code: i32) -> ! {
    #[cfg(denali)]
    {
        // Nobody else gets on from here.
        core::mem::forget(interrupt::mask());
        net::poll(Instant::now());
        hypercall::network_notify();
    }
    hypercall::terminate(code)
}

/// Says that the service does what it is for: with `health = "ready"` in its manifest, a new release
/// takes over from the last one now.
pub fn ready() {
    crate::println!("{}", denali_abi::control::READY_LINE);
}

/// Ends the VM with the exit code of a panic.
pub fn abort() -> ! {
    hypercall::terminate(PANIC_CODE.load(Ordering::Relaxed))
}

/// Sets the exit code of a VM that panics or aborts.
pub fn set_panic_exit_code(code: i32) {
    PANIC_CODE.store(code, Ordering::Relaxed);
}

/// The exit code of a VM that panicked, as in Rust programs elsewhere, unless set otherwise.
pub const PANIC_EXIT_CODE: i32 = 101;

static PANIC_CODE: AtomicI32 = AtomicI32::new(PANIC_EXIT_CODE);

/// Whether the service ends by itself when it is asked to.
static HANDLES_STOP: AtomicBool = AtomicBool::new(false);

/// Whether everybody who waits was told.
static STOP_NOTICED: AtomicBool = AtomicBool::new(false);

static STOP: WaitQueue = WaitQueue::new();

/// Returns until when the service may go on, if it was asked to stop. Having called this, it must
/// end by itself.
#[must_use]
pub fn stop_requested() -> Option<Instant> {
    HANDLES_STOP.store(true, Ordering::Relaxed);
    match registers::stop_deadline_ns() {
        0 => None,
        deadline => Some(Instant::from_ns(deadline)),
    }
}

/// Waits until the service is asked to stop, and returns until when it may go on. It must end by
/// itself.
pub fn wait_for_stop() -> Instant {
    let _masked = interrupt::mask();
    loop {
        if let Some(deadline) = stop_requested() {
            return deadline;
        }
        STOP.wait();
    }
}

/// Like [`wait_for_stop`], for a task: other tasks go on meanwhile.
pub async fn wait_for_stop_async() -> Instant {
    loop {
        if let Some(deadline) = stop_requested() {
            return deadline;
        }
        STOP.wait_unless(|| stop_requested().is_some(), || ()).await;
    }
}

/// Looks whether the service was asked to stop: wakes whoever waits for it, or ends the service.
pub(crate) fn notice_stop() {
    if registers::stop_deadline_ns() == 0 || STOP_NOTICED.swap(true, Ordering::Relaxed) {
        return;
    }
    if !HANDLES_STOP.load(Ordering::Relaxed) {
        exit(0);
    }
    STOP.wake_all();
}
