//! From swap to memory.
//!
//! The map and what lies behind it are read in one go; when the map is opened, it says what else is
//! to come: with working-set paging all that was in memory when the VM left, without it the few
//! pages it cannot be without. Each page is opened by its seal, and the address space is made anew
//! around them; the rest comes when it is touched. A block that does not open ends the VM, and nobody
//! else.

use super::birth::Birth;
use super::leaving::is_fixed;
use super::moving::{Blocks, STEP_BLOCKS};
use super::transfer::{Block, Kind, Progress, Transfer};
use super::{NO_SPACE, Residence, Resume};
use crate::kernel::Kernel;
use crate::machine::disk::DiskFull;
use crate::machine::{FrameId, Machine, Page, Space};
use crate::memory::address_space::{REGISTERS_PAGE, SHARED_PAGE};
use crate::memory::frame::{Fill, FrameUse, Owner};
use crate::policy::WorkingSets;
use crate::swap::directory::{Directory, NoRoom};
use crate::swap::map::{
    CONSOLE_PAGE, CONTEXT_PAGE, Entry, map_blocks, map_page, map_start, read_block,
};
use crate::swap::seal::{Corrupt, Seal};
use crate::vm::{FIXED_FRAMES, VmId};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use denali_abi::control::VmState;
use denali_abi::convert::u32_to_usize;
use denali_abi::end::EndReason;
use denali_abi::layout::PAGE_SIZE;

/// Why a page cannot be placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Obstacle {
    /// What was read is not what was written (the page).
    Corrupt(Page),
    /// There is no frame, or no memory for what is known of it, at the moment.
    NoFrame,
}

impl From<NoRoom> for Obstacle {
    fn from(_: NoRoom) -> Self {
        Self::NoFrame
    }
}

impl Kernel {
    /// Begins to bring an admitted VM in. Returns whether there is memory for it.
    pub(super) fn enter(&mut self, id: VmId, machine: &mut dyn Machine) -> bool {
        if self.vms.get(id).is_some_and(|vm| vm.birth == Birth::Ahead) {
            return self.bring_forth(id, machine);
        }
        let spare = self.spare();
        let working_sets = self.policies.working_sets;
        let Some((vm, pager)) = self.vms.get_mut(id).zip(self.pager.as_deref_mut()) else {
            return true;
        };
        let limit = vm.memory_pages;
        let Some(swap) = &mut vm.swap else {
            return true;
        };
        let frames = swap.frames_to_enter(working_sets);
        let fits = frames.saturating_add(pager.marks.min) <= spare;
        pager.is_short_of_entries = false;
        if !fits || !pager.transfers.has_room() {
            return false;
        }
        pager.is_short_of_entries = !pager.has_entries_for(swap.entries);
        if pager.is_short_of_entries {
            return false;
        }
        let mut transfer = Box::new(Transfer::new(id, Kind::Enter, swap.extent(limit), limit));
        let first = swap.first_blocks(working_sets);
        let (map, rest) = (map_blocks(swap.entries), swap.pages_to_enter(working_sets));
        let room = u32_to_usize(map + rest);
        let blocks = transfer.blocks.try_reserve_exact(room);
        if blocks.is_err() || transfer.reserve.try_reserve_exact(room).is_err() {
            return false;
        }
        let start = map_start(limit, swap.entries, swap.map_moved);
        let places = (0..map).map(|nth| (map_page(nth), start + nth));
        let room = transfer.map_room;
        // Which pages these are is not known yet.
        let places = places.chain((0..first).map(|slot| (CONTEXT_PAGE, room + slot)));
        let owner = Owner::Transfer(pager.transfers.next_index());
        let list = &mut transfer.frames;
        let take = || {
            self.frames
                .take(owner, FrameUse::Block, list, Fill::ByOwner, machine)
        };
        let frames = core::iter::repeat_with(take).take(u32_to_usize(map + rest));
        transfer.reserve.extend(frames.flatten());
        for (page, place) in places {
            let frame = transfer.reserve.pop();
            let block = frame.map(|frame| Block::new(frame, page, place));
            transfer.blocks.extend(block);
        }
        swap.residence = Residence::Entering;
        pager.transfers.add(transfer);
        true
    }

    /// Reads, then opens some blocks.
    pub(super) fn enter_step(
        &mut self,
        index: u32,
        transfer: &mut Transfer,
        machine: &mut dyn Machine,
    ) -> Result<Progress, DiskFull> {
        match self.move_blocks(index, transfer, machine)? {
            Blocks::OnTheWay(progress) => return Ok(progress),
            Blocks::Failed => return Ok(self.read_again(transfer, machine)),
            Blocks::Moved => {}
        }
        match self.open_some(transfer, machine) {
            Ok(()) if transfer.is_mapped && transfer.placed == transfer.blocks.len() => {
                Ok(self.entered(transfer, machine))
            }
            Ok(()) | Err(Obstacle::NoFrame) => Ok(Progress::More),
            Err(Obstacle::Corrupt(page)) => Ok(self.corrupt(transfer, page, machine)),
        }
    }

