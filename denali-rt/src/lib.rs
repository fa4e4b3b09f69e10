#![doc = include_str!("../README.md")]
#![no_std]

extern crate alloc;

#[cfg(denali)]
extern crate denali_freestanding as _;

#[cfg(not(denali))]
extern crate std;

pub mod block;
pub mod console;
pub mod entry;
pub mod env;
pub mod heap;
pub mod hypercall;
pub mod interrupt;
pub mod io;
pub mod libc;
#[cfg(any(denali, test))]
mod log;
pub mod net;
#[cfg(any(denali, test))]
pub mod panic;
pub mod process;
pub mod random;
pub mod registers;
pub mod resume;
pub mod sync;
pub mod task;
pub mod testing;
pub mod thread;
pub mod time;

pub use denali_rt_macros::test;
pub use resume::on_resume;
