//! Reads through a null pointer.

#![no_std]
#![cfg_attr(denali, no_main)]
#![expect(unsafe_code, reason = "misbehaves on purpose")]

denali_rt::entry!(main);

fn main() {
    let nowhere = core::hint::black_box(8_usize) as *const u64;
    // SAFETY: none; nothing is mapped there, and the kernel must end this VM.
    let value = unsafe { nowhere.read_volatile() };
    denali_rt::println!("survived and read {value}");
}
