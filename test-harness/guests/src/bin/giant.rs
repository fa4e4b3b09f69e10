//! Carries more data than a package may hold.

#![no_std]
#![cfg_attr(denali, no_main)]

use core::hint::black_box;

denali_rt::entry!(main);

/// A mebibyte more than a package may have.
static CARGO: [u8; 17 << 20] = [1; 17 << 20];

fn main() {
    denali_rt::println!("carries {}", black_box(&CARGO).len());
}
