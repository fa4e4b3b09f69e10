//! Performance isolation: one honest service beside nine hogs of each kind, in virtual time.
//!
//! `cargo test -p denali-kernel-core --test isolation -- --nocapture` prints the tables.

#![expect(clippy::print_stdout, reason = "a table is what this test is for")]

mod host;
mod world;

use denali_abi::control::Limits;
use host::seeds::seed;
use world::{Kind, WARM_UP_NS, World};

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
const SHARE_RUN_NS: u64 = 400_000_000;

/// How long latencies are measured: some 100 requests.
const LATENCY_RUN_NS: u64 = 800_000_000;

/// How long requests on their way at the end may take to be answered.
const GRACE_NS: u64 = 1_000_000;

/// What an honest service gets beside hogs.
#[derive(Clone, Copy, Debug)]
struct Measured {
    /// CPU time of a service that computes without end, in thousandths of what it is entitled to.
    share: u64,
    /// 99th percentile of a server's latency.
    p99_us: u64,
    /// Thousandths of the requests that are answered at all.
    answered: u64,
}

fn beside(honest: Kind, hogs: &[Kind]) -> Vec<(Kind, Limits)> {
    let mut guests = vec![(honest, Limits::default())];
    for &hog in hogs {
        guests.extend([(hog, Limits::default()); HOGS_EACH]);
    }
    guests
}

fn measure(policies: &str, hogs: &[Kind], seed: u64) -> Measured {
    let guests = beside(Kind::Cpu, hogs);
    let mut world = World::new(policies, seed, &guests);
    world.run(WARM_UP_NS);
    let before_ns = world.useful_ns(0);
    world.run(SHARE_RUN_NS);
    world.host.audit();
    let entitled_ns = SHARE_RUN_NS / guests.len() as u64;
    let share = (world.useful_ns(0) - before_ns) * 1000 / entitled_ns;

    let mut world = World::new(policies, seed, &beside(Kind::Server, hogs));
    world.run(WARM_UP_NS + LATENCY_RUN_NS);
    world.stop_requests();
    world.run(GRACE_NS);
    world.host.audit();
    let mut latencies = world.latencies_ns.clone();
    latencies.sort_unstable();
    let answered = latencies.len() as u64 * 1000 / world.requests();
    Measured {
        share,
        p99_us: latencies[latencies.len() * 99 / 100] / 1000,
        answered,
    }
}

fn print_row(name: &str, policies: &str, measured: Measured) {
    let Measured {
        share,
        p99_us,
        answered,
    } = measured;
    let [share, answered] = [share, answered].map(|part| format!("{}.{}", part / 10, part % 10));
    println!("{name:<12} {policies:<38} {share:>8} % {p99_us:>8} us {answered:>8} %");
}

#[test]
fn an_honest_service_keeps_its_share_and_its_latency_beside_nine_hogs_of_each_kind() {
    let seed = seed(1);
    println!(
        "beside       policies                                 share    p99 latency  answered"
    );
    let alone = measure(FAIR, &[], seed);
    print_row("nobody", FAIR, alone);
    for hog in HOGS {
        let name = format!("9 {hog:?}");
        print_row(&name, PLAIN, measure(PLAIN, &[hog], seed));
        let fair = measure(FAIR, &[hog], seed);
        print_row(&name, FAIR, fair);
        assert!(fair.share >= 950, "share beside {hog:?}: {fair:?}");
        if hog == Kind::Cpu {
            assert!(fair.share <= 1050, "share beside {hog:?}: {fair:?}");
        }
        let bound_us = alone.p99_us * 3 / 2;
        assert!(fair.p99_us <= bound_us, "latency beside {hog:?}: {fair:?}");
        assert_eq!(fair.answered, 1000, "answers beside {hog:?}: {fair:?}");
    }
}
