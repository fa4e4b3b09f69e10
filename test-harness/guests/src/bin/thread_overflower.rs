//! Fills the stack of a thread that has a name.

#![no_std]
#![cfg_attr(denali, no_main)]

use core::hint::black_box;
use denali_rt::thread;

denali_rt::entry!(main);

fn main() -> denali_rt::io::Result<()> {
    let builder = || thread::Builder::new();
    let other = builder().name("bystander").spawn(thread::yield_now)?;
    let digger = builder().name("digger").spawn(|| descend(1))?;
    other.join();
    denali_rt::println!("survived with {}", digger.join());
    Ok(())
}

#[expect(unconditional_recursion, reason = "misbehaves on purpose")]
fn descend(depth: u64) -> u64 {
    let frame = black_box([depth; 64]);
    descend(depth + 1) + black_box(frame)[7]
}
