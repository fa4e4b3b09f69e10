//! The receive ring.
//!
//! As many buffers are posted as the load asks for. They lie side by side in blocks, so that no
//! page is touched before a frame arrives in it, and those with the highest numbers go first when
//! the load falls, so that a whole block becomes free.

use super::super::stack::header::Checksum;
use super::memory::{Buffer, Page, slot};
use alloc::vec::Vec;
use core::mem::offset_of;
use core::sync::atomic::{Ordering, compiler_fence};
use denali_abi::convert::u32_to_usize;
use denali_abi::net::{RING_LEN, SUPER_LEN_MAX, flags};
use denali_abi::shared::SharedPage;

/// Buffers in a block, and those posted by a VM that hears little.
pub(super) const BLOCK: u32 = 16;

const BLOCKS: usize = u32_to_usize(RING_LEN / BLOCK);

/// What may be left to do in a frame for us: nothing is, as nobody looks at its checksum, and TCP
/// takes a super-segment like any other.
const ACCEPTS: u16 =
    flags::CHECKSUM_PARTIAL | flags::CHECKSUM_VALID | flags::SEGMENT_TCP4 | flags::SEGMENT_TCP6;

/// Polls with little to receive after which half of the buffers are given up.
pub(super) const CALM_POLLS: u32 = 256;

const _: () = assert!(RING_LEN == u64::BITS, "one bit of `idle` per buffer");

/// The receive ring, seen from the guest: `taken <= filled <= posted <= taken + RING_LEN`.
#[derive(Debug)]
pub(super) struct Receive {
    page: Page,
    buffer_len: usize,
    blocks: [Option<Buffer>; BLOCKS],
    /// One bit per buffer that is not posted.
    idle: u64,
    /// The numbers of the buffers in slots `taken..posted`.
    numbers: [u8; u32_to_usize(RING_LEN)],
    posted: u32,
    filled: u32,
    taken: u32,
    /// Buffers with numbers below are posted.
    target: u32,
    calm: u32,
    /// The next frame, gathered from the buffers it lay in; empty if it lies in one.
    gathered: Vec<u8>,
    gathered_flags: u16,
}

impl Receive {
    /// Takes the ring over; buffers are posted by the first [`refresh`](Self::refresh).
    pub(super) fn new(page: Page, buffer_len: usize) -> Self {
        page.store(offset_of!(SharedPage, rx_accepts), u32::from(ACCEPTS));
        Self {
            page,
            buffer_len,
            blocks: [const { None }; BLOCKS],
            idle: u64::MAX,
            numbers: [0; u32_to_usize(RING_LEN)],
            posted: 0,
            filled: 0,
            taken: 0,
            target: BLOCK,
            calm: 0,
            gathered: Vec::new(),
            gathered_flags: 0,
        }
    }

    /// Takes note of what the kernel has received.
    pub(super) fn refresh(&mut self) {
        let filled = self.page.load(offset_of!(SharedPage, rx_filled));
        if filled.wrapping_sub(self.taken) <= self.posted.wrapping_sub(self.taken) {
            self.filled = filled;
        }
        // What the kernel wrote to buffers before it advanced the index is to be seen from here on.
        compiler_fence(Ordering::Acquire);
        self.gather();
        self.adapt();
        self.post_idle();
        self.publish();
    }

    /// Returns the next frame.
    pub(super) fn peek(&self) -> Option<(&[u8], Checksum)> {
        if !self.gathered.is_empty() {
            return Some((&self.gathered, checksum_of(self.gathered_flags)));
        }
        if self.taken == self.filled {
            return None;
        }
        let descriptor = self.page.descriptor(offset_of!(SharedPage, rx), self.taken);
        let (block, at) = self.place(self.numbers[slot(self.taken)]);
        let buffer = self.blocks[block].as_ref()?;
        let len = u32_to_usize(descriptor.length).min(self.buffer_len);
        // SAFETY: the slot is filled, so the kernel has written `length` bytes of this buffer and
        // is done with it until it is posted again, which needs `self` to itself.
        let frame = unsafe { buffer.bytes(at, len) };
        Some((frame, checksum_of(descriptor.flags)))
    }

    /// Gives up the next frame.
    pub(super) fn advance(&mut self) {
        if self.gathered.is_empty() {
            self.step();
        } else {
            self.gathered.clear();
        }
        self.gather();
        self.publish();
    }

