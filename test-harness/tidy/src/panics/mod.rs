//! No guest and no frame reaches a panic: which panics the kernel's run loop and handlers lead to.
//!
//! Asked of the kernel as it is linked: the linker's relocations say what leads to what (`graph`), the
//! line tables which function a call belongs to, however the compiler inlined it (`blame`). All that
//! is found must be in what [`allowed`] argues for.

pub mod allowed;
mod blame;
mod graph;

use addr2line::Loader;
use allowed::ALLOWED;
use anyhow::{Context as _, Result, anyhow, ensure};
use graph::Graph;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Functions of the library and of `freestanding` that do nothing but panic. Whoever calls one of
/// them can panic.
const PANICS: [&str; 17] = [
    "core::panicking::",
    "core::option::expect_failed",
    "core::option::unwrap_failed",
    "core::result::unwrap_failed",
    "core::slice::index::slice_index_fail",
    "core::slice::copy_from_slice_impl::len_mismatch_fail",
    "core::slice::sort::shared::smallsort::panic_on_ord_violation",
    "core::str::slice_error_fail",
    "core::cell::panic_already_",
    "alloc::alloc::handle_alloc_error",
    "alloc::raw_vec::capacity_overflow",
    "alloc::raw_vec::handle_error",
    "__rustc::rust_begin_unwind",
    "__rustc::__rdl_alloc_error_handler",
    "__rustc::__rust_alloc_error_handler",
    "_Unwind_Resume",
    "rust_eh_personality",
];

/// Where everything that a guest or the network sends comes in.
const ROOTS: [&str; 6] = [
    "host_kernel::run",
    "trap_entry",
    "debug_entry",
    "nmi_entry",
    "machine_check_entry",
    "double_fault_entry",
];

/// Panics by place: what is called, and at which line.
pub type Panics = BTreeMap<String, BTreeSet<String>>;

/// Returns what is wrong with a kernel: panics that nobody argues for, and arguments for functions
/// that are gone. `host_kernel` is the folder of its sources.
///
/// # Errors
///
/// The file is no kernel, or keeps no relocations or line tables.
pub fn check(kernel: &Path, host_kernel: &Path) -> Result<Vec<String>> {
    let found = reachable(kernel)?.into_iter();
    let unargued = found.filter(|(place, _)| allowed::find(place).is_none());
    let mut wrong: Vec<String> = unargued
        .map(|(place, panics)| {
            let panics = panics.into_iter().collect::<Vec<_>>().join(", ");
            format!(
                "`{place}` can panic ({panics}): answer with an error, or argue in panics/allowed.rs"
            )
        })
        .collect();
    let places = ALLOWED.iter().flat_map(|allowed| allowed.places);
    let stale = places.filter(|place| !is_there(host_kernel, place));
    wrong.extend(
        stale.map(|place| format!("`{place}` is no more: take it out of panics/allowed.rs")),
    );
    Ok(wrong)
}

/// Returns whether a place of ours is in the sources. Whether a function can panic in this build is
/// up to the compiler; that it exists is not.
fn is_there(host_kernel: &Path, place: &str) -> bool {
    let Some((path, function)) = place.split_once(' ') else {
        return true;
    };
    if !path.starts_with("src/") && !path.starts_with("core/src/") {
        return true;
    }
    let text = std::fs::read_to_string(host_kernel.join(path)).unwrap_or_default();
    let declared = |end| text.contains(&format!("fn {function}{end}"));
    match function {
        "{closure}" => text.contains('|'),
        _ => declared('(') || declared('<'),
    }
}

/// Returns all places that can panic after boot.
///
/// # Errors
///
/// The file is no kernel, or keeps no relocations or line tables.
pub fn reachable(kernel: &Path) -> Result<Panics> {
    let elf = std::fs::read(kernel).with_context(|| format!("reading `{}`", kernel.display()))?;
    let graph = Graph::read(&elf)?;
    let lines = Loader::new(kernel).map_err(|error| anyhow!("line tables: {error}"))?;
    let mut roots = graph.in_data.clone();
    for root in ROOTS {
        let place = graph.names.iter().position(|name| name == root);
        ensure!(place.is_some(), "the kernel has no function `{root}`");
        roots.extend(place);
    }
    let panics = |name: &str| PANICS.iter().any(|prefix| name.starts_with(prefix));
    let mut found = Panics::new();
    for function in graph.reachable(roots) {
        let name = &graph.names[function];
        if panics(name) {
            continue;
        }
        for (&at, &to) in &graph.leads_to[function] {
            let panic = &graph.names[to];
            if panics(panic) {
                let function = (name.as_str(), graph.starts[function]);
                let (place, line) = blame::place(&lines, at, function)?;
                found
                    .entry(place)
                    .or_default()
                    .insert(format!("{panic}, line {line}"));
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_without_relocations_is_refused() {
        let this = std::env::current_exe().expect("this program");
        let error = check(&this, Path::new(".")).expect_err("it keeps none");
        assert!(error.to_string().contains("--emit-relocs"), "{error}");
    }

    #[test]
    fn a_place_is_allowed_by_name_or_by_prefix() {
        assert!(allowed::find("core/src/memory/frame.rs take").is_some());
        assert!(allowed::find("library/core/src/slice/sort/any.rs any").is_some());
        assert!(allowed::find("core/src/memory/frame.rs took").is_none());
    }
}
