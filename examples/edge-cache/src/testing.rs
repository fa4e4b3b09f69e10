//! Streams and randomness for tests.

use alloc::vec::Vec;
use denali_rt::io::{self, ErrorType, Read};

/// Randomness that is the same for the same seed (xorshift64*, Vigna 2016).
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d).to_be_bytes()[0]
    }

    /// Returns a number below `end`, which is at most 65,536.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        let number = usize::from(self.byte()) << 8 | usize::from(self.byte());
        number % end.max(1)
    }
}

/// Bytes that come in pieces of any length.
#[derive(Debug)]
pub(crate) struct Pieces {
    bytes: Vec<u8>,
    read: usize,
    random: Random,
}

impl Pieces {
    pub(crate) fn new(bytes: &[u8], random: Random) -> Self {
        Self {
            bytes: bytes.into(),
            read: 0,
            random,
        }
    }
}

impl ErrorType for Pieces {
    type Error = io::Error;
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = &self.bytes[self.read..];
        let most = left.len().min(buffer.len());
        let len = most.min(1 + self.random.below(400));
        buffer[..len].copy_from_slice(&left[..len]);
        self.read += len;
        Ok(len)
    }
}
