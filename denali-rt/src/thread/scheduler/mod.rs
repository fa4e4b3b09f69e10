//! The table of threads and the step from one to the next.
//!
//! A thread runs until it waits, yields or ends, or is preempted by an upcall. All state is entered
//! for moments only and never across a switch; switches happen with interrupts masked.

#![expect(unsafe_code, reason = "switches stacks")]

mod deadlines;
mod share;

pub(crate) use deadlines::{cancel_timer, next_deadline, set_timer, wake_expired};
#[cfg(denali)]
pub(crate) use share::begin_quantum;
pub(crate) use share::preempt;

use crate::interrupt;
use crate::io::ErrorKind;
use crate::registers;
use crate::thread::context::{self, Context};
use crate::thread::idle;
use crate::thread::local::{self, Locals};
use crate::thread::run_queue::RunQueue;
use crate::thread::stack::{Stack, StackPool, StackSize};
use crate::thread::tls;
use crate::time::{Instant, TimerKey, Wheel};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;
use core::task::Waker;
use denali_abi::convert::u32_to_usize;

/// Names a thread, also after it has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ThreadId {
    index: u32,
    generation: u32,
}

/// The first thread, which runs `main`.
const MAIN: ThreadId = ThreadId {
    index: 0,
    generation: 0,
};

/// Pages that must be left for one more thread: a few of stack, and what others allocate who have no
/// error to give.
const SPAWN_PAGES_MIN: u32 = 32;

/// Why a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wake {
    /// Somebody woke the thread.
    Woken,
    /// The time was up.
    Deadline,
}

/// What a thread runs.
pub(crate) type Body = Box<dyn FnOnce() + Send>;

/// All threads of the VM.
pub(crate) struct Scheduler {
    threads: Vec<Control>,
    /// Entries of `threads` that are free.
    free: Vec<u32>,
    ready: RunQueue,
    timers: Wheel<Sleeper>,
    stacks: StackPool,
    current: ThreadId,
    /// The thread that ran before the current one, while the switch is being completed.
    previous: ThreadId,
    /// When the network and timers are looked at next, though threads are runnable.
    next_poll: Instant,
    /// When the current thread got the CPU, or the last quantum of it.
    began: Instant,
}

/// Who waits for a point in time.
enum Sleeper {
    Thread(ThreadId),
    Task(Waker),
}

/// One thread.
struct Control {
    generation: u32,
    state: State,
    /// Where it goes on, while it does not run.
    context: Context,
    /// None for the first thread, whose stack nobody gave it.
    stack: Option<Stack>,
    body: Option<Body>,
    name: Option<Arc<str>>,
    /// The deadline of its wait.
    timer: Option<TimerKey>,
    /// Why its last wait ended.
    wake: Wake,
    /// Whether it was unparked since it last parked.
    unparked: bool,
    locals: Locals,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Running, or in the run queue.
    Runnable,
    /// Waiting until woken.
    Blocked,
    /// Waiting in `park`.
    Parked,
    /// Ended, on its stack for the last time.
    Ending,
    /// The entry is free.
    Free,
}

/// What to do after the run queue was asked.
enum Step {
    /// The current thread goes on.
    Stay,
    /// Another thread goes on.
    Switch(Context),
    /// No thread is runnable.
    Idle,
}

/// Returns the running thread.
pub(crate) fn current() -> ThreadId {
    with(|scheduler| scheduler.current)
}

/// Returns the name of the running thread.
pub(crate) fn current_name() -> Option<Arc<str>> {
    with(|scheduler| scheduler.control().name.clone())
}

/// Calls `f` with the name of the running thread, if the scheduler is not just being used: for a
/// panic, which can come at any time.
#[cfg(denali)]
#[cfg_attr(denali_std, expect(dead_code, reason = "`std` reports panics"))]
pub(crate) fn with_current_name(f: impl FnOnce(&str)) {
    SCHEDULER.try_with(|scheduler| f(scheduler.current_name()));
}

/// Makes a thread runnable that will run `body`.
///
/// # Errors
///
/// [`ErrorKind::OutOfMemory`] if there is no stack or no memory left for one more.
pub(crate) fn spawn(
    name: Option<Arc<str>>,
    size: StackSize,
    body: Body,
) -> Result<ThreadId, ErrorKind> {
    if registers::pages_left() < SPAWN_PAGES_MIN {
        return Err(ErrorKind::OutOfMemory);
    }
    with(|scheduler| scheduler.spawn(name, size, body)).ok_or(ErrorKind::OutOfMemory)
}

/// Returns the addresses of a thread's stack, unless it is the first thread or has ended.
pub(crate) fn stack_of(thread: ThreadId) -> Option<Range<u64>> {
    with(|scheduler| {
        let control = scheduler.threads.get(thread.slot())?;
        let stack = control.stack.as_ref()?;
        (control.generation == thread.generation).then(|| stack.addresses())
    })
}

