//! Variadic functions, which stable Rust can call but not define: each is a few instructions that
//! save the argument registers, build a `va_list` over them and call the function that takes one.

#![expect(unsafe_code, reason = "the calling convention of variadic functions")]

use super::memory::{Out, Text};
use super::stdio::{File, vasprintf, vdprintf, vfprintf, vprintf, vsnprintf, vsprintf, vsyslog};
use core::arch::naked_asm;
use core::ffi::c_int;

/// Defines variadic functions: name and fixed arguments, the function that takes a `va_list` after
/// the same fixed arguments, how many there are, and the register of the one that comes next.
macro_rules! variadic {
    ($($(#[$doc:meta])*
    fn $name:ident($($argument:ident: $kind:ty),*) => $list:ident, $fixed:literal, $register:literal;)*) => {
        $($(#[$doc])*
        ///
        /// # Safety
        ///
        /// The arguments behind the fixed ones are those the format asks for.
        #[cfg_attr(denali, unsafe(no_mangle))]
        #[cfg_attr(test, unsafe(export_name = concat!("denali_", stringify!($name))))]
        #[unsafe(naked)]
        pub unsafe extern "C" fn $name($($argument: $kind),*) -> c_int {
            naked_asm!(
                // The save area (System V ABI §3.5.7) lies at 32, the `va_list` at 0.
                "sub rsp, 216",
                "mov [rsp + 32], rdi",
                "mov [rsp + 40], rsi",
                "mov [rsp + 48], rdx",
                "mov [rsp + 56], rcx",
                "mov [rsp + 64], r8",
                "mov [rsp + 72], r9",
                // AL bounds the number of vector registers used.
                "test al, al",
                "je 2f",
                "movaps [rsp + 80], xmm0",
                "movaps [rsp + 96], xmm1",
                "movaps [rsp + 112], xmm2",
                "movaps [rsp + 128], xmm3",
                "movaps [rsp + 144], xmm4",
                "movaps [rsp + 160], xmm5",
                "movaps [rsp + 176], xmm6",
                "movaps [rsp + 192], xmm7",
                "2:",
                "mov dword ptr [rsp], {used}",
                "mov dword ptr [rsp + 4], 48",
                "lea rax, [rsp + 224]",
                "mov [rsp + 8], rax",
                "lea rax, [rsp + 32]",
                "mov [rsp + 16], rax",
                concat!("mov ", $register, ", rsp"),
                "call {list}",
                "add rsp, 216",
                "ret",
                used = const 8 * $fixed,
                list = sym $list,
            )
        })*
    };
}

variadic! {
    /// Writes formatted text to the standard output.
    fn printf(format: Text) => vprintf, 1, "rsi";
    /// Writes formatted text to a stream.
    fn fprintf(stream: Out<File>, format: Text) => vfprintf, 2, "rdx";
    /// Writes formatted text to a descriptor.
    fn dprintf(descriptor: c_int, format: Text) => vdprintf, 2, "rdx";
    /// Writes formatted text to memory that is large enough.
    fn sprintf(to: Out<u8>, format: Text) => vsprintf, 2, "rdx";
    /// Writes formatted text to a buffer of `len` bytes, cut if need be.
    fn snprintf(to: Out<u8>, len: usize, format: Text) => vsnprintf, 3, "rcx";
    /// Writes formatted text to memory that it allocates.
    fn asprintf(result: Out<Out<u8>>, format: Text) => vasprintf, 2, "rdx";
    /// Writes formatted text to the console.
    fn syslog(priority: c_int, format: Text) => vsyslog, 2, "rdx";
}
