//! One queue of the NIC: its buffers, and the header before each frame.

use super::{BUFFER_BYTES, HEADER_BYTES, features};
use crate::drivers::dma::DeviceMemory;
use crate::drivers::virtio::{Doorbell, Transport, VirtioError};
use crate::drivers::virtqueue::{
    Buffers, Direction, QUEUE_BYTES, QUEUE_LEN_MAX, Suppression, Used, Virtqueue,
};
use denali_abi::convert::u32_to_usize;
use denali_abi::net::flags;
use denali_kernel_core::machine::Offload;

/// A queue and the buffers it moves.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) queue: Virtqueue,
    pub(super) buffers: DeviceMemory,
    doorbell: Doorbell,
}

impl Lane {
    /// Makes a queue of the size the device allows, in half of the NIC's memory.
    pub(super) fn open(
        transport: &mut Transport,
        index: u16,
        direction: Direction,
        memory: DeviceMemory,
        suppression: Suppression,
    ) -> Result<Self, VirtioError> {
        let offered = transport.queue_size_max(index).min(QUEUE_LEN_MAX);
        // Split queues have a power of two (§2.7); rounding down makes it one.
        let count = offered.checked_ilog2().map(|bits| 1 << bits);
        let count = count.ok_or(VirtioError::Queue(index))?;
        let (rings, buffers) = memory.split_at(QUEUE_BYTES);
        let described = Buffers {
            physical: buffers.physical(),
            length: u32::from(BUFFER_BYTES),
            count,
            direction,
        };
        let queue = Virtqueue::new(rings, described, suppression);
        Ok(Self {
            queue,
            buffers,
            doorbell: Doorbell::default(),
        })
    }

    /// Connects the queue to the device; its MSI-X message has its own number.
    pub(super) fn connect(
        &mut self,
        transport: &mut Transport,
        index: u16,
    ) -> Result<(), VirtioError> {
        let (count, addresses) = (self.queue.count(), self.queue.addresses());
        self.doorbell = transport.connect(index, count, addresses, index)?;
        Ok(())
    }

    pub(super) fn publish(&mut self, transport: &mut Transport) {
        let notify = self.queue.publish();
        transport.ring(self.doorbell, notify);
    }

    pub(super) fn look_again(&mut self, transport: &mut Transport) {
        let notify = self.queue.look_again();
        transport.ring(self.doorbell, notify);
    }
}

// Flags and kinds of a frame's header (§5.1.6).
const NEEDS_CHECKSUM: u8 = 1;
const DATA_VALID: u8 = 2;
const BOTH: u8 = NEEDS_CHECKSUM | DATA_VALID;
const NOT_CUT: u8 = 0;
const TCP4: u8 = 1;
const TCP6: u8 = 4;

/// Returns the header that asks the device for what is left to do (§5.1.6.2).
pub(super) fn header(offload: Offload) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    if offload.flags == 0 {
        return header;
    }
    header[0] = NEEDS_CHECKSUM;
    header[1] = match offload.flags & (flags::SEGMENT_TCP4 | flags::SEGMENT_TCP6) {
        flags::SEGMENT_TCP4 => TCP4,
        flags::SEGMENT_TCP6 => TCP6,
        _ => 0,
    };
    let fields = [
        offload.header_len,
        offload.segment_size,
        offload.checksum_start,
        offload.checksum_offset,
    ];
    for (to, from) in header[2..].chunks_exact_mut(2).zip(fields) {
        to.copy_from_slice(&from.to_le_bytes());
    }
    header
}

/// Returns into how many buffers the device put the frame that begins in `first` (§5.1.6.4).
pub(super) fn buffers(memory: &DeviceMemory, first: u16) -> u16 {
    memory.read_u16(offset_of(first) + 10)
}

/// Returns what the device says of the frame that begins in buffer `first` (§5.1.6.4), if that is
/// among what was `agreed`.
pub(super) fn said(memory: &DeviceMemory, first: u16, agreed: u64) -> Option<Offload> {
    let [bits, kind] = memory.read_u16(offset_of(first)).to_le_bytes();
    let (needs, flags) = match (kind, bits & BOTH) {
        (NOT_CUT, 0) => (0, 0),
        (NOT_CUT, DATA_VALID) => (features::RECEIVE_CHECKSUM, flags::CHECKSUM_VALID),
        (NOT_CUT, _) => (features::RECEIVE_CHECKSUM, flags::CHECKSUM_PARTIAL),
        (TCP4, NEEDS_CHECKSUM | BOTH) => (
            features::RECEIVE_TCP4,
            flags::CHECKSUM_PARTIAL | flags::SEGMENT_TCP4,
        ),
        (TCP6, NEEDS_CHECKSUM | BOTH) => (
            features::RECEIVE_TCP6,
            flags::CHECKSUM_PARTIAL | flags::SEGMENT_TCP6,
        ),
        _ => return None,
    };
    let segment_size = match kind {
        NOT_CUT => 0,
        _ => memory.read_u16(offset_of(first) + 4),
    };
    (agreed & needs == needs).then_some(Offload {
        flags,
        segment_size,
        ..Offload::default()
    })
}

/// A received frame that is put together from buffers.
#[derive(Debug)]
pub(super) struct Gathered<'a> {
    frame: &'a mut [u8],
    /// Bytes so far; `None` once there is something wrong with it.
    length: Option<usize>,
    /// Bytes before the frame in the next buffer.
    skip: usize,
}

impl<'a> Gathered<'a> {
    /// Puts a frame into `frame`; its first buffer begins with a header.
    pub(super) const fn behind_header(frame: &'a mut [u8]) -> Self {
        Self {
            frame,
            length: Some(0),
            skip: HEADER_BYTES,
        }
    }

    /// Adds what a buffer of `memory` holds.
    pub(super) fn add(&mut self, used: Used, memory: &DeviceMemory) {
        let skip = core::mem::take(&mut self.skip);
        self.length = self.length.filter(|_| !used.clamped).and_then(|length| {
            let more = u32_to_usize(used.length).checked_sub(skip)?;
            let room = self.frame.get_mut(length..length + more)?;
            memory.copy_out(offset_of(used.buffer) + skip, room);
            Some(length + more)
        });
    }

    /// Returns the length of the whole frame; `None` if it is empty, too long, or shorter than its
    /// header.
    pub(super) fn length(&self) -> Option<usize> {
        self.length.filter(|&length| length > 0)
    }
}

/// Returns where a buffer starts in its lane's memory.
pub(super) fn offset_of(buffer: u16) -> usize {
    usize::from(buffer) * usize::from(BUFFER_BYTES)
}