    /// Follows the load: twice the buffers when they ran out, half of them after a calm time.
    fn adapt(&mut self) {
        let waiting = self.filled.wrapping_sub(self.taken);
        if waiting >= self.target {
            self.target = (self.target * 2).min(RING_LEN);
            self.calm = 0;
        } else if waiting * 4 > self.target {
            self.calm = 0;
        } else if self.target > BLOCK {
            self.calm += 1;
            if self.calm == CALM_POLLS {
                self.target /= 2;
                self.calm = 0;
                self.gathered.shrink_to(0);
            }
        }
    }

    /// Takes the next buffer out of the ring; posts it again, or lets it go.
    fn step(&mut self) {
        if self.taken == self.filled {
            return;
        }
        let number = self.numbers[slot(self.taken)];
        self.taken = self.taken.wrapping_add(1);
        self.idle |= 1 << number;
        if u32::from(number) < self.target {
            self.post(number);
        } else {
            self.free_block_of(number);
        }
    }

    /// Gathers the next frame if it spans several buffers, which then go back to the kernel.
    ///
    /// The kernel shows all of them at once. A frame longer than any is dropped.
    fn gather(&mut self) {
        while self.gathered.is_empty() && self.taken != self.filled {
            let first = self.page.descriptor(offset_of!(SharedPage, rx), self.taken);
            if first.flags & flags::MORE == 0 {
                return;
            }
            self.gathered_flags = first.flags;
            let mut goes_on = true;
            let mut fits = true;
            while goes_on && self.taken != self.filled {
                let part = self.page.descriptor(offset_of!(SharedPage, rx), self.taken);
                goes_on = part.flags & flags::MORE != 0;
                let (block, at) = self.place(self.numbers[slot(self.taken)]);
                let len = u32_to_usize(part.length).min(self.buffer_len);
                fits &= self.gathered.len() + len <= SUPER_LEN_MAX;
                if let Some(buffer) = self.blocks[block].as_ref().filter(|_| fits) {
                    // SAFETY: as in `peek`: the slot is filled and not posted again before `step`.
                    let bytes = unsafe { buffer.bytes(at, len) };
                    self.gathered.extend_from_slice(bytes);
                }
                self.step();
            }
            if !fits || goes_on {
                self.gathered.clear();
            }
        }
    }

    fn post_idle(&mut self) {
        for number in (0_u8..).take(u32_to_usize(self.target)) {
            if self.idle & 1 << number != 0 {
                self.post(number);
            }
        }
    }

    /// Posts an idle buffer; the kernel hears of it with [`publish`](Self::publish).
    fn post(&mut self, number: u8) {
        let (block, at) = self.place(number);
        let block_len = self.buffer_len * u32_to_usize(BLOCK);
        let buffer = self.blocks[block].get_or_insert_with(|| Buffer::untouched(block_len));
        let descriptor = buffer.descriptor(at, self.buffer_len);
        self.page
            .set_descriptor(offset_of!(SharedPage, rx), self.posted, descriptor);
        self.numbers[slot(self.posted)] = number;
        self.idle &= !(1 << number);
        self.posted = self.posted.wrapping_add(1);
    }

    fn publish(&mut self) {
        compiler_fence(Ordering::Release);
        self.page
            .store(offset_of!(SharedPage, rx_posted), self.posted);
    }

    fn free_block_of(&mut self, number: u8) {
        let (block, _) = self.place(number);
        let first = number - number % BLOCK.to_le_bytes()[0];
        let mask = u64::from(u16::MAX) << first;
        if self.idle & mask == mask {
            self.blocks[block] = None;
        }
    }

    /// Returns the block of a buffer and the byte where it starts there.
    fn place(&self, number: u8) -> (usize, usize) {
        let (number, block) = (usize::from(number), u32_to_usize(BLOCK));
        (number / block, number % block * self.buffer_len)
    }
}

const _: () = assert!(
    BLOCK == u16::BITS,
    "one bit of a `u16` per buffer of a block"
);

const fn checksum_of(descriptor_flags: u16) -> Checksum {
    match descriptor_flags & (flags::CHECKSUM_VALID | flags::CHECKSUM_PARTIAL) {
        0 => Checksum::Unverified,
        _ => Checksum::Verified,
    }
}
