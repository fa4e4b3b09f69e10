//! From memory to swap.
//!
//! Page tables and the image's pages go at once: both can be made again. Of a VM's own pages those
//! that are still what they were made from (zeros, or a page of the image) are dropped, and those
//! that lie on swap already and were not changed stay there; the others, the register context, the
//! registers page, the shared page and the console are sealed where they lie and written one behind
//! the other, the map last. Frames are freed when all of it is written; what cannot be written goes
//! to another slot.

use super::moving::{Blocks, STEP_BLOCKS};
use super::transfer::{Block, Kind, Progress, Transfer};
use super::{NO_SPACE, NOWHERE, Pager, Residence, Resume, Standing, Wait};
use crate::kernel::Kernel;
use crate::machine::disk::DiskFull;
use crate::machine::{FrameId, Machine, Marks, Page, Space};
use crate::memory::address_space::{REGISTERS_PAGE, SHARED_PAGE};
use crate::memory::frame::{Fill, FrameUse, Owner};
use crate::swap::BLOCK_LEN;
use crate::swap::directory::Directory;
use crate::swap::map::{
    CONSOLE_PAGE, CONTEXT_PAGE, Entry, block_of, map_blocks, map_page, map_start,
};
use crate::swap::seal::Seal;
use crate::vm::{Vm, VmId};
use alloc::boxed::Box;
use alloc::vec::Vec;
use denali_abi::control::VmState;
use denali_abi::convert::u32_to_usize;
use denali_abi::end::EndReason;

/// What is to be done with the frames of a VM that is to leave.
#[derive(Default)]
struct Luggage {
    /// Pages that are on swap as they are.
    clean: Vec<FrameId>,
    /// Pages to seal.
    pages: Vec<(Page, FrameId)>,
    /// How many page tables it has.
    tables: u32,
}

/// All slots are taken: those that are left are bad places on a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoSlot;

impl Kernel {
    /// Sends a VM out of memory. Returns whether it goes; if not, nothing changed.
    pub(super) fn leave(&mut self, id: VmId, machine: &mut dyn Machine) -> bool {
        let Some((vm, pager)) = self.vms.get(id).zip(self.pager.as_deref()) else {
            return false;
        };
        let held = self.block.as_ref().is_some_and(|layer| layer.holds(id));
        let may_go = may_leave(vm) && pager.transfers.has_room() && !pager.moves_pages(id) && !held;
        let limit = vm.memory_pages;
        let extent = vm.swap.map(|swap| swap.extent(limit));
        let Some(extent) = extent.filter(|_| may_go) else {
            return false;
        };
        let mut transfer = Box::new(Transfer::new(id, Kind::Leave, extent, limit));
        let Some(luggage) = self.pack(id, &mut transfer, machine) else {
            return false;
        };
        self.stop_running(id);
        self.depart(transfer, luggage, machine);
        true
    }

    /// Lists the frames of a VM that is to leave.
    ///
    /// Returns `None` if there is no memory for what it takes to write them.
    fn pack(
        &mut self,
        id: VmId,
        transfer: &mut Transfer,
        machine: &mut dyn Machine,
    ) -> Option<Luggage> {
        let vm = self.vms.get(id)?;
        let pager = self.pager.as_deref_mut()?;
        let (space, count) = (vm.space, vm.frames.count());
        let known = pager.directories.get(&id.index());
        let most = count + known.map_or(0, Directory::absent);
        let room = u32_to_usize(count);
        let mut luggage = Luggage::default();
        luggage.pages.try_reserve_exact(room).ok()?;
        luggage.clean.try_reserve_exact(room).ok()?;
        let blocks = room + u32_to_usize(map_blocks(most));
        transfer.blocks.try_reserve_exact(blocks).ok()?;
        for (frame, _, usage) in self.frames.frames_of(&vm.frames) {
            let page = match usage {
                FrameUse::Context => CONTEXT_PAGE,
                FrameUse::Console => CONSOLE_PAGE,
                FrameUse::Page(page) => page,
                FrameUse::Table => {
                    luggage.tables += 1;
                    continue;
                }
                FrameUse::Root | FrameUse::Content(_) | FrameUse::Block => continue,
            };
            if !is_fixed(page)
                && known.is_some_and(|known| known.find(page).is_some())
                && is_clean(space, page, machine)
            {
                luggage.clean.push(frame);
            } else {
                luggage.pages.push((page, frame));
            }
        }
        // Root and tables are free before the map needs its frames.
        if map_blocks(most) > self.frames.free() + 1 + luggage.tables {
            return None;
        }
        let index = id.index();
        let mut directory = match pager.directories.remove(&index) {
            Some(directory) => directory,
            None => Directory::new(vm.memory_pages).ok()?,
        };
        if directory.reserve(luggage.pages.len()).is_err() {
            if directory.entries().is_empty() {
                return None;
            }
            pager.directories.insert(index, directory);
            return None;
        }
        transfer.directory = directory;
        // What a VM cannot be without comes first, then pages in their order; the last one is taken
        // first.
        let order = |&(page, _): &(Page, FrameId)| (!is_fixed(page), page);
        luggage
            .pages
            .sort_unstable_by_key(|entry| core::cmp::Reverse(order(entry)));
        Some(luggage)
    }

