//! A panic ends the VM: message, thread, place and backtrace go to the console, then it terminates
//! with the code of [`set_panic_exit_code`](crate::process::set_panic_exit_code).
//!
//! In a program with `std` a panic is `std`'s, and unwinds; the backtrace is from here.

#[cfg(denali)]
mod backtrace;
// A program with `std` has one.
#[cfg(all(denali, not(denali_std)))]
mod handler;
mod walk;

/// Writes the calls of the running thread to the console, as the report of a panic does.
#[cfg(denali)]
pub fn print_backtrace() {
    let _masked = crate::interrupt::mask();
    let mut console = crate::console::Writer::new();
    // The console takes everything.
    backtrace::write(&mut console, backtrace::frame_pointer()).unwrap_or_default();
}
