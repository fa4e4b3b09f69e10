//! Writes small ELF files, sound or broken in one place.

use denali_abi::layout::{IMAGE_BASE, PAGE_SIZE};

pub(crate) const PT_LOAD: u32 = 1;
pub(crate) const PT_DYNAMIC: u32 = 2;
pub(crate) const PT_INTERP: u32 = 3;
pub(crate) const PT_NOTE: u32 = 4;
pub(crate) const PT_TLS: u32 = 7;
pub(crate) const SHT_PROGBITS: u32 = 1;
pub(crate) const SHT_RELA: u32 = 4;
pub(crate) const SHF_WRITE: u64 = 1;
pub(crate) const SHF_ALLOC: u64 = 2;
pub(crate) const SHF_EXEC: u64 = 4;
pub(crate) const SHF_TLS: u64 = 0x400;
pub(crate) const GLOBAL: u8 = 1 << 4;
pub(crate) const GLOBAL_TLS: u8 = (1 << 4) | 6;

const HEADER_LEN: usize = 64;
const PROGRAM_HEADER_LEN: usize = 56;
const SECTION_HEADER_LEN: usize = 64;

/// A program header and its contents.
#[derive(Clone)]
pub(crate) struct Segment {
    pub(crate) kind: u32,
    pub(crate) flags: u32,
    pub(crate) address: u64,
    pub(crate) contents: Vec<u8>,
    pub(crate) memory_len: u64,
    /// What the header says, if not the length of the contents.
    pub(crate) file_len: Option<u64>,
}

impl Segment {
    pub(crate) fn new(kind: u32, flags: u32, address: u64, contents: &[u8]) -> Self {
        let memory_len = contents.len() as u64;
        Self {
            kind,
            flags,
            address,
            contents: contents.to_vec(),
            memory_len,
            file_len: None,
        }
    }
}

/// A section header; its contents are not looked at, except for relocations.
#[derive(Clone)]
pub(crate) struct Section {
    pub(crate) name: &'static str,
    pub(crate) kind: u32,
    pub(crate) flags: u64,
    pub(crate) address: u64,
    pub(crate) contents: Vec<u8>,
    pub(crate) entry_len: u64,
}

