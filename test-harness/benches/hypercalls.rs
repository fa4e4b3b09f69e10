//! What leaving a VM takes: each hypercall that answers at once, and the way to another VM and back.

use denali_chart::bars::{self, Bar};
use test_harness::calls::{board, count_calls};
use test_harness::evaluation;
use test_harness::host::Host;

/// What is shown, and its name in the chart.
const SHOWN: [(&str, &str); 6] = [
    ("yield", "yield, to nobody"),
    ("network_notify", "network notify, null"),
    ("idle_with_timeout", "idle, with work to do"),
    ("random", "random, 32 bytes"),
    ("console_write", "console, 64 bytes"),
    ("switch", "another VM and back"),
];

/// Measures against leaks of the processor, and their names in the chart.
const MEASURES: [(&str, &str); 3] = [
    ("measures=off", "null, no measures"),
    ("measures=pti=on", "null, page tables apart"),
    ("measures=all", "null, all measures"),
];

fn main() {
    let host = Host::up(&[]);
    let counted = count_calls(&host, &board(&host));
    let bar = |name: &str, cost: u64| Bar {
        name: name.to_owned(),
        #[expect(clippy::cast_precision_loss, reason = "figures for people")]
        parts: vec![cost as f64],
    };
    let calls = SHOWN.iter().map(|(call, name)| bar(name, counted[*call]));
    let measures = MEASURES.iter().map(|(word, name)| {
        let counted = count_calls(&host, &board(&host).command_line(word));
        bar(name, counted["network_notify"])
    });
    let bars: Vec<Bar> = calls.chain(measures).collect();
    let chart = bars::svg("Instructions of hypercalls", &["instructions"], &bars);
    evaluation::save("hypercalls", &chart, &bars::json(&["instructions"], &bars));
}
