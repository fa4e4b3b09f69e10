//! `stdlib.h` but for memory (`malloc.rs`).
//!
//! | file             | what                             |
//! |------------------|----------------------------------|
//! | `number.rs`      | numbers in texts                 |
//! | `sort.rs`        | sorting and searching            |
//! | `environment.rs` | environment variables            |
//! | `ending.rs`      | the end of the program           |

mod ending;
pub(super) mod environment;
mod number;
mod sort;

pub use ending::{_Exit, _exit, abort, atexit, exit};
pub use environment::{clearenv, environ, getenv, putenv, secure_getenv, setenv, unsetenv};
pub(super) use number::scaled;

use super::errno;
use super::memory::{In, Out, Text};
use core::ffi::{c_int, c_long, c_longlong, c_uint, c_ulong, c_ulonglong};
use core::sync::atomic::{AtomicU64, Ordering as Memory};
use number::{Float, Integer};
use sort::Elements;

/// C's order of two elements.
pub type Comparison = extern "C" fn(In<u8>, In<u8>) -> c_int;

/// C's order of two elements, with an argument of the caller's.
pub type ComparisonWith = extern "C" fn(In<u8>, In<u8>, Out<u8>) -> c_int;

/// A quotient and a remainder of `int`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Division {
    /// The quotient, towards zero.
    pub quot: c_int,
    /// The remainder.
    pub rem: c_int,
}

/// A quotient and a remainder of `long`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct LongDivision {
    /// The quotient, towards zero.
    pub quot: c_long,
    /// The remainder.
    pub rem: c_long,
}

/// Returns the magnitude of a number.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn abs(number: c_int) -> c_int {
    number.wrapping_abs()
}

/// Returns the magnitude of a number.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn labs(number: c_long) -> c_long {
    number.wrapping_abs()
}

/// Returns the magnitude of a number.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn llabs(number: c_longlong) -> c_longlong {
    number.wrapping_abs()
}

/// Divides; a divisor of zero ends the VM as in C.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn div(number: c_int, by: c_int) -> Division {
    Division {
        quot: number.wrapping_div(by),
        rem: number.wrapping_rem(by),
    }
}

/// Divides; a divisor of zero ends the VM as in C.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn ldiv(number: c_long, by: c_long) -> LongDivision {
    LongDivision {
        quot: number.wrapping_div(by),
        rem: number.wrapping_rem(by),
    }
}

/// Divides; a divisor of zero ends the VM as in C.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn lldiv(number: c_longlong, by: c_longlong) -> LongDivision {
    ldiv(number, by)
}

/// Reads an integer; what does not fit is cut.
#[cfg_attr(denali, unsafe(no_mangle))]
#[expect(clippy::cast_possible_truncation, reason = "as C libraries do")]
pub extern "C" fn atoi(text: Text) -> c_int {
    strtol(text, Out::NULL, 10) as c_int
}

/// Reads an integer.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn atol(text: Text) -> c_long {
    strtol(text, Out::NULL, 10)
}

/// Reads an integer.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn atoll(text: Text) -> c_longlong {
    strtol(text, Out::NULL, 10)
}

/// Reads a floating-point number.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn atof(text: Text) -> f64 {
    strtod(text, Out::NULL)
}

/// Reads an integer in a base from 2 to 36, or 0 to go by its prefix.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn strtol(text: Text, end: Out<Out<u8>>, base: c_int) -> c_long {
    integer(text, end, base).map_or(0, |integer| in_range(integer.signed()))
}

/// Like [`strtol`], for unsigned numbers.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn strtoul(text: Text, end: Out<Out<u8>>, base: c_int) -> c_ulong {
    integer(text, end, base).map_or(0, |integer| in_range(integer.unsigned()))
}

/// Like [`strtol`].
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn strtoll(text: Text, end: Out<Out<u8>>, base: c_int) -> c_longlong {
    strtol(text, end, base)
}

