//! Sends back what clients send, in C: the program is `src/echo.c`.

#![no_std]
#![cfg_attr(denali, no_main)]

denali_rt::c_entry!();

/// `cargo denali test` runs these inside a VM: C functions that are not `static` can be called.
#[cfg(all(test, denali))]
mod tests {
    use core::ffi::{CStr, c_char, c_ulong};

    unsafe extern "C" {
        fn number_in(text: *const c_char, max: c_ulong) -> c_ulong;
    }

    fn number(text: &CStr) -> c_ulong {
        // SAFETY: the text ends with a zero byte.
        unsafe { number_in(text.as_ptr(), 100) }
    }

    #[denali_rt::test]
    fn numbers_within_the_range_are_read() {
        assert_eq!([c"1", c"42", c"100"].map(number), [1, 42, 100]);
    }

    #[denali_rt::test]
    fn everything_else_is_none() {
        let others = [c"", c"0", c"101", c"12x", c"x", c"-1", c"99999999999999999999"];
        assert!(others.map(number).iter().all(|&value| value == 0));
    }
}
