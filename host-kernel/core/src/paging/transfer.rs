//! Transfers: VMs on their way between memory and swap, and the requests that move them.
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
use crate::swap::extent::Extent;
use crate::swap::map::Entry;
use crate::vm::VmId;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use denali_abi::convert::{u32_to_usize, u64_to_usize, usize_to_u64};

/// Most transfers at a time.
pub(super) const TRANSFERS_MAX: u32 = 32;

/// Blocks sealed or opened in one step.
pub(super) const STEP_BLOCKS: usize = 16;

/// Times a request is tried in all.
pub(super) const ATTEMPTS_MAX: u32 = 3;

/// Bits of a request's tag that count; those above name the transfer.
const COUNT_BITS: u32 = 20;

/// Which way a VM goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Out,
    In,
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

/// One VM on its way.
#[derive(Debug)]
pub(crate) struct Transfer {
    pub(super) vm: VmId,
    pub(super) direction: Direction,
    pub(super) extent: Extent,
    /// Every frame it owns.
    pub(crate) frames: FrameList,
    /// Going out, the pages that are still to be sealed, last first.
    pub(super) pages: Vec<(Page, FrameId)>,
    /// Frames by the blocks of the extent.
    pub(super) blocks: Vec<FrameId>,
    /// Seals of the blocks, in their order.
    pub(super) entries: Vec<Entry>,
    /// Going out, frames for the map; coming in, none.
    pub(super) map: Vec<FrameId>,
    /// Blocks placed in the VM's memory.
    pub(super) placed: usize,
    /// Blocks requested.
    requested: usize,
    /// Requests under way.
    under_way: u32,
    requests: u32,
    pub(super) attempts: u32,
    failed: bool,
    /// Whether its VM ended.
    pub(super) abandoned: bool,
}

impl Transfer {
    pub(super) const fn new(vm: VmId, direction: Direction, extent: Extent) -> Self {
        Self {
            vm,
            direction,
            extent,
            frames: FrameList::new(),
            pages: Vec::new(),
            blocks: Vec::new(),
            entries: Vec::new(),
            map: Vec::new(),
            placed: 0,
            requested: 0,
            under_way: 0,
            requests: 0,
            attempts: 1,
            failed: false,
            abandoned: false,
        }
    }

    /// Returns how many blocks of swap space it has.
    pub(crate) const fn blocks_held(&self) -> u64 {
        self.extent.blocks as u64
    }

    /// Returns whether requests are under way.
    pub(super) const fn is_under_way(&self) -> bool {
        self.under_way > 0
    }

    /// Returns whether a request failed since the last [`Transfer::restart`].
    pub(super) const fn has_failed(&self) -> bool {
        self.failed
    }

    /// Returns whether every block was moved.
    pub(super) fn is_moved(&self) -> bool {
        self.under_way == 0 && !self.failed && self.requested >= self.blocks.len()
    }

    /// Begins anew to request all blocks, from `extent`.
    pub(super) fn restart(&mut self, extent: Extent) {
        self.extent = extent;
        self.requested = 0;
        self.failed = false;
        self.attempts += 1;
    }
}

/// The transfers under way.
#[derive(Debug, Default)]
pub(crate) struct Transfers {
    slots: Vec<Option<Box<Transfer>>>,
    count: u32,
    /// Those with something to do now.
    runnable: VecDeque<u32>,
    /// Those that wait for room in the disks' queues.
    parked: VecDeque<u32>,
}

impl Transfers {
    /// Returns whether another one may begin.
    pub(super) const fn has_room(&self) -> bool {
        self.count < TRANSFERS_MAX
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
        match self.slots.get_mut(u32_to_usize(index)) {
            Some(slot) => *slot = Some(transfer),
            None => self.slots.push(Some(transfer)),
        }
        self.count += 1;
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
            .filter(|(_, transfer)| transfer.direction == Direction::Out);
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
        let index = tag >> COUNT_BITS;
        let slot = self.slots.get_mut(u32_to_usize(index));
        let Some(transfer) = slot.and_then(Option::as_deref_mut) else {
            return;
        };
        transfer.under_way = transfer.under_way.saturating_sub(1);
        transfer.failed |= !succeeded;
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
        let operation = match transfer.direction {
            Direction::Out => DiskOperation::Write,
            Direction::In => DiskOperation::Read,
        };
        let is_complete = transfer.pages.is_empty() && transfer.map.is_empty();
        while !transfer.failed && transfer.requested < transfer.blocks.len() {
            let ready = transfer
                .blocks
                .get(transfer.requested..)
                .unwrap_or_default();
            let block = transfer.extent.start + usize_to_u64(transfer.requested);
            let Some(place) = self.stripe.locate(block) else {
                transfer.failed = true;
                break;
            };
            let length = ready
                .len()
                .min(u64_to_usize(place.run))
                .min(DISK_FRAMES_MAX);
            // More may follow that can go in the same request.
            if length == ready.len() && length < u64_to_usize(place.run) && !is_complete {
                break;
            }
            let request = DiskRequest {
                tag: index << COUNT_BITS | transfer.requests & ((1 << COUNT_BITS) - 1),
                disk: place.disk,
                operation,
                block: place.block,
                frames: ready.get(..length).unwrap_or_default(),
            };
            machine.disk_submit(&request)?;
            transfer.requests = transfer.requests.wrapping_add(1);
            transfer.under_way += 1;
            transfer.requested += length;
            match transfer.direction {
                Direction::Out => self.stats.blocks_written += usize_to_u64(length),
                Direction::In => self.stats.blocks_read += usize_to_u64(length),
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
        let progress = match (transfer.abandoned, transfer.direction) {
            (true, _) => self.abandon_step(&mut transfer),
            (false, Direction::Out) => self.leave_step(index, &mut transfer, machine),
            (false, Direction::In) => self.enter_step(index, &mut transfer, machine),
        };
        let Some(pager) = &mut self.pager else {
            return;
        };
        let transfers = &mut pager.transfers;
        match progress {
            Ok(Progress::Over) => {
                transfers.count -= 1;
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
        if let Some(pager) = &mut self.pager {
            pager.give_back(transfer.extent);
        }
        Ok(Progress::Over)
    }
}
