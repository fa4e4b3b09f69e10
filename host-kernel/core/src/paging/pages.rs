//! Single pages from swap to VMs in memory.
//!
//! A page that is on swap alone is read when its VM touches it, or the kernel does for it, and with
//! it what lies beside it in its cluster. The VM waits meanwhile ([`VmState::Paging`]) and tries again
//! what it did; others run.

use super::Wait;
use super::entering::Obstacle;
use super::moving::Blocks;
use super::transfer::{Block, Kind, Progress, Transfer};
use crate::kernel::Kernel;
use crate::machine::disk::DiskFull;
use crate::machine::{FaultAccess, Machine, Page};
use crate::memory::frame::{Fill, FrameUse, Owner};
use crate::swap::map::Entry;
use crate::vm::{VmId, page_number};
use alloc::boxed::Box;
use denali_abi::control::VmState;
use denali_abi::convert::u32_to_usize;
use denali_abi::hypercall::{CONSOLE_WRITE_MAX, Hypercall, RANDOM_MAX};
use denali_abi::layout::{GUEST_END, PAGE_SIZE};

impl Kernel {
    /// Lets a VM wait for the page at `address`, which is on swap, until it tries again.
    pub(crate) fn await_page(&mut self, id: VmId, address: u64, machine: &mut dyn Machine) {
        self.page_in(id, address, machine);
        self.await_moves(id);
    }

    /// Lets a VM wait until pages of it were moved.
    fn await_moves(&mut self, id: VmId) {
        let is_ready = |state| state == VmState::Ready;
        if !self.vms.get(id).is_some_and(|vm| is_ready(vm.state)) {
            return;
        }
        self.cease_ready(id);
        let Some((vm, pager)) = self.vms.get_mut(id).zip(self.pager.as_deref_mut()) else {
            return;
        };
        vm.state = VmState::Paging;
        pager.stats.faults += 1;
        if pager.moves_pages(id) {
            if let Some(swap) = &mut vm.swap {
                swap.wait = Wait::Page;
            }
        } else {
            // Nothing could be asked for: it tries again when there is memory.
            pager.stalled.push_back(id);
        }
    }

    /// Returns whether a page of a VM in memory is on swap alone.
    pub(crate) fn is_away(&self, id: VmId, page: Page) -> bool {
        let pager = self.pager.as_deref();
        let known = pager.and_then(|pager| pager.directories.get(&id.index()));
        known.is_some_and(|known| known.find(page).is_some())
    }

    /// Asks for the page at `address` of a VM, if nobody has yet, and those beside it.
    pub(crate) fn page_in(&mut self, id: VmId, address: u64, machine: &mut dyn Machine) {
        let page = Page(page_number(address));
        let room = self.spare().min(self.frames.free());
        let (vm, pager) = (self.vms.get_mut(id), self.pager.as_deref_mut());
        let Some((vm, pager)) = vm.zip(pager) else {
            return;
        };
        let Some(extent) = vm.swap.map(|swap| swap.extent(vm.memory_pages)) else {
            return;
        };
        let Some(directory) = pager.directories.get_mut(&id.index()) else {
            return;
        };
        let mut entries = directory.cluster_of(page, self.policies.cluster);
        let is_asked = !entries.iter().any(|entry| entry.page() == page);
        if is_asked || room == 0 || !pager.transfers.has_room_for_pages() {
            return;
        }
        // Reading ahead is for when there is memory.
        if entries.len() > u32_to_usize(room / 2) {
            entries.retain(|entry| entry.page() == page);
        }
        let mut transfer = Box::new(Transfer::new(id, Kind::PageIn, extent, vm.memory_pages));
        let owner = Owner::Transfer(pager.transfers.next_index());
        for entry in &entries {
            let list = &mut transfer.frames;
            let frame = self
                .frames
                .take(owner, FrameUse::Block, list, Fill::ByOwner, machine);
            let Some(frame) = frame else { break };
            directory.set(entry.page(), false, true);
            let place = transfer.map_room + entry.slot();
            transfer.blocks.push(Block::new(frame, entry.page(), place));
        }
        transfer.wanted = Some(page);
        pager.begin_pages(transfer);
    }

