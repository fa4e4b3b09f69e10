//! `pthread.h`: POSIX threads are green threads.
//!
//! | file         | what                                        |
//! |--------------|---------------------------------------------|
//! | `attr.rs`    | attributes of threads                       |
//! | `exit.rs`    | leaving a thread from anywhere within it    |
//! | `mutex.rs`   | mutexes of all kinds                        |
//! | `cond.rs`    | condition variables                         |
//! | `rwlock.rs`  | locks for readers and writers               |
//! | `once.rs`    | once, barriers, spin locks                  |
//! | `key.rs`     | values of which each thread has its own     |
//!
//! Locks have the sizes of Linux and are unlocked when all zero; each is a word that waiters know by
//! its address (`futex.rs`). Cancellation does not exist: it is made of signals.

mod attr;
mod cond;
mod exit;
mod key;
mod mutex;
mod once;
mod rwlock;

pub use attr::{
    Attr, pthread_attr_destroy, pthread_attr_getdetachstate, pthread_attr_getguardsize,
    pthread_attr_getstack, pthread_attr_getstacksize, pthread_attr_init,
    pthread_attr_setdetachstate, pthread_attr_setguardsize, pthread_attr_setstacksize,
    pthread_getattr_np,
};
pub use cond::{
    Cond, CondAttr, pthread_cond_broadcast, pthread_cond_destroy, pthread_cond_init,
    pthread_cond_signal, pthread_cond_timedwait, pthread_cond_wait, pthread_condattr_destroy,
    pthread_condattr_init, pthread_condattr_setclock,
};
pub use exit::pthread_exit;
pub(super) use key::KEYS_MAX;
pub use key::{
    Destructor, pthread_getspecific, pthread_key_create, pthread_key_delete, pthread_setspecific,
};
pub use mutex::{
    Mutex, MutexAttr, pthread_mutex_destroy, pthread_mutex_init, pthread_mutex_lock,
    pthread_mutex_timedlock, pthread_mutex_trylock, pthread_mutex_unlock,
    pthread_mutexattr_destroy, pthread_mutexattr_gettype, pthread_mutexattr_init,
    pthread_mutexattr_settype,
};
pub use once::{
    Barrier, pthread_barrier_destroy, pthread_barrier_init, pthread_barrier_wait, pthread_once,
    pthread_spin_destroy, pthread_spin_init, pthread_spin_lock, pthread_spin_trylock,
    pthread_spin_unlock,
};
pub use rwlock::{
    RwLock, pthread_rwlock_destroy, pthread_rwlock_init, pthread_rwlock_rdlock,
    pthread_rwlock_timedrdlock, pthread_rwlock_timedwrlock, pthread_rwlock_tryrdlock,
    pthread_rwlock_trywrlock, pthread_rwlock_unlock, pthread_rwlock_wrlock,
};

use super::errno::{self, EAGAIN, EDEADLK, EINVAL, ERANGE, ESRCH, Errno};
use super::memory::{In, Out, Text};
use crate::heap;
use crate::interrupt;
use crate::sync::{Arc, GuestCell, WaitQueue};
use crate::thread;
use alloc::collections::BTreeMap;
use alloc::string::String;
use core::cell::Cell;
use core::ffi::{c_int, c_ulong};

/// What a thread runs.
pub type Start = extern "C" fn(Out<u8>) -> Out<u8>;

/// The number of the thread that runs `main`.
const MAIN: c_ulong = 1;

/// Longest name of a thread, its NUL included.
const NAME_MAX: usize = 16;

static THREADS: GuestCell<Threads> = GuestCell::new(Threads {
    known: BTreeMap::new(),
    last: MAIN,
    running: 0,
});

crate::thread_local! {
    /// The number of the running thread; 0 before it was asked for.
    static CURRENT: Cell<c_ulong> = Cell::new(0);
}

/// The threads that can be joined or have a name.
struct Threads {
    known: BTreeMap<c_ulong, Arc<Control>>,
    last: c_ulong,
    /// Threads started here that have not ended.
    running: usize,
}

/// One thread.
#[derive(Debug)]
struct Control {
    /// What it returned, once it has ended.
    result: GuestCell<Option<Out<u8>>>,
    ended: WaitQueue,
    is_detached: GuestCell<bool>,
    name: GuestCell<[u8; NAME_MAX]>,
}

impl Threads {
    fn next_number(&mut self) -> c_ulong {
        self.last += 1;
        self.last
    }
}

impl Control {
    fn new(is_detached: bool) -> Arc<Self> {
        Arc::new(Self {
            result: GuestCell::new(None),
            ended: WaitQueue::new(),
            is_detached: GuestCell::new(is_detached),
            name: GuestCell::new([0; NAME_MAX]),
        })
    }

    fn is_detached(&self) -> bool {
        self.is_detached.with(|is_detached| *is_detached)
    }
}

