//! Digits of floating-point numbers: decimal ones exactly, from the core library, hexadecimal ones
//! from the bits.

use super::hexadecimal;
use super::spec::Spec;
use core::fmt::{self, Write};

/// Digits behind the point after which a `double` has only zeros.
const FRACTION_MAX: usize = 1074;

/// Precision without one in the format.
const PRECISION: usize = 6;

/// Room for the longest number: 309 digits, a point, and [`FRACTION_MAX`] more.
const SCRATCH_LEN: usize = 1_400;

/// The pieces of a number without its sign.
pub(super) struct Pieces<'a> {
    pub(super) digits: &'a [u8],
    /// Zeros behind the digits.
    pub(super) zeros: usize,
    pub(super) exponent: &'a [u8],
}

/// Where the pieces are made.
pub(super) struct Scratch {
    bytes: [u8; SCRATCH_LEN],
    used: usize,
}

impl Scratch {
    pub(super) const fn new() -> Self {
        Self {
            bytes: [0; SCRATCH_LEN],
            used: 0,
        }
    }

    fn write(&mut self, text: fmt::Arguments<'_>) {
        self.used = 0;
        // The longest number fits.
        self.write_fmt(text).unwrap_or_default();
    }

    fn push(&mut self, byte: u8) {
        self.bytes[self.used] = byte;
        self.used += 1;
    }

    fn text(&self) -> &[u8] {
        &self.bytes[..self.used]
    }
}

impl Write for Scratch {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let place = self.bytes.get_mut(self.used..self.used + text.len());
        place.ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
        self.used += text.len();
        Ok(())
    }
}

/// Makes the pieces of a finite number that is not negative.
pub(super) fn write<'a>(scratch: &'a mut Scratch, spec: &Spec, value: f64) -> Pieces<'a> {
    let precision = spec.precision.unwrap_or(PRECISION);
    match spec.conversion.to_ascii_lowercase() {
        b'f' => fixed(scratch, spec, value, precision),
        b'e' => scientific(scratch, spec, value, precision),
        b'g' => general(scratch, spec, value, precision.max(1)),
        _ => binary(scratch, spec, value),
    }
}

fn fixed<'a>(scratch: &'a mut Scratch, spec: &Spec, value: f64, precision: usize) -> Pieces<'a> {
    let shown = precision.min(FRACTION_MAX);
    scratch.write(format_args!("{value:.shown$}"));
    if precision == 0 && spec.alternate {
        scratch.push(b'.');
    }
    Pieces {
        digits: scratch.text(),
        zeros: precision - shown,
        exponent: b"",
    }
}

fn scientific<'a>(
    scratch: &'a mut Scratch,
    spec: &Spec,
    value: f64,
    precision: usize,
) -> Pieces<'a> {
    let shown = precision.min(FRACTION_MAX);
    scratch.write(format_args!("{value:.shown$e}"));
    let (exponent, digits_len) = split(scratch.text());
    scratch.used = digits_len;
    if precision == 0 && spec.alternate {
        scratch.push(b'.');
    }
    with_exponent(scratch, spec, exponent, precision - shown)
}

/// Appends an exponent of two digits at least.
fn with_exponent<'a>(
    scratch: &'a mut Scratch,
    spec: &Spec,
    exponent: i32,
    zeros: usize,
) -> Pieces<'a> {
    let digits_len = scratch.used;
    let upper = spec.conversion.is_ascii_uppercase();
    let (mark, sign) = (
        if upper { 'E' } else { 'e' },
        if exponent < 0 { '-' } else { '+' },
    );
    write!(scratch, "{mark}{sign}{:02}", exponent.unsigned_abs()).unwrap_or_default();
    let (digits, exponent) = scratch.text().split_at(digits_len);
    Pieces {
        digits,
        zeros,
        exponent,
    }
}

