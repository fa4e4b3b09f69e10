//! Checks of single Rust files: length, width, module docs, banned names, bare TODOs.

use super::{Finding, Source};

/// Longest file in lines, its tests not counted.
pub const LINES_MAX: usize = 500;

/// Widest line in columns. Rustfmt keeps code narrower; this catches comments and strings.
pub const COLUMNS_MAX: usize = 120;

/// File and module names that say nothing.
const BANNED_NAMES: [&str; 8] = [
    "util", "utils", "common", "helpers", "misc", "manager", "types", "stuff",
];

/// Checks every Rust file.
#[must_use]
pub fn check(sources: &[Source]) -> Vec<Finding> {
    sources
        .iter()
        .filter(|source| source.has_extension("rs"))
        .flat_map(check_file)
        .collect()
}

fn check_file(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    let lines = code_lines(&source.text);
    if lines > LINES_MAX && !source.is_test() {
        let message = format!("{lines} lines; split it by concept below {LINES_MAX}");
        findings.push(source.finding(0, message));
    }
    if !source.text.lines().any(|line| line.starts_with("//!"))
        && !source.text.starts_with("#![doc = include_str!")
    {
        findings.push(source.finding(1, "no module documentation; start with a `//!` line"));
    }
    let stem = source
        .path
        .file_stem()
        .and_then(|stem| stem.to_str())
        .unwrap_or_default();
    if BANNED_NAMES.contains(&stem) || stem.ends_with("_old") || stem.starts_with("new_") {
        findings.push(source.finding(0, format!("`{stem}` says nothing; name the idea")));
    }
    for (number, line) in source.text.lines().enumerate() {
        if line.chars().count() > COLUMNS_MAX {
            findings.push(source.finding(number + 1, format!("wider than {COLUMNS_MAX} columns")));
        }
        if is_bare_todo(line) {
            findings.push(source.finding(number + 1, "a TODO needs an issue number: `TODO(#12)`"));
        }
    }
    findings
}

/// Returns the number of lines before the unit tests.
fn code_lines(text: &str) -> usize {
    let code = text
        .find("#[cfg(test)]\nmod ")
        .map_or(text, |tests| &text[..tests]);
    code.lines().count()
}

fn is_bare_todo(line: &str) -> bool {
    let Some((_, comment)) = line.split_once("//") else {
        return false;
    };
    let comment = comment.trim_start_matches(['/', '!']).trim_start();
    ["TODO", "FIXME", "XXX", "HACK"].iter().any(|mark| {
        comment
            .strip_prefix(mark)
            .is_some_and(|rest| !rest.starts_with("(#"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(path: &str, text: &str) -> Vec<String> {
        let source = Source {
            path: path.into(),
            text: text.into(),
        };
        check(&[source])
            .into_iter()
            .map(|finding| finding.message)
            .collect()
    }

    #[test]
    fn a_good_file_passes() {
        assert!(messages("a/b.rs", "//! Does one thing.\n\nfn f() {}\n").is_empty());
    }

    #[test]
    fn each_fault_is_found() {
        let long = format!("//! Long.\n{}", "fn f() {}\n".repeat(LINES_MAX));
        assert!(messages("a.rs", &long)[0].contains("split it"));
        assert!(messages("tests/a.rs", &long).is_empty());
        let tested = format!("//! Tested.\n#[cfg(test)]\nmod tests {{\n{long}}}\n");
        assert!(messages("a.rs", &tested).is_empty());
        assert!(messages("a.rs", "fn f() {}\n")[0].contains("no module documentation"));
        assert!(messages("util.rs", "//! X.\n")[0].contains("says nothing"));
        assert!(
            messages("a.rs", concat!("//! X.\n/", "/ TODO later\n"))[0].contains("issue number")
        );
        assert!(messages("a.rs", concat!("//! X.\n/", "/ TODO(#3) later\n")).is_empty());
        let wide = format!("//! {}\n", "x".repeat(COLUMNS_MAX));
        assert!(messages("a.rs", &wide)[0].contains("wider"));
    }
}
