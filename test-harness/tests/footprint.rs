//! What services cost may not rise unseen: figures are held against what was recorded of them.

use std::process::ExitCode;
use test_harness::figures::{self, Figure};
use test_harness::host::Host;
use test_harness::{facts, suite};

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

fn idle_vms_hold_no_more_pages_than_recorded(host: &Host) {
    check(&figures::idle_pages(host));
}
