//! `cargo run -p test-harness --bin figures`: prints the table of `docs/src/evaluation/footprint.md`.

use test_harness::figures;

#[expect(clippy::print_stdout, reason = "the table is its output")]
fn main() {
    println!("| what | figure | |\n|---|---|---|");
    for figure in figures::all() {
        println!("| {} | {} | {} |", figure.name, figure.value, figure.unit);
    }
}
