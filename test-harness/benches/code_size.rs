//! How large the parts are: lines of code, neither blank, nor comment, nor test.

use denali_chart::bars::{self, Bar};
use denali_tidy::budget::count_below;
use denali_tidy::sources;
use test_harness::cli::repository;
use test_harness::evaluation;

/// The parts, and the folders each lies in.
const PARTS: [(&str, &[&str]); 9] = [
    ("decisions", &["host-kernel/core/src"]),
    ("machine half", &["host-kernel/src"]),
    ("of it drivers", &["host-kernel/src/drivers"]),
    (
        "ABI and its helpers",
        &["host-kernel/abi/src", "host-kernel/freestanding/src"],
    ),
    (
        "supervisor",
        &[
            "host-kernel/supervisor/src",
            "host-kernel/supervisor/protocol/src",
            "host-kernel/supervisor/shell/src",
            "host-kernel/supervisor/store/src",
        ],
    ),
    ("runtime", &["denali-rt/src"]),
    ("std", &["denali-std/src"]),
    ("cargo denali", &["denali-build/src"]),
    ("harness", &["test-harness/src", "test-harness/tidy/src"]),
];

fn main() {
    let sources = sources(repository());
    let bar = |(name, folders): &(&str, &[&str])| Bar {
        name: (*name).to_owned(),
        #[expect(clippy::cast_precision_loss, reason = "figures for people")]
        parts: vec![count_below(&sources, folders).lines as f64],
    };
    let bars: Vec<Bar> = PARTS.iter().map(bar).collect();
    let chart = bars::svg("Lines of code", &["lines"], &bars);
    evaluation::save("code-size", &chart, &bars::json(&["lines"], &bars));
}
