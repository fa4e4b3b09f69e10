//! Usable memory as a sorted list of disjoint ranges.
//!
//! Loaders' maps may overlap, be unsorted and cut pages in two. RAM shrinks to whole pages,
//! everything else grows to whole pages, and what is not RAM wins.

use super::{BootError, MEMORY_MAP_ENTRIES_MAX};
use heapless::Vec;

/// Most ranges of usable memory kept; beyond that the smallest are given up.
pub const MEMORY_RANGES_MAX: usize = 128;

const PAGE: u64 = 4096;

/// Behind the last frame whose number fits 32 bits.
const PHYSICAL_END: u64 = (u32::MAX as u64) * PAGE;

/// The type number of RAM in both boot protocols' memory maps.
const KIND_RAM: u32 = 1;

/// A range of physical memory, `end` exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PhysicalRange {
    /// First byte.
    pub start: u64,
    /// Behind the last byte.
    pub end: u64,
}

impl PhysicalRange {
    /// Returns the length in bytes.
    #[must_use]
    pub const fn length(self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    /// Returns the whole pages inside.
    fn inner_pages(self) -> Self {
        let start = self
            .start
            .checked_next_multiple_of(PAGE)
            .unwrap_or(PHYSICAL_END);
        Self {
            start,
            end: self.end.min(PHYSICAL_END) & !(PAGE - 1),
        }
    }

    /// Returns the pages touched.
    fn outer_pages(self) -> Self {
        let end = self.end.checked_next_multiple_of(PAGE).unwrap_or(u64::MAX);
        Self {
            start: self.start & !(PAGE - 1),
            end,
        }
    }
}

/// One entry of a loader's memory map.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) start: u64,
    pub(super) length: u64,
    pub(super) kind: u32,
}

impl Entry {
    fn range(self) -> PhysicalRange {
        PhysicalRange {
            start: self.start,
            end: self.start.saturating_add(self.length),
        }
    }
}

/// Returns the usable memory of a map of `count` entries.
pub(super) fn usable(
    count: usize,
    entry: impl Fn(usize) -> Result<Entry, BootError>,
) -> Result<Vec<PhysicalRange, MEMORY_RANGES_MAX>, BootError> {
    if count > MEMORY_MAP_ENTRIES_MAX {
        return Err(BootError::TooLong("the memory map"));
    }
    let mut memory = Vec::new();
    for index in 0..count {
        let entry = entry(index)?;
        if entry.kind == KIND_RAM {
            add(&mut memory, entry.range());
        }
    }
    for index in 0..count {
        let entry = entry(index)?;
        if entry.kind != KIND_RAM {
            remove(&mut memory, entry.range());
        }
    }
    if memory.is_empty() {
        Err(BootError::NoMemory)
    } else {
        Ok(memory)
    }
}

/// Adds the whole pages of `range`, merged with what they overlap or touch.
fn add(memory: &mut Vec<PhysicalRange, MEMORY_RANGES_MAX>, range: PhysicalRange) {
    let mut range = range.inner_pages();
    if range.length() == 0 {
        return;
    }
    memory.retain(|other| {
        let apart = other.end < range.start || range.end < other.start;
        if !apart {
            range.start = range.start.min(other.start);
            range.end = range.end.max(other.end);
        }
        apart
    });
    insert(memory, range);
}

/// Takes every page that `range` touches out of `memory`.
pub(super) fn remove(memory: &mut Vec<PhysicalRange, MEMORY_RANGES_MAX>, range: PhysicalRange) {
    let hole = range.outer_pages();
    if hole.length() == 0 {
        return;
    }
    let mut split = None;
    memory.retain_mut(|other| {
        let behind = PhysicalRange {
            start: hole.end.max(other.start),
            end: other.end,
        };
        if other.start < hole.start && behind.length() > 0 && hole.start < other.end {
            split = Some(behind);
            other.end = hole.start;
        } else if other.start < hole.start {
            other.end = other.end.min(hole.start);
        } else {
            other.start = behind.start;
        }
        other.length() > 0
    });
    // A hole lies in the middle of at most one of several disjoint ranges.
    if let Some(behind) = split {
        insert(memory, behind);
    }
}

/// Inserts a disjoint range in order; in a full list the smallest range gives way.
fn insert(memory: &mut Vec<PhysicalRange, MEMORY_RANGES_MAX>, range: PhysicalRange) {
    if memory.is_full() {
        let smallest = (0..memory.len()).min_by_key(|&index| memory[index].length());
        match smallest.filter(|&index| memory[index].length() < range.length()) {
            Some(index) => memory.remove(index),
            None => return,
        };
    }
    let index = memory.partition_point(|other| other.start < range.start);
    memory
        .insert(index, range)
        .expect("there is room: checked above");
}
