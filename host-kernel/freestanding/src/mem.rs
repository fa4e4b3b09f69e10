//! Copying, filling and comparing memory.
//!
//! The compiler turns plain loops, array initialisers and moves into calls of these very functions,
//! and without optimisation even more so. Everything here is therefore assembly around integers:
//! the bulk is `rep movsq` and `rep stosq`, fast on hardware and, unlike the byte forms, under
//! emulation too.

#![expect(unsafe_code, reason = "raw memory functions with C's contracts")]

use core::arch::asm;

const WORD: usize = 8;

/// Copies `length` bytes from `from` to `to` and returns `to`.
///
/// # Safety
///
/// Both must be valid for `length` bytes and must not overlap.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, length: usize) -> *mut u8 {
    // SAFETY: the caller's contract is `copy_forward`'s.
    unsafe { copy_forward(to, from, length) };
    to
}

/// Copies `length` bytes from `from` to `to`, which may overlap, and returns `to`.
///
/// # Safety
///
/// Both must be valid for `length` bytes.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, length: usize) -> *mut u8 {
    // Behind `from` by less than `length`, wrapping: only then going forward overwrites the source.
    if to.addr().wrapping_sub(from.addr()) < length {
        // SAFETY: the caller's contract.
        unsafe { copy_backward(to, from, length) };
    } else {
        // SAFETY: as above.
        unsafe { copy_forward(to, from, length) };
    }
    to
}

/// Fills `length` bytes with the low byte of `value` and returns `to`.
///
/// # Safety
///
/// `to` must be valid for `length` bytes.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn memset(to: *mut u8, value: i32, length: usize) -> *mut u8 {
    let pattern = u64::from(value.cast_unsigned() & 0xff) * 0x0101_0101_0101_0101;
    // SAFETY: writes exactly `length` bytes from `to` on; DF is clear by the ABI.
    unsafe {
        asm!(
            "rep stosq",
            "mov rcx, {rest}",
            "rep stosb",
            rest = in(reg) length % WORD,
            inout("rcx") length / WORD => _,
            inout("rdi") to => _,
            in("rax") pattern,
            options(nostack, preserves_flags),
        );
    }
    to
}

/// Compares two blocks as unsigned bytes: below, equal to or above zero.
///
/// # Safety
///
/// Both must be valid for `length` bytes.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn memcmp(left: *const u8, right: *const u8, length: usize) -> i32 {
    let mut offset = 0;
    while offset + WORD <= length {
        // SAFETY: inside the block, as just compared.
        let a = unsafe { load_word(left, offset) };
        // SAFETY: as above.
        let b = unsafe { load_word(right, offset) };
        if a != b {
            return if a.swap_bytes() < b.swap_bytes() {
                -1
            } else {
                1
            };
        }
        offset += WORD;
    }
    while offset < length {
        // SAFETY: inside the block, as just compared.
        let a = unsafe { load_byte(left, offset) };
        // SAFETY: as above.
        let b = unsafe { load_byte(right, offset) };
        if a != b {
            return if a < b { -1 } else { 1 };
        }
        offset += 1;
    }
    0
}

/// Returns 0 if two blocks are equal.
///
/// # Safety
///
/// As for [`memcmp`].
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn bcmp(left: *const u8, right: *const u8, length: usize) -> i32 {
    // SAFETY: the caller's contract is the same.
    unsafe { memcmp(left, right, length) }
}

/// Returns the length of a NUL-terminated string.
///
/// # Safety
///
/// `text` must be valid up to and with its NUL.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn strlen(text: *const u8) -> usize {
    let mut length = 0;
    // SAFETY: no byte before this one was the NUL, so it is inside the string.
    while unsafe { load_byte(text, length) } != 0 {
        length += 1;
    }
    length
}

/// Copies from the first byte on.
///
/// # Safety
///
/// Both must be valid for `length` bytes; `to` must not lie inside the source behind its start.
unsafe fn copy_forward(to: *mut u8, from: *const u8, length: usize) {
    // SAFETY: reads and writes exactly `length` bytes; DF is clear by the ABI.
    unsafe {
        asm!(
            "rep movsq",
            "mov rcx, {rest}",
            "rep movsb",
            rest = in(reg) length % WORD,
            inout("rcx") length / WORD => _,
            inout("rdi") to => _,
            inout("rsi") from => _,
            options(nostack, preserves_flags),
        );
    }
}