    /// Takes a VM's memory away: what is to be written becomes its transfer's, the rest free.
    fn depart(&mut self, mut transfer: Box<Transfer>, luggage: Luggage, machine: &mut dyn Machine) {
        let now = machine.now();
        let Some(vm) = self.vms.get_mut(transfer.vm) else {
            return;
        };
        machine.suspend_space(vm.space);
        let space = core::mem::replace(&mut vm.space, NO_SPACE);
        vm.registers = NOWHERE;
        vm.shared = NOWHERE;
        vm.console = NOWHERE;
        vm.counters.shared_pages = 0;
        let mut list = core::mem::take(&mut vm.frames);
        if let Some(swap) = &mut vm.swap {
            // At most; the map says how many in the end.
            let pages = luggage.pages.len() + luggage.clean.len();
            swap.resident = u32::try_from(pages).unwrap_or(u32::MAX);
            swap.entries = swap.resident + transfer.directory.absent();
            swap.tables = u16::try_from(luggage.tables).unwrap_or(u16::MAX);
            swap.residence = Residence::Leaving;
            swap.since = now;
            swap.wait = Wait::Nothing;
        }
        self.frames.give_back(space.root, &mut list);
        transfer.pages = luggage.pages;
        let Some(pager) = &mut self.pager else { return };
        let clean = u64::try_from(luggage.clean.len()).unwrap_or(0);
        pager.stats.pages_dropped += clean;
        pager.stats.departures += 1;
        pager.present.remove(&transfer.vm.index());
        pager.is_short_of_entries = false;
        let owner = Owner::Transfer(pager.transfers.next_index());
        for &(_, frame) in &transfer.pages {
            self.frames.hand_over(
                frame,
                &mut list,
                &mut transfer.frames,
                owner,
                FrameUse::Block,
            );
        }
        self.frames.give_back_all(&mut list, None);
        let known = u32::try_from(transfer.directory.entries().len()).unwrap_or(u32::MAX);
        let most = known + u32::try_from(transfer.pages.len()).unwrap_or(u32::MAX);
        for _ in 0..map_blocks(most) {
            let list = &mut transfer.frames;
            let frame = self
                .frames
                .take(owner, FrameUse::Block, list, Fill::ByOwner, machine);
            transfer.map.extend(frame);
        }
        pager.transfers.add(transfer);
    }

    /// Takes a VM out of everything that expects it in memory.
    fn stop_running(&mut self, id: VmId) {
        let Some(vm) = self.vms.get(id) else {
            return;
        };
        let (resume, was_ready) = match vm.state {
            VmState::Idle => (Resume::Idle, false),
            state => (Resume::Ready, state == VmState::Ready),
        };
        if was_ready {
            self.cease_ready(id);
        }
        if let Some(vm) = self.vms.get_mut(id) {
            vm.state = VmState::Dormant;
            if let Some(swap) = &mut vm.swap {
                swap.resume = resume;
            }
        }
    }

