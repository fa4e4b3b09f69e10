//! A stream: bytes gather in its buffer and go to its descriptor.

use crate::libc::descriptor;
use crate::libc::errno;
use crate::sync::Mutex;
use alloc::vec::Vec;
use core::ffi::c_int;

/// Bytes a stream gathers at most.
const BUFFER_MAX: usize = 1024;

/// C's `FILE`.
#[derive(Debug)]
pub struct File {
    descriptor: c_int,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    buffering: Buffering,
    /// What waits to be written.
    waiting: Vec<u8>,
    /// The character that was put back.
    next: Option<u8>,
    is_at_end: bool,
    has_failed: bool,
}

/// When a stream is written out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Buffering {
    Full,
    Line,
    None,
}

impl File {
    pub(super) const fn new(descriptor: c_int, buffering: Buffering) -> Self {
        Self {
            descriptor,
            state: Mutex::new(State {
                buffering,
                waiting: Vec::new(),
                next: None,
                is_at_end: false,
                has_failed: false,
            }),
        }
    }

    pub(super) fn descriptor(&self) -> c_int {
        self.descriptor
    }

    /// Writes pieces of text, no other thread's in between. Returns whether all was taken.
    pub(super) fn write_all(&self, pieces: &[&[u8]]) -> bool {
        self.writer(|writer| pieces.iter().for_each(|piece| writer.write(piece)))
    }

    /// Calls `f` with the stream locked. Returns whether all that it wrote was taken.
    pub(super) fn writer(&self, f: impl FnOnce(&mut Writer<'_>)) -> bool {
        let mut state = self.state.lock();
        let mut writer = Writer {
            descriptor: self.descriptor,
            state: &mut state,
            is_done: true,
        };
        f(&mut writer);
        writer.finish()
    }

    pub(super) fn flush(&self) -> bool {
        self.writer(|writer| writer.flush())
    }

    /// Reads up to the buffer's length; less only at the end of the input or after an error.
    pub(super) fn read(&self, buffer: &mut [u8]) -> usize {
        let mut state = self.state.lock();
        let mut count = 0;
        while count < buffer.len() {
            if let Some(byte) = state.next.take() {
                buffer[count] = byte;
                count += 1;
                continue;
            }
            match descriptor::read(self.descriptor, &mut buffer[count..]) {
                Ok(0) => state.is_at_end = true,
                Ok(more) => {
                    count += more;
                    continue;
                }
                Err(error) => {
                    state.has_failed = true;
                    errno::set(error.0);
                }
            }
            break;
        }
        count
    }

    /// Keeps a byte to be read next. Returns whether there was room for it.
    pub(super) fn put_back(&self, byte: u8) -> bool {
        let mut state = self.state.lock();
        state.is_at_end = false;
        state.next.replace(byte).is_none()
    }

    pub(super) fn set_buffering(&self, buffering: Buffering) -> bool {
        let is_done = self.flush();
        self.state.lock().buffering = buffering;
        is_done
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.state.lock().is_at_end
    }

    pub(super) fn has_failed(&self) -> bool {
        self.state.lock().has_failed
    }

    pub(super) fn clear(&self) {
        let mut state = self.state.lock();
        state.is_at_end = false;
        state.has_failed = false;
    }

    /// Frees what the stream holds, before its memory goes.
    pub(super) fn forget(&self) {
        self.state.lock().waiting = Vec::new();
    }
}

/// A stream locked for writing.
pub(super) struct Writer<'a> {
    descriptor: c_int,
    state: &'a mut State,
    is_done: bool,
}

impl Writer<'_> {
    pub(super) fn write(&mut self, bytes: &[u8]) {
        if bytes.len() > BUFFER_MAX || self.state.waiting.try_reserve(bytes.len()).is_err() {
            self.flush();
            self.send(bytes);
            return;
        }
        self.state.waiting.extend_from_slice(bytes);
        if self.state.waiting.len() >= BUFFER_MAX {
            self.flush();
        }
    }

    fn flush(&mut self) {
        let waiting = core::mem::take(&mut self.state.waiting);
        self.send(&waiting);
        // The buffer's memory serves again.
        self.state.waiting = waiting;
        self.state.waiting.clear();
    }

    fn send(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            match descriptor::write(self.descriptor, bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(error) => {
                    errno::set(error.0);
                    self.is_done = false;
                    self.state.has_failed = true;
                    return;
                }
            }
        }
    }

    fn finish(mut self) -> bool {
        let is_due = match self.state.buffering {
            Buffering::None => true,
            Buffering::Line => self.state.waiting.contains(&b'\n'),
            Buffering::Full => false,
        };
        if is_due {
            self.flush();
        }
        self.is_done
    }
}
