//! Bounded waiting.

use std::thread;
use std::time::{Duration, Instant};

/// Longest wait for something that ought to happen at once: the test machine may have two busy
/// cores and no hardware virtualization.
pub const PATIENCE: Duration = Duration::from_secs(60);

const PAUSE: Duration = Duration::from_millis(50);

/// Asks `attempt` until it answers, and returns the answer.
///
/// # Panics
///
/// If there is none within [`PATIENCE`]; `what` is what was waited for.
pub fn until<T>(what: &str, attempt: impl FnMut() -> Option<T>) -> T {
    within(PATIENCE, attempt).unwrap_or_else(|| panic!("waited {PATIENCE:?} in vain for {what}"))
}

/// Asks `attempt` until it answers or `timeout` has passed.
pub fn within<T>(timeout: Duration, mut attempt: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + timeout;
    loop {
        if let Some(answer) = attempt() {
            return Some(answer);
        }
        if Instant::now() >= deadline {
            return None;
        }
        thread::sleep(PAUSE);
    }
}
