//! The end of the service.

use crate::hypercall;

/// Ends the VM with an exit code, without running destructors. Zero means success.
pub fn exit(code: i32) -> ! {
    hypercall::terminate(code)
}

/// Ends the VM with the exit code of a panic.
pub fn abort() -> ! {
    exit(PANIC_EXIT_CODE)
}

/// The exit code of a VM that panicked, as in Rust programs elsewhere.
pub const PANIC_EXIT_CODE: i32 = 101;
