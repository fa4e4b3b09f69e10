//! The unsafe inventory: which files may contain `unsafe`, and how many times it is used.
//!
//! The workspace denies `unsafe_code`; a file (or its parent module) that needs it says so with
//! `#![expect(unsafe_code, reason = "…")]`. This check holds those files against the list below, so
//! that the list, not habit, decides where unsafe code may live.

use super::{Finding, Source};

/// Where unsafe code may live: a path prefix, and why.
pub const ALLOWED: &[(&str, &str)] = &[
    ("host-kernel/src/arch/", "the processor"),
    ("host-kernel/src/main.rs", "the entry symbol"),
    ("host-kernel/src/machine.rs", "joins core and processor"),
    (
        "host-kernel/src/guest_memory.rs",
        "frames through the direct map",
    ),
    (
        "host-kernel/src/boot_info.rs",
        "tables the boot loader left in memory",
    ),
    ("host-kernel/src/heap.rs", "the kernel's allocator"),
    (
        "host-kernel/src/cell.rs",
        "statics of a kernel that nothing re-enters",
    ),
    ("host-kernel/src/panic.rs", "halting"),
    ("host-kernel/src/drivers/", "device registers and DMA"),
    (
        "host-kernel/freestanding/src/",
        "memory functions and unwinder symbols by their C names",
    ),
    (
        "denali-rt/src/block/",
        "the rings in the shared page and buffers",
    ),
    ("denali-rt/src/entry.rs", "the entry symbol"),
    ("denali-rt/src/lib.rs", "the main symbol, inside `entry!`"),
    ("denali-rt/src/hypercall/", "the only `syscall` instruction"),
    (
        "denali-rt/src/interrupt/",
        "the shared page, and the entry for upcalls",
    ),
    ("denali-rt/src/registers.rs", "the page the kernel writes"),
    ("denali-rt/src/heap/", "the allocator"),
    (
        "denali-rt/src/panic/backtrace.rs",
        "the stack of a thread that panicked",
    ),
    ("denali-rt/src/testing/", "the tests the linker gathered"),
    ("denali-rt/src/thread/", "stacks and context switch"),
    ("denali-rt/src/sync/", "cells of a VM with one virtual CPU"),
    ("denali-rt/src/net/", "the shared page and its buffers"),
    (
        "denali-rt/src/libc/memory.rs",
        "pointers that C code passes",
    ),
    (
        "denali-rt/src/libc/malloc.rs",
        "memory that C code frees without its layout",
    ),
    (
        "denali-rt/src/libc/arguments.rs",
        "the `va_list` of a variadic call",
    ),
    (
        "denali-rt/src/libc/variadic.rs",
        "the calling convention of variadic functions",
    ),
    (
        "denali-rt/src/libc/setjmp.rs",
        "saving and restoring registers",
    ),
    (
        "denali-rt/src/libc/pthread/exit.rs",
        "leaving a thread from anywhere within it",
    ),
    (
        "denali-rt/src/libc/start.rs",
        "C's `main`, inside `c_entry!`",
    ),
    (
        "denali-std/src/",
        "symbols that `std` expects, by their C names",
    ),
    (
        "templates/c-echo/src/main.rs",
        "tests that call functions in C",
    ),
    ("test-harness/attacks/", "attacks"),
    ("test-harness/guests/", "guests that misbehave on purpose"),
    (
        "test-harness/tests/std_limits/files.rs",
        "a program that calls C for what a VM does not have",
    ),
];

const KEYWORD: &str = "unsafe";

/// The attribute that exports a function by its name in C. It needs the keyword, but endangers only
/// names: the linker refuses two of one.
const EXPORT: &str = "#[cfg_attr(denali, unsafe(no_mangle))]";

/// Where that attribute may stand without an entry above.
const EXPORTING: &str = "denali-rt/src/libc";

/// Returns a finding for each file with unsafe code outside [`ALLOWED`].
#[must_use]
pub fn check(sources: &[Source]) -> Vec<Finding> {
    sources
        .iter()
        .filter(|source| source.has_extension("rs"))
        .filter(|source| {
            let text = if source.path.starts_with(EXPORTING) && source.is_test() {
                // They call the host's C library.
                String::new()
            } else if source.path.starts_with(EXPORTING) {
                without_tests(&source.text).replace(EXPORT, "")
            } else {
                source.text.clone()
            };
            count(&text) > 0
        })
        .filter(|source| {
            !ALLOWED
                .iter()
                .any(|(prefix, _)| source.path.starts_with(prefix.trim_end_matches('/')))
        })
        .map(|source| {
            source.finding(
                0,
                "unsafe code outside the inventory (test-harness/tidy/src/unsafe_inventory.rs)",
            )
        })
        .collect()
}

fn without_tests(text: &str) -> &str {
    text.find("#[cfg(test)]\nmod ")
        .map_or(text, |tests| &text[..tests])
}

/// Returns how often the keyword is used in code: comments, strings and attributes do not count.
#[must_use]
pub fn count(text: &str) -> usize {
    text.lines()
        .map(|line| {
            // Every second piece between quotes is a string.
            let code: String = line.split('"').step_by(2).collect();
            let code = code.split("//").next().unwrap_or_default();
            code.split(|c: char| !c.is_alphanumeric() && c != '_')
                .filter(|&word| word == KEYWORD)
                .count()
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &str, text: &str) -> Source {
        Source {
            path: path.into(),
            text: text.into(),
        }
    }

    #[test]
    fn unsafe_code_is_found_where_it_may_not_be() {
        let text = "//! X.\nfn f() { unsafe { g() } }\n";
        assert_eq!(
            check(&[source("host-kernel/core/src/vm/mod.rs", text)]).len(),
            1
        );
        assert!(check(&[source("host-kernel/src/arch/x86_64/cpu.rs", text)]).is_empty());
    }

    #[test]
    fn exporting_is_all_that_most_of_the_c_library_may_do() {
        let export = "//! X.\n#[cfg_attr(denali, unsafe(no_mangle))]\npub extern \"C\" fn f() {";
        let path = "denali-rt/src/libc/ctype.rs";
        assert!(check(&[source(path, &format!("{export}}}\n"))]).is_empty());
        assert_eq!(
            check(&[source(path, &format!("{export} unsafe {{ g() }} }}\n"))]).len(),
            1
        );
        assert_eq!(
            check(&[source("denali-rt/src/io.rs", &format!("{export}}}\n"))]).len(),
            1
        );
    }

    #[test]
    fn comments_and_attributes_do_not_count() {
        assert_eq!(count("// unsafe { }\n#![expect(unsafe_code)]\n"), 0);
        assert_eq!(count("unsafe fn f() {}\nlet x = unsafe { f() };\n"), 2);
    }
}
