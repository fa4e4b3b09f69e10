//! Panics in a named thread, some calls deep, with an exit code of its own.

#![no_std]
#![cfg_attr(denali, no_main)]

use core::hint::black_box;
use denali_rt::{process, thread};

denali_rt::entry!(main);

fn main() {
    process::set_panic_exit_code(77);
    let worker = thread::Builder::new().name("worker");
    match worker.spawn(|| descend(3)) {
        Ok(handle) => drop(handle.join()),
        Err(error) => denali_rt::println!("no thread: {error}"),
    }
}

#[inline(never)]
fn descend(levels: u32) -> u32 {
    assert!(black_box(levels) > 0, "the bottom is reached");
    black_box(descend(levels - 1)) + 1
}
