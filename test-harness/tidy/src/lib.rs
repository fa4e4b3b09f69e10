//! What people forget and a program can check: sizes, layering, the unsafe inventory, links.
//!
//! Each check returns what it found as `path:line: message`; an empty list is a clean tree.

use std::fs;
use std::path::{Path, PathBuf};

pub mod budget;
pub mod cargo;
pub mod documents;
pub mod hypercalls;
pub mod layering;
pub mod libc;
pub mod panics;
pub mod sources;
pub mod unsafe_inventory;

/// One thing to mend.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The file, relative to the root.
    pub path: PathBuf,
    /// The line, from 1; 0 means the file as a whole.
    pub line: usize,
    /// What is wrong and what to do.
    pub message: String,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}: {}", self.path.display(), self.line, self.message)
    }
}

/// One text file of the tree.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its path, relative to the root.
    pub path: PathBuf,
    /// Its text.
    pub text: String,
}

impl Source {
    /// Makes a finding in this file.
    #[must_use]
    pub fn finding(&self, line: usize, message: impl Into<String>) -> Finding {
        Finding {
            path: self.path.clone(),
            line,
            message: message.into(),
        }
    }

    /// Returns whether the file has this extension.
    #[must_use]
    pub fn has_extension(&self, extension: &str) -> bool {
        self.path
            .extension()
            .is_some_and(|found| found == extension)
    }

    /// Returns whether the file is a test, an example of misbehaviour, or a bench.
    #[must_use]
    pub fn is_test(&self) -> bool {
        self.path
            .components()
            .any(|part| matches!(part.as_os_str().to_str(), Some("tests" | "benches")))
            || self.path.file_name().is_some_and(|name| name == "tests.rs")
    }
}

/// Folders that hold no source of ours.
const SKIPPED: [&str; 6] = ["target", ".git", "book", ".denali", "node_modules", "zssh"];

/// Returns every Rust, Markdown, TOML and C header file below `root`, sorted by path.
///
/// # Panics
///
/// If the tree cannot be read.
#[must_use]
pub fn sources(root: &Path) -> Vec<Source> {
    let mut found = Vec::new();
    collect(root, root, &mut found);
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn collect(root: &Path, directory: &Path, found: &mut Vec<Source>) {
    let entries = fs::read_dir(directory).expect("a readable source tree");
    for path in entries.map(|entry| entry.expect("a readable entry").path()) {
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        if path.is_dir() {
            if !SKIPPED.contains(&name) {
                collect(root, &path, found);
            }
        } else if matches!(
            path.extension().and_then(|e| e.to_str()),
            Some("rs" | "md" | "toml" | "h")
        ) {
            let text = fs::read_to_string(&path).expect("sources are UTF-8");
            let path = path
                .strip_prefix(root)
                .expect("below the root")
                .to_path_buf();
            found.push(Source { path, text });
        }
    }
}
