//! The frame table: who owns each frame, and what for.
//!
//! Every frame has exactly one owner: it is free, or belongs to one image or one VM. The frames of
//! an owner form a list threaded through the table, so that giving back everything a VM had costs
//! time in proportion to what it had. A frame is filled (zeroed or overwritten whole) when it is
//! handed out, before its new owner can see it.

use super::FrameRange;
use crate::machine::{FrameId, Machine, Page};
use alloc::vec::Vec;
use denali_abi::convert::u32_to_usize;

/// "No frame" in links.
const NONE: u32 = u32::MAX;

/// Who has a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// Nobody.
    Free,
    /// The image at this index of the image table.
    Image(u32),
    /// The VM at this index of the VM table.
    Vm(u32),
    /// The transfer at this index: a disk may be working on the frame.
    Transfer(u32),
}

/// What a frame is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameUse {
    /// A VM's root page table.
    Root,
    /// A VM's register context.
    Context,
    /// A lower page table of a VM.
    Table,
    /// A VM's console ring.
    Console,
    /// This page of a VM.
    Page(Page),
    /// This page of an image's contents.
    Content(Page),
    /// A block on its way between memory and swap.
    Block,
}

/// How a frame is filled before its owner sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fill {
    /// With zeros.
    Zero,
    /// With the contents of another frame.
    CopyOf(FrameId),
    /// By the kernel or a disk, whole, before a VM can see it.
    ByOwner,
}

/// The frames of one owner.
#[derive(Clone, Copy, Debug)]
pub struct FrameList {
    head: u32,
    count: u32,
}

impl FrameList {
    /// Returns the empty list.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            head: NONE,
            count: 0,
        }
    }

    /// Returns how many frames are in it.
    #[must_use]
    pub const fn count(&self) -> u32 {
        self.count
    }
}

impl Default for FrameList {
    fn default() -> Self {
        Self::new()
    }
}

/// Bits of [`Entry::owner`] that hold the index.
const OWNER_INDEX_BITS: u32 = 30;
const OWNER_INDEX_MASK: u32 = (1 << OWNER_INDEX_BITS) - 1;
/// Bits of [`Entry::usage`] that hold the page number.
const USE_PAGE_BITS: u32 = 24;
const USE_PAGE_MASK: u32 = (1 << USE_PAGE_BITS) - 1;

/// One frame's record: its links, and owner and use packed into a word each.
#[derive(Clone, Copy, Debug)]
struct Entry {
    next: u32,
    previous: u32,
    owner: u32,
    usage: u32,
}

const _: () = assert!(size_of::<Entry>() == 16, "the table costs 1/256 of memory");

impl Entry {
    fn set(&mut self, owner: Owner, usage: FrameUse) {
        self.owner = match owner {
            Owner::Free => 0,
            Owner::Image(index) => 1 << OWNER_INDEX_BITS | (index & OWNER_INDEX_MASK),
            Owner::Vm(index) => 2 << OWNER_INDEX_BITS | (index & OWNER_INDEX_MASK),
            Owner::Transfer(index) => 3 << OWNER_INDEX_BITS | (index & OWNER_INDEX_MASK),
        };
        self.usage = match usage {
            FrameUse::Root => 0,
            FrameUse::Context => 1 << USE_PAGE_BITS,
            FrameUse::Table => 2 << USE_PAGE_BITS,
            FrameUse::Console => 3 << USE_PAGE_BITS,
            FrameUse::Page(Page(page)) => 4 << USE_PAGE_BITS | (page & USE_PAGE_MASK),
            FrameUse::Content(Page(page)) => 5 << USE_PAGE_BITS | (page & USE_PAGE_MASK),
            FrameUse::Block => 6 << USE_PAGE_BITS,
        };
    }

    fn owner(self) -> Owner {
        let index = self.owner & OWNER_INDEX_MASK;
        match self.owner >> OWNER_INDEX_BITS {
            1 => Owner::Image(index),
            2 => Owner::Vm(index),
            3 => Owner::Transfer(index),
            _ => Owner::Free,
        }
    }

    fn usage(self) -> FrameUse {
        let page = Page(self.usage & USE_PAGE_MASK);
        match self.usage >> USE_PAGE_BITS {
            0 => FrameUse::Root,
            1 => FrameUse::Context,
            2 => FrameUse::Table,
            3 => FrameUse::Console,
            4 => FrameUse::Page(page),
            5 => FrameUse::Content(page),
            _ => FrameUse::Block,
        }
    }
}

/// A range of memory and where its records start in the table.
#[derive(Clone, Copy, Debug)]
struct Region {
    start: u32,
    count: u32,
    first_entry: u32,
}

/// The record of every frame the kernel may give away.
#[derive(Debug)]
pub struct FrameTable {
    regions: Vec<Region>,
    entries: Vec<Entry>,
    /// When each frame was last seen used, in its VM's virtual time; 0 if never yet.
    last_uses: Vec<u32>,
    free: FrameList,
    of_images: u32,
}

