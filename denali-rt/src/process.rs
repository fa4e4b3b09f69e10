//! The end of the service.

use crate::hypercall;
#[cfg(denali)]
use crate::{net, time::Instant};

/// Ends the VM with an exit code, without running destructors. Zero means success.
///
/// Frames that can be sent now are sent; nothing waits for acknowledgements.
pub fn exit(code: i32) -> ! {
    #[cfg(denali)]
    {
        net::poll(Instant::now());
        hypercall::network_notify();
    }
    hypercall::terminate(code)
}

/// Ends the VM with the exit code of a panic.
pub fn abort() -> ! {
    hypercall::terminate(PANIC_EXIT_CODE)
}

/// The exit code of a VM that panicked, as in Rust programs elsewhere.
pub const PANIC_EXIT_CODE: i32 = 101;
