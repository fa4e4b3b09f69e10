//! Transfers: VMs and pages on their way between memory and swap, and the requests that move them.
//!
//! The frames of a transfer are its own until it is done: a VM may end meanwhile, and the disks
//! still work on them. Blocks are requested in order, as many at a time as one disk can take in one
//! piece, until the disks have no room; work on contents is done in steps, so that no VM waits long
//! for another one's pages.

use super::Pager;
use crate::kernel::Kernel;
use crate::machine::disk::{DISK_FRAMES_MAX, DiskCompletion, DiskFull, DiskOperation, DiskRequest};
use crate::machine::{FrameId, Machine, Page};
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
use denali_abi::convert::{u32_to_usize, u64_to_usize, usize_to_u64};

/// Most transfers at a time.
pub(super) const TRANSFERS_MAX: u32 = 32;

/// Blocks sealed or opened in one step.
pub(super) const STEP_BLOCKS: usize = 16;

/// Times a request is tried in all.
pub(super) const ATTEMPTS_MAX: u32 = 3;

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
    const fn operation(self) -> DiskOperation {
        match self {
            Self::Leave | Self::PageOut => DiskOperation::Write,
            Self::Enter | Self::PageIn => DiskOperation::Read,
        }
    }

    /// Returns whether a whole VM moves.
    const fn is_whole(self) -> bool {
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

    pub(super) fn has_failed(&self) -> bool {
        self.stage == Stage::Failed
    }

    /// Says which page it turned out to hold.
    pub(super) const fn holding(self, page: Page) -> Self {
        Self { page, ..self }
    }

    /// Returns whether it is to be moved once more.
    pub(super) fn is_retried(&self) -> bool {
        self.stage == Stage::Ready
    }

    /// Has it moved once more, from or to this place.
    pub(super) const fn retry_at(&mut self, place: u32) {
        self.place = place;
        self.stage = Stage::Ready;
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
    requested: usize,
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
            requested: 0,
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
        self.blocks.iter().any(Block::has_failed)
    }

    /// Returns whether every block was moved.
    pub(super) fn is_moved(&self) -> bool {
        let moved = |block: &Block| block.stage == Stage::Moved;
        self.under_way == 0 && self.blocks.iter().all(moved)
    }

    /// Looks at all blocks again for some that are to be moved.
    pub(super) const fn look_again(&mut self) {
        self.requested = 0;
    }

    /// Tries blocks that failed once more. Returns whether it may: not for ever.
    pub(super) fn retry(&mut self) -> bool {
        if self.attempts >= ATTEMPTS_MAX {
            return false;
        }
        self.attempts += 1;
        self.requested = 0;
        for block in &mut self.blocks {
            if block.has_failed() {
                block.stage = Stage::Ready;
            }
        }
        true
    }

    /// Returns the next blocks that can go in one request: where they begin in `blocks`, and how many.
    /// If `is_complete` is not said, more may follow.
    fn next_request(
        &mut self,
        stripe: &Stripe,
        is_complete: bool,
    ) -> Option<(usize, usize, Place)> {
        let behind = self.blocks.get(self.requested..)?;
        let ready = behind
            .iter()
            .position(|block| block.stage == Stage::Ready)?;
        self.requested += ready;
        let run = self.blocks.get(self.requested..)?;
        let first = run.first()?;
        let place = stripe.locate(self.extent.start + u64::from(first.place))?;
        let most = u64_to_usize(place.run).min(DISK_FRAMES_MAX);
        let follows = |(nth, block): &(u32, &Block)| {
            block.stage == Stage::Ready && block.place == first.place + nth
        };
        let length = (0..).zip(run).take(most).take_while(follows).count();
        let is_open = length == run.len() && length < most && !is_complete;
        (!is_open).then_some((self.requested, length, place))
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

    /// Takes note of a completion.
    fn complete(&mut self, tag: u32, succeeded: bool) {
        let index = tag >> TAG_BITS;
        let slot = self.slots.get_mut(u32_to_usize(index));
        let Some(transfer) = slot.and_then(Option::as_deref_mut) else {
            return;
        };
        transfer.complete(tag & TAG_MASK, succeeded);
        if transfer.under_way == 0 && !self.runnable.contains(&index) {
            self.runnable.push_back(index);
        }
    }

    fn unpark(&mut self) {
        while let Some(index) = self.parked.pop_front() {
            if !self.runnable.contains(&index) {
                self.runnable.push_back(index);
            }
        }
    }
}

impl Pager {
    /// Requests blocks of a transfer as far as they are ready and the disks have room.
    pub(super) fn request(
        &mut self,
        index: u32,
        transfer: &mut Transfer,
        machine: &mut dyn Machine,
    ) -> Result<(), DiskFull> {
        let is_complete = transfer.pages.is_empty() && transfer.map.is_empty();
        while let Some((first, length, place)) = transfer.next_request(&self.stripe, is_complete) {
            let run = transfer.blocks.iter().skip(first).take(length);
            let mut frames = [FrameId(0); DISK_FRAMES_MAX];
            for (to, block) in frames.iter_mut().zip(run) {
                *to = block.frame;
            }
            let number = u32::try_from(first).unwrap_or(u32::MAX) & TAG_MASK;
            let request = DiskRequest {
                tag: index << TAG_BITS | number,
                disk: place.disk,
                operation: transfer.kind.operation(),
                block: place.block,
                frames: frames.get(..length).unwrap_or_default(),
            };
            machine.disk_submit(&request)?;
            for block in transfer.blocks.iter_mut().skip(first).take(length) {
                block.stage = Stage::UnderWay;
                block.request = number;
            }
            transfer.under_way += 1;
            match transfer.kind.operation() {
                DiskOperation::Read => self.stats.blocks_read += usize_to_u64(length),
                _ => self.stats.blocks_written += usize_to_u64(length),
            }
        }
        Ok(())
    }
}

impl Kernel {
    /// Takes note of what a disk has done for a transfer.
    pub(crate) fn transfer_done(&mut self, done: DiskCompletion) {
        let Some(pager) = &mut self.pager else {
            return;
        };
        if done.result.is_err() {
            pager.stats.disk_errors += 1;
        }
        pager.transfers.complete(done.tag, done.result.is_ok());
        pager.transfers.unpark();
    }

    /// Takes one step of one transfer.
    pub(super) fn step_transfer(&mut self, machine: &mut dyn Machine) {
        let Some(pager) = &mut self.pager else {
            return;
        };
        let Some(index) = pager.transfers.runnable.pop_front() else {
            return;
        };
        let slot = pager.transfers.slots.get_mut(u32_to_usize(index));
        let Some(mut transfer) = slot.and_then(Option::take) else {
            return;
        };
        let progress = match (transfer.abandoned, transfer.kind) {
            (true, _) => self.abandon_step(&mut transfer),
            (false, Kind::Leave) => self.leave_step(index, &mut transfer, machine),
            (false, Kind::Enter) => self.enter_step(index, &mut transfer, machine),
            (false, Kind::PageOut) => self.page_out_step(index, &mut transfer, machine),
            (false, Kind::PageIn) => self.page_in_step(index, &mut transfer, machine),
        };
        let Some(pager) = &mut self.pager else {
            return;
        };
        let transfers = &mut pager.transfers;
        match progress {
            Ok(Progress::Over) => {
                let is_whole = transfer.kind.is_whole();
                transfers.count -= u32::from(is_whole);
                transfers.of_pages -= u32::from(!is_whole);
                if !is_whole {
                    self.pages_moved(transfer.vm);
                    self.hand_out_held(transfer.vm, machine);
                }
                return;
            }
            Ok(Progress::More) => transfers.runnable.push_back(index),
            Ok(Progress::Waits) => {}
            Err(DiskFull) => transfers.parked.push_back(index),
        }
        if let Some(slot) = transfers.slots.get_mut(u32_to_usize(index)) {
            *slot = Some(transfer);
        }
    }

    /// Waits for what is under way for a VM that ended, then frees everything.
    fn abandon_step(&mut self, transfer: &mut Transfer) -> Result<Progress, DiskFull> {
        if transfer.is_under_way() {
            return Ok(Progress::Waits);
        }
        self.frames.give_back_all(&mut transfer.frames, None);
        if let Some(pager) = &mut self.pager
            && transfer.kind.is_whole()
        {
            pager.give_back(transfer.extent);
        }
        Ok(Progress::Over)
    }
}
