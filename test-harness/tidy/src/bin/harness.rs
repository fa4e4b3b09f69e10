//! `cargo harness`: every test of the workspace, test programs beside each other as there are processors.
//!
//! Suites that boot a machine keep one processor busy and wait for the rest of the time, which `cargo test` leaves
//! unused as it runs one program after the other.

use anyhow::{Context as _, Result, bail, ensure};
use cargo_metadata::{MetadataCommand, TargetKind};
use std::collections::{BTreeSet, VecDeque};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Package whose test programs boot machines.
const MACHINES: &str = "test-harness";

/// The one that begins: it builds the longest, kernel and supervisor first. All that boot machines need these, so the
/// other lanes run what boots none meanwhile.
const FIRST: &str = "std_examples";

/// Of the others those that build most, the longest first: what is left at the end is short, so no lane waits for
/// another.
const LONGEST: [&str; 4] = ["attacks", "service_tests", "first_use", "std_services"];

/// One run of `cargo test`.
struct Job {
    /// Which targets it is told to test; packages may have some of one name.
    targets: Vec<String>,
}

/// How a job ended.
struct Verdict {
    name: String,
    command: String,
    passed: bool,
    took: Duration,
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let start = Instant::now();
    build()?;
    let jobs = Mutex::new(VecDeque::from(jobs()?));
    let logs = logs()?;
    let lanes = thread::available_parallelism().map_or(1, usize::from);
    let outcomes = thread::scope(|scope| {
        let lane = || in_turn(&jobs, &arguments, &logs);
        let lanes: Vec<_> = (0..lanes).map(|_| scope.spawn(lane)).collect();
        let outcomes = lanes
            .into_iter()
            .map(|lane| lane.join().expect("a lane does not panic"));
        outcomes.collect::<Result<Vec<_>>>()
    })?;
    summarize(outcomes.into_iter().flatten().collect(), start.elapsed())
}

/// Builds all test programs, so that what does not compile is said once and first.
fn build() -> Result<()> {
    let status = cargo(&["--no-run".to_owned(), "--quiet".to_owned()]).status();
    ensure!(
        status.context("cannot run cargo")?.success(),
        "the tests do not build"
    );
    Ok(())
}

/// Lists a job for each test program, one for the tests within crates, one for those in documentation.
fn jobs() -> Result<Vec<Job>> {
    let metadata = MetadataCommand::new().no_deps().exec()?;
    let packages = metadata.workspace_packages();
    let targets = |kind: TargetKind, boots: bool| {
        let these = packages.iter().filter(|it| (it.name == MACHINES) == boots);
        let all = these.flat_map(|package| &package.targets);
        let tested = all.filter(|target| target.test && target.kind.contains(&kind));
        tested
            .map(|target| target.name.clone())
            .collect::<BTreeSet<_>>()
    };
    let (machines, mut others) = (
        targets(TargetKind::Test, true),
        targets(TargetKind::Test, false),
    );
    others.retain(|name| !machines.contains(name));
    let mut machines: Vec<_> = machines.into_iter().collect();
    machines.sort_by_key(|program| {
        let place = LONGEST.iter().position(|it| it == program);
        (program != FIRST, place.unwrap_or(LONGEST.len()))
    });
    let test = |name| vec!["--test".to_owned(), name];
    let mut machines = machines.into_iter().map(test);
    let first = machines.next();
    let within = [true, false]
        .into_iter()
        .flat_map(|boots| targets(TargetKind::Bin, boots));
    let within = within.flat_map(|name| ["--bin".to_owned(), name]);
    let library = [
        std::iter::once("--lib".to_owned()).chain(within).collect(),
        vec!["--doc".to_owned()],
    ];
    let others = others.into_iter().map(test);
    let all = first
        .into_iter()
        .chain(others)
        .chain(library)
        .chain(machines);
    Ok(all.map(|targets| Job { targets }).collect())
}

/// Makes the folder for what the jobs write.
fn logs() -> Result<PathBuf> {
    let metadata = MetadataCommand::new().no_deps().exec()?;
    let folder = metadata
        .target_directory
        .join("harness/logs")
        .into_std_path_buf();
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    Ok(folder)
}

/// Does one job after the other until none is left.
fn in_turn(jobs: &Mutex<VecDeque<Job>>, arguments: &[String], logs: &Path) -> Result<Vec<Verdict>> {
    let next = || {
        jobs.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop_front()
    };
    std::iter::from_fn(next)
        .map(|job| job.run(arguments, logs))
        .collect()
}

impl Job {
    /// Returns the test program's name, or which other tests these are.
    fn name(&self) -> &str {
        match &self.targets[..] {
            [_, program] => program,
            [kind, ..] => kind.trim_start_matches('-'),
            [] => unreachable!("a job tests something"),
        }
    }

    /// Runs it, its output in a file of its own that is shown when it has ended.
    fn run(&self, arguments: &[String], logs: &Path) -> Result<Verdict> {
        let path = logs.join(self.name()).with_extension("log");
        let log = File::create(&path).with_context(|| format!("writing {}", path.display()))?;
        let start = Instant::now();
        let status = cargo(&self.targets)
            .arg("--")
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .status()
            .context("cannot run cargo")?;
        let written = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        report(&String::from_utf8_lossy(&written));
        Ok(Verdict {
            name: self.name().to_owned(),
            command: format!("cargo test --workspace {}", self.targets.join(" ")),
            passed: status.success(),
            took: start.elapsed(),
        })
    }
}

/// Prepares `cargo test` of the whole workspace: features are then those of all its packages, whichever tests are
/// chosen, so that nothing is compiled twice.
fn cargo(targets: &[String]) -> Command {
    let mut command = denali_tidy::cargo::command();
    command
        .args(["test", "--workspace", "--no-fail-fast"])
        .args(targets);
    command
}

/// Says what took long and what failed.
fn summarize(mut verdicts: Vec<Verdict>, took: Duration) -> Result<()> {
    verdicts.sort_by_key(|verdict| verdict.took);
    for Verdict {
        name, passed, took, ..
    } in &verdicts
    {
        let verdict = if *passed { "ok" } else { "FAILED" };
        report(&format!(
            "{name:<20} {verdict:<7} {:>6.1} s",
            took.as_secs_f32()
        ));
    }
    report(&format!("{:<28} {:>6.1} s", "in all", took.as_secs_f32()));
    let failed: Vec<_> = verdicts.iter().filter(|verdict| !verdict.passed).collect();
    if let [first, ..] = failed[..] {
        bail!(
            "{} of {} failed; again: {}",
            failed.len(),
            verdicts.len(),
            first.command
        );
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "a command-line tool talks to its user")]
fn report(line: &str) {
    println!("{line}");
}
