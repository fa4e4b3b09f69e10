//! Our `snprintf` against the host's: both are called as C calls them, with the same arguments.

use alloc::ffi::CString;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::ffi::{c_char, c_int};

unsafe extern "C" {
    /// Ours, under the name that `variadic.rs` gives it in tests.
    fn denali_snprintf(to: *mut c_char, len: usize, format: *const c_char, ...) -> c_int;

    /// The host's.
    fn snprintf(to: *mut c_char, len: usize, format: *const c_char, ...) -> c_int;
}

/// Longer than any text here.
const ROOM: usize = 4096;

/// Formats with both and compares text and result.
macro_rules! same {
    ($format:expr $(, $argument:expr)*) => {{
        let format: &core::ffi::CStr = $format;
        let (mut ours, mut theirs) = (Vec::from([1_u8; ROOM]), Vec::from([1_u8; ROOM]));
        // SAFETY: the arguments are those that the format asks for.
        let our_len = unsafe {
            denali_snprintf(ours.as_mut_ptr().cast(), ROOM, format.as_ptr() $(, $argument)*)
        };
        // SAFETY: as above.
        let their_len = unsafe {
            snprintf(theirs.as_mut_ptr().cast(), ROOM, format.as_ptr() $(, $argument)*)
        };
        let shown = |bytes: &[u8]| {
            let len = bytes.iter().position(|byte| *byte == 0).unwrap();
            String::from_utf8_lossy(&bytes[..len]).into_owned()
        };
        assert_eq!(
            (shown(&ours), our_len),
            (shown(&theirs), their_len),
            "{format:?} {}", format!("{:?}", ($($argument,)*))
        );
    }};
}

/// The next number of xorshift64 (Marsaglia 2003).
fn random(seed: &mut u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed
}

/// A random `%` with flags, width and precision, and `end`.
fn specification(seed: &mut u64, end: &str) -> CString {
    let flags: String = "-+ #0"
        .chars()
        .filter(|_| random(seed) >> 62 == 0)
        .collect();
    let width = match random(seed) >> 62 {
        0 => format!("{}", random(seed) % 40),
        _ => String::new(),
    };
    let width = width.trim_start_matches('0');
    let precision = match random(seed) >> 62 {
        0 => format!(".{}", random(seed) % 30),
        1 => String::from("."),
        _ => String::new(),
    };
    CString::new(format!("<%{flags}{width}{precision}{end}>")).unwrap()
}

#[test]
fn integers_are_formatted_as_the_host_formats_them() {
    let mut seed = 0x1234_5678;
    for _ in 0..20_000 {
        let value = random(&mut seed) >> (random(&mut seed) % 64);
        for end in [
            "ld", "li", "lu", "lx", "lX", "lo", "zu", "jd", "d", "u", "x", "hd", "hhu", "hhd",
        ] {
            let format = specification(&mut seed, end);
            same!(&format, value);
            same!(&format, value.wrapping_neg());
        }
    }
    same!(
        c"%ld %lu %#lo %.0d|%+.0d|%#.0x|%#.0o",
        i64::MIN,
        u64::MAX,
        0_u64,
        0,
        0,
        0,
        0
    );
}

#[test]
fn floating_point_numbers_are_formatted_as_the_host_formats_them() {
    let mut seed = 0x9876_5432;
    for _ in 0..20_000 {
        let bits = random(&mut seed);
        let small = u32::try_from(bits >> 40).unwrap();
        let value = match random(&mut seed) % 6 {
            0 => f64::from_bits(bits),
            1 => f64::from(small) / 256.0,
            2 => f64::from(small) * 1e-7,
            3 => f64::from(small >> 20) / 8.0,
            4 => f64::from_bits(bits >> 13),
            _ => -f64::from(small),
        };
        for end in ["f", "F", "e", "E", "g", "G", "a", "A"] {
            let format = specification(&mut seed, end);
            same!(&format, value);
        }
    }
    for value in [
        0.0,
        -0.0,
        1.0,
        9.5,
        0.5,
        1.5,
        2.5,
        9.999_999_9e9,
        f64::MAX,
        5e-324,
    ] {
        for format in [
            c"%f", c"%.0f", c"%#.0f", c"%e", c"%.0e", c"%g", c"%#g", c"%a", c"%.0a", c"%.1500f",
            c"%.1200e", c"%.1300g",
        ] {
            same!(format, value);
        }
    }
    for value in [f64::INFINITY, f64::NEG_INFINITY, f64::NAN] {
        for format in [c"%f", c"%010F", c"%-10g|", c"%+e", c"% a"] {
            same!(format, value);
        }
    }
}

