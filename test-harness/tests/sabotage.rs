//! Some kernels that lack a protection, others each day: those who ought to notice do.
//!
//! `DENALI_DAY=n` takes those of another day; `cargo run -p test-harness --bin sabotage` takes all.

use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};
use test_harness::sabotage::{Judge, SABOTAGES, Sabotage};
use test_harness::{facts, suite};

const SECONDS_A_DAY: u64 = 24 * 60 * 60;

fn main() -> ExitCode {
    suite::run(
        day,
        &facts![
            a_host_without_a_protection_is_noticed,
            a_core_without_one_is_noticed
        ],
    )
}

/// Returns which day it is, in days since 1970 or by the environment.
fn day() -> usize {
    let given = std::env::var("DENALI_DAY")
        .ok()
        .and_then(|text| text.parse().ok());
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let seconds = since.expect("it is later than 1970").as_secs();
    given.unwrap_or(usize::try_from(seconds / SECONDS_A_DAY).expect("not that late"))
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
