//! One queue of the NIC: its buffers, and the header before each frame.

use super::{BUFFER_BYTES, HEADER_BYTES};
use crate::drivers::dma::DeviceMemory;
use crate::drivers::virtio::{Doorbell, Transport, VirtioError};
use crate::drivers::virtqueue::{
    Buffers, Direction, QUEUE_BYTES, QUEUE_LEN_MAX, Suppression, Virtqueue,
};
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
}

/// Returns the header that asks the device for what is left to do (§5.1.6.2).
pub(super) fn header(offload: Offload) -> [u8; HEADER_BYTES] {
    const NEEDS_CHECKSUM: u8 = 1;
    const TCP4: u8 = 1;
    const TCP6: u8 = 4;
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

/// Returns where a buffer starts in its lane's memory.
pub(super) fn offset_of(buffer: u16) -> usize {
    usize::from(buffer) * usize::from(BUFFER_BYTES)
}
