//! What a guest of the fake machine has and sees.

use super::super::{Access, Exit, FaultAccess, FrameId, Machine, Page, Position, Space};
use super::{FRAME_LEN, FakeMachine, GARBAGE};
use crate::memory::address_space::allows;
use core::ops::Range;
use denali_abi::convert::{u32_to_usize, u64_to_usize, usize_to_u64};
use denali_abi::layout::PAGE_SIZE;

impl FakeMachine {
    /// Takes the result of the guest's last hypercall.
    pub fn take_result(&mut self, space: Space) -> Option<i64> {
        self.guests.get_mut(&space.root.0)?.result.take()
    }

    /// Takes the hypercall that the guest has to make again.
    pub fn take_repeated(&mut self, space: Space) -> Option<u64> {
        self.guests.get_mut(&space.root.0)?.repeats.take()
    }

    /// Sets where the guest is.
    pub fn set_position(&mut self, space: Space, position: Position) {
        self.guest(space).position = position;
    }

    /// Returns every mapping of an address space.
    pub fn mappings(&self, space: Space) -> impl Iterator<Item = (Page, (FrameId, Access))> + '_ {
        let pages = self
            .guests
            .get(&space.root.0)
            .into_iter()
            .flat_map(|guest| &guest.pages);
        pages.map(|(&page, &shown)| (Page(page), shown))
    }

    /// Returns how many address spaces there are.
    #[must_use]
    pub fn spaces(&self) -> usize {
        self.guests.len()
    }

    /// Reads memory as the guest does.
    ///
    /// # Errors
    ///
    /// The page fault it takes.
    pub fn guest_read(&self, space: Space, address: u64, buffer: &mut [u8]) -> Result<(), Exit> {
        for (at, range) in by_page(address, buffer.len()) {
            let (frame, offset) = self.translate(space, at, FaultAccess::Read)?;
            let part = &mut buffer[range];
            match &self.frames[frame].bytes {
                Some(bytes) => part.copy_from_slice(&bytes[offset..offset + part.len()]),
                None => part.fill(GARBAGE),
            }
        }
        Ok(())
    }

    /// Writes memory as the guest does.
    ///
    /// # Errors
    ///
    /// The page fault it takes.
    pub fn guest_write(&mut self, space: Space, address: u64, bytes: &[u8]) -> Result<(), Exit> {
        for (at, range) in by_page(address, bytes.len()) {
            let (frame, offset) = self.translate(space, at, FaultAccess::Write)?;
            let part = &bytes[range];
            self.bytes_mut(frame)[offset..offset + part.len()].copy_from_slice(part);
        }
        Ok(())
    }

    fn translate(
        &self,
        space: Space,
        address: u64,
        access: FaultAccess,
    ) -> Result<(usize, usize), Exit> {
        let page = u32::try_from(address / PAGE_SIZE).ok().map(Page);
        let shown = page.and_then(|page| self.lookup(space, page));
        match shown {
            Some((frame, allowed)) if allows(allowed, access) => {
                Ok((u32_to_usize(frame.0), u64_to_usize(address % PAGE_SIZE)))
            }
            _ => Err(Exit::PageFault {
                address,
                access,
                present: shown.is_some(),
            }),
        }
    }
}

/// Cuts `length` bytes at `address` at the borders of pages: where each part begins, and which it is.
fn by_page(address: u64, length: usize) -> impl Iterator<Item = (u64, Range<usize>)> {
    let mut done = 0;
    core::iter::from_fn(move || {
        let at = address.wrapping_add(usize_to_u64(done));
        let room = FRAME_LEN - u64_to_usize(at % PAGE_SIZE);
        let range = done..length.min(done + room);
        done = range.end;
        (!range.is_empty()).then_some((at, range))
    })
}
