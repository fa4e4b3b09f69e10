//! Which functions of C the toolchain's precompiled `std` refers to, and that each is there: what a new
//! release of Rust needs more fails here, by its name, before any program fails to link.
//!
//! `std_symbols/needed.txt` is the record. `cargo test -p test-harness --test std_symbols` says what
//! changed.

use denali_tidy::{libc, sources};
use object::read::archive::ArchiveFile;
use object::{Object, ObjectSymbol};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The record: a name a line.
const RECORD: &str = include_str!("std_symbols/needed.txt");

/// The libraries that a program with `std` links.
const LIBRARIES: [&str; 17] = [
    "addr2line",
    "adler2",
    "alloc",
    "cfg_if",
    "compiler_builtins",
    "core",
    "gimli",
    "hashbrown",
    "libc",
    "memchr",
    "miniz_oxide",
    "object",
    "panic_unwind",
    "rustc_demangle",
    "std",
    "std_detect",
    "unwind",
];

/// Where they are.
const PROVIDERS: [&str; 3] = [
    "denali-rt/src/libc",
    "denali-std/src",
    "host-kernel/freestanding/src",
];

/// What the crate `unwinding` exports, of what `std` needs.
const UNWINDER: [&str; 14] = [
    "_Unwind_Backtrace",
    "_Unwind_DeleteException",
    "_Unwind_FindEnclosingFunction",
    "_Unwind_GetCFA",
    "_Unwind_GetDataRelBase",
    "_Unwind_GetIP",
    "_Unwind_GetIPInfo",
    "_Unwind_GetLanguageSpecificData",
    "_Unwind_GetRegionStart",
    "_Unwind_GetTextRelBase",
    "_Unwind_RaiseException",
    "_Unwind_Resume",
    "_Unwind_SetGR",
    "_Unwind_SetIP",
];

/// What the linker makes or replaces.
const LINKER: [&str; 2] = ["_GLOBAL_OFFSET_TABLE_", "__tls_get_addr"];

#[test]
fn every_function_that_std_needs_is_there() {
    let needed = needed();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("a root");
    let provided = libc::exported_below(&sources(root), &PROVIDERS);
    let missing: Vec<_> = needed
        .iter()
        .filter(|name| !provided.contains(*name))
        .filter(|name| !UNWINDER.contains(&name.as_str()) && !LINKER.contains(&name.as_str()))
        .collect();
    assert!(
        missing.is_empty(),
        "`std` needs these, and nobody has them: {missing:?}"
    );
}

#[test]
fn what_std_needs_is_what_the_record_says() {
    let needed = needed();
    let recorded: BTreeSet<String> = RECORD.lines().map(str::to_owned).collect();
    let new: Vec<_> = needed.difference(&recorded).collect();
    let gone: Vec<_> = recorded.difference(&needed).collect();
    assert!(
        new.is_empty() && gone.is_empty(),
        "new: {new:?}, gone: {gone:?}"
    );
}

/// Returns what those libraries refer to and none of them defines; not what they can do without.
fn needed() -> BTreeSet<String> {
    let (mut undefined, mut defined) = (BTreeSet::new(), BTreeSet::new());
    for library in libraries() {
        let bytes = fs::read(&library).expect("a library");
        let archive = ArchiveFile::parse(&*bytes).expect("an archive");
        for member in archive.members() {
            let data = member
                .and_then(|member| member.data(&*bytes))
                .expect("a member");
            // The first is metadata of the compiler's.
            let Ok(file) = object::File::parse(data) else {
                continue;
            };
            for symbol in file.symbols().filter(|symbol| !symbol.is_local()) {
                let name = symbol.name().expect("a name").to_owned();
                if !symbol.is_undefined() {
                    defined.insert(name);
                } else if !symbol.is_weak() && !name.is_empty() {
                    undefined.insert(name);
                }
            }
        }
    }
    // Of Rust's own, those that the compiler makes for each program.
    let is_rust = |name: &&String| name.starts_with("_R") || name.starts_with("_ZN");
    undefined
        .difference(&defined)
        .filter(|name| !is_rust(name))
        .cloned()
        .collect()
}

fn libraries() -> Vec<PathBuf> {
    let rustc = Command::new("rustc")
        .args(["--print", "target-libdir"])
        .output();
    let folder = String::from_utf8(rustc.expect("rustc").stdout).expect("UTF-8");
    let entries = fs::read_dir(folder.trim()).expect("the libraries");
    let is_linked = |path: &PathBuf| {
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        let library = name
            .strip_prefix("lib")
            .and_then(|name| name.split_once('-'));
        let is_archive = path
            .extension()
            .is_some_and(|extension| extension == "rlib");
        is_archive && library.is_some_and(|(library, _)| LIBRARIES.contains(&library))
    };
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths.filter(is_linked).collect()
}
