//! Which tasks of an executor are ready, in the order they became so.

use crate::interrupt;
use crate::sync::{Arc, GuestCell, WaitQueue};
use alloc::collections::VecDeque;
use alloc::task::Wake;
use core::sync::atomic::{AtomicBool, Ordering};
use denali_abi::convert::u32_to_usize;

/// The tasks of one executor that want to be polled.
#[derive(Debug)]
pub(super) struct Ready {
    /// None once the executor has ended.
    queue: GuestCell<Option<VecDeque<Arc<Ticket>>>>,
    /// Where the executor's thread waits for a task to become ready.
    idle: WaitQueue,
}

/// Names a task of an executor, and wakes it.
#[derive(Debug)]
pub(super) struct Ticket {
    index: u32,
    is_queued: AtomicBool,
    ready: Arc<Ready>,
}

impl Ready {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            queue: GuestCell::new(Some(VecDeque::new())),
            idle: WaitQueue::new(),
        })
    }

    /// Makes the ticket of a task, and the task ready.
    pub(super) fn enter(self: &Arc<Self>, index: u32) -> Arc<Ticket> {
        let ticket = Arc::new(Ticket {
            index,
            is_queued: AtomicBool::new(false),
            ready: Arc::clone(self),
        });
        ticket.wake_by_ref();
        ticket
    }

    /// Returns how many tasks are ready.
    pub(super) fn len(&self) -> usize {
        self.queue
            .with(|queue| queue.as_ref().map_or(0, VecDeque::len))
    }

    /// Takes the task that has been ready longest.
    pub(super) fn pop(&self) -> Option<Arc<Ticket>> {
        let ticket = self.queue.with(|queue| queue.as_mut()?.pop_front())?;
        ticket.is_queued.store(false, Ordering::Relaxed);
        Some(ticket)
    }

    /// Blocks the thread until a task is ready, unless one is.
    pub(super) fn wait(&self) {
        let _masked = interrupt::mask();
        if self.len() == 0 {
            self.idle.wait();
        }
    }

    /// Ends the queue: who is woken from now on is nobody's.
    pub(super) fn close(&self) {
        drop(self.queue.with(Option::take));
    }
}

impl Ticket {
    /// Returns the task's place in the executor's table.
    pub(super) fn index(&self) -> usize {
        u32_to_usize(self.index)
    }
}

impl Wake for Ticket {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.is_queued.swap(true, Ordering::Relaxed) {
            return;
        }
        let ready = &self.ready;
        let is_open = ready.queue.with(|queue| {
            queue
                .as_mut()
                .map(|queue| queue.push_back(Arc::clone(self)))
                .is_some()
        });
        if is_open {
            ready.idle.wake_one();
        }
    }
}
