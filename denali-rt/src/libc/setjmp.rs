//! `setjmp.h`: going back to a function that has not returned.

#![expect(unsafe_code, reason = "saves and restores registers")]

use super::memory::Out;
use core::arch::naked_asm;
use core::ffi::c_int;

/// What a callee keeps (System V ABI §3.2.1): six registers, the stack pointer, and where to return.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct JmpBuf {
    registers: [u64; 8],
}

/// Notes where it is called. Returns 0, and again what [`longjmp`] says.
///
/// # Safety
///
/// For C code alone: Rust does not know functions that return twice.
#[cfg_attr(denali, unsafe(no_mangle))]
#[unsafe(naked)]
pub unsafe extern "C" fn setjmp(place: Out<JmpBuf>) -> c_int {
    naked_asm!(
        "mov [rdi], rbx",
        "mov [rdi + 8], rbp",
        "mov [rdi + 16], r12",
        "mov [rdi + 24], r13",
        "mov [rdi + 32], r14",
        "mov [rdi + 40], r15",
        "lea rdx, [rsp + 8]",
        "mov [rdi + 48], rdx",
        "mov rdx, [rsp]",
        "mov [rdi + 56], rdx",
        "xor eax, eax",
        "ret",
    )
}

/// Like [`setjmp`].
///
/// # Safety
///
/// As for [`setjmp`].
#[cfg_attr(denali, unsafe(no_mangle))]
#[unsafe(naked)]
pub unsafe extern "C" fn _setjmp(place: Out<JmpBuf>) -> c_int {
    naked_asm!("jmp {setjmp}", setjmp = sym setjmp)
}

/// Goes back to a [`setjmp`], which returns `value`, or 1 for 0.
///
/// # Safety
///
/// The function that called [`setjmp`] has not returned, and nothing between needs to be cleaned up.
#[cfg_attr(denali, unsafe(no_mangle))]
#[unsafe(naked)]
pub unsafe extern "C" fn longjmp(place: Out<JmpBuf>, value: c_int) -> ! {
    naked_asm!(
        "mov eax, esi",
        "cmp eax, 1",
        "adc eax, 0",
        "mov rbx, [rdi]",
        "mov rbp, [rdi + 8]",
        "mov r12, [rdi + 16]",
        "mov r13, [rdi + 24]",
        "mov r14, [rdi + 32]",
        "mov r15, [rdi + 40]",
        "mov rsp, [rdi + 48]",
        "jmp [rdi + 56]",
    )
}

/// Like [`longjmp`].
///
/// # Safety
///
/// As for [`longjmp`].
#[cfg_attr(denali, unsafe(no_mangle))]
#[unsafe(naked)]
pub unsafe extern "C" fn _longjmp(place: Out<JmpBuf>, value: c_int) -> ! {
    naked_asm!("jmp {longjmp}", longjmp = sym longjmp)
}
