//! What becomes of an ELF file: an image, or a refusal that names the section or symbol.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod elf_file;

use denali_abi::image::ImageHeader;
use denali_abi::layout::{HEAP_END, IMAGE_BASE, PAGE_SIZE};
use denali_build::failure::Status;
use denali_build::image::Image;
use denali_build::manifest::Settings;
use denali_build::package;
use elf_file::{
    ElfFile, GLOBAL, PT_DYNAMIC, PT_INTERP, PT_LOAD, PT_NOTE, SHF_ALLOC, SHT_RELA, Section,
    Segment, Symbol,
};
use std::collections::BTreeMap;
use zerocopy::FromBytes;

const MEMORY: u64 = 1 << 20;

/// The note a linker writes for `--build-id=sha1`.
const BUILD_ID_NOTE: &[u8] = b"\x04\0\0\0\x14\0\0\0\x03\0\0\0GNU\0ABCDEFGHIJKLMNOPQRST";

/// Breaks a sound file with `change`, and checks how it is refused.
#[track_caller]
fn refused(change: impl FnOnce(&mut ElfFile), expected: &str) {
    let mut file = ElfFile::sound();
    change(&mut file);
    refused_bytes(&file.bytes(), MEMORY, expected);
}

#[track_caller]
fn refused_bytes(bytes: &[u8], memory: u64, expected: &str) {
    let failure = Image::from_elf(bytes, memory).expect_err("it must be refused");
    assert_eq!(failure.status(), Status::Build);
    assert_eq!(
        failure.to_string(),
        format!("this cannot run as a guest: {expected}")
    );
}

fn section(name: &'static str, kind: u32, flags: u64, contents: &[u8]) -> Section {
    Section {
        name,
        kind,
        flags,
        address: 0,
        contents: contents.to_vec(),
        entry_len: 24,
    }
}

#[test]
fn a_sound_file_becomes_header_and_pages() {
    let image = Image::from_elf(&ElfFile::sound().bytes(), MEMORY).unwrap();
    let header = ImageHeader::read_from_prefix(image.bytes()).unwrap().0;
    assert_eq!(header.validate(), Ok(()));
    assert_eq!(
        (
            header.text_pages,
            header.rodata_pages,
            header.data_pages,
            header.bss_pages
        ),
        (1, 1, 1, 1)
    );
    assert_eq!(u64::from(header.memory_pages) * PAGE_SIZE, MEMORY);
    assert_eq!(image.bytes().len(), 4 * 4096);
    assert_eq!(image.bytes()[4096..4099], [0x90, 0x0f, 0x0b]);
    assert_eq!(image.bytes()[8192..8197], *b"read\0");
    assert_eq!(image.bytes()[12288..12293], [9, 9, 9, 9, 0]);
}

#[test]
fn the_linkers_build_id_is_used_where_there_is_one() {
    let mut file = ElfFile::sound();
    let without = Image::from_elf(&file.bytes(), MEMORY).unwrap().build_id();
    file.segments
        .push(Segment::new(PT_NOTE, 4, 0, BUILD_ID_NOTE));
    let with = Image::from_elf(&file.bytes(), MEMORY).unwrap();
    assert_eq!(with.header().build_id, *b"ABCDEFGHIJKLMNOPQRST");
    assert_eq!(without.len(), 40);
    assert_ne!(without, with.build_id());
}

#[test]
fn same_input_gives_the_same_package() {
    let settings = Settings {
        volumes: Vec::new(),
        health: None,
        restart: denali_protocol::Restart::Never,
        memory: MEMORY,
        publish: Vec::new(),
        arguments: Vec::new(),
        environment: BTreeMap::from([("A".to_owned(), "b".to_owned())]),
        include: Vec::new(),
        address: None,
        limits: denali_protocol::Limits::default(),
    };
    let pack = || {
        let image = Image::from_elf(&ElfFile::sound().bytes(), MEMORY).unwrap();
        let manifest = package::manifest("web", "1.0.0", &settings, &image);
        package::pack(&manifest, &image).unwrap()
    };
    let (one, other) = (pack(), pack());
    assert_eq!(one, other);
    let mut archive = tar::Archive::new(&one[..]);
    let mut names = Vec::new();
    for entry in archive.entries().unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.header().mtime().unwrap(), 0);
        assert_eq!(entry.header().uid().unwrap(), 0);
        names.push(entry.path().unwrap().to_string_lossy().into_owned());
    }
    assert_eq!(names, ["build-id", "manifest.json", "image"]);
}

