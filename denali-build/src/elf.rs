//! Decides whether an ELF file can run as a guest.
//!
//! A guest is never relocated and has no loader, no libc and no thread-local storage; what needs
//! one of them is refused with the section or symbol that needs it.

use crate::failure::{Failure, Status};
use denali_abi::convert::u64_to_usize;
use denali_abi::layout::{IMAGE_BASE, PAGE_SIZE};
use goblin::elf::header::{EM_X86_64, ET_EXEC};
use goblin::elf::program_header::{PF_R, PF_W, PF_X, PT_DYNAMIC, PT_INTERP, PT_LOAD};
use goblin::elf::section_header::{SHF_ALLOC, SHN_UNDEF, SHT_REL, SHT_RELA};
use goblin::elf::sym::STB_WEAK;
use goblin::elf::{Elf, ProgramHeader, SectionHeader};
use std::ops::Range;

/// Which pages a loadable segment becomes, in the order they lie in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum SegmentKind {
    Text,
    Rodata,
    Data,
}

/// A loadable segment with checked bounds.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) kind: SegmentKind,
    /// Addresses in the guest.
    pub(crate) memory: Range<u64>,
    /// Where in the file its contents are.
    pub(crate) file: Range<usize>,
}

/// Finds a thread's variables in programs that load libraries; the linker has replaced its calls by an
/// addition ("ELF Handling for Thread-Local Storage" §5.1), and leaves the name.
const REPLACED_CALL: &str = "__tls_get_addr";

/// Checks `bytes` and returns its entry point and segments in order of address.
pub(crate) fn check<'a>(bytes: &'a [u8]) -> Result<(Elf<'a>, Vec<Segment>), Failure> {
    let elf =
        Elf::parse(bytes).map_err(|error| refused(format!("it is no sound ELF file: {error}")))?;
    check_machine(&elf)?;
    check_dynamic(&elf)?;
    check_relocations(&elf)?;
    check_symbols(&elf)?;
    let segments = segments(&elf, bytes.len())?;
    Ok((elf, segments))
}

/// Creates the error for something that cannot run as a guest.
pub(crate) fn refused(reason: impl AsRef<str>) -> Failure {
    Failure::new(
        Status::Build,
        format!("this cannot run as a guest: {}", reason.as_ref()),
    )
}

fn check_machine(elf: &Elf<'_>) -> Result<(), Failure> {
    if !elf.is_64 || !elf.little_endian || elf.header.e_machine != EM_X86_64 {
        return Err(refused("it is not built for x86-64"));
    }
    Ok(())
}

fn check_dynamic(elf: &Elf<'_>) -> Result<(), Failure> {
    let help = "a dependency needs the host's C library: use one that works without `std`";
    if let Some(library) = elf.libraries.first() {
        return Err(refused(format!("it needs the shared library `{library}`")).help(help));
    }
    if let Some(interpreter) = elf.interpreter {
        return Err(refused(format!(
            "section `.interp` names the loader `{interpreter}`"
        ))
        .help(help));
    }
    for (kind, section) in [(PT_INTERP, ".interp"), (PT_DYNAMIC, ".dynamic")] {
        if elf
            .program_headers
            .iter()
            .any(|header| header.p_type == kind)
        {
            return Err(
                refused(format!("it is dynamically linked (section `{section}`)")).help(help),
            );
        }
    }
    if elf.header.e_type != ET_EXEC {
        return Err(refused("it is not a static executable at fixed addresses")
            .help("build it with `cargo denali build`, and set no other relocation model"));
    }
    Ok(())
}

fn check_relocations(elf: &Elf<'_>) -> Result<(), Failure> {
    for (index, section) in elf.section_headers.iter().enumerate() {
        let is_relocations = matches!(section.sh_type, SHT_REL | SHT_RELA);
        if !is_relocations || section.sh_flags & u64::from(SHF_ALLOC) == 0 || section.sh_size == 0 {
            continue;
        }
        let relocations = elf.shdr_relocs.iter().find(|(at, _)| *at == index);
        let symbol = relocations
            .and_then(|(_, relocations)| relocations.iter().next())
            .and_then(|relocation| elf.syms.get(relocation.r_sym))
            .and_then(|symbol| elf.strtab.get_at(symbol.st_name))
            .filter(|name| !name.is_empty())
            .map_or_else(String::new, |name| format!(" against `{name}`"));
        let name = section_name(elf, section);
        return Err(refused(format!(
            "section `{name}` has unresolved relocations{symbol}"
        )));
    }
    Ok(())
}

