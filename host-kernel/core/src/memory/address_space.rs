//! A guest's address space: which page shows which frame, decided when it is first touched.
//!
//! What may be at an address is arithmetic over [`denali_abi::layout`] and the image's segments. A
//! page gets its frame on demand: text and rodata show the image's frames, data pages are copied,
//! everything else starts as zeros. The kernel reads and writes guest memory through the same
//! rules, page by page, so a guest cannot make it touch what it could not touch itself.

use super::frame::{Fill, FrameTable, FrameUse, Owner};
use crate::fault::Fault;
use crate::machine::{Access, FaultAccess, FrameId, Machine, Page, TableMissing};
use crate::net::ring::{BadAddress, GuestMemory};
use crate::swap::directory::Directory;
use crate::vm::image::{Image, ImageId};
use crate::vm::table::Table;
use crate::vm::{Vm, page_number};
use alloc::collections::BTreeMap;
use denali_abi::convert::{u64_to_usize, usize_to_u64};
use denali_abi::errno::Errno;
use denali_abi::layout::{
    GUEST_END, IMAGE_BASE, PAGE_SIZE, REGISTERS_ADDRESS, SHARED_ADDRESS, is_stack_guard,
};
use denali_abi::registers::RESIDENT_PAGES_OFFSET;

/// The page of the virtual registers.
pub const REGISTERS_PAGE: Page = Page(page_number(REGISTERS_ADDRESS));

/// The shared page.
pub const SHARED_PAGE: Page = Page(page_number(SHARED_ADDRESS));

/// Levels of page tables below the root that a machine may ask for.
const TABLE_LEVELS_MAX: u32 = 4;

/// Pages of one `release_memory` call that are looked at.
pub const RELEASE_PAGES_MAX: u64 = 4096;

/// What lies at a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Backing {
    /// The virtual registers.
    Registers,
    /// The shared page.
    Shared,
    /// A page of the image, shown to all its VMs.
    ImagePage { index: u32, access: Access },
    /// A private copy of a page of the image.
    ImageCopy { index: u32 },
    /// Zeros.
    Zero,
}

impl Backing {
    const fn access(self) -> Access {
        match self {
            Self::Registers if cfg!(sabotage = "writable-registers") => Access::ReadWrite,
            Self::Registers => Access::Read,
            Self::ImagePage { access, .. } => access,
            Self::Shared | Self::ImageCopy { .. } | Self::Zero => Access::ReadWrite,
        }
    }
}

/// Returns whether a mapping with `access` lets the guest do `wanted`.
#[must_use]
pub const fn allows(access: Access, wanted: FaultAccess) -> bool {
    match wanted {
        FaultAccess::Read => true,
        FaultAccess::Write => matches!(access, Access::ReadWrite),
        FaultAccess::Execute => matches!(access, Access::ReadExecute),
    }
}

/// One VM's memory, with everything needed to extend it.
pub struct GuestView<'a> {
    /// The frame table.
    pub frames: &'a mut FrameTable,
    /// The images, whose frames the VM may see.
    pub images: &'a mut Table<ImageId, Image>,
    /// The VM.
    pub vm: &'a mut Vm,
    /// The hardware.
    pub machine: &'a mut dyn Machine,
    /// What is known of VMs' pages on swap, by the indices of the VMs.
    pub directories: Option<&'a mut BTreeMap<u32, Directory>>,
    /// Frames that must stay free for those they are promised to.
    pub floor: u32,
    /// The fault behind the last [`BadAddress`], which does not tell.
    pub fault: Option<(Fault, u64)>,
}

impl core::fmt::Debug for GuestView<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("GuestView")
            .field("vm", &self.vm.id)
            .finish_non_exhaustive()
    }
}

