//! The transmit ring.
//!
//! TCP frames leave their checksum to the kernel if it offers to take it, and super-segments are cut
//! behind it, or never.

use super::memory::{Buffer, Page, slot};
use alloc::alloc::handle_alloc_error;
use alloc::vec::Vec;
use core::mem::offset_of;
use core::num::NonZeroU16;
use core::sync::atomic::{Ordering, compiler_fence};
use denali_abi::convert::u32_to_usize;
use denali_abi::net::{RING_LEN, flags};
use denali_abi::shared::SharedPage;

/// Buffers kept for reuse.
const SPARE_MAX: usize = 4;

/// Bytes of buffers for super-segments kept for reuse.
const LARGE_BYTES_MAX: usize = 128 * 1024;

/// Polls without a super-segment after which no memory for one is kept.
const LARGE_CALM_POLLS: u32 = 64;

/// The transmit ring, seen from the guest: `consumed <= produced <= consumed + RING_LEN`.
#[derive(Debug)]
pub(super) struct Transmit {
    page: Page,
    buffer_len: usize,
    /// The buffers of slots `consumed..produced`.
    buffers: [Option<Buffer>; u32_to_usize(RING_LEN)],
    /// Buffers for frames to come; the last used one is taken first, for its page is in the cache.
    spare: Vec<Buffer>,
    /// The same for super-segments.
    large: Vec<Buffer>,
    /// Bytes of those.
    large_bytes: usize,
    /// One more, for when there is no memory, if connections may need it.
    reserve: Option<Buffer>,
    /// The longest super-segment that connections may send; 0 if none.
    longest: usize,
    /// Polls since the last super-segment.
    large_calm: u32,
    /// What the kernel takes, as bits of [`flags`].
    features: u16,
    produced: u32,
    consumed: u32,
    notify: fn(),
}

impl Transmit {
    /// Takes the ring over; `notify` makes the kernel send what it holds.
    pub(super) fn new(page: Page, buffer_len: usize, features: u16, notify: fn()) -> Self {
        Self {
            page,
            buffer_len,
            buffers: [const { None }; u32_to_usize(RING_LEN)],
            spare: Vec::new(),
            large: Vec::new(),
            large_bytes: 0,
            reserve: None,
            longest: 0,
            large_calm: 0,
            features,
            produced: 0,
            consumed: 0,
            notify,
        }
    }

    /// Takes buffers back. Sends what has been lying there since the last poll, for then the VM has
    /// not idled in between.
    pub(super) fn refresh(&mut self) {
        self.reclaim();
        self.flush();
        self.spare.truncate(SPARE_MAX);
        self.large_calm = self.large_calm.saturating_add(1);
        if self.large_calm >= LARGE_CALM_POLLS {
            self.large = Vec::new();
            self.large_bytes = 0;
        }
        if self.large_calm == LARGE_CALM_POLLS
            && let Some(reserve) = &self.reserve
        {
            // SAFETY: nobody relies on what an unused buffer holds.
            unsafe { reserve.vacate() };
        }
    }

    /// Sends what the ring holds.
    pub(super) fn flush(&mut self) {
        if self.produced != self.consumed {
            (self.notify)();
            self.reclaim();
        }
    }

    /// Returns how many frames were queued since the beginning, modulo 2^32.
    pub(super) const fn produced(&self) -> u32 {
        self.produced
    }

    /// Frees the buffers for frames to come, but for one.
    pub(super) fn drop_spare(&mut self) {
        self.spare.truncate(1);
        self.spare.shrink_to_fit();
    }

    /// Prepares for super-segments of `len` bytes. Returns whether there is memory for it.
    pub(super) fn provide_for(&mut self, len: usize) -> bool {
        if len > self.longest {
            let Some(buffer) = Buffer::vacant(len) else {
                return false;
            };
            (self.reserve, self.longest) = (Some(buffer), len);
        }
        true
    }

    /// Returns whether a frame can be sent: there is a slot, and memory for any frame.
    ///
    /// Buffers that once were there are in the ring otherwise, and come back.
    pub(super) fn has_room(&mut self) -> bool {
        if self.is_full() {
            return false;
        }
        if !self.is_provided() {
            self.provide();
        }
        if !self.is_provided() {
            self.flush();
        }
        self.is_provided()
    }

    fn is_provided(&self) -> bool {
        !self.spare.is_empty() && (self.reserve.is_some() || self.longest == 0)
    }

