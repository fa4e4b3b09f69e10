//! The transmit ring.
//!
//! TCP frames leave their checksum to the kernel if it offers to take it, and super-segments are cut
//! behind it, or never.

use super::memory::{Buffer, Page, slot};
use alloc::vec::Vec;
use core::mem::offset_of;
use core::num::NonZeroU16;
use core::sync::atomic::{Ordering, compiler_fence};
use denali_abi::convert::u32_to_usize;
use denali_abi::net::{RING_LEN, flags};
use denali_abi::shared::SharedPage;

/// Buffers kept for reuse.
const SPARE_MAX: usize = 4;

/// Buffers for super-segments kept for reuse.
const LARGE_MAX: usize = 2;

/// Polls without a super-segment after which no buffer for one is kept.
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
        if self.large_calm > LARGE_CALM_POLLS {
            self.large = Vec::new();
        }
    }

    /// Sends what the ring holds.
    pub(super) fn flush(&mut self) {
        if self.produced != self.consumed {
            (self.notify)();
            self.reclaim();
        }
    }

    /// Returns whether a frame can be sent.
    pub(super) fn has_room(&self) -> bool {
        self.produced.wrapping_sub(self.consumed) < RING_LEN
    }

    /// Puts a frame of `len` bytes that `fill` writes into the ring, which must have room. With a
    /// `segment_size` it is a super-segment.
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
        if !self.has_room() {
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
                Some(buffer) if self.large.len() < LARGE_MAX => self.large.push(buffer),
                _ => {}
            }
        }
    }

    /// Returns a buffer for a frame of `len` bytes, which has been written in full.
    fn buffer_for(&mut self, len: usize) -> Buffer {
        if len <= self.buffer_len {
            let spare = self.spare.pop();
            return spare.unwrap_or_else(|| Buffer::zeroed(self.buffer_len));
        }
        self.large_calm = 0;
        // By powers of two, so that the next one fits, too.
        let spare = self.large.pop().filter(|buffer| buffer.len() >= len);
        spare.unwrap_or_else(|| Buffer::zeroed(len.next_power_of_two()))
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
