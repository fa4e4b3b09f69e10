//! Which number means what.

use super::Description;
use super::console::Console;
use crate::libc::errno::{EBADF, EINVAL, EMFILE, ENOMEM, Errno};
use crate::sync::GuestCell;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ffi::c_int;

/// Most descriptors of a VM, as `RLIMIT_NOFILE` and `sysconf` say.
pub(in crate::libc) const DESCRIPTORS_MAX: usize = 16_384;

/// The standard descriptors.
const STANDARD: usize = 3;

static TABLE: GuestCell<Table> = GuestCell::new(Table {
    entries: Vec::new(),
});

/// The descriptors; the place is the number.
struct Table {
    entries: Vec<Option<Arc<Description>>>,
}

impl Table {
    /// Opens the standard descriptors at the first call.
    fn prepared(&mut self) -> &mut Self {
        if self.entries.is_empty() {
            let console = Arc::new(Description::new(Console, false));
            self.entries.resize(STANDARD, Some(console));
        }
        self
    }

    fn entry(&mut self, descriptor: c_int) -> Option<&mut Option<Arc<Description>>> {
        let place = usize::try_from(descriptor).ok()?;
        self.entries.get_mut(place).filter(|entry| entry.is_some())
    }

    /// Returns the lowest free place from `from` on, with room made for it.
    fn free_place(&mut self, from: usize) -> Result<usize, Errno> {
        let taken = self.entries.iter().skip(from).position(Option::is_none);
        let place = taken.map_or(self.entries.len().max(from), |free| from + free);
        self.make_room(place)?;
        Ok(place)
    }

    fn make_room(&mut self, place: usize) -> Result<(), Errno> {
        if place >= DESCRIPTORS_MAX {
            return Err(Errno(EMFILE));
        }
        let missing = (place + 1).saturating_sub(self.entries.len());
        self.entries
            .try_reserve(missing)
            .map_err(|_| Errno(ENOMEM))?;
        self.entries
            .resize_with(self.entries.len() + missing, || None);
        Ok(())
    }
}

fn with<R>(f: impl FnOnce(&mut Table) -> R) -> R {
    TABLE.with(|table| f(table.prepared()))
}

fn number(place: usize) -> c_int {
    c_int::try_from(place).expect("there are fewer descriptors than integers")
}

/// Returns what a descriptor means.
pub(in crate::libc) fn get(descriptor: c_int) -> Result<Arc<Description>, Errno> {
    with(|table| table.entry(descriptor).and_then(|entry| entry.clone())).ok_or(Errno(EBADF))
}

/// Gives a description the lowest free number from `from` on.
pub(in crate::libc) fn insert(description: Arc<Description>, from: c_int) -> Result<c_int, Errno> {
    let from = usize::try_from(from).map_err(|_| Errno(EINVAL))?;
    with(|table| {
        let place = table.free_place(from)?;
        table.entries[place] = Some(description);
        Ok(number(place))
    })
}

/// Gives what a descriptor means the lowest free number from `from` on, too.
pub(in crate::libc) fn duplicate(descriptor: c_int, from: c_int) -> Result<c_int, Errno> {
    insert(get(descriptor)?, from)
}

/// Gives what a descriptor means the number `to`, closing what had it.
pub(in crate::libc) fn duplicate_to(descriptor: c_int, to: c_int) -> Result<c_int, Errno> {
    let description = get(descriptor)?;
    let place = usize::try_from(to).map_err(|_| Errno(EBADF))?;
    // Dropped outside: closing may do what it likes.
    let _closed = with(|table| {
        table.make_room(place).map_err(|_| Errno(EBADF))?;
        Ok::<_, Errno>(table.entries[place].replace(description))
    })?;
    Ok(to)
}

/// Frees a number; what it meant ends with its last number.
pub(in crate::libc) fn close(descriptor: c_int) -> Result<(), Errno> {
    // Dropped outside, as above.
    let closed = with(|table| table.entry(descriptor).and_then(Option::take));
    closed.map(drop).ok_or(Errno(EBADF))
}