fn check_symbols(elf: &Elf<'_>) -> Result<(), Failure> {
    for symbol in &elf.syms {
        let undefined = u32::try_from(symbol.st_shndx) == Ok(SHN_UNDEF);
        if !undefined || symbol.st_bind() == STB_WEAK {
            continue;
        }
        if let Some(name) = elf
            .strtab
            .get_at(symbol.st_name)
            .filter(|name| !name.is_empty() && *name != REPLACED_CALL)
        {
            return Err(refused(format!("the symbol `{name}` is undefined"))
                .help("it usually belongs to a C library, which a guest does not have"));
        }
    }
    Ok(())
}

fn segments(elf: &Elf<'_>, file_len: usize) -> Result<Vec<Segment>, Failure> {
    let mut segments: Vec<Segment> = Vec::new();
    let mut end = IMAGE_BASE;
    for header in elf
        .program_headers
        .iter()
        .filter(|header| header.p_type == PT_LOAD)
    {
        if header.p_memsz == 0 {
            continue;
        }
        let segment = segment(elf, header, file_len)?;
        let name = name_at(elf, header);
        if segment.memory.start != end {
            return Err(refused(format!(
                "section `{name}` starts at {:#x} instead of {end:#x}",
                segment.memory.start
            )));
        }
        if segments
            .last()
            .is_some_and(|last| last.kind >= segment.kind)
        {
            return Err(refused(format!(
                "section `{name}` is out of order: text, read-only data and data come one by one"
            )));
        }
        end = segment.memory.end.next_multiple_of(PAGE_SIZE);
        segments.push(segment);
    }
    Ok(segments)
}

fn segment(elf: &Elf<'_>, header: &ProgramHeader, file_len: usize) -> Result<Segment, Failure> {
    let name = name_at(elf, header);
    let kind = match header.p_flags & (PF_R | PF_W | PF_X) {
        flags if flags & PF_X != 0 && flags & PF_W != 0 => {
            return Err(refused(format!(
                "section `{name}` is writable and executable"
            )));
        }
        flags if flags & PF_X != 0 => SegmentKind::Text,
        flags if flags & PF_W != 0 => SegmentKind::Data,
        _ => SegmentKind::Rodata,
    };
    let too_large = || refused(format!("section `{name}` is too large"));
    let memory_end = header
        .p_vaddr
        .checked_add(header.p_memsz)
        .ok_or_else(too_large)?;
    let file_end = header
        .p_offset
        .checked_add(header.p_filesz)
        .ok_or_else(too_large)?;
    if u64_to_usize(file_end) > file_len || header.p_filesz > header.p_memsz {
        return Err(refused(format!(
            "section `{name}` reaches behind the end of the file"
        )));
    }
    if memory_end > denali_abi::layout::HEAP_END {
        return Err(too_large().help("an image with its data ends below 0x20000000 (510 MiB)"));
    }
    if header.p_filesz < header.p_memsz && kind != SegmentKind::Data {
        return Err(refused(format!(
            "section `{name}` is read-only and has no contents"
        )));
    }
    Ok(Segment {
        kind,
        memory: header.p_vaddr..memory_end,
        file: u64_to_usize(header.p_offset)..u64_to_usize(file_end),
    })
}

/// Returns the name of the first section inside a segment.
fn name_at<'a>(elf: &'a Elf<'_>, header: &ProgramHeader) -> &'a str {
    let inside = |section: &&SectionHeader| {
        section.sh_flags & u64::from(SHF_ALLOC) != 0
            && header.vm_range().contains(&u64_to_usize(section.sh_addr))
    };
    elf.section_headers
        .iter()
        .find(inside)
        .map_or("(unnamed)", |section| section_name(elf, section))
}

fn section_name<'a>(elf: &'a Elf<'_>, section: &SectionHeader) -> &'a str {
    elf.shdr_strtab
        .get_at(section.sh_name)
        .unwrap_or("(unnamed)")
}
