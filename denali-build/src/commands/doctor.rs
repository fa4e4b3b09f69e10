//! `cargo denali doctor`: whether this machine, and a host, have what they need.

use super::ls::HostOption;
use crate::client::Client;
use crate::failure::{Failure, Status};
use crate::host::state;
use crate::{cargo, console, qemu};
use anyhow::{Context as _, Result};
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

/// How long a host's clock is compared with ours.
const CLOCK_COMPARED: Duration = Duration::from_secs(2);

/// Most by which a host's clock may run fast or slow, in thousandths: more is no drift but a fault.
const CLOCK_ERROR_MAX: u64 = 100;

/// What lines of the kernel's boot log about protections have.
const SAID: [&str; 7] = [
    "protections: ",
    "CPU lacks",
    "measures ",
    "vector state: ",
    ": covered",
    ": open: ",
    "hardware threads",
];

/// Arguments of `doctor`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    host: HostOption,
}

/// What to make of what one look found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    /// It is as it should be.
    Ok,
    /// Nothing holds this off.
    Open,
    /// It is not there.
    Missing,
}

/// What one look found.
struct Check {
    what: &'static str,
    mark: Mark,
    /// What is there, or what is missing and what to do.
    text: String,
}

impl Check {
    fn new(what: &'static str, found: Result<String, String>) -> Self {
        let (mark, text) = match found {
            Ok(text) => (Mark::Ok, text),
            Err(text) => (Mark::Missing, text),
        };
        Self { what, mark, text }
    }
}

/// Looks at everything, and says what is missing.
///
/// # Errors
///
/// Something is missing on this machine ([`Status::Usage`]), or the host does not answer.
pub fn exec(args: &Args) -> Result<()> {
    let mut checks = vec![
        program("cargo", cargo::command(), "install Rust: https://rustup.rs"),
        program(
            "rustc",
            Command::new("rustc"),
            "install Rust: https://rustup.rs",
        ),
        linker(),
        program(
            "qemu",
            Command::new(qemu::PROGRAM),
            "apt install qemu-system-x86",
        ),
    ];
    let is_missing = |check: &Check| check.mark == Mark::Missing;
    let missing_here = checks.iter().any(is_missing);
    let local = state::all()?;
    if args.host.is_given() || !local.is_empty() {
        checks.extend(ask_host(&args.host));
    } else {
        let none = "none is up on this machine; name another with --host";
        checks.push(Check::new("host", Ok(none.to_owned())));
    }
    for Check { what, mark, text } in &checks {
        let mark = match mark {
            Mark::Ok => "ok",
            Mark::Open => "open",
            Mark::Missing => "MISSING",
        };
        console::line(&format!("{mark:<8} {what:<12} {text}"))?;
    }
    match checks.iter().any(is_missing) {
        false => Ok(()),
        true if missing_here => {
            Err(Failure::new(Status::Usage, "something is missing on this machine").into())
        }
        true => Err(Failure::new(Status::Unreachable, "the host is not as it should be").into()),
    }
}

/// Asks a program for its version.
fn program(what: &'static str, mut command: Command, help: &str) -> Check {
    let output = command.arg("--version").output();
    let found = match output {
        Ok(output) if output.status.success() => {
            let text = String::from_utf8_lossy(&output.stdout);
            Ok(text.lines().next().unwrap_or_default().to_owned())
        }
        Ok(output) => Err(format!("it ends with {}; {help}", output.status)),
        Err(error) => Err(format!("{error}; {help}")),
    };
    Check::new(what, found)
}

/// Looks for the linker that comes with the toolchain.
fn linker() -> Check {
    let find = || -> Result<String> {
        let output = Command::new("rustc")
            .args(["--print", "target-libdir"])
            .output()?;
        let folder = String::from_utf8(output.stdout).context("the toolchain's folder")?;
        let folder = std::path::Path::new(folder.trim()).with_file_name("bin");
        let lld = folder.join("rust-lld");
        fs::metadata(&lld).with_context(|| lld.display().to_string())?;
        Ok(lld.display().to_string())
    };
    let found = find().map_err(|error| format!("{error:#}; rustup component add rustc"));
    Check::new("linker", found)
}

/// Asks a host what it is, how its clock runs, and what protects it.
fn ask_host(option: &HostOption) -> Vec<Check> {
    let check =
        |what, found: Result<String>| Check::new(what, found.map_err(|error| format!("{error:#}")));
    let connected = option.target().and_then(|target| Client::connect(&target));
    let client = match connected {
        Ok(client) => client,
        Err(error) => return vec![check("host", Err(error))],
    };
    let mut checks = vec![
        check("host", reach(&client)),
        check("clock", compare_clocks(&client)),
    ];
    match client.boot_report() {
        Ok(report) => checks.extend(protections(&report)),
        Err(error) => checks.push(check("kernel", Err(error))),
    }
    checks
}

fn reach(client: &Client) -> Result<String> {
    let started = Instant::now();
    let host = client.host()?;
    let took = console::seconds(started.elapsed());
    let free = console::size(host.memory_available);
    Ok(format!(
        "denali {}, ABI {}, answers in {took}; {} VMs, {free} to promise",
        host.version, host.abi_version, host.vms
    ))
}

/// Compares how fast the host's clock runs with how fast ours does.
fn compare_clocks(client: &Client) -> Result<String> {
    let (began, theirs) = (Instant::now(), client.host()?.uptime_ns);
    std::thread::sleep(CLOCK_COMPARED);
    let theirs = client.host()?.uptime_ns.saturating_sub(theirs);
    let ours = u64::try_from(began.elapsed().as_nanos())?.max(1);
    let rate = theirs.saturating_mul(1000) / ours;
    anyhow::ensure!(
        rate.abs_diff(1000) <= CLOCK_ERROR_MAX,
        "it runs at {}.{:03} of ours",
        rate / 1000,
        rate % 1000
    );
    Ok(format!(
        "runs at {}.{:03} of ours",
        rate / 1000,
        rate % 1000
    ))
}

/// Returns what the kernel said of its protections when it booted.
fn protections(report: &str) -> Vec<Check> {
    let says = |text: &&str| SAID.iter().any(|word| text.contains(word));
    // "[    0.000000] denali: warning: Spectre v1: open: …"
    let texts = report
        .lines()
        .filter_map(|line| line.split_once("denali: "));
    let texts = texts.map(|(_, text)| text).filter(says);
    texts
        .map(|text| {
            let (mark, text) = match text.strip_prefix("warning: ") {
                Some(text) => (Mark::Open, text),
                None => (Mark::Ok, text),
            };
            Check {
                what: "kernel",
                mark,
                text: text.to_owned(),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays_open_is_told_from_what_is_covered() {
        let report = "[    0.000000] denali: loaded by Pvh\n\
                      [    0.000000] denali: measures on: pti; off: none\n\
                      [    0.000000] denali: Meltdown: covered by page-table isolation (pti)\n\
                      [    0.000000] denali: warning: Spectre v1: open: indices\n\
                      [    0.000000] denali: warning: this CPU lacks SMAP: a bug\n";
        let shown: Vec<_> = protections(report)
            .into_iter()
            .map(|check| (check.mark, check.text))
            .collect();
        let expected = [
            (Mark::Ok, "measures on: pti; off: none"),
            (Mark::Ok, "Meltdown: covered by page-table isolation (pti)"),
            (Mark::Open, "Spectre v1: open: indices"),
            (Mark::Open, "this CPU lacks SMAP: a bug"),
        ];
        assert_eq!(shown, expected.map(|(mark, text)| (mark, text.to_owned())));
    }
}
