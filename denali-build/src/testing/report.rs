//! What the user sees: the lines of `cargo test`'s programs.

use super::choice::Chosen;
use super::list::Test;
use super::progress::Outcome;
use anyhow::{Context, Result};
use std::io::Write;
use std::time::Duration;

/// How much is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// A line for each test.
    Lines,
    /// A character for each test.
    Characters,
}

/// Which output of tests is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// That of failed ones, at the end.
    Failed,
    /// That of all, at the end.
    All,
    /// That of all, at once.
    Live,
}

/// A report in the making.
#[derive(Debug)]
pub struct Report<W> {
    out: W,
    style: Style,
    shown: Shown,
    passed: Vec<Written>,
    failed: Vec<Written>,
    ignored: usize,
}

/// A test and what it wrote.
#[derive(Debug)]
struct Written {
    name: String,
    lines: Vec<String>,
}

impl<W: Write> Report<W> {
    /// Starts the report of this many tests.
    ///
    /// # Errors
    ///
    /// As for all functions here: the output is closed.
    pub fn start(out: W, style: Style, shown: Shown, count: usize) -> Result<Self> {
        let mut report = Self {
            out,
            style,
            shown,
            passed: Vec::new(),
            failed: Vec::new(),
            ignored: 0,
        };
        let tests = if count == 1 { "test" } else { "tests" };
        report.write(&format!("\nrunning {count} {tests}\n"))?;
        Ok(report)
    }

    /// Names the test that starts.
    ///
    /// # Errors
    ///
    /// The output is closed.
    pub fn started(&mut self, test: &Test) -> Result<()> {
        if self.style == Style::Characters {
            return Ok(());
        }
        let panics = test.panics.as_ref().map_or("", |_| " - should panic");
        self.write(&format!("test {}{panics} ... ", test.name))?;
        if self.shown == Shown::Live {
            self.write("\n")?;
        }
        Ok(())
    }

    /// Shows what a test wrote, if it is shown at once.
    ///
    /// # Errors
    ///
    /// The output is closed.
    pub fn output(&mut self, line: &str) -> Result<()> {
        match self.shown {
            Shown::Live => self.write(&format!("{line}\n")),
            Shown::Failed | Shown::All => Ok(()),
        }
    }

    /// Notes the outcome of the test that was started last, which wrote `lines`.
    ///
    /// # Errors
    ///
    /// The output is closed.
    pub fn finished(&mut self, test: &Test, outcome: &Outcome, lines: Vec<String>) -> Result<()> {
        let mut written = Written {
            name: test.name.clone(),
            lines,
        };
        match outcome {
            Outcome::Passed => {
                self.passed.push(written);
                self.outcome("ok\n", ".")
            }
            Outcome::Failed(why) => {
                if let Some(why) = why {
                    self.output(why)?;
                    written.lines.push(why.clone());
                }
                self.failed.push(written);
                self.outcome("FAILED\n", "F")
            }
        }
    }

    /// Notes a test that does not run.
    ///
    /// # Errors
    ///
    /// The output is closed.
    pub fn ignored(&mut self, test: &Test) -> Result<()> {
        self.ignored += 1;
        let reason = test.ignored.as_deref().filter(|reason| !reason.is_empty());
        let reason = reason.map_or_else(String::new, |reason| format!(", {reason}"));
        self.outcome(&format!("test {} ... ignored{reason}\n", test.name), "i")
    }

    /// Ends the report, and returns whether no test failed.
    ///
    /// # Errors
    ///
    /// The output is closed.
    pub fn finish(mut self, left_out: usize, time: Duration) -> Result<bool> {
        let mut text = String::new();
        if self.style == Style::Characters {
            text.push('\n');
        }
        if self.shown == Shown::All {
            text.push_str(&section("successes", &self.passed, self.shown));
        }
        if !self.failed.is_empty() {
            text.push_str(&section("failures", &self.failed, self.shown));
        }
        let success = self.failed.is_empty();
        text.push_str(&format!(
            "\ntest result: {}. {} passed; {} failed; {} ignored; 0 measured; {left_out} filtered \
             out; finished in {:.2}s\n\n",
            if success { "ok" } else { "FAILED" },
            self.passed.len(),
            self.failed.len(),
            self.ignored,
            time.as_secs_f64(),
        ));
        self.write(&text)?;
        Ok(success)
    }