    /// Seals some pages, or the map, and writes what is sealed.
    pub(super) fn leave_step(
        &mut self,
        index: u32,
        transfer: &mut Transfer,
        machine: &mut dyn Machine,
    ) -> Result<Progress, DiskFull> {
        for _ in 0..STEP_BLOCKS {
            let Some((page, frame)) = transfer.pages.pop() else {
                break;
            };
            let sealed = self.seal_page(transfer, page, frame, Directory::take_slot, machine);
            match sealed {
                Ok(Some((seal, slot))) => {
                    transfer.directory.put(page, Some(slot), seal);
                    transfer.directory.set(page, true, false);
                }
                Ok(None) => {}
                Err(NoSlot) => return Ok(self.give_up(transfer, EndReason::DiskError, 0, machine)),
            }
        }
        if transfer.pages.is_empty() && !transfer.map.is_empty() {
            self.seal_map(transfer, machine);
        }
        Ok(match self.move_blocks(index, transfer, machine)? {
            Blocks::OnTheWay(progress) => progress,
            Blocks::Failed => self.write_elsewhere(transfer, machine),
            Blocks::Moved => self.left(transfer),
        })
    }

    /// Seals a page where it lies and lists it as a block, in the slot it has or in one that `take`
    /// takes; or drops it if it says nothing new, and returns nothing.
    pub(super) fn seal_page(
        &mut self,
        transfer: &mut Transfer,
        page: Page,
        frame: FrameId,
        take: impl FnOnce(&mut Directory) -> Option<u32>,
        machine: &mut dyn Machine,
    ) -> Result<Option<(Seal, u32)>, NoSlot> {
        let origin = self.origin(transfer.vm, page);
        let Pager {
            buffer,
            sealer,
            stats,
            directories,
            ..
        } = self.pager.as_deref_mut().ok_or(NoSlot)?;
        let directory = match transfer.kind {
            Kind::PageOut => directories.get_mut(&transfer.vm.index()).ok_or(NoSlot)?,
            _ => &mut transfer.directory,
        };
        machine.read_frame(frame, 0, buffer.as_mut_slice());
        if is_unchanged(origin, buffer, machine) {
            stats.pages_dropped += 1;
            directory.remove(page);
            self.frames.give_back(frame, &mut transfer.frames);
            return Ok(None);
        }
        let known = directory.find(page).filter(|entry| entry.has_slot());
        let slot = known.map(Entry::slot);
        let slot = slot.or_else(|| take(directory)).ok_or(NoSlot)?;
        let seal = sealer.seal(transfer.vm, page, buffer);
        machine.write_frame(frame, 0, buffer.as_slice());
        let block = Block::new(frame, page, transfer.map_room + slot);
        transfer.blocks.push(block);
        Ok(Some((seal, slot)))
    }

    /// Returns what a page of a VM was made from.
    fn origin(&self, id: VmId, page: Page) -> Origin {
        let Some(vm) = self.vms.get(id) else {
            return Origin::Unique;
        };
        match page {
            CONTEXT_PAGE | REGISTERS_PAGE => Origin::Unique,
            CONSOLE_PAGE | SHARED_PAGE => Origin::Zeros,
            _ => {
                let image = self.images.get(vm.image);
                let copied = image.and_then(|image| image.segments().copied_content(page));
                let original = image
                    .zip(copied)
                    .and_then(|(image, index)| image.frame(index));
                original.map_or(Origin::Zeros, Origin::Image)
            }
        }
    }

    /// Returns whether a page of a VM that is in a frame says nothing new.
    pub(crate) fn is_as_made(
        &self,
        id: VmId,
        page: Page,
        frame: FrameId,
        machine: &dyn Machine,
    ) -> bool {
        let mut block = [0; BLOCK_LEN];
        machine.read_frame(frame, 0, &mut block);
        is_unchanged(self.origin(id, page), &block, machine)
    }

    /// Seals the map of what was sealed, the last block first, and frees frames it does not need.
    fn seal_map(&mut self, transfer: &mut Transfer, machine: &mut dyn Machine) {
        let vm = self.vms.get_mut(transfer.vm);
        let Some((vm, pager)) = vm.zip(self.pager.as_deref_mut()) else {
            return;
        };
        let entries = transfer.directory.entries();
        let count = u32::try_from(entries.len()).unwrap_or(u32::MAX);
        let needed = map_blocks(count);
        let mut next = Seal::default();
        for (nth, &frame) in (0..needed).zip(&transfer.map).rev() {
            *pager.buffer = block_of(entries, nth, next);
            next = pager
                .sealer
                .seal(transfer.vm, map_page(nth), &mut pager.buffer);
            machine.write_frame(frame, 0, pager.buffer.as_slice());
        }
        let limit = vm.memory_pages;
        let Some(swap) = &mut vm.swap else { return };
        swap.entries = count;
        swap.resident = count - transfer.directory.absent();
        swap.first = u8::try_from(transfer.directory.first_run()).unwrap_or(u8::MAX);
        swap.root = next;
        let start = map_start(limit, count, swap.map_moved);
        for (nth, frame) in (0..).zip(core::mem::take(&mut transfer.map)) {
            if nth < needed {
                let block = Block::new(frame, map_page(nth), start + nth);
                transfer.blocks.push(block);
            } else {
                self.frames.give_back(frame, &mut transfer.frames);
            }
        }
    }

