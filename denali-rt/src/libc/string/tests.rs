//! Text functions against the host's, on random texts of few letters so that matches are common.

use super::super::memory::test::{input, one, output, text};
use super::*;
use alloc::ffi::CString;
use alloc::vec::Vec;
use core::ffi::CStr;

/// The host's functions. Here they are given texts and buffers of sufficient length alone.
mod host {
    use core::ffi::{c_char, c_int};

    unsafe extern "C" {
        pub(super) safe fn strchr(text: *const c_char, c: c_int) -> *const c_char;
        pub(super) safe fn strrchr(text: *const c_char, c: c_int) -> *const c_char;
        pub(super) safe fn strstr(text: *const c_char, wanted: *const c_char) -> *const c_char;
        pub(super) safe fn strpbrk(text: *const c_char, set: *const c_char) -> *const c_char;
        pub(super) safe fn strspn(text: *const c_char, set: *const c_char) -> usize;
        pub(super) safe fn strcspn(text: *const c_char, set: *const c_char) -> usize;
        pub(super) safe fn strcmp(a: *const c_char, b: *const c_char) -> c_int;
        pub(super) safe fn strncmp(a: *const c_char, b: *const c_char, len: usize) -> c_int;
        pub(super) safe fn strcasecmp(a: *const c_char, b: *const c_char) -> c_int;
        pub(super) safe fn strncpy(to: *mut c_char, from: *const c_char, len: usize)
        -> *mut c_char;
    }
}

/// A random text of up to eight letters out of five.
fn random_text(seed: &mut u64) -> CString {
    let len = random(seed) % 9;
    let letters = (0..len).map(|_| b"abcAB"[random(seed) % 5]);
    CString::new(letters.collect::<Vec<u8>>()).unwrap()
}

/// The next number of xorshift64 (Marsaglia 2003).
fn random(seed: &mut u64) -> usize {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    usize::try_from(*seed >> 33).unwrap()
}

#[test]
fn searching_and_comparing_is_the_hosts() {
    let mut seed = 0x9e37_79b9;
    for _ in 0..20_000 {
        let (a, b) = (random_text(&mut seed), random_text(&mut seed));
        let (ours_a, ours_b, n) = (text(&a), text(&b), random(&mut seed) % 10);
        let (a_ptr, b_ptr) = (a.as_ptr(), b.as_ptr());
        let c = c_int::from(b"abcAB\0x"[random(&mut seed) % 7]);
        let theirs = (
            [
                host::strchr(a_ptr, c).addr(),
                host::strrchr(a_ptr, c).addr(),
                host::strstr(a_ptr, b_ptr).addr(),
                host::strpbrk(a_ptr, b_ptr).addr(),
                host::strspn(a_ptr, b_ptr),
                host::strcspn(a_ptr, b_ptr),
            ],
            [
                host::strcmp(a_ptr, b_ptr).signum(),
                host::strncmp(a_ptr, b_ptr, n).signum(),
                host::strcasecmp(a_ptr, b_ptr).signum(),
            ],
        );
        let ours = (
            [
                strchr(ours_a, c).address(),
                strrchr(ours_a, c).address(),
                strstr(ours_a, ours_b).address(),
                strpbrk(ours_a, ours_b).address(),
                strspn(ours_a, ours_b),
                strcspn(ours_a, ours_b),
            ],
            [
                strcmp(ours_a, ours_b),
                strncmp(ours_a, ours_b, n),
                strcasecmp(ours_a, ours_b),
            ],
        );
        assert_eq!(ours, theirs, "{a:?} {b:?} {c} {n}");
        let (mut our_copy, mut their_copy) = ([1_u8; 12], [1_u8; 12]);
        strncpy(output(&mut our_copy), ours_a, n);
        host::strncpy(their_copy.as_mut_ptr().cast(), a_ptr, n);
        assert_eq!(our_copy, their_copy, "{a:?} {n}");
    }
}

#[test]
fn copies_stay_within_their_buffers() {
    let mut buffer = [9_u8; 8];
    assert_eq!(strlcpy(output(&mut buffer), text(c"abcdef"), 4), 6);
    assert_eq!(&buffer[..5], b"abc\0\x09");
    assert_eq!(strlcat(output(&mut buffer), text(c"xyz"), 6), 6);
    assert_eq!(&buffer[..7], b"abcxy\0\x09");
    assert_eq!(strlcpy(output(&mut buffer), text(c"q"), 0), 1);
    strncat(output(&mut buffer), text(c"123"), 1);
    assert_eq!(&buffer[..7], b"abcxy1\0");
}

#[test]
fn memory_is_searched() {
    let area = b"one two two";
    let start = input(area);
    assert_eq!(
        memchr(start, b't'.into(), 11).address(),
        start.address() + 4
    );
    assert_eq!(
        memrchr(start, b't'.into(), 11).address(),
        start.address() + 8
    );
    assert!(memchr(start, b'x'.into(), 11).is_null());
    assert_eq!(
        memmem(start, 11, input(b"two"), 3).address(),
        start.address() + 4
    );
    assert_eq!(
        memmem(start, 11, input(b"two two"), 7).address(),
        start.address() + 4
    );
    assert!(memmem(start, 10, input(b"two two"), 7).is_null());
    let mut copy = [0; 8];
    let to = output(&mut copy);
    let end = memccpy(to, start, b' '.into(), 8);
    assert_eq!(end.address() - to.address(), 4);
    assert_eq!(&copy[..5], b"one \0");
}

#[test]
fn tokens_are_cut() {
    let mut line = *b",,GET  /x,y\0";
    let mut saved = Out::NULL;
    let mut next = output(&mut line);
    let mut tokens = Vec::new();
    loop {
        let token = strtok_r(next, text(c", "), one(&mut saved));
        if token.is_null() {
            break;
        }
        tokens.push(Vec::from(token.text().bytes()));
        next = Out::NULL;
    }
    assert_eq!(tokens, [&b"GET"[..], b"/x", b"y"]);
    let mut line = *b"a,,b\0";
    let mut place = output(&mut line);
    let mut pieces = Vec::new();
    while !place.is_null() {
        pieces.push(strsep(one(&mut place), text(c",")).text().bytes().len());
    }
    assert_eq!(pieces, [1, 0, 1]);
}

#[test]
fn duplicates_are_the_callers() {
    let copy = strndup(text(c"hello"), 4);
    assert_eq!(copy.text().bytes(), b"hell");
    super::super::malloc::free(copy);
    let whole: &CStr = c"caseless CASE";
    assert_eq!(
        strcasestr(text(whole), text(c"S C")).text().bytes(),
        b"s CASE"
    );
    assert_eq!((ffs(0), ffs(1), ffs(8), ffs(c_int::MIN)), (0, 1, 4, 32));
}
