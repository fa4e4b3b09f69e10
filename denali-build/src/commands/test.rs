//! `cargo denali test`

use super::build::BuildOptions;
use super::run;
use crate::client::Client;
use crate::console::{self, Steps};
use crate::failure::{Failure, Status};
use crate::manifest;
use crate::qemu::Internet;
use crate::service;
use crate::testing::choice::{Choice, Chosen};
use crate::testing::list;
use crate::testing::report::{self, Report, Shown, Style};
use anyhow::{Context, Result};
use clap::Parser;
use std::time::Instant;

/// Arguments of `test`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Run only tests whose names contain this
    filter: Option<String>,
    #[command(flatten)]
    options: BuildOptions,
    /// Build the tests, but do not run them
    #[arg(long)]
    no_run: bool,
    /// Memory of the VM, such as `8M`, instead of the manifest's
    #[arg(long, value_name = "SIZE", value_parser = memory)]
    memory: Option<u64>,
    /// Let the tests reach what this machine reaches
    #[arg(long)]
    internet: bool,
    /// Options of the tests: see `cargo denali test -- --help`
    #[arg(last = true)]
    test_options: Vec<String>,
}

/// Builds the project's tests, runs them in VMs on a host of their own, and reports each.
///
/// # Errors
///
/// They do not build, the host does not start, or a test fails: [`Status::TestFailed`].
pub fn exec(args: &Args) -> Result<()> {
    let choice = choice(args);
    let built = service::build_tests(&args.options.request(), args.memory)?;
    if args.no_run {
        return console::line(&built.executable.display().to_string());
    }
    let program = std::fs::read(&built.executable)
        .with_context(|| format!("reading `{}`", built.executable.display()))?;
    let tests = list::read(&program)?;
    let (chosen, left_out) = choice.of(&tests);
    if choice.list {
        return console::line(&report::list(&chosen));
    }
    let name = &built.manifest.name;
    let words = format!("`{name}` in a VM ({})", built.executable.display());
    console::status("Running", &words);
    if run_tests(args, &choice, &built, &chosen, left_out)? {
        return Ok(());
    }
    Err(Failure::new(Status::TestFailed, "test failed")
        .help("run one alone and see all it writes: cargo denali test NAME -- --nocapture")
        .into())
}

fn memory(text: &str) -> Result<u64, String> {
    manifest::parse_memory(text).ok_or_else(|| "write for example 8M".to_owned())
}

/// Returns what was asked for on either side of `--`; clap ends the program if it makes no sense.
fn choice(args: &Args) -> Choice {
    let mut choice = Choice::parse_from(&args.test_options);
    choice.filters.extend(args.filter.clone());
    choice
}

/// Runs the chosen tests, and returns whether none failed.
fn run_tests(
    args: &Args,
    choice: &Choice,
    built: &service::Service,
    chosen: &[Chosen<'_>],
    left_out: usize,
) -> Result<bool> {
    let style = match choice.quiet {
        true => Style::Characters,
        false => Style::Lines,
    };
    let shown = match (choice.nocapture, choice.show_output) {
        (true, _) => Shown::Live,
        (false, true) => Shown::All,
        (false, false) => Shown::Failed,
    };
    let start = || Report::start(std::io::stdout(), style, shown, chosen.len());
    if !chosen.iter().any(|chosen| chosen.runs) {
        let mut report = start()?;
        for chosen in chosen {
            report.ignored(chosen.test)?;
        }
        return report.finish(left_out, std::time::Duration::ZERO);
    }
    let internet = match args.internet {
        true => Internet::Open,
        false => Internet::Closed,
    };
    let (host, target) = run::boot(&mut Steps::new(), "test", internet, &[])?;
    let client = Client::connect(&target)?;
    let mut report = start()?;
    let started = Instant::now();
    crate::testing::run::run(&client, built, chosen, &mut report)?;
    let success = report.finish(left_out, started.elapsed())?;
    drop(client);
    host.end()?;
    Ok(success)
}
