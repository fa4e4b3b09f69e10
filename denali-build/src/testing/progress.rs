//! How far the tests of one VM have come, from its console and its end.

use super::list::Test;

/// Starts a mark on the console: the number of the test that starts now, or `done`.
const MARK: &str = "\u{1}denali-test ";

/// Bytes that a kernel keeps of a console. Who gets as many at once may have missed some before
/// them.
const CONSOLE_LEN: usize = 4096;

/// What became of a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It passed.
    Passed,
    /// It failed, with a line that says why if its output does not.
    Failed(Option<String>),
}

/// What a line of the console means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// A test wrote this.
    Output(String),
    /// The test of this number starts, and the one before it has returned.
    Started(usize),
    /// All tests have returned.
    Done,
}

/// Returns what a line of the console means: what was written before a mark on the same line, and
/// the mark.
pub(super) fn events(line: &str) -> Vec<Event> {
    let Some((before, mark)) = line.split_once(MARK) else {
        return vec![Event::Output(line.to_owned())];
    };
    let mut events = Vec::new();
    if !before.is_empty() {
        events.push(Event::Output(before.to_owned()));
    }
    match (mark, mark.parse()) {
        ("done", _) => events.push(Event::Done),
        (_, Ok(number)) => events.push(Event::Started(number)),
        _ => events.push(Event::Output(line.to_owned())),
    }
    events
}

/// Returns whether a test that wrote this much may have pushed the marks of later tests out of the
/// console, so that it is not certain which test ended the VM.
pub(super) fn may_have_hidden_marks(output: &[String]) -> bool {
    output.iter().map(|line| line.len() + 1).sum::<usize>() >= CONSOLE_LEN
}

/// Returns the outcome of a test that returned.
pub(super) fn returned(test: &Test) -> Outcome {
    match test.panics {
        None => Outcome::Passed,
        Some(_) => Outcome::Failed(Some("note: test did not panic as expected".to_owned())),
    }
}

/// Returns the outcome of a test that ended its VM; `reason` is how, in the host's words.
pub(super) fn ended(test: &Test, output: &[String], reason: &str) -> Outcome {
    let panicked = output.iter().any(|line| line.contains("' panicked at "));
    match &test.panics {
        Some(part) if panicked && output.iter().any(|line| line.contains(part)) => Outcome::Passed,
        Some(part) if panicked => Outcome::Failed(Some(format!(
            "note: panic did not contain expected string `{part}`"
        ))),
        None if panicked => Outcome::Failed(None),
        _ => Outcome::Failed(Some(format!("the VM ended: {reason}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn test(panics: Option<&str>) -> Test {
        Test {
            name: "t".to_owned(),
            ignored: None,
            panics: panics.map(str::to_owned),
        }
    }

    #[test]
    fn marks_are_found_behind_output_without_a_line_end() {
        let output = |text: &str| Event::Output(text.to_owned());
        assert_eq!(events("hello"), [output("hello")]);
        assert_eq!(events("\u{1}denali-test 12"), [Event::Started(12)]);
        assert_eq!(
            events("half a line\u{1}denali-test done"),
            [output("half a line"), Event::Done]
        );
        let nonsense = "\u{1}denali-test x";
        assert_eq!(events(nonsense), [output(nonsense)]);
    }

    #[test]
    fn a_test_that_has_to_panic_passes_by_the_right_panic_alone() {
        let panic = ["thread 't' panicked at src/main.rs:1:1:", "too much"].map(str::to_owned);
        assert_eq!(returned(&test(None)), Outcome::Passed);
        assert!(matches!(
            returned(&test(Some(""))),
            Outcome::Failed(Some(_))
        ));
        for (part, passes) in [("", true), ("too much", true), ("too little", false)] {
            let outcome = ended(&test(Some(part)), &panic, "exit code 101");
            assert_eq!(outcome == Outcome::Passed, passes, "{part}");
        }
        assert_eq!(ended(&test(None), &panic, ""), Outcome::Failed(None));
        for panics in [None, Some("")] {
            let fault = ended(&test(panics), &[], "divide error");
            assert_eq!(
                fault,
                Outcome::Failed(Some("the VM ended: divide error".to_owned()))
            );
        }
    }

    #[test]
    fn much_output_makes_the_last_mark_uncertain() {
        assert!(!may_have_hidden_marks(&["x".repeat(4000)]));
        assert!(may_have_hidden_marks(&["x".repeat(4095)]));
    }
}