    fn provide(&mut self) {
        if self.spare.is_empty() && self.spare.try_reserve(1).is_ok() {
            self.spare.extend(Buffer::zeroed(self.buffer_len));
        }
        if self.reserve.is_none() && self.longest > 0 {
            self.reserve = Buffer::vacant(self.longest);
        }
    }

    const fn is_full(&self) -> bool {
        self.produced.wrapping_sub(self.consumed) >= RING_LEN
    }

    /// Puts a frame of `len` bytes that `fill` writes into the ring, which must have room. With a
    /// `segment_size` it is a super-segment.
    ///
    /// # Panics
    ///
    /// Without memory for a super-segment longer than was prepared for.
    pub(super) fn send<R>(
        &mut self,
        len: usize,
        segment_size: Option<NonZeroU16>,
        fill: impl FnOnce(&mut [u8]) -> R,
    ) -> R {
        let mut buffer = self.buffer_for(len);
        // SAFETY: a buffer among the spare ones is not the kernel's, and has been written in full
        // when it was made.
        let bytes = unsafe { buffer.bytes_mut(len) };
        let len = bytes.len();
        let result = fill(bytes);
        let tcp = tcp_version(bytes).filter(|_| self.features & flags::CHECKSUM_PARTIAL != 0);
        let mut descriptor = buffer.descriptor(0, len);
        if let Some(segmentation) = tcp {
            descriptor.flags = flags::CHECKSUM_PARTIAL;
            if let Some(size) = segment_size {
                descriptor.flags |= segmentation;
                descriptor.segment_size = size.get();
            }
        }
        self.page
            .set_descriptor(offset_of!(SharedPage, tx), self.produced, descriptor);
        self.buffers[slot(self.produced)] = Some(buffer);
        self.produced = self.produced.wrapping_add(1);
        // The kernel must see the frame before the index that announces it.
        compiler_fence(Ordering::Release);
        self.page
            .store(offset_of!(SharedPage, tx_produced), self.produced);
        if self.is_full() {
            self.flush();
        }
        result
    }

    fn reclaim(&mut self) {
        let consumed = self.page.load(offset_of!(SharedPage, tx_consumed));
        if consumed.wrapping_sub(self.consumed) > self.produced.wrapping_sub(self.consumed) {
            return;
        }
        while self.consumed != consumed {
            let buffer = self.buffers[slot(self.consumed)].take();
            self.consumed = self.consumed.wrapping_add(1);
            match buffer {
                Some(buffer) if buffer.len() <= self.buffer_len => self.spare.push(buffer),
                Some(buffer) if self.reserve.is_none() && buffer.len() >= self.longest => {
                    self.reserve = Some(buffer);
                }
                Some(buffer) if self.large_bytes + buffer.len() <= LARGE_BYTES_MAX => {
                    self.large_bytes += buffer.len();
                    self.large.push(buffer);
                }
                _ => {}
            }
        }
    }

    /// Returns a buffer for a frame of `len` bytes, which has been written in full.
    fn buffer_for(&mut self, len: usize) -> Buffer {
        let found = if len <= self.buffer_len {
            self.spare.pop()
        } else {
            self.large_calm = 0;
            let reserve = |reserve: &mut Option<Buffer>| reserve.take_if(|it| it.len() >= len);
            self.large_for(len).or_else(|| reserve(&mut self.reserve))
        };
        found.unwrap_or_else(|| handle_alloc_error(Buffer::layout(len)))
    }

    fn large_for(&mut self, len: usize) -> Option<Buffer> {
        let fitting = self.large.iter().rposition(|buffer| buffer.len() >= len);
        let Some(place) = fitting else {
            // By powers of two, so that the next one fits, too.
            return Buffer::zeroed(len.next_power_of_two());
        };
        let buffer = self.large.swap_remove(place);
        self.large_bytes -= buffer.len();
        Some(buffer)
    }
}

/// Returns the flag that has a frame cut, if it is TCP.
fn tcp_version(frame: &[u8]) -> Option<u16> {
    const TCP: u8 = 6;
    match frame.get(12..14)? {
        [0x08, 0x00] => (*frame.get(23)? == TCP).then_some(flags::SEGMENT_TCP4),
        [0x86, 0xdd] => (*frame.get(20)? == TCP).then_some(flags::SEGMENT_TCP6),
        _ => None,
    }
}