/// Waits until [`wake`]d, or until `deadline`.
pub(crate) fn block(deadline: Option<Instant>) -> Wake {
    let _masked = interrupt::mask();
    with(|scheduler| scheduler.suspend(State::Blocked, deadline));
    switch_away();
    with(|scheduler| scheduler.control().wake)
}

/// Waits until [`unpark`]ed, or until `deadline`; does not wait if that has happened already since
/// the last time.
pub(crate) fn park(deadline: Option<Instant>) {
    let _masked = interrupt::mask();
    if with(|scheduler| core::mem::take(&mut scheduler.control().unparked)) {
        return;
    }
    with(|scheduler| scheduler.suspend(State::Parked, deadline));
    switch_away();
    with(|scheduler| scheduler.control().unparked = false);
}

/// Lets all other runnable threads run first.
pub(crate) fn yield_now() {
    let _masked = interrupt::mask();
    with(|scheduler| scheduler.ready.push(scheduler.current));
    switch_away();
}

/// Ends the wait of a thread in [`block`]. Does nothing if it does not wait or has ended.
pub(crate) fn wake(thread: ThreadId) {
    with(|scheduler| {
        if scheduler.state_of(thread) == State::Blocked {
            scheduler.resume(thread, Wake::Woken);
        }
    });
}

/// Ends the wait of a thread in [`park`], now or when it comes.
pub(crate) fn unpark(thread: ThreadId) {
    with(|scheduler| {
        let state = scheduler.state_of(thread);
        if state != State::Free {
            scheduler.threads[thread.slot()].unparked = true;
        }
        if state == State::Parked {
            scheduler.resume(thread, Wake::Woken);
        }
    });
}

/// Calls `f` with the running thread's own values.
pub(super) fn with_locals<R>(f: impl FnOnce(&mut Locals) -> R) -> R {
    with(|scheduler| f(&mut scheduler.control().locals))
}

/// Returns whether a thread is runnable besides the running one.
pub(crate) fn has_runnable() -> bool {
    with(|scheduler| !scheduler.ready.is_empty())
}

/// Runs other threads until the current one is its turn, or idles while there is none. With
/// interrupts masked.
fn switch_away() {
    loop {
        let now = Instant::now();
        if with(|scheduler| scheduler.is_poll_due(now)) {
            idle::poll(now, 0);
        }
        match with(|scheduler| scheduler.step(now)) {
            Step::Stay => return,
            Step::Idle => idle::wait(),
            Step::Switch(to) => {
                let fs_base = context::fs_base();
                // SAFETY: `step` took the context out of the table entry of a thread that waits
                // there, so nobody else resumes it, and its stack stays until it has ended.
                let from = unsafe { context::switch(to) };
                context::set_fs_base(fs_base);
                with(|scheduler| scheduler.arrive(from));
                return;
            }
        }
    }
}

/// Runs a thread's body, with values of its own.
fn live(body: Option<Body>) {
    let _values = tls::establish();
    if let Some(body) = body {
        body();
    }
    local::drop_all();
}

/// Where every thread but the first starts.
extern "C" fn run_thread(from: Context) -> ! {
    let body = with(|scheduler| {
        scheduler.arrive(from);
        scheduler.control().body.take()
    });
    context::set_fs_base(0);
    interrupt::enable_for_new_thread();
    live(body);
    let _masked = interrupt::mask();
    with(|scheduler| scheduler.control().state = State::Ending);
    switch_away();
    unreachable!("an ended thread was resumed")
}

impl ThreadId {
    /// Returns the thread's place in the table.
    fn slot(self) -> usize {
        u32_to_usize(self.index)
    }

    /// Returns the id of a thread that does not exist.
    #[cfg(test)]
    pub(super) const fn for_test(index: u32) -> Self {
        Self {
            index,
            generation: 0,
        }
    }
}

impl Scheduler {
    pub(crate) const fn new() -> Self {
        Self {
            threads: Vec::new(),
            free: Vec::new(),
            ready: RunQueue::new(),
            timers: Wheel::new(),
            stacks: StackPool::new(),
            current: MAIN,
            previous: MAIN,
            next_poll: Instant::from_ns(0),
            began: Instant::from_ns(0),
        }
    }

    /// Enters the first thread into the table, which cannot be done at compile time.
    fn prepared(&mut self) -> &mut Self {
        if self.threads.is_empty() {
            self.threads.push(Control::new(Some(Arc::from("main"))));
            self.ready.reserve(1);
        }
        self
    }

    /// Returns the running thread's entry.
    fn control(&mut self) -> &mut Control {
        &mut self.threads[self.current.slot()]
    }

    fn state_of(&self, thread: ThreadId) -> State {
        match self.threads.get(thread.slot()) {
            Some(control) if control.generation == thread.generation => control.state,
            _ => State::Free,
        }
    }

