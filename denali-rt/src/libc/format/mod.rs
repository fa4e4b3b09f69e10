//! What the `printf` family does: a format and arguments become text.
//!
//! | file       | what                                         |
//! |------------|----------------------------------------------|
//! | `spec.rs`  | one conversion specification: `%-08.3lx`     |
//! | `float.rs` | digits of floating-point numbers             |
//!
//! Formats are those of C17 §7.21.6.1 and POSIX, and `%m`. Not here: numbered arguments (`%1$d`) and
//! wide characters (`%lc`, `%ls`); they fail with `EINVAL`.

mod float;
mod spec;

use super::arguments::Arguments;
use super::errno::{self, EINVAL, EOVERFLOW, Errno};
use super::memory::{Out, Text};
use core::ffi::c_int;
use spec::{Length, Spec};

/// Where formatted text goes.
pub(super) trait Sink {
    /// Takes the next bytes.
    fn put(&mut self, bytes: &[u8]);
}

/// Writes formatted text to `sink`. Returns how many bytes it had.
///
/// # Errors
///
/// `EINVAL` for a format that is not known here, `EOVERFLOW` for more bytes than an `int` counts.
pub(super) fn format(
    sink: &mut dyn Sink,
    format: Text,
    arguments: &mut dyn Arguments,
) -> Result<c_int, Errno> {
    let mut output = Output {
        sink,
        written: 0,
        error: errno::get(),
    };
    let mut rest = format.bytes();
    while let Some(percent) = rest.iter().position(|byte| *byte == b'%') {
        output.put(&rest[..percent]);
        let (spec, len) =
            Spec::parse(&rest[percent + 1..], &mut *arguments).ok_or(Errno(EINVAL))?;
        output.convert(&spec, &mut *arguments)?;
        rest = &rest[percent + 1 + len..];
    }
    output.put(rest);
    c_int::try_from(output.written).map_err(|_| Errno(EOVERFLOW))
}

struct Output<'a> {
    sink: &'a mut dyn Sink,
    written: usize,
    /// The error number that `%m` means.
    error: c_int,
}

/// A number in pieces.
struct Number<'a> {
    /// Sign, or `0x`, in front of any zeros.
    prefix: &'a [u8],
    /// Zeros that precision asks for in front of the digits.
    zeros: usize,
    digits: &'a [u8],
    /// Zeros behind the digits.
    more: usize,
    /// What follows these: an exponent.
    suffix: &'a [u8],
}

