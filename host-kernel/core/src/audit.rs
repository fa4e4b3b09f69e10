//! The audit: every invariant of the kernel's state, checked from outside the code that keeps it.
//!
//! It costs time in proportion to memory, so it belongs into tests and simulations.

use crate::kernel::{Kernel, may_run};
use crate::machine::{Access, FrameId, Machine, Page};
use crate::memory::address_space::{REGISTERS_PAGE, SHARED_PAGE};
use crate::memory::frame::{FrameUse, Owner};
use crate::paging::birth::Birth;
use crate::paging::{NO_SPACE, NOWHERE, Residence, Standing, Swap, is_fixed};
use crate::vm::image::{Image, ImageId};
use crate::vm::{Vm, VmId, page_number};
use core::fmt;
use denali_abi::control::VmState;
use denali_abi::convert::u32_to_usize;
use denali_abi::layout::IMAGE_BASE;

/// A broken invariant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditError {
    /// Free and owned frames do not add up to all frames.
    FrameSum,
    /// A frame on a VM's list belongs to somebody else, or has another use.
    VmFrame(VmId, FrameId),
    /// A frame on an image's list belongs to somebody else, or has another use.
    ImageFrame(ImageId, FrameId),
    /// A VM's page shows a frame it must not see, or not with this access.
    Mapping(VmId, Page),
    /// A VM has more frames than promised, or is promised more than its limit.
    Limit(VmId),
    /// An ended VM kept more than its console.
    Remains(VmId),
    /// The sum of all promises is wrong.
    Promises,
    /// The number of VMs that run an image, or that have not begun to, is wrong.
    Users(ImageId),
    /// The number of runnable VMs is wrong.
    ReadyCount,
    /// A frame on a transfer's list belongs to somebody else, or has another use.
    TransferFrame(FrameId),
    /// Free extents and those of VMs and transfers do not add up to swap space.
    Extents,
    /// Where a paged VM is does not fit its state.
    Residence(VmId),
    /// What is known of a VM's pages on swap is not so.
    Directory(VmId),
    /// A VM's alarm or the end of its pause is not set, or one is set for nobody.
    Alarm,
}

impl fmt::Display for AuditError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "broken invariant: {self:?}")
    }
}

impl core::error::Error for AuditError {}

impl Kernel {
    /// Checks every invariant.
    ///
    /// # Errors
    ///
    /// The first one found broken.
    pub fn audit(&self, machine: &dyn Machine) -> Result<(), AuditError> {
        self.audit_counts()?;
        let mut owned = 0;
        let mut promised = 0;
        for (id, vm) in self.vms.iter() {
            self.audit_vm(id, vm, machine)?;
            owned += vm.frames.count();
            promised += if vm.is_promised { vm.promised } else { 0 };
        }
        owned += self.audit_transfers()?;
        owned += self.block.as_ref().map_or(0, |layer| layer.frames.count());
        for (id, image) in self.images.iter() {
            self.audit_image(id, image)?;
            owned += image.frames.count();
            promised += image.page_count();
        }
        if owned + self.frames.free() != self.frames.total()
            || self.frames.count_owned() != u32_to_usize(owned)
        {
            return Err(AuditError::FrameSum);
        }
        if promised != self.commit.promised() || promised > self.commit.total() {
            return Err(AuditError::Promises);
        }
        Ok(())
    }

