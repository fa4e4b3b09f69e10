//! Executes bytes it wrote into its heap.

#![no_std]
#![cfg_attr(denali, no_main)]
#![expect(unsafe_code, reason = "misbehaves on purpose")]

extern crate alloc;

use alloc::boxed::Box;
use core::arch::asm;

denali_rt::entry!(main);

fn main() {
    let code = Box::new([0xc3_u8; 16]);
    // SAFETY: none; the heap is not executable, and the kernel must end this VM.
    unsafe { asm!("call {}", in(reg) code.as_ptr(), clobber_abi("C")) };
    denali_rt::println!("survived");
}
