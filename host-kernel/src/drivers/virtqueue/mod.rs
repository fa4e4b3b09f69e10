//! A split virtqueue whose every descriptor is one fixed buffer (virtio 1.2 §2.7).
//!
//! Descriptor `i` always describes buffer `i`, so nothing is allocated. What is longer than a buffer
//! goes out as a chain of them, known by its first.
//! What the device writes is checked against a table of buffers in flight: a lying device gets a
//! [`Violation`], never memory.

use super::dma::DeviceMemory;
use super::virtio::FEATURE_EVENT_INDEX;
use core::sync::atomic::{Ordering, fence};
use denali_abi::convert::usize_to_u64;
use heapless::Vec;

/// Most buffers of a queue; a power of two.
pub const QUEUE_LEN_MAX: u16 = 256;

/// Bytes of memory a queue needs for its three rings.
pub const QUEUE_BYTES: usize = 8192;

const SLOTS: usize = QUEUE_LEN_MAX as usize;
const _: () = assert!(SLOTS <= 1 + u8::MAX as usize, "a buffer's number is a byte");

// Offsets in the queue's memory, laid out for the largest queue (alignments: §2.7).
const DESCRIPTORS: usize = 0;
const AVAILABLE: usize = DESCRIPTORS + 16 * SLOTS;
const USED: usize = AVAILABLE + (6 + 2 * SLOTS).next_multiple_of(4);
const _: () = assert!(USED + 6 + 8 * SLOTS <= QUEUE_BYTES);

// Offsets in the available and the used ring.
const FLAGS: usize = 0;
const INDEX: usize = 2;
const RING: usize = 4;

/// The descriptor has a successor.
pub const DESCRIPTOR_NEXT: u16 = 1;
/// The device writes the buffer.
pub const DESCRIPTOR_WRITE: u16 = 2;
const DESCRIPTOR_INDIRECT: u16 = 4;

const AVAILABLE_NO_INTERRUPT: u16 = 1;
const USED_NO_NOTIFY: u16 = 1;

/// Who writes the buffers of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The device fills them.
    FromDevice,
    /// The driver fills them.
    ToDevice,
    /// The driver fills them with tables of descriptors (§2.7.5.3); the device says how many bytes
    /// it wrote to what these describe, which nobody here can judge.
    Tables,
}

impl Direction {
    const fn descriptor_flags(self) -> u16 {
        match self {
            Self::FromDevice => DESCRIPTOR_WRITE,
            Self::ToDevice => 0,
            Self::Tables => DESCRIPTOR_INDIRECT,
        }
    }
}

/// How driver and device tell each other not to signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suppression {
    /// `VIRTIO_F_EVENT_IDX`: signal when an index passes (§2.7.7, §2.7.10).
    EventIndex,
    /// A flag in each ring.
    Flags,
}

impl Suppression {
    /// Returns how to do it with a device that agreed to `features`.
    #[must_use]
    pub const fn of(features: u64) -> Self {
        if features & FEATURE_EVENT_INDEX != 0 {
            Self::EventIndex
        } else {
            Self::Flags
        }
    }
}

/// The buffers of a queue: `count` pieces of `length` bytes each, from `physical` on.
#[derive(Clone, Copy, Debug)]
pub struct Buffers {
    /// Where the device finds the first.
    pub physical: u64,
    /// Bytes of each.
    pub length: u32,
    /// How many; a power of two, at most [`QUEUE_LEN_MAX`].
    pub count: u16,
    /// Who writes them.
    pub direction: Direction,
}

/// Where a device finds the rings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueAddresses {
    /// Descriptor table.
    pub descriptors: u64,
    /// Available ring.
    pub available: u64,
    /// Used ring.
    pub used: u64,
}

/// Whether the device waits to be told of new buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Notify {
    /// Write to the queue's notification register.
    Needed,
    /// The device looks by itself.
    NotNeeded,
}

/// A buffer the device is done with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Used {
    /// Which buffer.
    pub buffer: u16,
    /// Bytes the device says it wrote, at most the buffer's length.
    pub length: u32,
    /// Whether it said more than that.
    pub clamped: bool,
}

