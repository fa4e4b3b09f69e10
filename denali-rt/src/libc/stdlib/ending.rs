//! The end of the program.

use crate::libc::errno::{self, ENOMEM};
use crate::libc::stdio;
use crate::process;
use crate::sync::GuestCell;
use alloc::vec::Vec;
use core::ffi::c_int;

/// Functions to call at the end, the last registered first.
static AT_EXIT: GuestCell<Vec<extern "C" fn()>> = GuestCell::new(Vec::new());

/// Has a function called at the program's end. Returns 0, or -1 without memory for it.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn atexit(function: extern "C" fn()) -> c_int {
    AT_EXIT.with(|functions| {
        if functions.try_reserve(1).is_err() {
            errno::set(ENOMEM);
            return -1;
        }
        functions.push(function);
        0
    })
}

/// Calls the functions of [`atexit`], writes out what waits in streams, and ends the VM.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn exit(code: c_int) -> ! {
    // One at a time: they may register others.
    while let Some(function) = AT_EXIT.with(Vec::pop) {
        function();
    }
    stdio::flush_all();
    process::exit(code)
}

/// Ends the VM at once.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn _exit(code: c_int) -> ! {
    process::exit(code)
}

/// Ends the VM at once.
#[cfg_attr(denali, unsafe(no_mangle))]
#[cfg_attr(not(denali), expect(non_snake_case, reason = "its name in C"))]
pub extern "C" fn _Exit(code: c_int) -> ! {
    process::exit(code)
}

/// Ends the VM with the exit code of a panic.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn abort() -> ! {
    crate::eprintln!("the program called abort()");
    process::abort()
}
