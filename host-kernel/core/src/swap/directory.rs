//! What is known of a VM's pages on swap while it is in memory.
//!
//! An entry is a page that is on swap alone, or one that is in memory as well and was not changed
//! since: it can go without being written. Slots of pages are counted from the end of the room for
//! the map. Pages that are written one by one get a run of free slots, so that a fault finds
//! neighbours beside it.

use super::map::Entry;
use super::seal::Seal;
use crate::machine::Page;
use alloc::vec::Vec;
use denali_abi::convert::{u32_to_usize, usize_to_u64};

/// There is no memory for more entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRoom;

/// The entries of one VM, and which of its slots are taken.
#[derive(Debug, Default)]
pub struct Directory {
    /// By page.
    entries: Vec<Entry>,
    /// A bit for each slot.
    taken: Vec<u64>,
    /// How many slots there are: as many as the VM may have pages, and those of its own frames.
    slots: u32,
    absent: u32,
    moving: u32,
}

impl Directory {
    /// Makes an empty directory of a VM with `slots` slots.
    ///
    /// # Errors
    ///
    /// [`NoRoom`].
    pub fn new(slots: u32) -> Result<Self, NoRoom> {
        let words = u32_to_usize(slots.div_ceil(u64::BITS));
        let mut taken = Vec::new();
        taken.try_reserve_exact(words).map_err(|_| NoRoom)?;
        taken.resize(words, 0);
        Ok(Self {
            entries: Vec::new(),
            taken,
            slots,
            absent: 0,
            moving: 0,
        })
    }

    /// Takes over the entries of a map, all of them pages that are not in memory.
    pub fn fill(&mut self, mut entries: Vec<Entry>) {
        entries.sort_unstable_by_key(Entry::page);
        for entry in &mut entries {
            entry.set_moving(false);
            self.mark(entry.slot(), true);
        }
        let absent = entries.iter().filter(|entry| !entry.is_resident()).count();
        self.absent = u32::try_from(absent).unwrap_or(u32::MAX);
        self.entries = entries;
    }

    /// Makes room for `more` entries.
    ///
    /// # Errors
    ///
    /// [`NoRoom`].
    pub fn reserve(&mut self, more: usize) -> Result<(), NoRoom> {
        self.entries.try_reserve_exact(more).map_err(|_| NoRoom)
    }

    /// Returns the entries, by page.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Returns how many entries there is memory for: what it costs.
    #[must_use]
    pub fn cost(&self) -> u64 {
        usize_to_u64(self.entries.capacity())
    }

    /// Returns how many pages are on swap alone.
    #[must_use]
    pub const fn absent(&self) -> u32 {
        self.absent
    }

    /// Returns how many entries a disk works on.
    #[must_use]
    pub const fn moving(&self) -> u32 {
        self.moving
    }

    /// Returns the entry of a page.
    #[must_use]
    pub fn find(&self, page: Page) -> Option<&Entry> {
        self.entries.get(self.place(page).ok()?)
    }

    /// Says of the entry of a page whether the page is in memory and whether a disk works on it.
    pub fn set(&mut self, page: Page, is_resident: bool, is_moving: bool) {
        if let Ok(at) = self.place(page)
            && let Some(entry) = self.entries.get_mut(at)
        {
            self.absent += u32::from(!is_resident);
            self.absent -= u32::from(!entry.is_resident());
            self.moving += u32::from(is_moving);
            self.moving -= u32::from(entry.is_moving());
            entry.set_resident(is_resident);
            entry.set_moving(is_moving);
        }
    }

    /// Says that a page is not in memory and was sealed anew, in the slot it has or in `slot`, which
    /// is taken. Returns its slot.
    pub fn put(&mut self, page: Page, slot: Option<u32>, seal: Seal) -> Option<u32> {
        match self.place(page) {
            Ok(at) => {
                let entry = self.entries.get_mut(at)?;
                entry.seal = seal;
                if let Some(slot) = slot.filter(|_| !entry.has_slot()) {
                    entry.set_slot(slot);
                }
                let slot = entry.slot();
                self.set(page, false, false);
                Some(slot)
            }
            Err(at) => {
                self.entries.insert(at, Entry::new(page, slot?, seal));
                self.absent += 1;
                slot
            }
        }
    }

    /// Says that a page is on its way out, before it has a slot.
    pub fn announce(&mut self, page: Page) {
        if let Err(at) = self.place(page) {
            self.entries.insert(at, Entry::announced(page));
            self.absent += 1;
        }
    }

    /// Gives a page another slot, which is taken; the one it had is not used again.
    pub fn relocate(&mut self, page: Page, slot: u32) {
        if let Ok(at) = self.place(page)
            && let Some(entry) = self.entries.get_mut(at)
        {
            entry.set_slot(slot);
        }
    }

    /// Forgets a page. Returns whether it was on swap alone.
    pub fn remove(&mut self, page: Page) -> bool {
        let Ok(at) = self.place(page) else {
            return false;
        };
        let entry = self.entries.remove(at);
        self.mark(entry.slot(), false);
        self.absent -= u32::from(!entry.is_resident());
        self.moving -= u32::from(entry.is_moving());
        !entry.is_resident()
    }

    /// Takes the first free slot.
    pub fn take_slot(&mut self) -> Option<u32> {
        let free = (0..).zip(&self.taken).find(|&(_, &word)| word != u64::MAX);
        let slot = free.map(|(nth, word)| nth * u64::BITS + word.trailing_ones())?;
        (slot < self.slots).then(|| {
            self.mark(slot, true);
            slot
        })
    }

    /// Takes the last free slot: far away from the first.
    pub fn take_last_slot(&mut self) -> Option<u32> {
        let slot = (0..self.slots).rev().find(|&slot| !self.is_taken(slot))?;
        self.mark(slot, true);
        Some(slot)
    }

