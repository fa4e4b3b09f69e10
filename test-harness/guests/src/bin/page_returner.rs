//! Allocates 2 MiB, frees them, and tells how many pages it has each time.

#![no_std]
#![cfg_attr(denali, no_main)]

extern crate alloc;

use alloc::vec::Vec;
use denali_rt::{heap, println, registers};

denali_rt::entry!(main);

const LARGE: usize = 2 << 20;

fn main() {
    tell("at first");
    let mut large: Vec<u8> = Vec::new();
    match large.try_reserve_exact(LARGE) {
        Ok(()) => large.resize(LARGE, 1),
        Err(error) => println!("{error}"),
    }
    tell("allocated");
    let too_large = Vec::<u8>::new().try_reserve_exact(4 * LARGE).is_err();
    println!("too large is an error: {too_large}");
    drop(large);
    tell("freed");
}

fn tell(when: &str) {
    let (pages, stats) = (registers::resident_pages(), heap::stats());
    println!("{when}: {pages} pages, {} bytes", stats.allocated_bytes);
}
