//! From the first instruction to `std`'s own start, which calls the program's `main`.

#![expect(unsafe_code, reason = "the symbols of the start")]

use crate::{files, panic};
use denali_rt::libc::{Out, start};

unsafe extern "C" {
    /// The start that the compiler generates for a program with `fn main()`.
    safe fn main(count: i32, arguments: Out<Out<u8>>, environment: Out<Out<u8>>) -> i32;
}

/// What `denali-rt` calls when the VM has started.
#[unsafe(no_mangle)]
extern "Rust" fn denali_main() -> i32 {
    files::provide();
    #[cfg(denali_volumes)]
    crate::volumes::provide();
    panic::show_backtraces();
    start(main)
}
