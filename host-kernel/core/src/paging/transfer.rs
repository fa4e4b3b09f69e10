//! Transfers: VMs and pages on their way between memory and swap, and how far their blocks are.
//!
//! The frames of a transfer are its own until it is done: a VM may end meanwhile, and the disks
//! still work on them. [`super::moving`] takes the steps.

use crate::machine::disk::{DISK_FRAMES_MAX, DiskCompletion, DiskFull, DiskOperation};
use crate::machine::{FrameId, Page};
use crate::memory::frame::FrameList;
use crate::swap::directory::Directory;
use crate::swap::extent::Extent;
use crate::swap::map::map_blocks;
use crate::swap::stripe::{Place, Stripe};
use crate::vm::VmId;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::ops::Range;
use denali_abi::convert::{u32_to_usize, u64_to_usize};

/// Most transfers at a time.
pub(super) const TRANSFERS_MAX: u32 = 32;

/// Times a request is tried in all.
const ATTEMPTS_MAX: u32 = 3;

/// Most transfers of pages besides.
const PAGE_TRANSFERS_MAX: u32 = 128;

/// Bits of a request's tag that say with which block it begins; those above name the transfer. A VM
/// has less blocks: as many pages are 4 GiB.
const TAG_BITS: u32 = 20;
const TAG_MASK: u32 = (1 << TAG_BITS) - 1;

/// What a transfer moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A VM, from memory to swap.
    Leave,
    /// A VM, from swap to memory.
    Enter,
    /// Pages of a VM that stays in memory, to swap.
    PageOut,
    /// Pages of a VM in memory, from swap.
    PageIn,
}

impl Kind {
    pub(super) const fn operation(self) -> DiskOperation {
        match self {
            Self::Leave | Self::PageOut => DiskOperation::Write,
            Self::Enter | Self::PageIn => DiskOperation::Read,
        }
    }

    /// Returns whether a whole VM moves.
    pub(super) const fn is_whole(self) -> bool {
        matches!(self, Self::Leave | Self::Enter)
    }
}

/// How a transfer goes on after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// There is more to do at once.
    More,
    /// Nothing to do until a request completes.
    Waits,
    /// It is over, and has no frames left.
    Over,
}

/// How far a block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Ready,
    UnderWay,
    Moved,
    Failed,
}

/// One block to move.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block {
    pub(super) frame: FrameId,
    /// Which page it holds.
    pub(super) page: Page,
    /// Where it lies, in blocks from the start of the extent.
    place: u32,
    /// The first block of its request.
    request: u32,
    stage: Stage,
}

impl Block {
    pub(super) const fn new(frame: FrameId, page: Page, place: u32) -> Self {
        Self {
            frame,
            page,
            place,
            request: 0,
            stage: Stage::Ready,
        }
    }

    pub(super) const fn place(&self) -> u32 {
        self.place
    }

    /// Returns whether it is to be moved, for the first time or once more.
    pub(super) fn is_ready(&self) -> bool {
        self.stage == Stage::Ready
    }

    /// Says which page it turned out to hold.
    pub(super) const fn holding(self, page: Page) -> Self {
        Self { page, ..self }
    }

    /// Gives its page another slot, if it is to be written once more and there is one left. Returns
    /// whether it has.
    pub(super) fn relocate(&mut self, directory: &mut Directory, map_room: u32) -> bool {
        if !self.is_ready() {
            return false;
        }
        let Some(slot) = directory.take_last_slot() else {
            return false;
        };
        directory.relocate(self.page, slot);
        self.place = map_room + slot;
        true
    }
}

/// A VM or some of its pages on their way.
#[derive(Debug)]
pub(crate) struct Transfer {
    pub(super) vm: VmId,
    pub(super) kind: Kind,
    pub(crate) extent: Extent,
    /// Blocks at the start of the extent that are kept for the map.
    pub(super) map_room: u32,
    /// Every frame it owns.
    pub(crate) frames: FrameList,
    /// Going out, the pages that are still to be sealed, last first.
    pub(super) pages: Vec<(Page, FrameId)>,
    /// What is moved, in this order.
    pub(super) blocks: Vec<Block>,
    /// Of a whole VM: what is known of its pages on swap.
    pub(super) directory: Directory,
    /// Leaving, frames for the map that is not sealed yet.
    pub(super) map: Vec<FrameId>,
    /// Coming in, frames for blocks that are not asked for yet.
    pub(super) reserve: Vec<FrameId>,
    /// Pages going out, free slots in a row that were taken for them.
    pub(super) slots: Range<u32>,
    /// Pages coming in, the one that somebody waits for.
    pub(super) wanted: Option<Page>,
    /// Coming in, whether the map is opened.
    pub(super) is_mapped: bool,
    /// Blocks placed in the VM's memory.
    pub(super) placed: usize,
    /// Before it no block is ready.
    looked_at: usize,
    /// Requests under way.
    under_way: u32,
    pub(super) attempts: u32,
    /// Whether its VM ended.
    pub(super) abandoned: bool,
}

