//! Numbers in texts: what `strtol`, `strtod` and their kin have in common.

use super::super::ctype::is_space;

/// An integer at the start of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Integer {
    /// Its magnitude, at most [`u64::MAX`].
    pub(super) magnitude: u64,
    pub(super) is_negative: bool,
    /// Whether the magnitude was too large for 64 bits.
    pub(super) overflowed: bool,
    /// Bytes it takes, white space in front included; 0 if there is none.
    pub(super) len: usize,
}

impl Integer {
    /// Reads the integer at the start of `text` in a base from 2 to 36, or in the base its prefix
    /// says if `base` is 0.
    pub(super) fn parse(text: &[u8], base: u32) -> Self {
        let (is_negative, digits_at) = sign(text);
        let digits = &text[digits_at..];
        let has_prefix = matches!(digits, [b'0', b'x' | b'X', digit, ..]
            if digit.is_ascii_hexdigit());
        let (base, skipped) = match base {
            0 | 16 if has_prefix => (16, 2),
            0 if digits.first() == Some(&b'0') => (8, 0),
            0 => (10, 0),
            base => (base, 0),
        };
        let (mut magnitude, mut overflowed, mut count) = (0_u64, false, 0);
        for byte in &digits[skipped..] {
            let Some(digit) = char::from(*byte).to_digit(base) else {
                break;
            };
            let next = magnitude.checked_mul(base.into());
            match next.and_then(|next| next.checked_add(digit.into())) {
                Some(next) if !overflowed => magnitude = next,
                _ => (magnitude, overflowed) = (u64::MAX, true),
            }
            count += 1;
        }
        Self {
            magnitude,
            is_negative,
            overflowed,
            len: if count == 0 {
                0
            } else {
                digits_at + skipped + count
            },
        }
    }

    /// Returns it as a signed number, and whether it had to be bent to fit.
    pub(super) fn signed(self) -> (i64, bool) {
        let value = if self.is_negative {
            0_i64.checked_sub_unsigned(self.magnitude)
        } else {
            i64::try_from(self.magnitude).ok()
        };
        match value {
            Some(value) if !self.overflowed => (value, false),
            _ if self.is_negative => (i64::MIN, true),
            _ => (i64::MAX, true),
        }
    }

    /// Returns it as an unsigned number, modulo 2^64 if negative (C17 §7.22.1.4), and whether it
    /// had to be bent to fit.
    pub(super) fn unsigned(self) -> (u64, bool) {
        if self.is_negative && !self.overflowed {
            (self.magnitude.wrapping_neg(), false)
        } else {
            (self.magnitude, self.overflowed)
        }
    }
}

/// A floating-point number at the start of a text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Float {
    pub(super) value: f64,
    /// Whether it was too large or too small.
    pub(super) out_of_range: bool,
    /// Bytes it takes, white space in front included; 0 if there is none.
    pub(super) len: usize,
}

impl Float {
    /// Reads the number at the start of `text`: decimal, hexadecimal, infinity or NaN.
    pub(super) fn parse(text: &[u8]) -> Self {
        let (is_negative, at) = sign(text);
        let body = &text[at..];
        let (magnitude, out_of_range, len) = special(body)
            .or_else(|| hexadecimal(body))
            .unwrap_or_else(|| decimal(body));
        let is_number = len > 0;
        Self {
            value: if is_negative && is_number {
                -magnitude
            } else {
                magnitude
            },
            out_of_range,
            len: if is_number { at + len } else { 0 },
        }
    }
}

/// Returns whether a minus stands in front of the number, and where its digits begin.
fn sign(text: &[u8]) -> (bool, usize) {
    let spaces = text.iter().take_while(|byte| is_space(**byte)).count();
    match text.get(spaces) {
        Some(b'-') => (true, spaces + 1),
        Some(b'+') => (false, spaces + 1),
        _ => (false, spaces),
    }
}

fn special(text: &[u8]) -> Option<(f64, bool, usize)> {
    let begins = |word: &[u8]| {
        let start = text.get(..word.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(word))
    };
    if begins(b"infinity") {
        return Some((f64::INFINITY, false, 8));
    }
    if begins(b"inf") {
        return Some((f64::INFINITY, false, 3));
    }
    if !begins(b"nan") {
        return None;
    }
    let is_payload = |byte: &&u8| byte.is_ascii_alphanumeric() || **byte == b'_';
    let payload = text.get(4..).unwrap_or_default();
    let payload_len = payload.iter().take_while(is_payload).count();
    let in_brackets = text.get(3) == Some(&b'(') && payload.get(payload_len) == Some(&b')');
    Some((
        f64::NAN,
        false,
        if in_brackets { payload_len + 5 } else { 3 },
    ))
}

