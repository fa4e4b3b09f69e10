//! Turns an ELF file into a flat image (`denali_abi::image`).

use crate::elf::{self, Segment, SegmentKind, refused};
use crate::failure::Failure;
use denali_abi::ABI_VERSION;
use denali_abi::convert::{u64_to_usize, usize_to_u64};
use denali_abi::image::{BUILD_ID_LEN, IMAGE_MAGIC, ImageError, ImageHeader};
use denali_abi::layout::PAGE_SIZE;
use goblin::elf::Elf;
use goblin::elf::note::NT_GNU_BUILD_ID;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::fmt::Write;
use zerocopy::IntoBytes;

/// A flat image, ready to be packaged.
#[derive(Clone, Debug)]
pub struct Image {
    header: ImageHeader,
    bytes: Vec<u8>,
    sizes: SegmentSizes,
}

/// Bytes in each segment, before they are rounded up to pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SegmentSizes {
    /// Code.
    pub text: u64,
    /// Read-only data.
    pub rodata: u64,
    /// Writable data with contents.
    pub data: u64,
    /// Writable data that starts as zero.
    pub bss: u64,
}

impl Image {
    /// Builds the image from an ELF file; `memory` is the service's limit in bytes.
    ///
    /// # Errors
    ///
    /// The file cannot run as a guest, or not in that much memory; the message names the section
    /// or symbol.
    pub fn from_elf(elf_bytes: &[u8], memory: u64) -> Result<Self, Failure> {
        let (elf, segments) = elf::check(elf_bytes)?;
        let sizes = sizes(&segments);
        let mut header = ImageHeader {
            magic: IMAGE_MAGIC,
            abi_version: ABI_VERSION,
            memory_pages: pages(memory)?,
            text_pages: pages(sizes.text)?,
            rodata_pages: pages(sizes.rodata)?,
            data_pages: pages(sizes.data)?,
            bss_pages: 0,
            entry: elf.header.e_entry,
            build_id: [0; BUILD_ID_LEN],
            reserved: 0,
        };
        // The tail of the last data page serves as the beginning of bss.
        header.bss_pages = pages(sizes.data + sizes.bss)? - header.data_pages;
        let contents = contents(elf_bytes, &segments, &header);
        header.build_id = build_id(&elf, elf_bytes, &contents);
        header
            .validate()
            .map_err(|error| explain(error, header.entry))?;
        check_memory(&header, memory)?;

        let mut bytes = header.as_bytes().to_vec();
        bytes.resize(u64_to_usize(PAGE_SIZE), 0);
        bytes.extend(contents);
        Ok(Self {
            header,
            bytes,
            sizes,
        })
    }

    /// Returns the image's header.
    #[must_use]
    pub const fn header(&self) -> &ImageHeader {
        &self.header
    }

    /// Returns the image file.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns how large the segments are.
    #[must_use]
    pub const fn sizes(&self) -> SegmentSizes {
        self.sizes
    }

    /// Returns the build-id in hexadecimal digits.
    #[must_use]
    pub fn build_id(&self) -> String {
        hexadecimal(&self.header.build_id)
    }
}

/// Returns `bytes` as hexadecimal digits.
#[must_use]
pub fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a String succeeds");
        text
    })
}

fn sizes(segments: &[Segment]) -> SegmentSizes {
    let mut sizes = SegmentSizes::default();
    for segment in segments {
        let file_len = usize_to_u64(segment.file.len());
        match segment.kind {
            SegmentKind::Text => sizes.text = file_len,
            SegmentKind::Rodata => sizes.rodata = file_len,
            SegmentKind::Data => {
                sizes.data = file_len;
                sizes.bss = segment.memory.end - segment.memory.start - file_len;
            }
        }
    }
    sizes
}

/// Returns the number of pages that hold `bytes`.
fn pages(bytes: u64) -> Result<u32, Failure> {
    u32::try_from(bytes.div_ceil(PAGE_SIZE)).map_err(|_| refused("it is too large"))
}

/// Returns the pages of all segments, one behind the other.
fn contents(elf_bytes: &[u8], segments: &[Segment], header: &ImageHeader) -> Vec<u8> {
    let mut contents = Vec::with_capacity(u64_to_usize(header.content_pages() * PAGE_SIZE));
    for segment in segments {
        contents.extend_from_slice(&elf_bytes[segment.file.clone()]);
        contents.resize(contents.len().next_multiple_of(u64_to_usize(PAGE_SIZE)), 0);
    }
    contents
}

/// Returns the linker's build-id, or a digest of the contents where there is none.
fn build_id(elf: &Elf<'_>, elf_bytes: &[u8], contents: &[u8]) -> [u8; BUILD_ID_LEN] {
    let notes = elf
        .iter_note_headers(elf_bytes)
        .into_iter()
        .flatten()
        .flatten();
    let note = notes
        .filter(|note| note.n_type == NT_GNU_BUILD_ID && note.name == "GNU")
        .find_map(|note| note.desc.try_into().ok());
    note.unwrap_or_else(|| {
        let mut id = [0; BUILD_ID_LEN];
        id.copy_from_slice(&Sha256::digest(contents)[..BUILD_ID_LEN]);
        id
    })
}

fn explain(error: ImageError, entry: u64) -> Failure {
    match error {
        ImageError::BadEntry => refused(format!(
            "its entry point {entry:#x} is not in section `.text`"
        ))
        .help("name the main function: denali_rt::entry!(main);"),
        ImageError::TooLarge => refused("it is too large: it does not end below 0x20000000"),
        ImageError::Malformed => refused("it has no section `.text`"),
        ImageError::NotAnImage | ImageError::AbiVersion(_) => refused("its header is malformed"),
    }
}

/// Checks that the image leaves the service at least a page of heap and one of stack.
fn check_memory(header: &ImageHeader, memory: u64) -> Result<(), Failure> {
    let needed = (header.content_pages() + u64::from(header.bss_pages) + 2) * PAGE_SIZE;
    if needed <= memory {
        return Ok(());
    }
    Err(refused(format!(
        "it is too large: it needs {} KiB and asks for {} KiB",
        needed >> 10,
        memory >> 10
    ))
    .help("raise `memory` in [package.metadata.denali]"))
}
