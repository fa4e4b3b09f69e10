//! Copying, filling and comparing memory.
//!
//! The compiler turns plain loops, array initialisers and moves into calls of these very functions,
//! and without optimisation even more so; hence assembly. Short blocks go by words, with a last
//! word that overlaps the others; long ones by `rep movsq` and `rep stosq`, which are fast on
//! hardware and, unlike the byte forms, under emulation too (8 times, measured with QEMU's TCG).

#![expect(unsafe_code, reason = "raw memory functions with C's contracts")]

use core::arch::{asm, naked_asm};

const WORD: usize = 8;

/// Up to here a loop beats the start of a `rep` instruction.
const SHORT_MAX: usize = 128;

/// Copies `length` bytes from `from` to `to` and returns `to`.
///
/// The blocks may overlap if `to` is not inside the source behind its start.
///
/// # Safety
///
/// Both must be valid for `length` bytes and must not overlap but as above.
#[cfg_attr(not(test), unsafe(no_mangle))]
#[unsafe(naked)]
pub unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, length: usize) -> *mut u8 {
    naked_asm!(
        "mov rax, rdi",
        "cmp rdx, {word}",
        "jb 4f",
        "mov rcx, rdx",
        "shr rcx, 3",
        // Loaded before anything is stored, so that overlapping blocks are right too.
        "mov r8, [rsi + rdx - 8]",
        "lea r9, [rdi + rdx - 8]",
        "cmp rdx, {short}",
        "ja 3f",
        "2:",
        "mov r10, [rsi]",
        "mov [rdi], r10",
        "add rsi, 8",
        "add rdi, 8",
        "dec rcx",
        "jnz 2b",
        "mov [r9], r8",
        "ret",
        "3:",
        "rep movsq",
        "mov [r9], r8",
        "ret",
        "4:",
        "jmp {few}",
        word = const WORD,
        short = const SHORT_MAX,
        few = sym copy_few,
    )
}

/// Copies `length` bytes from `from` to `to`, which may overlap, and returns `to`.
///
/// # Safety
///
/// Both must be valid for `length` bytes.
#[cfg_attr(not(test), unsafe(no_mangle))]
#[unsafe(naked)]
pub unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, length: usize) -> *mut u8 {
    naked_asm!(
        // `to` is inside the source behind its start: only then is going forward wrong.
        "mov rax, rdi",
        "sub rax, rsi",
        "cmp rax, rdx",
        "jae {forward}",
        "mov rax, rdi",
        "cmp rdx, {word}",
        "jb {few}",
        "mov rcx, rdx",
        "shr rcx, 3",
        "mov r8, [rsi]",
        "2:",
        "mov r10, [rsi + rdx - 8]",
        "mov [rdi + rdx - 8], r10",
        "sub rdx, 8",
        "dec rcx",
        "jnz 2b",
        "mov [rdi], r8",
        "ret",
        word = const WORD,
        forward = sym memcpy,
        few = sym copy_few,
    )
}

/// Copies fewer bytes than a word, which may overlap, and returns `to`: loads everything before it
/// stores anything.
///
/// # Safety
///
/// Both must be valid for `length` bytes.
#[unsafe(naked)]
unsafe extern "C" fn copy_few(to: *mut u8, from: *const u8, length: usize) -> *mut u8 {
    naked_asm!(
        "mov rax, rdi",
        "cmp rdx, 4",
        "jb 2f",
        "mov ecx, [rsi]",
        "mov r8d, [rsi + rdx - 4]",
        "mov [rdi], ecx",
        "mov [rdi + rdx - 4], r8d",
        "ret",
        "2:",
        "test rdx, rdx",
        "jz 3f",
        // Of 1, 2 or 3 bytes: the first, the middle one and the last.
        "mov r9, rdx",
        "shr r9",
        "mov cl, [rsi]",
        "mov r8b, [rsi + r9]",
        "mov r10b, [rsi + rdx - 1]",
        "mov [rdi], cl",
        "mov [rdi + r9], r8b",
        "mov [rdi + rdx - 1], r10b",
        "3:",
        "ret",
    )
}

/// Fills `length` bytes with the low byte of `value` and returns `to`.
///
/// # Safety
///
/// `to` must be valid for `length` bytes.
#[cfg_attr(not(test), unsafe(no_mangle))]
#[unsafe(naked)]
pub unsafe extern "C" fn memset(to: *mut u8, value: i32, length: usize) -> *mut u8 {
    naked_asm!(
        "mov r8, rdi",
        "movzx eax, sil",
        "movabs rcx, 0x0101010101010101",
        "imul rax, rcx",
        "cmp rdx, {word}",
        "jb 4f",
        "mov rcx, rdx",
        "shr rcx, 3",
        "mov [rdi + rdx - 8], rax",
        "cmp rdx, {short}",
        "ja 3f",
        "2:",
        "mov [rdi], rax",
        "add rdi, 8",
        "dec rcx",
        "jnz 2b",
        "mov rax, r8",
        "ret",
        "3:",
        "rep stosq",
        "mov rax, r8",
        "ret",
        "4:",
        "cmp rdx, 4",
        "jb 5f",
        "mov [rdi], eax",
        "mov [rdi + rdx - 4], eax",
        "mov rax, r8",
        "ret",
        "5:",
        "test rdx, rdx",
        "jz 6f",
        "mov rcx, rdx",
        "shr rcx",
        "mov [rdi], al",
        "mov [rdi + rcx], al",
        "mov [rdi + rdx - 1], al",
        "6:",
        "mov rax, r8",
        "ret",
        word = const WORD,
        short = const SHORT_MAX,
    )
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
        for length in (0..70).chain(120..140) {
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
        for length in (0..70).chain(120..140) {
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