impl FrameTable {
    /// Makes a table of the given memory, all free.
    ///
    /// # Panics
    ///
    /// If ranges overlap or hold 2^32 frames or more: the boot code is wrong.
    #[must_use]
    pub fn new(memory: &[FrameRange]) -> Self {
        let mut sorted: Vec<FrameRange> = memory.iter().copied().filter(|r| r.count > 0).collect();
        sorted.sort_by_key(|range| range.start);
        let mut regions: Vec<Region> = Vec::with_capacity(sorted.len());
        let mut total = 0_u32;
        for range in sorted {
            let start = range.start.0;
            assert!(
                start.checked_add(range.count).is_some(),
                "memory range ends beyond 16 TiB"
            );
            if let Some(last) = regions.last() {
                assert!(last.start + last.count <= start, "memory ranges overlap");
            }
            regions.push(Region {
                start,
                count: range.count,
                first_entry: total,
            });
            total = total
                .checked_add(range.count)
                .expect("ranges are disjoint in 32 bits");
        }
        let blank = Entry {
            next: NONE,
            previous: NONE,
            owner: 0,
            usage: 0,
        };
        let mut table = Self {
            regions,
            entries: alloc::vec![blank; u32_to_usize(total)],
            last_uses: alloc::vec![0; u32_to_usize(total)],
            free: FrameList::new(),
            of_images: 0,
        };
        let mut free = FrameList::new();
        for index in (0..total).rev() {
            table.link(&mut free, index);
        }
        table.free = free;
        table
    }

    /// Returns the number of frames in the table.
    #[must_use]
    pub fn total(&self) -> u32 {
        self.regions.iter().map(|region| region.count).sum()
    }

    /// Returns the number of free frames.
    #[must_use]
    pub const fn free(&self) -> u32 {
        self.free.count
    }

    /// Returns the number of frames that belong to images.
    #[must_use]
    pub const fn of_images(&self) -> u32 {
        self.of_images
    }

    /// Takes a free frame for `owner`, puts it on the owner's `list` and fills it.
    pub fn take(
        &mut self,
        owner: Owner,
        usage: FrameUse,
        list: &mut FrameList,
        fill: Fill,
        machine: &mut dyn Machine,
    ) -> Option<FrameId> {
        let index = self.free.head;
        if index == NONE {
            return None;
        }
        let mut free = self.free;
        self.unlink(&mut free, index);
        self.free = free;
        self.entries[u32_to_usize(index)].set(owner, usage);
        self.link(list, index);
        self.of_images += u32::from(matches!(owner, Owner::Image(_)));
        self.last_uses[u32_to_usize(index)] = 0;
        let frame = self.frame_of(index);
        match fill {
            Fill::Zero if cfg!(sabotage = "skip-zeroing") && matches!(usage, FrameUse::Page(_)) => {
            }
            Fill::Zero => machine.zero_frame(frame),
            Fill::CopyOf(source) => machine.copy_frame(source, frame),
            Fill::ByOwner => {}
        }
        Some(frame)
    }

    /// Takes `frame` off its owner's `list` and frees it.
    ///
    /// # Panics
    ///
    /// If the kernel frees a frame that is not in the table, or free already.
    pub fn give_back(&mut self, frame: FrameId, list: &mut FrameList) {
        let index = self
            .index_of(frame)
            .expect("only frames of the table are handed out");
        let entry = self.entries[u32_to_usize(index)];
        assert!(entry.owner() != Owner::Free, "a frame is freed once");
        self.of_images -= u32::from(matches!(entry.owner(), Owner::Image(_)));
        self.unlink(list, index);
        self.entries[u32_to_usize(index)].set(Owner::Free, FrameUse::Root);
        let mut free = self.free;
        self.link(&mut free, index);
        self.free = free;
    }

    /// Moves `frame` from its owner's list to that of another owner, which is not an image.
    ///
    /// # Panics
    ///
    /// If the kernel hands over a frame that is not in the table.
    pub fn hand_over(
        &mut self,
        frame: FrameId,
        from: &mut FrameList,
        to: &mut FrameList,
        owner: Owner,
        usage: FrameUse,
    ) {
        let index = self
            .index_of(frame)
            .expect("only frames of the table are handed over");
        self.unlink(from, index);
        self.entries[u32_to_usize(index)].set(owner, usage);
        self.link(to, index);
    }

    /// Frees every frame of `list` except `kept`.
    pub fn give_back_all(&mut self, list: &mut FrameList, kept: Option<FrameId>) {
        let mut next = list.head;
        while next != NONE {
            let index = next;
            next = self.entries[u32_to_usize(index)].next;
            let frame = self.frame_of(index);
            if kept != Some(frame) {
                self.give_back(frame, list);
            }
        }
    }

