//! What services cost may not rise unseen: figures are held against what was recorded of them.

use std::process::ExitCode;
use test_harness::figures::{self, Figure};
use test_harness::host::Host;
use test_harness::{facts, suite};

/// How often pages are counted that seem to have become more.
const TRIES: usize = 3;

fn main() -> ExitCode {
    suite::run(
        || Host::up(&[]),
        &facts![
            images_are_no_larger_than_recorded,
            idle_vms_hold_no_more_pages_than_recorded,
        ],
    )
}

#[expect(clippy::print_stdout, reason = "figures are for the reader of the log")]
fn check(figures: &[Figure]) {
    for figure in figures {
        println!("     {}: {} {}", figure.name, figure.value, figure.unit);
    }
    let risen: Vec<_> = figures.iter().filter(|it| !it.is_as_recorded()).collect();
    assert!(risen.is_empty(), "more than recorded: {risen:?}");
}

fn images_are_no_larger_than_recorded(_host: &Host) {
    check(&figures::images());
}

/// Measures up to [`TRIES`] times: on a busy machine threads of the service come in another order, and leave a page or
/// two of the heap in pieces.
fn idle_vms_hold_no_more_pages_than_recorded(host: &Host) {
    let mut least = figures::idle_pages(host);
    for _ in 1..TRIES {
        if least.iter().all(Figure::is_as_recorded) {
            break;
        }
        for (least, again) in least.iter_mut().zip(figures::idle_pages(host)) {
            least.value = least.value.min(again.value);
        }
    }
    check(&least);
}
