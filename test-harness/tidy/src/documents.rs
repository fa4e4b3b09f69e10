//! Checks of the documentation: links that lead somewhere, one title a page, nothing undocumented.

use super::{Finding, Source};
use denali_abi::end::EndReason;
use denali_abi::hypercall::Hypercall;
use std::path::{Component, Path, PathBuf};

/// The page that describes every hypercall.
const HYPERCALL_PAGE: &str = "docs/src/reference/hypercalls.md";

/// The page that describes every reason for a VM's end.
const END_PAGE: &str = "docs/src/reference/ends.md";

/// Checks every Markdown page.
#[must_use]
pub fn check(root: &Path, sources: &[Source]) -> Vec<Finding> {
    let pages = || sources.iter().filter(|source| source.has_extension("md"));
    let mut findings: Vec<_> = pages().flat_map(|page| check_page(root, page)).collect();
    findings.extend(mentions(
        sources,
        HYPERCALL_PAGE,
        Hypercall::ALL.map(|call| snake_case(&format!("{call:?}"))),
    ));
    findings.extend(mentions(
        sources,
        END_PAGE,
        EndReason::ALL.map(|reason| reason.name().to_owned()),
    ));
    findings
}

fn check_page(root: &Path, page: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    let (mut titles, mut in_code) = (0, false);
    for (number, line) in page.text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        titles += usize::from(line.starts_with("# "));
        for target in links(line) {
            if !leads_somewhere(root, &page.path, target) {
                findings.push(page.finding(number + 1, format!("dead link `{target}`")));
            }
        }
    }
    let summary = page.path.ends_with("SUMMARY.md");
    if titles != 1 && !summary {
        findings.push(page.finding(0, format!("{titles} titles (`# …`); a page has one")));
    }
    findings
}

/// Returns the targets of the inline links of a line.
fn links(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices("](").filter_map(|(at, mark)| {
        let target = &line[at + mark.len()..];
        target.find(')').map(|end| &target[..end])
    })
}

fn leads_somewhere(root: &Path, page: &Path, target: &str) -> bool {
    let path = target.split('#').next().unwrap_or_default();
    if path.is_empty() || path.contains("://") || path.starts_with("mailto:") {
        return true;
    }
    let folder = page.parent().unwrap_or(Path::new(""));
    root.join(normalise(&folder.join(path))).exists()
}

fn normalise(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut path, part| {
        match part {
            Component::ParentDir => drop(path.pop()),
            part => path.push(part),
        }
        path
    })
}

fn mentions<const N: usize>(sources: &[Source], page: &str, words: [String; N]) -> Vec<Finding> {
    let Some(found) = sources.iter().find(|source| source.path == Path::new(page)) else {
        return vec![Finding {
            path: page.into(),
            line: 0,
            message: "the page is missing".into(),
        }];
    };
    let missing = |word: &String| !found.text.contains(word.as_str());
    words
        .iter()
        .filter(|word| missing(word))
        .map(|word| found.finding(0, format!("`{word}` is not described")))
        .collect()
}

fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for (at, letter) in name.char_indices() {
        if letter.is_ascii_uppercase() && at > 0 {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found_in_a_line() {
        let found: Vec<_> = links("see [a](b.md) and [c](d/e.md#f).").collect();
        assert_eq!(found, ["b.md", "d/e.md#f"]);
    }

    #[test]
    fn names_become_the_words_of_the_pages() {
        assert_eq!(snake_case("IdleWithTimeout"), "idle_with_timeout");
    }
}
