//! A panic ends the VM: message, thread, place and backtrace go to the console, then it terminates
//! with the code of [`set_panic_exit_code`](crate::process::set_panic_exit_code).

#[cfg(denali)]
mod handler;
mod walk;
