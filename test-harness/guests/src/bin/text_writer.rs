//! Writes into its own text.

#![no_std]
#![cfg_attr(denali, no_main)]
#![expect(unsafe_code, reason = "misbehaves on purpose")]

denali_rt::entry!(main);

fn main() {
    let text = (main as fn() as usize) as *mut u8;
    // SAFETY: none; text is read-only, and the kernel must end this VM.
    unsafe { text.write_volatile(0xcc) };
    denali_rt::println!("survived");
}
