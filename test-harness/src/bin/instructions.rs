//! `cargo run -p test-harness --bin instructions`: prints what an HTTP request takes, and with
//! `--record` writes it to the file that suite `requests` holds the tree to.

use test_harness::requests::{self, Bench, Recorded, WORKS};

#[expect(clippy::print_stdout, reason = "the table is its output")]
fn main() {
    let bench = Bench::set_up();
    println!("| request | service | kernel | instructions |\n|---|---|---|---|");
    let mut recorded = Recorded::new();
    for work in WORKS {
        let taken = bench.measure(&work);
        let (name, sum) = (work.name, taken.sum());
        println!("| {name} | {} | {} | {sum} |", taken.guests, taken.kernel);
        recorded.insert(name.to_owned(), sum);
    }
    if std::env::args().any(|argument| argument == "--record") {
        requests::record(&recorded);
    }
}
