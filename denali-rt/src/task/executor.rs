//! The tasks of a thread.

use crate::sync::Arc;
use crate::task::join::{JoinHandle, Slot};
use crate::task::ready::{Ready, Ticket};
use crate::thread;
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};

/// Tasks polled before other threads get their turn.
const ROUND_MAX: usize = 64;

/// The place of the future given to [`block_on`].
const ROOT: u32 = 0;

crate::thread_local! {
    /// The executor whose task the thread runs.
    static CURRENT: RefCell<Option<Rc<Executor>>> = RefCell::new(None);
}

/// Runs a future, and the tasks it spawns, on the calling thread. Returns the future's result;
/// tasks that have not ended by then are dropped.
///
/// Called by a task, it holds up the other tasks of the thread.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let executor = Rc::new(Executor {
        tasks: RefCell::new(Tasks::default()),
        ready: Ready::new(),
    });
    let _entered = Entered::new(&executor);
    executor.run(pin!(future))
}

/// Starts a task on the executor of the calling thread.
///
/// # Panics
///
/// Outside of [`block_on`].
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    let executor = CURRENT.with_borrow(Option::clone);
    let executor = executor.expect("a task is spawned by code that `task::block_on` runs");
    let slot = Rc::new(Slot::new());
    let theirs = Rc::clone(&slot);
    let ticket = executor.add(Box::pin(async move { theirs.put(future.await) }));
    JoinHandle::new(slot, ticket, Rc::downgrade(&executor))
}

/// The tasks of one [`block_on`].
pub(super) struct Executor {
    tasks: RefCell<Tasks>,
    ready: Arc<Ready>,
}

type BoxedTask = Pin<Box<dyn Future<Output = ()>>>;

#[derive(Default)]
struct Tasks {
    /// By place; that of the root stays empty.
    entries: Vec<Option<Entry>>,
    free: Vec<u32>,
}

struct Entry {
    ticket: Arc<Ticket>,
    /// None while it is polled.
    future: Option<BoxedTask>,
}

impl Executor {
    fn run<F: Future>(&self, mut root: Pin<&mut F>) -> F::Output {
        self.tasks.borrow_mut().entries.push(None);
        let root_ticket = self.ready.enter(ROOT);
        let root_waker = Waker::from(Arc::clone(&root_ticket));
        loop {
            for _ in 0..self.ready.len().min(ROUND_MAX) {
                let Some(ticket) = self.ready.pop() else {
                    break;
                };
                if !Arc::ptr_eq(&ticket, &root_ticket) {
                    self.poll(ticket);
                } else if let Poll::Ready(result) =
                    root.as_mut().poll(&mut Context::from_waker(&root_waker))
                {
                    return result;
                }
            }
            if self.ready.len() > 0 {
                thread::yield_now();
            } else {
                self.ready.wait();
            }
        }
    }

    fn add(&self, future: BoxedTask) -> Arc<Ticket> {
        let mut tasks = self.tasks.borrow_mut();
        let index = tasks.free.pop().unwrap_or_else(|| {
            tasks.entries.push(None);
            u32::try_from(tasks.entries.len() - 1).expect("memory ends before 2^32 tasks")
        });
        let ticket = self.ready.enter(index);
        tasks.entries[ticket.index()] = Some(Entry {
            ticket: Arc::clone(&ticket),
            future: Some(future),
        });
        ticket
    }

    /// Polls a task, unless it has ended since it became ready.
    fn poll(&self, ticket: Arc<Ticket>) {
        let present = self
            .tasks
            .borrow_mut()
            .entry(&ticket)
            .and_then(|entry| entry.future.take());
        let Some(mut future) = present else {
            return;
        };
        let waker = Waker::from(Arc::clone(&ticket));
        let polled = future.as_mut().poll(&mut Context::from_waker(&waker));
        if polled.is_ready() {
            // What the task held is dropped before it counts as gone.
            drop(future);
            drop(self.remove(&ticket));
        } else if let Some(entry) = self.tasks.borrow_mut().entry(&ticket) {
            entry.future = Some(future);
        }
    }

    /// Takes a task out, unless it has ended. The caller drops it, while nothing is borrowed.
    pub(super) fn remove(&self, ticket: &Arc<Ticket>) -> Option<BoxedTask> {
        let mut tasks = self.tasks.borrow_mut();
        tasks.entry(ticket)?;
        let index = ticket.index();
        let entry = tasks.entries[index].take();
        tasks.free.extend(u32::try_from(index));
        entry.and_then(|entry| entry.future)
    }

    /// Drops all tasks.
    fn clear(&self) {
        self.ready.close();
        let tasks = self.tasks.take();
        drop(tasks);
    }
}

impl Tasks {
    /// Returns a task's entry, if it is the task that holds the ticket.
    fn entry(&mut self, ticket: &Arc<Ticket>) -> Option<&mut Entry> {
        let entry = self.entries.get_mut(ticket.index())?.as_mut()?;
        Arc::ptr_eq(&entry.ticket, ticket).then_some(entry)
    }
}

/// Makes an executor the thread's own until dropped; then its tasks are dropped, and the executor
/// that was there before is back.
struct Entered {
    executor: Rc<Executor>,
    before: Option<Rc<Executor>>,
}

impl Entered {
    fn new(executor: &Rc<Executor>) -> Self {
        let before = CURRENT.with_borrow_mut(|current| current.replace(Rc::clone(executor)));
        Self {
            executor: Rc::clone(executor),
            before,
        }
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.executor.clear();
        let before = self.before.take();
        drop(CURRENT.with_borrow_mut(|current| core::mem::replace(current, before)));
    }
}
