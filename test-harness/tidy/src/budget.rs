//! What runs in ring 0, counted: lines of code and uses of `unsafe`, each with a limit.

use super::{Finding, Source, unsafe_inventory};

/// Most lines of code in ring 0: neither blank, nor comment, nor test; see
/// `docs/src/decisions/0095-taking-over.md`.
pub const LINES_MAX: usize = 20_280;

/// Most uses of `unsafe` in ring 0.
pub const UNSAFE_MAX: usize = 160;

/// Folders whose code runs in ring 0.
const RING_0: [&str; 4] = [
    "host-kernel/abi/src",
    "host-kernel/core/src",
    "host-kernel/freestanding/src",
    "host-kernel/src",
];

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Lines of code.
    pub lines: usize,
    /// Uses of `unsafe`.
    pub unsafe_uses: usize,
}

impl std::fmt::Display for Count {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { lines, unsafe_uses } = self;
        write!(f, "ring 0: {lines} lines of code (at most {LINES_MAX}), ")?;
        write!(f, "{unsafe_uses} uses of unsafe (at most {UNSAFE_MAX})")
    }
}

/// Counts the code that runs in ring 0.
#[must_use]
pub fn count(sources: &[Source]) -> Count {
    count_below(sources, &RING_0)
}

/// Counts the code below some folders of the repository, but for tests.
#[must_use]
pub fn count_below(sources: &[Source], folders: &[&str]) -> Count {
    let lies_there = |source: &&Source| {
        source.has_extension("rs")
            && !is_only_for_tests(source)
            && folders.iter().any(|folder| source.path.starts_with(folder))
    };
    sources
        .iter()
        .filter(lies_there)
        .fold(Count::default(), |total, source| {
            let code = without_tests(&source.text);
            Count {
                lines: total.lines + code_lines(code),
                unsafe_uses: total.unsafe_uses + unsafe_inventory::count(code),
            }
        })
}

/// Returns a finding for each limit that is passed.
#[must_use]
pub fn check(sources: &[Source]) -> Vec<Finding> {
    let Count { lines, unsafe_uses } = count(sources);
    let over = [
        (lines, LINES_MAX, "lines of code"),
        (unsafe_uses, UNSAFE_MAX, "uses of unsafe"),
    ];
    over.into_iter()
        .filter(|(count, limit, _)| count > limit)
        .map(|(count, limit, what)| Finding {
            path: "host-kernel".into(),
            line: 0,
            message: format!("{count} {what} in ring 0; simplify below {limit}, or argue for more"),
        })
        .collect()
}

fn is_only_for_tests(source: &Source) -> bool {
    let stem = source
        .path
        .file_stem()
        .and_then(|stem| stem.to_str())
        .unwrap_or_default();
    let in_fake = source
        .path
        .components()
        .any(|part| part.as_os_str() == "fake");
    source.is_test()
        || in_fake
        || stem == "fake"
        || stem.ends_with("_tests")
        || stem.starts_with("test_")
}

fn without_tests(text: &str) -> &str {
    text.find("#[cfg(test)]\nmod ")
        .map_or(text, |tests| &text[..tests])
}

fn code_lines(code: &str) -> usize {
    code.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with("//"))
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_that_runs_in_ring_0_counts() {
        let text =
            "//! Doc.\n\nfn f() { unsafe { g() } }\n\n#[cfg(test)]\nmod tests {\nfn t() {}\n}\n";
        let source = |path: &str| Source {
            path: path.into(),
            text: text.into(),
        };
        let sources = [
            source("host-kernel/src/a.rs"),
            source("host-kernel/core/src/random/fake.rs"),
            source("host-kernel/core/src/machine/fake/mod.rs"),
            source("host-kernel/supervisor/src/main.rs"),
            source("denali-rt/src/lib.rs"),
        ];
        assert_eq!(
            count(&sources),
            Count {
                lines: 1,
                unsafe_uses: 1
            }
        );
    }
}
