//! From the first instruction to C's `main`.

use super::memory::Out;
use super::stdlib::{environment, exit};
use crate::thread::{Builder, StackSize};
use crate::{env, registers};
use alloc::vec::Vec;
use core::ffi::c_int;

/// C's `main`.
pub type Main = extern "C" fn(c_int, Out<Out<u8>>, Out<Out<u8>>) -> c_int;

/// Calls `main` with the VM's name and arguments, and ends the VM with what it returns;
/// [`c_entry!`](crate::c_entry!) expands to a call of this.
///
/// It runs on a stack of 1,020 KiB, as C programs expect more than the first thread has.
#[doc(hidden)]
pub fn start(main: Main) -> ! {
    let body = move || {
        environment::prepare();
        let mut arguments = arguments();
        let count = c_int::try_from(arguments.len() - 1).unwrap_or(c_int::MAX);
        let place = Out::from_raw(arguments.as_mut_ptr());
        exit(main(count, place, environment::pointer()))
    };
    match Builder::new()
        .name("main")
        .stack(StackSize::Large)
        .spawn(body)
    {
        Ok(thread) => thread.join(),
        Err(error) => panic!("no memory to start main: {error}"),
    }
}

/// Returns `argv`: the VM's name, the manifest's arguments, and null.
fn arguments() -> Vec<Out<u8>> {
    let texts = core::iter::once(registers::name()).chain(env::args());
    let mut arguments: Vec<_> = texts.map(|text| kept(text.as_bytes())).collect();
    arguments.push(Out::NULL);
    arguments
}

/// Returns a text of C's that stays, and may be written to.
fn kept(text: &[u8]) -> Out<u8> {
    let mut bytes = Vec::from(text);
    bytes.push(0);
    Out::from_raw(bytes.leak().as_mut_ptr())
}

/// Makes C's `main` the service's. The service's crate links the C code; see the template `c-echo`.
#[cfg(denali)]
#[macro_export]
macro_rules! c_entry {
    () => {
        #[expect(unsafe_code, reason = "`main` is a function in C")]
        mod denali_c_main {
            unsafe extern "C" {
                safe fn main(
                    count: i32,
                    arguments: $crate::libc::Out<$crate::libc::Out<u8>>,
                    environment: $crate::libc::Out<$crate::libc::Out<u8>>,
                ) -> i32;
            }

            pub(super) fn start() -> ! {
                $crate::libc::start(main)
            }
        }

        $crate::entry!(denali_c_main::start);
    };
}

/// Makes C's `main` the service's. The service's crate links the C code; see the template `c-echo`.
#[cfg(not(denali))]
#[macro_export]
macro_rules! c_entry {
    () => {
        $crate::entry!(main);

        // Stands for the one in C, which is built for VMs alone.
        fn main() {}
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_comes_before_the_arguments() {
        let arguments = arguments();
        let (end, texts) = arguments.split_last().unwrap();
        assert!(end.is_null());
        assert_eq!(texts.len(), 1 + env::args().count());
        assert_eq!(texts[0].text().bytes(), registers::name().as_bytes());
    }
}
