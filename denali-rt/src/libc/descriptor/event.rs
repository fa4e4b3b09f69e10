//! Counters that threads wait for: `eventfd`.

use super::watch::{Changes, Watch};
use super::{Kind, Object};
use crate::libc::errno::{EAGAIN, EINVAL, Errno};
use crate::net::Readiness;
use crate::sync::GuestCell;
use core::task::Waker;

/// How a read takes from the counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::libc) enum Taking {
    /// All of it.
    All,
    /// One (`EFD_SEMAPHORE`).
    One,
}

/// A counter.
pub(in crate::libc) struct Event {
    count: GuestCell<u64>,
    taking: Taking,
    changes: Changes,
}

impl Event {
    pub(in crate::libc) fn new(count: u64, taking: Taking) -> Self {
        Self {
            count: GuestCell::new(count),
            taking,
            changes: Changes::default(),
        }
    }
}

impl Object for Event {
    fn try_read(&self, buffer: &mut [u8]) -> Result<usize, Errno> {
        let place = buffer.first_chunk_mut::<8>().ok_or(Errno(EINVAL))?;
        let taken = self.count.with(|count| match (*count, self.taking) {
            (0, _) => None,
            (_, Taking::All) => Some(core::mem::take(count)),
            (_, Taking::One) => {
                *count -= 1;
                Some(1)
            }
        });
        *place = taken.ok_or(Errno(EAGAIN))?.to_le_bytes();
        self.changes.tell();
        Ok(8)
    }

    fn try_write(&self, bytes: &[u8]) -> Result<usize, Errno> {
        let more = u64::from_le_bytes(*bytes.first_chunk().ok_or(Errno(EINVAL))?);
        if more == u64::MAX {
            return Err(Errno(EINVAL));
        }
        self.count.with(|count| {
            let sum = count.checked_add(more).filter(|sum| *sum < u64::MAX);
            *count = sum.ok_or(Errno(EAGAIN))?;
            Ok::<(), Errno>(())
        })?;
        self.changes.tell();
        Ok(8)
    }

    fn readiness(&self) -> Readiness {
        self.count.with(|count| Readiness {
            readable: *count > 0,
            writable: *count < u64::MAX - 1,
            ..Readiness::default()
        })
    }

    fn watch(&self, waker: &Waker) -> Option<Watch> {
        Some(self.changes.watch(waker))
    }

    fn kind(&self) -> Kind {
        Kind::Anonymous
    }
}