    /// Reads, then opens and places pages.
    pub(super) fn page_in_step(
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
        while let Some(&block) = transfer.blocks.get(transfer.placed) {
            match self.place_page(transfer, block, machine) {
                Ok(()) => transfer.placed += 1,
                Err(Obstacle::NoFrame) => return Ok(Progress::More),
                Err(Obstacle::Corrupt(page)) => return Ok(self.corrupt(transfer, page, machine)),
            }
        }
        self.paged_in(transfer, machine);
        Ok(Progress::Over)
    }

    /// Gives a page back to its VM, unless the VM gave it up meanwhile.
    fn place_page(
        &mut self,
        transfer: &mut Transfer,
        block: Block,
        machine: &mut dyn Machine,
    ) -> Result<(), Obstacle> {
        let pager = self.pager.as_deref().ok_or(Obstacle::NoFrame)?;
        let directory = pager.directories.get(&transfer.vm.index());
        let entry = directory.and_then(|directory| directory.find(block.page));
        let Some(entry) = entry.copied().filter(Entry::is_moving) else {
            self.frames.give_back(block.frame, &mut transfer.frames);
            return Ok(());
        };
        self.place(transfer, &entry, block.frame, machine)?;
        let Some((vm, pager)) = self.vms.get_mut(transfer.vm).zip(self.pager.as_deref_mut()) else {
            return Ok(());
        };
        if transfer.wanted == Some(block.page) {
            machine.touch(vm.space, block.page, FaultAccess::Read);
        }
        vm.counters.page_ins = vm.counters.page_ins.saturating_add(1);
        pager.stats.page_ins += 1;
        if let Some(directory) = pager.directories.get_mut(&transfer.vm.index()) {
            directory.set(block.page, true, false);
        }
        Ok(())
    }

    fn paged_in(&mut self, transfer: &Transfer, machine: &mut dyn Machine) {
        let id = transfer.vm;
        if let Some(mut view) = self.view(id, machine) {
            view.publish_resident();
        }
    }

    /// Returns whether a call has to wait for pages: those its arguments name, which the kernel looks
    /// at in one go, or if it gives pages back, those that are on their way.
    pub(crate) fn waits_for_pages(
        &mut self,
        id: VmId,
        number: u64,
        arguments: [u64; 6],
        machine: &mut dyn Machine,
    ) -> bool {
        let Some(space) = self.vms.get(id).map(|vm| vm.space) else {
            return false;
        };
        let [address, length, ..] = arguments;
        let most = match Hypercall::from_number(number) {
            Some(Hypercall::ConsoleWrite) => CONSOLE_WRITE_MAX,
            Some(Hypercall::Random) => RANDOM_MAX,
            Some(Hypercall::ReleaseMemory) => {
                let pager = self.pager.as_ref();
                let moves = pager.is_some_and(|pager| pager.moves_pages(id));
                if moves {
                    machine.repeat_call(space, number);
                    self.await_moves(id);
                }
                return moves;
            }
            _ => return false,
        };
        let away = self.first_away(id, address, length.min(most), machine);
        if let Some(address) = away {
            machine.repeat_call(space, number);
            self.await_page(id, address, machine);
        }
        away.is_some()
    }

    /// Returns the first address in a range whose page is on swap alone.
    pub(crate) fn first_away(
        &self,
        id: VmId,
        address: u64,
        length: u64,
        machine: &dyn Machine,
    ) -> Option<u64> {
        let space = self.vms.get(id)?.space;
        let directory = self.pager.as_deref()?.directories.get(&id.index())?;
        if directory.absent() == 0 || length == 0 {
            return None;
        }
        let end = address
            .checked_add(length)
            .filter(|&end| end <= GUEST_END)?;
        let pages = page_number(address)..=page_number(end - 1);
        let away = |&page: &u32| {
            let is_known = directory.find(Page(page)).is_some();
            is_known && machine.lookup(space, Page(page)).is_none()
        };
        let page = pages.into_iter().find(away)?;
        Some(u64::from(page) * PAGE_SIZE)
    }

    /// Lets a VM go on that waits for pages, when some were moved.
    pub(super) fn pages_moved(&mut self, id: VmId) {
        let Some(pager) = &mut self.pager else {
            return;
        };
        pager.end_pages(id);
        let Some(vm) = self.vms.get_mut(id) else {
            return;
        };
        let waits = |swap: &&mut super::Swap| swap.wait == Wait::Page;
        if let Some(swap) = vm.swap.as_mut().filter(waits)
            && vm.state == VmState::Paging
        {
            swap.wait = Wait::Nothing;
            vm.state = VmState::Ready;
            self.become_ready(id);
        }
    }
}
