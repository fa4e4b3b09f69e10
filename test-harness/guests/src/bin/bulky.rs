//! Carries nearly as much data as a package may hold, so that its deployment takes a while.

#![no_std]
#![cfg_attr(denali, no_main)]

use core::hint::black_box;

denali_rt::entry!(main);

/// A few mebibytes less than a package may have.
static CARGO: [u8; 12 << 20] = [1; 12 << 20];

fn main() {
    denali_rt::println!("carries {}", black_box(&CARGO).len());
}
