//! The end of the service.

use crate::hypercall;
#[cfg(denali)]
use crate::{interrupt, net, time::Instant};
use core::sync::atomic::{AtomicI32, Ordering};

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
