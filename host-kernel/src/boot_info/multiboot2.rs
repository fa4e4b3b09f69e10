//! Multiboot2: a list of tags (specification 2.0, §3.6).

use super::memory_map::{self, Entry, PhysicalRange};
use super::{BootError, BootInfo, PhysicalMemory, command_line, read, u32_at, u64_at};
use denali_abi::convert::{u32_to_usize, usize_to_u64};
use heapless::{String, Vec};

/// Longest information block accepted.
const INFO_BYTES_MAX: u32 = 1 << 20;

const TABLE: &str = "the Multiboot2 information";
const HEADER_BYTES: usize = 8;
const TAG_HEADER_BYTES: usize = 8;

const TAG_END: u32 = 0;
const TAG_COMMAND_LINE: u32 = 1;
const TAG_MODULE: u32 = 3;
const TAG_MEMORY_MAP: u32 = 6;
const TAG_ACPI_1: u32 = 14;
const TAG_ACPI_2: u32 = 15;

pub(super) fn parse(address: u64, memory: &dyn PhysicalMemory) -> Result<BootInfo, BootError> {
    let total = u32_at(read(memory, TABLE, address, HEADER_BYTES)?, 0, TABLE)?;
    if total > INFO_BYTES_MAX {
        return Err(BootError::TooLong(TABLE));
    }
    let info = read(memory, TABLE, address, u32_to_usize(total))?;
    let mut boot = BootInfo {
        memory: Vec::new(),
        module: None,
        command_line: String::new(),
        rsdp: None,
    };
    let mut acpi_2 = None;
    let mut offset = HEADER_BYTES;
    // Each turn moves on by at least a tag header.
    loop {
        let kind = u32_at(info, offset, TABLE)?;
        let size = u32_to_usize(u32_at(info, offset + 4, TABLE)?);
        if size < TAG_HEADER_BYTES {
            return Err(BootError::Malformed(TABLE));
        }
        let end = offset.saturating_add(size);
        let tag = info.get(offset..end).ok_or(BootError::Malformed(TABLE))?;
        let contents = address.saturating_add(usize_to_u64(offset + TAG_HEADER_BYTES));
        match kind {
            TAG_END => break,
            TAG_COMMAND_LINE => boot.command_line = command_line(&tag[TAG_HEADER_BYTES..])?,
            TAG_MODULE if boot.module.is_none() => boot.module = module(tag)?,
            TAG_MEMORY_MAP => boot.memory = memory_ranges(tag)?,
            TAG_ACPI_1 => boot.rsdp = Some(contents),
            TAG_ACPI_2 => acpi_2 = Some(contents),
            _ => {}
        }
        offset = end.next_multiple_of(8);
    }
    if boot.memory.is_empty() {
        return Err(BootError::NoMemory);
    }
    boot.rsdp = acpi_2.or(boot.rsdp);
    boot.reserve(PhysicalRange {
        start: address,
        end: address.saturating_add(u64::from(total)),
    });
    if let Some(module) = boot.module {
        boot.reserve(module);
    }
    Ok(boot)
}

fn module(tag: &[u8]) -> Result<Option<PhysicalRange>, BootError> {
    let start = u64::from(u32_at(tag, 8, TABLE)?);
    let end = u64::from(u32_at(tag, 12, TABLE)?);
    if end < start {
        return Err(BootError::Malformed("the boot module"));
    }
    Ok((end > start).then_some(PhysicalRange { start, end }))
}

fn memory_ranges(
    tag: &[u8],
) -> Result<Vec<PhysicalRange, { memory_map::MEMORY_RANGES_MAX }>, BootError> {
    const ENTRIES: usize = 16;
    const ENTRY_BYTES_MIN: usize = 24;
    let entry_bytes = u32_to_usize(u32_at(tag, 8, TABLE)?);
    if entry_bytes < ENTRY_BYTES_MIN {
        return Err(BootError::Malformed("the memory map"));
    }
    let count = tag.len().saturating_sub(ENTRIES) / entry_bytes;
    memory_map::usable(count, |index| {
        let offset = ENTRIES + index * entry_bytes;
        Ok(Entry {
            start: u64_at(tag, offset, TABLE)?,
            length: u64_at(tag, offset + 8, TABLE)?,
            kind: u32_at(tag, offset + 16, TABLE)?,
        })
    })
}
