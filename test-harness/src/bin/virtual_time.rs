//! `cargo run -p test-harness --bin virtual_time [NAME…]`: what the victim's client waits for beside
//! each attack, counted in instructions; with `hogs`, the table of nine hogs of each kind.

use anyhow::{Result, ensure};
use denali_attacks::THEMES;
use std::path::Path;
use test_harness::containment::kernel_of;
use test_harness::containment::virtual_time::{Figures, HOGS, measure};
use test_harness::host::Host;

/// Answers that a latency is made of.
const ANSWERS: usize = 100;

/// Scenes that fit into a director's arguments.
const SCENES: usize = 60;

/// What is compared.
const POLICIES: [&str; 2] = [
    "scheduler=round-robin queue=drop-tail",
    "scheduler=fair queue=drr",
];

fn main() -> Result<()> {
    let names: Vec<String> = std::env::args().skip(1).collect();
    let kernel = kernel_of(&Host::up(&[]).status())?;
    if names == ["hogs"] {
        return compare(&kernel);
    }
    let all = THEMES
        .iter()
        .flat_map(|(_, attacks)| attacks.iter().map(|attack| attack.name.to_owned()));
    let chosen: Vec<String> = all
        .filter(|name| names.is_empty() || names.contains(name))
        .collect();
    ensure!(!chosen.is_empty(), "no attack of that name");
    for scenes in chosen.chunks(SCENES) {
        print(&measure(&kernel, "", ANSWERS, scenes)?);
    }
    Ok(())
}

/// Prints what an honest service gets beside nine hogs of each kind, with both sets of policies.
fn compare(kernel: &Path) -> Result<()> {
    let scenes: Vec<String> = HOGS
        .iter()
        .flat_map(|hog| [format!("{hog}:9:share"), format!("{hog}:9")])
        .collect();
    for policies in POLICIES {
        say(policies);
        print(&measure(kernel, policies, ANSWERS, &scenes)?);
    }
    Ok(())
}

fn print(figures: &Figures) {
    for share in &figures.shares {
        let (whole, part) = (share.thousandths / 10, share.thousandths % 10);
        say(&format!(
            "{} of {:<28} share {whole}.{part} %",
            share.copies, share.beside
        ));
    }
    for latency in &figures.latencies {
        let [median, p99, slowest] =
            [latency.median_ns, latency.p99_ns, latency.slowest_ns].map(|ns| ns / 1000);
        say(&format!(
            "{} of {:<28} {} answers, median {median} µs, p99 {p99} µs, slowest {slowest} µs",
            latency.copies, latency.beside, latency.answers
        ));
    }
}

#[expect(clippy::print_stdout, reason = "a command talks to its user")]
fn say(line: &str) {
    println!("{line}");
}
