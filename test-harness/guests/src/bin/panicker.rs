//! Panics with a message.

#![no_std]
#![cfg_attr(denali, no_main)]

denali_rt::entry!(main);

fn main() {
    denali_rt::println!("about to fail");
    panic!("the answer is {}", core::hint::black_box(42));
}
