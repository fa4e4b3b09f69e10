//! Sets of descriptors to wait for: `epoll`.
//!
//! Each item watches its object all the time; a change puts it into the list of items to look at.
//! So waiting costs what has changed, not what is in the set.

use super::watch::{Alarm, Changes, Watch};
use super::{Description, Kind, Object, make_room};
use crate::libc::errno::{EEXIST, EINVAL, ELOOP, ENOENT, Errno};
use crate::net::Readiness;
use crate::sync::GuestCell;
use crate::time::Instant;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::{Arc, Weak};
use alloc::task::Wake;
use core::ffi::c_int;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use core::task::Waker;

/// Readable.
pub(in crate::libc) const IN: u32 = 0x1;
/// Writable.
pub(in crate::libc) const OUT: u32 = 0x4;
/// An error is there to take; told without being asked for.
pub(in crate::libc) const ERR: u32 = 0x8;
/// Nothing goes either way any more; told without being asked for.
pub(in crate::libc) const HUP: u32 = 0x10;
const RDNORM: u32 = 0x40;
const WRNORM: u32 = 0x100;
/// The peer has sent its last.
pub(in crate::libc) const RDHUP: u32 = 0x2000;
/// Told once, until changed.
const ONESHOT: u32 = 1 << 30;
/// Told at changes alone.
const EDGE: u32 = 1 << 31;

/// A set.
pub(in crate::libc) struct Epoll {
    items: GuestCell<BTreeMap<c_int, Arc<Item>>>,
    queue: Arc<Queue>,
}

/// The items to look at.
struct Queue {
    items: GuestCell<VecDeque<Arc<Item>>>,
    changes: Changes,
}

/// A descriptor in a set.
struct Item {
    description: Weak<Description>,
    queue: Weak<Queue>,
    /// What to tell, and how; 0 after a one-shot was told.
    events: AtomicU32,
    data: AtomicU64,
    is_queued: AtomicBool,
    watch: GuestCell<Option<Watch>>,
}

/// What happened, and to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::libc) struct Happened {
    pub(in crate::libc) events: u32,
    pub(in crate::libc) data: u64,
}

/// Returns readiness as the bits of `poll` and `epoll`.
pub(in crate::libc) fn bits(readiness: Readiness) -> u32 {
    [
        (readiness.readable, IN | RDNORM),
        (readiness.writable, OUT | WRNORM),
        (readiness.read_closed, RDHUP),
        (readiness.closed, HUP),
        (readiness.error, ERR),
    ]
    .into_iter()
    .filter(|(holds, _)| *holds)
    .fold(0, |bits, (_, bit)| bits | bit)
}

impl Epoll {
    pub(in crate::libc) fn new() -> Self {
        Self {
            items: GuestCell::default(),
            queue: Arc::new(Queue {
                items: GuestCell::default(),
                changes: Changes::default(),
            }),
        }
    }

    /// Adds a descriptor.
    pub(in crate::libc) fn add(
        &self,
        descriptor: c_int,
        description: &Arc<Description>,
        wanted: Happened,
    ) -> Result<(), Errno> {
        if description
            .object()
            .as_epoll()
            .is_some_and(|inner| core::ptr::eq(inner, self))
        {
            return Err(Errno(EINVAL));
        }
        // A set within a set may be watched, but not in circles; deeper nesting is not needed.
        if description
            .object()
            .as_epoll()
            .is_some_and(Self::contains_sets)
        {
            return Err(Errno(ELOOP));
        }
        if self
            .item(descriptor)
            .is_some_and(|item| item.is_of(description))
        {
            return Err(Errno(EEXIST));
        }
        make_room()?;
        let item = Arc::new(Item {
            description: Arc::downgrade(description),
            queue: Arc::downgrade(&self.queue),
            events: AtomicU32::new(wanted.events),
            data: AtomicU64::new(wanted.data),
            is_queued: AtomicBool::new(false),
            watch: GuestCell::new(None),
        });
        let watch = description.object().watch(&Waker::from(Arc::clone(&item)));
        item.watch.with(|place| *place = watch);
        let replaced = self
            .items
            .with(|items| items.insert(descriptor, Arc::clone(&item)));
        if let Some(replaced) = replaced {
            replaced.forget();
        }
        item.enqueue();
        Ok(())
    }

    /// Changes what to tell of a descriptor.
    pub(in crate::libc) fn modify(
        &self,
        descriptor: c_int,
        description: &Arc<Description>,
        wanted: Happened,
    ) -> Result<(), Errno> {
        let item = self.item(descriptor).filter(|item| item.is_of(description));
        let item = item.ok_or(Errno(ENOENT))?;
        item.events.store(wanted.events, Ordering::Relaxed);
        item.data.store(wanted.data, Ordering::Relaxed);
        item.enqueue();
        Ok(())
    }

