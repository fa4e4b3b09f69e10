//! Reads the kernel's text.

#![no_std]
#![cfg_attr(denali, no_main)]
#![expect(unsafe_code, reason = "misbehaves on purpose")]

denali_rt::entry!(main);

fn main() {
    let kernel = core::hint::black_box(0xffff_ffff_8020_0000_usize) as *const u64;
    // SAFETY: none; the page is the kernel's, and the kernel must end this VM.
    let value = unsafe { kernel.read_volatile() };
    denali_rt::println!("survived and read {value}");
}
