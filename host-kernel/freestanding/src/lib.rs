//! What the compiler's output expects of a C library, for programs without one.
//!
//! The precompiled `core` and `alloc` of `x86_64-unknown-linux-gnu` call `memcpy`, `memmove`,
//! `memset`, `memcmp`, `bcmp` and `strlen`, and refer to the unwinder's `rust_eh_personality` and
//! `_Unwind_Resume`. A program links against these by naming the crate
//! (`extern crate denali_freestanding as _;`). On the host, where libc has them, the symbols are
//! not exported under test.

#![no_std]

#[cfg(test)]
extern crate std;

pub mod mem;
// A program with `std` has them from elsewhere.
#[cfg(not(any(test, denali_std)))]
mod unwind;