impl Output<'_> {
    fn put(&mut self, bytes: &[u8]) {
        self.written += bytes.len();
        self.sink.put(bytes);
    }

    fn repeat(&mut self, byte: u8, mut count: usize) {
        let block = [byte; 32];
        while count > 0 {
            let now = count.min(block.len());
            self.put(&block[..now]);
            count -= now;
        }
    }

    fn convert(&mut self, spec: &Spec, arguments: &mut dyn Arguments) -> Result<(), Errno> {
        match spec.conversion {
            b'%' => self.put(b"%"),
            b'd' | b'i' => self.signed(spec, spec.length.signed(arguments.word())),
            b'u' | b'o' | b'x' | b'X' => {
                self.unsigned(spec, spec.length.unsigned(arguments.word()));
            }
            b'p' => match arguments.word() {
                0 => self.text(spec, b"(nil)"),
                address => self.unsigned(&spec.for_pointer(), address),
            },
            b'c' if spec.length == Length::None => {
                let [byte, ..] = arguments.word().to_le_bytes();
                self.text(&spec.without_precision(), &[byte]);
            }
            b's' if spec.length == Length::None => self.string(spec, pointer(arguments).text()),
            b'm' => self.string(spec, errno::strerror(self.error)),
            b'n' => spec.length.store(pointer(arguments), self.written),
            b'a' | b'A' | b'e' | b'E' | b'f' | b'F' | b'g' | b'G' => {
                let value = match spec.length {
                    Length::LongDouble => arguments.long_double(),
                    _ => arguments.double(),
                };
                self.float(spec, value);
            }
            _ => return Err(Errno(EINVAL)),
        }
        Ok(())
    }

    fn string(&mut self, spec: &Spec, text: Text) {
        if text.is_null() {
            // As much as fits, or nothing, as the C libraries do.
            let shown = spec.precision.is_none_or(|precision| precision >= 6);
            self.text(spec, if shown { b"(null)" } else { b"" });
        } else {
            self.text(
                spec,
                text.bytes_within(spec.precision.unwrap_or(usize::MAX)),
            );
        }
    }

    fn text(&mut self, spec: &Spec, text: &[u8]) {
        let padding = spec.width.saturating_sub(text.len());
        if !spec.left {
            self.repeat(b' ', padding);
        }
        self.put(text);
        if spec.left {
            self.repeat(b' ', padding);
        }
    }

    fn signed(&mut self, spec: &Spec, value: i64) {
        self.integer(spec, value.unsigned_abs(), spec.sign(value < 0));
    }

    fn unsigned(&mut self, spec: &Spec, value: u64) {
        let prefix: &[u8] = match spec.conversion {
            b'x' if spec.alternate && value != 0 => b"0x",
            b'X' if spec.alternate && value != 0 => b"0X",
            _ => b"",
        };
        self.integer(spec, value, prefix);
    }

    fn integer(&mut self, spec: &Spec, value: u64, prefix: &[u8]) {
        let mut buffer = [0; 24];
        let digits = digits(value, spec.radix(), spec.conversion == b'X', &mut buffer);
        let mut zeros = spec.precision.unwrap_or(0).saturating_sub(digits.len());
        if spec.conversion == b'o' && spec.alternate && zeros == 0 && digits != b"0" {
            zeros = 1;
        }
        // Zero with precision zero has no digits, but in octal with `#` (C17 §7.21.6.1).
        let is_nothing = value == 0 && spec.precision == Some(0);
        let keeps_zero = spec.conversion == b'o' && spec.alternate;
        let digits = if is_nothing && !keeps_zero {
            b""
        } else {
            digits
        };
        let number = Number {
            prefix,
            zeros,
            digits,
            more: 0,
            suffix: b"",
        };
        self.number(spec, &number, spec.zero && spec.precision.is_none());
    }

    fn float(&mut self, spec: &Spec, value: f64) {
        let sign = spec.sign(value.is_sign_negative());
        let upper = spec.conversion.is_ascii_uppercase();
        if !value.is_finite() {
            let digits: &[u8] = match (value.is_nan(), upper) {
                (true, false) => b"nan",
                (true, true) => b"NAN",
                (false, false) => b"inf",
                (false, true) => b"INF",
            };
            let number = Number {
                prefix: sign,
                zeros: 0,
                digits,
                more: 0,
                suffix: b"",
            };
            return self.number(spec, &number, false);
        }
        let mut scratch = float::Scratch::new();
        let text = float::write(&mut scratch, spec, value.abs());
        let mut prefix = [0; 3];
        prefix[..sign.len()].copy_from_slice(sign);
        let mark: &[u8] = match spec.conversion {
            b'a' => b"0x",
            b'A' => b"0X",
            _ => b"",
        };
        let prefix_len = sign.len() + mark.len();
        prefix[sign.len()..prefix_len].copy_from_slice(mark);
        let number = Number {
            prefix: &prefix[..prefix_len],
            zeros: 0,
            digits: text.digits,
            more: text.zeros,
            suffix: text.exponent,
        };
        self.number(spec, &number, spec.zero);
    }

    /// Writes a number's pieces, padded to the width with zeros behind the prefix or with spaces.
    fn number(&mut self, spec: &Spec, number: &Number<'_>, zero_padded: bool) {
        let len = number.prefix.len()
            + number.zeros
            + number.digits.len()
            + number.more
            + number.suffix.len();
        let padding = spec.width.saturating_sub(len);
        let (before, inside, behind) = match (spec.left, zero_padded) {
            (true, _) => (0, 0, padding),
            (false, true) => (0, padding, 0),
            (false, false) => (padding, 0, 0),
        };
        self.repeat(b' ', before);
        self.put(number.prefix);
        self.repeat(b'0', inside.saturating_add(number.zeros));
        self.put(number.digits);
        self.repeat(b'0', number.more);
        self.put(number.suffix);
        self.repeat(b' ', behind);
    }
}

/// Returns the next argument as a pointer.
fn pointer(arguments: &mut dyn Arguments) -> Out<u8> {
    let address = denali_abi::convert::u64_to_usize(arguments.word());
    Out::from_raw(core::ptr::with_exposed_provenance_mut(address))
}

/// Writes the digits of a number into the end of `buffer` and returns them.
fn digits(mut value: u64, radix: u8, upper: bool, buffer: &mut [u8; 24]) -> &[u8] {
    let mut start = buffer.len();
    loop {
        let [digit, ..] = (value % u64::from(radix)).to_le_bytes();
        start -= 1;
        buffer[start] = hexadecimal(digit, upper);
        value /= u64::from(radix);
        if value == 0 {
            return &buffer[start..];
        }
    }
}

/// Returns the character of a digit below 16.
fn hexadecimal(digit: u8, upper: bool) -> u8 {
    match digit {
        0..=9 => b'0' + digit,
        _ if upper => b'A' + digit - 10,
        _ => b'a' + digit - 10,
    }
}

#[cfg(test)]
mod tests;