/// Copies from the last byte on.
///
/// # Safety
///
/// Both must be valid for `length` bytes.
unsafe fn copy_backward(to: *mut u8, from: *const u8, length: usize) {
    // SAFETY: first the bytes behind the last whole word, then words downwards: exactly `length`
    // bytes; DF is clear again at the end.
    unsafe {
        asm!(
            "std",
            "rep movsb",
            "sub rsi, 7",
            "sub rdi, 7",
            "mov rcx, {words}",
            "rep movsq",
            "cld",
            words = in(reg) length / WORD,
            inout("rcx") length % WORD => _,
            inout("rdi") to.wrapping_add(length).wrapping_sub(1) => _,
            inout("rsi") from.wrapping_add(length).wrapping_sub(1) => _,
            options(nostack),
        );
    }
}

/// Loads eight bytes so that the compiler does not see a `memcmp` in the loop around it.
///
/// # Safety
///
/// `from + offset` must be valid for eight bytes.
unsafe fn load_word(from: *const u8, offset: usize) -> u64 {
    let word;
    // SAFETY: the caller's contract.
    unsafe {
        asm!(
            "mov {}, [{} + {}]",
            out(reg) word, in(reg) from, in(reg) offset,
            options(nostack, readonly, preserves_flags, pure),
        );
    }
    word
}

/// Loads a byte so that the compiler does not see a `strlen` in the loop around it.
///
/// # Safety
///
/// `from + offset` must be valid for a byte.
unsafe fn load_byte(from: *const u8, offset: usize) -> u32 {
    let byte: u32;
    // SAFETY: the caller's contract.
    unsafe {
        asm!(
            "movzx {:e}, byte ptr [{} + {}]",
            out(reg) byte, in(reg) from, in(reg) offset,
            options(nostack, readonly, preserves_flags, pure),
        );
    }
    byte
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn pattern(length: usize) -> Vec<u8> {
        (0..length)
            .map(|index| u8::try_from(index * 7 % 251).unwrap())
            .collect()
    }

    #[test]
    fn copies_every_length_and_nothing_beside_it() {
        for length in 0..70 {
            for shift in 0..9 {
                let source = pattern(length + shift);
                let mut target = std::vec![0xee; length + 16];
                let to = target[8..].as_mut_ptr();
                // SAFETY: both are long enough.
                let returned = unsafe { memcpy(to, source[shift..].as_ptr(), length) };
                assert_eq!(returned, to);
                assert_eq!(target[8..8 + length], source[shift..]);
                assert!(
                    target[..8]
                        .iter()
                        .chain(&target[8 + length..])
                        .all(|&byte| byte == 0xee)
                );
            }
        }
    }

    #[test]
    fn moves_overlapping_blocks_both_ways() {
        for length in 0..70 {
            for (from, to) in [
                (10, 10),
                (10, 11),
                (11, 10),
                (10, 17),
                (17, 10),
                (0, 30),
                (30, 0),
            ] {
                let mut ours = pattern(110);
                let mut expected = ours.clone();
                expected.copy_within(from..from + length, to);
                let start = ours.as_mut_ptr();
                // SAFETY: both blocks lie in the vector.
                unsafe { memmove(start.wrapping_add(to), start.wrapping_add(from), length) };
                assert_eq!(ours, expected, "{length} bytes from {from} to {to}");
            }
        }
    }

    #[test]
    fn fills_every_length_and_nothing_beside_it() {
        for length in 0..70 {
            let mut target = std::vec![0xee; length + 16];
            // SAFETY: the block lies in the vector.
            unsafe { memset(target[8..].as_mut_ptr(), 0x1a5, length) };
            assert!(target[8..8 + length].iter().all(|&byte| byte == 0xa5));
            assert!(
                target[..8]
                    .iter()
                    .chain(&target[8 + length..])
                    .all(|&byte| byte == 0xee)
            );
        }
    }

    #[test]
    fn compares_as_unsigned_bytes() {
        for length in 1..40 {
            for at in 0..length {
                let left = pattern(length);
                let mut right = left.clone();
                right[at] = left[at].wrapping_add(100);
                let expected = left.cmp(&right) as i32;
                // SAFETY: both have `length` bytes.
                let order = unsafe { memcmp(left.as_ptr(), right.as_ptr(), length) };
                assert_eq!(order.signum(), expected);
                // SAFETY: as above.
                assert_ne!(unsafe { bcmp(left.as_ptr(), right.as_ptr(), length) }, 0);
                // SAFETY: as above.
                assert_eq!(unsafe { memcmp(left.as_ptr(), left.as_ptr(), length) }, 0);
            }
        }
    }

    #[test]
    fn finds_the_end_of_a_string() {
        // SAFETY: both end in a NUL.
        assert_eq!(unsafe { strlen(c"".as_ptr().cast()) }, 0);
        // SAFETY: as above.
        assert_eq!(unsafe { strlen(c"denali".as_ptr().cast()) }, 6);
    }
}
