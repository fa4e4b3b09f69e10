//! Where threads and tasks wait for one another: what every waiting primitive here is made of.

use crate::interrupt;
use crate::sync::GuestCell;
use crate::thread::ThreadId;
use crate::thread::scheduler::{self, Wake};
use crate::time::Instant;
use alloc::collections::VecDeque;
use core::fmt;
use core::pin::Pin;
use core::sync::atomic::{AtomicU64, Ordering};
use core::task::{Context, Poll, Waker};

/// Threads and asynchronous tasks that wait for something, woken in the order they came.
///
/// Deciding to wait and waiting must be one step, or what is waited for happens in between and wakes
/// nobody. A thread masks interrupts around both ([`interrupt::mask`]); a task calls
/// [`wait_async`](Self::wait_async) first, tests, and then awaits.
#[derive(Debug, Default)]
pub struct WaitQueue {
    state: GuestCell<State>,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Waiter>,
    /// Counts calls that wake, whoever waits.
    calls: u64,
}

/// Who waits.
#[derive(Debug)]
enum Waiter {
    Thread(ThreadId),
    /// A task, by a number of its own: one waker may wait in many places.
    Task {
        ticket: u64,
        waker: Waker,
    },
}

/// The next number of a waiting task.
static NEXT_TICKET: AtomicU64 = AtomicU64::new(0);

impl WaitQueue {
    /// Makes an empty queue.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            state: GuestCell::new(State {
                waiting: VecDeque::new(),
                calls: 0,
            }),
        }
    }

    /// Waits until woken.
    pub fn wait(&self) {
        let _masked = interrupt::mask();
        self.enqueue_current();
        scheduler::block(None);
    }

    /// Waits until woken or until `deadline`. Returns whether the time was up first.
    pub fn wait_until(&self, deadline: Instant) -> bool {
        let _masked = interrupt::mask();
        let current = self.enqueue_current();
        scheduler::block(Some(deadline)) == Wake::Deadline && self.withdraw(current)
    }

    /// Waits until woken or until `deadline`, if there is one. Returns whether the time was up
    /// first.
    pub fn wait_until_maybe(&self, deadline: Option<Instant>) -> bool {
        match deadline {
            Some(deadline) => self.wait_until(deadline),
            None => {
                self.wait();
                false
            }
        }
    }

    /// Waits until woken, as a task. The place in the queue is taken at the first poll, unless the
    /// queue was woken since this call: then there is no wait.
    ///
    /// If the future is dropped after it was woken and before it knew, the next in the queue is
    /// woken in its place.
    pub fn wait_async(&self) -> impl Future<Output = ()> + '_ {
        let seen = self.calls();
        let is_late = move || self.calls() != seen;
        self.wait_unless(is_late, || {
            self.wake_one();
        })
    }

    /// Waits until woken, as a task, unless `is_ready` at the first poll, in one step. Calls
    /// `abandoned` if the future is dropped after it was woken and before it knew, so that what it
    /// was woken for is not lost.
    pub(crate) fn wait_unless<R: Fn() -> bool, F: Fn()>(
        &self,
        is_ready: R,
        abandoned: F,
    ) -> Wait<'_, R, F> {
        Wait {
            queue: self,
            ticket: None,
            is_ready,
            abandoned,
        }
    }

    /// Wakes who waits longest. Returns whether there was somebody.
    pub fn wake_one(&self) -> bool {
        // Whoever is out of the queue is woken before it can wait for anything else.
        let _masked = interrupt::mask();
        let first = self.state.with(|state| {
            state.calls += 1;
            state.waiting.pop_front()
        });
        first.map(Waiter::wake).is_some()
    }

    /// Wakes everybody who waits now. Returns how many there were.
    pub fn wake_all(&self) -> usize {
        let _masked = interrupt::mask();
        let all = self.state.with(|state| {
            state.calls += 1;
            core::mem::take(&mut state.waiting)
        });
        let count = all.len();
        all.into_iter().for_each(Waiter::wake);
        count
    }

    /// Returns whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.state.with(|state| state.waiting.is_empty())
    }

    /// Takes a thread out. Returns whether it was there: one whose time was up may have been woken
    /// before it ran again, and what it was woken for is then its own.
    fn withdraw(&self, thread: ThreadId) -> bool {
        self.remove(|waiter| matches!(waiter, Waiter::Thread(id) if *id == thread))
    }

    /// Takes a task out. Returns whether it was there.
    fn withdraw_task(&self, ticket: u64) -> bool {
        self.remove(|waiter| waiter.has_ticket(ticket))
    }

    fn remove(&self, is_wanted: impl Fn(&Waiter) -> bool) -> bool {
        let removed = self.state.with(|state| {
            let place = state.waiting.iter().position(is_wanted);
            place.and_then(|place| state.waiting.remove(place))
        });
        removed.is_some()
    }

    fn enqueue_current(&self) -> ThreadId {
        let current = scheduler::current();
        self.state
            .with(|state| state.waiting.push_back(Waiter::Thread(current)));
        current
    }

    fn enqueue_task(&self, waker: Waker) -> u64 {
        let ticket = NEXT_TICKET.fetch_add(1, Ordering::Relaxed);
        self.state
            .with(|state| state.waiting.push_back(Waiter::Task { ticket, waker }));
        ticket
    }

    fn calls(&self) -> u64 {
        self.state.with(|state| state.calls)
    }

    /// Makes `waker` the one to call for a waiting task. Returns whether it still waits.
    fn renew(&self, ticket: u64, waker: &Waker) -> bool {
        // The old waker is dropped outside, where it may do as it likes.
        let (waits, _old) = self.state.with(|state| {
            let mut found = state
                .waiting
                .iter_mut()
                .filter(|waiter| waiter.has_ticket(ticket));
            match found.next() {
                Some(Waiter::Task { waker: present, .. }) if !present.will_wake(waker) => {
                    (true, Some(core::mem::replace(present, waker.clone())))
                }
                found => (found.is_some(), None),
            }
        });
        waits
    }
}

