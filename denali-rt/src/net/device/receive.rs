//! The receive ring.
//!
//! As many buffers are posted as the load asks for. They lie side by side in blocks, so that no
//! page is touched before a frame arrives in it, and those with the highest numbers go first when
//! the load falls, so that a whole block becomes free.
//!
//! A buffer holds an ordinary frame, and a super-segment comes in several, to be put together. While
//! such frames come and memory is plenty, new blocks are of long buffers, which hold one whole; old
//! ones go as their buffers come back.

use super::super::stack::header::Checksum;
use super::memory::{Buffer, Page, slot};
use crate::heap;
use alloc::vec::Vec;
use core::mem::{self, offset_of};
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

/// Bytes of a long buffer: what a peer sends at once to a connection with 16 KiB to receive.
const LONG: usize = 16 * 1024 + 256;

/// Bytes that must be left of the VM's memory for long buffers.
const LONG_SPARE: usize = 8 * LONG * u32_to_usize(BLOCK);

/// Polls with little to receive after which half of the buffers are given up.
pub(super) const CALM_POLLS: u32 = 256;

const _: () = assert!(RING_LEN == u64::BITS, "one bit of `idle` per buffer");

/// The receive ring, seen from the guest: `taken <= filled <= posted <= taken + RING_LEN`.
#[derive(Debug)]
pub(super) struct Receive {
    page: Page,
    /// Bytes of a buffer for an ordinary frame.
    frame_len: usize,
    /// Bytes of a buffer of new blocks.
    buffer_len: usize,
    blocks: [Option<Block>; BLOCKS],
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
    /// Polls since a frame came that only a long buffer holds.
    short: u32,
    /// The next frame, gathered from the buffers it lay in; empty if it lies in one.
    gathered: Vec<u8>,
    gathered_flags: u16,
}

/// Buffers side by side.
#[derive(Debug)]
struct Block {
    memory: Buffer,
    /// Bytes of each.
    buffer_len: usize,
}

