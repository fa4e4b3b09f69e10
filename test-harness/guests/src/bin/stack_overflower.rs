//! Recurses until its stack is full.

#![no_std]
#![cfg_attr(denali, no_main)]

use core::hint::black_box;

denali_rt::entry!(main);

fn main() {
    denali_rt::println!("survived with {}", descend(1));
}

#[expect(unconditional_recursion, reason = "misbehaves on purpose")]
fn descend(depth: u64) -> u64 {
    let frame = black_box([depth; 64]);
    descend(depth + 1) + black_box(frame)[7]
}
