//! What a peer has sent and nobody has dealt with yet.

use alloc::vec::Vec;
use denali_rt::io::{self, Read};

/// Bytes read at once.
const READ_LEN: usize = 4 * 1024;

/// The bytes.
#[derive(Debug, Default)]
pub(crate) struct Input {
    bytes: Vec<u8>,
    start: usize,
}

impl Input {
    /// Returns everything.
    pub(crate) fn unread(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    /// Drops `len` bytes that have been dealt with. An empty input keeps no memory.
    pub(crate) fn consume(&mut self, len: usize) {
        self.start += len;
        if self.start >= self.bytes.len() {
            *self = Self::default();
        }
    }

    /// Waits for more. Returns how many bytes came, 0 if the peer sends no more.
    pub(crate) fn fill<S: Read<Error = io::Error>>(&mut self, stream: &mut S) -> io::Result<usize> {
        self.bytes.drain(..self.start);
        self.start = 0;
        let len = self.bytes.len();
        self.bytes.resize(len + READ_LEN, 0);
        let read = stream.read(&mut self.bytes[len..]);
        self.bytes
            .truncate(len + read.as_ref().copied().unwrap_or(0));
        if self.bytes.is_empty() {
            *self = Self::default();
        }
        read
    }
}
