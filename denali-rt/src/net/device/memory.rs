//! Memory that the kernel sees: the shared page, and buffers.

use crate::heap;
use crate::hypercall::release_memory;
use alloc::alloc::{alloc, alloc_zeroed, dealloc};
use alloc::boxed::Box;
use core::alloc::Layout;
use core::ptr::NonNull;
use denali_abi::convert::{u32_to_usize, usize_to_u64};
use denali_abi::net::{Descriptor, RING_LEN};
use denali_abi::shared::SharedPage;

/// The shared page. Offsets are those of fields of [`SharedPage`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Page(*mut SharedPage);

impl Page {
    /// Wraps a pointer to a shared page.
    ///
    /// # Safety
    ///
    /// The page must be valid for reads and writes for as long as the value is used.
    pub(super) const unsafe fn new(page: *mut SharedPage) -> Self {
        Self(page)
    }

    /// Returns the index at byte `offset`.
    pub(super) fn load(self, offset: usize) -> u32 {
        assert!(offset <= size_of::<SharedPage>() - size_of::<u32>());
        let field = self.0.wrapping_byte_add(offset).cast::<u32>();
        // SAFETY: the field lies within the page, which is valid by `new`; the offset of a field of
        // the page is aligned.
        unsafe { field.read_volatile() }
    }

    /// Sets the index at byte `offset`.
    pub(super) fn store(self, offset: usize, value: u32) {
        assert!(offset <= size_of::<SharedPage>() - size_of::<u32>());
        let field = self.0.wrapping_byte_add(offset).cast::<u32>();
        // SAFETY: the field lies within the page, which is valid by `new`; the offset of a field of
        // the page is aligned.
        unsafe { field.write_volatile(value) }
    }

    /// Returns descriptor `index` of the ring at byte `offset`.
    pub(super) fn descriptor(self, offset: usize, index: u32) -> Descriptor {
        let descriptor = self.slot_address(offset, index);
        // SAFETY: the slot lies within the page, which is valid by `new`, and is aligned.
        unsafe { descriptor.read_volatile() }
    }

    /// Sets descriptor `index` of the ring at byte `offset`.
    pub(super) fn set_descriptor(self, offset: usize, index: u32, value: Descriptor) {
        let descriptor = self.slot_address(offset, index);
        // SAFETY: the slot lies within the page, which is valid by `new`, and is aligned.
        unsafe { descriptor.write_volatile(value) }
    }

    fn slot_address(self, offset: usize, index: u32) -> *mut Descriptor {
        let at = offset + slot(index) * size_of::<Descriptor>();
        assert!(at <= size_of::<SharedPage>() - size_of::<Descriptor>());
        self.0.wrapping_byte_add(at).cast::<Descriptor>()
    }
}

/// Returns where in a ring `index` lies.
pub(super) const fn slot(index: u32) -> usize {
    u32_to_usize(index % RING_LEN)
}

/// Memory for frames.
#[derive(Debug)]
pub(super) struct Buffer {
    start: NonNull<u8>,
    layout: Layout,
}

impl Buffer {
    /// Allocates `len` bytes without touching them; `None` without memory.
    pub(super) fn untouched(len: usize) -> Option<Self> {
        let layout = Self::layout(len);
        // SAFETY: the size is not zero.
        Self::from_allocation(unsafe { alloc(layout) }, layout)
    }

    /// Allocates `len` zero bytes; `None` without memory.
    pub(super) fn zeroed(len: usize) -> Option<Self> {
        let layout = Self::layout(len);
        // SAFETY: the size is not zero.
        Self::from_allocation(unsafe { alloc_zeroed(layout) }, layout)
    }

    /// Allocates `len` bytes or more that have been written to some time, or cost memory once they
    /// are; `None` without memory.
    pub(super) fn vacant(len: usize) -> Option<Self> {
        let bytes = Box::leak(heap::buffer(len)?.into_boxed_slice());
        let layout = Layout::for_value(bytes);
        Self::from_allocation(bytes.as_mut_ptr(), layout)
    }

    /// Returns the layout of a buffer of `len` bytes.
    pub(super) fn layout(len: usize) -> Layout {
        Layout::from_size_align(len.max(16), 16).expect("a few frames are shorter than 2^63 bytes")
    }

    fn from_allocation(start: *mut u8, layout: Layout) -> Option<Self> {
        let start = NonNull::new(start)?;
        Some(Self { start, layout })
    }

    /// Returns its length in bytes.
    pub(super) const fn len(&self) -> usize {
        self.layout.size()
    }

    /// Describes `len` bytes from byte `at` on to the kernel.
    pub(super) fn descriptor(&self, at: usize, len: usize) -> Descriptor {
        let address = self.start.as_ptr().wrapping_add(at).expose_provenance();
        Descriptor {
            address: usize_to_u64(address),
            length: u32::try_from(len).unwrap_or(0),
            flags: 0,
            segment_size: 0,
        }
    }

    /// Gives the whole pages back to the kernel; they read as zero when they are next used.
    ///
    /// # Safety
    ///
    /// Nobody may rely on the contents.
    pub(super) unsafe fn vacate(&self) {
        let start = usize_to_u64(self.start.as_ptr().expose_provenance());
        // SAFETY: the bytes are ours, and the caller vouches that nobody relies on them. Elsewhere
        // than in a VM the call does nothing.
        let _ = unsafe { release_memory(start..start + usize_to_u64(self.layout.size())) };
    }

    /// Returns `len` bytes from byte `at` on, at most to the end.
    ///
    /// # Safety
    ///
    /// The bytes must have been written, and the kernel must not write them while the reference
    /// lives.
    pub(super) unsafe fn bytes(&self, at: usize, len: usize) -> &[u8] {
        let len = len.min(self.layout.size().saturating_sub(at));
        let start = self.start.as_ptr().wrapping_add(at);
        // SAFETY: the range lies within the allocation; the caller vouches for the contents.
        unsafe { core::slice::from_raw_parts(start, len) }
    }

    /// Returns the first `len` bytes, at most to the end.
    ///
    /// # Safety
    ///
    /// The bytes must have been written, and the kernel must not use them while the reference
    /// lives.
    pub(super) unsafe fn bytes_mut(&mut self, len: usize) -> &mut [u8] {
        let len = len.min(self.layout.size());
        // SAFETY: the range lies within the allocation; the caller vouches for the contents.
        unsafe { core::slice::from_raw_parts_mut(self.start.as_ptr(), len) }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout, and dropped only when the kernel has no use of it.
        unsafe { dealloc(self.start.as_ptr(), self.layout) }
    }
}
