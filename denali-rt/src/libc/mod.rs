//! The C library: POSIX names and calling conventions, Linux's constants and layouts for x86-64,
//! over this crate's threads, locks, clocks, sockets and heap.
//!
//! For services in C, and for Rust crates that expect a C library below them. Each file is one of
//! C's headers; a function does what its name says in POSIX, and is exported under that name when
//! built for a VM. What is there, partial or absent: `docs/src/reference/libc.md`. An absent
//! function fails at link time with its name. Signals do not exist: nothing interrupts a call, and
//! a write to a closed connection fails with `EPIPE`.
//!
//! A call that has to wait blocks the calling thread, never the VM.
//!
//! Nothing here is part of an image unless it is called: each function is a section of its own, and
//! the linker drops those that nothing reaches.

#![expect(
    unsafe_code,
    reason = "exports functions by C's names; pointers are for `memory.rs` alone"
)]

mod arguments;
pub mod arpa_inet;
pub mod assert;
pub mod changes;
pub mod ctype;
mod descriptor;
pub mod dirent;
pub mod errno;
pub mod fcntl;
pub mod files;
mod format;
mod futex;
pub mod malloc;
mod memory;
pub mod netdb;
pub mod poll;
pub mod processes;
pub mod pthread;
pub mod semaphore;
pub mod setjmp;
pub mod signal;
mod start;
pub mod stdio;
pub mod stdlib;
pub mod string;
pub mod sys_epoll;
pub mod sys_mman;
pub mod sys_random;
pub mod sys_socket;
pub mod sys_stat;
pub mod sys_syscall;
pub mod sys_system;
pub mod time;
pub mod unistd;
pub mod users;
pub mod variadic;

pub use arguments::VaList;
pub use memory::{In, Out, Text};
pub use start::{Main, start};
