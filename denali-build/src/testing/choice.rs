//! Which tests to run, and how to report: the options of `cargo test`'s programs.

use super::list::Test;
use clap::Parser;
use std::num::NonZeroUsize;

/// What stands behind `--`.
#[derive(Clone, Debug, Default, Parser)]
#[command(
    name = "cargo denali test --",
    no_binary_name = true,
    disable_version_flag = true
)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of the command line"
)]
pub struct Choice {
    /// Run only tests whose names contain one of these
    #[arg(value_name = "FILTER")]
    pub filters: Vec<String>,
    /// Run only tests whose names are exactly the filters
    #[arg(long)]
    pub exact: bool,
    /// Leave out tests whose names contain this
    #[arg(long, value_name = "FILTER")]
    pub skip: Vec<String>,
    /// Run only the ignored tests
    #[arg(long, conflicts_with = "include_ignored")]
    pub ignored: bool,
    /// Run the ignored tests, too
    #[arg(long)]
    pub include_ignored: bool,
    /// List the tests and run none
    #[arg(long)]
    pub list: bool,
    /// Show what tests write as they write it
    #[arg(long, visible_alias = "no-capture")]
    pub nocapture: bool,
    /// Show what successful tests wrote, too
    #[arg(long)]
    pub show_output: bool,
    /// Tests that may run at once; they run one after the other
    #[arg(long, value_name = "NUMBER")]
    pub test_threads: Option<NonZeroUsize>,
    /// Show a character for each test
    #[arg(short, long)]
    pub quiet: bool,
}

/// A chosen test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chosen<'a> {
    /// Its place in the list of all tests, by which the service knows it.
    pub number: usize,
    /// The test.
    pub test: &'a Test,
    /// Whether it runs, or is only reported as ignored.
    pub runs: bool,
}

impl Choice {
    /// Returns the chosen tests, and how many were left out.
    #[must_use]
    pub fn of<'a>(&self, tests: &'a [Test]) -> (Vec<Chosen<'a>>, usize) {
        let chosen: Vec<_> = tests
            .iter()
            .enumerate()
            .filter(|(_, test)| self.wants(test))
            .map(|(number, test)| Chosen {
                number,
                test,
                runs: test.ignored.is_none() || self.ignored || self.include_ignored,
            })
            .collect();
        let left_out = tests.len() - chosen.len();
        (chosen, left_out)
    }

    fn wants(&self, test: &Test) -> bool {
        let matches = |filter: &String| match self.exact {
            true => test.name == *filter,
            false => test.name.contains(filter.as_str()),
        };
        let named = self.filters.is_empty() || self.filters.iter().any(matches);
        named && !self.skip.iter().any(matches) && (!self.ignored || test.ignored.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the names of the chosen tests, with a star if they run.
    fn choose(words: &[&str]) -> Vec<String> {
        let test = |name: &str, ignored: bool| Test {
            name: name.to_owned(),
            ignored: ignored.then(String::new),
            panics: None,
        };
        let tests = [test("a", false), test("b::ab", true), test("b::c", false)];
        let choice = Choice::try_parse_from(words).unwrap();
        let (chosen, left_out) = choice.of(&tests);
        assert_eq!(chosen.len() + left_out, tests.len());
        let mark = |it: &Chosen<'_>| format!("{}{}", it.test.name, if it.runs { "*" } else { "" });
        chosen.iter().map(mark).collect()
    }

    #[test]
    fn filters_choose_by_part_of_the_name_or_exactly() {
        assert_eq!(choose(&[]), ["a*", "b::ab", "b::c*"]);
        assert_eq!(choose(&["a"]), ["a*", "b::ab"]);
        assert_eq!(choose(&["a", "--exact"]), ["a*"]);
        assert_eq!(choose(&["a", "c", "--skip", "b"]), ["a*"]);
        assert_eq!(choose(&["nothing"]), [""; 0]);
    }

    #[test]
    fn ignored_tests_run_when_asked_for() {
        assert_eq!(choose(&["--ignored"]), ["b::ab*"]);
        assert_eq!(choose(&["--include-ignored"]), ["a*", "b::ab*", "b::c*"]);
        assert!(Choice::try_parse_from(["--test-threads", "0"]).is_err());
        assert!(Choice::try_parse_from(["--nonsense"]).is_err());
    }
}
