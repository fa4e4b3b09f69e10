//! PVH: the `hvm_start_info` structure (Xen `arch-x86/hvm/start_info.h`).

use super::memory_map::{self, Entry, PhysicalRange};
use super::{BootError, BootInfo, COMMAND_LINE_MAX, MEMORY_MAP_ENTRIES_MAX, PhysicalMemory};
use super::{command_line, read, u32_at, u64_at};
use denali_abi::convert::u32_to_usize;
use heapless::String;

const MAGIC: u32 = 0x336e_c578;
const START_INFO_BYTES: usize = 56;
const MODULE_BYTES: usize = 32;
const MAP_ENTRY_BYTES: usize = 24;

pub(super) fn parse(address: u64, memory: &dyn PhysicalMemory) -> Result<BootInfo, BootError> {
    const TABLE: &str = "the PVH start info";
    let info = read(memory, TABLE, address, START_INFO_BYTES)?;
    let magic = u32_at(info, 0, TABLE)?;
    if magic != MAGIC {
        return Err(BootError::BadMagic(magic));
    }
    if u32_at(info, 4, TABLE)? == 0 {
        // Version 0 ends before the memory map.
        return Err(BootError::NoMemory);
    }
    let modules = u32_at(info, 12, TABLE)?;
    let module = match modules {
        0 => None,
        _ => module(u64_at(info, 16, TABLE)?, memory)?,
    };
    let mut boot = BootInfo {
        memory: memory_ranges(u64_at(info, 40, TABLE)?, u32_at(info, 48, TABLE)?, memory)?,
        module,
        command_line: text(u64_at(info, 24, TABLE)?, memory)?,
        rsdp: Some(u64_at(info, 32, TABLE)?).filter(|&rsdp| rsdp != 0),
    };
    if let Some(module) = module {
        boot.reserve(module);
    }
    Ok(boot)
}

/// Returns the first module of the list at `address`, unless it is empty.
fn module(address: u64, memory: &dyn PhysicalMemory) -> Result<Option<PhysicalRange>, BootError> {
    const TABLE: &str = "the PVH module list";
    let list = read(memory, TABLE, address, MODULE_BYTES)?;
    let start = u64_at(list, 0, TABLE)?;
    let length = u64_at(list, 8, TABLE)?;
    let end = start
        .checked_add(length)
        .ok_or(BootError::Malformed(TABLE))?;
    Ok((length > 0).then_some(PhysicalRange { start, end }))
}

fn memory_ranges(
    address: u64,
    count: u32,
    memory: &dyn PhysicalMemory,
) -> Result<heapless::Vec<PhysicalRange, { memory_map::MEMORY_RANGES_MAX }>, BootError> {
    const TABLE: &str = "the PVH memory map";
    let count = u32_to_usize(count);
    if count > MEMORY_MAP_ENTRIES_MAX {
        return Err(BootError::TooLong(TABLE));
    }
    let map = read(memory, TABLE, address, count * MAP_ENTRY_BYTES)?;
    memory_map::usable(count, |index| {
        let offset = index * MAP_ENTRY_BYTES;
        Ok(Entry {
            start: u64_at(map, offset, TABLE)?,
            length: u64_at(map, offset + 8, TABLE)?,
            kind: u32_at(map, offset + 16, TABLE)?,
        })
    })
}

/// Copies the NUL-terminated command line at `address`, whose length nothing tells.
fn text(address: u64, memory: &dyn PhysicalMemory) -> Result<String<COMMAND_LINE_MAX>, BootError> {
    if address == 0 {
        return Ok(String::new());
    }
    let mut length = 0;
    while length <= COMMAND_LINE_MAX {
        let byte = read(
            memory,
            "the command line",
            address.saturating_add(length as u64),
            1,
        )?;
        if byte == [0] {
            return command_line(read(memory, "the command line", address, length)?);
        }
        length += 1;
    }
    Err(BootError::TooLong("the command line"))
}
