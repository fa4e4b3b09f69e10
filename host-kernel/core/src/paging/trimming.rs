//! Single pages of busy VMs to swap.
//!
//! A page that the policy gives up goes in a cluster of its VM's pages; those that are on swap
//! already, or say nothing new, go without being written.

use super::Pager;
use super::leaving::{NoSlot, is_fixed};
use super::moving::{Blocks, STEP_BLOCKS};
use super::transfer::{Kind, Progress, Transfer};
use crate::kernel::Kernel;
use crate::machine::disk::DiskFull;
use crate::machine::{FrameId, Machine, Page};
use crate::memory::frame::{FrameUse, Owner};
use crate::policy::replacement::{Judgement, PageCandidate};
use crate::swap::directory::Directory;
use crate::vm::{Vm, VmId};
use alloc::boxed::Box;
use alloc::vec::Vec;
use denali_abi::convert::u32_to_usize;
use denali_abi::end::EndReason;

/// Clusters that a VM loses at one go.
const CLUSTERS_MAX: usize = 4;

/// CPU time that a VM uses between two looks at its pages, in units of virtual time: 2 ms. Before
/// it has run nothing can have changed, however long it waited for the CPU.
const LOOK_EVERY: u32 = 32;

/// Nanoseconds of CPU time in a unit of virtual time: two to this power.
pub(super) const VIRTUAL_UNIT_BITS: u32 = 16;

/// Pages that a policy gave up.
type Victims = Vec<(Page, FrameId)>;

impl Kernel {
    /// Shows a VM's pages to the replacement policy and sends away what it gives up, some clusters at
    /// most. Returns whether there was something.
    pub(super) fn trim(&mut self, id: VmId, machine: &mut dyn Machine) -> bool {
        let has_room = |pager: &Pager| pager.transfers.has_room_for_pages();
        if !self.pager.as_deref().is_some_and(has_room) {
            return false;
        }
        let mut victims = self.judge_pages(id, machine);
        victims.sort_unstable();
        victims.truncate(CLUSTERS_MAX * u32_to_usize(self.policies.cluster));
        !victims.is_empty() && self.page_out(id, &victims, machine)
    }

    /// Returns the pages of a VM that the policy gives up.
    fn judge_pages(&mut self, id: VmId, machine: &mut dyn Machine) -> Victims {
        let Some(vm) = self.vms.get(id) else {
            return Vec::new();
        };
        let space = vm.space;
        let clock = virtual_time(vm.counters.cpu_ns);
        let pages = self.frames.frames_of(&vm.frames);
        let pages = pages.filter_map(|(frame, _, usage)| match usage {
            FrameUse::Page(page) if !is_fixed(page) => Some((page, frame)),
            _ => None,
        });
        let pages: Victims = pages.collect();
        let mut victims = Vec::new();
        for (page, frame) in pages {
            let Some(marks) = machine.take_marks(space, page) else {
                continue;
            };
            let age = self.frames.note_use(frame, clock, marks.referenced);
            let candidate = PageCandidate {
                vm: id,
                referenced: marks.referenced,
                unused_ns: u64::from(age) << VIRTUAL_UNIT_BITS,
            };
            if self.policies.replacement.judge_page(&candidate) == Judgement::Go {
                victims.push((page, frame));
            }
        }
        victims
    }

    /// Sends pages of a VM away. Returns whether any went.
    fn page_out(
        &mut self,
        id: VmId,
        victims: &[(Page, FrameId)],
        machine: &mut dyn Machine,
    ) -> bool {
        let (vm, pager) = (self.vms.get_mut(id), self.pager.as_deref_mut());
        let Some((vm, pager)) = vm.zip(pager) else {
            return false;
        };
        let Some(extent) = vm.swap.map(|swap| swap.extent(vm.memory_pages)) else {
            return false;
        };
        let more = u32::try_from(victims.len()).unwrap_or(u32::MAX);
        if !pager.has_entries_for(more) {
            return false;
        }
        let limit = vm.memory_pages;
        let directory = match pager.directories.remove(&id.index()) {
            Some(directory) => Ok(directory),
            None => Directory::new(limit),
        };
        let Ok(mut directory) = directory else {
            return false;
        };
        if directory.reserve(victims.len()).is_err() {
            pager.directories.insert(id.index(), directory);
            return false;
        }
        let mut transfer = Box::new(Transfer::new(id, Kind::PageOut, extent, limit));
        let owner = Owner::Transfer(pager.transfers.next_index());
        for &(page, frame) in victims.iter().rev() {
            let marks = machine.take_marks(vm.space, page);
            let is_known = directory.find(page).is_some();
            let is_clean = marks.is_some_and(|marks| !marks.modified);
            if machine.unmap(vm.space, page).is_none() {
                continue;
            }
            pager.stats.page_outs += 1;
            if is_known && is_clean {
                directory.set(page, false, false);
                self.frames.give_back(frame, &mut vm.frames);
                pager.stats.pages_dropped += 1;
                continue;
            }
            let (from, to) = (&mut vm.frames, &mut transfer.frames);
            self.frames
                .hand_over(frame, from, to, owner, FrameUse::Block);
            transfer.pages.push((page, frame));
            // Until it is sealed nobody must make a new page there.
            if !is_known {
                directory.announce(page);
            }
            directory.set(page, false, true);
        }
        pager.directories.insert(id.index(), directory);
        if !transfer.pages.is_empty() {
            pager.begin_pages(transfer);
        }
        if let Some(mut view) = self.view(id, machine) {
            view.publish_resident();
        }
        true
    }

