//! Computes for ever and never gives up the CPU.

#![no_std]
#![cfg_attr(denali, no_main)]

denali_rt::entry!(main);

fn main() -> ! {
    denali_rt::println!("spinning");
    loop {
        core::hint::spin_loop();
    }
}
