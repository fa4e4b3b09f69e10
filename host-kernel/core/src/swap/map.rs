//! The swap map of a VM: which page each block of its extent holds, and the seal of each.
//!
//! An extent begins with room for the map of as many pages as its VM may have; the slots of pages
//! follow. A map is written to the end of that room, so that pages and map are one run of blocks,
//! in blocks that are chained: each holds the seal of the next one, and the VM's descriptor holds
//! the seal of the first. So a descriptor of a few bytes proves any number of pages.

use super::BLOCK_LEN;
use super::seal::Seal;
use crate::machine::Page;
use crate::vm::page_number;
use alloc::vec::Vec;
use denali_abi::convert::u32_to_usize;
use denali_abi::layout::GUEST_END;
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

/// Pages no guest can have, for what is not one: the register context.
pub const CONTEXT_PAGE: Page = Page(page_number(GUEST_END));

/// The console ring.
pub const CONSOLE_PAGE: Page = Page(CONTEXT_PAGE.0 + 1);

/// The first block of the map; the next ones follow.
const MAP_PAGE: u32 = CONTEXT_PAGE.0 + 2;

/// Says of an entry that its page is in memory or, on swap, that it was when the VM left.
const RESIDENT: u32 = 1 << 31;

/// Says of an entry in memory that a disk works on its block.
const MOVING: u32 = 1 << 30;

/// The slot of a page that is on its way out and has none yet.
const NO_SLOT: u32 = MOVING - 1;

/// One page of a VM that is on swap.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Entry {
    /// The number of the page.
    page: u32,
    slot: u32,
    /// What proves it.
    pub seal: Seal,
}

impl Entry {
    /// Makes the entry of a page that is not in memory, in this slot of its VM's extent.
    #[must_use]
    pub const fn new(page: Page, slot: u32, seal: Seal) -> Self {
        Self {
            page: page.0,
            slot: slot & !(RESIDENT | MOVING),
            seal,
        }
    }

    /// Returns the page.
    #[must_use]
    pub const fn page(&self) -> Page {
        Page(self.page)
    }

    /// Returns the entry of a page that is on its way out.
    #[must_use]
    pub fn announced(page: Page) -> Self {
        Self::new(page, NO_SLOT, Seal::default())
    }

    /// Returns whether it has a slot.
    #[must_use]
    pub const fn has_slot(&self) -> bool {
        self.slot() != NO_SLOT
    }

    /// Returns where it lies, in blocks behind the room for the map.
    #[must_use]
    pub const fn slot(&self) -> u32 {
        self.slot & !(RESIDENT | MOVING)
    }

    /// Moves it to another slot.
    pub const fn set_slot(&mut self, slot: u32) {
        self.slot = self.slot & (RESIDENT | MOVING) | slot & !(RESIDENT | MOVING);
    }

    /// Returns whether the page is in memory, too, and the block is as it was when it was last
    /// clean.
    #[must_use]
    pub const fn is_resident(&self) -> bool {
        self.slot & RESIDENT != 0
    }

    /// Says whether the page is in memory.
    pub const fn set_resident(&mut self, is_resident: bool) {
        self.slot = self.slot & !RESIDENT | if is_resident { RESIDENT } else { 0 };
    }

    /// Returns whether a disk works on the block.
    #[must_use]
    pub const fn is_moving(&self) -> bool {
        self.slot & MOVING != 0
    }

    /// Says whether a disk works on the block.
    pub const fn set_moving(&mut self, is_moving: bool) {
        self.slot = self.slot & !MOVING | if is_moving { MOVING } else { 0 };
    }
}

/// Entries in one block of the map.
pub const ENTRIES_PER_BLOCK: u32 = 127;

/// One block of the map.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct MapBlock {
    /// The seal of the next block; of the last one, none.
    next: Seal,
    reserved: u64,
    entries: [Entry; u32_to_usize(ENTRIES_PER_BLOCK)],
}

const _: () = assert!(size_of::<MapBlock>() == BLOCK_LEN);

/// Returns how many blocks the map of `entries` blocks takes.
#[must_use]
pub const fn map_blocks(entries: u32) -> u32 {
    entries.div_ceil(ENTRIES_PER_BLOCK)
}

/// Returns where the map of `entries` pages begins in the extent of a VM with a memory limit of
/// `limit` pages, when it has been written to `failed` bad places before.
#[must_use]
pub const fn map_start(limit: u32, entries: u32, failed: u8) -> u32 {
    let (room, length) = (map_blocks(limit), map_blocks(entries));
    match room.checked_sub(length.saturating_mul(failed as u32 + 1)) {
        Some(start) => start,
        None => room.saturating_sub(length),
    }
}

/// Returns how many blocks of swap a VM with a memory limit of `pages` may need.
#[must_use]
pub const fn extent_blocks(pages: u32) -> u32 {
    pages.saturating_add(map_blocks(pages))
}

/// Returns the page that stands for the `nth` block of a map in its seal.
#[must_use]
pub const fn map_page(nth: u32) -> Page {
    Page(MAP_PAGE.saturating_add(nth))
}

/// Returns the `nth` block of the map of `entries`, given the seal of the block behind it.
#[must_use]
pub fn block_of(entries: &[Entry], nth: u32, next: Seal) -> [u8; BLOCK_LEN] {
    let mut block = MapBlock::new_zeroed();
    block.next = next;
    let mine = entries
        .chunks(u32_to_usize(ENTRIES_PER_BLOCK))
        .nth(u32_to_usize(nth));
    for (place, entry) in block.entries.iter_mut().zip(mine.unwrap_or_default()) {
        *place = *entry;
    }
    let mut bytes = [0; BLOCK_LEN];
    bytes.copy_from_slice(block.as_bytes());
    bytes
}

/// Adds what an opened block of a map of `count` entries holds, and returns the seal of the next.
pub fn read_block(block: &[u8; BLOCK_LEN], count: u32, entries: &mut Vec<Entry>) -> Seal {
    let mut copy = MapBlock::new_zeroed();
    copy.as_mut_bytes().copy_from_slice(block);
    let room = u32_to_usize(count).saturating_sub(entries.len());
    entries.extend(copy.entries.iter().take(room));
    copy.next
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_of_any_length_goes_out_and_comes_back() {
        for count in [1_u32, 126, 127, 128, 1000, 20_000] {
            let entries: Vec<Entry> = (0..count)
                .map(|page| {
                    Entry::new(
                        Page(page),
                        page,
                        Seal {
                            generation: u64::from(page) + 1,
                            tag: [7; 16],
                        },
                    )
                })
                .collect();
            let blocks = map_blocks(count);
            let mut written = Vec::new();
            let mut next = Seal::default();
            for nth in (0..blocks).rev() {
                written.push(block_of(&entries, nth, next));
                next.generation = u64::from(nth) + 100;
            }
            written.reverse();
            let mut found = Vec::new();
            for (block, nth) in written.iter().zip(1_u64..) {
                let next = read_block(block, count, &mut found);
                let last = nth == u64::from(blocks);
                assert_eq!(next.generation, if last { 0 } else { nth + 100 });
            }
            assert_eq!(found, entries);
        }
    }
}
