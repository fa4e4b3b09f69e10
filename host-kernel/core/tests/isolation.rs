//! Performance isolation: one honest service beside nine hogs of each kind, in virtual time.
//!
//! `cargo test -p denali-kernel-core --test isolation -- --nocapture` prints the tables.

mod host;
mod world;

use denali_abi::control::Limits;
use denali_abi::hypercall::Hypercall;
use host::seed;
use world::{Kind, World};

/// The policies compared.
const PLAIN: &str = "scheduler=round-robin queue=drop-tail";
const FAIR: &str = "scheduler=fair queue=drr";

/// Kinds of hogs.
const HOGS: [Kind; 6] = [
    Kind::Cpu,
    Kind::Packets,
    Kind::Broadcasts,
    Kind::Timers,
    Kind::Console,
    Kind::Pages,
];

/// Hogs beside the honest service.
const HOGS_EACH: usize = 9;

/// How long shares are measured.
const SHARE_RUN_NS: u64 = 500_000_000;

/// How long latencies are measured.
const LATENCY_RUN_NS: u64 = 1_000_000_000;

fn beside(honest: Kind, hogs: &[Kind]) -> Vec<(Kind, Limits)> {
    let mut guests = vec![(honest, Limits::default())];
    for &hog in hogs {
        guests.extend([(hog, Limits::default()); HOGS_EACH]);
    }
    guests
}

/// Returns the share of the CPU that a service which computes without end gets, in parts of what it
/// is entitled to.
fn share(policies: &str, hogs: &[Kind]) -> f64 {
    let guests = beside(Kind::Cpu, hogs);
    let mut world = World::new(policies, 1, &guests);
    world.run(SHARE_RUN_NS);
    world.host.audit();
    let entitled_ns = SHARE_RUN_NS as f64 / guests.len() as f64;
    world.useful_ns(0) as f64 / entitled_ns
}

/// Returns the 99th percentile of a server's latency in microseconds.
fn p99_us(policies: &str, hogs: &[Kind], seed: u64) -> f64 {
    let mut world = World::new(policies, seed, &beside(Kind::Server, hogs));
    world.run(LATENCY_RUN_NS);
    world.host.audit();
    let mut latencies = world.latencies_ns;
    latencies.sort_unstable();
    assert!(latencies.len() > 50, "{} answers", latencies.len());
    latencies[latencies.len() * 99 / 100] as f64 / 1000.0
}

#[test]
fn probe() {
    let seed = seed(1);
    let alone = p99_us(FAIR, &[], seed);
    println!("alone {alone}");
    for hog in HOGS {
        let start = std::time::Instant::now();
        println!("{hog:?} share {:.3} {:.3}", share(PLAIN, &[hog]), share(FAIR, &[hog]));
        println!("  took {:?}", start.elapsed());
        println!("{hog:?} p99 {:.0} {:.0}", p99_us(PLAIN, &[hog], seed), p99_us(FAIR, &[hog], seed));
        println!("  took {:?}", start.elapsed());
    }
    let _ = Hypercall::Yield;
}
