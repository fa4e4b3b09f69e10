//! What a panic writes besides `std`'s own words.

use std::boxed::Box;
use std::panic;

/// Has panics followed by their backtrace, as those of services without `std` are: `std` itself finds no
/// names in a VM.
pub(crate) fn show_backtraces() {
    let message = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        message(info);
        denali_rt::panic::print_backtrace();
    }));
}
