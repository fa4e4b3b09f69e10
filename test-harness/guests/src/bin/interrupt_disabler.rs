//! Executes a privileged instruction.

#![no_std]
#![cfg_attr(denali, no_main)]
#![expect(unsafe_code, reason = "misbehaves on purpose")]

use core::arch::asm;

denali_rt::entry!(main);

fn main() {
    // SAFETY: none; ring 3 may not, and the kernel must end this VM.
    unsafe { asm!("cli") };
    denali_rt::println!("survived");
}
