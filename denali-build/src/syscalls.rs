//! Finds system calls of Linux in a program: instructions that a dependency brings as assembly, where no
//! missing symbol shows them. In a VM they would be hypercalls with wrong numbers.

use crate::elf::refused;
use crate::failure::Failure;
use denali_abi::convert::{u64_to_usize, usize_to_u64};
use goblin::elf::sym::STT_FUNC;
use goblin::elf::{Elf, Sym};
use iced_x86::{Decoder, DecoderOptions, Mnemonic};
use std::collections::BTreeSet;

/// Where `denali-rt` notes the addresses of its own.
const OWN: &str = ".denali_hypercalls";

/// The instructions, as bytes: `syscall`, `sysenter`, `int 0x80`.
const PATTERNS: [[u8; 2]; 3] = [[0x0f, 0x05], [0x0f, 0x34], [0xcd, 0x80]];

/// Refuses a program that makes system calls other than by `denali-rt`.
///
/// # Errors
///
/// It does; the message names function and crate.
pub(crate) fn check(elf: &Elf<'_>, bytes: &[u8]) -> Result<(), Failure> {
    let own = own(elf, bytes);
    let functions = elf
        .syms
        .iter()
        .filter(|symbol| symbol.st_type() == STT_FUNC);
    for function in functions {
        let Some(code) = code(elf, bytes, &function) else {
            continue;
        };
        if may_call(code) && calls(code, function.st_value).any(|at| !own.contains(&at)) {
            return Err(explain(
                elf.strtab.get_at(function.st_name).unwrap_or_default(),
            ));
        }
    }
    Ok(())
}

/// Returns the addresses of the runtime's own.
fn own(elf: &Elf<'_>, bytes: &[u8]) -> BTreeSet<u64> {
    let sections = elf
        .section_headers
        .iter()
        .filter(|section| elf.shdr_strtab.get_at(section.sh_name) == Some(OWN));
    sections
        .filter_map(|section| bytes.get(section.file_range()?))
        .flat_map(|contents| contents.as_chunks::<8>().0)
        .map(|address| u64::from_le_bytes(*address))
        .collect()
}

/// Returns the instructions of a function.
fn code<'b>(elf: &Elf<'_>, bytes: &'b [u8], function: &Sym) -> Option<&'b [u8]> {
    let section = elf.section_headers.get(function.st_shndx)?;
    let contents = bytes.get(section.file_range()?)?;
    let start = u64_to_usize(function.st_value.checked_sub(section.sh_addr)?);
    contents.get(start..start.checked_add(u64_to_usize(function.st_size))?)
}

/// Returns whether the bytes of such an instruction occur, as a part of whatever.
fn may_call(code: &[u8]) -> bool {
    code.windows(2)
        .any(|pair| PATTERNS.iter().any(|pattern| pair == pattern))
}

/// Returns the addresses of system calls in a function that lies at `address`.
fn calls(code: &[u8], address: u64) -> impl Iterator<Item = u64> {
    let decoder = Decoder::with_ip(64, code, address, DecoderOptions::NONE);
    let mut found = Vec::new();
    for instruction in decoder {
        let is_call = match instruction.mnemonic() {
            Mnemonic::Syscall | Mnemonic::Sysenter => true,
            Mnemonic::Int => instruction.immediate8() == 0x80,
            _ => false,
        };
        if is_call {
            found.push(instruction.ip());
        }
    }
    debug_assert!(
        found
            .iter()
            .all(|at| *at < address + usize_to_u64(code.len()))
    );
    found.into_iter()
}

fn explain(symbol: &str) -> Failure {
    let function = format!("{:#}", rustc_demangle::demangle(symbol));
    let path = function.trim_start_matches('<');
    let name: String = path
        .chars()
        .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
        .collect();
    let of = match path.strip_prefix(name.as_str()) {
        Some(rest) if rest.starts_with("::") => format!(" of the crate `{name}`"),
        _ => String::new(),
    };
    refused(format!("the function `{function}`{of} makes system calls of Linux by itself")).help(
        "find who brings it with cargo tree -i, and look for a feature that has it use the C library",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_are_found_and_their_bytes_in_others_are_not() {
        // mov eax, 0x050f; syscall; int 0x80; ret
        let code = [0xb8, 0x0f, 0x05, 0, 0, 0x0f, 0x05, 0xcd, 0x80, 0xc3];
        assert_eq!(calls(&code, 0x1000).collect::<Vec<_>>(), [0x1005, 0x1007]);
        assert!(may_call(&code[..5]));
        assert_eq!(calls(&code[..5], 0).count(), 0);
    }

    #[test]
    fn function_and_crate_are_named() {
        let name = |symbol| explain(symbol).to_string();
        let text = name("_ZN6rustix7backend4arch3asm8syscall017h0123456789abcdefE");
        assert!(
            text.contains("`rustix::backend::arch::asm::syscall0` of the crate `rustix`"),
            "{text}"
        );
        assert!(name("raw_write").contains("the function `raw_write` makes"));
    }
}
