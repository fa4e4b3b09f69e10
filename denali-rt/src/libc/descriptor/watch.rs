//! Waiting for one of many to change: a waker is registered with each of them.

use crate::interrupt;
use crate::sync::{GuestCell, WaitQueue};
use crate::time::Instant;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::task::Wake;
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::task::Waker;

/// Keeps a waker registered until it is dropped.
pub(in crate::libc) struct Watch {
    _registration: Box<dyn Send>,
}

impl Watch {
    pub(super) fn new(registration: impl Send + 'static) -> Self {
        Self {
            _registration: Box::new(registration),
        }
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}

/// Rings when a watched object changes, and wakes the thread that waits for it.
#[derive(Debug, Default)]
pub(in crate::libc) struct Alarm {
    rang: AtomicBool,
    waiting: WaitQueue,
}

impl Alarm {
    pub(in crate::libc) fn new() -> Arc<Self> {
        Arc::default()
    }

    pub(in crate::libc) fn waker(self: &Arc<Self>) -> Waker {
        Waker::from(Arc::clone(self))
    }

    /// Waits until it has rung since the last wait, or until `deadline`. Returns whether the time
    /// was up first.
    pub(in crate::libc) fn wait(&self, deadline: Option<Instant>) -> bool {
        let _masked = interrupt::mask();
        while !self.rang.swap(false, Ordering::Relaxed) {
            if self.waiting.wait_until_maybe(deadline) {
                return true;
            }
        }
        false
    }
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rang.store(true, Ordering::Relaxed);
        self.waiting.wake_all();
    }
}

/// Tells who watches an object that it has changed.
#[derive(Clone, Debug, Default)]
pub(super) struct Changes {
    watchers: Arc<GuestCell<Vec<(u64, Waker)>>>,
}

impl Changes {
    pub(super) fn watch(&self, waker: &Waker) -> Watch {
        static NEXT_TICKET: AtomicU64 = AtomicU64::new(0);
        let ticket = NEXT_TICKET.fetch_add(1, Ordering::Relaxed);
        self.watchers
            .with(|watchers| watchers.push((ticket, waker.clone())));
        Watch::new(Registration {
            changes: self.clone(),
            ticket,
        })
    }

    pub(super) fn tell(&self) {
        let len = self.watchers.with(|watchers| watchers.len());
        // From the end on, since the last one takes the place of one that leaves; and each is called
        // outside, since a watcher may tell others.
        for place in (0..len).rev() {
            let waker = self
                .watchers
                .with(|watchers| watchers.get(place).map(|(_, waker)| waker.clone()));
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }
}

struct Registration {
    changes: Changes,
    ticket: u64,
}

impl Drop for Registration {
    fn drop(&mut self) {
        // The waker is dropped outside, where it may do as it likes.
        let _waker = self.changes.watchers.with(|watchers| {
            let place = watchers
                .iter()
                .position(|(ticket, _)| *ticket == self.ticket);
            place.map(|place| watchers.swap_remove(place))
        });
    }
}
