//! No request takes more instructions than recorded, but for five per cent.

use std::process::ExitCode;
use test_harness::requests::{Bench, WORKS, recorded};
use test_harness::{facts, suite, wire};

/// By how many per cent a request may take more than recorded before it counts as worse.
const TOLERANCE: u64 = 5;

#[expect(clippy::print_stdout, reason = "why nothing is checked")]
fn main() -> ExitCode {
    if !wire::is_possible() {
        println!("a network of its own takes root: nothing is checked here");
        return ExitCode::SUCCESS;
    }
    suite::run(
        Bench::set_up,
        &facts![a_request_takes_no_more_instructions_than_recorded],
    )
}

#[expect(clippy::print_stdout, reason = "figures to read in the log")]
fn a_request_takes_no_more_instructions_than_recorded(bench: &Bench) {
    let recorded = recorded();
    let mut worse = Vec::new();
    for work in WORKS {
        let taken = bench.measure(work).sum();
        let before = recorded[work.name];
        println!("{}: {taken} instructions, recorded {before}", work.name);
        if taken * 100 > before * (100 + TOLERANCE) {
            worse.push(work.name);
        }
    }
    assert!(
        worse.is_empty(),
        "{worse:?} take more; if that is meant, record it: \
         cargo run --release -p test-harness --bin instructions -- --record"
    );
}