    /// Removes a descriptor.
    pub(in crate::libc) fn remove(&self, descriptor: c_int) -> Result<(), Errno> {
        let removed = self.items.with(|items| items.remove(&descriptor));
        removed.ok_or(Errno(ENOENT))?.forget();
        Ok(())
    }

    /// Waits until something has happened or until `deadline`, and tells up to `max` of what has.
    /// Returns how many.
    pub(in crate::libc) fn wait(
        &self,
        max: usize,
        deadline: Option<Instant>,
        mut tell: impl FnMut(usize, Happened),
    ) -> usize {
        let count = self.collect(max, &mut tell);
        if count > 0 || deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            return count;
        }
        let alarm = Alarm::new();
        let _watch = self.queue.changes.watch(&alarm.waker());
        loop {
            let count = self.collect(max, &mut tell);
            if count > 0 || alarm.wait(deadline) {
                return count;
            }
        }
    }

    /// Looks at the items in the list once.
    fn collect(&self, max: usize, tell: &mut impl FnMut(usize, Happened)) -> usize {
        let mut count = 0;
        let queued = self.queue.items.with(|items| items.len());
        for _ in 0..queued {
            if count == max {
                break;
            }
            let Some(item) = self.queue.items.with(VecDeque::pop_front) else {
                break;
            };
            item.is_queued.store(false, Ordering::Relaxed);
            if let Some(happened) = item.look() {
                tell(count, happened);
                count += 1;
            }
        }
        count
    }

    fn contains_sets(&self) -> bool {
        self.items.with(|items| {
            let mut descriptions = items.values().filter_map(|item| item.description.upgrade());
            descriptions.any(|description| description.object().as_epoll().is_some())
        })
    }

    fn item(&self, descriptor: c_int) -> Option<Arc<Item>> {
        self.items.with(|items| items.get(&descriptor).cloned())
    }
}

impl Item {
    fn is_of(&self, description: &Arc<Description>) -> bool {
        core::ptr::eq(self.description.as_ptr(), Arc::as_ptr(description))
    }

    /// Puts it into the list of items to look at, unless it is there.
    fn enqueue(self: &Arc<Self>) {
        let Some(queue) = self.queue.upgrade() else {
            return;
        };
        if !self.is_queued.swap(true, Ordering::Relaxed) {
            queue.items.with(|items| items.push_back(Arc::clone(self)));
        }
        queue.changes.tell();
    }

    /// Returns what has happened, if it was asked for.
    fn look(self: &Arc<Self>) -> Option<Happened> {
        let asked = self.events.load(Ordering::Relaxed);
        if asked == 0 {
            return None;
        }
        let Some(description) = self.description.upgrade() else {
            self.forget();
            return None;
        };
        let events = bits(description.object().readiness()) & (asked | ERR | HUP);
        if events == 0 {
            return None;
        }
        if asked & ONESHOT != 0 {
            self.events.store(0, Ordering::Relaxed);
        } else if asked & EDGE == 0 && !self.is_queued.swap(true, Ordering::Relaxed) {
            // Told again as long as it holds.
            if let Some(queue) = self.queue.upgrade() {
                queue.items.with(|items| items.push_back(Arc::clone(self)));
            }
        }
        Some(Happened {
            events,
            data: self.data.load(Ordering::Relaxed),
        })
    }

    /// Watches no more, so that nothing holds it.
    fn forget(&self) {
        self.events.store(0, Ordering::Relaxed);
        drop(self.watch.with(Option::take));
    }
}

impl Wake for Item {
    fn wake(self: Arc<Self>) {
        self.enqueue();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.enqueue();
    }
}

impl Object for Epoll {
    fn readiness(&self) -> Readiness {
        Readiness {
            readable: self.queue.items.with(|items| !items.is_empty()),
            ..Readiness::default()
        }
    }

    fn watch(&self, waker: &Waker) -> Option<Watch> {
        Some(self.queue.changes.watch(waker))
    }

    fn as_epoll(&self) -> Option<&Epoll> {
        Some(self)
    }

    fn kind(&self) -> Kind {
        Kind::Anonymous
    }
}

impl Drop for Epoll {
    fn drop(&mut self) {
        // Each item holds a watch that holds the item.
        let items = self.items.with(core::mem::take);
        items.values().for_each(|item| item.forget());
    }
}
