//! Touches page after page, past what its allocator would give it.

#![no_std]
#![cfg_attr(denali, no_main)]
#![expect(unsafe_code, reason = "misbehaves on purpose")]

denali_rt::entry!(main);

fn main() {
    let heap_start = denali_rt::registers::get().heap_start;
    for page in 0..1 << 16 {
        let address = (heap_start + page * 4096) as *mut u8;
        // SAFETY: nobody else lives that far up in the heap; the kernel must end this VM when its
        // limit is reached.
        unsafe { address.write_volatile(1) };
    }
    denali_rt::println!("survived");
}
