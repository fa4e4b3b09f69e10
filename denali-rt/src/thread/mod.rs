//! Green threads: preemptive, on guarded stacks, scheduled in the order they became runnable.
//!
//! | file            | what                                                     |
//! |-----------------|----------------------------------------------------------|
//! | `context.rs`    | the switch from stack to stack                           |
//! | `stack.rs`      | slots for stacks, warm and cold                          |
//! | `run_queue.rs`  | who is next                                              |
//! | `scheduler.rs`  | the table of threads: spawn, block, wake, end            |
//! | `idle.rs`       | network, timers and idle-with-timeout between threads    |
//! | `scope.rs`      | threads that borrow from the one that started them       |
//! | `local.rs`      | values of which each thread has its own                  |
//!
//! A thread keeps the CPU until it waits for something, sleeps, yields or ends, or until others are
//! runnable and it has had its share ([`crate::interrupt`]). One that computes for long starves
//! nobody.

mod context;
pub(crate) mod idle;
mod local;
mod run_queue;
pub(crate) mod scheduler;
mod scope;
mod stack;
pub(crate) mod tls;

pub use local::{AccessError, LocalKey};
pub use scheduler::ThreadId;
pub use scope::{Scope, ScopedJoinHandle, scope};
pub use stack::StackSize;

use crate::heap;
use crate::interrupt;
use crate::io;
use crate::sync::{Arc, GuestCell, WaitQueue};
use crate::time::{Duration, Instant};
use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;
use core::ops::Range;
use scheduler::Body;

/// Starts a thread.
///
/// # Panics
///
/// If there is no memory for it; [`Builder::spawn`] returns an error instead.
pub fn spawn<F, T>(body: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    Builder::new().spawn(body).expect("no memory for a thread")
}

/// Lets all other runnable threads run first.
pub fn yield_now() {
    scheduler::yield_now();
}

/// Waits until another thread calls [`Thread::unpark`] for this one; at once if that has happened
/// since the last `park`. May return without a reason.
pub fn park() {
    scheduler::park(None);
}

/// Like [`park`], until `deadline` at the latest.
pub fn park_until(deadline: Instant) {
    scheduler::park(Some(deadline));
}

/// Like [`park`], for `timeout` at most.
pub fn park_timeout(timeout: Duration) {
    park_until(Instant::now() + timeout);
}

/// Waits for a duration.
pub fn sleep(duration: Duration) {
    sleep_until(Instant::now() + duration);
}

/// Waits until a point in time.
pub fn sleep_until(deadline: Instant) {
    scheduler::block(Some(deadline));
}

/// Returns the running thread.
#[must_use]
pub fn current() -> Thread {
    Thread {
        id: scheduler::current(),
        name: scheduler::current_name(),
    }
}

/// A thread that runs, or did.
#[derive(Clone, Debug)]
pub struct Thread {
    id: ThreadId,
    name: Option<Arc<str>>,
}

impl Thread {
    /// Returns what tells the thread from all others, also from later ones.
    #[must_use]
    pub fn id(&self) -> ThreadId {
        self.id
    }

    /// Returns the thread's name; the first thread's is `main`.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Makes the thread's present or next [`park`] return.
    pub fn unpark(&self) {
        scheduler::unpark(self.id);
    }
}

/// Settings of a thread to be started.
#[derive(Clone, Debug, Default)]
#[must_use = "a builder starts nothing until `spawn`"]
pub struct Builder {
    name: Option<String>,
    stack: StackSize,
}

impl Builder {
    /// Makes the settings of an unnamed thread on a small stack.
    pub fn new() -> Self {
        Self::default()
    }

    /// Names the thread, for [`current`] and panic messages.
    pub fn name(self, name: impl Into<String>) -> Self {
        Self {
            name: Some(name.into()),
            ..self
        }
    }

    /// Chooses the size of the stack.
    pub fn stack(self, stack: StackSize) -> Self {
        Self { stack, ..self }
    }

    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::OutOfMemory`] if there is no stack or no memory left for one more thread.
    pub fn spawn<F, T>(self, body: F) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.spawn_with(body, |wrapped| Box::new(move || wrapped.run()))
    }

    /// Starts a thread that runs what `make_body` makes of a function that calls `body` and keeps
    /// its result for the handle.
    fn spawn_with<F, T>(
        self,
        body: F,
        make_body: impl FnOnce(Wrapped<F, T>) -> Body,
    ) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + Send,
        T: Send,
    {
        if !heap::has_room() {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        let name: Option<Arc<str>> = self.name.map(Arc::from);
        let outcome = Arc::new(Outcome {
            value: GuestCell::new(None),
            ended: WaitQueue::new(),
        });
        let wrapped = Wrapped {
            body,
            outcome: Arc::clone(&outcome),
        };
        let id = scheduler::spawn(name.clone(), self.stack, make_body(wrapped))?;
        // With this, the address of a stack overflow names the thread.
        if log::log_enabled!(log::Level::Debug)
            && let Some(stack) = scheduler::stack_of(id)
        {
            let (name, Range { start, end }) = (name.as_deref().unwrap_or("unnamed"), stack);
            log::debug!("thread '{name}' has the stack {start:#x}..{end:#x}");
        }
        Ok(JoinHandle {
            thread: Thread { id, name },
            outcome,
        })
    }
}

/// What a thread runs, and where its result goes.
struct Wrapped<F, T> {
    body: F,
    outcome: Arc<Outcome<T>>,
}

impl<F: FnOnce() -> T, T> Wrapped<F, T> {
    fn run(self) {
        let value = (self.body)();
        self.outcome.value.with(|slot| *slot = Some(value));
        self.outcome.ended.wake_all();
    }
}

/// A started thread, to be waited for. Dropping the handle lets the thread run on.
pub struct JoinHandle<T> {
    thread: Thread,
    outcome: Arc<Outcome<T>>,
}

struct Outcome<T> {
    value: GuestCell<Option<T>>,
    ended: WaitQueue,
}

impl<T> JoinHandle<T> {
    /// Waits for the end of the thread and returns its result. A panic ends the whole VM, so there
    /// always is one.
    pub fn join(self) -> T {
        let _masked = interrupt::mask();
        loop {
            if let Some(value) = self.outcome.value.with(Option::take) {
                return value;
            }
            self.outcome.ended.wait();
        }
    }

    /// Like [`join`](Self::join), for a task: other tasks go on meanwhile.
    pub async fn join_async(self) -> T {
        loop {
            let ended = self.outcome.ended.wait_async();
            if let Some(value) = self.outcome.value.with(Option::take) {
                return value;
            }
            ended.await;
        }
    }

    /// Returns whether the thread has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.outcome.value.with(|value| value.is_some())
    }

    /// Returns the thread.
    #[must_use]
    pub fn thread(&self) -> &Thread {
        &self.thread
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle")
            .field("thread", &self.thread)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