/// Like [`strtoul`].
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn strtoull(text: Text, end: Out<Out<u8>>, base: c_int) -> c_ulonglong {
    strtoul(text, end, base)
}

/// Like [`strtol`].
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn strtoimax(text: Text, end: Out<Out<u8>>, base: c_int) -> c_longlong {
    strtol(text, end, base)
}

/// Like [`strtoul`].
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn strtoumax(text: Text, end: Out<Out<u8>>, base: c_int) -> c_ulonglong {
    strtoul(text, end, base)
}

/// Reads a floating-point number, to the nearest.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn strtod(text: Text, end: Out<Out<u8>>) -> f64 {
    let float = Float::parse(text.bytes());
    end.write(text.at(Some(float.len)));
    in_range((float.value, float.out_of_range))
}

/// Reads a floating-point number, by way of the nearest `double`.
#[cfg_attr(denali, unsafe(no_mangle))]
#[expect(clippy::cast_possible_truncation, reason = "rounds to the nearest")]
pub extern "C" fn strtof(text: Text, end: Out<Out<u8>>) -> f32 {
    let value = strtod(text, end);
    let narrow = value as f32;
    in_range((narrow, narrow.is_infinite() && value.is_finite()))
}

fn integer(text: Text, end: Out<Out<u8>>, base: c_int) -> Option<Integer> {
    let known = u32::try_from(base)
        .ok()
        .filter(|base| *base != 1 && *base <= 36);
    let Some(base) = known else {
        end.write(text.at(Some(0)));
        errno::set(errno::EINVAL);
        return None;
    };
    let integer = Integer::parse(text.bytes(), base);
    end.write(text.at(Some(integer.len)));
    Some(integer)
}

/// Returns a number, after setting `ERANGE` if it had to be bent.
fn in_range<T>((number, was_bent): (T, bool)) -> T {
    if was_bent {
        errno::set(errno::ERANGE);
    }
    number
}

/// Sorts `count` elements of `size` bytes.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn qsort(start: Out<u8>, count: usize, size: usize, compare: Comparison) {
    Elements::new(start, size).sort(count, |a, b| compare(a, b).cmp(&0));
}

/// Like [`qsort`], with an argument for the comparison.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn qsort_r(
    start: Out<u8>,
    count: usize,
    size: usize,
    compare: ComparisonWith,
    argument: Out<u8>,
) {
    Elements::new(start, size).sort(count, |a, b| compare(a, b, argument).cmp(&0));
}

/// Finds an element of a sorted array that compares equal to a key.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn bsearch(
    key: In<u8>,
    start: In<u8>,
    count: usize,
    size: usize,
    compare: Comparison,
) -> Out<u8> {
    Elements::new(start.writable(), size)
        .search(count, |element| compare(key, element).cmp(&0))
        .unwrap_or(Out::NULL)
}

/// The state of [`rand`].
static SEED: AtomicU64 = AtomicU64::new(1);

/// Steps a linear congruential generator (Knuth, MMIX) and returns 31 of its bits.
fn next(state: u64) -> (u64, c_int) {
    let state = state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    (state, c_int::try_from(state >> 33).unwrap_or(0))
}

/// Returns the next number of a sequence from 0 to 2^31 - 1. Not for secrets: see `getrandom`.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn rand() -> c_int {
    let (state, number) = next(SEED.load(Memory::Relaxed));
    SEED.store(state, Memory::Relaxed);
    number
}

/// Starts the sequence of [`rand`].
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn srand(seed: c_uint) {
    SEED.store(seed.into(), Memory::Relaxed);
}

/// Like [`rand`], with a state of the caller's.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn rand_r(seed: Out<c_uint>) -> c_int {
    let (state, number) = next(seed.read().unwrap_or(0).into());
    seed.write(c_uint::try_from(state >> 32).unwrap_or(0));
    number
}

/// Like [`rand`].
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn random() -> c_long {
    rand().into()
}

/// Like [`srand`].
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn srandom(seed: c_uint) {
    srand(seed);
}

#[cfg(test)]
mod tests;
