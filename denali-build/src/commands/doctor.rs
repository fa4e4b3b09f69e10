//! `cargo denali doctor`: whether this machine, and a host, have what they need.

use super::ls::HostOption;
use crate::client::Client;
use crate::failure::{Failure, Status};
use crate::host::{Target, state};
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

/// What one look found.
struct Check {
    what: &'static str,
    /// What is there, or what is missing and what to do.
    found: Result<String, String>,
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
    let missing_here = checks.iter().any(|check| check.found.is_err());
    let local = state::all()?;
    if args.host.is_given() || !local.is_empty() {
        checks.extend(ask_host(&args.host));
    } else {
        checks.push(Check {
            what: "host",
            found: Ok("none is up on this machine; name another with --host".to_owned()),
        });
    }
    let mut missing = 0;
    for Check { what, found } in &checks {
        let (mark, text) = match found {
            Ok(text) => ("ok", text),
            Err(text) => ("MISSING", text),
        };
        missing += usize::from(found.is_err());
        console::line(&format!("{mark:<8} {what:<12} {text}"))?;
    }
    match missing {
        0 => Ok(()),
        _ if missing_here => {
            Err(Failure::new(Status::Usage, "something is missing on this machine").into())
        }
        _ => Err(Failure::new(Status::Unreachable, "the host is not as it should be").into()),
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
    Check { what, found }
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
    Check {
        what: "linker",
        found: find().map_err(|error| format!("{error:#}; rustup component add rustc")),
    }
}

/// Asks a host what it is, how its clock runs, and what protects it.
fn ask_host(option: &HostOption) -> Vec<Check> {
    let check = |what, found: Result<String>| Check {
        what,
        found: found.map_err(|error| format!("{error:#}")),
    };
    let connected = option.target().and_then(|target| {
        let client = Client::connect(&target)?;
        Ok((target, client))
    });
    let (target, client) = match connected {
        Ok(connected) => connected,
        Err(error) => return vec![check("host", Err(error))],
    };
    let mut checks = vec![
        check("host", reach(&client)),
        check("clock", compare_clocks(&client)),
    ];
    checks.extend(
        protections(&target)
            .into_iter()
            .map(|line| check("kernel", Ok(line))),
    );
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

/// Returns what the kernel of a host on this machine said of its protections when it booted.
fn protections(target: &Target) -> Vec<String> {
    let Some(running) = target.running() else {
        let elsewhere = "what protects it is in its boot log, on its serial port";
        return vec![elsewhere.to_owned()];
    };
    let log = fs::read(running.serial_log()).unwrap_or_default();
    let log = String::from_utf8_lossy(&log);
    // "[    0.000000] denali: warning: Spectre v1: open: …"
    let after_name = |line: &'_ str| line.split_once("denali: ").map(|(_, text)| text.to_owned());
    let lines = log.lines().filter_map(after_name);
    let says = |line: &String| SAID.iter().any(|word| line.contains(word));
    lines.filter(says).collect()
}