/// A device broke the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// The used index claims more buffers than are in flight.
    UsedIndex(u16),
    /// A buffer came back that is not in flight.
    NotInFlight(u32),
    /// Something was said to lie in so many buffers, of which not all came back.
    Missing(u16),
}

impl core::fmt::Display for Violation {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::UsedIndex(index) => write!(f, "used index {index} claims too many buffers"),
            Self::NotInFlight(id) => write!(f, "buffer {id} came back without being in flight"),
            Self::Missing(count) => write!(f, "not all of {count} buffers came back"),
        }
    }
}

/// The driver's side of a queue.
#[derive(Debug)]
pub struct Virtqueue {
    memory: DeviceMemory,
    buffers: Buffers,
    suppression: Suppression,
    /// Buffers the driver holds.
    free: Vec<u16, SLOTS>,
    /// First buffers of the chains the device holds, published or about to be.
    in_flight: [bool; SLOTS],
    /// The buffer behind each one in its chain; itself at the end.
    next: [u8; SLOTS],
    /// Available index including buffers not yet published.
    available: u16,
    /// Available index as the device sees it.
    published: u16,
    /// The published index from which on the device was not told.
    untold: Option<u16>,
    /// Used entries taken.
    used: u16,
}

impl Virtqueue {
    /// Makes an empty queue in `memory`, which holds [`QUEUE_BYTES`]: all buffers are free and the
    /// device is told not to interrupt.
    ///
    /// # Panics
    ///
    /// If the number of buffers is not a power of two up to [`QUEUE_LEN_MAX`], or `memory` is too
    /// small.
    #[must_use]
    pub fn new(memory: DeviceMemory, buffers: Buffers, suppression: Suppression) -> Self {
        let count = buffers.count;
        assert!(
            count.is_power_of_two() && count <= QUEUE_LEN_MAX,
            "bad queue size {count}"
        );
        let mut queue = Self {
            memory,
            buffers,
            suppression,
            free: Vec::new(),
            in_flight: [false; SLOTS],
            next: [0; SLOTS],
            available: 0,
            published: 0,
            untold: None,
            used: 0,
        };
        queue.reset();
        queue
    }

    /// Starts over, for a device that has been reset: all buffers are free.
    pub fn reset(&mut self) {
        self.memory.copy_in(0, &[0; QUEUE_BYTES]);
        self.free.clear();
        // Lowest buffer on top, so that a quiet queue touches few of them.
        self.free.extend((0..self.buffers.count).rev());
        self.in_flight = [false; SLOTS];
        for (buffer, next) in (0..=u8::MAX).zip(&mut self.next) {
            *next = buffer;
        }
        (self.available, self.published, self.used) = (0, 0, 0);
        self.untold = None;
        let flags = self.buffers.direction.descriptor_flags();
        for buffer in 0..self.buffers.count {
            let descriptor = DESCRIPTORS + 16 * usize::from(buffer);
            let offset = u64::from(buffer) * u64::from(self.buffers.length);
            self.memory
                .write_u64(descriptor, self.buffers.physical + offset);
            self.memory.write_u16(descriptor + 12, flags);
        }
        self.disarm();
    }

    /// Returns where the device finds the rings.
    #[must_use]
    pub fn addresses(&self) -> QueueAddresses {
        let at = |offset| self.memory.physical() + usize_to_u64(offset);
        QueueAddresses {
            descriptors: at(DESCRIPTORS),
            available: at(AVAILABLE),
            used: at(USED),
        }
    }

    /// Returns the number of buffers.
    #[must_use]
    pub const fn count(&self) -> u16 {
        self.buffers.count
    }

    /// Returns how many buffers are free.
    #[must_use]
    pub fn free_count(&self) -> usize {
        self.free.len()
    }

    /// Takes a free buffer to fill and [`post`](Self::post).
    pub fn take_free(&mut self) -> Option<u16> {
        self.free.pop()
    }

