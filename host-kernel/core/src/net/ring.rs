//! The kernel's side of the rings in a guest's shared page.
//!
//! Everything in guest memory is an allegation: each index and descriptor is read once, checked
//! and then used. What the kernel publishes it never reads back; its own indices live in
//! [`RingState`], out of the guest's reach.

use super::offload::Wish;
use core::mem::offset_of;
use denali_abi::layout::SHARED_ADDRESS;
use denali_abi::net::{Descriptor, FRAME_LEN_MAX, RING_LEN, flags};
use denali_abi::shared::SharedPage;
use zerocopy::{FromZeros, IntoBytes};

/// Most descriptors one frame may span, but for super-segments on receive.
pub const CHAIN_MAX: usize = 8;

/// Offload flags a guest may set on transmit besides [`flags::MORE`], unless the command line says
/// otherwise: what the kernel writes to
/// [`NetworkConfig::features`](denali_abi::net::NetworkConfig::features).
pub const FEATURES: u16 = flags::CHECKSUM_PARTIAL | flags::SEGMENT_TCP4 | flags::SEGMENT_TCP6;

const _: () = assert!(
    RING_LEN.is_power_of_two(),
    "slots must go on evenly at the wrap"
);

/// An address outside what the guest may name, or one that cannot be backed by memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadAddress;

/// The memory of one guest, by its own addresses.
pub trait GuestMemory {
    /// Copies `buffer.len()` bytes out of the guest.
    ///
    /// # Errors
    ///
    /// [`BadAddress`] if any byte lies where the guest itself could not read.
    fn read(&mut self, address: u64, buffer: &mut [u8]) -> Result<(), BadAddress>;

    /// Copies `bytes` into the guest.
    ///
    /// # Errors
    ///
    /// [`BadAddress`] if any byte lies where the guest itself could not write.
    fn write(&mut self, address: u64, bytes: &[u8]) -> Result<(), BadAddress>;
}

/// A broken ring contract: the guest's fatal mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RingViolation {
    /// An index lies more than [`RING_LEN`] ahead of the kernel's.
    Index,
    /// A frame spans more than [`CHAIN_MAX`] descriptors.
    Chain,
    /// A frame is longer than [`FRAME_LEN_MAX`], or a super-segment than
    /// [`SUPER_LEN_MAX`](denali_abi::net::SUPER_LEN_MAX).
    Length,
    /// A flag or segment size that was not offered.
    Flags,
    /// A buffer lies outside the guest's memory.
    Address,
}

impl From<BadAddress> for RingViolation {
    fn from(_: BadAddress) -> Self {
        Self::Address
    }
}

impl core::fmt::Display for RingViolation {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Index => "ring index out of range",
            Self::Chain => "frame spans too many descriptors",
            Self::Length => "frame too long",
            Self::Flags => "flag or segment size not offered",
            Self::Address => "ring buffer outside memory",
        })
    }
}

impl core::error::Error for RingViolation {}

/// A frame copied out of the transmit ring, still in it until [`RingState::consume`].
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a frame that is not consumed is found again"]
pub struct Outgoing {
    len: usize,
    descriptors: u32,
    wish: Wish,
    segments_sent: u16,
}

impl Outgoing {
    /// Returns the length of the frame in bytes, at most [`FRAME_LEN_MAX`], or, for a super-segment,
    /// [`SUPER_LEN_MAX`](denali_abi::net::SUPER_LEN_MAX).
    #[must_use]
    pub const fn frame_len(&self) -> usize {
        self.len
    }

    /// Returns what its descriptor says is left to do.
    #[must_use]
    pub const fn wish(&self) -> Wish {
        self.wish
    }

    /// Returns how many of its segments were sent before there was no room
    /// ([`RingState::keep_rest`]).
    #[must_use]
    pub const fn segments_sent(&self) -> u16 {
        self.segments_sent
    }
}

/// Whether the guest has to hear that its transmit ring has room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// Nothing was consumed, or the ring had not been full.
    AsBefore,
    /// The ring had been full: raise
    /// [`interrupt::TRANSMIT`](denali_abi::shared::interrupt::TRANSMIT).
    Regained,
}

/// What became of a frame for a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// It is in the receive ring.
    Filled,
    /// The posted buffers cannot hold it; nothing changed.
    NoBuffer,
    /// The guest does not take frames of which this is left to do; nothing changed.
    Unsuited,
}

/// The kernel's own indices into one guest's rings; the default fits the zeroed shared page.
#[derive(Clone, Copy, Debug, Default)]
pub struct RingState {
    tx_consumed: u32,
    tx_published: u32,
    rx_filled: u32,
    /// Of the next frame to transmit, if it is cut here.
    segments_sent: u16,
    tx_was_full: bool,
}

const _: () = assert!(size_of::<RingState>() <= 16);

impl RingState {
    /// Makes indices that somebody says a VM had: its rings are checked against them as against any.
    pub(crate) fn with_indices(tx_consumed: u32, rx_filled: u32) -> Self {
        Self {
            tx_consumed,
            tx_published: tx_consumed,
            rx_filled,
            ..Self::default()
        }
    }