impl GuestView<'_> {
    /// Returns the frame behind `address` for an access, mapping it first if it was not.
    ///
    /// # Errors
    ///
    /// The [`Fault`] the guest would end with.
    pub fn fault_in(&mut self, address: u64, wanted: FaultAccess) -> Result<FrameId, Fault> {
        let backing = self.backing_at(address)?;
        if !allows(backing.access(), wanted) {
            return Err(Fault::AccessViolation);
        }
        let page = Page(page_number(address));
        if let Some(frame) = self.machine.touch(self.vm.space, page, wanted) {
            return Ok(frame);
        }
        if self
            .directory()
            .is_some_and(|known| known.find(page).is_some())
        {
            return Err(Fault::OnSwap);
        }
        let frame = match backing {
            Backing::Registers => self.vm.registers,
            Backing::Shared => self.vm.shared,
            Backing::ImagePage { index, .. } => self.image_frame(index)?,
            Backing::ImageCopy { index } => {
                let image = self.images.get(self.vm.image);
                let source = image.and_then(|image| image.frame(index));
                self.take(
                    FrameUse::Page(page),
                    source.map_or(Fill::Zero, Fill::CopyOf),
                )?
            }
            Backing::Zero => self.take(FrameUse::Page(page), Fill::Zero)?,
        };
        let mapped = self.map(page, frame, backing.access());
        if mapped.is_err() && matches!(backing, Backing::Zero | Backing::ImageCopy { .. }) {
            self.frames.give_back(frame, &mut self.vm.frames);
        }
        self.publish_resident();
        mapped?;
        self.vm.counters.page_faults += 1;
        let is_shared = matches!(backing, Backing::ImagePage { .. });
        self.vm.counters.shared_pages += u32::from(is_shared);
        Ok(frame)
    }

    /// Maps a frame that holds `page` of the VM, as it was mapped before.
    ///
    /// # Errors
    ///
    /// [`Fault::OutOfMemory`] if there is no frame for a page table; nothing is mapped then.
    pub fn restore(&mut self, page: Page, frame: FrameId) -> Result<(), Fault> {
        let backing = self.backing_at(u64::from(page.0) * PAGE_SIZE)?;
        self.map(page, frame, backing.access())
    }

    /// Writes the number of resident pages to the virtual registers.
    pub fn publish_resident(&mut self) {
        let resident = self.vm.frames.count().to_le_bytes();
        self.machine
            .write_frame(self.vm.registers, RESIDENT_PAGES_OFFSET, &resident);
    }

    /// Gives whole pages of heap and stacks back and returns how many were resident. Of a longer
    /// range only the first [`RELEASE_PAGES_MAX`] pages are looked at.
    ///
    /// # Errors
    ///
    /// [`Errno::Invalid`] for an address inside a page, [`Errno::BadAddress`] outside heap and
    /// stacks.
    pub fn release(&mut self, address: u64, pages: u64) -> Result<u64, Errno> {
        if !address.is_multiple_of(PAGE_SIZE) {
            return Err(Errno::Invalid);
        }
        let length = pages.checked_mul(PAGE_SIZE).ok_or(Errno::BadAddress)?;
        let end = address.checked_add(length).ok_or(Errno::BadAddress)?;
        let below = address < self.heap_start() && !cfg!(sabotage = "release-anything");
        if below || end > GUEST_END {
            return Err(Errno::BadAddress);
        }
        let first = page_number(address);
        let last = page_number(end.min(address + RELEASE_PAGES_MAX * PAGE_SIZE));
        let mut released = 0;
        for page in first..last {
            let page = Page(page);
            let was_away = self.directory().is_some_and(|known| known.remove(page));
            if let Some(frame) = self.machine.unmap(self.vm.space, page) {
                self.frames.give_back(frame, &mut self.vm.frames);
                released += 1;
            } else {
                released += u64::from(was_away);
            }
        }
        if released > 0 {
            self.publish_resident();
        }
        Ok(released)
    }

    /// Copies `buffer.len()` bytes out of the guest.
    ///
    /// # Errors
    ///
    /// The [`Fault`] and the address at which the guest itself would have met it.
    pub fn copy_in(&mut self, address: u64, buffer: &mut [u8]) -> Result<(), (Fault, u64)> {
        let mut at = address;
        let mut rest = buffer;
        while !rest.is_empty() {
            let offset = u64_to_usize(at % PAGE_SIZE);
            let length = rest.len().min(u64_to_usize(PAGE_SIZE) - offset);
            let (part, behind) = rest.split_at_mut(length);
            let frame = self
                .reach(at, FaultAccess::Read)
                .map_err(|fault| (fault, at))?;
            self.machine.read_frame(frame, offset, part);
            rest = behind;
            at = at.saturating_add(usize_to_u64(length));
        }
        Ok(())
    }

    /// Copies `bytes` into the guest.
    ///
    /// # Errors
    ///
    /// The [`Fault`] and the address at which the guest itself would have met it.
    pub fn copy_out(&mut self, address: u64, bytes: &[u8]) -> Result<(), (Fault, u64)> {
        let mut at = address;
        let mut rest = bytes;
        while !rest.is_empty() {
            let offset = u64_to_usize(at % PAGE_SIZE);
            let length = rest.len().min(u64_to_usize(PAGE_SIZE) - offset);
            let (part, behind) = rest.split_at(length);
            let frame = self
                .reach(at, FaultAccess::Write)
                .map_err(|fault| (fault, at))?;
            self.machine.write_frame(frame, offset, part);
            rest = behind;
            at = at.saturating_add(usize_to_u64(length));
        }
        Ok(())
    }

    /// Returns the frame behind `address` for the kernel itself. The shared page needs no mapping
    /// for that and no walk through page tables, and it is what rings and interrupts cost.
    fn reach(&mut self, address: u64, wanted: FaultAccess) -> Result<FrameId, Fault> {
        match self.backing_at(address)? {
            Backing::Shared => Ok(self.vm.shared),
            _ => self.fault_in(address, wanted),
        }
    }

    /// Returns what is known of the VM's pages on swap.
    fn directory(&mut self) -> Option<&mut Directory> {
        let directories = self.directories.as_deref_mut()?;
        directories.get_mut(&self.vm.id.index())
    }

    fn heap_start(&self) -> u64 {
        self.images
            .get(self.vm.image)
            .map_or(GUEST_END, |image| image.header().end_address())
    }

    fn backing_at(&self, address: u64) -> Result<Backing, Fault> {
        match address {
            REGISTERS_ADDRESS..SHARED_ADDRESS => return Ok(Backing::Registers),
            SHARED_ADDRESS..IMAGE_BASE if address - SHARED_ADDRESS < PAGE_SIZE => {
                return Ok(Backing::Shared);
            }
            IMAGE_BASE..GUEST_END => {}
            _ => return Err(Fault::BadAddress),
        }
        if is_stack_guard(address) && !cfg!(sabotage = "no-guards") {
            return Err(Fault::StackOverflow);
        }
        let image = self.images.get(self.vm.image).ok_or(Fault::BadAddress)?;
        let segments = image.segments();
        let page = page_number(address);
        let index = page - page_number(IMAGE_BASE);
        Ok(if page < segments.text_end {
            Backing::ImagePage {
                index,
                access: Access::ReadExecute,
            }
        } else if page < segments.rodata_end {
            Backing::ImagePage {
                index,
                access: Access::Read,
            }
        } else if page < segments.data_end {
            Backing::ImageCopy { index }
        } else {
            Backing::Zero
        })
    }

    fn image_frame(&mut self, index: u32) -> Result<FrameId, Fault> {
        let id = self.vm.image;
        let image = self.images.get_mut(id).ok_or(Fault::BadAddress)?;
        image
            .materialize(id, index, self.frames, self.machine)
            .map_err(|_| Fault::OutOfMemory)
    }

    /// Takes a frame at the VM's expense.
    fn take(&mut self, usage: FrameUse, fill: Fill) -> Result<FrameId, Fault> {
        let away = self.directory().map_or(0, |known| known.absent());
        let used_up = self.vm.frames.count().saturating_add(away) >= self.vm.promised;
        let used_up = used_up && !cfg!(sabotage = "no-limit");
        if used_up || self.frames.free() <= self.floor {
            return Err(Fault::OutOfMemory);
        }
        let owner = Owner::Vm(self.vm.id.index());
        self.frames
            .take(owner, usage, &mut self.vm.frames, fill, self.machine)
            .ok_or(Fault::OutOfMemory)
    }

    fn map(&mut self, page: Page, frame: FrameId, access: Access) -> Result<(), Fault> {
        for _ in 0..TABLE_LEVELS_MAX {
            match self.machine.map(self.vm.space, page, frame, access) {
                Ok(()) => return Ok(()),
                Err(TableMissing) => {
                    let table = self.take(FrameUse::Table, Fill::Zero)?;
                    self.machine.add_table(self.vm.space, page, table);
                }
            }
        }
        self.machine
            .map(self.vm.space, page, frame, access)
            .map_err(|TableMissing| Fault::OutOfMemory)
    }
}

impl GuestMemory for GuestView<'_> {
    fn read(&mut self, address: u64, buffer: &mut [u8]) -> Result<(), BadAddress> {
        self.copy_in(address, buffer).map_err(|fault| {
            self.fault = Some(fault);
            BadAddress
        })
    }

    fn write(&mut self, address: u64, bytes: &[u8]) -> Result<(), BadAddress> {
        self.copy_out(address, bytes).map_err(|fault| {
            self.fault = Some(fault);
            BadAddress
        })
    }
}
