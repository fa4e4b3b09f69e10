//! The handle of a task.

use crate::sync::Arc;
use crate::task::executor::Executor;
use crate::task::ready::Ticket;
use alloc::rc::{Rc, Weak};
use core::cell::{Cell, RefCell};
use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};

/// A task's result, to be awaited. Dropping the handle lets the task run on.
///
/// # Panics
///
/// When awaited after the task was dropped with its executor: [`block_on`](super::block_on) had
/// returned.
pub struct JoinHandle<T> {
    slot: Rc<Slot<T>>,
    ticket: Arc<Ticket>,
    executor: Weak<Executor>,
}

/// Where a task leaves its result.
pub(super) struct Slot<T> {
    state: Cell<State<T>>,
    waker: RefCell<Option<Waker>>,
}

enum State<T> {
    Running,
    Ended(T),
    Taken,
}

impl<T> Slot<T> {
    pub(super) fn new() -> Self {
        Self {
            state: Cell::new(State::Running),
            waker: RefCell::new(None),
        }
    }

    /// Leaves the result and wakes who awaits it.
    pub(super) fn put(&self, value: T) {
        self.state.set(State::Ended(value));
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn is_ended(&self) -> bool {
        let state = self.state.replace(State::Running);
        let is_ended = !matches!(state, State::Running);
        self.state.set(state);
        is_ended
    }
}

impl<T> JoinHandle<T> {
    pub(super) fn new(slot: Rc<Slot<T>>, ticket: Arc<Ticket>, executor: Weak<Executor>) -> Self {
        Self {
            slot,
            ticket,
            executor,
        }
    }

    /// Returns whether the task has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.slot.is_ended()
    }

    /// Drops the task where it is, unless it has ended.
    pub fn cancel(self) {
        let executor = self.executor.upgrade();
        drop(executor.and_then(|executor| executor.remove(&self.ticket)));
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        match self.slot.state.replace(State::Taken) {
            State::Ended(value) => Poll::Ready(value),
            State::Taken => panic!("the result of a task was awaited twice"),
            State::Running => {
                // The task's own half is gone with the task.
                assert!(
                    Rc::strong_count(&self.slot) > 1,
                    "awaited a task whose executor has ended"
                );
                self.slot.state.set(State::Running);
                self.slot.waker.replace(Some(context.waker().clone()));
                Poll::Pending
            }
        }
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle")
            .field("finished", &self.is_finished())
            .finish_non_exhaustive()
    }
}
