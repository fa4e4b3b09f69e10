//! Base64 (RFC 4648 §4), for keys that are not text.

use crate::store::KEY_MAX;

/// Decodes `text`, or returns `None` if it is not base64 of 1 to [`KEY_MAX`] bytes.
pub fn decode(text: &[u8]) -> Option<([u8; KEY_MAX], usize)> {
    if text.is_empty() || !text.len().is_multiple_of(4) {
        return None;
    }
    let padding = text.iter().rev().take_while(|byte| **byte == b'=').count();
    if padding > 2 {
        return None;
    }
    let (mut bytes, mut len) = ([0; KEY_MAX], 0);
    let (mut bits, mut bit_count) = (0_u32, 0);
    for digit in &text[..text.len() - padding] {
        bits = bits << 6 | value(*digit)?;
        bit_count += 6;
        if bit_count >= 8 {
            bit_count -= 8;
            *bytes.get_mut(len)? = (bits >> bit_count & 0xff) as u8;
            len += 1;
        }
    }
    Some((bytes, len))
}

fn value(digit: u8) -> Option<u32> {
    let value = match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    };
    Some(u32::from(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vectors_of_the_rfc_are_decoded() {
        for (text, bytes) in [
            ("Zg==", "f"),
            ("Zm8=", "fo"),
            ("Zm9v", "foo"),
            ("Zm9vYg==", "foob"),
        ] {
            let (decoded, len) = decode(text.as_bytes()).expect(text);
            assert_eq!(&decoded[..len], bytes.as_bytes());
        }
    }

    #[test]
    fn what_is_no_base64_is_refused() {
        for text in ["", "Zg", "Zg=", "!!!!", "Z===", "Zg==Zg=="] {
            assert!(decode(text.as_bytes()).is_none(), "{text}");
        }
        assert!(
            decode(&[b'A'; 336]).is_none(),
            "252 bytes are too long for a key"
        );
    }
}
