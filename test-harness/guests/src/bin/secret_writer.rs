//! Fills most of its memory with a secret, and leaves.

#![no_std]
#![cfg_attr(denali, no_main)]

extern crate alloc;

use alloc::vec;
use core::hint::black_box;

denali_rt::entry!(main);

/// Bytes of secrets, of 8 MiB of memory.
const LEN: usize = 7 << 20;

fn main() {
    let secrets = black_box(vec![0xa5_u8; LEN]);
    denali_rt::println!("wrote {} secrets", secrets.len());
}
