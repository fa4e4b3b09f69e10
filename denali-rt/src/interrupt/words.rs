//! The words of the shared page that interrupts are about.

#![cfg_attr(
    denali,
    expect(unsafe_code, reason = "the page shared with the kernel")
)]

use core::mem::offset_of;
use core::sync::atomic::{AtomicU32, AtomicU64};
use denali_abi::shared::SharedPage;

/// The first words of the shared page. Everything is relaxed: only the kernel and this virtual CPU
/// look at them, never at the same time.
#[derive(Debug, Default)]
#[repr(C)]
pub(super) struct Words {
    pub(super) enabled: AtomicU32,
    pub(super) pending: AtomicU32,
    ring_indices: [AtomicU32; 4],
    pub(super) timer_ns: AtomicU64,
}

const _: () = assert!(offset_of!(Words, enabled) == offset_of!(SharedPage, interrupts_enabled));
const _: () = assert!(offset_of!(Words, pending) == offset_of!(SharedPage, pending));
const _: () = assert!(offset_of!(Words, timer_ns) == offset_of!(SharedPage, timer_ns));

/// Returns the words of this VM.
#[cfg(denali)]
pub(super) fn words() -> &'static Words {
    let address = denali_abi::convert::u64_to_usize(denali_abi::layout::SHARED_ADDRESS);
    // SAFETY: the shared page is there as long as the VM, aligned, and valid whatever it contains;
    // nothing refers to these words but through atomics and pointers.
    unsafe { &*core::ptr::with_exposed_provenance::<Words>(address) }
}

/// Returns the words of the system's thread, which outside of a VM stands for one.
#[cfg(not(denali))]
pub(super) fn words() -> &'static Words {
    std::thread_local! {
        static WORDS: &'static Words = alloc::boxed::Box::leak(alloc::boxed::Box::default());
    }
    WORDS.with(|words| *words)
}
