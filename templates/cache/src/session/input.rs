//! What a client has sent and nobody has dealt with yet.

use crate::protocol::LINE_MAX;
use denali_rt::io::{self, Read};

/// The bytes, on the stack of the connection's thread.
#[derive(Debug)]
pub struct Input {
    bytes: [u8; LINE_MAX],
    start: usize,
    end: usize,
}

/// The beginning of what a client has sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// A line without its end, and its length with it.
    Whole(&'a [u8], usize),
    /// As much as there is room for, without an end.
    Endless(&'a [u8]),
    /// Not enough to tell.
    Incomplete,
}

impl Input {
    /// Makes an empty one.
    pub fn new() -> Self {
        Self {
            bytes: [0; LINE_MAX],
            start: 0,
            end: 0,
        }
    }

    /// Returns everything.
    pub fn unread(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// Drops `len` bytes that have been dealt with.
    pub fn consume(&mut self, len: usize) {
        self.start += len;
    }

    /// Returns the first line. It may end in a line feed alone.
    pub fn line(&self) -> Line<'_> {
        let unread = self.unread();
        match unread.iter().position(|byte| *byte == b'\n') {
            Some(end) => {
                let line = &unread[..end];
                Line::Whole(line.strip_suffix(b"\r").unwrap_or(line), end + 1)
            }
            None if unread.len() == LINE_MAX => Line::Endless(unread),
            None => Line::Incomplete,
        }
    }

    /// Waits for more. Returns how many bytes there are now that were not there before, 0 if the
    /// client sends no more.
    ///
    /// # Errors
    ///
    /// What reading returns.
    pub fn fill<S: Read<Error = io::Error>>(&mut self, stream: &mut S) -> io::Result<usize> {
        self.bytes.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        let read = stream.read(&mut self.bytes[self.end..])?;
        self.end += read;
        Ok(read)
    }
}
