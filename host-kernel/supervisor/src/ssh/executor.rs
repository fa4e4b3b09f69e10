//! Runs a future to its end on the current thread.

use core::pin::pin;
use core::task::{Context, Poll, Waker};
use denali_rt::thread;

/// Returns what `future` resolves to.
///
/// Our sockets block the green thread instead of pending, so one poll is enough; should a future
/// pend all the same, it is polled again after the other threads had their turn.
pub(super) fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::yield_now(),
        }
    }
}
