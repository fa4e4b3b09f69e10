//! `cargo prepush`: everything to check before a push that is not a test.

use anyhow::{Context as _, Result, bail};
use denali_tidy::{budget, panics, sources};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// One run of cargo.
struct Check {
    name: &'static str,
    arguments: &'static str,
    environment: Option<(&'static str, &'static str)>,
}

/// The kernel comes by itself, as it shares no features with tools that need `std`, and is linked once
/// more so that it keeps its relocations, which GRUB does not load. Guests come once as host programs
/// and once as they are compiled for a VM, those with `std` by
/// themselves, as there the panic handler is `std`'s.
const CHECKS: [Check; 8] = [
    Check {
        name: "format",
        arguments: "fmt --all --check",
        environment: None,
    },
    Check {
        name: "clippy",
        arguments: "clippy -q --all-targets -- -D warnings",
        environment: None,
    },
    Check {
        name: "clippy, kernel",
        arguments: "clippy -q -p host-kernel --all-targets -- -D warnings",
        environment: None,
    },
    Check {
        name: "clippy, guests",
        arguments: "clippy -q -p denali-rt \
                    -p denali-supervisor -p denali-guests -p denali-attacks -p echo \
                    -p mqtt -p game-server -p edge-cache \
                    --target x86_64-unknown-linux-gnu --target-dir target/denali-clippy \
                    -- -D warnings",
        environment: Some(("RUSTFLAGS", "--cfg denali")),
    },
    Check {
        name: "clippy, std",
        arguments: "clippy -q -p denali-std --target x86_64-unknown-linux-gnu \
                    --target-dir target/denali-std-clippy -- -D warnings",
        environment: Some(("RUSTFLAGS", "--cfg denali --cfg denali_std")),
    },
    Check {
        name: "documentation",
        arguments: "doc -q --workspace --no-deps --document-private-items",
        environment: Some(("RUSTDOCFLAGS", "-D warnings")),
    },
    Check {
        name: "tidy",
        arguments: "tidy",
        environment: None,
    },
    Check {
        name: "kernel",
        arguments: "rustc -q --release -p host-kernel --bin host-kernel --target-dir target/panics \
                    -- -C link-arg=-Wl,--emit-relocs",
        environment: None,
    },
];

fn main() -> Result<()> {
    let mut failed = Vec::new();
    for Check {
        name,
        arguments,
        environment,
    } in CHECKS
    {
        let start = Instant::now();
        let status = Command::new(env!("CARGO"))
            .args(arguments.split_whitespace())
            .envs(environment)
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
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let wrong = panics::check(&root.join("target/panics/release/host-kernel"))?;
    wrong.iter().for_each(|finding| report(finding));
    if !wrong.is_empty() {
        failed.push("panics");
    }
    report(&budget::count(&sources(&root)).to_string());
    if !failed.is_empty() {
        bail!("not ready to push: {}", failed.join(", "));
    }
    Ok(())
}

#[expect(clippy::print_stderr, reason = "a command-line tool talks to its user")]
fn report(line: &str) {
    eprintln!("{line}");
}
