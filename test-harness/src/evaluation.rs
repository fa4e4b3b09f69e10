//! Where `cargo bench` leaves what it measured: charts of the book, and their data.

use crate::cli;

/// The folder of charts.
const FOLDER: &str = "docs/src/evaluation/curves";

/// Writes a chart and its data, and says so.
///
/// # Panics
///
/// If they cannot be written.
#[expect(clippy::print_stdout, reason = "the data is the output of a bench")]
pub fn save(name: &str, svg: &str, json: &str) {
    let folder = cli::repository().join(FOLDER);
    denali_chart::save(&folder, name, svg, json).expect("a folder of ours");
    println!("{FOLDER}/{name}.svg:\n{json}");
}
