//! One conversion specification.

use super::super::arguments::Arguments;
use super::super::memory::Out;
use core::ffi::c_int;

/// What stands between `%` and the end of a conversion specification, and the latter.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "the flags of the language")]
pub(super) struct Spec {
    /// `-`
    pub(super) left: bool,
    /// `+`
    plus: bool,
    /// A space.
    space: bool,
    /// `#`
    pub(super) alternate: bool,
    /// `0`
    pub(super) zero: bool,
    pub(super) width: usize,
    pub(super) precision: Option<usize>,
    pub(super) length: Length,
    pub(super) conversion: u8,
}

/// The type of an argument.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Length {
    #[default]
    None,
    /// `hh`
    Char,
    /// `h`
    Short,
    /// `l`, `ll`, `j`, `z`, `t`: all of eight bytes.
    Long,
    /// `L`
    LongDouble,
}

impl Spec {
    /// Reads the specification behind a `%`, with what it takes from the arguments. Returns it and
    /// its length, or `None` if it does not end.
    pub(super) fn parse(text: &[u8], arguments: &mut dyn Arguments) -> Option<(Self, usize)> {
        let mut spec = Self::default();
        let mut at = 0;
        while let Some(flag) = text.get(at).and_then(|byte| spec.flag(*byte)) {
            *flag = true;
            at += 1;
        }
        if text.get(at) == Some(&b'*') {
            let width = int(arguments);
            spec.left |= width < 0;
            spec.width = usize::try_from(width.unsigned_abs()).ok()?;
            at += 1;
        } else {
            spec.width = number(text, &mut at)?;
        }
        if text.get(at) == Some(&b'.') {
            at += 1;
            spec.precision = if text.get(at) == Some(&b'*') {
                at += 1;
                usize::try_from(int(arguments)).ok()
            } else {
                Some(number(text, &mut at)?)
            };
        }
        (spec.length, at) = length(text, at);
        spec.conversion = *text.get(at)?;
        Some((spec, at + 1))
    }

    fn flag(&mut self, byte: u8) -> Option<&mut bool> {
        match byte {
            b'-' => Some(&mut self.left),
            b'+' => Some(&mut self.plus),
            b' ' => Some(&mut self.space),
            b'#' => Some(&mut self.alternate),
            b'0' => Some(&mut self.zero),
            _ => None,
        }
    }

    /// Returns what shows whether a number is negative.
    pub(super) fn sign(&self, is_negative: bool) -> &'static [u8] {
        match (is_negative, self.plus, self.space) {
            (true, _, _) => b"-",
            (false, true, _) => b"+",
            (false, false, true) => b" ",
            (false, false, false) => b"",
        }
    }

    pub(super) fn radix(&self) -> u8 {
        match self.conversion {
            b'o' => 8,
            b'x' | b'X' => 16,
            _ => 10,
        }
    }

    /// Returns how the pointer of `%p` is written.
    pub(super) fn for_pointer(&self) -> Self {
        Self {
            alternate: true,
            conversion: b'x',
            ..*self
        }
    }

    pub(super) fn without_precision(&self) -> Self {
        Self {
            precision: None,
            ..*self
        }
    }
}

impl Length {
    /// Returns an argument as a number of this type.
    #[expect(clippy::cast_possible_truncation, reason = "C converts so")]
    pub(super) fn signed(self, word: u64) -> i64 {
        match self {
            Self::Char => (word as u8).cast_signed().into(),
            Self::Short => (word as u16).cast_signed().into(),
            Self::None => (word as u32).cast_signed().into(),
            Self::Long | Self::LongDouble => word.cast_signed(),
        }
    }

    /// Returns an argument as a number of this type.
    #[expect(clippy::cast_possible_truncation, reason = "C converts so")]
    pub(super) fn unsigned(self, word: u64) -> u64 {
        match self {
            Self::Char => (word as u8).into(),
            Self::Short => (word as u16).into(),
            Self::None => (word as u32).into(),
            Self::Long | Self::LongDouble => word,
        }
    }

    /// Stores a count of bytes as a number of this type, for `%n`.
    #[expect(clippy::cast_possible_truncation, reason = "C converts so")]
    pub(super) fn store(self, place: Out<u8>, count: usize) {
        match self {
            Self::Char => place.write(count as u8),
            Self::Short => place.cast().write(count as u16),
            Self::None => place.cast().write(count as u32),
            Self::Long | Self::LongDouble => place.cast().write(count as u64),
        }
    }
}

/// Returns the next argument as an `int`.
fn int(arguments: &mut dyn Arguments) -> c_int {
    let word = Length::None.signed(arguments.word());
    c_int::try_from(word).unwrap_or(0)
}

/// Reads a number, 0 if there is none; `None` if it is too large.
fn number(text: &[u8], at: &mut usize) -> Option<usize> {
    let mut value = 0_usize;
    while let Some(digit) = text.get(*at).filter(|byte| byte.is_ascii_digit()) {
        value = value.checked_mul(10)?.checked_add((digit - b'0').into())?;
        *at += 1;
    }
    c_int::try_from(value).is_ok().then_some(value)
}

fn length(text: &[u8], at: usize) -> (Length, usize) {
    match (text.get(at), text.get(at + 1)) {
        (Some(b'h'), Some(b'h')) => (Length::Char, at + 2),
        (Some(b'h'), _) => (Length::Short, at + 1),
        (Some(b'l'), Some(b'l')) => (Length::Long, at + 2),
        (Some(b'l' | b'j' | b'z' | b't' | b'q'), _) => (Length::Long, at + 1),
        (Some(b'L'), _) => (Length::LongDouble, at + 1),
        _ => (Length::None, at),
    }
}
