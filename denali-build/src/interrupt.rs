//! Ctrl-C: noted by a handler, acted upon where the program waits.
//!
//! So every command unwinds through its own `Drop`s, which remove what is half made.

use crate::failure::{Failure, Status};
use anyhow::{Context, Result};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How often a waiting command looks for Ctrl-C.
const POLL: Duration = Duration::from_millis(20);

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Installs the handler; the second Ctrl-C ends the process at once.
///
/// # Errors
///
/// The system refuses the handler.
pub fn install() -> Result<()> {
    ctrlc::set_handler(|| {
        if INTERRUPTED.swap(true, Ordering::SeqCst) {
            std::process::exit(i32::from(Status::Interrupted.code()));
        }
    })
    .context("installing the handler of Ctrl-C")
}

/// Returns whether Ctrl-C was pressed.
#[must_use]
pub fn is_interrupted() -> bool {
    INTERRUPTED.load(Ordering::SeqCst)
}

/// Fails if Ctrl-C was pressed.
///
/// # Errors
///
/// [`Status::Interrupted`].
pub fn check() -> Result<(), Failure> {
    if is_interrupted() {
        return Err(Failure::new(Status::Interrupted, "interrupted"));
    }
    Ok(())
}

/// Asks `attempt` again and again until it answers or `timeout` has passed.
///
/// # Errors
///
/// `attempt` fails, or Ctrl-C is pressed.
pub fn wait_for<T>(
    timeout: Duration,
    mut attempt: impl FnMut() -> Result<Option<T>>,
) -> Result<Option<T>> {
    let started = Instant::now();
    loop {
        check()?;
        if let Some(answer) = attempt()? {
            return Ok(Some(answer));
        }
        if started.elapsed() >= timeout {
            return Ok(None);
        }
        thread::sleep(POLL);
    }
}

/// Completes when Ctrl-C was pressed.
pub(crate) async fn interrupted() {
    while !is_interrupted() {
        tokio::time::sleep(POLL).await;
    }
}
