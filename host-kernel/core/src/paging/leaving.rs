//! From memory to swap.
//!
//! Page tables and the image's pages go at once: both can be made again. Of a VM's own pages those
//! that are still what they were made from (zeros, or a page of the image) are dropped; the others,
//! the register context, the registers page, the shared page and the console are sealed where they
//! lie and written to the start of the extent, one behind the other, the map last. Frames are freed
//! when all of it is written; if a write fails, all is written again to another extent.

use super::transfer::{ATTEMPTS_MAX, Direction, Progress, STEP_BLOCKS, Transfer};
use super::{NO_SPACE, NOWHERE, Pager, Residence, Resume, Standing};
use crate::kernel::Kernel;
use crate::machine::disk::DiskFull;
use crate::machine::{FrameId, Machine, Page};
use crate::memory::address_space::{REGISTERS_PAGE, SHARED_PAGE};
use crate::memory::frame::{Fill, FrameList, FrameUse, Owner};
use crate::swap::BLOCK_LEN;
use crate::swap::map::{CONSOLE_PAGE, CONTEXT_PAGE, Entry, block_of, map_blocks, map_page};
use crate::swap::seal::Seal;
use crate::vm::{Vm, VmId};
use alloc::boxed::Box;
use alloc::vec::Vec;
use denali_abi::control::VmState;
use denali_abi::convert::u32_to_usize;
use denali_abi::end::EndReason;

impl Kernel {
    /// Sends a VM out of memory. Returns whether it goes; if not, nothing changed.
    pub(super) fn leave(&mut self, id: VmId, machine: &mut dyn Machine) -> bool {
        let now = machine.now();
        let Some((vm, pager)) = self.vms.get_mut(id).zip(self.pager.as_deref_mut()) else {
            return false;
        };
        let may_go = may_leave(vm) && pager.transfers.has_room();
        let extent = vm.swap.map(|swap| swap.extent(vm.memory_pages));
        let Some(extent) = extent.filter(|_| may_go) else {
            return false;
        };
        let mut transfer = Box::new(Transfer::new(id, Direction::Out, extent));
        let Some(tables) = self.collect(id, &mut transfer) else {
            return false;
        };
        self.stop_running(id);
        let Some(vm) = self.vms.get_mut(id) else {
            return false;
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
            swap.entries = u32::try_from(transfer.pages.len()).unwrap_or(u32::MAX);
            swap.tables = tables;
            swap.residence = Residence::Leaving;
            swap.since = now;
        }
        self.frames.give_back(space.root, &mut list);
        self.seize(&mut list, &mut transfer, machine);
        if let Some(pager) = &mut self.pager {
            pager.transfers.add(transfer);
            pager.stats.departures += 1;
        }
        true
    }