    /// Seals pages and writes them.
    pub(super) fn page_out_step(
        &mut self,
        index: u32,
        transfer: &mut Transfer,
        machine: &mut dyn Machine,
    ) -> Result<Progress, DiskFull> {
        if !transfer.pages.is_empty() {
            let sealed = self.seal_pages(transfer, machine);
            if sealed.is_err() {
                return Ok(self.give_up(transfer, EndReason::DiskError, 0, machine));
            }
        }
        Ok(match self.move_blocks(index, transfer, machine)? {
            Blocks::OnTheWay(progress) => progress,
            Blocks::Failed => self.write_pages_elsewhere(transfer, machine),
            Blocks::Moved => self.paged_out(transfer),
        })
    }

    /// Seals some pages, into a cluster of free slots if there is one.
    fn seal_pages(
        &mut self,
        transfer: &mut Transfer,
        machine: &mut dyn Machine,
    ) -> Result<(), NoSlot> {
        let cluster = self.policies.cluster;
        for _ in 0..STEP_BLOCKS {
            let Some((page, frame)) = transfer.pages.pop() else {
                break;
            };
            let mut slots = transfer.slots.clone();
            let take = |directory: &mut Directory| {
                if slots.is_empty() {
                    let start = directory.take_cluster(cluster);
                    slots = start.map_or(0..0, |start| start..start + cluster);
                }
                slots.next().or_else(|| directory.take_slot())
            };
            let sealed = self.seal_page(transfer, page, frame, take, machine);
            transfer.slots = slots;
            let directory = self.pager.as_deref_mut().and_then(|pager| {
                let index = transfer.vm.index();
                pager.directories.get_mut(&index)
            });
            if let (Some((seal, slot)), Some(directory)) = (sealed?, directory) {
                directory.put(page, Some(slot), seal);
                directory.set(page, false, true);
            }
        }
        Ok(())
    }

    /// Frees what was written; the slots that were taken and not used, too.
    fn paged_out(&mut self, transfer: &mut Transfer) -> Progress {
        self.frames.give_back_all(&mut transfer.frames, None);
        let index = transfer.vm.index();
        let pager = self.pager.as_deref_mut();
        let Some(directory) = pager.and_then(|pager| pager.directories.get_mut(&index)) else {
            return Progress::Over;
        };
        for slot in transfer.slots.clone() {
            directory.give_back_slot(slot);
        }
        for block in &transfer.blocks {
            directory.set(block.page, false, false);
        }
        Progress::Over
    }

    /// Writes pages that failed to other slots.
    fn write_pages_elsewhere(
        &mut self,
        transfer: &mut Transfer,
        machine: &mut dyn Machine,
    ) -> Progress {
        if !transfer.retry() {
            return self.give_up(transfer, EndReason::DiskError, 0, machine);
        }
        let Some(pager) = &mut self.pager else {
            return Progress::More;
        };
        let Some(directory) = pager.directories.get_mut(&transfer.vm.index()) else {
            return Progress::More;
        };
        for block in &mut transfer.blocks {
            let moved = block.relocate(directory, transfer.map_room);
            pager.stats.blocks_retired += u64::from(moved);
        }
        Progress::More
    }
}

/// Returns whether a VM has run for long enough since its pages were `looked` at.
pub(super) fn is_due(vm: &Vm, looked: u32) -> bool {
    let ran = virtual_time(vm.counters.cpu_ns).wrapping_sub(looked);
    ran >= LOOK_EVERY && !vm.awaits_nic
}

/// Returns the virtual time of a VM that used this much CPU time, modulo 2^32.
#[expect(
    clippy::cast_possible_truncation,
    reason = "differences are what counts"
)]
pub(super) const fn virtual_time(cpu_ns: u64) -> u32 {
    (cpu_ns >> VIRTUAL_UNIT_BITS) as u32
}