    /// Checks what costs time in proportion to the number of VMs alone.
    ///
    /// # Errors
    ///
    /// The first invariant found broken.
    pub fn audit_counts(&self) -> Result<(), AuditError> {
        let mut ready = 0;
        let mut alarms = 0;
        let mut capped = 0;
        for (id, vm) in self.vms.iter() {
            ready += u32::from(may_run(vm));
            if let Some(until) = vm.capped_until.filter(|_| vm.state == VmState::Ready) {
                capped += 1;
                if !self.capped.contains(until, id) {
                    return Err(AuditError::Alarm);
                }
            }
            if let Some(deadline) = vm.deadline {
                let is_set = self.alarms.contains(deadline, id);
                alarms += usize::from(is_set);
                // The alarm of who sleeps on swap may have gone off: then it is called.
                let called = |swap: Swap| swap.standing != Standing::Asleep;
                let fits = match vm.state {
                    VmState::Idle => is_set,
                    VmState::Dormant => is_set || vm.swap.is_some_and(called),
                    _ => false,
                };
                if !fits {
                    return Err(AuditError::Alarm);
                }
            }
            self.audit_residence(id, vm)?;
            if vm.frames.count() > vm.promised || vm.promised > vm.memory_pages {
                return Err(AuditError::Limit(id));
            }
            if vm.state == VmState::Ended && vm.frames.count() != u32::from(vm.console != NOWHERE) {
                return Err(AuditError::Remains(id));
            }
        }
        if ready != self.ready_vms {
            return Err(AuditError::ReadyCount);
        }
        if alarms != self.alarms.len() || capped != self.capped.len() {
            return Err(AuditError::Alarm);
        }
        Ok(())
    }

    fn audit_vm(&self, id: VmId, vm: &Vm, machine: &dyn Machine) -> Result<(), AuditError> {
        let mut count = 0;
        for (frame, owner, usage) in self.frames.frames_of(&vm.frames) {
            count += 1;
            let fits = match usage {
                FrameUse::Root => frame == vm.space.root,
                FrameUse::Context => frame == vm.space.context,
                FrameUse::Console => frame == vm.console,
                FrameUse::Table => true,
                FrameUse::Page(REGISTERS_PAGE) => frame == vm.registers,
                FrameUse::Page(SHARED_PAGE) => frame == vm.shared,
                FrameUse::Page(page) => {
                    machine.lookup(vm.space, page) == Some((frame, Access::ReadWrite))
                }
                FrameUse::Content(_) | FrameUse::Block => false,
            };
            if owner != Owner::Vm(id.index()) || !fits {
                return Err(AuditError::VmFrame(id, frame));
            }
        }
        if count != vm.frames.count() {
            return Err(AuditError::FrameSum);
        }
        if vm.state == VmState::Ended || vm.space == NO_SPACE {
            return Ok(());
        }
        self.audit_directory(id, vm, machine)?;
        let image = self.images.get(vm.image);
        let rodata_end = image.map_or(0, |image| image.segments().rodata_end);
        for page in page_number(IMAGE_BASE)..rodata_end {
            let Some(shown) = machine.lookup(vm.space, Page(page)) else {
                continue;
            };
            if !self.may_show(vm, Page(page), shown) {
                return Err(AuditError::Mapping(id, Page(page)));
            }
        }
        Ok(())
    }

    /// Checks that what is known of a VM's pages on swap fits what it has in memory.
    fn audit_directory(&self, id: VmId, vm: &Vm, machine: &dyn Machine) -> Result<(), AuditError> {
        let pager = self.pager.as_ref();
        let Some(directory) = pager.and_then(|pager| pager.directories.get(&id.index())) else {
            return Ok(());
        };
        if directory.absent().saturating_add(vm.frames.count()) > vm.promised {
            return Err(AuditError::Limit(id));
        }
        let fits = directory.entries().iter().all(|entry| {
            let is_in = || machine.lookup(vm.space, entry.page()).is_some();
            is_fixed(entry.page()) || is_in() == entry.is_resident()
        });
        if fits && directory.is_sound() {
            Ok(())
        } else {
            Err(AuditError::Directory(id))
        }
    }