    /// Lists the frames of a VM that is to leave, and returns how many page tables it has.
    ///
    /// Returns `None` if there is no memory for what it takes to write them.
    fn collect(&self, id: VmId, transfer: &mut Transfer) -> Option<u32> {
        let vm = self.vms.get(id)?;
        let count = vm.frames.count();
        let room = u32_to_usize(count);
        transfer.pages.try_reserve_exact(room).ok()?;
        transfer
            .blocks
            .try_reserve_exact(room + u32_to_usize(map_blocks(count)))
            .ok()?;
        transfer.entries.try_reserve_exact(room).ok()?;
        let mut tables = 0;
        for (frame, _, usage) in self.frames.frames_of(&vm.frames) {
            match usage {
                FrameUse::Context => transfer.pages.push((CONTEXT_PAGE, frame)),
                FrameUse::Console => transfer.pages.push((CONSOLE_PAGE, frame)),
                FrameUse::Page(page) => transfer.pages.push((page, frame)),
                FrameUse::Table => tables += 1,
                FrameUse::Root | FrameUse::Content(_) | FrameUse::Block => {}
            }
        }
        // What the guest begins with comes first, and pages in their order.
        transfer
            .pages
            .sort_unstable_by_key(|&(page, _)| core::cmp::Reverse(page));
        // Root and tables are free before the map needs its frames.
        (map_blocks(count) <= self.frames.free() + 1 + tables).then_some(tables)
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

    /// Frees the page tables of a VM and moves its other frames to its transfer.
    fn seize(&mut self, list: &mut FrameList, transfer: &mut Transfer, machine: &mut dyn Machine) {
        let Some(pager) = &self.pager else { return };
        let owner = Owner::Transfer(pager.transfers.next_index());
        for &(_, frame) in &transfer.pages {
            self.frames
                .hand_over(frame, list, &mut transfer.frames, owner, FrameUse::Block);
        }
        self.frames.give_back_all(list, None);
        let most = u32::try_from(transfer.pages.len()).unwrap_or(u32::MAX);
        for _ in 0..map_blocks(most) {
            let list = &mut transfer.frames;
            let frame = self
                .frames
                .take(owner, FrameUse::Block, list, Fill::ByOwner, machine);
            transfer.map.extend(frame);
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
            self.seal_page(transfer, page, frame, machine);
        }
        if transfer.pages.is_empty() && !transfer.map.is_empty() {
            self.seal_map(transfer, machine);
        }
        if let Some(pager) = &mut self.pager {
            pager.request(index, transfer, machine)?;
        }
        if !transfer.pages.is_empty() {
            Ok(Progress::More)
        } else if transfer.is_moved() {
            Ok(self.left(transfer))
        } else if transfer.has_failed() && !transfer.is_under_way() {
            Ok(self.write_elsewhere(transfer, machine))
        } else {
            Ok(Progress::Waits)
        }
    }

    /// Seals a page where it lies, or drops it if it says nothing new.
    fn seal_page(
        &mut self,
        transfer: &mut Transfer,
        page: Page,
        frame: FrameId,
        machine: &mut dyn Machine,
    ) {
        let origin = self.origin(transfer.vm, page);
        let Some(pager) = &mut self.pager else { return };
        let Pager {
            buffer,
            sealer,
            stats,
            ..
        } = pager.as_mut();
        machine.read_frame(frame, 0, buffer.as_mut_slice());
        let unchanged = match origin {
            Origin::Unique => false,
            Origin::Zeros => is_zero(buffer),
            Origin::Image(original) => is_same(buffer, original, machine),
        };
        if unchanged {
            stats.pages_dropped += 1;
            self.frames.give_back(frame, &mut transfer.frames);
            return;
        }
        let seal = sealer.seal(transfer.vm, page, buffer);
        machine.write_frame(frame, 0, buffer.as_slice());
        transfer.blocks.push(frame);
        transfer.entries.push(Entry::new(page, seal));
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

    /// Seals the map of what was sealed, the last block first, and frees frames it does not need.
    fn seal_map(&mut self, transfer: &mut Transfer, machine: &mut dyn Machine) {
        let Some(pager) = &mut self.pager else { return };
        let count = u32::try_from(transfer.entries.len()).unwrap_or(u32::MAX);
        let needed = map_blocks(count);
        for frame in transfer
            .map
            .split_off(u32_to_usize(needed).min(transfer.map.len()))
        {
            self.frames.give_back(frame, &mut transfer.frames);
        }
        let mut next = Seal::default();
        for (nth, &frame) in (0..needed).zip(&transfer.map).rev() {
            *pager.buffer = block_of(&transfer.entries, nth, next);
            next = pager
                .sealer
                .seal(transfer.vm, map_page(nth), &mut pager.buffer);
            machine.write_frame(frame, 0, pager.buffer.as_slice());
        }
        transfer.blocks.append(&mut transfer.map);
        transfer.entries = Vec::new();
        if let Some(swap) = self
            .vms
            .get_mut(transfer.vm)
            .and_then(|vm| vm.swap.as_mut())
        {
            swap.entries = count;
            swap.root = next;
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
        swap.start = transfer.extent.start;
        if swap.standing == Standing::Admitted
            && let Some(pager) = &mut self.pager
        {
            pager.admitted.push_back(transfer.vm);
        }
        Progress::Over
    }

    /// Writes everything again to another extent; what is bad about the first one stays in it.
    fn write_elsewhere(&mut self, transfer: &mut Transfer, machine: &mut dyn Machine) -> Progress {
        let blocks = transfer.extent.blocks;
        let other = self.pager.as_deref_mut().and_then(|pager| {
            let extent = (transfer.attempts < ATTEMPTS_MAX).then(|| pager.extents.take(blocks));
            let extent = extent.flatten();
            if extent.is_some() {
                pager.stats.blocks_retired += u64::from(blocks);
            }
            extent
        });
        if let Some(extent) = other {
            transfer.restart(extent);
            return Progress::More;
        }
        self.end_vm(transfer.vm, EndReason::DiskError, 0, machine);
        transfer.abandoned = true;
        Progress::More
    }
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
    is_in && vm.state != VmState::Ended && !vm.awaits_nic
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
