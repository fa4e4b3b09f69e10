//! Numbers, sorting and searching, against the host's libc.

use super::super::memory::test::{input, one, output, text};
use super::*;
use alloc::ffi::CString;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::ffi::{CStr, c_char};

/// The host's functions.
mod host {
    use core::ffi::{c_char, c_int, c_long, c_ulong};

    unsafe extern "C" {
        pub(super) fn strtol(text: *const c_char, end: *mut *mut c_char, base: c_int) -> c_long;
        pub(super) fn strtoul(text: *const c_char, end: *mut *mut c_char, base: c_int) -> c_ulong;
        pub(super) fn strtod(text: *const c_char, end: *mut *mut c_char) -> f64;
        pub(super) safe fn __errno_location() -> *mut c_int;
    }
}

/// The next number of xorshift64 (Marsaglia 2003).
fn random(seed: &mut u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed
}

fn pick<'a>(seed: &mut u64, from: &[&'a str]) -> &'a str {
    let at = usize::try_from(random(seed) >> 33).unwrap();
    from[at % from.len()]
}

/// Calls a function of the host's with a clear error number; returns its result, the length it
/// read, and the error number.
fn host_call<T>(
    number: &CStr,
    call: impl Fn(*const c_char, *mut *mut c_char) -> T,
) -> (T, usize, c_int) {
    let mut end = core::ptr::null_mut();
    let errno = host::__errno_location();
    // SAFETY: it is where the host's error number is.
    unsafe { errno.write(0) };
    let value = call(number.as_ptr(), &raw mut end);
    // SAFETY: as above.
    let error = unsafe { errno.read() };
    (value, end.addr() - number.as_ptr().addr(), error)
}

/// The same with a function of ours.
fn our_call<T>(number: &CStr, call: impl Fn(Text, Out<Out<u8>>) -> T) -> (T, usize, c_int) {
    let mut end = Out::NULL;
    errno::set(0);
    let value = call(text(number), one(&mut end));
    let len = end.address() - number.as_ptr().addr();
    (value, len, errno::get())
}

#[test]
fn integers_are_read_as_the_host_reads_them() {
    let mut seed = 0x2545_f491;
    for _ in 0..50_000 {
        let bits = random(&mut seed) >> (random(&mut seed) % 64);
        let digits = match random(&mut seed) % 4 {
            0 => format!("{bits}"),
            1 => format!("{bits:x}"),
            2 => format!("{bits:o}"),
            _ => format!("{bits}{bits}"),
        };
        let space = pick(&mut seed, &["", " ", "\t\n\x0b "]);
        let sign = pick(&mut seed, &["", "-", "+", "--"]);
        let prefix = pick(&mut seed, &["", "", "0", "0x", "0X", "0xg"]);
        let rest = pick(&mut seed, &["", "z", " 1", "."]);
        let number = CString::new(format!("{space}{sign}{prefix}{digits}{rest}")).unwrap();
        let base = [0, 2, 8, 10, 16, 36][usize::try_from(random(&mut seed) % 6).unwrap()];
        let ours = our_call(&number, |text, end| strtol(text, end, base));
        // SAFETY: the text ends with a NUL.
        let theirs = host_call(&number, |text, end| unsafe {
            host::strtol(text, end, base)
        });
        // A base with no digits in the text may leave `EINVAL`, says POSIX; glibc does not.
        assert_eq!(ours, theirs, "strtol {number:?} {base}");
        let ours = our_call(&number, |text, end| strtoul(text, end, base));
        // SAFETY: as above.
        let theirs = host_call(&number, |text, end| unsafe {
            host::strtoul(text, end, base)
        });
        assert_eq!(ours, theirs, "strtoul {number:?} {base}");
    }
    let wrong = our_call(c"1", |text, end| strtol(text, end, 37));
    assert_eq!(wrong, (0, 0, errno::EINVAL));
}

