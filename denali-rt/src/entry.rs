//! From the first instruction to `main`, and from its result to the exit code.

use core::fmt::Display;

/// What `main` may return: nothing, a `Result` whose error can be shown, or nothing ever.
pub trait MainResult {
    /// Returns the exit code, after reporting an error on the console.
    fn report(self) -> i32;
}

impl MainResult for () {
    fn report(self) -> i32 {
        0
    }
}

impl<T: MainResult, E: Display> MainResult for Result<T, E> {
    fn report(self) -> i32 {
        match self {
            Ok(result) => result.report(),
            Err(error) => {
                crate::eprintln!("error: {error}");
                1
            }
        }
    }
}

/// The type `!`, reached through a function pointer since its name is not stable.
type Never = <fn() -> ! as Returns>::Output;

/// Names the return type of a function pointer.
#[doc(hidden)]
pub trait Returns {
    /// The return type.
    type Output;
}

impl<T> Returns for fn() -> T {
    type Output = T;
}

impl MainResult for Never {
    fn report(self) -> i32 {
        self
    }
}

/// Runs the service's `main` and returns the exit code; [`entry!`](crate::entry!) expands to a
/// call of this.
#[doc(hidden)]
pub fn run<T: MainResult>(main: fn() -> T) -> i32 {
    main().report()
}

/// Names the service's `main`.
///
/// `main` takes nothing and returns `()`, `!`, or a [`Result`] whose error implements
/// [`Display`]: an error is printed and the exit code is 1.
///
/// Outside a Denali build the program only says how to build it, and exits with code 2.
#[cfg(denali)]
#[macro_export]
macro_rules! entry {
    ($main:path) => {
        #[expect(unsafe_code, reason = "denali-rt calls `main` by its link name")]
        const _: () = {
            #[unsafe(export_name = "denali_main")]
            extern "Rust" fn denali_main() -> i32 {
                #[cfg(not(test))]
                return $crate::entry::run($main);
                #[cfg(test)]
                {
                    // Type-checks `main`, which tests take the place of.
                    let _ = || $crate::entry::run($main);
                    $crate::testing::run()
                }
            }
        };
    };
}

/// Names the service's `main`.
///
/// `main` takes nothing and returns `()`, `!`, or a [`Result`] whose error implements
/// [`Display`]: an error is printed and the exit code is 1.
///
/// Outside a Denali build the program only says how to build it, and exits with code 2.
#[cfg(not(denali))]
#[macro_export]
macro_rules! entry {
    ($main:path) => {
        extern crate std as _;

        #[cfg(not(test))]
        #[expect(unsafe_code, reason = "must come before `main`, whatever that does")]
        const _: () = {
            #[used]
            #[unsafe(link_section = ".init_array")]
            static REFUSE: extern "C" fn() = $crate::entry::refuse;
            // Type-checks `main` as a Denali build would.
            let _ = || $crate::entry::run($main);
        };
    };
}

/// Says that this program is a service, and exits with code 2.
#[cfg(not(denali))]
#[doc(hidden)]
#[expect(
    clippy::print_stderr,
    reason = "here it is a program of the developer's machine"
)]
pub extern "C" fn refuse() {
    std::eprintln!("this is a Denali service: build it with `cargo denali build`");
    crate::process::exit(2)
}

#[cfg(denali)]
mod start {
    #![expect(unsafe_code, reason = "the first instruction, and the link to `main`")]

    use crate::{hypercall, interrupt, log, process, registers};
    use core::arch::naked_asm;

    unsafe extern "Rust" {
        /// The service's `main`, exported by [`entry!`](crate::entry!).
        safe fn denali_main() -> i32;
    }

    /// The first instruction of the VM. All registers are zero but the stack pointer, which is
    /// the top of the first small stack: aligned as a call wants it once the `call` has pushed.
    #[unsafe(naked)]
    #[unsafe(no_mangle)]
    extern "C" fn _start() -> ! {
        naked_asm!("xor ebp, ebp", "and rsp, -16", "call {start}", "ud2", start = sym start)
    }

    extern "C" fn start() -> ! {
        if registers::get().abi_version != denali_abi::ABI_VERSION {
            hypercall::console_write_all(b"this host's kernel has another ABI version: rebuild\n");
            process::exit(process::PANIC_EXIT_CODE);
        }
        log::init();
        interrupt::start();
        process::exit(denali_main())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_result_of_main_becomes_the_exit_code() {
        assert_eq!(run(|| ()), 0);
        assert_eq!(run(|| -> Result<(), &str> { Ok(()) }), 0);
        assert_eq!(run(|| -> Result<(), &str> { Err("it broke") }), 1);
    }

    #[test]
    fn main_may_never_return() {
        fn never() -> ! {
            panic!("not called")
        }
        let _: fn() -> i32 = || run(never);
    }
}
