//! No request takes more instructions than recorded, but for five per cent.

use std::process::ExitCode;
use test_harness::requests::{Bench, WORKS, recorded};
use test_harness::{facts, suite, wire};

/// By how many per cent a request may take more than recorded before it counts as worse.
const TOLERANCE: u64 = 5;

/// How often a work that seems worse is measured: on a busy machine it may be the client that is.
const TRIES: u32 = 3;

#[expect(clippy::print_stdout, reason = "why nothing is checked")]
fn main() -> ExitCode {
    if !wire::is_possible() {
        println!("a network of its own takes root: nothing is checked here");
        return ExitCode::SUCCESS;
    }
    suite::run(
        Bench::set_up,
        &facts![
            bulk_streams_arrive_whole_in_super_segments,
            a_request_takes_no_more_instructions_than_recorded,
        ],
    )
}

fn bulk_streams_arrive_whole_in_super_segments(bench: &Bench) {
    bench.carry_bulk(1 << 20);
}

#[expect(clippy::print_stdout, reason = "figures to read in the log")]
fn a_request_takes_no_more_instructions_than_recorded(bench: &Bench) {
    let recorded = recorded();
    let worse = WORKS.iter().filter(|work| {
        let before = recorded[work.name];
        let is_worse = |_| {
            let taken = bench.measure(work).sum();
            println!("{}: {taken} instructions, recorded {before}", work.name);
            taken * 100 > before * (100 + TOLERANCE)
        };
        (0..TRIES).all(is_worse)
    });
    let worse: Vec<_> = worse.map(|work| work.name).collect();
    assert!(
        worse.is_empty(),
        "{worse:?} take more; if that is meant, record it: \
         cargo run -p test-harness --bin instructions -- --record"
    );
}
