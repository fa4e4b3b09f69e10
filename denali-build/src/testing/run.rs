//! VM after VM, until every test has its outcome.

use super::choice::Chosen;
use super::progress::{self, Event, Outcome};
use super::report::Report;
use crate::client::{Client, DeployRequest, Logs};
use crate::service::Service;
use anyhow::{Result, bail};
use denali_protocol::ServiceState;
use std::io::Write;

/// The environment variable that says which tests to run, as ranges of numbers.
const CHOICE_VARIABLE: &str = "DENALI_TESTS";

/// Tests of one VM, at most: their numbers have to fit into its environment.
const BATCH_MAX: usize = 128;

/// Runs the chosen tests of `service` on a host and reports each.
///
/// # Errors
///
/// The host refuses the service or is lost, or the output is closed.
pub fn run<W: Write>(
    client: &Client,
    service: &Service,
    chosen: &[Chosen<'_>],
    report: &mut Report<W>,
) -> Result<()> {
    let mut run = Run {
        report,
        chosen,
        next: 0,
        announced: None,
        lines: Vec::new(),
    };
    let mut batch_max = BATCH_MAX;
    while run.skip_ignored()? {
        let batch = run.batch(batch_max);
        let end = Vm { client, service }.run(&batch, &mut run)?;
        // A test alone in its VM is certainly the one that ended it.
        batch_max = match run.conclude(&batch, &end)? {
            Certainty::Certain => BATCH_MAX,
            Certainty::Uncertain => 1,
        };
    }
    Ok(())
}

/// Whether it is known which test ended a VM.
enum Certainty {
    Certain,
    Uncertain,
}

/// How a VM ended.
struct End {
    /// Whether the tests said that they were done.
    done: bool,
    /// The host's words.
    reason: String,
}

struct Run<'a, W> {
    report: &'a mut Report<W>,
    chosen: &'a [Chosen<'a>],
    /// The first of `chosen` without an outcome.
    next: usize,
    /// The last of `chosen` whose start was reported.
    announced: Option<usize>,
    /// What the test that runs has written.
    lines: Vec<String>,
}

impl<W: Write> Run<'_, W> {
    /// Reports the ignored tests that come next, and returns whether one that runs follows.
    fn skip_ignored(&mut self) -> Result<bool> {
        while let Some(chosen) = self.chosen.get(self.next) {
            if chosen.runs {
                return Ok(true);
            }
            self.report.ignored(chosen.test)?;
            self.next += 1;
        }
        Ok(false)
    }

    /// Returns the numbers of the tests for one VM.
    fn batch(&self, len_max: usize) -> Vec<usize> {
        let left = self.chosen[self.next..].iter();
        let numbers = left
            .filter(|chosen| chosen.runs)
            .map(|chosen| chosen.number);
        numbers.take(len_max).collect()
    }

    /// Takes note of a line of the console.
    fn take(&mut self, event: Event) -> Result<bool> {
        match event {
            Event::Output(line) => {
                self.report.output(&line)?;
                self.lines.push(line);
                return Ok(false);
            }
            Event::Started(number) => {
                // The marks of tests that wrote much may be lost; they have returned as well.
                while self.skip_ignored()? && self.chosen[self.next].number < number {
                    self.pass()?;
                }
                self.announce()?;
            }
            Event::Done => return Ok(true),
        }
        Ok(false)
    }

    /// Reports the start of the next test, once.
    fn announce(&mut self) -> Result<()> {
        self.lines.clear();
        if self.announced != Some(self.next) {
            self.announced = Some(self.next);
            self.report.started(self.chosen[self.next].test)?;
        }
        Ok(())
    }

    /// Notes that the next test has returned.
    fn pass(&mut self) -> Result<()> {
        if self.announced != Some(self.next) {
            self.announce()?;
        }
        self.settle(&progress::returned(self.chosen[self.next].test))
    }

    fn settle(&mut self, outcome: &Outcome) -> Result<()> {
        let lines = std::mem::take(&mut self.lines);
        let test = self.chosen[self.next].test;
        self.next += 1;
        self.report.finished(test, outcome, lines)
    }

    /// Gives outcomes to the tests of a batch whose VM has ended.
    fn conclude(&mut self, batch: &[usize], end: &End) -> Result<Certainty> {
        if end.done {
            let last = batch.last().copied().unwrap_or_default();
            while self.skip_ignored()? && self.chosen[self.next].number <= last {
                self.pass()?;
            }
            return Ok(Certainty::Certain);
        }
        if self.announced != Some(self.next) {
            bail!("the VM ended before its first test: {}", end.reason);
        }
        if batch.len() > 1 && progress::may_have_hidden_marks(&self.lines) {
            return Ok(Certainty::Uncertain);
        }
        let test = self.chosen[self.next].test;
        self.settle(&progress::ended(test, &self.lines, &end.reason))?;
        Ok(Certainty::Certain)
    }
}

