//! What a guest of the fake machine has and sees.

use super::super::{
    Access, Exit, FaultAccess, FrameId, Machine, Page, Position, Space, UnsoundRegisters,
};
use super::{FRAME_LEN, FakeMachine, GARBAGE};
use crate::memory::address_space::allows;
use crate::vm::page_number;
use core::ops::Range;
use denali_abi::convert::{u32_to_usize, u64_to_usize, usize_to_u64};
use denali_abi::layout::{GUEST_END, PAGE_SIZE};

impl FakeMachine {
    /// Takes the result of the guest's last hypercall.
    pub fn take_result(&mut self, space: Space) -> Option<i64> {
        self.guests.get_mut(&space.root.0)?.result.take()
    }

    /// Takes the hypercall that the guest has to make again.
    pub fn take_repeated(&mut self, space: Space) -> Option<u64> {
        self.guests.get_mut(&space.root.0)?.repeats.take()
    }

    /// Writes the state of a guest to its context frame.
    pub(super) fn suspend(&mut self, space: Space) {
        let words = self.words_of(space);
        self.drop_space(space);
        self.write_words(space, words);
    }

    /// Writes the state of a guest that stays to its context frame.
    pub(super) fn settle(&mut self, space: Space) {
        let words = self.words_of(space);
        self.write_words(space, words);
    }

    /// Makes what is in the context frame the state of a guest, if it could have it.
    pub(super) fn adopt(&mut self, space: Space) -> Result<(), UnsoundRegisters> {
        let [has_result, result, repeats, rip, rsp] = self.read_words(space);
        if has_result > 1 || rip >= GUEST_END {
            return Err(UnsoundRegisters);
        }
        let guest = self.guest(space);
        guest.result = (has_result == 1).then_some(result.cast_signed());
        guest.repeats = (repeats != 0).then_some(repeats);
        guest.position = Position { rip, rsp };
        Ok(())
    }

    fn words_of(&mut self, space: Space) -> [u64; 5] {
        let guest = self.guest(space);
        let (result, repeats, position) = (guest.result, guest.repeats, guest.position);
        [
            u64::from(result.is_some()),
            result.unwrap_or_default().cast_unsigned(),
            repeats.unwrap_or_default(),
            position.rip,
            position.rsp,
        ]
    }

    fn write_words(&mut self, space: Space, words: [u64; 5]) {
        let bytes = self.bytes_mut(u32_to_usize(space.context.0));
        for (place, word) in bytes.chunks_exact_mut(8).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
    }

    /// Makes a guest of what [`FakeMachine::suspend`] wrote.
    pub(super) fn resume(&mut self, space: Space) {
        let [has_result, result, repeats, rip, rsp] = self.read_words(space);
        self.create_space(space, rip, rsp);
        let guest = self.guest(space);
        guest.result = (has_result == 1).then_some(result.cast_signed());
        guest.repeats = (repeats != 0).then_some(repeats);
    }

    fn read_words(&self, space: Space) -> [u64; 5] {
        let mut saved = [0; 5];
        for (nth, word) in saved.iter_mut().enumerate() {
            let mut bytes = [0; 8];
            self.read_frame(space.context, nth * 8, &mut bytes);
            *word = u64::from_le_bytes(bytes);
        }
        saved
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
    pub fn guest_read(
        &mut self,
        space: Space,
        address: u64,
        buffer: &mut [u8],
    ) -> Result<(), Exit> {
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

    /// Marks a page that is mapped as used.
    /// Returns how often the marks of a page were taken.
    #[must_use]
    pub const fn marks_taken(&self) -> u64 {
        self.marks_taken
    }

    pub(super) fn mark(&mut self, space: Space, page: Page, access: FaultAccess) {
        if let Some(marks) = self.guest(space).marks.get_mut(&page.0) {
            marks.referenced = true;
            marks.modified |= access == FaultAccess::Write;
        }
    }

    fn translate(
        &mut self,
        space: Space,
        address: u64,
        access: FaultAccess,
    ) -> Result<(usize, usize), Exit> {
        let page = u32::try_from(address / PAGE_SIZE).ok().map(Page);
        let shown = page.and_then(|page| self.lookup(space, page));
        match shown {
            Some((frame, allowed)) if allows(allowed, access) => {
                if let Some(page) = page {
                    self.mark(space, page, access);
                }
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
/// Checks that a page is one that a guest can have: the others are the core's names for what is not
/// one.
pub(super) fn assert_guests(page: Page) {
    assert!(page.0 < page_number(GUEST_END), "{page:?} is no guest's");
}

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
