//! Writes small ELF files, sound or broken in one place.

use denali_abi::layout::{IMAGE_BASE, PAGE_SIZE};

pub(crate) const PT_LOAD: u32 = 1;
pub(crate) const PT_DYNAMIC: u32 = 2;
pub(crate) const PT_INTERP: u32 = 3;
pub(crate) const PT_NOTE: u32 = 4;
pub(crate) const SHT_PROGBITS: u32 = 1;
pub(crate) const SHT_RELA: u32 = 4;
pub(crate) const SHF_WRITE: u64 = 1;
pub(crate) const SHF_ALLOC: u64 = 2;
pub(crate) const SHF_EXEC: u64 = 4;
pub(crate) const GLOBAL: u8 = 1 << 4;

const HEADER_LEN: usize = 64;
const PROGRAM_HEADER_LEN: usize = 56;
const SECTION_HEADER_LEN: usize = 64;
const SYMBOL_LEN: usize = 24;

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
        let start = HEADER_LEN + PROGRAM_HEADER_LEN * self.segments.len();
        let mut body = Body {
            start: start.next_multiple_of(8),
            bytes: Vec::new(),
        };
        let program_headers = self.program_headers(&mut body);
        let table = self.section_headers(&mut body);
        let table_offset = body.add(&table.headers);

        let mut file = b"\x7fELF".to_vec();
        file.extend([self.class, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        file.extend(self.kind.to_le_bytes());
        file.extend(self.machine.to_le_bytes());
        file.extend(1_u32.to_le_bytes());
        for word in [self.entry, HEADER_LEN as u64, table_offset] {
            file.extend(word.to_le_bytes());
        }
        file.extend(0_u32.to_le_bytes());
        let sections = table.headers.len() / SECTION_HEADER_LEN;
        for half in [
            HEADER_LEN,
            PROGRAM_HEADER_LEN,
            self.segments.len(),
            SECTION_HEADER_LEN,
            sections,
            sections - 1,
        ] {
            file.extend(u16::try_from(half).unwrap().to_le_bytes());
        }
        file.extend(program_headers);
        file.resize(body.start, 0);
        file.extend(body.bytes);
        file
    }

    fn program_headers(&self, body: &mut Body) -> Vec<u8> {
        let mut headers = Vec::new();
        for segment in &self.segments {
            let offset = body.add(&segment.contents);
            let file_len = segment.file_len.unwrap_or(segment.contents.len() as u64);
            headers.extend(segment.kind.to_le_bytes());
            headers.extend(segment.flags.to_le_bytes());
            let (address, memory_len) = (segment.address, segment.memory_len);
            for word in [offset, address, address, file_len, memory_len, 1] {
                headers.extend(word.to_le_bytes());
            }
        }
        headers
    }

    fn section_headers(&self, body: &mut Body) -> SectionTable {
        let mut strings = vec![0];
        let mut symbols = vec![0; SYMBOL_LEN];
        for Symbol(name, info, section) in &self.symbols {
            symbols.extend(u32::try_from(strings.len()).unwrap().to_le_bytes());
            symbols.extend([*info, 0]);
            symbols.extend(section.to_le_bytes());
            symbols.extend([0; 16]);
            strings.extend(name.bytes().chain([0]));
        }
        let symbol_table = u32::try_from(self.sections.len() + 1).unwrap();
        let mut table = SectionTable {
            headers: vec![0; SECTION_HEADER_LEN],
            names: vec![0],
        };
        for section in &self.sections {
            table.add(body, section, symbol_table);
        }
        let section = |name, kind, contents, entry_len| Section {
            name,
            kind,
            flags: 0,
            address: 0,
            contents,
            entry_len,
        };
        table.add(
            body,
            &section(".symtab", 2, symbols, SYMBOL_LEN as u64),
            symbol_table + 1,
        );
        table.add(body, &section(".strtab", 3, strings, 0), 0);
        // The last names itself, so its contents are complete before it is added.
        let mut names = table.names.clone();
        names.extend(b".shstrtab\0");
        table.add(body, &section(".shstrtab", 3, names, 0), 0);
        table
    }
}

/// What follows the program headers.
struct Body {
    start: usize,
    bytes: Vec<u8>,
}

impl Body {
    /// Adds contents, and returns their offset in the file.
    fn add(&mut self, contents: &[u8]) -> u64 {
        self.bytes.resize(self.bytes.len().next_multiple_of(8), 0);
        let offset = (self.start + self.bytes.len()) as u64;
        self.bytes.extend_from_slice(contents);
        offset
    }
}

/// Section headers and the names in them.
struct SectionTable {
    headers: Vec<u8>,
    names: Vec<u8>,
}

impl SectionTable {
    fn add(&mut self, body: &mut Body, section: &Section, link: u32) {
        let offset = body.add(&section.contents);
        let name = u32::try_from(self.names.len()).unwrap();
        self.names.extend(section.name.bytes().chain([0]));
        for word in [name, section.kind] {
            self.headers.extend(word.to_le_bytes());
        }
        for word in [
            section.flags,
            section.address,
            offset,
            section.contents.len() as u64,
        ] {
            self.headers.extend(word.to_le_bytes());
        }
        for word in [link, 0] {
            self.headers.extend(word.to_le_bytes());
        }
        for word in [8, section.entry_len] {
            self.headers.extend(word.to_le_bytes());
        }
    }
}
