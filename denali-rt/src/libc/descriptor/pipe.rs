//! Pipes.

use super::watch::{Changes, Watch};
use super::{Kind, Object};
use crate::libc::errno::{EAGAIN, EPIPE, Errno};
use crate::net::Readiness;
use crate::sync::GuestCell;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::task::Waker;

/// Bytes a pipe holds.
const CAPACITY: usize = 64 * 1024;

/// Bytes that are never written in part (`PIPE_BUF`).
const WHOLE_MAX: usize = 4096;

struct Pipe {
    state: GuestCell<State>,
    changes: Changes,
}

struct State {
    bytes: VecDeque<u8>,
    has_reader: bool,
    has_writer: bool,
}

/// The end to read from.
pub(in crate::libc) struct Reader(Arc<Pipe>);

/// The end to write to.
pub(in crate::libc) struct Writer(Arc<Pipe>);

/// Makes a pipe.
pub(in crate::libc) fn pipe() -> (Reader, Writer) {
    let pipe = Arc::new(Pipe {
        state: GuestCell::new(State {
            bytes: VecDeque::new(),
            has_reader: true,
            has_writer: true,
        }),
        changes: Changes::default(),
    });
    (Reader(Arc::clone(&pipe)), Writer(pipe))
}

impl State {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Errno> {
        if self.bytes.is_empty() && self.has_writer && !buffer.is_empty() {
            return Err(Errno(EAGAIN));
        }
        let count = buffer.len().min(self.bytes.len());
        for (to, byte) in buffer.iter_mut().zip(self.bytes.drain(..count)) {
            *to = byte;
        }
        if self.bytes.is_empty() {
            self.bytes = VecDeque::new();
        }
        Ok(count)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<usize, Errno> {
        if !self.has_reader {
            return Err(Errno(EPIPE));
        }
        let room = CAPACITY - self.bytes.len();
        let is_too_large = bytes.len() <= WHOLE_MAX && bytes.len() > room;
        if (room == 0 || is_too_large) && !bytes.is_empty() {
            return Err(Errno(EAGAIN));
        }
        let count = bytes.len().min(room);
        self.bytes.extend(&bytes[..count]);
        Ok(count)
    }
}

impl Object for Reader {
    fn try_read(&self, buffer: &mut [u8]) -> Result<usize, Errno> {
        let count = self.0.state.with(|state| state.read(buffer))?;
        self.0.changes.tell();
        Ok(count)
    }

    fn readiness(&self) -> Readiness {
        self.0.state.with(|state| Readiness {
            readable: !state.bytes.is_empty() || !state.has_writer,
            closed: !state.has_writer,
            ..Readiness::default()
        })
    }

    fn watch(&self, waker: &Waker) -> Option<Watch> {
        Some(self.0.changes.watch(waker))
    }

    fn available(&self) -> Result<usize, Errno> {
        Ok(self.0.state.with(|state| state.bytes.len()))
    }

    fn kind(&self) -> Kind {
        Kind::Pipe
    }
}

impl Object for Writer {
    fn try_write(&self, bytes: &[u8]) -> Result<usize, Errno> {
        let count = self.0.state.with(|state| state.write(bytes))?;
        self.0.changes.tell();
        Ok(count)
    }

    fn readiness(&self) -> Readiness {
        self.0.state.with(|state| Readiness {
            writable: CAPACITY - state.bytes.len() >= WHOLE_MAX || !state.has_reader,
            error: !state.has_reader,
            ..Readiness::default()
        })
    }

    fn watch(&self, waker: &Waker) -> Option<Watch> {
        Some(self.0.changes.watch(waker))
    }

    fn kind(&self) -> Kind {
        Kind::Pipe
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.state.with(|state| state.has_reader = false);
        self.0.changes.tell();
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.0.state.with(|state| state.has_writer = false);
        self.0.changes.tell();
    }
}
