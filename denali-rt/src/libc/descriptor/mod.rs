//! Descriptors: small numbers for what can be read, written and waited for.
//!
//! | file         | what                                              |
//! |--------------|---------------------------------------------------|
//! | `table.rs`   | which number means what                           |
//! | `watch.rs`   | waiting for one of many to change                 |
//! | `console.rs` | standard input, output and error                  |
//! | `pipe.rs`    | pipes                                             |
//! | `event.rs`   | counters (`eventfd`)                              |
//! | `timer.rs`   | timers (`timerfd`)                                |
//! | `epoll.rs`   | sets of descriptors to wait for                   |
//! | `file.rs`    | files and directories                             |
//! | `lock.rs`    | locks of open files                               |
//! | `pair.rs`    | pairs of connected sockets                        |
//! | `socket/`    | sockets                                           |
//!
//! What a descriptor means is behind a trait, so that a program that only prints carries no sockets.

mod console;
pub(super) mod epoll;
pub(super) mod event;
pub(super) mod file;
pub(super) mod lock;
pub(super) mod pair;
pub(super) mod pipe;
pub(super) mod socket;
mod table;
pub(super) mod timer;
pub(super) mod watch;

pub(super) use table::{DESCRIPTORS_MAX, close, duplicate, duplicate_to, get, insert};

use super::errno::{EAGAIN, EINVAL, ENOMEM, ENOTTY, Errno};
use crate::heap;
use crate::net::Readiness;
use crate::time::Instant;
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::ffi::c_int;
use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::Waker;
use socket::Socket;
use watch::{Alarm, Watch};

/// What a descriptor can mean. Nothing here waits: what cannot be done now fails with `EAGAIN`.
pub(super) trait Object: Send + Sync {
    /// Reads what is there; 0 bytes at the end.
    fn try_read(&self, _buffer: &mut [u8]) -> Result<usize, Errno> {
        Err(Errno(EINVAL))
    }

    /// Writes as much as there is room for.
    fn try_write(&self, _bytes: &[u8]) -> Result<usize, Errno> {
        Err(Errno(EINVAL))
    }

    /// Returns what can be done now.
    fn readiness(&self) -> Readiness;

    /// Has a waker called whenever the readiness may have changed, until the watch is dropped;
    /// nothing if it never changes.
    fn watch(&self, waker: &Waker) -> Option<Watch>;

    /// Returns how many bytes can be read now.
    fn available(&self) -> Result<usize, Errno> {
        Err(Errno(ENOTTY))
    }

    /// Returns when a read that begins now has to end.
    fn read_deadline(&self) -> Option<Instant> {
        None
    }

    /// Returns when a write that begins now has to end.
    fn write_deadline(&self) -> Option<Instant> {
        None
    }

    /// Returns it as a socket, if it is one.
    fn as_socket(&self) -> Option<&Socket> {
        None
    }

    /// Returns it as a file, if it is one.
    fn as_file(&self) -> Option<&file::File> {
        None
    }

    /// Returns whether it is one of a pair of sockets.
    fn is_pair(&self) -> bool {
        false
    }

    /// Returns it as a set of descriptors, if it is one.
    fn as_epoll(&self) -> Option<&epoll::Epoll> {
        None
    }

    /// Returns it as a timer, if it is one.
    fn as_timer(&self) -> Option<&timer::Timer> {
        None
    }

    /// Returns the type for `fstat`.
    fn kind(&self) -> Kind;
}

/// What kind of file a descriptor would be elsewhere: `S_IFMT` bits of `st_mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The console.
    CharacterDevice,
    Pipe,
    Socket,
    Regular,
    Directory,
    /// Counters, timers and sets, which have no type on Linux either.
    Anonymous,
}

/// What descriptors share after `dup`: an object, and whether calls on it wait.
pub(super) struct Description {
    object: Box<dyn Object>,
    nonblocking: AtomicBool,
}

impl Description {
    pub(super) fn new(object: impl Object + 'static, nonblocking: bool) -> Self {
        Self {
            object: Box::new(object),
            nonblocking: AtomicBool::new(nonblocking),
        }
    }

    pub(super) fn object(&self) -> &dyn Object {
        &*self.object
    }

    pub(super) fn is_nonblocking(&self) -> bool {
        self.nonblocking.load(Ordering::Relaxed)
    }

    pub(super) fn set_nonblocking(&self, nonblocking: bool) {
        self.nonblocking.store(nonblocking, Ordering::Relaxed);
    }

    /// Repeats `attempt` until it no longer fails with `EAGAIN`, waiting for changes in between,
    /// unless the description says not to or `deadline` has come.
    pub(super) fn block<R>(
        &self,
        deadline: Option<Instant>,
        mut attempt: impl FnMut() -> Result<R, Errno>,
    ) -> Result<R, Errno> {
        let first = attempt();
        if self.is_nonblocking() || !would_block(&first) {
            return first;
        }
        let alarm = Alarm::new();
        let _watch = self.object.watch(&alarm.waker());
        loop {
            // Once more now that changes ring the alarm.
            let result = attempt();
            if !would_block(&result) || alarm.wait(deadline) {
                return result;
            }
        }
    }
}

impl fmt::Debug for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Description").finish_non_exhaustive()
    }
}

fn would_block<R>(result: &Result<R, Errno>) -> bool {
    matches!(result, Err(Errno(EAGAIN)))
}

/// Reads from a descriptor, waiting for something to read; 0 bytes at the end.
pub(super) fn read(descriptor: c_int, buffer: &mut [u8]) -> Result<usize, Errno> {
    let description = get(descriptor)?;
    let object = description.object();
    description.block(object.read_deadline(), || object.try_read(buffer))
}

/// Writes to a descriptor, waiting for room for something.
pub(super) fn write(descriptor: c_int, bytes: &[u8]) -> Result<usize, Errno> {
    let description = get(descriptor)?;
    let object = description.object();
    description.block(object.write_deadline(), || object.try_write(bytes))
}

/// Makes an object and gives it the lowest free number.
pub(super) fn open<O: Object + 'static>(
    make: impl FnOnce() -> O,
    nonblocking: bool,
) -> Result<c_int, Errno> {
    make_room()?;
    insert(Arc::new(Description::new(make(), nonblocking)), 0)
}

/// Returns an error unless there is memory for an object and what belongs to it.
pub(super) fn make_room() -> Result<(), Errno> {
    if heap::has_room() {
        Ok(())
    } else {
        Err(Errno(ENOMEM))
    }
}

#[cfg(test)]
mod tests;
