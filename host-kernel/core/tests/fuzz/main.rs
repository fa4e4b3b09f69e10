//! Hypercalls, rings and frames at random, close to what is valid, over memory that lies.
//!
//! ```console
//! $ cargo test -p denali-kernel-core --test fuzz                               # 10^7 calls
//! $ DENALI_FUZZ_CALLS=1000000000 cargo test -p denali-kernel-core --test fuzz  # 10^9
//! $ DENALI_SEED=n DENALI_FUZZ_CALLS=1 cargo test -p denali-kernel-core --test fuzz   # one campaign
//! ```
//!
//! A campaign is [`CAMPAIGN_CALLS`] calls on a host of its own. One that fails names its seed.

mod campaign;
#[path = "../host/mod.rs"]
mod host;
mod input;

use campaign::{Campaign, Counts};
use host::seeds::{count, run_all, seeds};
use std::ops::Add as _;

/// Calls of one campaign.
const CAMPAIGN_CALLS: u64 = 50_000;

/// Calls of the normal run.
const CALLS: u64 = 10_000_000;

fn run(seed: u64) -> Counts {
    let mut campaign = Campaign::new(seed);
    while campaign.counts().calls < CAMPAIGN_CALLS {
        campaign.step();
    }
    campaign.finish()
}

#[test]
fn no_call_and_no_ring_reaches_a_panic_or_breaks_an_invariant() {
    let campaigns = count("DENALI_FUZZ_CALLS", CALLS).div_ceil(CAMPAIGN_CALLS);
    let repeat = "DENALI_FUZZ_CALLS=1 cargo test -p denali-kernel-core --test fuzz";
    let counts = run_all(seeds(campaigns), repeat, run, Counts::add);
    println!("{campaigns} campaigns: {counts:?}");
    // What never gets through is not tested behind the door.
    assert!(counts.answered > counts.calls / 20, "{counts:?}");
    assert!(counts.refused > counts.calls / 20, "{counts:?}");
    assert!(
        counts.ended > 0 && counts.sent > 0 && counts.audits > 0,
        "{counts:?}"
    );
}
