//! What has arrived on a connection and was not used yet.

use crate::connection::{IDLE_TIMEOUT, Peer, REQUEST_TIMEOUT};
use alloc::vec::Vec;
use core::ops::Range;
use core::time::Duration;
use denali_rt::io::{self, ErrorKind};
use denali_rt::time::Instant;

const READ_LEN: usize = 1024;

/// Bytes of a long body that are read at a time.
const BODY_READ_LEN: usize = 8 * 1024;

/// Longest buffer that a connection keeps while it waits for a request.
const IDLE_LEN_MAX: usize = READ_LEN;

/// Bytes of a connection, in the order they came.
#[derive(Debug, Default)]
pub struct Input {
    buffer: Vec<u8>,
    /// Where in the buffer those lie that are there.
    filled: Range<usize>,
    /// By when the request that has begun has to be complete.
    deadline: Option<Instant>,
}

impl Input {
    /// Returns what is there.
    pub fn bytes(&self) -> &[u8] {
        &self.buffer[self.filled.clone()]
    }

    /// Forgets the first bytes.
    pub fn consume(&mut self, len: usize) {
        self.filled.start += len.min(self.filled.len());
    }

    /// Returns whether a request has begun to arrive.
    pub fn has_begun(&self) -> bool {
        self.deadline.is_some()
    }

    /// Starts to wait for the next request.
    pub fn begin(&mut self) {
        self.deadline = (!self.filled.is_empty()).then(|| Instant::now() + REQUEST_TIMEOUT);
        if self.filled.is_empty() {
            self.filled = 0..0;
            if self.buffer.len() > IDLE_LEN_MAX {
                self.buffer = Vec::new();
            }
        }
    }

    /// Waits for more. Returns how many bytes came, 0 at the end.
    ///
    /// # Errors
    ///
    /// What reading from `peer` returns, and [`ErrorKind::TimedOut`] if the request takes too long.
    pub fn fill(&mut self, peer: &mut impl Peer) -> io::Result<usize> {
        let now = Instant::now();
        let patience = match self.deadline {
            None => IDLE_TIMEOUT,
            Some(deadline) => deadline.duration_since(now),
        };
        if patience == Duration::ZERO {
            return Err(ErrorKind::TimedOut.into());
        }
        peer.wait_at_most(patience);
        self.make_room();
        let read = peer.read(&mut self.buffer[self.filled.end..])?;
        self.filled.end += read;
        if self.deadline.is_none() && read > 0 {
            self.deadline = Some(now + REQUEST_TIMEOUT);
            peer.set_idle(false);
        }
        Ok(read)
    }

    /// Makes room for a read behind what is there.
    fn make_room(&mut self) {
        if self.filled.start > 0 {
            self.buffer.copy_within(self.filled.clone(), 0);
            self.filled = 0..self.filled.len();
        }
        if self.filled.end == self.buffer.len() {
            self.buffer.resize(self.filled.end + READ_LEN, 0);
        }
    }

    /// Drops the next `len` bytes, waiting for those that have not come yet.
    ///
    /// # Errors
    ///
    /// As [`fill`](Self::fill); [`ErrorKind::UnexpectedEof`] if they never come.
    pub fn skip(&mut self, mut len: u64, peer: &mut impl Peer) -> io::Result<()> {
        while len > 0 {
            if self.filled.is_empty() {
                let room = BODY_READ_LEN.min(usize::try_from(len).unwrap_or(usize::MAX));
                if self.buffer.len() < room {
                    self.buffer.resize(room, 0);
                }
                if self.fill(peer)? == 0 {
                    return Err(ErrorKind::UnexpectedEof.into());
                }
            }
            let now = self.filled.len().min(usize::try_from(len).unwrap_or(usize::MAX));
            self.consume(now);
            len -= now as u64;
        }
        Ok(())
    }
}
