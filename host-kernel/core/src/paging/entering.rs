//! From swap to memory.
//!
//! All blocks are read at once, in the order in which they were written. When they are there the map
//! is opened, then each page by its seal, and the address space is made anew around them. A block
//! that does not open ends the VM, and nobody else.

use super::birth::Birth;
use super::transfer::{ATTEMPTS_MAX, Direction, Progress, STEP_BLOCKS, Transfer};
use super::{NO_SPACE, Residence, Resume};
use crate::kernel::Kernel;
use crate::machine::disk::DiskFull;
use crate::machine::{FrameId, Machine, Page, Space};
use crate::memory::address_space::{REGISTERS_PAGE, SHARED_PAGE};
use crate::memory::frame::{Fill, FrameUse, Owner};
use crate::swap::map::{CONSOLE_PAGE, CONTEXT_PAGE, Entry, map_page, read_block};
use crate::swap::seal::{Corrupt, Seal};
use crate::vm::{FIXED_FRAMES, VmId};
use alloc::boxed::Box;
use alloc::vec::Vec;
use denali_abi::control::VmState;
use denali_abi::convert::u32_to_usize;
use denali_abi::end::EndReason;
use denali_abi::layout::PAGE_SIZE;

/// Why a page cannot be placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Obstacle {
    /// What was read is not what was written (the page).
    Corrupt(Page),
    /// There is no frame for a table at the moment.
    NoFrame,
}

impl Kernel {
    /// Begins to bring an admitted VM in. Returns whether there is memory for it.
    pub(super) fn enter(&mut self, id: VmId, machine: &mut dyn Machine) -> bool {
        if self.vms.get(id).is_some_and(|vm| vm.birth == Birth::Ahead) {
            return self.bring_forth(id, machine);
        }
        let spare = self.spare();
        let Some((vm, pager)) = self.vms.get_mut(id).zip(self.pager.as_deref_mut()) else {
            return true;
        };
        let limit = vm.memory_pages;
        let Some(swap) = &mut vm.swap else {
            return true;
        };
        let fits = swap.frames_needed().saturating_add(pager.marks.min) <= spare;
        if !fits || !pager.transfers.has_room() {
            return false;
        }
        let mut transfer = Box::new(Transfer::new(id, Direction::In, swap.extent(limit)));
        let count = u32_to_usize(swap.blocks());
        if transfer.blocks.try_reserve_exact(count).is_err() {
            return false;
        }
        let owner = Owner::Transfer(pager.transfers.next_index());
        let list = &mut transfer.frames;
        let take = || {
            self.frames
                .take(owner, FrameUse::Block, list, Fill::ByOwner, machine)
        };
        transfer
            .blocks
            .extend(core::iter::repeat_with(take).take(count).flatten());
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
        if let Some(pager) = &mut self.pager {
            pager.request(index, transfer, machine)?;
        }
        if transfer.has_failed() && !transfer.is_under_way() {
            if transfer.attempts < ATTEMPTS_MAX {
                transfer.restart(transfer.extent);
                return Ok(Progress::More);
            }
            return Ok(self.give_up(transfer, EndReason::DiskError, 0, machine));
        }
        if !transfer.is_moved() {
            return Ok(Progress::Waits);
        }
        match self.open_some(transfer, machine) {
            Ok(()) if transfer.placed == transfer.entries.len() => {
                Ok(self.entered(transfer, machine))
            }
            Ok(()) | Err(Obstacle::NoFrame) => Ok(Progress::More),
            Err(Obstacle::Corrupt(page)) => {
                if let Some(pager) = &mut self.pager {
                    pager.stats.corrupt += 1;
                }
                let at = u64::from(page.0) * PAGE_SIZE;
                Ok(self.give_up(transfer, EndReason::SwapCorrupt, at, machine))
            }
        }
    }

    fn open_some(
        &mut self,
        transfer: &mut Transfer,
        machine: &mut dyn Machine,
    ) -> Result<(), Obstacle> {
        if transfer.entries.is_empty() {
            self.open_map(transfer, machine)?;
        }
        if self
            .vms
            .get(transfer.vm)
            .is_some_and(|vm| vm.space == NO_SPACE)
        {
            self.make_space(transfer, machine)?;
        }
        for _ in 0..STEP_BLOCKS {
            let entry = transfer.entries.get(transfer.placed).copied();
            let Some((entry, &frame)) = entry.zip(transfer.blocks.get(transfer.placed)) else {
                break;
            };
            self.place(transfer, &entry, frame, machine)?;
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
        let vm = self.vms.get(transfer.vm).and_then(|vm| vm.swap);
        let Some((swap, pager)) = vm.zip(self.pager.as_deref_mut()) else {
            return Err(Obstacle::NoFrame);
        };
        let mut next: Seal = swap.root;
        let map = transfer.blocks.split_off(u32_to_usize(swap.entries));
        let mut entries = Vec::new();
        if entries
            .try_reserve_exact(u32_to_usize(swap.entries))
            .is_err()
        {
            transfer.blocks.extend(map);
            return Err(Obstacle::NoFrame);
        }
        for (nth, &frame) in (0..).zip(&map) {
            machine.read_frame(frame, 0, pager.buffer.as_mut_slice());
            let opened = pager
                .sealer
                .open(transfer.vm, map_page(nth), &next, &mut pager.buffer);
            opened.map_err(|Corrupt| Obstacle::Corrupt(map_page(nth)))?;
            next = read_block(&pager.buffer, swap.entries, &mut entries);
        }
        for frame in map {
            self.frames.give_back(frame, &mut transfer.frames);
        }
        transfer.entries = entries;
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
        let at = transfer
            .entries
            .iter()
            .position(|entry| Page(entry.page) == CONTEXT_PAGE);
        let at = at.ok_or(Obstacle::Corrupt(CONTEXT_PAGE))?;
        let entry = transfer.entries.swap_remove(at);
        let frame = transfer.blocks.swap_remove(at);
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
            let written = |entry: &Entry| match usage {
                FrameUse::Console => Page(entry.page) == CONSOLE_PAGE,
                _ => Page(entry.page) == SHARED_PAGE,
            };
            if !transfer.entries.iter().any(written) {
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
    fn open(
        &mut self,
        id: VmId,
        entry: &Entry,
        frame: FrameId,
        machine: &mut dyn Machine,
    ) -> Result<(), Obstacle> {
        let pager = self.pager.as_deref_mut().ok_or(Obstacle::NoFrame)?;
        let page = Page(entry.page);
        machine.read_frame(frame, 0, pager.buffer.as_mut_slice());
        let opened = pager.sealer.open(id, page, &entry.seal, &mut pager.buffer);
        opened.map_err(|Corrupt| Obstacle::Corrupt(page))?;
        machine.write_frame(frame, 0, pager.buffer.as_slice());
        Ok(())
    }

    /// Opens a block and gives it back its place in the VM.
    fn place(
        &mut self,
        transfer: &mut Transfer,
        entry: &Entry,
        frame: FrameId,
        machine: &mut dyn Machine,
    ) -> Result<(), Obstacle> {
        let page = Page(entry.page);
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
    fn entered(&mut self, transfer: &Transfer, machine: &mut dyn Machine) -> Progress {
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
    fn give_up(
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
