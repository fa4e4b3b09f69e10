//! Why a service does not build, where the compiler's or linker's words alone would leave people looking.

use cargo_metadata::diagnostic::Diagnostic;
use std::collections::{BTreeMap, BTreeSet};

/// What went wrong, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Diagnosis {
    /// What is wrong with the service.
    pub(crate) what: String,
    /// What to do.
    pub(crate) help: &'static str,
}

/// How the linker reports a function that is nowhere.
const UNDEFINED: &str = "undefined symbol: ";

/// How it reports a shared library that it was to link.
const NO_LIBRARY: &str = "unable to find library -l";

/// How it begins the lines that say who refers to a function.
const REFERENCE: &str = ">>>";

/// Recognises what cannot work in a VM.
pub(crate) fn of(message: &Diagnostic) -> Option<Diagnosis> {
    let code = message.code.as_ref().map(|code| code.code.as_str());
    if code == Some("E0152") && message.message.contains("`panic_impl`") {
        return Some(two_panic_runtimes(message));
    }
    let text = texts(message).join("\n");
    missing_libraries(&text).or_else(|| missing_functions(&text))
}

/// Returns a message and all its notes.
fn texts(message: &Diagnostic) -> Vec<&str> {
    let notes = message.children.iter().flat_map(texts);
    std::iter::once(message.message.as_str())
        .chain(notes)
        .collect()
}

fn two_panic_runtimes(message: &Diagnostic) -> Diagnosis {
    let notes = texts(message).join("\n");
    let who = notes
        .split_once("(which `")
        .and_then(|(_, rest)| rest.split_once('`'))
        .map_or_else(String::new, |(name, _)| {
            format!(": `{name}` depends on `std`")
        });
    Diagnosis {
        what: format!("it has two panic runtimes{who}"),
        help: "leave that crate's feature `std` out, or have `std` yourself: no `#![no_std]`, and \
               `use denali_std as _;` instead of `denali_rt::entry!`",
    }
}

fn missing_libraries(text: &str) -> Option<Diagnosis> {
    let names: BTreeSet<&str> = text
        .lines()
        .filter_map(|line| line.split_once(NO_LIBRARY))
        .map(|(_, name)| name.trim())
        .collect();
    if names.is_empty() {
        return None;
    }
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    Some(Diagnosis {
        what: format!(
            "it links to shared libraries, which a VM does not have: {}",
            names.join(", ")
        ),
        help: "look for a feature of the crate that builds the library from source, often `bundled` or \
               `vendored`",
    })
}

fn missing_functions(text: &str) -> Option<Diagnosis> {
    let mut missing: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    let mut function = None;
    for line in text.lines() {
        if let Some((_, name)) = line.split_once(UNDEFINED) {
            function = Some(name.trim());
            missing.entry(name.trim()).or_default();
        } else if let Some(users) = function.and_then(|name| missing.get_mut(name))
            && line.trim_start().starts_with(REFERENCE)
        {
            users.extend(crate_of(line));
        }
    }
    if missing.is_empty() {
        return None;
    }
    let functions: Vec<String> = missing
        .iter()
        .map(|(name, users)| match users.first() {
            Some(user) => format!("`{name}` (needed by `{user}`)"),
            None => format!("`{name}`"),
        })
        .collect();
    Some(Diagnosis {
        what: format!(
            "these functions do not exist in a VM: {}",
            functions.join(", ")
        ),
        help: "docs/src/reference/libc.md says what there is; a feature of the crate may do without",
    })
}

/// Returns the crate whose object file a line of the linker names: `…libNAME-HASH.rlib(…)`, or
/// `NAME-HASH.NAME.HASH-cgu.0.rcgu.o`.
fn crate_of(line: &str) -> Option<String> {
    let file = |end| line.split_once(end)?.0.rsplit(['/', ' ', '(']).next();
    let name = match file(".rlib") {
        Some(archive) => archive.strip_prefix("lib").unwrap_or(archive),
        None => file(".rcgu.o")?.split_once('.')?.0,
    };
    Some(name.rsplit_once('-')?.0.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_functions_are_named_with_who_needs_them() {
        let text = "linking with `rust-lld` failed: exit status: 1\n\
            rust-lld: error: undefined symbol: shm_open\n\
            >>> referenced by lib.rs:10 (src/lib.rs:10)\n\
            >>>               shared_memory-0123456789abcdef.shared_memory.fedcba-cgu.0.rcgu.o:\
            (open) in archive /p/target/release/deps/libshared_memory-0123456789abcdef.rlib\n\n\
            rust-lld: error: undefined symbol: initgroups\n\
            >>> referenced by main.rs:3 (src/main.rs:3)\n\
            >>>               /p/deps/app-0123456789abcdef.app.fedcba-cgu.0.rcgu.o:(app::main)\n";
        let diagnosis = missing_functions(text).unwrap();
        assert_eq!(
            diagnosis.what,
            "these functions do not exist in a VM: `initgroups` (needed by `app`), \
             `shm_open` (needed by `shared_memory`)"
        );
    }

    #[test]
    fn a_crate_keeps_the_beginning_of_its_name() {
        let line = ">>> referenced by /p/deps/liblibc-0123456789abcdef.rlib(libc.o)";
        assert_eq!(crate_of(line).as_deref(), Some("libc"));
        assert_eq!(crate_of(">>> did you mean: open"), None);
    }

    #[test]
    fn shared_libraries_are_named() {
        let text = "rust-lld: error: unable to find library -lssl\n\
                    rust-lld: error: unable to find library -lcrypto";
        let diagnosis = missing_libraries(text).unwrap();
        assert!(
            diagnosis.what.ends_with(": `crypto`, `ssl`"),
            "{}",
            diagnosis.what
        );
        assert_eq!(missing_libraries("nothing of that"), None);
    }
}
