//! Answers on their way out, gathered so that those to a pipelined batch leave together.

use crate::store::write_decimal;
use denali_rt::io::{self, Write};

/// Bytes that are gathered.
const OUTPUT_LEN: usize = 2048;

/// The bytes, on the stack of the connection's thread.
#[derive(Debug)]
pub struct Output {
    bytes: [u8; OUTPUT_LEN],
    len: usize,
}

impl Output {
    /// Makes an empty one.
    pub fn new() -> Self {
        Self {
            bytes: [0; OUTPUT_LEN],
            len: 0,
        }
    }

    /// Returns how much can be pushed.
    pub fn room(&self) -> usize {
        OUTPUT_LEN - self.len
    }

    /// Adds bytes for which there is room.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes[self.len..][..bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    /// Adds a number, for which there is room.
    pub fn push_number(&mut self, number: impl Into<u64>) {
        self.len += write_decimal(number.into(), &mut self.bytes[self.len..]);
    }

    /// Writes everything. Returns how much that was.
    ///
    /// # Errors
    ///
    /// What writing returns.
    pub fn write_to<S: Write<Error = io::Error>>(&mut self, stream: &mut S) -> io::Result<usize> {
        stream.write_all(&self.bytes[..self.len])?;
        Ok(core::mem::take(&mut self.len))
    }
}
