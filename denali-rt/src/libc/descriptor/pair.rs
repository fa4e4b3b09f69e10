//! Pairs of connected sockets (`socketpair`): two pipes.

use super::pipe::{Reader, Writer, pipe};
use super::watch::Watch;
use super::{Kind, Object};
use crate::libc::errno::Errno;
use crate::net::Readiness;
use core::task::Waker;

/// One of the two ends.
pub(in crate::libc) struct End {
    reader: Reader,
    writer: Writer,
}

/// Makes a pair.
pub(in crate::libc) fn pair() -> (End, End) {
    let (first, second) = (pipe(), pipe());
    let one = End {
        reader: first.0,
        writer: second.1,
    };
    let other = End {
        reader: second.0,
        writer: first.1,
    };
    (one, other)
}

impl Object for End {
    fn try_read(&self, buffer: &mut [u8]) -> Result<usize, Errno> {
        self.reader.try_read(buffer)
    }

    fn try_write(&self, bytes: &[u8]) -> Result<usize, Errno> {
        self.writer.try_write(bytes)
    }

    fn readiness(&self) -> Readiness {
        let (reader, writer) = (self.reader.readiness(), self.writer.readiness());
        Readiness {
            writable: writer.writable,
            ..reader
        }
    }

    fn watch(&self, waker: &Waker) -> Option<Watch> {
        let both = (self.reader.watch(waker), self.writer.watch(waker));
        Some(Watch::new(both))
    }

    fn available(&self) -> Result<usize, Errno> {
        self.reader.available()
    }

    fn is_pair(&self) -> bool {
        true
    }

    fn kind(&self) -> Kind {
        Kind::Socket
    }
}
