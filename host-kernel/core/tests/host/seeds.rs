//! Seeds of random tests: where they come from, many side by side, and how to repeat what fails.

use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// Most threads: other tests run at the same time.
const THREADS_MAX: usize = 2;

/// Returns the seed of a random test, from `DENALI_SEED` or `default`, and prints it.
pub fn seed(default: u64) -> u64 {
    let seed = count("DENALI_SEED", default);
    println!("DENALI_SEED={seed}");
    seed
}

/// Returns how often something is to be done: from the environment, or `default`.
pub fn count(name: &str, default: u64) -> u64 {
    let value = std::env::var(name).ok().and_then(|text| text.parse().ok());
    value.unwrap_or(default)
}

/// Returns `seeds` seeds, from `DENALI_SEED` or 1 on.
pub fn seeds(seeds: u64) -> Range<u64> {
    let first = seed(1);
    first..first.saturating_add(seeds)
}

/// Runs each seed, on a few threads, and folds the results. A seed that fails is named with the
/// arguments of `cargo test -p denali-kernel-core` and the environment that repeat it.
pub fn run_all<T: Default + Send>(
    seeds: Range<u64>,
    repeat: &'static str,
    run: impl Fn(u64) -> T + Sync,
    fold: impl Fn(T, T) -> T + Sync,
) -> T {
    let next = AtomicU64::new(seeds.start);
    let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let work = || {
        let mut sum = T::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return sum;
            }
            let _named = Seed { seed, repeat };
            sum = fold(sum, run(seed));
        }
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..cores.min(THREADS_MAX))
            .map(|_| scope.spawn(work))
            .collect();
        let results = threads
            .into_iter()
            .map(|thread| thread.join().expect("no seed fails"));
        results.fold(T::default(), &fold)
    })
}

/// The seed of one of many runs; it says how to repeat the run if that fails.
struct Seed {
    seed: u64,
    repeat: &'static str,
}

impl Drop for Seed {
    fn drop(&mut self) {
        if thread::panicking() {
            let Self { seed, repeat } = self;
            println!("repeat: DENALI_SEED={seed} {repeat}");
        }
    }
}
