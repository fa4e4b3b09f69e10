//! Images: the contents that VMs of one kind share.
//!
//! The supervisor creates an image from a header, writes its contents, and starts VMs from it. Text
//! and rodata are mapped straight from the image's frames; data pages are copied when a VM first
//! touches them. The first VM seals the contents. A page nobody wrote is zero and gets its frame
//! when it is first needed; its memory is promised from the start.

use super::Segments;
use super::table::id_type;
use crate::machine::{FrameId, Machine, Page};
use crate::memory::frame::{Fill, FrameList, FrameTable, FrameUse, Owner};
use alloc::vec::Vec;
use denali_abi::convert::{u32_to_usize, u64_to_usize};
use denali_abi::errno::Errno;
use denali_abi::image::ImageHeader;
use denali_abi::layout::PAGE_SIZE;

id_type! {
    /// Names an image.
    ImageId
}

/// Whether contents may still be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contents {
    /// Nobody has run it yet.
    Open,
    /// A VM has run it: what is shared must not change.
    Sealed,
}

/// An image and its frames.
#[derive(Debug)]
pub struct Image {
    header: ImageHeader,
    segments: Segments,
    pages: Vec<Option<FrameId>>,
    /// The frames of `pages`.
    pub frames: FrameList,
    /// Whether it may be written.
    pub contents: Contents,
    /// VMs that run it.
    pub users: u32,
    /// VMs that will run it and have not begun.
    pub unborn: u32,
    /// The arguments they begin with.
    pub birth: Vec<u8>,
}

impl Image {
    /// Makes an image without contents.
    ///
    /// # Errors
    ///
    /// [`Errno::Invalid`] for a header that breaks a rule, [`Errno::OutOfMemory`] if the kernel has
    /// no room for the list of its pages.
    pub fn new(header: ImageHeader) -> Result<Self, Errno> {
        header.validate().map_err(|_| Errno::Invalid)?;
        let count = u64_to_usize(header.content_pages());
        let mut pages = Vec::new();
        pages
            .try_reserve_exact(count)
            .map_err(|_| Errno::OutOfMemory)?;
        pages.resize(count, None);
        let frames = FrameList::new();
        Ok(Self {
            segments: Segments::of(&header),
            header,
            pages,
            frames,
            contents: Contents::Open,
            users: 0,
            unborn: 0,
            birth: Vec::new(),
        })
    }

    /// Returns the header, which has been validated.
    #[must_use]
    pub const fn header(&self) -> &ImageHeader {
        &self.header
    }

    /// Returns where the segments end.
    #[must_use]
    pub const fn segments(&self) -> Segments {
        self.segments
    }

    /// Returns the number of pages of contents; as many frames are promised.
    ///
    /// # Panics
    ///
    /// Never: a validated image ends below 2 GiB.
    #[must_use]
    pub fn page_count(&self) -> u32 {
        u32::try_from(self.pages.len()).expect("a validated image ends below 2 GiB")
    }

    /// Returns the frame of content page `index`, if it has one.
    #[must_use]
    pub fn frame(&self, index: u32) -> Option<FrameId> {
        self.pages.get(u32_to_usize(index)).copied().flatten()
    }

    /// Returns the frame of content page `index`, giving it a zeroed one if it has none.
    ///
    /// # Errors
    ///
    /// [`Errno::Invalid`] behind the contents; [`Errno::OutOfMemory`] cannot happen while promises
    /// are kept.
    pub fn materialize(
        &mut self,
        id: ImageId,
        index: u32,
        frames: &mut FrameTable,
        machine: &mut dyn Machine,
    ) -> Result<FrameId, Errno> {
        let place = self
            .pages
            .get_mut(u32_to_usize(index))
            .ok_or(Errno::Invalid)?;
        if let Some(frame) = *place {
            return Ok(frame);
        }
        let usage = FrameUse::Content(Page(index));
        let frame = frames
            .take(
                Owner::Image(id.index()),
                usage,
                &mut self.frames,
                Fill::Zero,
                machine,
            )
            .ok_or(Errno::OutOfMemory)?;
        *place = Some(frame);
        Ok(frame)
    }

    /// Checks that `length` bytes may be written at byte `offset` of the contents.
    ///
    /// # Errors
    ///
    /// [`Errno::Busy`] once sealed, [`Errno::Invalid`] beyond the contents.
    pub fn check_write(&self, offset: u64, length: u64) -> Result<(), Errno> {
        if self.contents == Contents::Sealed {
            return Err(Errno::Busy);
        }
        let end = offset.checked_add(length).ok_or(Errno::Invalid)?;
        if end > self.header.content_pages() * PAGE_SIZE {
            return Err(Errno::Invalid);
        }
        Ok(())
    }
}