/// Returns how many digits stand before and after a point, and the length of it all.
fn mantissa(text: &[u8], is_digit: impl Fn(&u8) -> bool) -> (usize, usize, usize) {
    let before = text.iter().take_while(|byte| is_digit(byte)).count();
    if text.get(before) != Some(&b'.') {
        return (before, 0, before);
    }
    let after = text[before + 1..]
        .iter()
        .take_while(|byte| is_digit(byte))
        .count();
    (before, after, before + 1 + after)
}

/// Returns an exponent and its length, nothing unless there are digits.
fn exponent(text: &[u8], mark: u8) -> (i32, usize) {
    if !text
        .first()
        .is_some_and(|byte| byte.eq_ignore_ascii_case(&mark))
    {
        return (0, 0);
    }
    let (is_negative, digits_at) = match text.get(1) {
        Some(b'-') => (true, 2),
        Some(b'+') => (false, 2),
        _ => (false, 1),
    };
    let digits = text[digits_at..]
        .iter()
        .take_while(|byte| byte.is_ascii_digit());
    let (value, count) = digits.fold((0_i32, 0), |(value, count), byte| {
        let digit = i32::from(byte - b'0');
        (value.saturating_mul(10).saturating_add(digit), count + 1)
    });
    match count {
        0 => (0, 0),
        count => (if is_negative { -value } else { value }, digits_at + count),
    }
}

fn decimal(text: &[u8]) -> (f64, bool, usize) {
    let (before, after, mantissa_len) = mantissa(text, u8::is_ascii_digit);
    if before + after == 0 {
        return (0.0, false, 0);
    }
    let (_, exponent_len) = exponent(&text[mantissa_len..], b'e');
    let len = mantissa_len + exponent_len;
    // Digits, a point and an exponent are what the core library takes, to the nearest number.
    let parsed = core::str::from_utf8(&text[..len]).map(str::parse::<f64>);
    let value = parsed.map_or(0.0, |parsed| parsed.unwrap_or(0.0));
    let is_zero = text[..mantissa_len]
        .iter()
        .all(|byte| matches!(byte, b'0' | b'.'));
    (value, is_beyond(value, is_zero), len)
}

/// Returns whether a number that came out as `value` has left the range of normal numbers.
fn is_beyond(value: f64, is_zero: bool) -> bool {
    value.is_infinite() || (!is_zero && value < f64::MIN_POSITIVE)
}

fn hexadecimal(text: &[u8]) -> Option<(f64, bool, usize)> {
    let digits = text
        .strip_prefix(b"0x")
        .or_else(|| text.strip_prefix(b"0X"))?;
    let (before, after, mantissa_len) = mantissa(digits, u8::is_ascii_hexdigit);
    if before + after == 0 {
        return None;
    }
    let (power, exponent_len) = exponent(&digits[mantissa_len..], b'p');
    // Sixty bits of digits, and whether anything is set below them; every digit beyond is a power.
    let (mut bits, mut dropped) = (0_u64, 0_i32);
    let mut rest_is_set = false;
    for byte in digits[..mantissa_len].iter().filter(|byte| **byte != b'.') {
        let digit = u64::from(char::from(*byte).to_digit(16).unwrap_or(0));
        if bits >> 56 == 0 {
            bits = bits << 4 | digit;
        } else {
            dropped = dropped.saturating_add(4);
            rest_is_set |= digit != 0;
        }
    }
    let fraction = i32::try_from(after).unwrap_or(i32::MAX).saturating_mul(4);
    let power = power.saturating_add(dropped).saturating_sub(fraction);
    let value = scaled(bits << 1 | u64::from(rest_is_set), power.saturating_sub(1));
    Some((
        value,
        is_beyond(value, bits == 0),
        2 + mantissa_len + exponent_len,
    ))
}

/// Returns `bits` times two to `power`, to the nearest number, ties to even.
pub(in crate::libc) fn scaled(bits: u64, power: i32) -> f64 {
    if bits == 0 {
        return 0.0;
    }
    let width = 64 - bits.leading_zeros().cast_signed();
    // The exponent of the lowest bit that is kept: 53 bits, fewer for subnormal numbers.
    let top = power.saturating_add(width);
    if top > 1024 {
        return f64::INFINITY;
    }
    let lowest = (top - 53).max(-1074);
    let shift = lowest - power;
    let kept = match u32::try_from(shift) {
        Ok(0) | Err(_) => bits << shift.min(0).unsigned_abs(),
        Ok(shift @ 1..64) => {
            let (kept, lost) = (bits >> shift, bits << (64 - shift));
            let half = 1 << 63;
            kept + u64::from(lost > half || (lost == half && kept & 1 == 1))
        }
        Ok(64) => u64::from(bits > 1 << 63),
        Ok(_) => 0,
    };
    // The significand's hidden bit adds one to the biased exponent, so a carry does the right thing.
    let biased = u64::try_from(lowest + 1074).unwrap_or(0);
    let value = if kept >> 52 == 0 {
        kept
    } else {
        (biased << 52) + kept
    };
    f64::from_bits(value.min(f64::INFINITY.to_bits()))
}
