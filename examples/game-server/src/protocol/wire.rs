//! Numbers in datagrams that may say anything.

use super::DATAGRAM_MAX;
use alloc::vec::Vec;

/// The part of a datagram that has not been read.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Reads from the start.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Returns the next `len` bytes, if there are as many.
    pub fn bytes(&mut self, len: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(bytes)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.bytes(N)?.try_into().ok()
    }

    /// Returns the next byte.
    pub fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_be_bytes)
    }

    /// Returns the next two bytes as a number.
    pub fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    /// Returns the next four bytes as a number.
    pub fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    /// Returns the next eight bytes as a number.
    pub fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    /// Returns whether all has been read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A datagram being written; it gets no longer than [`DATAGRAM_MAX`].
#[derive(Clone, Debug, Default)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// Begins an empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds bytes; what would make it too long is left away.
    pub fn bytes(&mut self, bytes: &[u8]) {
        let room = DATAGRAM_MAX - self.0.len();
        self.0.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// Adds a byte.
    pub fn u8(&mut self, number: u8) {
        self.bytes(&[number]);
    }

    /// Adds a number of two bytes.
    pub fn u16(&mut self, number: u16) {
        self.bytes(&number.to_be_bytes());
    }

    /// Adds a number of four bytes.
    pub fn u32(&mut self, number: u32) {
        self.bytes(&number.to_be_bytes());
    }

    /// Adds a number of eight bytes.
    pub fn u64(&mut self, number: u64) {
        self.bytes(&number.to_be_bytes());
    }

    /// Changes the byte at `at`, if it has been written.
    pub fn set(&mut self, at: usize, number: u8) {
        if let Some(byte) = self.0.get_mut(at) {
            *byte = number;
        }
    }

    /// Makes it at least `len` bytes long.
    pub fn pad(&mut self, len: usize) {
        self.0.resize(self.0.len().max(len.min(DATAGRAM_MAX)), 0);
    }

    /// Returns its length so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether nothing has been written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the datagram.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.0
    }
}