    /// Takes note of whether a frame was used until the virtual time `now`, any number that grows.
    /// Returns for how long it was not.
    pub fn note_use(&mut self, frame: FrameId, now: u32, is_used: bool) -> u32 {
        let index = self.index_of(frame).map(u32_to_usize);
        let Some(last) = index.and_then(|index| self.last_uses.get_mut(index)) else {
            return 0;
        };
        if is_used || *last == 0 {
            *last = now.max(1);
        }
        now.max(1).wrapping_sub(*last)
    }

    /// Returns owner and use of `frame`, or `None` if it is not in the table.
    #[must_use]
    pub fn record(&self, frame: FrameId) -> Option<(Owner, FrameUse)> {
        let entry = self.entries[u32_to_usize(self.index_of(frame)?)];
        Some((entry.owner(), entry.usage()))
    }

    /// Returns the frames of `list` with their uses, at most as many as it counts.
    pub fn frames_of(&self, list: &FrameList) -> impl Iterator<Item = (FrameId, Owner, FrameUse)> {
        let mut next = list.head;
        let mut left = list.count;
        core::iter::from_fn(move || {
            if left == 0 {
                return None;
            }
            left -= 1;
            let entry = self.entries.get(u32_to_usize(next))?;
            let frame = self.frame_of(next);
            next = entry.next;
            Some((frame, entry.owner(), entry.usage()))
        })
    }

    /// Returns how many records name an owner other than nobody.
    #[must_use]
    pub fn count_owned(&self) -> usize {
        self.entries
            .iter()
            .filter(|entry| entry.owner() != Owner::Free)
            .count()
    }

    fn index_of(&self, frame: FrameId) -> Option<u32> {
        let after = self
            .regions
            .partition_point(|region| region.start <= frame.0);
        let region = self.regions.get(after.checked_sub(1)?)?;
        let offset = frame.0 - region.start;
        (offset < region.count).then(|| region.first_entry + offset)
    }

    fn frame_of(&self, index: u32) -> FrameId {
        let after = self
            .regions
            .partition_point(|region| region.first_entry <= index);
        let region = self.regions[after - 1];
        FrameId(region.start + (index - region.first_entry))
    }

    fn link(&mut self, list: &mut FrameList, index: u32) {
        let head = list.head;
        if let Some(first) = self.entries.get_mut(u32_to_usize(head)) {
            first.previous = index;
        }
        let entry = &mut self.entries[u32_to_usize(index)];
        entry.next = head;
        entry.previous = NONE;
        list.head = index;
        list.count += 1;
    }

    fn unlink(&mut self, list: &mut FrameList, index: u32) {
        let Entry { next, previous, .. } = self.entries[u32_to_usize(index)];
        if let Some(entry) = self.entries.get_mut(u32_to_usize(next)) {
            entry.previous = previous;
        }
        match self.entries.get_mut(u32_to_usize(previous)) {
            Some(entry) => entry.next = next,
            None => list.head = next,
        }
        list.count -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::fake::FakeMachine;

    fn table() -> (FrameTable, FakeMachine) {
        let memory = [
            FrameRange {
                start: FrameId(100),
                count: 4,
            },
            FrameRange {
                start: FrameId(10),
                count: 2,
            },
        ];
        (FrameTable::new(&memory), FakeMachine::new(256))
    }

    #[test]
    fn frames_come_from_every_range_and_run_out() {
        let (mut table, mut machine) = table();
        let mut list = FrameList::new();
        let mut taken = Vec::new();
        while let Some(frame) = table.take(
            Owner::Vm(3),
            FrameUse::Table,
            &mut list,
            Fill::Zero,
            &mut machine,
        ) {
            taken.push(frame.0);
        }
        taken.sort_unstable();
        assert_eq!(taken, [10, 11, 100, 101, 102, 103]);
        assert_eq!((table.free(), list.count()), (0, 6));
    }

    #[test]
    fn the_record_tells_owner_and_use() {
        let (mut table, mut machine) = table();
        let mut list = FrameList::new();
        let usage = FrameUse::Page(Page(0x7_ffff));
        let frame = table
            .take(Owner::Vm(7), usage, &mut list, Fill::Zero, &mut machine)
            .expect("free");
        assert_eq!(table.record(frame), Some((Owner::Vm(7), usage)));
        assert_eq!(table.record(FrameId(12)), None);
        table.give_back(frame, &mut list);
        assert_eq!(
            table.record(frame).map(|(owner, _)| owner),
            Some(Owner::Free)
        );
        assert_eq!(list.count(), 0);
    }

    #[test]
    fn all_frames_of_an_owner_go_back_but_the_kept_one() {
        let (mut table, mut machine) = table();
        let mut list = FrameList::new();
        let frames: Vec<_> = (0..4)
            .filter_map(|_| {
                table.take(
                    Owner::Image(0),
                    FrameUse::Console,
                    &mut list,
                    Fill::Zero,
                    &mut machine,
                )
            })
            .collect();
        table.give_back_all(&mut list, Some(frames[2]));
        assert_eq!(table.free(), 5);
        let left: Vec<_> = table.frames_of(&list).map(|(frame, _, _)| frame).collect();
        assert_eq!(left, [frames[2]]);
    }
}
