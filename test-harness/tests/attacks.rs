//! One host, a victim that is asked all the time, and every attack we know.
//!
//! What happened is in `target/harness/containment.json` afterwards.

use anyhow::Result;
use denali_attacks::THEMES;
use std::process::ExitCode;
use test_harness::containment::Arena;
use test_harness::home::Home;
use test_harness::{facts, suite};

fn main() -> ExitCode {
    suite::run(
        || Arena::boot(Home::new()),
        &facts![
            each_attack_comes_to_its_declared_end,
            no_malformed_package_is_taken,
            a_service_that_crashes_again_and_again_harms_nobody,
            every_port_is_closed_and_the_kernel_is_as_built,
            the_victim_answers_in_time_beside_every_attack,
            the_host_is_as_before,
        ],
    )
}

#[track_caller]
fn assert_nothing(wrong: Result<Vec<String>>) {
    let wrong = wrong.expect("the host does as it is told");
    assert!(
        wrong.is_empty(),
        "{} findings:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

fn each_attack_comes_to_its_declared_end(arena: &Arena) {
    let mut wrong = Vec::new();
    for (theme, _) in THEMES {
        wrong.extend(
            arena
                .run(theme, |_| true)
                .expect("the host does as it is told"),
        );
    }
    assert_nothing(Ok(wrong));
}

fn no_malformed_package_is_taken(arena: &Arena) {
    assert_nothing(arena.run_packages());
}

fn a_service_that_crashes_again_and_again_harms_nobody(arena: &Arena) {
    assert_nothing(arena.run_fault_storm("divide-by-zero", 20));
}

fn every_port_is_closed_and_the_kernel_is_as_built(arena: &Arena) {
    assert_nothing(arena.inspect_processor());
}

fn the_victim_answers_in_time_beside_every_attack(arena: &Arena) {
    assert_nothing(arena.measure_latency());
}

fn the_host_is_as_before(arena: &Arena) {
    let wrong = arena.compare();
    arena.write_record().expect("a folder that can be written");
    assert_nothing(wrong);
}
