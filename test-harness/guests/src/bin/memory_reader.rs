//! Reads memory that it never wrote, and tells what it found.

#![no_std]
#![cfg_attr(denali, no_main)]
#![expect(unsafe_code, reason = "reads memory that nothing initialised")]

use denali_abi::layout::{LARGE_STACK_SLOT, LARGE_STACKS_BASE, PAGE_SIZE};

denali_rt::entry!(main);

/// Pages looked at, of 8 MiB of memory.
const PAGES: u64 = 1700;

fn main() {
    let mut found = 0_u64;
    for page in 0..PAGES {
        // Stacks of threads that do not run: nobody has touched them.
        let (slot, offset) = (page / 200, page % 200 + 1);
        let address = LARGE_STACKS_BASE + (slot + 1) * LARGE_STACK_SLOT + offset * PAGE_SIZE;
        for word in 0..PAGE_SIZE / 8 {
            let word = (address + word * 8) as *const u64;
            // SAFETY: the page belongs to this VM and reads as zero before it is written.
            found += u64::from(unsafe { word.read_volatile() } != 0);
        }
    }
    denali_rt::println!("{found} of {PAGES} pages' words were not zero");
}
