//! Divides by zero where no compiler sees it.

#![no_std]
#![cfg_attr(denali, no_main)]
#![expect(unsafe_code, reason = "misbehaves on purpose")]

use core::arch::asm;

denali_rt::entry!(main);

fn main() {
    // SAFETY: none; it faults, and the kernel must end this VM.
    unsafe { asm!("div {0:e}", in(reg) 0, inout("eax") 1 => _, inout("edx") 0 => _) };
    denali_rt::println!("survived");
}