/// Chooses between the two by the exponent (C17 §7.21.6.1 ¶8); trailing zeros go unless `#`.
fn general<'a>(scratch: &'a mut Scratch, spec: &Spec, value: f64, precision: usize) -> Pieces<'a> {
    let shown = (precision - 1).min(FRACTION_MAX);
    scratch.write(format_args!("{value:.shown$e}"));
    let (exponent, digits_len) = split(scratch.text());
    let places = i64::try_from(precision).unwrap_or(i64::MAX) - 1 - i64::from(exponent);
    let is_fixed = exponent >= -4 && places >= 0;
    let mut zeros = precision - 1 - shown;
    if is_fixed {
        let places = usize::try_from(places).unwrap_or(0);
        let shown = places.min(FRACTION_MAX);
        scratch.write(format_args!("{value:.shown$}"));
        zeros = places - shown;
    } else {
        scratch.used = digits_len;
    }
    let has_point = scratch.text().contains(&b'.');
    if spec.alternate {
        if !has_point {
            scratch.push(b'.');
        }
    } else {
        zeros = 0;
        if has_point {
            trim(scratch);
        }
    }
    if is_fixed {
        return Pieces {
            digits: scratch.text(),
            zeros,
            exponent: b"",
        };
    }
    with_exponent(scratch, spec, exponent, zeros)
}

/// Takes off zeros at the end, and the point behind which nothing is left.
fn trim(scratch: &mut Scratch) {
    while scratch.text().ends_with(b"0") {
        scratch.used -= 1;
    }
    if scratch.text().ends_with(b".") {
        scratch.used -= 1;
    }
}

/// Returns the exponent of a number like `1.5e-7`, and the length of what stands before it.
fn split(text: &[u8]) -> (i32, usize) {
    let at = text.iter().position(|byte| *byte == b'e');
    let len = at.unwrap_or(text.len());
    let exponent = core::str::from_utf8(text.get(len + 1..).unwrap_or_default());
    let exponent = exponent.ok().and_then(|text| text.parse().ok());
    (exponent.unwrap_or(0), len)
}

/// Writes a number as `1.8p+1`.
fn binary<'a>(scratch: &'a mut Scratch, spec: &Spec, value: f64) -> Pieces<'a> {
    const FRACTION_DIGITS: usize = 13;
    let upper = spec.conversion.is_ascii_uppercase();
    let bits = value.to_bits();
    let biased = i32::try_from(bits >> 52).unwrap_or(0);
    let (mut significand, exponent) = match (biased, bits) {
        (0, 0) => (0, 0),
        (0, fraction) => (fraction, -1022),
        (biased, bits) => (bits & ((1 << 52) - 1) | 1 << 52, biased - 1023),
    };
    let mut shown = spec
        .precision
        .unwrap_or(FRACTION_DIGITS)
        .min(FRACTION_DIGITS);
    let dropped = 4 * (FRACTION_DIGITS - shown);
    if dropped > 0 {
        let (unit, rest) = (1_u64 << dropped, significand & ((1 << dropped) - 1));
        significand -= rest;
        let is_odd = significand & unit != 0;
        if rest > unit / 2 || (rest == unit / 2 && is_odd) {
            significand += unit;
        }
    }
    if spec.precision.is_none() {
        let zeros = significand.trailing_zeros().min(52) / 4;
        shown -= denali_abi::convert::u32_to_usize(zeros);
    }
    let digit = |place: usize| {
        let [low, ..] = (significand >> (52 - 4 * place)).to_le_bytes();
        hexadecimal(low & 15, upper)
    };
    scratch.used = 0;
    scratch.push(digit(0));
    if shown > 0 || spec.alternate {
        scratch.push(b'.');
    }
    (1..=shown).for_each(|place| scratch.push(digit(place)));
    let digits_len = scratch.used;
    let mark = if upper { 'P' } else { 'p' };
    write!(scratch, "{mark}{exponent:+}").unwrap_or_default();
    let (digits, exponent) = scratch.text().split_at(digits_len);
    Pieces {
        digits,
        zeros: spec.precision.unwrap_or(0).saturating_sub(FRACTION_DIGITS),
        exponent,
    }
}