    /// Checks that the state of a VM fits where it is.
    fn audit_residence(&self, id: VmId, vm: &Vm) -> Result<(), AuditError> {
        let is_in = vm.swap.is_none_or(|swap| swap.residence == Residence::In);
        let hears = is_in && !matches!(vm.state, VmState::Dormant | VmState::Ended);
        if self
            .pager
            .as_ref()
            .is_some_and(|pager| pager.is_present(id) != hears)
        {
            return Err(AuditError::Residence(id));
        }
        let Some(swap) = vm.swap else {
            return if vm.space == NO_SPACE && vm.state != VmState::Ended {
                Err(AuditError::Residence(id))
            } else {
                Ok(())
            };
        };
        let fits = match swap.residence {
            Residence::In => vm.space != NO_SPACE,
            Residence::Leaving | Residence::Out => {
                vm.state == VmState::Dormant && vm.frames.count() == 0 && vm.space == NO_SPACE
            }
            Residence::Entering => vm.state == VmState::Dormant,
        };
        if fits {
            Ok(())
        } else {
            Err(AuditError::Residence(id))
        }
    }

    /// Checks the frames of transfers and the blocks of swap space; returns how many frames the
    /// transfers have.
    fn audit_transfers(&self) -> Result<u32, AuditError> {
        let Some(pager) = &self.pager else {
            return Ok(0);
        };
        let mut owned = 0;
        let mut blocks = pager.orphaned_blocks();
        for (index, transfer) in pager.transfers() {
            let mut count = 0;
            for (frame, owner, usage) in self.frames.frames_of(&transfer.frames) {
                count += 1;
                if owner != Owner::Transfer(index) || usage != FrameUse::Block {
                    return Err(AuditError::TransferFrame(frame));
                }
            }
            if count != transfer.frames.count() {
                return Err(AuditError::FrameSum);
            }
            owned += count;
            blocks += transfer.blocks_held();
        }
        for (_, vm) in self.vms.iter() {
            let moves =
                |swap: &Swap| matches!(swap.residence, Residence::Leaving | Residence::Entering);
            let its = vm.swap.filter(|swap| !moves(swap));
            blocks += its.map_or(0, |swap| u64::from(swap.extent(vm.memory_pages).blocks));
        }
        let (total, free) = pager.space();
        if blocks + free != total {
            return Err(AuditError::Extents);
        }
        Ok(owned)
    }

    /// Returns whether `page` of a VM may show this frame with this access.
    #[must_use]
    pub fn may_show(&self, vm: &Vm, page: Page, (frame, access): (FrameId, Access)) -> bool {
        let Some(image) = self.images.get(vm.image) else {
            return false;
        };
        let segments = image.segments();
        let text = page_number(IMAGE_BASE)..segments.text_end;
        let rodata = segments.text_end..segments.rodata_end;
        if page == REGISTERS_PAGE {
            return (frame, access) == (vm.registers, Access::Read);
        }
        if text.contains(&page.0) || rodata.contains(&page.0) {
            let index = page.0 - page_number(IMAGE_BASE);
            let allowed = if text.contains(&page.0) {
                Access::ReadExecute
            } else {
                Access::Read
            };
            return access == allowed && image.frame(index) == Some(frame);
        }
        let own = (Owner::Vm(vm.id.index()), FrameUse::Page(page));
        access == Access::ReadWrite && self.frames.record(frame) == Some(own)
    }

    fn audit_image(&self, id: ImageId, image: &Image) -> Result<(), AuditError> {
        let mut count = 0;
        for (frame, owner, usage) in self.frames.frames_of(&image.frames) {
            count += 1;
            let listed = match usage {
                FrameUse::Content(Page(index)) => image.frame(index) == Some(frame),
                _ => false,
            };
            if owner != Owner::Image(id.index()) || !listed {
                return Err(AuditError::ImageFrame(id, frame));
            }
        }
        if count != image.frames.count() {
            return Err(AuditError::FrameSum);
        }
        let runs = |vm: &Vm| vm.image == id && vm.state != VmState::Ended;
        let users = self.vms.iter().filter(|(_, vm)| runs(vm)).count();
        let ahead = |vm: &Vm| vm.image == id && vm.birth == Birth::Ahead;
        let unborn = self.vms.iter().filter(|(_, vm)| ahead(vm)).count();
        if users != u32_to_usize(image.users) || unborn != u32_to_usize(image.unborn) {
            return Err(AuditError::Users(id));
        }
        Ok(())
    }
}