impl Receive {
    /// Takes the ring over; buffers are posted by the first [`refresh`](Self::refresh).
    pub(super) fn new(page: Page, frame_len: usize) -> Self {
        page.store(offset_of!(SharedPage, rx_accepts), u32::from(ACCEPTS));
        Self {
            page,
            frame_len,
            buffer_len: frame_len,
            blocks: [const { None }; BLOCKS],
            idle: u64::MAX,
            numbers: [0; u32_to_usize(RING_LEN)],
            posted: 0,
            filled: 0,
            taken: 0,
            target: BLOCK,
            calm: 0,
            short: 0,
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
        let frame = self.written(self.taken, descriptor.length)?;
        Some((frame, checksum_of(descriptor.flags)))
    }

    /// Returns what the kernel has written to the buffer of a filled slot.
    fn written(&self, index: u32, length: u32) -> Option<&[u8]> {
        let (block, at) = place(self.numbers[slot(index)]);
        let block = self.blocks[block].as_ref()?;
        let len = u32_to_usize(length).min(block.buffer_len);
        // SAFETY: the slot is filled, so the kernel has written `length` bytes of this buffer and
        // is done with it until it is posted again, which needs `self` to itself.
        Some(unsafe { block.memory.bytes(at * block.buffer_len, len) })
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

    /// Gives the pages of empty buffers back to the kernel, which provides them again when a frame
    /// arrives.
    pub(super) fn vacate(&mut self) {
        if self.page.load(offset_of!(SharedPage, rx_filled)) != self.taken {
            return;
        }
        for block in self.blocks.iter().flatten() {
            // SAFETY: no buffer holds a frame; what arrives in between is dropped below.
            unsafe { block.memory.vacate() };
        }
        // The pages of a frame that came meanwhile may be gone. The network may lose any.
        let filled = self.page.load(offset_of!(SharedPage, rx_filled));
        if filled.wrapping_sub(self.taken) <= self.posted.wrapping_sub(self.taken) {
            self.filled = filled;
        }
        while self.taken != self.filled {
            self.step();
        }
        self.publish();
        if self.gathered.is_empty() {
            self.gathered = Vec::new();
        }
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
        if self.buffer_len > self.frame_len {
            self.short += 1;
            if self.short == CALM_POLLS {
                self.replace_blocks(self.frame_len);
            }
        }
    }

    /// Lets all buffers be of this length from now on. Those that are posted are used up, while a
    /// block of new ones stands behind them.
    fn replace_blocks(&mut self, buffer_len: usize) {
        self.buffer_len = buffer_len;
        self.target = self.target.max(2 * BLOCK);
        self.short = 0;
    }

    /// Takes the next buffer out of the ring; posts it again, or lets it go.
    fn step(&mut self) {
        if self.taken == self.filled {
            return;
        }
        let number = self.numbers[slot(self.taken)];
        if self.buffer_len > self.frame_len {
            let taken = self.page.descriptor(offset_of!(SharedPage, rx), self.taken);
            if u32_to_usize(taken.length) > self.frame_len {
                self.short = 0;
            }
        }
        self.taken = self.taken.wrapping_add(1);
        self.idle |= 1 << number;
        if u32::from(number) < self.target && self.is_current(number) {
            self.post(number);
        } else {
            self.free_block_of(number);
        }
    }

    /// Gathers the next frame if it spans several buffers, which then go back to the kernel.
    ///
    /// The kernel shows all of them at once. A frame longer than any is dropped, and one that there
    /// is no memory for.
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
                let mut gathered = mem::take(&mut self.gathered);
                if let Some(bytes) = self.written(self.taken, part.length) {
                    fits &= gathered.len() + bytes.len() <= SUPER_LEN_MAX
                        && gathered.try_reserve(bytes.len()).is_ok();
                    if fits {
                        gathered.extend_from_slice(bytes);
                    }
                }
                self.gathered = gathered;
                self.step();
            }
            if !fits || goes_on {
                self.gathered.clear();
            }
            let is_long = self.gathered.len() > LONG / 2;
            if is_long && self.buffer_len == self.frame_len && heap::left() >= LONG_SPARE {
                self.replace_blocks(LONG);
            }
        }
    }

    fn post_idle(&mut self) {
        for number in (0_u8..).take(u32_to_usize(self.target)) {
            if self.idle & 1 << number != 0 && self.is_current(number) {
                self.post(number);
            }
        }
    }

    /// Returns whether the block of a buffer is of buffers as they are to be now, or will be.
    fn is_current(&self, number: u8) -> bool {
        let block = self.blocks[place(number).0].as_ref();
        block.is_none_or(|block| block.buffer_len == self.buffer_len)
    }

    /// Posts an idle buffer, if there is memory for it; the kernel hears of it with
    /// [`publish`](Self::publish).
    fn post(&mut self, number: u8) {
        let (block, at) = place(number);
        if self.blocks[block].is_none() {
            self.blocks[block] = self.allocate();
        }
        let Some(Block { memory, buffer_len }) = &self.blocks[block] else {
            self.target = BLOCK;
            return;
        };
        let descriptor = memory.descriptor(at * buffer_len, *buffer_len);
        self.page
            .set_descriptor(offset_of!(SharedPage, rx), self.posted, descriptor);
        self.numbers[slot(self.posted)] = number;
        self.idle &= !(1 << number);
        self.posted = self.posted.wrapping_add(1);
    }

    /// Allocates a block, of ordinary buffers if there is no memory for longer ones.
    fn allocate(&mut self) -> Option<Block> {
        let of = |buffer_len| {
            let memory = Buffer::untouched(buffer_len * u32_to_usize(BLOCK))?;
            Some(Block { memory, buffer_len })
        };
        of(self.buffer_len).or_else(|| {
            self.buffer_len = self.frame_len;
            of(self.buffer_len)
        })
    }

    fn publish(&mut self) {
        compiler_fence(Ordering::Release);
        self.page
            .store(offset_of!(SharedPage, rx_posted), self.posted);
    }

    fn free_block_of(&mut self, number: u8) {
        let (block, at) = place(number);
        let mask = u64::from(u16::MAX) << (usize::from(number) - at);
        if self.idle & mask == mask {
            self.blocks[block] = None;
        }
    }
}

/// Returns the block of a buffer and its place there.
const fn place(number: u8) -> (usize, usize) {
    let (number, block) = (number as usize, u32_to_usize(BLOCK));
    (number / block, number % block)
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
