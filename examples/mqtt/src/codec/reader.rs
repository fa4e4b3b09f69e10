//! Numbers and strings out of bytes that may say anything.

use super::Malformed;

/// The part of a packet that has not been read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// Returns everything that is left.
    pub(super) fn rest(self) -> &'a [u8] {
        self.0
    }

    pub(super) fn bytes(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let (bytes, rest) = self.0.split_at_checked(len).ok_or(Malformed::Length)?;
        self.0 = rest;
        Ok(bytes)
    }

    pub(super) fn byte(&mut self) -> Result<u8, Malformed> {
        self.bytes(1).map(|bytes| bytes[0])
    }

    pub(super) fn number(&mut self) -> Result<u16, Malformed> {
        self.bytes(2)
            .map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    /// Reads a packet identifier (§2.3.1).
    pub(super) fn identifier(&mut self) -> Result<u16, Malformed> {
        match self.number()? {
            0 => Err(Malformed::Identifier),
            identifier => Ok(identifier),
        }
    }

    /// Reads bytes behind their length.
    pub(super) fn data(&mut self) -> Result<&'a [u8], Malformed> {
        let len = self.number()?;
        self.bytes(usize::from(len))
    }

    /// Reads a string (§1.5.3).
    pub(super) fn text(&mut self) -> Result<&'a str, Malformed> {
        let text = core::str::from_utf8(self.data()?).map_err(|_| Malformed::Text)?;
        if text.contains('\0') {
            return Err(Malformed::Text);
        }
        Ok(text)
    }

    /// Makes sure that nothing is left.
    pub(super) fn end(self) -> Result<(), Malformed> {
        match self.is_empty() {
            true => Ok(()),
            false => Err(Malformed::Length),
        }
    }
}
