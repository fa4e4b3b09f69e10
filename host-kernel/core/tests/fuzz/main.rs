//! Hypercalls, rings and frames at random, close to what is valid, over memory that lies.
//!
//! ```console
//! $ cargo test -p denali-kernel-core --test fuzz                               # 10^7 calls
//! $ DENALI_FUZZ_CALLS=1000000000 cargo test -p denali-kernel-core --test fuzz  # 10^9
//! $ DENALI_SEED=n DENALI_FUZZ_CALLS=1 cargo test -p denali-kernel-core --test fuzz   # one campaign
//! ```
//!
//! A campaign is [`CAMPAIGN_CALLS`] calls on a host of its own. One that fails names its seed.

#![expect(clippy::print_stdout, reason = "says how to repeat what fails")]

mod campaign;
#[path = "../host/mod.rs"]
mod host;
mod input;

use campaign::{Campaign, Counts};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// Calls of one campaign.
const CAMPAIGN_CALLS: u64 = 50_000;

/// Calls of the normal run.
const CALLS: u64 = 10_000_000;

fn from_environment(name: &str, default: u64) -> u64 {
    let value = std::env::var(name).ok().and_then(|text| text.parse().ok());
    value.unwrap_or(default)
}

/// Names the seed of a campaign that fails.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if thread::panicking() {
            let Self(seed) = self;
            println!(
                "repeat: DENALI_SEED={seed} DENALI_FUZZ_CALLS=1 \
                 cargo test -p denali-kernel-core --test fuzz"
            );
        }
    }
}

fn run(seed: u64) -> Counts {
    let seed = Seed(seed);
    let mut campaign = Campaign::new(seed.0);
    while campaign.counts().calls < CAMPAIGN_CALLS {
        campaign.step();
    }
    campaign.finish()
}

#[test]
fn no_call_and_no_ring_reaches_a_panic_or_breaks_an_invariant() {
    let first = from_environment("DENALI_SEED", 1);
    let campaigns = from_environment("DENALI_FUZZ_CALLS", CALLS).div_ceil(CAMPAIGN_CALLS);
    let next = AtomicU64::new(first);
    let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let work = || {
        let mut counts = Counts::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed - first >= campaigns {
                return counts;
            }
            counts += run(seed);
        }
    };
    let counts = thread::scope(|scope| {
        let threads: Vec<_> = (0..cores.min(2)).map(|_| scope.spawn(work)).collect();
        let counts = threads
            .into_iter()
            .map(|thread| thread.join().expect("no campaign fails"));
        counts.fold(Counts::default(), |sum, counts| sum + counts)
    });
    println!("{campaigns} campaigns from DENALI_SEED={first}: {counts:?}");
    // What never gets through is not tested behind the door.
    assert!(counts.answered > counts.calls / 20, "{counts:?}");
    assert!(counts.refused > counts.calls / 20, "{counts:?}");
    assert!(
        counts.ended > 0 && counts.sent > 0 && counts.audits > 0,
        "{counts:?}"
    );
}
