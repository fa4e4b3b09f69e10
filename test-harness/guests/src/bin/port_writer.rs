//! Writes to an I/O port.

#![no_std]
#![cfg_attr(denali, no_main)]
#![expect(unsafe_code, reason = "misbehaves on purpose")]

use core::arch::asm;

denali_rt::entry!(main);

fn main() {
    // SAFETY: none; the I/O bitmap is closed, and the kernel must end this VM.
    unsafe { asm!("out dx, al", in("dx") 0x80_u16, in("al") 0_u8) };
    denali_rt::println!("survived");
}
