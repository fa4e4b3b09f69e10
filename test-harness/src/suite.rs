//! Test binaries whose facts share one fixture, usually a host.
//!
//! libtest runs every test by itself and never drops statics, so a host would boot for each test or
//! outlive them all. A suite sets up once, checks its facts one after the other in the order
//! written, and drops the fixture. It understands a name to filter by, `--list` and `--exact`.

use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// A named fact about `T`; it panics if it does not hold.
pub type Fact<T> = (&'static str, fn(&T));

/// Names facts after their functions.
#[macro_export]
macro_rules! facts {
    ($($fact:ident),+ $(,)?) => { [$((stringify!($fact), $fact as fn(&_))),+] };
}

/// Returns which day it is, in days since 1970, or by the environment's `DENALI_DAY`.
///
/// # Panics
///
/// If the clock is before 1970.
#[must_use]
pub fn day() -> usize {
    const SECONDS_A_DAY: u64 = 24 * 60 * 60;
    let given = std::env::var("DENALI_DAY").ok();
    let given = given.and_then(|text| text.parse().ok());
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let seconds = since.expect("it is later than 1970").as_secs();
    given.unwrap_or(usize::try_from(seconds / SECONDS_A_DAY).expect("not that late"))
}

/// What the arguments of a test binary ask for.
#[derive(Debug, Default)]
struct Request {
    filter: Option<String>,
    exact: bool,
    list: bool,
}

/// Sets up, checks the facts chosen on the command line, and reports as libtest does.
pub fn run<T>(fixture: impl FnOnce() -> T, facts: &[Fact<T>]) -> ExitCode {
    run_in_turn(fixture, facts, 1)
}

/// As [`run`], but one in `days` of the facts a day, in turn: for suites that take so long that the others would not be
/// run any more. Facts chosen by name are checked on any day, and with `DENALI_DAY=all` all of them.
pub fn run_in_turn<T>(fixture: impl FnOnce() -> T, facts: &[Fact<T>], days: usize) -> ExitCode {
    let request = parse(std::env::args().skip(1));
    let is_all =
        request.filter.is_some() || std::env::var("DENALI_DAY").is_ok_and(|it| it == "all");
    let is_due = |nth: usize| is_all || nth % days == day() % days;
    let chosen: Vec<_> = facts
        .iter()
        .enumerate()
        .filter(|(nth, (name, _))| request.wants(name) && (request.list || is_due(*nth)))
        .map(|(_, fact)| fact)
        .collect();
    if request.list {
        chosen
            .iter()
            .for_each(|(name, _)| say(&format!("{name}: test")));
        return ExitCode::SUCCESS;
    }
    if chosen.is_empty() {
        return ExitCode::SUCCESS;
    }
    let started = Instant::now();
    say(&format!("\nrunning {} tests on one fixture", chosen.len()));
    let fixture = fixture();
    say(&format!(
        "fixture ready ({:.1} s)",
        started.elapsed().as_secs_f32()
    ));
    let mut failed = Vec::new();
    for (name, fact) in &chosen {
        let start = Instant::now();
        let outcome = panic::catch_unwind(AssertUnwindSafe(|| fact(&fixture)));
        let verdict = if outcome.is_ok() { "ok" } else { "FAILED" };
        say(&format!(
            "test {name} ... {verdict} ({:.1} s)",
            start.elapsed().as_secs_f32()
        ));
        if outcome.is_err() {
            failed.push(*name);
        }
    }
    drop(fixture);
    let result = if failed.is_empty() { "ok" } else { "FAILED" };
    say(&format!(
        "\ntest result: {result}. {} passed; {} failed; finished in {:.1} s",
        chosen.len() - failed.len(),
        failed.len(),
        started.elapsed().as_secs_f32()
    ));
    failed
        .iter()
        .for_each(|name| say(&format!("    failed: {name}")));
    if failed.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

impl Request {
    fn wants(&self, name: &str) -> bool {
        match &self.filter {
            None => true,
            Some(filter) if self.exact => name == filter,
            Some(filter) => name.contains(filter.as_str()),
        }
    }
}

/// Options of libtest that a suite has no use for are accepted, so that `cargo test -- …` works.
fn parse(mut arguments: impl Iterator<Item = String>) -> Request {
    let mut request = Request::default();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--list" => request.list = true,
            "--exact" => request.exact = true,
            "--test-threads" | "--format" | "--color" | "-Z" | "--logfile" => {
                arguments.next();
            }
            option if option.starts_with('-') => {}
            filter => request.filter = Some(filter.to_owned()),
        }
    }
    request
}

#[expect(clippy::print_stdout, reason = "a test binary talks to its user")]
fn say(line: &str) {
    println!("{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(arguments: &[&str]) -> Request {
        parse(arguments.iter().map(|&argument| argument.to_owned()))
    }

    #[test]
    fn a_filter_chooses_by_part_of_the_name() {
        let request = request(&["--nocapture", "--test-threads", "1", "stack"]);
        assert!(request.wants("a_stack_overflows") && !request.wants("a_heap_runs"));
    }

    #[test]
    fn without_a_filter_everything_is_chosen() {
        assert!(request(&["--list"]).wants("anything"));
        assert!(!request(&["--exact", "any"]).wants("anything"));
    }
}
