//! `cargo prepush`: everything to check before a push that is not a test.

use anyhow::{Context as _, Result, bail};
use std::process::Command;
use std::time::Instant;

/// Name, arguments of cargo, environment.
type Check = (
    &'static str,
    &'static [&'static str],
    &'static [(&'static str, &'static str)],
);

/// Guest code compiled as it is for a VM, which the plain clippy run never sees.
const GUEST_CLIPPY: &[&str] = &[
    "clippy",
    "-q",
    "-p",
    "denali-rt",
    "-p",
    "denali-supervisor",
    "-p",
    "denali-guests",
    "--target",
    "x86_64-unknown-linux-gnu",
    "--target-dir",
    "target/denali-clippy",
    "--",
    "-D",
    "warnings",
];

const CHECKS: [Check; 5] = [
    ("format", &["fmt", "--all", "--check"], &[]),
    (
        "clippy",
        &[
            "clippy",
            "-q",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ],
        &[],
    ),
    (
        "clippy, guests",
        GUEST_CLIPPY,
        &[("RUSTFLAGS", "--cfg denali")],
    ),
    (
        "documentation",
        &[
            "doc",
            "-q",
            "--workspace",
            "--no-deps",
            "--document-private-items",
        ],
        &[("RUSTDOCFLAGS", "-D warnings")],
    ),
    ("tidy", &["tidy"], &[]),
];

fn main() -> Result<()> {
    let mut failed = Vec::new();
    for (name, arguments, environment) in CHECKS {
        let start = Instant::now();
        let status = Command::new(env!("CARGO"))
            .args(arguments)
            .envs(environment.iter().copied())
            .status()
            .context("cannot run cargo")?;
        let verdict = if status.success() { "ok" } else { "FAILED" };
        report(&format!(
            "{name:<16} {verdict:<7} {:>5.1} s",
            start.elapsed().as_secs_f32()
        ));
        if !status.success() {
            failed.push(name);
        }
    }
    if !failed.is_empty() {
        bail!("not ready to push: {}", failed.join(", "));
    }
    Ok(())
}

#[expect(clippy::print_stderr, reason = "a command-line tool talks to its user")]
fn report(line: &str) {
    eprintln!("{line}");
}