fn random_float(seed: &mut u64) -> String {
    let (a, b) = (random(seed) >> (random(seed) % 64), random(seed) >> 40);
    let sign = pick(seed, &["", "-", "+", " "]);
    let exponent = pick(
        seed,
        &[
            "",
            "e5",
            "E-7",
            "e+300",
            "e-310",
            "e-330",
            "e",
            "e+",
            "e99999999999",
        ],
    );
    match random(seed) % 6 {
        0 => format!("{sign}{a}{exponent}"),
        1 => format!("{sign}{a}.{b}{exponent}"),
        2 => format!("{sign}.{b}{exponent}x"),
        3 => {
            let power = i64::try_from(random(seed) % 2300).unwrap() - 1150;
            format!("{sign}0x{a:x}.{b:x}p{power}")
        }
        4 => format!("{sign}{:e}", f64::from_bits(random(seed))),
        _ => {
            let words = [
                "inf", "INFINITY", "nan", "nan(12)", "nan(", "infinit", ".", "-", "0x", "0x.p1",
            ];
            format!("{sign}{}", pick(seed, &words))
        }
    }
}

#[test]
fn floating_point_numbers_are_read_as_the_host_reads_them() {
    let mut seed = 0x1234_5678_9abc;
    for _ in 0..50_000 {
        let number = CString::new(random_float(&mut seed)).unwrap();
        let (ours, our_len, our_error) = our_call(&number, |text, end| strtod(text, end));
        // SAFETY: the text ends with a NUL.
        let call = |text, end| unsafe { host::strtod(text, end) };
        let (theirs, their_len, their_error) = host_call(&number, call);
        let same = ours.to_bits() == theirs.to_bits() || (ours.is_nan() && theirs.is_nan());
        assert!(same, "{number:?}: {ours:e} {theirs:e}");
        assert_eq!(our_len, their_len, "{number:?}");
        // Whether an exact subnormal number is out of range is the library's choice (C17 §7.22.1.3).
        if theirs.abs() >= f64::MIN_POSITIVE || theirs == 0.0 {
            assert_eq!(our_error, their_error, "{number:?}");
        }
    }
}

extern "C" fn compare_bytes(a: In<u8>, b: In<u8>) -> c_int {
    c_int::from(a.read().unwrap()) - c_int::from(b.read().unwrap())
}

#[test]
fn sorting_orders_elements_of_every_size_and_searching_finds_them() {
    let mut seed = 77;
    for size in [1, 3, 4, 8, 24] {
        for count in [0, 1, 2, 3, 10, 100, 1000] {
            let mut array: Vec<u8> = (0..size * count)
                .map(|_| random(&mut seed).to_le_bytes()[4])
                .collect();
            let mut expected: Vec<Vec<u8>> = array.chunks(size).map(Vec::from).collect();
            qsort(output(&mut array), count, size, compare_bytes);
            let keys = |elements: &[Vec<u8>]| elements.iter().map(|e| e[0]).collect::<Vec<_>>();
            let mut sorted: Vec<Vec<u8>> = array.chunks(size).map(Vec::from).collect();
            assert!(sorted.is_sorted_by_key(|element| element[0]));
            assert!(keys(&expected).len() == keys(&sorted).len());
            expected.sort();
            sorted.sort();
            assert_eq!(sorted, expected, "an element was lost");
            for key in 0..=255 {
                let found = bsearch(input(&[key]), input(&array), count, size, compare_bytes);
                let is_there = array.chunks(size).any(|element| element[0] == key);
                assert_eq!(found.read().is_some_and(|first| first == key), is_there);
            }
        }
    }
}

#[test]
fn a_seed_repeats_its_sequence() {
    srand(5);
    let first: Vec<_> = (0..5).map(|_| rand()).collect();
    srand(5);
    assert_eq!((0..5).map(|_| rand()).collect::<Vec<_>>(), first);
    assert!(first.iter().all(|number| *number >= 0));
    let (mut a, mut b) = (9, 9);
    assert_eq!(rand_r(one(&mut a)), rand_r(one(&mut b)));
}

#[test]
fn small_arithmetic() {
    assert_eq!((abs(-3), labs(-4), llabs(5)), (3, 4, 5));
    assert_eq!(div(-7, 2), Division { quot: -3, rem: -1 });
    assert_eq!(lldiv(7, -2), LongDivision { quot: -3, rem: 1 });
    assert_eq!((atoi(text(c" 42x")), atol(text(c"-1"))), (42, -1));
    assert!((atof(text(c"2.5")) - 2.5).abs() < f64::EPSILON);
    assert!((strtof(text(c"1e-3"), Out::NULL) - 1e-3).abs() < f32::EPSILON);
}
