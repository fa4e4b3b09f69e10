//! Locks of open files (`flock`): between descriptions of a file, which a program may have several of.

use crate::interrupt;
use crate::libc::errno::{EAGAIN, Errno};
use crate::sync::{GuestCell, WaitQueue};
use alloc::collections::BTreeMap;

/// How a file is locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::libc) enum Mode {
    /// With others who only read.
    Shared,
    /// Alone.
    Exclusive,
}

/// What of files is locked, by their devices and numbers: how many share it, or one has it alone.
static LOCKED: GuestCell<BTreeMap<(u64, u64), Holders>> = GuestCell::new(BTreeMap::new());

/// Those who wait for any lock.
static RELEASED: WaitQueue = WaitQueue::new();

#[derive(Clone, Copy, Debug)]
enum Holders {
    Sharing(usize),
    Alone,
}

/// The lock that a description has, or has not.
#[derive(Debug, Default)]
pub(super) struct Lock(GuestCell<Option<Mode>>);

impl Lock {
    /// Takes a lock instead of what the description had, and waits for it if so told; `EAGAIN` otherwise.
    pub(super) fn take(&self, file: (u64, u64), mode: Mode, waits: bool) -> Result<(), Errno> {
        self.release(file);
        let _masked = interrupt::mask();
        while !admit(file, mode) {
            if !waits {
                return Err(Errno(EAGAIN));
            }
            RELEASED.wait();
        }
        self.0.with(|held| *held = Some(mode));
        Ok(())
    }

    /// Gives the lock back, if there is one.
    pub(super) fn release(&self, file: (u64, u64)) {
        if self.0.with(Option::take).is_none() {
            return;
        }
        LOCKED.with(|locked| match locked.get_mut(&file) {
            Some(Holders::Sharing(count)) if *count > 1 => *count -= 1,
            _ => drop(locked.remove(&file)),
        });
        RELEASED.wake_all();
    }
}

/// Notes that a file is locked, if it can be.
fn admit(file: (u64, u64), mode: Mode) -> bool {
    LOCKED.with(|locked| match (locked.get_mut(&file), mode) {
        (None, Mode::Shared) => locked.insert(file, Holders::Sharing(1)).is_none(),
        (None, Mode::Exclusive) => locked.insert(file, Holders::Alone).is_none(),
        (Some(Holders::Sharing(count)), Mode::Shared) => {
            *count += 1;
            true
        }
        (Some(_), _) => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::thread;
    use crate::time::Duration;

    /// One after the other: who waits in one test is not woken by another.
    #[test]
    fn locks_are_shared_or_waited_for() {
        many_read_or_one_writes();
        who_waits_is_let_in();
    }

    fn many_read_or_one_writes() {
        let file = (9, 1);
        let [first, second, third] = [const { Lock(GuestCell::new(None)) }; 3];
        let busy = Err(Errno(EAGAIN));
        assert_eq!(first.take(file, Mode::Shared, false), Ok(()));
        assert_eq!(second.take(file, Mode::Shared, false), Ok(()));
        assert_eq!(third.take(file, Mode::Exclusive, false), busy);
        first.release(file);
        assert_eq!(third.take(file, Mode::Exclusive, false), busy);
        assert_eq!(second.take(file, Mode::Exclusive, false), Ok(()));
        assert_eq!(third.take(file, Mode::Shared, false), busy);
        assert_eq!(third.take((9, 2), Mode::Shared, false), Ok(()));
        second.release(file);
        third.release((9, 2));
        assert_eq!(first.take(file, Mode::Exclusive, false), Ok(()));
        first.release(file);
    }

    fn who_waits_is_let_in() {
        let file = (9, 3);
        let first = Lock::default();
        assert_eq!(first.take(file, Mode::Exclusive, true), Ok(()));
        let second = thread::spawn(move || {
            let lock = Lock::default();
            let taken = lock.take(file, Mode::Exclusive, true);
            lock.release(file);
            taken
        });
        thread::sleep(Duration::from_millis(2));
        first.release(file);
        assert_eq!(second.join(), Ok(()));
    }
}
