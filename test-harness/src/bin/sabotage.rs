//! `cargo run -p test-harness --bin sabotage [NAME…]`: shows that the attack suite can fail.
//!
//! For each sabotage it builds a kernel with one protection removed (`--cfg sabotage="NAME"`) and
//! runs the attacks that ought to notice. A sabotage that nobody notices is a hole in the suite.

use anyhow::{Context as _, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use test_harness::cli::{repository, target_dir};
use test_harness::containment::{Arena, kernel_of};
use test_harness::home::Home;
use test_harness::host::Host;

/// One protection taken away, and which attacks ought to notice.
struct Sabotage {
    /// The value of `cfg(sabotage)`.
    name: &'static str,
    /// The theme that notices.
    theme: &'static str,
    /// The attacks of the theme to run; none means all.
    attacks: &'static [&'static str],
}

/// A theme that is no list of attacks: what leaks is seen when all is over.
const COMPARISON: &str = "comparison";

/// A theme that is no list of attacks: what the processor says.
const PROCESSOR: &str = "processor";

const fn sabotage(
    name: &'static str,
    theme: &'static str,
    attacks: &'static [&'static str],
) -> Sabotage {
    Sabotage {
        name,
        theme,
        attacks,
    }
}

const SABOTAGES: [Sabotage; 19] = [
    sabotage(
        "skip-zeroing",
        "memory",
        &["heap-starts-as-zero", "stacks-start-as-zero"],
    ),
    sabotage(
        "skip-flush",
        "memory",
        &[
            "released-pages-read-as-zero",
            "released-pages-are-not-the-old",
        ],
    ),
    sabotage(
        "no-guards",
        "addresses",
        &["read-small-stack-guard", "write-large-stack-guard"],
    ),
    sabotage("writable-registers", "addresses", &["write-registers-page"]),
    sabotage(
        "executable-data",
        "memory",
        &["execute-heap", "execute-stack", "execute-rodata"],
    ),
    sabotage(
        "release-anything",
        "memory",
        &["release-text", "release-registers"],
    ),
    sabotage("open-ports", PROCESSOR, &[]),
    sabotage("keep-io-privilege", "flags", &["flags-io-privilege"]),
    sabotage(
        "open-gates",
        "instructions",
        &["int-timer", "int-linux", "int-last"],
    ),
    sabotage(
        "skip-umip",
        "instructions",
        &["sgdt", "sidt", "sldt", "str", "smsw"],
    ),
    sabotage(
        "skip-vectors",
        "vector-state",
        &["vectors-behind-a-hypercall", "vectors-kept-by-preemption"],
    ),
    sabotage(
        "skip-bases",
        "vector-state",
        &["segment-bases-are-ones-own", "segment-bases-in-the-kernel"],
    ),
    sabotage(
        "trust-index",
        "queues",
        &["tx-index-one-too-far", "tx-index-half-way"],
    ),
    sabotage(
        "trust-flags",
        "queues",
        &["tx-unknown-flags", "tx-segment-size"],
    ),
    sabotage(
        "open-switch",
        "network",
        &["mac-of-a-neighbour", "source-of-nobody", "dhcp-offer"],
    ),
    sabotage("open-control", "control", &["host-status", "vm-next"]),
    sabotage(
        "tolerate-numbers",
        "hypercalls",
        &["linux-write", "number-behind-ours"],
    ),
    sabotage("leak-frames", COMPARISON, &[]),
    sabotage("leak-promises", COMPARISON, &[]),
];

fn main() -> Result<ExitCode> {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|it| it == name);
    let chosen: Vec<_> = SABOTAGES.iter().filter(|it| is_wanted(it.name)).collect();
    ensure!(
        !chosen.is_empty(),
        "no sabotage is called {}",
        wanted.join(" or ")
    );
    let sound = sound_artifacts()?;
    let mut unnoticed = Vec::new();
    for sabotage in chosen {
        let findings = prove(sabotage, &sound)?;
        let first = findings
            .first()
            .map(|it| it.lines().next().unwrap_or_default());
        say(&format!(
            "{:20} {:3} findings  {}",
            sabotage.name,
            findings.len(),
            first.unwrap_or("NOBODY NOTICED")
        ));
        if findings.is_empty() {
            unnoticed.push(sabotage.name);
        }
    }
    if unnoticed.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    say(&format!("unnoticed: {}", unnoticed.join(", ")));
    Ok(ExitCode::FAILURE)
}

/// Boots a host with a sabotaged kernel and returns what the attacks find.
fn prove(sabotage: &Sabotage, sound: &Path) -> Result<Vec<String>> {
    let home = Home::with_empty_cache();
    let digest = sound
        .file_name()
        .context("the cache has a folder for each digest")?;
    let folder = home.path().join("cache/denali").join(digest);
    fs::create_dir_all(&folder).context("a folder of ours")?;
    fs::copy(
        sound.join("supervisor.image"),
        folder.join("supervisor.image"),
    )
    .context("the supervisor")?;
    fs::copy(build_kernel(sabotage.name)?, folder.join("kernel.elf")).context("the kernel")?;

    let arena = Arena::boot(home);
    match sabotage.theme {
        PROCESSOR => arena.inspect_processor(),
        COMPARISON => {
            for _ in 0..4 {
                arena.run("control", |_| true)?;
                arena.run("hypercalls", |_| true)?;
            }
            arena.compare()
        }
        theme => arena.run(theme, |name| {
            sabotage.attacks.is_empty() || sabotage.attacks.contains(&name)
        }),
    }
}

/// Returns the folder with kernel and supervisor as they are.
fn sound_artifacts() -> Result<PathBuf> {
    let host = Host::up(&[]);
    let kernel = kernel_of(&host.status())?;
    let folder = kernel.parent().context("the kernel lies in a folder")?;
    Ok(folder.to_owned())
}

/// Builds the kernel without the protection `name` and returns it.
fn build_kernel(name: &str) -> Result<PathBuf> {
    let target = target_dir().join("harness/sabotage");
    let status = Command::new(env!("CARGO"))
        .args([
            "build",
            "--quiet",
            "--release",
            "--package",
            "host-kernel",
            "--bin",
            "host-kernel",
        ])
        .arg("--target-dir")
        .arg(&target)
        .current_dir(repository())
        .env("RUSTFLAGS", format!("--cfg sabotage=\"{name}\""))
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .status()
        .context("starting cargo")?;
    ensure!(
        status.success(),
        "the kernel does not build with sabotage `{name}`"
    );
    Ok(target.join("release/host-kernel"))
}

#[expect(clippy::print_stdout, reason = "a command talks to its user")]
fn say(line: &str) {
    println!("{line}");
}
