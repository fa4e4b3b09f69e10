//! What each hypercall costs, counted and held against the reference.

use denali_tidy::hypercalls::{Costs, DECLARATION, PAGE, costs, render};
use std::fs;
use std::process::ExitCode;
use test_harness::cli::repository;
use test_harness::guest::Guest;
use test_harness::host::Host;
use test_harness::machine::{boot_files, count};
use test_harness::{facts, suite};

fn main() -> ExitCode {
    suite::run(
        || Host::up(&[]),
        &facts![each_costs_what_the_reference_says_and_a_switch_what_the_design_says],
    )
}

/// A cost may be a twentieth off before somebody says why.
const TOLERANCE: u64 = 20;

/// Instructions from one VM to another and back, with its yield.
const SWITCH_MAX: u64 = 2_150;

fn each_costs_what_the_reference_says_and_a_switch_what_the_design_says(host: &Host) {
    let [kernel, _] = boot_files(host.status().pid);
    let image = Guest::new("costs").memory("8M").image(host.home());
    let log = count(host.home(), &kernel, &image, "counted");
    let mut counted: Costs = log
        .lines()
        .filter_map(|line| {
            let mut words = line.strip_prefix("cost ")?.split(' ');
            Some((words.next()?.to_owned(), words.next()?.parse().ok()?))
        })
        .collect();
    let switch = counted.remove("switch").expect("a switch was counted");
    assert!(switch <= SWITCH_MAX, "a switch and back costs {switch}");
    let page = repository().join(PAGE);
    let said = fs::read_to_string(&page).expect("the reference");
    if std::env::var_os("DENALI_RECORD").is_some() {
        let declared = fs::read_to_string(repository().join(DECLARATION)).expect("the ABI");
        fs::write(&page, render(&said, &declared, &counted)).expect("a page of ours");
        return;
    }
    let recorded = costs(&said);
    let wrong: Vec<_> = counted
        .iter()
        .map(|(name, &cost)| (name, cost, recorded.get(name).copied().unwrap_or(0)))
        .filter(|&(_, cost, before)| cost.abs_diff(before) > before / TOLERANCE)
        .map(|(name, cost, before)| format!("`{name}` costs {cost} instructions, not {before}"))
        .collect();
    assert!(
        wrong.is_empty(),
        "mend it, or say why in a commit that records it with DENALI_RECORD=1:\n{}",
        wrong.join("\n")
    );
}
