//! Memory that a device sees too: DMA buffers and device registers.
//!
//! Every access is checked against the region and volatile, so that drivers are safe code: a
//! driver can program a device wrongly, but cannot touch memory outside what it was given.

#![expect(unsafe_code, reason = "volatile access to memory shared with a device")]

use core::ptr::NonNull;

/// A region of memory shared with a device, exclusively owned on our side.
#[derive(Debug)]
pub struct DeviceMemory {
    pointer: NonNull<u8>,
    physical: u64,
    length: usize,
}

// SAFETY: the region is owned; nothing about it is tied to the CPU that made it.
unsafe impl Send for DeviceMemory {}

impl DeviceMemory {
    /// Makes the region of `length` bytes mapped at `pointer`, which devices see at `physical`.
    ///
    /// # Panics
    ///
    /// If `pointer` is null or not aligned to 8.
    ///
    /// # Safety
    ///
    /// The bytes must stay mapped readable and writable for ever, and nothing else on our side may
    /// access them.
    #[must_use]
    pub unsafe fn from_raw(pointer: *mut u8, physical: u64, length: usize) -> Self {
        let pointer = NonNull::new(pointer).expect("mapped device memory is not at address zero");
        assert!(
            pointer.cast::<u64>().is_aligned(),
            "device memory must be aligned to 8"
        );
        Self {
            pointer,
            physical,
            length,
        }
    }

    /// Returns the address at which devices see the region.
    #[must_use]
    pub const fn physical(&self) -> u64 {
        self.physical
    }

    /// Returns the length in bytes.
    #[must_use]
    pub const fn length(&self) -> usize {
        self.length
    }

    /// Cuts the region in two at `offset`, a multiple of 8.
    ///
    /// # Panics
    ///
    /// If `offset` is not a multiple of 8 or lies behind the end.
    #[must_use]
    pub fn split_at(self, offset: usize) -> (Self, Self) {
        let pointer = self.at::<u64>(offset, self.length.saturating_sub(offset));
        let tail = Self {
            // A pointer derived from a non-null one inside the same region.
            pointer: NonNull::new(pointer.cast()).expect("inside a mapped region"),
            physical: self.physical + offset as u64,
            length: self.length - offset,
        };
        (
            Self {
                length: offset,
                ..self
            },
            tail,
        )
    }

    /// Reads a byte.
    ///
    /// # Panics
    ///
    /// If it lies outside the region; so do all accesses below, also if misaligned.
    #[must_use]
    pub fn read_u8(&self, offset: usize) -> u8 {
        self.read(offset)
    }

    /// Reads a little-endian `u16`.
    #[must_use]
    pub fn read_u16(&self, offset: usize) -> u16 {
        self.read(offset)
    }

    /// Reads a little-endian `u32`.
    #[must_use]
    pub fn read_u32(&self, offset: usize) -> u32 {
        self.read(offset)
    }

    /// Writes a byte.
    pub fn write_u8(&mut self, offset: usize, value: u8) {
        self.write(offset, value);
    }

    /// Writes a little-endian `u16`.
    pub fn write_u16(&mut self, offset: usize, value: u16) {
        self.write(offset, value);
    }

    /// Writes a little-endian `u32`.
    pub fn write_u32(&mut self, offset: usize, value: u32) {
        self.write(offset, value);
    }

    /// Writes a little-endian `u64` as two dwords, low first: what device registers accept
    /// (virtio 1.2 §4.1.3.1).
    pub fn write_u64(&mut self, offset: usize, value: u64) {
        let [a, b, c, d, e, f, g, h] = value.to_le_bytes();
        self.write_u32(offset, u32::from_le_bytes([a, b, c, d]));
        self.write_u32(offset + 4, u32::from_le_bytes([e, f, g, h]));
    }

    /// Copies bytes out of the region.
    pub fn copy_out(&self, offset: usize, buffer: &mut [u8]) {
        let from = self.at::<u8>(offset, buffer.len());
        // SAFETY: `at` checked that the source lies in the region, which stays mapped; `buffer` is
        // a reference to other memory, as the region is exclusively ours. The device may write at
        // the same time only if it breaks the queue's protocol; then the bytes are arbitrary, and
        // they are plain bytes.
        unsafe {
            core::ptr::copy_nonoverlapping(from.cast_const(), buffer.as_mut_ptr(), buffer.len());
        }
    }

    /// Copies bytes into the region.
    pub fn copy_in(&mut self, offset: usize, bytes: &[u8]) {
        let to = self.at::<u8>(offset, bytes.len());
        // SAFETY: as in `copy_out`, in the other direction.
        unsafe { core::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
    }

    fn read<T: Copy>(&self, offset: usize) -> T {
        let pointer = self.at::<T>(offset, size_of::<T>());
        // SAFETY: `at` checked bounds and alignment; the region stays mapped, and `T` is one of the
        // integers above, for which any bytes are valid.
        unsafe { pointer.read_volatile() }
    }

    fn write<T: Copy>(&mut self, offset: usize, value: T) {
        let pointer = self.at::<T>(offset, size_of::<T>());
        // SAFETY: `at` checked bounds and alignment; the region stays mapped and is ours.
        unsafe { pointer.write_volatile(value) }
    }

    /// Returns a pointer to `length` bytes at `offset`, checked to lie in the region and to be
    /// aligned for `T`.
    #[inline]
    fn at<T>(&self, offset: usize, length: usize) -> *mut T {
        let inside = offset
            .checked_add(length)
            .is_some_and(|end| end <= self.length);
        assert!(
            inside,
            "device memory of {} bytes has no {offset}+{length}",
            self.length
        );
        let pointer = self.pointer.as_ptr().wrapping_add(offset).cast::<T>();
        assert!(
            pointer.is_aligned(),
            "device memory offset {offset} is misaligned"
        );
        pointer
    }
}

#[cfg(test)]
impl DeviceMemory {
    /// Makes zeroed memory for tests, at an invented physical address; never freed.
    pub(crate) fn for_test(physical: u64, length: usize) -> Self {
        let words = std::vec![0u64; length.div_ceil(8)].leak();
        // SAFETY: leaked memory lives for ever and nobody else knows it.
        unsafe { Self::from_raw(words.as_mut_ptr().cast(), physical, length) }
    }

    /// Returns the device's view of the same memory.
    pub(crate) fn device_view(&self) -> Self {
        // SAFETY: the fake device runs on the driver's thread and both use raw pointers, so they
        // never access at the same time.
        unsafe { Self::from_raw(self.pointer.as_ptr(), self.physical, self.length) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_see_their_own_part_of_the_memory() {
        let memory = DeviceMemory::for_test(0x1000, 64);
        let view = memory.device_view();
        let (mut head, mut tail) = memory.split_at(16);
        head.write_u32(12, 0x1234_5678);
        tail.write_u64(0, 0x1_0000_0002);
        assert_eq!((head.physical(), tail.physical()), (0x1000, 0x1010));
        assert_eq!((head.length(), tail.length()), (16, 48));
        assert_eq!(
            [view.read_u32(12), view.read_u32(16), view.read_u32(20)],
            [0x1234_5678, 2, 1]
        );
    }

    #[test]
    #[should_panic(expected = "has no 16+4")]
    fn access_outside_the_region_panics() {
        let (head, _tail) = DeviceMemory::for_test(0, 32).split_at(16);
        let _ = head.read_u32(16);
    }
}
