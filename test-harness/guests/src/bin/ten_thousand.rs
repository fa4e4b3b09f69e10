//! Runs ten thousand threads at once, as many tasks, and tells what that takes.

#![no_std]
#![cfg_attr(denali, no_main)]

extern crate alloc;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering};
use denali_rt::sync::WaitQueue;
use denali_rt::thread::{self, Builder};
use denali_rt::time::{Duration, Instant};
use denali_rt::{heap, interrupt, println, registers, task};

denali_rt::entry!(main);

const THREADS: u32 = 10_000;

/// Switches that are timed.
const SWITCHES: u32 = 100_000;

fn main() {
    threads();
    tasks();
    time_switches();
    time_polls();
}

/// Starts threads that all wait, and lets them go.
fn threads() {
    let before = registers::resident_pages();
    let gate = Arc::new(WaitQueue::new());
    let arrived = Arc::new(AtomicUsize::new(0));
    let mut handles = Vec::new();
    for number in 0..THREADS {
        let (gate, arrived) = (Arc::clone(&gate), Arc::clone(&arrived));
        let spawned = Builder::new().spawn(move || {
            let _masked = interrupt::mask();
            arrived.fetch_add(1, Ordering::Relaxed);
            gate.wait();
            number
        });
        match spawned {
            Ok(handle) => handles.push(handle),
            Err(error) => {
                println!("no thread {number}: {error}");
                break;
            }
        }
    }
    let started = handles.len();
    while arrived.load(Ordering::Relaxed) < started {
        thread::yield_now();
    }
    let pages = registers::resident_pages() - before;
    gate.wake_all();
    let sum: u32 = handles.into_iter().map(thread::JoinHandle::join).sum();
    let after = registers::resident_pages() - before;
    println!("threads {started} pages {pages} after {after} sum {sum}");
}

/// The same with tasks.
fn tasks() {
    let before = heap::stats().allocated_bytes;
    let gate = Arc::new(WaitQueue::new());
    let (bytes, sum) = task::block_on(async {
        let wait = |number| {
            let gate = Arc::clone(&gate);
            task::spawn(async move {
                gate.wait_async().await;
                number
            })
        };
        let handles: Vec<_> = (0..THREADS).map(wait).collect();
        task::sleep(Duration::from_millis(100)).await;
        let bytes = heap::stats().allocated_bytes - before;
        gate.wake_all();
        let mut sum = 0;
        for handle in handles {
            sum += handle.await;
        }
        (bytes, sum)
    });
    println!("tasks {THREADS} bytes {bytes} sum {sum}");
}

/// Times switches between two threads.
fn time_switches() {
    let other = thread::spawn(|| (0..SWITCHES).for_each(|_| thread::yield_now()));
    let start = Instant::now();
    (0..SWITCHES).for_each(|_| thread::yield_now());
    let spent = start.elapsed();
    other.join();
    let each = spent.as_nanos() / u128::from(2 * SWITCHES);
    println!("switch {each} ns");
}

/// Times polls of two tasks.
fn time_polls() {
    let spent = task::block_on(async {
        let other = task::spawn(yield_often());
        let start = Instant::now();
        yield_often().await;
        let spent = start.elapsed();
        other.await;
        spent
    });
    let each = spent.as_nanos() / u128::from(2 * SWITCHES);
    println!("poll {each} ns");
}

async fn yield_often() {
    for _ in 0..SWITCHES {
        task::yield_now().await;
    }
}
