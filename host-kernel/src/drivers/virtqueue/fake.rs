//! The device's side of a virtqueue, honest or lying, for tests.

use super::{Buffers, QueueAddresses, passes};
use crate::drivers::dma::DeviceMemory;

/// A device that works on a queue's memory by way of addresses, as a real one does.
#[derive(Debug)]
pub(crate) struct FakeQueue {
    memory: DeviceMemory,
    count: u16,
    descriptors: usize,
    available: usize,
    used: usize,
    taken: u16,
    pub(crate) done: u16,
}

impl FakeQueue {
    /// Attaches to the rings at `addresses`, in `memory`.
    pub(crate) fn new(memory: DeviceMemory, addresses: QueueAddresses, count: u16) -> Self {
        let base = memory.physical();
        let at = |address: u64| usize::try_from(address - base).unwrap();
        Self {
            descriptors: at(addresses.descriptors),
            available: at(addresses.available),
            used: at(addresses.used),
            memory,
            count,
            taken: 0,
            done: 0,
        }
    }

    /// Takes the next available buffer: its id, address and length.
    pub(crate) fn take(&mut self) -> Option<(u16, u64, u32)> {
        if self.memory.read_u16(self.available + 2) == self.taken {
            return None;
        }
        let slot = usize::from(self.taken % self.count);
        let id = self.memory.read_u16(self.available + 4 + 2 * slot);
        self.taken = self.taken.wrapping_add(1);
        let descriptor = self.descriptors + 16 * usize::from(id);
        let low = u64::from(self.memory.read_u32(descriptor));
        let high = u64::from(self.memory.read_u32(descriptor + 4));
        Some((id, high << 32 | low, self.memory.read_u32(descriptor + 8)))
    }

    /// Returns the descriptor behind one in its chain, if it is not the last.
    pub(crate) fn next(&self, id: u16) -> Option<(u16, u64, u32)> {
        const NEXT: u16 = 1;
        let descriptor = self.descriptors + 16 * usize::from(id);
        if self.memory.read_u16(descriptor + 12) & NEXT == 0 {
            return None;
        }
        let next = self.memory.read_u16(descriptor + 14);
        let descriptor = self.descriptors + 16 * usize::from(next);
        let low = u64::from(self.memory.read_u32(descriptor));
        let high = u64::from(self.memory.read_u32(descriptor + 4));
        Some((next, high << 32 | low, self.memory.read_u32(descriptor + 8)))
    }

    /// Returns a buffer; the answer is whether the driver wants an interrupt.
    pub(crate) fn finish(&mut self, id: u32, length: u32) -> bool {
        let slot = usize::from(self.done % self.count);
        self.memory.write_u32(self.used + 4 + 8 * slot, id);
        self.memory.write_u32(self.used + 8 + 8 * slot, length);
        self.set_used_index(self.done.wrapping_add(1))
    }

    /// Moves the used index, by right or not.
    pub(crate) fn set_used_index(&mut self, index: u16) -> bool {
        let old = core::mem::replace(&mut self.done, index);
        self.memory.write_u16(self.used + 2, index);
        let event = self
            .memory
            .read_u16(self.available + 4 + 2 * usize::from(self.count));
        passes(event, index, old)
    }

    /// Asks to be notified when the available index passes `event`.
    pub(crate) fn set_available_event(&mut self, event: u16) {
        self.memory
            .write_u16(self.used + 4 + 8 * usize::from(self.count), event);
    }
}

/// Returns buffers at an invented address.
pub(crate) fn buffers(count: u16, direction: super::Direction) -> Buffers {
    Buffers {
        physical: 0x1_0000_0000,
        length: 2048,
        count,
        direction,
    }
}
