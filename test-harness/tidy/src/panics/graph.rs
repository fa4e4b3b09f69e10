//! Which function of the kernel leads to which, from the relocations the linker kept.
//!
//! The kernel is linked with `--emit-relocs`, each function in a section of its own, so that every
//! call, jump and address between functions is in the file. A function whose address is in data (a
//! method of a `dyn` object) may be called by anybody.

use anyhow::{Context as _, Result, ensure};
use object::elf::{
    R_X86_64_64, R_X86_64_GOTPCREL, R_X86_64_GOTPCRELX, R_X86_64_PC32, R_X86_64_PLT32,
    R_X86_64_REX_GOTPCRELX,
};
use object::{File, Object as _, ObjectSection as _, ObjectSymbol as _};
use object::{RelocationFlags, RelocationTarget, SectionKind, Symbol};
use std::collections::{BTreeMap, BTreeSet};

/// A function by its place in [`Graph::names`].
pub(super) type Function = usize;

/// Functions and what they lead to.
#[derive(Debug)]
pub(super) struct Graph {
    /// Names without hashes, by address.
    pub(super) names: Vec<String>,
    /// Where each begins.
    pub(super) starts: Vec<u64>,
    /// Where each refers to a function, and to which.
    pub(super) leads_to: Vec<BTreeMap<u64, Function>>,
    /// Those whose address is in data.
    pub(super) in_data: BTreeSet<Function>,
}

/// An address in the file, and one that it refers to.
struct Reference {
    from: u64,
    to: u64,
}

impl Graph {
    /// Reads the graph of an ELF file.
    pub(super) fn read(elf: &[u8]) -> Result<Self> {
        let file = File::parse(elf).context("the kernel is an ELF file")?;
        let references = references(&file);
        ensure!(
            !references.is_empty(),
            "the kernel is not linked with --emit-relocs"
        );
        let code: Vec<_> = code(&file).collect();
        let is_code = |address: u64| code.iter().any(|range| range.contains(&address));
        let functions = functions(&file);
        let starts: Vec<u64> = functions.keys().copied().collect();
        let function_at = |address: u64| {
            let behind = starts.partition_point(|&start| start <= address);
            behind.checked_sub(1).filter(|_| is_code(address))
        };
        let mut leads_to = vec![BTreeMap::new(); starts.len()];
        let mut in_data = BTreeSet::new();
        for Reference { from, to } in references {
            match (function_at(from), function_at(to)) {
                (Some(caller), Some(function)) => {
                    leads_to[caller].insert(from, function);
                }
                (None, Some(function)) if starts[function] == to => {
                    in_data.insert(function);
                }
                _ => {}
            }
        }
        Ok(Self {
            names: functions.into_values().collect(),
            starts,
            leads_to,
            in_data,
        })
    }

    /// Returns every function that `roots` lead to, themselves included.
    pub(super) fn reachable(&self, roots: BTreeSet<Function>) -> BTreeSet<Function> {
        let mut open: Vec<Function> = roots.iter().copied().collect();
        let mut reached = roots;
        while let Some(function) = open.pop() {
            let next = self.leads_to[function].values();
            open.extend(next.filter(|&&next| reached.insert(next)));
        }
        reached
    }
}

/// Returns where code lies.
fn code(file: &File<'_>) -> impl Iterator<Item = std::ops::Range<u64>> {
    let sections = file.sections().filter(is_text);
    sections.map(|section| section.address()..section.address() + section.size())
}

fn is_text(section: &object::Section<'_, '_>) -> bool {
    section.kind() == SectionKind::Text
}

/// Returns addresses and names of all functions, labels of assembly included.
fn functions(file: &File<'_>) -> BTreeMap<u64, String> {
    let in_text = |symbol: &Symbol<'_, '_>| {
        let section = symbol.section_index();
        let section = section.and_then(|index| file.section_by_index(index).ok());
        section.is_some_and(|section| is_text(&section))
    };
    let named = file.symbols().filter(in_text).filter_map(|symbol| {
        let name = symbol.name().ok().filter(|name| !name.is_empty())?;
        Some((
            symbol.address(),
            format!("{:#}", rustc_demangle::demangle(name)),
        ))
    });
    let mut names = BTreeMap::new();
    for (address, name) in named {
        // Where a part of the linker script begins, its first function does, too.
        if name.ends_with("_start") {
            names.entry(address).or_insert(name);
        } else {
            names.insert(address, name);
        }
    }
    names
}

/// Returns every reference in what is loaded.
fn references(file: &File<'_>) -> Vec<Reference> {
    let mut references = Vec::new();
    for section in file.sections().filter(|section| section.address() != 0) {
        for (from, relocation) in section.relocations() {
            let RelocationFlags::Elf { r_type } = relocation.flags() else {
                continue;
            };
            // Relative ones in data are places inside the function that jumps by them.
            if !is_text(&section) && r_type != R_X86_64_64 {
                continue;
            }
            let RelocationTarget::Symbol(symbol) = relocation.target() else {
                continue;
            };
            let target = file.symbol_by_index(symbol).map_or(0, |it| it.address());
            // Relative ones count from behind their field of four bytes.
            let behind = match r_type {
                R_X86_64_PC32
                | R_X86_64_PLT32
                | R_X86_64_GOTPCREL
                | R_X86_64_GOTPCRELX
                | R_X86_64_REX_GOTPCRELX => 4,
                _ => 0,
            };
            let to = target.wrapping_add_signed(relocation.addend() + behind);
            references.push(Reference { from, to });
        }
    }
    references
}
