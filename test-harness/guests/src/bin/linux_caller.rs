//! Makes a Linux system call.

#![no_std]
#![cfg_attr(denali, no_main)]
#![expect(unsafe_code, reason = "misbehaves on purpose")]

use core::arch::asm;

denali_rt::entry!(main);

/// `exit_group` on x86-64.
const EXIT_GROUP: u64 = 231;

fn main() {
    // SAFETY: none; there is no such hypercall, and the kernel must end this VM.
    unsafe {
        asm!("syscall", inlateout("rax") EXIT_GROUP => _, in("rdi") 0, lateout("rcx") _, lateout("r11") _);
    };
    denali_rt::println!("survived");
}