    fn spawn(&mut self, name: Option<Arc<str>>, size: StackSize, body: Body) -> Option<ThreadId> {
        let threads = self.threads.len() + 1;
        if !self.ready.reserve(threads) || !self.stacks.reserve(threads) {
            return None;
        }
        if self.free.is_empty() {
            self.threads.try_reserve(1).ok()?;
            // Each entry may become free, and ending a thread must not fail.
            self.free.try_reserve(threads).ok()?;
        }
        let stack = self.stacks.take(size)?;
        // SAFETY: the stack was just taken from the pool, nobody else uses it, and it is larger
        // than a frame.
        let context = unsafe { context::prepare(stack.top(), run_thread) };
        let fresh = Control {
            context,
            stack: Some(stack),
            body: Some(body),
            ..Control::new(name)
        };
        let index = match self.free.pop() {
            Some(index) => {
                let control = &mut self.threads[u32_to_usize(index)];
                *control = Control {
                    generation: control.generation,
                    ..fresh
                };
                index
            }
            None => {
                self.threads.push(fresh);
                u32::try_from(self.threads.len() - 1).expect("there are fewer stacks than 2^32")
            }
        };
        let generation = self.threads[u32_to_usize(index)].generation;
        let thread = ThreadId { index, generation };
        self.ready.push(thread);
        Some(thread)
    }

    /// Marks the running thread as waiting; the switch comes next.
    fn suspend(&mut self, state: State, deadline: Option<Instant>) {
        let current = self.current;
        let timer = deadline.map(|deadline| self.timers.insert(deadline, Sleeper::Thread(current)));
        let control = self.control();
        control.state = state;
        control.timer = timer;
    }

    /// Ends the wait of a thread that waits.
    fn resume(&mut self, thread: ThreadId, wake: Wake) {
        let control = &mut self.threads[thread.slot()];
        control.state = State::Runnable;
        control.wake = wake;
        if let Some(timer) = control.timer.take() {
            self.timers.cancel(timer);
        }
        self.ready.push(thread);
    }

    /// Returns whether runnable threads have kept the network and timers waiting for long.
    fn is_poll_due(&mut self, now: Instant) -> bool {
        let due = !self.ready.is_empty() && now >= self.next_poll;
        if due {
            self.next_poll = now + idle::POLL_INTERVAL;
        }
        due
    }

    /// Makes the next runnable thread the current one.
    fn step(&mut self, now: Instant) -> Step {
        let Some(next) = self.ready.pop() else {
            return Step::Idle;
        };
        self.begin_quantum(now);
        if next == self.current {
            return Step::Stay;
        }
        self.previous = core::mem::replace(&mut self.current, next);
        Step::Switch(core::mem::replace(
            &mut self.control().context,
            Context::RUNNING,
        ))
    }

    /// Completes a switch on the stack of the thread switched to: keeps the context of the thread
    /// switched from, or clears away what is left of it.
    fn arrive(&mut self, from: Context) {
        #[cfg(denali)]
        interrupt::show_thread(self.current_name());
        let previous = self.previous;
        let control = &mut self.threads[previous.slot()];
        if control.state != State::Ending {
            control.context = from;
            return;
        }
        control.state = State::Free;
        control.generation = control.generation.wrapping_add(1);
        control.name = None;
        let stack = control.stack.take();
        self.free.push(previous.index);
        if let Some(stack) = stack {
            self.stacks.give_back(stack);
        }
    }

    #[cfg(denali)]
    fn current_name(&self) -> &str {
        let control = self.threads.get(self.current.slot());
        control
            .and_then(|control| control.name.as_deref())
            .unwrap_or("unnamed")
    }
}

impl Control {
    fn new(name: Option<Arc<str>>) -> Self {
        Self {
            generation: 0,
            state: State::Runnable,
            context: Context::RUNNING,
            stack: None,
            body: None,
            name,
            timer: None,
            wake: Wake::Woken,
            unparked: false,
            locals: Locals::new(),
        }
    }
}

/// Gives the pages of free stacks back to the kernel.
pub(super) fn cool_stacks() {
    with(|scheduler| scheduler.stacks.cool());
}

/// Runs `f` with the VM's scheduler.
#[cfg(denali)]
fn with<R>(f: impl FnOnce(&mut Scheduler) -> R) -> R {
    SCHEDULER.with(|scheduler| f(scheduler.prepared()))
}

#[cfg(denali)]
static SCHEDULER: crate::sync::GuestCell<Scheduler> = crate::sync::GuestCell::new(Scheduler::new());

/// Runs `f` with the scheduler of the system's thread: outside a VM each has green threads of its
/// own, as it would in a VM of its own.
#[cfg(not(denali))]
fn with<R>(f: impl FnOnce(&mut Scheduler) -> R) -> R {
    SCHEDULER.with_borrow_mut(|scheduler| f(scheduler.prepared()))
}

#[cfg(not(denali))]
std::thread_local! {
    static SCHEDULER: core::cell::RefCell<Scheduler> =
        const { core::cell::RefCell::new(Scheduler::new()) };
}