fn find(thread: c_ulong) -> Result<Arc<Control>, Errno> {
    THREADS
        .with(|threads| threads.known.get(&thread).cloned())
        .ok_or(Errno(ESRCH))
}

fn forget(thread: c_ulong) {
    // Dropped outside, where it may do as it likes.
    drop(THREADS.with(|threads| threads.known.remove(&thread)));
}

/// Starts a thread. Returns 0 or an error number.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn pthread_create(
    result: Out<c_ulong>,
    attr: In<Attr>,
    start: Start,
    argument: Out<u8>,
) -> c_int {
    if !heap::has_room() {
        return EAGAIN;
    }
    let attr = attr.read().unwrap_or_default();
    let control = Control::new(attr.is_detached());
    let number = THREADS.with(|threads| {
        let number = threads.next_number();
        threads.known.insert(number, Arc::clone(&control));
        threads.running += 1;
        number
    });
    // Stored first: the thread may look at it.
    result.write(number);
    let body = move || run(number, &control, start, argument);
    if thread::Builder::new()
        .stack(attr.stack())
        .spawn(body)
        .is_err()
    {
        forget(number);
        THREADS.with(|threads| threads.running -= 1);
        return EAGAIN;
    }
    0
}

/// The life of a thread.
fn run(number: c_ulong, control: &Control, start: Start, argument: Out<u8>) {
    CURRENT.set(number);
    let result = exit::run(start, argument);
    key::destroy_values();
    control.result.with(|place| *place = Some(result));
    THREADS.with(|threads| threads.running -= 1);
    if control.is_detached() {
        forget(number);
    }
    control.ended.wake_all();
    exit::tell_main();
}

/// Waits for the end of a thread and tells what it returned. Returns 0 or an error number.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn pthread_join(thread: c_ulong, result: Out<Out<u8>>) -> c_int {
    if thread == pthread_self() {
        return EDEADLK;
    }
    errno::code(find(thread).and_then(|control| {
        if control.is_detached() {
            return Err(Errno(EINVAL));
        }
        let _masked = interrupt::mask();
        loop {
            if let Some(value) = control.result.with(|value| *value) {
                result.write(value);
                forget(thread);
                return Ok(());
            }
            control.ended.wait();
        }
    }))
}

/// Lets a thread end without being joined. Returns 0 or an error number.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn pthread_detach(thread: c_ulong) -> c_int {
    errno::code(find(thread).and_then(|control| {
        if control
            .is_detached
            .with(|detached| core::mem::replace(detached, true))
        {
            return Err(Errno(EINVAL));
        }
        if control.result.with(|value| value.is_some()) {
            forget(thread);
        }
        Ok(())
    }))
}

/// Returns the number of the running thread.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn pthread_self() -> c_ulong {
    // At the end of the thread nobody asks.
    let known = CURRENT.try_with(Cell::get).unwrap_or(0);
    if known != 0 {
        return known;
    }
    // One that C did not start: the first thread, or one of Rust code.
    let number = match thread::current().name() {
        Some("main") => MAIN,
        _ => THREADS.with(Threads::next_number),
    };
    CURRENT.set(number);
    number
}

/// Returns whether two numbers are those of the same thread.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn pthread_equal(a: c_ulong, b: c_ulong) -> c_int {
    c_int::from(a == b)
}

/// Names a thread. Returns 0 or an error number.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn pthread_setname_np(thread: c_ulong, name: Text) -> c_int {
    let text = name.bytes_with_nul();
    if text.len() > NAME_MAX {
        return ERANGE;
    }
    // The first thread has no entry, and keeps its name.
    if let Ok(control) = find(thread) {
        control.name.with(|place| {
            place.fill(0);
            place[..text.len()].copy_from_slice(text);
        });
    }
    0
}

/// Tells the name of a thread. Returns 0 or an error number.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn pthread_getname_np(thread: c_ulong, mut name: Out<u8>, len: usize) -> c_int {
    if len < NAME_MAX {
        return ERANGE;
    }
    let main = || {
        let own = thread::current().name().map(String::from);
        let mut bytes = [0; NAME_MAX];
        let own = own.unwrap_or_default();
        let count = own.len().min(NAME_MAX - 1);
        bytes[..count].copy_from_slice(&own.as_bytes()[..count]);
        bytes
    };
    let bytes = find(thread).map_or_else(|_| main(), |control| control.name.with(|name| *name));
    name.slice(NAME_MAX).copy_from_slice(&bytes);
    0
}

/// Lets all other threads that can run do so first.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn sched_yield() -> c_int {
    thread::yield_now();
    0
}

/// Tells the only CPU.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn sched_getaffinity(_thread: c_int, len: usize, mut set: Out<u8>) -> c_int {
    let bytes = set.slice(len);
    bytes.fill(0);
    match bytes.first_mut() {
        Some(first) => *first = 1,
        None => return errno::answer(Err(Errno(EINVAL))),
    }
    0
}

#[cfg(test)]
mod tests;
