//! Claims to have produced more descriptors than the ring holds.

#![no_std]
#![cfg_attr(denali, no_main)]
#![expect(unsafe_code, reason = "misbehaves on purpose")]

use denali_abi::layout::SHARED_ADDRESS;
use denali_abi::net::RING_LEN;
use denali_abi::shared::SharedPage;

denali_rt::entry!(main);

fn main() {
    let shared = SHARED_ADDRESS as *mut SharedPage;
    // SAFETY: the shared page is this VM's.
    let produced = unsafe { &raw mut (*shared).tx_produced };
    // SAFETY: as above.
    let consumed = unsafe { &raw const (*shared).tx_consumed };
    // SAFETY: as above.
    let consumed = unsafe { consumed.read_volatile() };
    // SAFETY: as above; the kernel must notice the impossible distance and end this VM.
    unsafe { produced.write_volatile(consumed.wrapping_add(RING_LEN + 1)) };
    denali_rt::hypercall::network_notify();
    denali_rt::println!("survived");
}