#[test]
fn texts_and_characters_are_formatted_as_the_host_formats_them() {
    let hello = c"hello".as_ptr();
    same!(
        c"%s|%10s|%-10s|%.3s|%10.2s|%.*s",
        hello,
        hello,
        hello,
        hello,
        hello,
        4,
        hello
    );
    same!(c"%c%c%3c|%-3c|", 104, 105, 106, 107);
    same!(c"100%% %p %p %20p|", hello, core::ptr::null::<u8>(), hello);
    same!(c"%*d|%-*d|%*d|%.*d|%.*d", 6, 1, 6, 2, -6, 3, 4, 5, -1, 6);
    same!(
        c"%s|%.3s|%.6s|%10s",
        core::ptr::null::<u8>(),
        core::ptr::null::<u8>(),
        core::ptr::null::<u8>(),
        core::ptr::null::<u8>()
    );
    same!(c"no conversions");
    same!(c"");
}

#[test]
fn arguments_come_from_registers_and_from_the_stack() {
    same!(
        c"%d %d %d %d %d %d %d %d %s",
        1,
        2,
        3,
        4,
        5,
        6,
        7,
        8,
        c"nine".as_ptr()
    );
    same!(
        c"%.1f %.1f %.1f %.1f %.1f %.1f %.1f %.1f %.1f %.1f %d",
        1.0,
        2.0,
        3.0,
        4.0,
        5.0,
        6.0,
        7.0,
        8.0,
        9.0,
        10.0,
        11
    );
    same!(
        c"%d %f %d %f %d %f %d %f %d %f %d",
        1,
        1.5,
        2,
        2.5,
        3,
        3.5,
        4,
        4.5,
        5,
        5.5,
        6
    );
}

#[test]
fn a_buffer_too_small_gets_what_fits() {
    for room in 0..8 {
        let (mut ours, mut theirs) = ([7_u8; 8], [7_u8; 8]);
        // SAFETY: the buffers have `room` bytes, and the argument is an `int`.
        let our_len =
            unsafe { denali_snprintf(ours.as_mut_ptr().cast(), room, c"%d!".as_ptr(), 12345) };
        // SAFETY: as above.
        let their_len =
            unsafe { snprintf(theirs.as_mut_ptr().cast(), room, c"%d!".as_ptr(), 12345) };
        assert_eq!((ours, our_len), (theirs, their_len), "{room}");
    }
}

#[test]
fn the_number_of_bytes_so_far_is_stored() {
    let (mut int, mut byte) = (-1, [-1_i8; 2]);
    let mut buffer = [0_u8; 16];
    // SAFETY: the arguments are places for an `int` and for a `char`.
    let len = unsafe {
        denali_snprintf(
            buffer.as_mut_ptr().cast(),
            16,
            c"ab%ncd%hhn".as_ptr(),
            &raw mut int,
            byte.as_mut_ptr(),
        )
    };
    assert_eq!((len, int, byte), (4, 2, [4, -1]));
}

#[test]
fn a_format_unknown_here_is_an_error() {
    let mut buffer = [0_u8; 16];
    for format in [c"%1$d", c"%y", c"%", c"%99999999999d", c"%ls"] {
        // SAFETY: nothing of the argument is used.
        let len =
            unsafe { denali_snprintf(buffer.as_mut_ptr().cast(), 16, format.as_ptr(), 1_u64) };
        assert_eq!(len, -1, "{format:?}");
    }
}
