//! What each hypercall costs, counted and held against the reference.

use denali_build::host::data;
use denali_tidy::hypercalls::{Costs, DECLARATION, PAGE, costs, render};
use std::fs;
use std::process::ExitCode;
use test_harness::calls::{board, count_calls};
use test_harness::cli::repository;
use test_harness::host::Host;
use test_harness::{facts, suite};

fn main() -> ExitCode {
    suite::run(
        || Host::up(&[]),
        &facts![
            each_costs_what_the_reference_says_and_a_switch_what_the_design_says,
            measures_against_leaks_cost_what_their_page_says,
        ],
    )
}

/// A cost may be a twentieth off before somebody says why.
const TOLERANCE: u64 = 20;

/// Calls of which only their refusals can be counted where there is no disk.
const DISK_CALLS: [&str; 2] = ["block_submit", "store_open"];

/// Instructions from one VM to another and back, with its yield.
const SWITCH_MAX: u64 = 2_150;

/// Counts the calls that want a disk.
fn count_disk_calls(host: &Host) -> Costs {
    let disk = host.home().path().join("disk");
    data::make(&disk, data::SIZE_MIN).expect("a disk");
    let mut counted = count_calls(host, &board(host).virtio_disk(&disk));
    counted.retain(|name, _| DISK_CALLS.contains(&&**name));
    counted
}

fn each_costs_what_the_reference_says_and_a_switch_what_the_design_says(host: &Host) {
    let mut counted = count_calls(host, &board(host));
    counted.append(&mut count_disk_calls(host));
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

fn measures_against_leaks_cost_what_their_page_says(host: &Host) {
    let page = repository().join("docs/src/reference/measures.md");
    let page = fs::read_to_string(page).expect("the page");
    for measures in ["measures=off", "measures=pti=on", "measures=all"] {
        let counted = count_calls(host, &board(host).command_line(measures))["network_notify"];
        let start = format!("| `{measures}` | ");
        let row = page.lines().find_map(|line| line.strip_prefix(&start));
        let said = row.and_then(|rest| rest.trim_end_matches(" |").parse::<u64>().ok());
        let said = said.unwrap_or(0);
        assert!(
            counted.abs_diff(said) <= said / TOLERANCE,
            "a null call with {measures} costs {counted} instructions, not {said}"
        );
    }
}
