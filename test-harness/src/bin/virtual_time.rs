//! `cargo run -p test-harness --bin virtual_time [NAME[+NAME…]…]`: what the victim's client waits for beside
//! each attack, counted in instructions; with `batches`, beside those that the suite `attacks` runs
//! side by side; with `hogs`, beside nine hogs of each kind, and what an honest service gets of the
//! CPU there.

use anyhow::{Result, bail, ensure};
use denali_attacks::{THEMES, find};
use std::path::Path;
use test_harness::containment::kernel_of;
use test_harness::containment::virtual_time::{
    ANSWERS_BESIDE_A_BATCH, Figures, HOGS, every_batch, measure,
};
use test_harness::host::Host;

/// Answers that a latency is made of.
const ANSWERS: usize = 50;

/// As above, beside nine hogs: a hundred times slower with the worse policies.
const ANSWERS_BESIDE_HOGS: usize = 20;

/// What is compared.
const POLICIES: [&str; 2] = [
    "scheduler=round-robin queue=drop-tail",
    "scheduler=fair queue=drr",
];

fn main() -> Result<()> {
    let names: Vec<String> = std::env::args().skip(1).collect();
    let kernel = kernel_of(&Host::up(&[]).status())?;
    match &*names {
        [name] if name == "hogs" => return compare(&kernel),
        [name] if name == "batches" => {
            let scenes = every_batch();
            return judge(&measure(&kernel, "", ANSWERS_BESIDE_A_BATCH, &scenes)?);
        }
        _ => {}
    }
    for name in names.iter().flat_map(|names| names.split('+')) {
        ensure!(find(name).is_some(), "there is no attack `{name}`");
    }
    let all = THEMES.iter().flat_map(|(_, attacks)| attacks.iter());
    let scenes: Vec<String> = match &*names {
        [] => all.map(|attack| format!("{} 1", attack.name)).collect(),
        names => names.iter().map(|names| format!("{names} 1")).collect(),
    };
    judge(&measure(&kernel, "", ANSWERS, &scenes)?)
}

/// Prints figures, and fails if the client waited too long.
fn judge(figures: &Figures) -> Result<()> {
    print(figures);
    match &*figures.too_slow() {
        [] => Ok(()),
        slow => bail!("{}", slow.join("\n")),
    }
}

/// Prints what an honest service gets beside nine hogs of each kind, with both sets of policies.
fn compare(kernel: &Path) -> Result<()> {
    let scenes: Vec<String> = HOGS
        .iter()
        .flat_map(|hog| [format!("{hog} 9 share"), format!("{hog} 9")])
        .collect();
    for policies in POLICIES {
        say(policies);
        print(&measure(kernel, policies, ANSWERS_BESIDE_HOGS, &scenes)?);
    }
    Ok(())
}

fn print(figures: &Figures) {
    for share in &figures.shares {
        let (whole, part) = (share.thousandths / 10, share.thousandths % 10);
        let beside = share.beside.join(" ");
        let copies = share.copies;
        say(&format!("{beside:<32} {copies} share {whole}.{part} %"));
    }
    for latency in &figures.latencies {
        let [median, p99, slowest] =
            [latency.median_ns, latency.p99_ns, latency.slowest_ns].map(|ns| ns / 1000);
        let beside = latency.beside.join(" ");
        let (copies, answers) = (latency.copies, latency.answers);
        say(&format!(
            "{beside:<32} {copies} {answers} answers, median {median} µs, p99 {p99} µs, slowest \
             {slowest} µs"
        ));
    }
}

#[expect(clippy::print_stdout, reason = "a command talks to its user")]
fn say(line: &str) {
    println!("{line}");
}