    /// Frees what was written.
    fn left(&mut self, transfer: &mut Transfer) -> Progress {
        self.frames.give_back_all(&mut transfer.frames, None);
        let Some(swap) = self
            .vms
            .get_mut(transfer.vm)
            .and_then(|vm| vm.swap.as_mut())
        else {
            return Progress::Over;
        };
        swap.residence = Residence::Out;
        if swap.standing == Standing::Admitted
            && let Some(pager) = &mut self.pager
        {
            pager.admitted.push_back(transfer.vm);
        }
        Progress::Over
    }

    /// Writes what failed to other slots, and the map, which says where, again.
    fn write_elsewhere(&mut self, transfer: &mut Transfer, machine: &mut dyn Machine) -> Progress {
        if !transfer.retry() {
            return self.give_up(transfer, EndReason::DiskError, 0, machine);
        }
        let (room, mut moved) = (transfer.map_room, 0);
        let mut map_failed = false;
        for block in &mut transfer.blocks {
            if block.place() < room {
                map_failed |= block.is_ready();
            } else {
                moved += u64::from(block.relocate(&mut transfer.directory, room));
            }
        }
        if let Some(pager) = &mut self.pager {
            pager.stats.blocks_retired += moved;
        }
        if let Some(swap) = self
            .vms
            .get_mut(transfer.vm)
            .and_then(|vm| vm.swap.as_mut())
            && map_failed
        {
            swap.map_moved = swap.map_moved.saturating_add(1);
        }
        if map_failed || moved > 0 {
            let pages = transfer
                .blocks
                .partition_point(|block| block.place() >= room);
            let map = transfer.blocks.split_off(pages);
            transfer.map = map.into_iter().map(|block| block.frame).collect();
        }
        Progress::More
    }
}

/// Returns whether a page is not the guest's to lose: the kernel looks at it while the VM is in
/// memory.
pub(crate) fn is_fixed(page: Page) -> bool {
    matches!(page, REGISTERS_PAGE | SHARED_PAGE) || page >= CONTEXT_PAGE
}

/// Returns whether a page was not written since it was mapped.
fn is_clean(space: Space, page: Page, machine: &mut dyn Machine) -> bool {
    let marks = machine.take_marks(space, page);
    marks.is_some_and(|Marks { modified, .. }| !modified)
}

/// What a page was made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// Nothing that could make it again.
    Unique,
    Zeros,
    /// The image's page in this frame.
    Image(FrameId),
}

/// Returns whether a VM may leave memory now.
fn may_leave(vm: &Vm) -> bool {
    let is_in = vm.swap.is_some_and(|swap| swap.residence == Residence::In);
    is_in && vm.state != VmState::Ended && !vm.awaits_nic && !vm.is_frozen()
}

/// Returns whether a block is what a page was made from.
fn is_unchanged(origin: Origin, block: &[u8; BLOCK_LEN], machine: &dyn Machine) -> bool {
    match origin {
        Origin::Unique => false,
        Origin::Zeros => is_zero(block),
        Origin::Image(original) => is_same(block, original, machine),
    }
}

fn is_zero(block: &[u8; BLOCK_LEN]) -> bool {
    block.chunks_exact(16).all(|chunk| chunk == [0; 16])
}

/// Returns whether a block is what a frame holds.
fn is_same(block: &[u8; BLOCK_LEN], frame: FrameId, machine: &dyn Machine) -> bool {
    const PART: usize = 256;
    let mut part = [0; PART];
    (0..)
        .step_by(PART)
        .zip(block.chunks_exact(PART))
        .all(|(offset, expected)| {
            machine.read_frame(frame, offset, &mut part);
            part == expected
        })
}