    /// Ends a VM of which a block is not what was written.
    pub(super) fn corrupt(
        &mut self,
        transfer: &mut Transfer,
        page: Page,
        machine: &mut dyn Machine,
    ) -> Progress {
        if let Some(pager) = &mut self.pager {
            pager.stats.corrupt += 1;
        }
        let at = u64::from(page.0) * PAGE_SIZE;
        self.give_up(transfer, EndReason::SwapCorrupt, at, machine)
    }

    fn open_some(
        &mut self,
        transfer: &mut Transfer,
        machine: &mut dyn Machine,
    ) -> Result<(), Obstacle> {
        if !transfer.is_mapped {
            self.open_map(transfer, machine)?;
            return self.ask_for_the_rest(transfer);
        }
        if self
            .vms
            .get(transfer.vm)
            .is_some_and(|vm| vm.space == NO_SPACE)
        {
            self.make_space(transfer, machine)?;
        }
        for _ in 0..STEP_BLOCKS {
            let Some(&block) = transfer.blocks.get(transfer.placed) else {
                break;
            };
            let entry = transfer.directory.find(block.page).copied();
            let entry = entry.ok_or(Obstacle::Corrupt(block.page))?;
            self.place(transfer, &entry, block.frame, machine)?;
            transfer.placed += 1;
        }
        Ok(())
    }

    /// Opens the map and frees its frames.
    fn open_map(
        &mut self,
        transfer: &mut Transfer,
        machine: &mut dyn Machine,
    ) -> Result<(), Obstacle> {
        let vm = self.vms.get(transfer.vm);
        let vm = vm.and_then(|vm| Some((vm.swap?, vm.memory_pages)));
        let Some(((swap, limit), pager)) = vm.zip(self.pager.as_deref_mut()) else {
            return Err(Obstacle::NoFrame);
        };
        let mut next: Seal = swap.root;
        let mut entries = Vec::new();
        let count = u32_to_usize(swap.entries);
        entries
            .try_reserve_exact(count)
            .map_err(|_| Obstacle::NoFrame)?;
        let mut directory = Directory::new(limit)?;
        let map = u32_to_usize(map_blocks(swap.entries));
        for (nth, block) in (0..).zip(transfer.blocks.iter().take(map)) {
            machine.read_frame(block.frame, 0, pager.buffer.as_mut_slice());
            let opened = pager
                .sealer
                .open(transfer.vm, map_page(nth), &next, &mut pager.buffer);
            opened.map_err(|Corrupt| Obstacle::Corrupt(map_page(nth)))?;
            next = read_block(&pager.buffer, swap.entries, &mut entries);
        }
        for block in transfer.blocks.drain(..map.min(transfer.blocks.len())) {
            self.frames.give_back(block.frame, &mut transfer.frames);
        }
        if self.policies.working_sets == WorkingSets::Off {
            for entry in &mut entries {
                entry.set_resident(is_fixed(entry.page()));
            }
        }
        directory.fill(entries);
        transfer.directory = directory;
        transfer.is_mapped = true;
        Ok(())
    }

    /// Finds out which page each block holds that was read with the map, and asks for the others that
    /// are to come in.
    fn ask_for_the_rest(&mut self, transfer: &mut Transfer) -> Result<(), Obstacle> {
        let wanted = transfer.directory.entries().iter();
        let mut wanted: Vec<(u32, Page)> = wanted
            .filter(|entry| entry.is_resident())
            .map(|entry| (transfer.map_room + entry.slot(), entry.page()))
            .collect();
        wanted.sort_unstable();
        let mut read: VecDeque<Block> = core::mem::take(&mut transfer.blocks).into();
        for (place, page) in wanted {
            while let Some(block) = read.pop_front_if(|block| block.place() < place) {
                transfer.reserve.push(block.frame);
            }
            if let Some(block) = read.pop_front_if(|block| block.place() == place) {
                transfer.blocks.push(block.holding(page));
                continue;
            }
            // A map that opens has as many pages as were said to come.
            let frame = transfer.reserve.pop().ok_or(Obstacle::Corrupt(page))?;
            transfer.blocks.push(Block::new(frame, page, place));
        }
        transfer
            .reserve
            .extend(read.into_iter().map(|block| block.frame));
        for frame in core::mem::take(&mut transfer.reserve) {
            self.frames.give_back(frame, &mut transfer.frames);
        }
        transfer.look_again();
        Ok(())
    }

