//! Boot tables into [`BootInfo`]: PVH start info and Multiboot2 information.
//!
//! The loader is trusted, yet every table is read through bounds-checked copies, so that an odd
//! loader means an error message and not a wild read. Sources: Xen `arch-x86/hvm/start_info.h`;
//! Multiboot2 specification 2.0, §3.6.

mod memory_map;
mod multiboot2;
mod pvh;

use core::fmt;
use heapless::{String, Vec};

pub use memory_map::{MEMORY_RANGES_MAX, PhysicalRange};

/// Longest command line in bytes; what is longer is refused.
pub const COMMAND_LINE_MAX: usize = 1024;

/// Most entries of a loader's memory map.
pub const MEMORY_MAP_ENTRIES_MAX: usize = 4096;

/// Physical memory as the early kernel can read it.
pub trait PhysicalMemory {
    /// Returns `length` bytes at physical address `start`, or `None` where nothing is mapped.
    fn bytes(&self, start: u64, length: usize) -> Option<&[u8]>;
}

/// What the loader told about the machine.
#[derive(Debug)]
pub struct BootInfo {
    /// Usable RAM: page aligned, sorted, disjoint, without the boot module and the loader's tables.
    pub memory: Vec<PhysicalRange, MEMORY_RANGES_MAX>,
    /// The boot module: the supervisor's image and its configuration.
    pub module: Option<PhysicalRange>,
    /// The kernel's command line.
    pub command_line: String<COMMAND_LINE_MAX>,
    /// Physical address of the ACPI root pointer, or of the loader's copy of it.
    pub rsdp: Option<u64>,
}

/// Why boot tables cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BootError {
    /// The start-info magic is wrong.
    BadMagic(u32),
    /// A table lies outside readable memory.
    Unreadable {
        /// What was to be read.
        table: &'static str,
        /// Where it was said to be.
        address: u64,
    },
    /// A table contradicts itself.
    Malformed(&'static str),
    /// A table is longer than its limit.
    TooLong(&'static str),
    /// The loader gave no memory map, or one without RAM.
    NoMemory,
}

impl fmt::Display for BootError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadMagic(magic) => write!(f, "boot info has magic {magic:#010x}, not PVH's"),
            Self::Unreadable { table, address } => {
                write!(f, "{table} at {address:#x} is outside readable memory")
            }
            Self::Malformed(table) => write!(f, "{table} is malformed"),
            Self::TooLong(table) => write!(f, "{table} is too long"),
            Self::NoMemory => f.write_str("the loader gave no memory map with usable RAM"),
        }
    }
}

impl core::error::Error for BootError {}

impl BootInfo {
    /// Reads the PVH start info at `address` (`ebx` at entry).
    ///
    /// # Errors
    ///
    /// A [`BootError`] if a table is unreadable or malformed, or there is no RAM.
    pub fn from_pvh(address: u64, memory: &dyn PhysicalMemory) -> Result<Self, BootError> {
        pvh::parse(address, memory)
    }

    /// Reads the Multiboot2 information at `address` (`ebx` at entry).
    ///
    /// # Errors
    ///
    /// As [`BootInfo::from_pvh`].
    pub fn from_multiboot2(address: u64, memory: &dyn PhysicalMemory) -> Result<Self, BootError> {
        multiboot2::parse(address, memory)
    }

    /// Takes every page that `range` touches out of the usable memory.
    pub fn reserve(&mut self, range: PhysicalRange) {
        memory_map::remove(&mut self.memory, range);
    }

    /// Takes `length` bytes of contiguous memory, whole pages, aligned to `align` (a power of two,
    /// at least a page) and entirely below `below`, from the highest place that fits.
    pub fn take(&mut self, length: u64, align: u64, below: u64) -> Option<PhysicalRange> {
        let found = self.memory.iter().rev().find_map(|range| {
            let start = range.end.min(below).checked_sub(length)? & !(align - 1);
            (start >= range.start).then_some(PhysicalRange {
                start,
                end: start + length,
            })
        })?;
        self.reserve(found);
        Some(found)
    }
}

fn read<'a>(
    memory: &'a dyn PhysicalMemory,
    table: &'static str,
    address: u64,
    length: usize,
) -> Result<&'a [u8], BootError> {
    memory
        .bytes(address, length)
        .ok_or(BootError::Unreadable { table, address })
}

fn u32_at(bytes: &[u8], offset: usize, table: &'static str) -> Result<u32, BootError> {
    let field = bytes.get(offset..).and_then(|rest| rest.first_chunk());
    field
        .map(|field| u32::from_le_bytes(*field))
        .ok_or(BootError::Malformed(table))
}

fn u64_at(bytes: &[u8], offset: usize, table: &'static str) -> Result<u64, BootError> {
    let field = bytes.get(offset..).and_then(|rest| rest.first_chunk());
    field
        .map(|field| u64::from_le_bytes(*field))
        .ok_or(BootError::Malformed(table))
}

/// Copies a NUL-terminated command line out of `bytes`.
fn command_line(bytes: &[u8]) -> Result<String<COMMAND_LINE_MAX>, BootError> {
    let end = bytes
        .iter()
        .position(|&byte| byte == 0)
        .unwrap_or(bytes.len());
    let text = core::str::from_utf8(&bytes[..end])
        .map_err(|_| BootError::Malformed("the command line"))?;
    String::try_from(text).map_err(|_| BootError::TooLong("the command line"))
}

#[cfg(test)]
mod tests;