/// A symbol: name, `st_info`, section index (0 is undefined).
#[derive(Clone)]
pub(crate) struct Symbol(pub(crate) &'static str, pub(crate) u8, pub(crate) u16);

/// An ELF file in parts.
#[derive(Clone)]
pub(crate) struct ElfFile {
    pub(crate) class: u8,
    pub(crate) kind: u16,
    pub(crate) machine: u16,
    pub(crate) entry: u64,
    pub(crate) segments: Vec<Segment>,
    pub(crate) sections: Vec<Section>,
    pub(crate) symbols: Vec<Symbol>,
}

impl ElfFile {
    /// A file that can run as a guest: 3 bytes of text, 4 of rodata, 4 of data, 5,000 of bss.
    pub(crate) fn sound() -> Self {
        let mut data = Segment::new(PT_LOAD, 6, IMAGE_BASE + 2 * PAGE_SIZE, &[9, 9, 9, 9]);
        data.memory_len += 5000;
        let section = |name, flags, address| Section {
            name,
            kind: SHT_PROGBITS,
            flags: SHF_ALLOC | flags,
            address,
            contents: Vec::new(),
            entry_len: 0,
        };
        Self {
            class: 2,
            kind: 2,
            machine: 62,
            entry: IMAGE_BASE,
            segments: vec![
                Segment::new(PT_LOAD, 5, IMAGE_BASE, &[0x90, 0x0f, 0x0b]),
                Segment::new(PT_LOAD, 4, IMAGE_BASE + PAGE_SIZE, b"read"),
                data,
            ],
            sections: vec![
                section(".text", SHF_EXEC, IMAGE_BASE),
                section(".rodata", 0, IMAGE_BASE + PAGE_SIZE),
                section(".data", SHF_WRITE, IMAGE_BASE + 2 * PAGE_SIZE),
            ],
            symbols: vec![Symbol("_start", GLOBAL, 1)],
        }
    }

    /// Returns the file.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut body = Vec::new();
        let body_start = HEADER_LEN + PROGRAM_HEADER_LEN * self.segments.len();
        let mut add = |contents: &[u8]| {
            body.resize(body.len().next_multiple_of(8), 0);
            let offset = (body_start.next_multiple_of(8) + body.len()) as u64;
            body.extend_from_slice(contents);
            offset
        };

        let mut program_headers = Vec::new();
        for segment in &self.segments {
            let offset = add(&segment.contents);
            let file_len = segment.file_len.unwrap_or(segment.contents.len() as u64);
            program_headers.extend(segment.kind.to_le_bytes());
            program_headers.extend(segment.flags.to_le_bytes());
            for word in [
                offset,
                segment.address,
                segment.address,
                file_len,
                segment.memory_len,
                1,
            ] {
                program_headers.extend(word.to_le_bytes());
            }
        }

        let mut strings = vec![0];
        let mut symbols = vec![0; 24];
        for Symbol(name, info, section) in &self.symbols {
            symbols.extend(u32::try_from(strings.len()).unwrap().to_le_bytes());
            symbols.extend([*info, 0]);
            symbols.extend(section.to_le_bytes());
            symbols.extend([0; 16]);
            strings.extend(name.bytes().chain([0]));
        }
        let symbol_index = u32::try_from(self.sections.len() + 1).unwrap();
        let mut headers = vec![0; SECTION_HEADER_LEN];
        let mut names = vec![0];
        let mut header = |name: &str,
                          kind: u32,
                          flags: u64,
                          address: u64,
                          place: (u64, usize),
                          link: u32,
                          entry_len: u64| {
            headers.extend(u32::try_from(names.len()).unwrap().to_le_bytes());
            names.extend(name.bytes().chain([0]));
            headers.extend(kind.to_le_bytes());
            for word in [flags, address, place.0, place.1 as u64] {
                headers.extend(word.to_le_bytes());
            }
            headers.extend(link.to_le_bytes());
            headers.extend(0_u32.to_le_bytes());
            headers.extend(8_u64.to_le_bytes());
            headers.extend(entry_len.to_le_bytes());
        };
        for section in &self.sections {
            let place = (add(&section.contents), section.contents.len());
            header(
                section.name,
                section.kind,
                section.flags,
                section.address,
                place,
                symbol_index,
                section.entry_len,
            );
        }
        header(
            ".symtab",
            2,
            0,
            0,
            (add(&symbols), symbols.len()),
            symbol_index + 1,
            24,
        );
        header(".strtab", 3, 0, 0, (add(&strings), strings.len()), 0, 0);
        header(".shstrtab", 3, 0, 0, (0, 0), 0, 0);
        let names_offset = add(&names);
        let last = headers.len() - SECTION_HEADER_LEN;
        headers[last + 24..last + 32].copy_from_slice(&names_offset.to_le_bytes());
        headers[last + 32..last + 40].copy_from_slice(&(names.len() as u64).to_le_bytes());
        let headers_offset = add(&headers);
        let section_count = headers.len() / SECTION_HEADER_LEN;

        let mut file = b"\x7fELF".to_vec();
        file.extend([self.class, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        file.extend(self.kind.to_le_bytes());
        file.extend(self.machine.to_le_bytes());
        file.extend(1_u32.to_le_bytes());
        for word in [self.entry, HEADER_LEN as u64, headers_offset] {
            file.extend(word.to_le_bytes());
        }
        file.extend(0_u32.to_le_bytes());
        for half in [
            HEADER_LEN,
            PROGRAM_HEADER_LEN,
            self.segments.len(),
            SECTION_HEADER_LEN,
            section_count,
            section_count - 1,
        ] {
            file.extend(u16::try_from(half).unwrap().to_le_bytes());
        }
        file.extend(program_headers);
        file.resize(body_start.next_multiple_of(8), 0);
        file.extend(body);
        file
    }
}