    /// Takes `count` free slots in a row that begin at a multiple of `count`, and returns the first.
    pub fn take_cluster(&mut self, count: u32) -> Option<u32> {
        let starts = (0..self.slots).step_by(u32_to_usize(count.max(1)));
        let is_free = |&start: &u32| {
            let end = start.saturating_add(count);
            end <= self.slots && (start..end).all(|slot| !self.is_taken(slot))
        };
        let start = starts.into_iter().find(is_free)?;
        for slot in start..start + count {
            self.mark(slot, true);
        }
        Some(start)
    }

    /// Gives back a slot that was taken and not used.
    pub fn give_back_slot(&mut self, slot: u32) {
        self.mark(slot, false);
    }

    /// Returns the pages to read when `page` is wanted: those beside it that are on swap alone and in
    /// the same cluster of `cluster` slots, at most so many, in the order of their slots.
    #[must_use]
    pub fn cluster_of(&self, page: Page, cluster: u32) -> Vec<Entry> {
        let Ok(at) = self.place(page) else {
            return Vec::new();
        };
        let number = |entry: &Entry| entry.slot() / cluster.max(1);
        let Some(home) = self.entries.get(at).map(number) else {
            return Vec::new();
        };
        let beside = |entry: &&Entry| number(entry) == home;
        let (before, behind) = self.entries.split_at(at);
        let before = before.iter().rev().take_while(beside);
        let behind = behind.iter().take_while(beside);
        let wanted = |entry: &Entry| !entry.is_resident() && !entry.is_moving();
        let mut found: Vec<Entry> = before.chain(behind).copied().filter(wanted).collect();
        found.sort_unstable_by_key(Entry::slot);
        found
    }

    /// Returns how many slots from the first one on hold pages that are in memory.
    #[must_use]
    pub fn first_run(&self) -> u32 {
        let resident = self.entries.iter().filter(|entry| entry.is_resident());
        let mut slots: Vec<u32> = resident.map(Entry::slot).collect();
        slots.sort_unstable();
        let run = (0..).zip(&slots).take_while(|&(nth, &slot)| slot == nth);
        u32::try_from(run.count()).unwrap_or(u32::MAX)
    }

    /// Checks that counts and slots are right.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let count = |counts: fn(&Entry) -> bool| {
            let counted = self.entries.iter().filter(|entry| counts(entry));
            u32::try_from(counted.count()).ok()
        };
        let sorted = self.entries.is_sorted_by(|a, b| a.page() < b.page());
        let with_slot = self.entries.iter().filter(|entry| entry.has_slot());
        let mut slots: Vec<u32> = with_slot.map(Entry::slot).collect();
        slots.sort_unstable();
        let apart = slots.is_sorted_by(|a, b| a < b);
        sorted
            && apart
            && slots
                .iter()
                .all(|&slot| slot < self.slots && self.is_taken(slot))
            && count(|entry| !entry.is_resident()) == Some(self.absent)
            && count(Entry::is_moving) == Some(self.moving)
    }

    fn place(&self, page: Page) -> Result<usize, usize> {
        self.entries.binary_search_by_key(&page, Entry::page)
    }

    fn is_taken(&self, slot: u32) -> bool {
        let word = self.taken.get(u32_to_usize(slot / u64::BITS));
        word.is_none_or(|word| word >> (slot % u64::BITS) & 1 != 0)
    }

    fn mark(&mut self, slot: u32, is_taken: bool) {
        if let Some(word) = self.taken.get_mut(u32_to_usize(slot / u64::BITS)) {
            let bit = 1 << (slot % u64::BITS);
            *word = *word & !bit | if is_taken { bit } else { 0 };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_given_once_and_come_back() {
        let mut directory = Directory::new(70).expect("room");
        for page in 0..70 {
            let slot = directory.take_slot().expect("free");
            assert_eq!(slot, page);
            assert_eq!(
                directory.put(Page(page), Some(slot), Seal::default()),
                Some(slot)
            );
        }
        assert_eq!(directory.take_slot(), None);
        assert!(directory.remove(Page(33)) && !directory.remove(Page(33)));
        assert_eq!(directory.take_last_slot(), Some(33));
        directory.give_back_slot(33);
        assert_eq!(directory.take_slot(), Some(33));
        assert!(directory.is_sound());
        assert_eq!((directory.absent(), directory.moving()), (69, 0));
    }

    #[test]
    fn a_cluster_is_what_lies_beside_and_is_not_in_memory() {
        let mut directory = Directory::new(64).expect("room");
        let start = directory.take_cluster(8).expect("free");
        for nth in 0..8 {
            directory.put(Page(100 + nth), Some(start + nth), Seal::default());
        }
        let next = directory.take_cluster(8).expect("free");
        assert_eq!((start, next), (0, 8));
        directory.put(Page(108), Some(next), Seal::default());
        directory.set(Page(103), true, false);
        directory.set(Page(105), false, true);
        let pages = |cluster| {
            let found = directory.cluster_of(Page(104), cluster);
            found.iter().map(|entry| entry.page().0).collect::<Vec<_>>()
        };
        assert_eq!(pages(8), [100, 101, 102, 104, 106, 107]);
        assert_eq!(pages(4), [104, 106, 107]);
        assert_eq!(pages(1), [104]);
        assert!(directory.is_sound());
    }

    #[test]
    fn the_first_run_is_what_one_read_brings() {
        let mut directory = Directory::new(64).expect("room");
        for page in 0..6 {
            let slot = directory.take_slot();
            directory.put(Page(page), slot, Seal::default());
            directory.set(Page(page), page != 4, false);
        }
        assert_eq!(directory.first_run(), 4);
    }
}
