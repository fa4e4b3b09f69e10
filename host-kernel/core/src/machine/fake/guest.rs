//! Memory as a guest of the fake machine sees it.

use super::super::{Exit, FaultAccess, Machine, Page, Space};
use super::{FakeMachine, GARBAGE};
use crate::memory::address_space::allows;
use denali_abi::convert::{u32_to_usize, u64_to_usize};
use denali_abi::layout::PAGE_SIZE;

impl FakeMachine {
    /// Reads memory as the guest does.
    ///
    /// # Errors
    ///
    /// The page fault it takes.
    pub fn guest_read(&self, space: Space, address: u64, buffer: &mut [u8]) -> Result<(), Exit> {
        for (at, byte) in (address..).zip(buffer) {
            let (frame, offset) = self.translate(space, at, FaultAccess::Read)?;
            *byte = self.frames[frame]
                .bytes
                .as_ref()
                .map_or(GARBAGE, |bytes| bytes[offset]);
        }
        Ok(())
    }

    /// Writes memory as the guest does.
    ///
    /// # Errors
    ///
    /// The page fault it takes.
    pub fn guest_write(&mut self, space: Space, address: u64, bytes: &[u8]) -> Result<(), Exit> {
        for (at, &byte) in (address..).zip(bytes) {
            let (frame, offset) = self.translate(space, at, FaultAccess::Write)?;
            self.bytes_mut(frame)[offset] = byte;
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