    /// Returns how many transmit descriptors were consumed and receive buffers filled.
    pub(crate) const fn indices(&self) -> (u32, u32) {
        (self.tx_consumed, self.rx_filled)
    }

    /// Copies the next complete frame of the transmit ring to `buffer`, which bounds super-segments
    /// and holds at least [`FRAME_LEN_MAX`] bytes. `features` are the flags the guest may use.
    ///
    /// Returns `None` if there is none. The frame stays the next one until
    /// [`consume`](Self::consume), so that a full NIC can leave it where it is.
    ///
    /// # Errors
    ///
    /// [`RingViolation`]: end the VM.
    pub fn next_transmit(
        &mut self,
        memory: &mut dyn GuestMemory,
        buffer: &mut [u8],
        features: u16,
    ) -> Result<Option<Outgoing>, RingViolation> {
        let produced = read_index(memory, offset_of!(SharedPage, tx_produced))?;
        let available = distance(produced, self.tx_consumed)?;
        self.tx_was_full |= available == RING_LEN;

        let mut len = 0_usize;
        let mut wish = Wish::default();
        for nth in 0..available {
            if nth as usize == CHAIN_MAX {
                return Err(RingViolation::Chain);
            }
            let descriptor = read_descriptor(memory, Ring::Transmit, self.tx_consumed, nth)?;
            let offered = if nth == 0 { features } else { 0 };
            let said = wish_of(&descriptor, offered).ok_or(RingViolation::Flags)?;
            if nth == 0 {
                wish = said;
            }
            let end = len.saturating_add(descriptor.length as usize);
            if end > FRAME_LEN_MAX && !wish.is_super() {
                return Err(RingViolation::Length);
            }
            let part = if cfg!(sabotage = "panic-in-reach") {
                &mut buffer[len..end]
            } else {
                buffer.get_mut(len..end).ok_or(RingViolation::Length)?
            };
            memory.read(descriptor.address, part)?;
            len = end;
            if descriptor.flags & flags::MORE == 0 {
                return Ok(Some(Outgoing {
                    len,
                    descriptors: nth + 1,
                    wish,
                    segments_sent: self.segments_sent,
                }));
            }
        }
        Ok(None)
    }

    /// Takes a frame out of the transmit ring; the guest learns of it by
    /// [`finish_transmit`](Self::finish_transmit).
    #[expect(clippy::needless_pass_by_value, reason = "a frame is consumed once")]
    pub const fn consume(&mut self, frame: Outgoing) {
        self.tx_consumed = self.tx_consumed.wrapping_add(frame.descriptors);
        self.segments_sent = 0;
    }

    /// Leaves the next frame in the ring, of which so many segments are sent.
    pub const fn keep_rest(&mut self, segments_sent: u16) {
        self.segments_sent = segments_sent;
    }

    /// Tells the guest how far its transmit ring was consumed, once per batch.
    ///
    /// # Errors
    ///
    /// [`RingViolation`]: end the VM.
    pub fn finish_transmit(&mut self, memory: &mut dyn GuestMemory) -> Result<Room, RingViolation> {
        if self.tx_consumed == self.tx_published {
            return Ok(Room::AsBefore);
        }
        write_index(
            memory,
            offset_of!(SharedPage, tx_consumed),
            self.tx_consumed,
        )?;
        self.tx_published = self.tx_consumed;
        let was_full = core::mem::take(&mut self.tx_was_full);
        Ok(if was_full {
            Room::Regained
        } else {
            Room::AsBefore
        })
    }

    /// Copies `frame` into the buffers posted next, over several if one is too small, and publishes
    /// it with what `left` says of it.
    ///
    /// # Errors
    ///
    /// [`RingViolation`]: end the VM.
    pub fn deliver(
        &mut self,
        memory: &mut dyn GuestMemory,
        frame: &[u8],
        left: Wish,
    ) -> Result<Delivery, RingViolation> {
        let posted = if left.flags == 0 {
            read_index(memory, offset_of!(SharedPage, rx_posted))?
        } else {
            let (posted, accepts) = read_wishes(memory)?;
            if u32::from(left.flags) & !accepts != 0 {
                return Ok(Delivery::Unsuited);
            }
            posted
        };
        let available = distance(posted, self.rx_filled)?;
        if available == 0 {
            return Ok(Delivery::NoBuffer);
        }
        let first = read_descriptor(memory, Ring::Receive, self.rx_filled, 0)?;
        let used = if first.length as usize >= frame.len() {
            self.fill(memory, 0, &first, frame, left)?;
            1
        } else {
            let mut chain = [Descriptor::default(); RING_LEN as usize];
            let used = self.gather(memory, available, frame.len(), &mut chain)?;
            if used == 0 {
                return Ok(Delivery::NoBuffer);
            }
            let mut rest = frame;
            for (nth, posted) in (0..used).zip(&chain) {
                let (part, behind) = rest.split_at(rest.len().min(posted.length as usize));
                rest = behind;
                let more = if nth + 1 == used { 0 } else { flags::MORE };
                let left = if nth == 0 { left } else { Wish::default() };
                let flags = left.flags | more;
                self.fill(memory, nth, posted, part, Wish { flags, ..left })?;
            }
            used
        };
        self.rx_filled = self.rx_filled.wrapping_add(used);
        write_index(memory, offset_of!(SharedPage, rx_filled), self.rx_filled)?;
        Ok(Delivery::Filled)
    }

