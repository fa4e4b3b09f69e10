//! Boot tables as loaders write them, and as they should not.

use super::*;
use std::vec;

const INFO: u64 = 0x1000;
const MODULES: u64 = 0x1100;
const COMMAND_LINE: u64 = 0x1200;
const MAP: u64 = 0x2000;

/// Sixteen KiB of physical memory.
struct Memory(vec::Vec<u8>);

impl Memory {
    fn empty() -> Self {
        Self(vec![0; 0x10000])
    }

    fn put(&mut self, address: u64, bytes: &[u8]) {
        let start = usize::try_from(address).unwrap();
        self.0[start..start + bytes.len()].copy_from_slice(bytes);
    }
}

impl PhysicalMemory for Memory {
    fn bytes(&self, start: u64, length: usize) -> Option<&[u8]> {
        let start = usize::try_from(start).ok()?;
        self.0.get(start..start.checked_add(length)?)
    }
}

fn map_bytes(entries: &[(u64, u64, u32)]) -> vec::Vec<u8> {
    let mut bytes = vec![];
    for &(start, length, kind) in entries {
        bytes.extend(start.to_le_bytes());
        bytes.extend(length.to_le_bytes());
        bytes.extend(kind.to_le_bytes());
        bytes.extend([0; 4]);
    }
    bytes
}

fn pvh(entries: &[(u64, u64, u32)], module: (u64, u64)) -> Memory {
    let mut memory = Memory::empty();
    memory.put(INFO, &0x336e_c578_u32.to_le_bytes());
    memory.put(INFO + 4, &1u32.to_le_bytes());
    memory.put(INFO + 12, &1u32.to_le_bytes());
    memory.put(INFO + 16, &MODULES.to_le_bytes());
    memory.put(INFO + 24, &COMMAND_LINE.to_le_bytes());
    memory.put(INFO + 32, &0xf_5000_u64.to_le_bytes());
    memory.put(INFO + 40, &MAP.to_le_bytes());
    memory.put(
        INFO + 48,
        &u32::try_from(entries.len()).unwrap().to_le_bytes(),
    );
    memory.put(MODULES, &module.0.to_le_bytes());
    memory.put(MODULES + 8, &module.1.to_le_bytes());
    memory.put(COMMAND_LINE, b"log=debug\0");
    memory.put(MAP, &map_bytes(entries));
    memory
}

fn ranges(boot: &BootInfo) -> vec::Vec<(u64, u64)> {
    boot.memory
        .iter()
        .map(|range| (range.start, range.end))
        .collect()
}

#[test]
fn pvh_tables_of_qemu_are_understood() {
    let memory = pvh(
        &[
            (0, 0x9fc00, 1),
            (0x9fc00, 0x400, 2),
            (0xf0000, 0x10000, 2),
            (0x10_0000, 0xff0_0000, 1),
            (0x1_0000_0000, 0x1000_0000, 1),
        ],
        (0x0f00_0000, 0x1234),
    );
    let boot = BootInfo::from_pvh(INFO, &memory).unwrap();
    let expected = [
        (0, 0x9f000),
        (0x10_0000, 0x0f00_0000),
        (0x0f00_2000, 0x1000_0000),
        (0x1_0000_0000, 0x1_1000_0000),
    ];
    assert_eq!(ranges(&boot), expected);
    assert_eq!(
        boot.module,
        Some(PhysicalRange {
            start: 0x0f00_0000,
            end: 0x0f00_1234
        })
    );
    assert_eq!(boot.command_line.as_str(), "log=debug");
    assert_eq!(boot.rsdp, Some(0xf_5000));
}

#[test]
fn overlapping_unsorted_maps_are_merged_and_reserved_memory_wins() {
    let memory = pvh(
        &[
            (0x5000, 0x3000, 1),
            (0x1000, 0x2800, 1),
            (0x3000, 0x2000, 1),
            (0x4800, 0x100, 2),
            (u64::MAX - 10, 100, 1),
            (0x2000, 0, 1),
        ],
        (0, 0),
    );
    let boot = BootInfo::from_pvh(INFO, &memory).unwrap();
    assert_eq!(ranges(&boot), [(0x1000, 0x4000), (0x5000, 0x8000)]);
    assert_eq!(boot.module, None);
}

#[test]
fn a_crowded_map_keeps_its_largest_ranges() {
    let entries: vec::Vec<_> = (0..200u64)
        .map(|i| (i * 0x1_0000, 0x1000 * (1 + i % 10), 1))
        .collect();
    let memory = pvh(&entries, (0, 0));
    let boot = BootInfo::from_pvh(INFO, &memory).unwrap();
    assert_eq!(boot.memory.len(), MEMORY_RANGES_MAX);
    assert!(boot.memory.is_sorted_by(|a, b| a.end < b.start));
    assert!(boot.memory.iter().all(|range| range.length() >= 0x4000));
}

#[test]
fn holes_and_contiguous_memory_are_taken_out() {
    let memory = pvh(
        &[(0x10_0000, 0x10_0000, 1), (0x1_0000_0000, 0x10_0000, 1)],
        (0, 0),
    );
    let mut boot = BootInfo::from_pvh(INFO, &memory).unwrap();
    boot.reserve(PhysicalRange {
        start: 0x10_0000,
        end: 0x11_0001,
    });
    let taken = boot.take(0x3000, 0x4000, 1 << 32).unwrap();
    assert_eq!(
        taken,
        PhysicalRange {
            start: 0x1f_c000,
            end: 0x1f_f000
        }
    );
    let left = [
        (0x11_1000, 0x1f_c000),
        (0x1f_f000, 0x20_0000),
        (0x1_0000_0000, 0x1_0010_0000),
    ];
    assert_eq!(ranges(&boot), left);
    assert_eq!(boot.take(0x20_0000, 0x1000, u64::MAX), None);
}

