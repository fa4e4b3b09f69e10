//! Waiting for a time, and not longer than a time.

use crate::thread::scheduler;
use crate::time::{Duration, Instant, TimerKey};
use alloc::boxed::Box;
use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};

/// Waits for a duration, counted from the call.
pub fn sleep(duration: Duration) -> Sleep {
    sleep_until(Instant::now() + duration)
}

/// Waits until a point in time.
pub fn sleep_until(deadline: Instant) -> Sleep {
    Sleep {
        deadline,
        timer: None,
    }
}

/// Waits for a future, but not longer than a duration, counted from the call. When the time is up
/// first, the future is dropped with the result of this.
///
/// The future goes into a box, so that it stays in its place whatever becomes of this one.
pub fn timeout<F: Future>(duration: Duration, future: F) -> Timeout<F> {
    Timeout {
        future: Box::pin(future),
        sleep: sleep(duration),
    }
}

/// A wait for a point in time; made by [`sleep`] and [`sleep_until`].
#[derive(Debug)]
#[must_use = "a future does nothing unless awaited"]
pub struct Sleep {
    deadline: Instant,
    /// The timer that is set, and whom it wakes.
    timer: Option<(TimerKey, Waker)>,
}

impl Sleep {
    fn cancel(&mut self) {
        if let Some((timer, _)) = self.timer.take() {
            scheduler::cancel_timer(timer);
        }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if Instant::now() >= self.deadline {
            self.cancel();
            return Poll::Ready(());
        }
        let waker = context.waker();
        let is_set = matches!(&self.timer, Some((_, present)) if present.will_wake(waker));
        if !is_set {
            self.cancel();
            let timer = scheduler::set_timer(self.deadline, waker.clone());
            self.timer = Some((timer, waker.clone()));
        }
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.cancel();
    }
}

/// A future with a limit in time; made by [`timeout`].
#[must_use = "a future does nothing unless awaited"]
pub struct Timeout<F> {
    future: Pin<Box<F>>,
    sleep: Sleep,
}

/// The time was up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed;

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Poll::Ready(result) = self.future.as_mut().poll(context) {
            return Poll::Ready(Ok(result));
        }
        Pin::new(&mut self.sleep)
            .poll(context)
            .map(|()| Err(Elapsed))
    }
}

impl<F> fmt::Debug for Timeout<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timeout")
            .field("sleep", &self.sleep)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("timed out")
    }
}

impl core::error::Error for Elapsed {}

impl From<Elapsed> for crate::io::Error {
    fn from(_: Elapsed) -> Self {
        crate::io::ErrorKind::TimedOut.into()
    }
}
