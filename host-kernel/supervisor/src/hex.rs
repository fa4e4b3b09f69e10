//! Hexadecimal digits: digests, seeds and build-ids as people type and read them.

use alloc::string::String;
use core::fmt::Write as _;

/// Returns the `N` bytes that `digits` spells, two digits a byte, or `None`.
#[must_use]
pub fn decode<const N: usize>(digits: &str) -> Option<[u8; N]> {
    if digits.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

/// Returns `bytes` as lower-case digits.
#[must_use]
pub fn encode(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

fn digit(character: u8) -> Option<u8> {
    char::from(character)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_and_bytes_correspond() {
        assert_eq!(decode::<3>("00fFa5"), Some([0, 255, 165]));
        assert_eq!(encode(&[0, 255, 165]), "00ffa5");
    }

    #[test]
    fn wrong_lengths_and_other_characters_are_refused() {
        for digits in ["", "0", "000", "00000", "zz00", "+100", "é0"] {
            assert_eq!(decode::<2>(digits), None, "{digits}");
        }
    }
}
