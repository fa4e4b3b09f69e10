//! `cargo prepush`: everything to check before a push that is not a test.

use anyhow::{Context as _, Result, bail};
use denali_tidy::{budget, cargo, panics, sources};
use std::path::Path;
use std::thread;
use std::time::Instant;

/// One run of cargo.
struct Check {
    name: &'static str,
    arguments: &'static str,
    environment: Option<(&'static str, &'static str)>,
}

/// What cargo does in the folder it always does: one after the other, as each locks it. The kernel
/// comes by itself, as it shares no features with tools that need `std`.
const HERE: [Check; 5] = [
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
        name: "documentation",
        arguments: "doc -q --workspace --no-deps --document-private-items",
        environment: Some(("RUSTDOCFLAGS", "-D warnings")),
    },
    Check {
        name: "tidy",
        arguments: "tidy",
        environment: None,
    },
];

/// What it does meanwhile in folders of their own. Guests come as they are compiled for a VM, those with
/// `std` by themselves, as there the panic handler is `std`'s. The kernel is linked once more so that it
/// keeps its relocations, which GRUB does not load.
const ELSEWHERE: [Check; 3] = [
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
        environment: Some((
            "RUSTFLAGS",
            "--cfg denali --cfg denali_std --cfg denali_volumes",
        )),
    },
    Check {
        name: "kernel",
        arguments: "rustc -q --release -p host-kernel --bin host-kernel --target-dir target/panics \
                    -- -C link-arg=-Wl,--emit-relocs",
        environment: None,
    },
];

fn main() -> Result<()> {
    let lanes = thread::scope(|scope| {
        let lanes = [&HERE[..], &ELSEWHERE[..]].map(|checks| scope.spawn(|| in_turn(checks)));
        lanes.map(|lane| lane.join().expect("a lane does not panic"))
    });
    let mut failed = Vec::new();
    for lane in lanes {
        failed.extend(lane?);
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let kernel = root.join("target/panics/release/host-kernel");
    let wrong = panics::check(&kernel, &root.join("host-kernel"))?;
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

/// Makes one check after the other and tells what each found. Returns the names of those that failed.
fn in_turn(checks: &[Check]) -> Result<Vec<&'static str>> {
    let mut failed = Vec::new();
    for check in checks {
        let start = Instant::now();
        let output = cargo::command()
            .args(check.arguments.split_whitespace())
            .envs(check.environment)
            .output()
            .context("cannot run cargo")?;
        let is_fine = output.status.success();
        let verdict = if is_fine { "ok" } else { "FAILED" };
        let name = check.name;
        let took = start.elapsed().as_secs_f32();
        let written = [output.stdout, output.stderr].concat();
        let written = String::from_utf8_lossy(&written);
        report(&format!("{name:<16} {verdict:<7} {took:>5.1} s"));
        if !is_fine {
            report(&written);
            failed.push(name);
        }
    }
    Ok(failed)
}

#[expect(clippy::print_stderr, reason = "a command-line tool talks to its user")]
fn report(line: &str) {
    eprintln!("{line}");
}