    /// Gives a buffer that was taken ([`take_free`](Self::take_free),
    /// [`take_used`](Self::take_used)) back to the free ones, and the chain behind it.
    pub fn give_back(&mut self, buffer: u16) {
        let mut buffer = buffer;
        loop {
            self.free
                .push(buffer)
                .expect("every buffer is free at most once");
            let [low, _] = buffer.to_le_bytes();
            let slot = self.next.get_mut(usize::from(buffer));
            let next = slot.map_or(buffer, |next| u16::from(core::mem::replace(next, low)));
            if next == buffer {
                return;
            }
            buffer = next;
        }
    }

    /// Puts `buffer` before `chain`, to be sent whole ahead of it; the chain is then known by
    /// `buffer`. Neither is in flight.
    pub fn chain_before(&mut self, buffer: u16, chain: u16) {
        let [low, _] = chain.to_le_bytes();
        if let Some(next) = self.next.get_mut(usize::from(buffer)) {
            *next = low;
        }
        let descriptor = DESCRIPTORS + 16 * usize::from(buffer);
        let flags = self.buffers.direction.descriptor_flags();
        self.memory.write_u32(descriptor + 8, self.buffers.length);
        self.memory
            .write_u16(descriptor + 12, flags | DESCRIPTOR_NEXT);
        self.memory.write_u16(descriptor + 14, chain);
    }

    /// Sets the length of the last buffer of a chain.
    pub fn end_chain(&mut self, buffer: u16, length: u32) {
        let descriptor = DESCRIPTORS + 16 * usize::from(buffer);
        let flags = self.buffers.direction.descriptor_flags();
        self.memory.write_u32(descriptor + 8, length);
        self.memory.write_u16(descriptor + 12, flags);
    }

    /// Queues `length` bytes of a buffer for the device, which sees it after
    /// [`publish`](Self::publish).
    ///
    /// # Panics
    ///
    /// If the buffer is in flight already or `length` exceeds it: the driver's mistake.
    pub fn post(&mut self, buffer: u16, length: u32) {
        assert!(
            length <= self.buffers.length,
            "buffer {buffer} is shorter than {length}"
        );
        self.memory
            .write_u32(DESCRIPTORS + 16 * usize::from(buffer) + 8, length);
        self.post_chain(buffer);
    }

    /// Queues a chain made with [`end_chain`](Self::end_chain) and
    /// [`chain_before`](Self::chain_before).
    ///
    /// # Panics
    ///
    /// If it is in flight already: the driver's mistake.
    pub fn post_chain(&mut self, first: u16) {
        let slot = self.in_flight.get_mut(usize::from(first));
        assert!(
            slot.is_some_and(|slot| !core::mem::replace(slot, true)),
            "buffer {first} is in flight already"
        );
        let slot = usize::from(self.available & (self.buffers.count - 1));
        self.memory.write_u16(AVAILABLE + RING + 2 * slot, first);
        self.available = self.available.wrapping_add(1);
    }

    /// Shows the device all posted buffers.
    pub fn publish(&mut self) -> Notify {
        let old = self.published;
        if old == self.available {
            return Notify::NotNeeded;
        }
        // Contents and ring entries before the index (§2.7.13).
        fence(Ordering::Release);
        self.memory.write_u16(AVAILABLE + INDEX, self.available);
        self.published = self.available;
        // The index before the device's wish to be notified (§2.7.13.3.1).
        fence(Ordering::SeqCst);
        let wish = self.wish(old);
        self.untold = match wish {
            Notify::Needed => None,
            Notify::NotNeeded => self.untold.or(Some(old)),
        };
        wish
    }

    /// Looks once more whether the device wishes to be told of what was published.
    ///
    /// A fence between our write and our look keeps a processor from looking first. QEMU without
    /// hardware virtualization executes it as nothing when it emulates a single processor, while
    /// its devices run on another one: both sides may then have looked too early, and wait for each
    /// other for ever. Some hundred instructions later the write is there, so a second look finds
    /// what the first one missed.
    pub fn look_again(&mut self) -> Notify {
        let untold = self.untold.take();
        untold.map_or(Notify::NotNeeded, |old| self.wish(old))
    }