    /// Reads the descriptors of as many posted buffers as `length` bytes need; returns how many, or
    /// 0 if there are too few.
    fn gather(
        &self,
        memory: &mut dyn GuestMemory,
        available: u32,
        length: usize,
        chain: &mut [Descriptor; RING_LEN as usize],
    ) -> Result<u32, RingViolation> {
        let most = if length > FRAME_LEN_MAX {
            available
        } else {
            available.min(u32::try_from(CHAIN_MAX).unwrap_or(RING_LEN))
        };
        let mut capacity = 0_usize;
        for (nth, slot) in (0..most).zip(chain) {
            *slot = read_descriptor(memory, Ring::Receive, self.rx_filled, nth)?;
            capacity = capacity.saturating_add(slot.length as usize);
            if capacity >= length {
                return Ok(nth + 1);
            }
        }
        Ok(0)
    }

    /// Writes a part of a frame to a posted buffer, and its descriptor.
    fn fill(
        &self,
        memory: &mut dyn GuestMemory,
        nth: u32,
        posted: &Descriptor,
        part: &[u8],
        left: Wish,
    ) -> Result<(), RingViolation> {
        memory.write(posted.address, part)?;
        let filled = Descriptor {
            address: posted.address,
            length: u32::try_from(part.len()).map_err(|_| RingViolation::Length)?,
            flags: left.flags,
            segment_size: left.segment_size,
        };
        let address = slot_address(Ring::Receive, self.rx_filled, nth);
        memory.write(address, filled.as_bytes())?;
        Ok(())
    }
}

/// Returns what a descriptor says is left to do, if that is `offered`.
fn wish_of(descriptor: &Descriptor, offered: u16) -> Option<Wish> {
    let wish = Wish {
        flags: descriptor.flags & !flags::MORE,
        segment_size: descriptor.segment_size,
    };
    let known = wish.flags & !offered == 0;
    let sized = wish.is_super() == (wish.segment_size != 0);
    (known && sized || cfg!(sabotage = "trust-flags")).then_some(wish)
}

#[derive(Clone, Copy)]
enum Ring {
    Transmit,
    Receive,
}

/// Returns how far the guest's index is ahead of the kernel's.
const fn distance(guest: u32, kernel: u32) -> Result<u32, RingViolation> {
    let ahead = guest.wrapping_sub(kernel);
    if ahead <= RING_LEN || cfg!(sabotage = "trust-index") {
        Ok(ahead)
    } else {
        Err(RingViolation::Index)
    }
}

fn read_index(memory: &mut dyn GuestMemory, offset: usize) -> Result<u32, BadAddress> {
    let mut bytes = [0; 4];
    memory.read(SHARED_ADDRESS + offset as u64, &mut bytes)?;
    Ok(u32::from_le_bytes(bytes))
}

/// Returns how many receive buffers the guest has posted and what it takes in them: of one visit to
/// its page, as each costs more than the bytes between.
fn read_wishes(memory: &mut dyn GuestMemory) -> Result<(u32, u32), BadAddress> {
    const START: usize = offset_of!(SharedPage, rx_posted);
    const END: usize = offset_of!(SharedPage, rx_accepts) + 4;
    let mut bytes = [0; END - START];
    memory.read(SHARED_ADDRESS + START as u64, &mut bytes)?;
    let word = |bytes: Option<&[u8; 4]>| bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes));
    Ok((word(bytes.first_chunk()), word(bytes.last_chunk())))
}

fn write_index(memory: &mut dyn GuestMemory, offset: usize, index: u32) -> Result<(), BadAddress> {
    memory.write(SHARED_ADDRESS + offset as u64, &index.to_le_bytes())
}

/// Returns the guest address of the descriptor `nth` places behind `index`.
const fn slot_address(ring: Ring, index: u32, nth: u32) -> u64 {
    let offset = match ring {
        Ring::Transmit => offset_of!(SharedPage, tx),
        Ring::Receive => offset_of!(SharedPage, rx),
    };
    let slot = index.wrapping_add(nth) % RING_LEN;
    SHARED_ADDRESS + offset as u64 + slot as u64 * size_of::<Descriptor>() as u64
}

fn read_descriptor(
    memory: &mut dyn GuestMemory,
    ring: Ring,
    index: u32,
    nth: u32,
) -> Result<Descriptor, BadAddress> {
    let mut descriptor = Descriptor::new_zeroed();
    memory.read(slot_address(ring, index, nth), descriptor.as_mut_bytes())?;
    Ok(descriptor)
}

#[cfg(test)]
#[path = "ring_tests.rs"]
mod tests;