#[test]
fn what_is_no_elf_is_refused() {
    for bytes in [&b""[..], b"MZ", &[0x7f; 200]] {
        let failure = Image::from_elf(bytes, MEMORY).unwrap_err();
        assert!(
            failure.to_string().contains("it is no sound ELF file"),
            "{failure}"
        );
    }
}

#[test]
fn a_file_cut_short_anywhere_is_refused() {
    let bytes = ElfFile::sound().bytes();
    for length in 0..bytes.len() {
        assert!(
            Image::from_elf(&bytes[..length], MEMORY).is_err(),
            "{length} bytes"
        );
    }
}

#[test]
fn another_machine_is_refused() {
    refused(|file| file.machine = 183, "it is not built for x86-64");
}

#[test]
fn dynamic_linking_is_refused() {
    refused(
        |file| {
            file.segments.push(Segment::new(
                PT_INTERP,
                4,
                0,
                b"/lib64/ld-linux-x86-64.so.2\0",
            ));
        },
        "section `.interp` names the loader `/lib64/ld-linux-x86-64.so.2`",
    );
    refused(
        |file| file.segments.push(Segment::new(PT_DYNAMIC, 6, 0, &[0; 16])),
        "it is dynamically linked (section `.dynamic`)",
    );
    refused(
        |file| file.kind = 3,
        "it is not a static executable at fixed addresses",
    );
}

#[test]
fn a_writable_and_executable_segment_is_refused() {
    refused(
        |file| file.segments[2].flags = 7,
        "section `.data` is writable and executable",
    );
    refused(
        |file| file.segments[0].flags = 7,
        "section `.text` is writable and executable",
    );
}

#[test]
fn unresolved_relocations_are_refused() {
    // r_offset, r_info (symbol 2, type R_X86_64_64), r_addend.
    let relocation = [
        0_u64.to_le_bytes(),
        ((2_u64 << 32) | 1).to_le_bytes(),
        [0; 8],
    ]
    .concat();
    refused(
        |file| {
            file.symbols.push(Symbol("strange", GLOBAL, 1));
            file.sections
                .push(section(".rela.dyn", SHT_RELA, SHF_ALLOC, &relocation));
        },
        "section `.rela.dyn` has unresolved relocations against `strange`",
    );
}

#[test]
fn an_undefined_symbol_is_refused() {
    refused(
        |file| file.symbols.push(Symbol("malloc", GLOBAL, 0)),
        "the symbol `malloc` is undefined",
    );
}

#[test]
fn what_is_too_large_is_refused() {
    refused(
        |file| file.segments[2].memory_len = HEAP_END,
        "section `.data` is too large",
    );
    refused_bytes(
        &ElfFile::sound().bytes(),
        20 << 10,
        "it is too large: it needs 24 KiB and asks for 20 KiB",
    );
}

#[test]
fn an_entry_outside_text_is_refused() {
    refused(
        |file| file.entry = IMAGE_BASE + PAGE_SIZE,
        "its entry point 0x111000 is not in section `.text`",
    );
    refused(
        |file| file.entry = 0,
        "its entry point 0x0 is not in section `.text`",
    );
}

#[test]
fn segments_out_of_place_are_refused() {
    refused(
        |file| file.segments[1].address += PAGE_SIZE,
        "section `.data` starts at 0x112000 instead of 0x111000",
    );
    refused(
        |file| file.segments.swap(0, 1),
        "section `.rodata` starts at 0x111000 instead of 0x110000",
    );
    refused(
        |file| file.segments[1].flags = 5,
        "section `.rodata` is out of order: text, read-only data and data come one by one",
    );
    refused(
        |file| file.segments[2].file_len = Some(1 << 20),
        "section `.data` reaches behind the end of the file",
    );
    refused(
        |file| file.segments[0].memory_len = 100,
        "section `.text` is read-only and has no contents",
    );
    refused(
        |file| file.segments.retain(|segment| segment.kind != PT_LOAD),
        "it has no section `.text`",
    );
}
