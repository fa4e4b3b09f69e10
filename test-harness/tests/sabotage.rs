//! Some kernels that lack a protection, others each day: those who ought to notice do.
//!
//! `DENALI_DAY=n` takes those of another day; `cargo run -p test-harness --bin sabotage` takes all.

use std::process::ExitCode;
use test_harness::sabotage::{Judge, SABOTAGES, Sabotage};
use test_harness::{facts, suite};

fn main() -> ExitCode {
    suite::run(
        suite::day,
        &facts![
            a_host_without_a_protection_is_noticed,
            a_core_without_one_is_noticed
        ],
    )
}

/// Proves the `count` sabotages of the day among some.
fn prove(day: usize, count: usize, among: impl Fn(&&Sabotage) -> bool) {
    let among: Vec<_> = SABOTAGES.iter().filter(among).collect();
    for nth in 0..count {
        let sabotage = among[(day * count + nth) % among.len()];
        let findings = sabotage.prove().expect("it builds and runs");
        assert!(!findings.is_empty(), "nobody noticed `{}`", sabotage.name);
    }
}

fn needs_a_host(sabotage: &&Sabotage) -> bool {
    !matches!(sabotage.judge, Judge::Core(_) | Judge::Panics)
}

fn a_host_without_a_protection_is_noticed(&day: &usize) {
    prove(day, 1, needs_a_host);
}

fn a_core_without_one_is_noticed(&day: &usize) {
    prove(day, 2, |sabotage| !needs_a_host(sabotage));
}
