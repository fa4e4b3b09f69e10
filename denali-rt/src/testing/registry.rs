//! The tests of this program, as the linker gathered them.

#![expect(unsafe_code, reason = "reads what lies between two symbols")]

use super::Test;

unsafe extern "C" {
    /// The first registered test; the linker script defines it.
    static denali_tests: u64;
    /// Behind the last one.
    static denali_tests_end: u64;
}

/// Returns the tests in the linker's order.
pub(super) fn tests() -> &'static [Test] {
    let (start, end) = (&raw const denali_tests, &raw const denali_tests_end);
    let count = (end.addr() - start.addr()) / size_of::<Test>();
    // SAFETY: the linker script puts the section with nothing but `Test`s between the two symbols,
    // the first of them aligned, in memory that never changes.
    unsafe { core::slice::from_raw_parts(start.cast(), count) }
}