/// A service that runs tests, and where.
struct Vm<'a> {
    client: &'a Client,
    service: &'a Service,
}

impl Vm<'_> {
    /// Runs tests by their numbers in a fresh VM until it ends.
    fn run<W: Write>(&self, batch: &[usize], run: &mut Run<'_, W>) -> Result<End> {
        let mut service = self.service.clone();
        let environment = &mut service.manifest.environment;
        environment.insert(CHOICE_VARIABLE.to_owned(), ranges(batch));
        let service = service.instance(None, &[])?;
        let name = &service.manifest.name;
        self.client
            .deploy(name, &service.package, DeployRequest::default(), |_| {})?;

        let program = service.executable.display().to_string();
        let mut done = false;
        self.client.logs(name, Logs::Follow, |line| {
            for event in progress::events(&line.replace("ELF-FILE", &program)) {
                done |= run.take(event)?;
            }
            Ok(())
        })?;
        let ended = self.client.service(name)?;
        let reason = match ended.state {
            ServiceState::Stopped => "it was stopped".to_owned(),
            _ => ended.reason.unwrap_or_default(),
        };
        Ok(End { done, reason })
    }
}

/// Returns numbers in rising order as ranges, `0-4,7`.
fn ranges(numbers: &[usize]) -> String {
    let runs = numbers.chunk_by(|one, next| one + 1 == *next);
    let words = runs.filter_map(|run| match (run.first()?, run.last()?) {
        (first, last) if first == last => Some(first.to_string()),
        (first, last) => Some(format!("{first}-{last}")),
    });
    words.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::list::Test;
    use crate::testing::report::{Shown, Style};
    use std::time::Duration;

    #[test]
    fn numbers_become_ranges() {
        assert_eq!(ranges(&[0, 1, 2, 5, 7, 8]), "0-2,5,7-8");
        assert_eq!(ranges(&[]), "");
    }

    /// Reports what VMs with these consoles and ends say about tests `a`, `b`, `c`.
    fn report(vms: &[(&str, Option<&str>)]) -> String {
        let tests = ["a", "b", "c"].map(|name| Test {
            name: name.to_owned(),
            ignored: None,
            panics: None,
        });
        let chosen: Vec<_> = (0..)
            .zip(&tests)
            .map(|(number, test)| Chosen {
                number,
                test,
                runs: true,
            })
            .collect();
        let mut out = Vec::new();
        let mut report = Report::start(&mut out, Style::Lines, Shown::Failed, 3).unwrap();
        let mut run = Run {
            report: &mut report,
            chosen: &chosen,
            next: 0,
            announced: None,
            lines: Vec::new(),
        };
        let mut batch_max = BATCH_MAX;
        for (console, reason) in vms {
            assert!(run.skip_ignored().unwrap());
            let batch = run.batch(batch_max);
            for event in console.lines().flat_map(progress::events) {
                run.take(event).unwrap();
            }
            let end = End {
                done: reason.is_none(),
                reason: reason.unwrap_or_default().to_owned(),
            };
            batch_max = match run.conclude(&batch, &end).unwrap() {
                Certainty::Certain => BATCH_MAX,
                Certainty::Uncertain => 1,
            };
        }
        assert!(!run.skip_ignored().unwrap(), "a test has no outcome");
        report.finish(0, Duration::ZERO).unwrap();
        String::from_utf8(out).unwrap()
    }

    const M: &str = "\u{1}denali-test ";

    #[test]
    fn a_test_that_ends_its_vm_fails_and_the_others_go_on() {
        let text = report(&[
            (&format!("{M}0\n{M}1\nhello"), Some("divide error")),
            (&format!("{M}2\n{M}done"), None),
        ]);
        let lines = "test a ... ok\ntest b ... FAILED\ntest c ... ok\n";
        assert!(text.contains(lines), "{text}");
        assert!(text.contains("---- b stdout ----\nhello\nthe VM ended: divide error\n"));
    }

    #[test]
    fn lost_marks_are_those_of_tests_that_returned() {
        let text = report(&[(&format!("{M}2\n{M}done"), None)]);
        assert!(
            text.contains("test a ... ok\ntest b ... ok\ntest c ... ok\n"),
            "{text}"
        );
        let text = report(&[(&format!("{M}done"), None)]);
        assert!(text.contains("3 passed; 0 failed"), "{text}");
    }

    #[test]
    fn after_much_output_the_tests_run_alone_until_it_is_clear_which_one_failed() {
        let flood = "x\n".repeat(4096);
        let text = report(&[
            (&format!("{M}0\n{flood}"), Some("bad address")),
            (&format!("{M}0\n{M}done"), None),
            (&format!("{M}1\n"), Some("bad address")),
            (&format!("{M}2\n{M}done"), None),
        ]);
        let lines = "test a ... ok\ntest b ... FAILED\ntest c ... ok\n";
        assert!(text.contains(lines), "{text}");
    }
}
