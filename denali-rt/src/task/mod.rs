//! Asynchronous tasks: `async`/`await` on green threads.
//!
//! Any thread becomes an executor by calling [`block_on`]; what it [`spawn`]s runs on that thread,
//! so tasks need not be `Send`. While all its tasks wait, the thread waits as any other, and while
//! all threads wait the VM idles: wakers, timers and sockets are those of the threads.
//!
//! ```
//! use core::time::Duration;
//! use denali_rt::task;
//!
//! let answer = task::block_on(async {
//!     let slow = task::spawn(async {
//!         task::sleep(Duration::from_millis(1)).await;
//!         40
//!     });
//!     slow.await + 2
//! });
//! assert_eq!(answer, 42);
//! ```
//!
//! | file          | what                                                          |
//! |---------------|---------------------------------------------------------------|
//! | `executor.rs` | the tasks of a thread, polled in the order they became ready  |
//! | `ready.rs`    | which tasks are ready, and their wakers                       |
//! | `join.rs`     | the handle of a task                                          |
//! | `timer.rs`    | sleep and timeout                                             |
//! | `net.rs`      | sockets, with the traits of `embedded-io-async`               |
//! | `nal.rs`      | the network behind the traits of `embedded-nal-async`         |
//!
//! A task that waits for a thread's result, a channel, a semaphore or a mutex uses the methods
//! that end in `_async` there. A call that blocks blocks the whole executor: give it a thread of
//! its own and [`join_async`](crate::thread::JoinHandle::join_async) that.
//! For `join!`, `select!` and streams there is the crate `futures-util`.

mod executor;
mod join;
mod nal;
pub mod net;
mod ready;
mod timer;

pub use executor::{block_on, spawn};
pub use join::JoinHandle;
pub use nal::Network;
pub use timer::{Elapsed, Sleep, Timeout, sleep, sleep_until, timeout};

use core::task::Poll;

/// Lets all other ready tasks run first.
pub async fn yield_now() {
    let mut yielded = false;
    core::future::poll_fn(|context| {
        if core::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[cfg(test)]
mod tests;
