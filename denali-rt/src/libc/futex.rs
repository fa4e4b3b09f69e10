//! Waiting for a word of memory to change: what the locks of C are made of (Franke, Russell and
//! Kirkwood 2002, "Fuss, Futexes and Furwocks").
//!
//! A lock is a number in the program's memory, all of it; who waits is known here by its address.

use crate::interrupt;
use crate::sync::GuestCell;
use crate::thread::ThreadId;
use crate::thread::scheduler::{self, Wake};
use crate::time::Instant;
use alloc::collections::BTreeMap;
use core::sync::atomic::{AtomicU32, Ordering};

/// Why a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// Somebody woke the thread.
    Woken,
    /// The word had another value already.
    Changed,
    /// The time was up.
    TimedOut,
}

/// A wake for everybody.
pub(super) const ALL: u32 = u32::MAX;

static WAITERS: GuestCell<Waiters> = GuestCell::new(Waiters {
    threads: BTreeMap::new(),
    next_ticket: 0,
});

/// Who waits, by address and then in the order they came.
struct Waiters {
    threads: BTreeMap<(usize, u64), Waiter>,
    next_ticket: u64,
}

struct Waiter {
    thread: ThreadId,
    /// A wake counts if it shares a bit with this.
    bits: u32,
}

/// Waits until woken, if `word` has the value `expected`, or until `deadline`.
pub(super) fn wait(word: &AtomicU32, expected: u32, deadline: Option<Instant>) -> Ended {
    wait_bits(word, expected, deadline, ALL)
}

/// Like [`wait`], for wakes that share a bit with `bits`.
pub(super) fn wait_bits(
    word: &AtomicU32,
    expected: u32,
    deadline: Option<Instant>,
    bits: u32,
) -> Ended {
    // From the test to the wait nobody else runs.
    let _masked = interrupt::mask();
    if word.load(Ordering::Acquire) != expected {
        return Ended::Changed;
    }
    let thread = scheduler::current();
    let key = WAITERS.with(|waiters| {
        let key = (address(word), waiters.next_ticket);
        waiters.next_ticket += 1;
        waiters.threads.insert(key, Waiter { thread, bits });
        key
    });
    let was_up = scheduler::block(deadline) == Wake::Deadline;
    // One whose time was up may have been woken before it ran again.
    if was_up
        && WAITERS
            .with(|waiters| waiters.threads.remove(&key))
            .is_some()
    {
        return Ended::TimedOut;
    }
    Ended::Woken
}

/// Wakes up to `count` threads that wait for `word`, those first who came first. Returns how many.
pub(super) fn wake(word: &AtomicU32, count: u32) -> u32 {
    wake_bits(word, count, ALL)
}

/// Like [`wake`], for those whose bits share one with `bits`.
pub(super) fn wake_bits(word: &AtomicU32, count: u32, bits: u32) -> u32 {
    let address = address(word);
    let mut woken = 0;
    while woken < count {
        let thread = WAITERS.with(|waiters| {
            let mut at_word = waiters.threads.range((address, 0)..=(address, u64::MAX));
            let key = *at_word.find(|(_, waiter)| waiter.bits & bits != 0)?.0;
            waiters.threads.remove(&key)
        });
        let Some(waiter) = thread else {
            break;
        };
        scheduler::wake(waiter.thread);
        woken += 1;
    }
    woken
}

fn address(word: &AtomicU32) -> usize {
    core::ptr::from_ref(word).addr()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::Arc;
    use crate::thread;
    use crate::time::Duration;

    #[test]
    fn who_waits_is_woken_in_order_or_by_its_bits() {
        let word = Arc::new(AtomicU32::new(1));
        let start = |bits| {
            let word = word.clone();
            thread::spawn(move || wait_bits(&word, 1, None, bits))
        };
        let (first, second, third) = (start(1), start(2), start(1));
        thread::yield_now();
        assert_eq!(wake_bits(&word, ALL, 2), 1);
        assert_eq!(second.join(), Ended::Woken);
        assert_eq!(wake(&word, 1), 1);
        assert_eq!(first.join(), Ended::Woken);
        assert!(!third.is_finished());
        assert_eq!((wake(&word, ALL), wake(&word, ALL)), (1, 0));
        assert_eq!(third.join(), Ended::Woken);
    }

    #[test]
    fn a_wait_ends_with_its_time_and_does_not_begin_in_vain() {
        let word = AtomicU32::new(1);
        assert_eq!(wait(&word, 2, None), Ended::Changed);
        let soon = Instant::now() + Duration::from_millis(1);
        assert_eq!(wait(&word, 1, Some(soon)), Ended::TimedOut);
        assert_eq!(wake(&word, ALL), 0);
    }
}