impl Transfer {
    pub(super) fn new(vm: VmId, kind: Kind, extent: Extent, limit: u32) -> Self {
        Self {
            vm,
            kind,
            extent,
            map_room: map_blocks(limit),
            frames: FrameList::new(),
            pages: Vec::new(),
            blocks: Vec::new(),
            directory: Directory::default(),
            map: Vec::new(),
            reserve: Vec::new(),
            slots: 0..0,
            wanted: None,
            is_mapped: false,
            placed: 0,
            looked_at: 0,
            under_way: 0,
            attempts: 1,
            abandoned: false,
        }
    }

    /// Returns how many blocks of swap space it has: those of a whole VM.
    pub(crate) const fn blocks_held(&self) -> u64 {
        if self.kind.is_whole() {
            self.extent.blocks as u64
        } else {
            0
        }
    }

    /// Returns whether requests are under way.
    pub(super) const fn is_under_way(&self) -> bool {
        self.under_way > 0
    }

    /// Returns whether a block could not be moved.
    pub(super) fn has_failed(&self) -> bool {
        self.blocks.iter().any(|block| block.stage == Stage::Failed)
    }

    /// Returns whether every block was moved.
    pub(super) fn is_moved(&self) -> bool {
        let moved = |block: &Block| block.stage == Stage::Moved;
        self.under_way == 0 && self.blocks.iter().all(moved)
    }

    /// Looks at all blocks again for some that are to be moved.
    pub(super) const fn look_again(&mut self) {
        self.looked_at = 0;
    }

    /// Tries blocks that failed once more. Returns whether it may: not for ever.
    pub(super) fn retry(&mut self) -> bool {
        if self.attempts >= ATTEMPTS_MAX {
            return false;
        }
        self.attempts += 1;
        self.looked_at = 0;
        for block in &mut self.blocks {
            if block.stage == Stage::Failed {
                block.stage = Stage::Ready;
            }
        }
        true
    }

    /// Returns the next blocks that can go in one request: where they begin in `blocks`, and how many.
    /// If `is_complete` is not said, more may follow.
    pub(super) fn next_request(
        &mut self,
        stripe: &Stripe,
        is_complete: bool,
    ) -> Option<(usize, usize, Place)> {
        let behind = self.blocks.get(self.looked_at..)?;
        let ready = behind.iter().position(Block::is_ready)?;
        self.looked_at += ready;
        let run = self.blocks.get(self.looked_at..)?;
        let first = run.first()?;
        let place = stripe.locate(self.extent.start + u64::from(first.place))?;
        let most = u64_to_usize(place.run).min(DISK_FRAMES_MAX);
        let follows =
            |(nth, block): &(u32, &Block)| block.is_ready() && block.place == first.place + nth;
        let length = (0..).zip(run).take(most).take_while(follows).count();
        let is_open = length == run.len() && length < most && !is_complete;
        (!is_open).then_some((self.looked_at, length, place))
    }

    /// Takes note that a disk works on `length` blocks from block `first` on.
    pub(super) fn requested(&mut self, first: u32, length: usize) {
        let behind = self.blocks.iter_mut().skip(u32_to_usize(first));
        for block in behind.take(length) {
            block.stage = Stage::UnderWay;
            block.request = first;
        }
        self.under_way += 1;
    }

    /// Takes note that the request that begins at block `first` is done.
    fn complete(&mut self, first: u32, succeeded: bool) {
        self.under_way = self.under_way.saturating_sub(1);
        let stage = if succeeded {
            Stage::Moved
        } else {
            Stage::Failed
        };
        let behind = self.blocks.iter_mut().skip(u32_to_usize(first));
        for block in behind.take(DISK_FRAMES_MAX) {
            if block.request == first && block.stage == Stage::UnderWay {
                block.stage = stage;
            }
        }
    }
}