#[test]
fn broken_pvh_tables_are_errors() {
    let good = || pvh(&[(0x1000, 0x1000, 1)], (0, 0));
    let cases: [(u64, &[u8], BootError); 6] = [
        (INFO, &[1, 2, 3, 4], BootError::BadMagic(0x0403_0201)),
        (INFO + 4, &[0; 4], BootError::NoMemory),
        (
            INFO + 16,
            &[0xff; 8],
            unreadable("the PVH module list", u64::MAX),
        ),
        (
            INFO + 24,
            &[0xff; 8],
            unreadable("the command line", u64::MAX),
        ),
        (
            INFO + 48,
            &[0xff; 4],
            BootError::TooLong("the PVH memory map"),
        ),
        (
            MODULES,
            &[0xff; 16],
            BootError::Malformed("the PVH module list"),
        ),
    ];
    for (address, bytes, error) in cases {
        let mut memory = good();
        memory.put(address, bytes);
        assert_eq!(BootInfo::from_pvh(INFO, &memory).unwrap_err(), error);
    }
    let mut memory = good();
    memory.put(COMMAND_LINE, &[b'a'; COMMAND_LINE_MAX + 1]);
    assert!(BootInfo::from_pvh(INFO, &memory).is_err());
    assert!(BootInfo::from_pvh(0x2_0000, &memory).is_err());
}

fn unreadable(table: &'static str, address: u64) -> BootError {
    BootError::Unreadable { table, address }
}

fn multiboot2(tags: &[(u32, vec::Vec<u8>)]) -> Memory {
    let mut bytes = vec![0; 8];
    for (kind, contents) in tags {
        bytes.extend(kind.to_le_bytes());
        bytes.extend((u32::try_from(contents.len()).unwrap() + 8).to_le_bytes());
        bytes.extend(contents);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
    }
    let total = u32::try_from(bytes.len()).unwrap();
    bytes[..4].copy_from_slice(&total.to_le_bytes());
    let mut memory = Memory::empty();
    memory.put(INFO, &bytes);
    memory
}

fn memory_map_tag(entries: &[(u64, u64, u32)]) -> (u32, vec::Vec<u8>) {
    let mut contents = vec![];
    contents.extend(24u32.to_le_bytes());
    contents.extend(0u32.to_le_bytes());
    contents.extend(map_bytes(entries));
    (6, contents)
}

#[test]
fn multiboot2_tags_of_grub_are_understood() {
    let mut module = vec![];
    module.extend(0x20_0000_u32.to_le_bytes());
    module.extend(0x20_1800_u32.to_le_bytes());
    module.extend(b"supervisor\0");
    let memory = multiboot2(&[
        (1, b"log=info\0".to_vec()),
        (2, b"GRUB 2.06\0".to_vec()),
        (3, module),
        memory_map_tag(&[
            (0, 0x9f000, 1),
            (0x10_0000, 0x20_0000, 1),
            (0x30_0000, 0x1000, 3),
        ]),
        (14, b"RSD PTR old".to_vec()),
        (15, b"RSD PTR new".to_vec()),
        (0, vec![]),
    ]);
    let boot = BootInfo::from_multiboot2(INFO, &memory).unwrap();
    assert_eq!(boot.command_line.as_str(), "log=info");
    assert_eq!(
        boot.module,
        Some(PhysicalRange {
            start: 0x20_0000,
            end: 0x20_1800
        })
    );
    let rsdp = boot.rsdp.unwrap();
    assert_eq!(memory.bytes(rsdp, 11).unwrap(), b"RSD PTR new");
    let expected = [
        (0, 0x1000),
        (0x2000, 0x9f000),
        (0x10_0000, 0x20_0000),
        (0x20_2000, 0x30_0000),
    ];
    assert_eq!(ranges(&boot), expected);
}

#[test]
fn broken_multiboot2_information_is_an_error() {
    let map = || memory_map_tag(&[(0x10_0000, 0x20_0000, 1)]);
    let fails = |memory: &Memory| BootInfo::from_multiboot2(INFO, memory).is_err();
    assert!(!fails(&multiboot2(&[map(), (0, vec![])])));
    assert!(fails(&multiboot2(&[(0, vec![])])), "no map");
    assert!(fails(&multiboot2(&[map()])), "no end tag");
    assert!(
        fails(&multiboot2(&[(3, vec![0; 4]), map(), (0, vec![])])),
        "short module"
    );
    assert!(
        fails(&multiboot2(&[(6, vec![0; 32]), (0, vec![])])),
        "entries of no size"
    );
    let mut memory = multiboot2(&[map(), (0, vec![])]);
    memory.put(INFO + 12, &[0; 4]);
    assert!(fails(&memory), "a tag without size");
    memory.put(INFO + 12, &[0xff; 4]);
    assert!(fails(&memory), "a tag larger than everything");
    memory.put(INFO, &[0xff; 4]);
    assert!(fails(&memory), "a block larger than memory");
}