impl Waiter {
    fn wake(self) {
        match self {
            Self::Thread(id) => scheduler::wake(id),
            Self::Task { waker, .. } => waker.wake(),
        }
    }

    fn has_ticket(&self, wanted: u64) -> bool {
        matches!(self, Self::Task { ticket, .. } if *ticket == wanted)
    }
}

/// The wait of a task; see [`WaitQueue::wait_unless`].
pub(crate) struct Wait<'a, R: Fn() -> bool, F: Fn()> {
    queue: &'a WaitQueue,
    /// The place in the queue, from the first poll until woken.
    ticket: Option<u64>,
    is_ready: R,
    abandoned: F,
}

// Nothing in a wait refers to itself.
impl<R: Fn() -> bool, F: Fn()> Unpin for Wait<'_, R, F> {}

impl<R: Fn() -> bool, F: Fn()> Future for Wait<'_, R, F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let _masked = interrupt::mask();
        match self.ticket {
            None if (self.is_ready)() => Poll::Ready(()),
            None => {
                self.ticket = Some(self.queue.enqueue_task(context.waker().clone()));
                Poll::Pending
            }
            Some(ticket) if self.queue.renew(ticket, context.waker()) => Poll::Pending,
            Some(_) => {
                self.ticket = None;
                Poll::Ready(())
            }
        }
    }
}

impl<R: Fn() -> bool, F: Fn()> Drop for Wait<'_, R, F> {
    fn drop(&mut self) {
        let _masked = interrupt::mask();
        if let Some(ticket) = self.ticket
            && !self.queue.withdraw_task(ticket)
        {
            (self.abandoned)();
        }
    }
}

impl<R: Fn() -> bool, F: Fn()> fmt::Debug for Wait<'_, R, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wait").finish_non_exhaustive()
    }
}