    /// Returns whether the device wishes to be told of what was published from index `old` on.
    fn wish(&self, old: u16) -> Notify {
        let needed = match self.suppression {
            Suppression::EventIndex => {
                let event = self.memory.read_u16(self.available_event());
                passes(event, self.published, old)
            }
            Suppression::Flags => self.memory.read_u16(USED + FLAGS) & USED_NO_NOTIFY == 0,
        };
        if needed {
            Notify::Needed
        } else {
            Notify::NotNeeded
        }
    }

    /// Returns whether there is a buffer to take, whatever the device said of it.
    #[must_use]
    pub fn has_used(&self) -> bool {
        self.memory.read_u16(USED + INDEX) != self.used
    }

    /// Takes the next buffer the device is done with; it is then neither free nor in flight.
    ///
    /// # Errors
    ///
    /// A [`Violation`] if the device broke the protocol; it must then be reset.
    pub fn take_used(&mut self) -> Result<Option<Used>, Violation> {
        let index = self.memory.read_u16(USED + INDEX);
        let new = index.wrapping_sub(self.used);
        if new == 0 {
            return Ok(None);
        }
        if new > self.published.wrapping_sub(self.used) {
            return Err(Violation::UsedIndex(index));
        }
        // The index before the entry and the buffer's contents.
        fence(Ordering::Acquire);
        let slot = usize::from(self.used & (self.buffers.count - 1));
        let id = self.memory.read_u32(USED + RING + 8 * slot);
        let length = self.memory.read_u32(USED + RING + 8 * slot + 4);
        let buffer = u16::try_from(id).map_err(|_| Violation::NotInFlight(id))?;
        match self.in_flight.get_mut(usize::from(buffer)) {
            Some(in_flight @ true) => *in_flight = false,
            _ => return Err(Violation::NotInFlight(id)),
        }
        self.used = self.used.wrapping_add(1);
        let most = match self.buffers.direction {
            Direction::FromDevice | Direction::ToDevice => self.buffers.length,
            Direction::Tables => u32::MAX,
        };
        Ok(Some(Used {
            buffer,
            length: length.min(most),
            clamped: length > most,
        }))
    }

    /// Asks for an interrupt once the device is done with `more` buffers (at least 1) beyond those
    /// taken. Returns whether it is already, in which case the interrupt may not come.
    pub fn arm(&mut self, more: u16) -> bool {
        match self.suppression {
            Suppression::EventIndex => {
                let event = self.used.wrapping_add(more).wrapping_sub(1);
                self.memory.write_u16(self.used_event(), event);
            }
            Suppression::Flags => self.memory.write_u16(AVAILABLE + FLAGS, 0),
        }
        // The wish before the look, or an interrupt could be lost (§2.7.7.2).
        fence(Ordering::SeqCst);
        self.memory.read_u16(USED + INDEX).wrapping_sub(self.used) >= more.max(1)
    }

    /// Tells the device not to interrupt. With [`Suppression::EventIndex`] this holds for 32,767
    /// further buffers, so it must be repeated as buffers are taken.
    pub fn disarm(&mut self) {
        match self.suppression {
            Suppression::EventIndex => {
                let far = self.used.wrapping_add(0x7fff);
                self.memory.write_u16(self.used_event(), far);
            }
            Suppression::Flags => self
                .memory
                .write_u16(AVAILABLE + FLAGS, AVAILABLE_NO_INTERRUPT),
        }
    }

    /// Returns how many published buffers have not been taken back.
    #[must_use]
    pub const fn outstanding(&self) -> u16 {
        self.published.wrapping_sub(self.used)
    }

    const fn used_event(&self) -> usize {
        AVAILABLE + RING + 2 * self.buffers.count as usize
    }

    const fn available_event(&self) -> usize {
        USED + RING + 8 * self.buffers.count as usize
    }
}

/// Returns whether an index that moved from `old` to `new` passed `event` (`vring_need_event`).
const fn passes(event: u16, new: u16, old: u16) -> bool {
    new.wrapping_sub(event).wrapping_sub(1) < new.wrapping_sub(old)
}

#[cfg(test)]
pub(super) mod fake;
#[cfg(test)]
mod tests;
