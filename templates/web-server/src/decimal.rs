//! Numbers in decimal, written without the formatting machinery: a server writes two an answer.

/// Room for the digits of a number.
#[derive(Debug, Default)]
pub struct Buffer([u8; 20]);

impl Buffer {
    /// Writes a number and returns its digits.
    pub fn write(&mut self, mut number: u64) -> &str {
        let mut start = self.0.len();
        loop {
            start -= 1;
            self.0[start] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                break;
            }
        }
        // Digits are ASCII.
        core::str::from_utf8(&self.0[start..]).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString as _;

    #[test]
    fn digits_are_those_of_the_standard_library() {
        for number in [0, 1, 9, 10, 99, 100, 1_234_567_890, u64::MAX - 1, u64::MAX] {
            assert_eq!(Buffer::default().write(number), number.to_string());
        }
    }
}