    /// Makes an address space around the register context, and the fixed frames that were zero.
    fn make_space(
        &mut self,
        transfer: &mut Transfer,
        machine: &mut dyn Machine,
    ) -> Result<(), Obstacle> {
        if self.frames.free() < FIXED_FRAMES {
            return Err(Obstacle::NoFrame);
        }
        let is_context = |block: &Block| block.page == CONTEXT_PAGE;
        let at = transfer.blocks.iter().position(is_context);
        let at = at.ok_or(Obstacle::Corrupt(CONTEXT_PAGE))?;
        let entry = transfer.directory.find(CONTEXT_PAGE).copied();
        let entry = entry.ok_or(Obstacle::Corrupt(CONTEXT_PAGE))?;
        let frame = transfer.blocks.swap_remove(at).frame;
        self.open(transfer.vm, &entry, frame, machine)?;
        let vm = self.vms.get_mut(transfer.vm).ok_or(Obstacle::NoFrame)?;
        let owner = Owner::Vm(vm.id.index());
        let list = &mut vm.frames;
        let root = self
            .frames
            .take(owner, FrameUse::Root, list, Fill::Zero, machine);
        let root = root.ok_or(Obstacle::NoFrame)?;
        self.frames
            .hand_over(frame, &mut transfer.frames, list, owner, FrameUse::Context);
        vm.space = Space {
            root,
            context: frame,
        };
        machine.resume_space(vm.space);
        for usage in [FrameUse::Page(SHARED_PAGE), FrameUse::Console] {
            let page = match usage {
                FrameUse::Console => CONSOLE_PAGE,
                _ => SHARED_PAGE,
            };
            if transfer.directory.find(page).is_none() {
                let frame = self
                    .frames
                    .take(owner, usage, &mut vm.frames, Fill::Zero, machine);
                let frame = frame.ok_or(Obstacle::NoFrame)?;
                match usage {
                    FrameUse::Console => vm.console = frame,
                    _ => vm.shared = frame,
                }
            }
        }
        Ok(())
    }

    /// Decrypts a block where it lies.
    pub(super) fn open(
        &mut self,
        id: VmId,
        entry: &Entry,
        frame: FrameId,
        machine: &mut dyn Machine,
    ) -> Result<(), Obstacle> {
        let pager = self.pager.as_deref_mut().ok_or(Obstacle::NoFrame)?;
        let page = entry.page();
        machine.read_frame(frame, 0, pager.buffer.as_mut_slice());
        let opened = pager.sealer.open(id, page, &entry.seal, &mut pager.buffer);
        opened.map_err(|Corrupt| Obstacle::Corrupt(page))?;
        machine.write_frame(frame, 0, pager.buffer.as_slice());
        Ok(())
    }

    /// Opens a block and gives it back its place in the VM.
    pub(super) fn place(
        &mut self,
        transfer: &mut Transfer,
        entry: &Entry,
        frame: FrameId,
        machine: &mut dyn Machine,
    ) -> Result<(), Obstacle> {
        let page = entry.page();
        // Mapped first: if there is no frame for a page table, the block is as it was.
        if page != CONSOLE_PAGE {
            let mut view = self.view(transfer.vm, machine).ok_or(Obstacle::NoFrame)?;
            view.restore(page, frame).map_err(|_| Obstacle::NoFrame)?;
        }
        self.open(transfer.vm, entry, frame, machine)?;
        let vm = self.vms.get_mut(transfer.vm).ok_or(Obstacle::NoFrame)?;
        let owner = Owner::Vm(vm.id.index());
        let usage = match page {
            CONSOLE_PAGE => FrameUse::Console,
            page => FrameUse::Page(page),
        };
        self.frames
            .hand_over(frame, &mut transfer.frames, &mut vm.frames, owner, usage);
        match page {
            CONSOLE_PAGE => vm.console = frame,
            REGISTERS_PAGE => vm.registers = frame,
            SHARED_PAGE => vm.shared = frame,
            _ => {}
        }
        Ok(())
    }

    /// Lets a VM that is in memory again go on.
    fn entered(&mut self, transfer: &mut Transfer, machine: &mut dyn Machine) -> Progress {
        let (id, now) = (transfer.vm, machine.now());
        if let Some(mut view) = self.view(id, machine) {
            view.publish_resident();
        }
        let Some((vm, pager)) = self.vms.get_mut(id).zip(self.pager.as_deref_mut()) else {
            return Progress::Over;
        };
        let Some(swap) = &mut vm.swap else {
            return Progress::Over;
        };
        let directory = core::mem::take(&mut transfer.directory);
        pager.directories.insert(id.index(), directory);
        pager.arrived(id, swap, now);
        match swap.resume {
            Resume::Idle => vm.state = VmState::Idle,
            Resume::Ready => {
                vm.state = VmState::Ready;
                self.become_ready(id);
            }
        }
        self.hand_out_held(id, machine);
        if self
            .vms
            .get(id)
            .and_then(|vm| vm.deadline)
            .is_some_and(|deadline| deadline <= now)
        {
            self.wake(id);
        }
        Progress::Over
    }

    /// Ends a VM that cannot be brought in.
    pub(super) fn give_up(
        &mut self,
        transfer: &mut Transfer,
        reason: EndReason,
        detail: u64,
        machine: &mut dyn Machine,
    ) -> Progress {
        transfer.abandoned = true;
        self.end_vm(transfer.vm, reason, detail, machine);
        Progress::More
    }
}
