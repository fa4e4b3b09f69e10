//! The transmit ring.

use super::memory::{Buffer, Page, slot};
use alloc::vec::Vec;
use core::mem::offset_of;
use core::sync::atomic::{Ordering, compiler_fence};
use denali_abi::convert::u32_to_usize;
use denali_abi::net::RING_LEN;
use denali_abi::shared::SharedPage;

/// Buffers kept for reuse.
const SPARE_MAX: usize = 4;

/// The transmit ring, seen from the guest: `consumed <= produced <= consumed + RING_LEN`.
#[derive(Debug)]
pub(super) struct Transmit {
    page: Page,
    buffer_len: usize,
    /// The buffers of slots `consumed..produced`.
    buffers: [Option<Buffer>; u32_to_usize(RING_LEN)],
    /// Buffers for frames to come; the last used one is taken first, for its page is in the cache.
    spare: Vec<Buffer>,
    produced: u32,
    consumed: u32,
    notify: fn(),
}

impl Transmit {
    /// Takes the ring over; `notify` makes the kernel send what it holds.
    pub(super) fn new(page: Page, buffer_len: usize, notify: fn()) -> Self {
        Self {
            page,
            buffer_len,
            buffers: [const { None }; u32_to_usize(RING_LEN)],
            spare: Vec::new(),
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
    }

    /// Sends what the ring holds.
    pub(super) fn flush(&mut self) {
        if self.produced != self.consumed {
            (self.notify)();
            self.reclaim();
        }
    }

    /// Frees the buffers for frames to come.
    pub(super) fn drop_spare(&mut self) {
        self.spare = Vec::new();
    }

    /// Returns whether a frame can be sent.
    pub(super) fn has_room(&self) -> bool {
        self.produced.wrapping_sub(self.consumed) < RING_LEN
    }

    /// Puts a frame of `len` bytes that `fill` writes into the ring, which must have room.
    pub(super) fn send<R>(&mut self, len: usize, fill: impl FnOnce(&mut [u8]) -> R) -> R {
        let mut buffer = self
            .spare
            .pop()
            .unwrap_or_else(|| Buffer::zeroed(self.buffer_len));
        // SAFETY: a buffer among the spare ones is not the kernel's, and has been written in full
        // when it was made.
        let bytes = unsafe { buffer.bytes_mut(len) };
        let len = bytes.len();
        let result = fill(bytes);
        let descriptor = buffer.descriptor(0, len);
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
            self.spare.extend(buffer);
            self.consumed = self.consumed.wrapping_add(1);
        }
    }
}
