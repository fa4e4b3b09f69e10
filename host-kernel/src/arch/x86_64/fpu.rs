//! Vector state: which of it there is, and what a clean one looks like.
//!
//! The world switch (`switch.rs`) saves and restores all of it: XSAVE with every component the CPU
//! offers among x87, SSE, AVX and AVX-512, or FXSAVE where there is no XSAVE. Nothing is lazy, so
//! no VM ever sees another's registers (CVE-2018-3665).

#![expect(unsafe_code, reason = "sets XCR0")]

use super::cpu::{Features, cpuid};
use core::sync::atomic::{AtomicU64, Ordering};
use x86_64::registers::xcontrol::{XCr0, XCr0Flags};

/// Bytes a context frame has for vector state.
pub(crate) const STATE_BYTES_MAX: usize = 4096 - super::switch::STATE_OFFSET;

/// Components XSAVE handles, read by the world switch; 0 means FXSAVE.
pub(crate) static XSAVE_MASK: AtomicU64 = AtomicU64::new(0);

/// The start of a clean area: the FXSAVE image and an XSAVE header that says "all initial"
/// (SDM vol. 1 §13.4), aligned as XRSTOR wants it.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct CleanState(pub [u8; 576]);

/// Offset of MXCSR in the area.
pub(crate) const MXCSR_OFFSET: usize = 24;

/// The x87 control word and MXCSR after reset: all exceptions masked.
pub(crate) const CONTROL_WORD: u16 = 0x037f;
/// See [`CONTROL_WORD`].
pub(crate) const MXCSR: u32 = 0x1f80;

/// What the world switch loads when a guest shall see nothing.
pub(crate) static CLEAN_STATE: CleanState = CleanState(clean_image());

const fn clean_image() -> [u8; 576] {
    let mut image = [0; 576];
    let control = CONTROL_WORD.to_le_bytes();
    let mxcsr = MXCSR.to_le_bytes();
    let mut index = 0;
    while index < 4 {
        if index < 2 {
            image[index] = control[index];
        }
        image[MXCSR_OFFSET + index] = mxcsr[index];
        index += 1;
    }
    image
}

/// Enables every component that fits and returns a word for the boot log.
///
/// # Panics
///
/// If the enabled components do not fit a context frame, which no defined combination exceeds.
pub(crate) fn enable(features: &Features) -> &'static str {
    if !features.xsave {
        return "x87 SSE";
    }
    let leaf = cpuid(0xd, 0);
    let offered = XCr0Flags::from_bits_truncate(u64::from(leaf.edx) << 32 | u64::from(leaf.eax));
    let avx = XCr0Flags::AVX;
    let avx512 = XCr0Flags::OPMASK | XCr0Flags::ZMM_HI256 | XCr0Flags::HI16_ZMM;
    let mut enabled = XCr0Flags::X87 | XCr0Flags::SSE;
    let mut name = "x87 SSE";
    if offered.contains(avx) {
        enabled |= avx;
        name = "x87 SSE AVX";
        if offered.contains(avx512) {
            enabled |= avx512;
            name = "x87 SSE AVX AVX-512";
        }
    }
    // SAFETY: x87 is on, and each component is offered and enabled with what it builds upon
    // (SDM vol. 1 §13.3).
    unsafe { XCr0::write(enabled) };
    // Leaf 0Dh EBX is the size of what XCR0 enables now.
    let size = denali_abi::convert::u32_to_usize(cpuid(0xd, 0).ebx);
    assert!(
        size <= STATE_BYTES_MAX,
        "vector state of {size} bytes does not fit a context frame"
    );
    if cfg!(sabotage = "skip-vectors") {
        enabled = XCr0Flags::X87 | XCr0Flags::SSE;
    }
    XSAVE_MASK.store(enabled.bits(), Ordering::Relaxed);
    name
}
