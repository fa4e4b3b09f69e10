//! Asks the victim until told to stop, and checks every byte of its answers.

use crate::http;
use denali_attacks::victim;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Pause between two questions.
const PAUSE: Duration = Duration::from_millis(150);

/// What the victim was seen doing.
#[derive(Clone, Debug, Default, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Report {
    /// Right answers.
    pub answers: u64,
    /// Wrong ones, and questions without an answer.
    pub wrong: u64,
    /// Half of the answers took at most this many milliseconds.
    pub median_ms: u64,
    /// The slowest took this many.
    pub slowest_ms: u64,
}

#[derive(Debug, Default)]
struct Seen {
    answers: AtomicU64,
    wrong_ever: AtomicU64,
    wrong: Mutex<Vec<String>>,
    latencies_ms: Mutex<Vec<u64>>,
    ends: AtomicBool,
}

/// A thread that asks.
#[derive(Debug)]
pub(super) struct Watch {
    seen: Arc<Seen>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Starts to ask the victim at a port of this machine.
    pub(super) fn start(port: u16) -> Self {
        let seen: Arc<Seen> = Arc::default();
        let shared = Arc::clone(&seen);
        let thread = thread::spawn(move || ask(port, &shared));
        Self {
            seen,
            thread: Some(thread),
        }
    }

    /// Returns how many right answers there were.
    pub(super) fn answers(&self) -> u64 {
        self.seen.answers.load(Ordering::Relaxed)
    }

    /// Takes what was wrong since the last call.
    pub(super) fn take_wrong(&self) -> Vec<String> {
        std::mem::take(&mut *lock(&self.seen.wrong))
    }

    /// Returns what was seen so far.
    pub(super) fn report(&self) -> Report {
        let mut latencies = lock(&self.seen.latencies_ms).clone();
        latencies.sort_unstable();
        Report {
            answers: self.answers(),
            wrong: self.seen.wrong_ever.load(Ordering::Relaxed),
            median_ms: latencies.get(latencies.len() / 2).copied().unwrap_or(0),
            slowest_ms: latencies.last().copied().unwrap_or(0),
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.seen.ends.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

fn ask(port: u16, seen: &Seen) {
    let mut nonce = 0_u64;
    while !seen.ends.load(Ordering::Relaxed) {
        nonce += 1;
        let nonce = format!("{nonce:x}");
        let start = Instant::now();
        let answer = http::get(port, &format!("/{nonce}"));
        let took = start.elapsed();
        let wrong = match &answer {
            Ok(response) if response.body == victim::expected(&nonce).into_bytes() => None,
            Ok(response) => Some(String::from_utf8_lossy(&response.body).into_owned()),
            Err(error) => Some(error.to_string()),
        };
        match wrong {
            None => {
                let milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
                lock(&seen.latencies_ms).push(milliseconds);
                seen.answers.fetch_add(1, Ordering::Relaxed);
            }
            Some(_) if seen.ends.load(Ordering::Relaxed) => {}
            Some(what) => {
                seen.wrong_ever.fetch_add(1, Ordering::Relaxed);
                lock(&seen.wrong).push(format!("the victim answers /{nonce} with {what:?}"));
            }
        }
        thread::sleep(PAUSE);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