/// The transfers under way.
#[derive(Debug, Default)]
pub(crate) struct Transfers {
    slots: Vec<Option<Box<Transfer>>>,
    /// Whole VMs.
    count: u32,
    /// Pages.
    of_pages: u32,
    /// Those with something to do now.
    runnable: VecDeque<u32>,
    /// Those that wait for room in the disks' queues.
    parked: VecDeque<u32>,
}

impl Transfers {
    /// Returns whether another VM may begin to move.
    pub(super) const fn has_room(&self) -> bool {
        self.count < TRANSFERS_MAX
    }

    /// Returns whether more pages may begin to move.
    pub(super) const fn has_room_for_pages(&self) -> bool {
        self.of_pages < PAGE_TRANSFERS_MAX
    }

    /// Returns whether one has something to do now.
    pub(super) fn has_work(&self) -> bool {
        !self.runnable.is_empty()
    }

    /// Returns the index the next one will have, which its frames are owned by.
    pub(super) fn next_index(&self) -> u32 {
        let vacant = self.slots.iter().position(Option::is_none);
        u32::try_from(vacant.unwrap_or(self.slots.len())).unwrap_or(u32::MAX)
    }

    /// Adds one under [`Transfers::next_index`].
    pub(super) fn add(&mut self, transfer: Box<Transfer>) {
        let index = self.next_index();
        let is_whole = transfer.kind.is_whole();
        match self.slots.get_mut(u32_to_usize(index)) {
            Some(slot) => *slot = Some(transfer),
            None => self.slots.push(Some(transfer)),
        }
        self.count += u32::from(is_whole);
        self.of_pages += u32::from(!is_whole);
        self.runnable.push_back(index);
    }

    /// Returns every one with its index.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Transfer)> {
        let slots = (0..).zip(&self.slots);
        slots.filter_map(|(index, slot)| Some((index, slot.as_deref()?)))
    }

    /// Returns the frames that will be free when all on their way out have gone.
    pub(super) fn frames_leaving(&self) -> u32 {
        let leaving = self
            .iter()
            .filter(|(_, transfer)| matches!(transfer.kind, Kind::Leave | Kind::PageOut));
        leaving.map(|(_, transfer)| transfer.frames.count()).sum()
    }

    /// Tells the transfer of a VM that the VM ended.
    pub(super) fn abandon(&mut self, vm: VmId) {
        for (index, slot) in (0..).zip(&mut self.slots) {
            if let Some(transfer) = slot.as_deref_mut()
                && transfer.vm == vm
            {
                transfer.abandoned = true;
                if !self.runnable.contains(&index) {
                    self.runnable.push_back(index);
                }
            }
        }
    }

    /// Takes note of a completion; those that waited for room may have some now.
    pub(super) fn complete(&mut self, done: DiskCompletion) {
        let index = done.tag >> TAG_BITS;
        let slot = self.slots.get_mut(u32_to_usize(index));
        if let Some(transfer) = slot.and_then(Option::as_deref_mut) {
            transfer.complete(done.tag & TAG_MASK, done.result.is_ok());
            if !transfer.is_under_way() {
                self.make_runnable(index);
            }
        }
        while let Some(index) = self.parked.pop_front() {
            self.make_runnable(index);
        }
    }

    fn make_runnable(&mut self, index: u32) {
        if !self.runnable.contains(&index) {
            self.runnable.push_back(index);
        }
    }

    /// Takes out the next one with something to do, which [`Transfers::put_back`] ends.
    pub(super) fn take_runnable(&mut self) -> Option<(u32, Box<Transfer>)> {
        let index = self.runnable.pop_front()?;
        let slot = self.slots.get_mut(u32_to_usize(index))?;
        Some((index, slot.take()?))
    }

    /// Puts one back behind a step, if it is not over.
    pub(super) fn put_back(
        &mut self,
        index: u32,
        transfer: Box<Transfer>,
        progress: Result<Progress, DiskFull>,
    ) {
        match progress {
            Ok(Progress::Over) => {
                let is_whole = transfer.kind.is_whole();
                self.count -= u32::from(is_whole);
                self.of_pages -= u32::from(!is_whole);
                return;
            }
            Ok(Progress::More) => self.runnable.push_back(index),
            Ok(Progress::Waits) => {}
            Err(DiskFull) => self.parked.push_back(index),
        }
        if let Some(slot) = self.slots.get_mut(u32_to_usize(index)) {
            *slot = Some(transfer);
        }
    }
}

/// Returns the tag of the request of a transfer that begins at a block.
pub(super) const fn tag(index: u32, first: u32) -> u32 {
    index << TAG_BITS | (first & TAG_MASK)
}
