//! Lossless integer conversions of a 64-bit machine.
//!
//! They keep the cast lints switched on everywhere else.

const _: () = assert!(size_of::<usize>() == size_of::<u64>());

/// Returns `value` as a `usize`, which is 64 bits wide on the only architecture we run on.
#[must_use]
#[expect(
    clippy::cast_possible_truncation,
    reason = "usize is 64 bits, asserted above"
)]
pub const fn u64_to_usize(value: u64) -> usize {
    value as usize
}

/// Returns `value` as a `u64`.
#[must_use]
pub const fn usize_to_u64(value: usize) -> u64 {
    value as u64
}

/// Returns `value` as a `usize`.
#[must_use]
pub const fn u32_to_usize(value: u32) -> usize {
    value as usize
}