    fn outcome(&mut self, line: &str, character: &str) -> Result<()> {
        match self.style {
            Style::Lines => self.write(line),
            Style::Characters => self.write(character),
        }
    }

    fn write(&mut self, text: &str) -> Result<()> {
        let written = self.out.write_all(text.as_bytes());
        written
            .and_then(|()| self.out.flush())
            .context("writing to standard output")
    }
}

/// Returns a heading with what tests wrote, and their names.
fn section(heading: &str, tests: &[Written], shown: Shown) -> String {
    let mut text = format!("\n{heading}:\n");
    let silent = |test: &&Written| test.lines.is_empty() || shown == Shown::Live;
    for Written { name, lines } in tests.iter().filter(|test| !silent(test)) {
        text.push_str(&format!(
            "\n---- {name} stdout ----\n{}\n",
            lines.join("\n")
        ));
    }
    text.push_str(&format!("\n\n{heading}:\n"));
    for Written { name, .. } in tests {
        text.push_str(&format!("    {name}\n"));
    }
    text
}

/// Returns the list of the chosen tests.
#[must_use]
pub fn list(chosen: &[Chosen<'_>]) -> String {
    let lines: String = chosen
        .iter()
        .map(|chosen| format!("{}: test\n", chosen.test.name))
        .collect();
    let tests = if chosen.len() == 1 { "test" } else { "tests" };
    format!("{lines}\n{} {tests}, 0 benchmarks", chosen.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn test(name: &str) -> Test {
        Test {
            name: name.to_owned(),
            ignored: Some("slow".to_owned()),
            panics: None,
        }
    }

    /// Reports a passed, a failed and an ignored test.
    fn report(style: Style, shown: Shown) -> String {
        let mut out = Vec::new();
        let mut report = Report::start(&mut out, style, shown, 3).unwrap();
        for (name, outcome) in [
            ("a", Outcome::Passed),
            ("b", Outcome::Failed(Some("why".to_owned()))),
        ] {
            report.started(&test(name)).unwrap();
            report.output("hello").unwrap();
            let lines = vec!["hello".to_owned()];
            report.finished(&test(name), &outcome, lines).unwrap();
        }
        report.ignored(&test("c")).unwrap();
        assert!(!report.finish(4, Duration::from_millis(1500)).unwrap());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_report_is_that_of_cargo_test() {
        assert_eq!(
            report(Style::Lines, Shown::Failed),
            "\nrunning 3 tests\ntest a ... ok\ntest b ... FAILED\ntest c ... ignored, slow\n\
             \nfailures:\n\n---- b stdout ----\nhello\nwhy\n\n\nfailures:\n    b\n\
             \ntest result: FAILED. 1 passed; 1 failed; 1 ignored; 0 measured; 4 filtered out; \
             finished in 1.50s\n\n"
        );
    }

    #[test]
    fn output_is_shown_as_asked() {
        let live = report(Style::Lines, Shown::Live);
        assert!(live.contains("test a ... \nhello\nok\n"), "{live}");
        assert!(!live.contains("----"), "{live}");
        let all = report(Style::Lines, Shown::All);
        assert!(
            all.contains("successes:\n\n---- a stdout ----\nhello\n"),
            "{all}"
        );
        let short = report(Style::Characters, Shown::Failed);
        assert!(short.contains("running 3 tests\n.Fi\n"), "{short}");
    }

    #[test]
    fn a_list_names_each_test() {
        let a = test("a");
        let chosen = Chosen {
            number: 0,
            test: &a,
            runs: true,
        };
        assert_eq!(list(&[chosen]), "a: test\n\n1 test, 0 benchmarks");
    }
}
