//! Virtio network device (virtio 1.2 §5.1): one receive and one transmit queue, by MSI-X.
//!
//! Frames are copied into and out of DMA buffers made once; nothing is allocated per frame and
//! nothing waits. The device interrupts for received frames only after the driver has found the
//! queue empty, and for sent frames only after the driver has found it full; sent buffers are
//! otherwise collected when the next frame needs one. Checksums and the cutting of TCP
//! super-segments are left to a device that offers it, and one that joins what it receives to
//! super-segments may give them as several buffers.
//! Interrupts leave notes that [`Nic::poll_event`] turns into events.
//!
//! A device that breaks the protocol is reset and set up anew, a limited number of times.

mod features;
mod lane;

use super::Platform;
use super::pci::{self, DeviceId, Function};
use super::virtio::{self, Transport, VirtioError};
use super::virtqueue::Violation;
use super::virtqueue::{Direction, QUEUE_BYTES, QUEUE_LEN_MAX, Suppression};
use core::fmt;
use denali_abi::net::SUPER_LEN_MAX;
use denali_kernel_core::machine::{Event, NicFull, Offload, Received};
use lane::{Gathered, Lane, header, offset_of};

const VENDOR: u16 = 0x1af4;
const DEVICE_MODERN: u16 = 0x1041;
const DEVICE_TRANSITIONAL: u16 = 0x1000;

const RECEIVE_QUEUE: u16 = 0;
const TRANSMIT_QUEUE: u16 = 1;

/// Bytes of `virtio_net_hdr`, all zero for a frame of which nothing is left to do (§5.1.6).
const HEADER_BYTES: usize = 12;

/// Bytes of one buffer: header and frame, two to a page.
pub(super) const BUFFER_BYTES: u16 = 2048;

/// Buffers of the longest super-segment.
const SUPER_BUFFERS: u16 = 33;
const _: () = assert!(
    (HEADER_BYTES + SUPER_LEN_MAX).div_ceil(BUFFER_BYTES as usize) == SUPER_BUFFERS as usize
);

const BUFFERS_BYTES: usize = QUEUE_LEN_MAX as usize * BUFFER_BYTES as usize;

/// Contiguous memory the NIC takes from [`Platform::take_dma`], in one piece.
pub const DMA_BYTES: usize = 2 * (QUEUE_BYTES + BUFFERS_BYTES);

/// Receive buffers are shown to the device again at the latest after this many frames.
const REPOST_BATCH: u16 = 32;

/// After this many resets a device is given up.
const RESETS_MAX: u32 = 8;

/// The CPU's interrupt vectors for the two queues.
#[derive(Clone, Copy, Debug)]
pub struct Vectors {
    /// Frames were received.
    pub receive: u8,
    /// Frames were sent.
    pub transmit: u8,
}

/// Frames that did not get through, and what the device did wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Received frames that were longer than a buffer or shorter than their header.
    pub receive_dropped: u64,
    /// Frames too long to send, or sent to a device given up.
    pub transmit_dropped: u64,
    /// Resets after violations.
    pub resets: u32,
}

/// Why there is a NIC that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NicError {
    function: Function,
    reason: Reason,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    Virtio(VirtioError),
    NoMemory,
}

impl fmt::Display for NicError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "virtio-net at {}: ", self.function)?;
        match self.reason {
            Reason::Virtio(error) => error.fmt(f),
            Reason::NoMemory => write!(f, "no {DMA_BYTES} contiguous bytes for its buffers"),
        }
    }
}

impl core::error::Error for NicError {}

impl From<VirtioError> for Reason {
    fn from(error: VirtioError) -> Self {
        Self::Virtio(error)
    }
}

/// The network card.
#[derive(Debug)]
pub struct Nic {
    transport: Transport,
    receive: Lane,
    transmit: Lane,
    mac: [u8; 6],
    features: u64,
    /// Receive buffers taken since they were last shown to the device.
    reposted: u16,
    /// The receive queue is to be looked at.
    received: bool,
    /// The core was told that the queue is full and waits for room.
    full: bool,
    /// How many buffers it was that the last frame wanted.
    wanted: usize,
    /// Reset too often: takes and gives nothing any more.
    given_up: bool,
    counters: Counters,
}

impl Nic {
    /// Finds the first virtio network device and starts it; `None` if there is none.
    ///
    /// # Errors
    ///
    /// A [`NicError`] if there is one that cannot be used.
    pub fn probe(platform: &mut dyn Platform, vectors: Vectors) -> Result<Option<Self>, NicError> {
        let wanted = |id: DeviceId| {
            id.vendor == VENDOR && matches!(id.device, DEVICE_MODERN | DEVICE_TRANSITIONAL)
        };
        let Some(function) = pci::find(platform, wanted) else {
            return Ok(None);
        };
        let nic = Self::open(platform, function, vectors);
        nic.map(Some)
            .map_err(|reason| NicError { function, reason })
    }

    fn open(
        platform: &mut dyn Platform,
        function: Function,
        vectors: Vectors,
    ) -> Result<Self, Reason> {
        let mut transport = Transport::open(function, platform)?;
        let buffers = transport.queue_size_max(RECEIVE_QUEUE);
        let optional = virtio::FEATURE_EVENT_INDEX
            | virtio::FEATURE_ACCESS_PLATFORM
            | features::optional(transport.offered(), buffers);
        let required = virtio::FEATURE_VERSION_1 | features::MAC;
        let features = transport.negotiate(required, optional)?;
        function
            .enable_msix(platform, &[vectors.receive, vectors.transmit])
            .map_err(VirtioError::from)?;
        let memory = platform
            .take_dma(DMA_BYTES)
            .filter(|memory| memory.length() >= DMA_BYTES);
        let (receive, transmit) = memory.ok_or(Reason::NoMemory)?.split_at(DMA_BYTES / 2);
        let mut lane = |index, direction, memory| {
            Lane::open(
                &mut transport,
                index,
                direction,
                memory,
                Suppression::of(features),
            )
        };
        let receive = lane(RECEIVE_QUEUE, Direction::FromDevice, receive)?;
        let transmit = lane(TRANSMIT_QUEUE, Direction::ToDevice, transmit)?;
        let mut mac = [0; 6];
        transport.configuration().copy_out(0, &mut mac);
        let mut nic = Self {
            transport,
            receive,
            transmit,
            mac,
            features,
            reposted: 0,
            received: false,
            full: false,
            wanted: 1,
            given_up: false,
            counters: Counters::default(),
        };
        nic.start()?;
        log::info!(
            "nic: virtio-net at {function}, {} receive and {} transmit buffers, offloads {:#x}",
            nic.receive.queue.count(),
            nic.transmit.queue.count(),
            nic.offloads(),
        );
        Ok(nic)
    }

    /// Connects both queues, hands out the receive buffers and lets the device work.
    fn start(&mut self) -> Result<(), VirtioError> {
        self.receive.connect(&mut self.transport, RECEIVE_QUEUE)?;
        self.transmit.connect(&mut self.transport, TRANSMIT_QUEUE)?;
        self.transport.start();
        while let Some(buffer) = self.receive.queue.take_free() {
            self.receive.queue.post(buffer, u32::from(BUFFER_BYTES));
        }
        self.receive.publish(&mut self.transport);
        // Nothing was taken yet, so there is nothing to miss.
        let _ = self.receive.queue.arm(1);
        self.reposted = 0;
        Ok(())
    }

    /// Returns the hardware address.
    #[must_use]
    pub const fn mac(&self) -> [u8; 6] {
        self.mac
    }

    /// Returns what went wrong so far.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// Takes one received frame into `buffer`, and says what the device says of it.
    ///
    /// `None` means that the queue is empty and that the next frame interrupts, or that an event
    /// follows; a caller that stops before it sees `None` gets an event, too.
    pub fn receive(&mut self, buffer: &mut [u8]) -> Option<Received> {
        // A device cannot have more done than the queue holds without being fed anew.
        for _ in 0..=QUEUE_LEN_MAX {
            if self.given_up {
                return None;
            }
            match self.take_frame(buffer) {
                Ok(Some(Some(received))) => {
                    // If the caller stops here, the event is due again.
                    self.received = true;
                    return Some(received);
                }
                Ok(Some(None)) => self.counters.receive_dropped += 1,
                Ok(None) => {
                    self.receive.publish(&mut self.transport);
                    self.reposted = 0;
                    if !self.receive.queue.arm(1) {
                        self.received = false;
                        return None;
                    }
                    self.receive.queue.disarm();
                }
                Err(violation) => self.restart(violation),
            }
        }
        // A flood of bad frames: let others run, and come back.
        self.received = true;
        None
    }

    /// Takes the next frame out of the queue, from as many buffers as its header says; `None` in it
    /// means that it is not to be used.
    fn take_frame(&mut self, buffer: &mut [u8]) -> Result<Option<Option<Received>>, Violation> {
        let Some(first) = self.receive.queue.take_used()? else {
            return Ok(None);
        };
        let memory = &self.receive.buffers;
        let offload = lane::said(memory, first.buffer, self.features);
        let count = match self.features & features::MERGED_BUFFERS {
            0 => 1,
            _ => lane::buffers(memory, first.buffer),
        };
        let mut frame = Gathered::behind_header(buffer);
        let mut next = Some(first);
        for _ in 1..count {
            let used = next.take().ok_or(Violation::Missing(count))?;
            frame.add(used, &self.receive.buffers);
            self.repost(used.buffer);
            next = self.receive.queue.take_used()?;
        }
        let last = next.ok_or(Violation::Missing(count))?;
        frame.add(last, &self.receive.buffers);
        self.repost(last.buffer);
        let length = frame.length();
        Ok(Some(
            length
                .zip(offload)
                .map(|(length, offload)| Received { length, offload }),
        ))
    }

    fn repost(&mut self, buffer: u16) {
        self.receive.queue.post(buffer, u32::from(BUFFER_BYTES));
        self.reposted += 1;
        if self.reposted >= REPOST_BATCH {
            self.receive.publish(&mut self.transport);
            self.receive.queue.disarm();
            self.reposted = 0;
        }
    }

    /// Returns which bits of [`Offload::flags`] the device takes.
    #[must_use]
    pub const fn offloads(&self) -> u16 {
        features::offloads(self.features, self.transmit.queue.count())
    }

    /// Queues one frame; [`flush`](Self::flush) shows it to the device. A frame longer than
    /// [`SUPER_LEN_MAX`] is dropped and counted.
    ///
    /// # Errors
    ///
    /// [`NicFull`] if too few buffers are free; the device then interrupts when half of them are,
    /// and an [`Event::NicTransmit`] follows.
    pub fn transmit(&mut self, frame: &[u8], offload: Offload) -> Result<(), NicFull> {
        let length = HEADER_BYTES + frame.len();
        let buffers = length.div_ceil(usize::from(BUFFER_BYTES));
        let most = usize::from(self.transmit.queue.count());
        if frame.len() > SUPER_LEN_MAX || buffers > most || self.given_up {
            self.counters.transmit_dropped += 1;
            return Ok(());
        }
        if !self.has_transmit_buffers(buffers) {
            self.full = true;
            return Err(NicFull);
        }
        // From the end, as each buffer names the next.
        let mut chain = None;
        for nth in (0..buffers).rev() {
            let Some(buffer) = self.transmit.queue.take_free() else {
                return Err(NicFull);
            };
            let at = offset_of(buffer);
            let start = nth * usize::from(BUFFER_BYTES);
            let end = length.min(start + usize::from(BUFFER_BYTES));
            let memory = &mut self.transmit.buffers;
            if nth == 0 {
                memory.copy_in(at, &header(offload));
                memory.copy_in(
                    at + HEADER_BYTES,
                    frame.get(..end - HEADER_BYTES).unwrap_or_default(),
                );
            } else {
                let piece = frame.get(start - HEADER_BYTES..end - HEADER_BYTES);
                memory.copy_in(at, piece.unwrap_or_default());
            }
            match chain {
                None => {
                    let bytes = u32::try_from(end - start).unwrap_or(0);
                    self.transmit.queue.end_chain(buffer, bytes);
                }
                Some(chain) => self.transmit.queue.chain_before(buffer, chain),
            }
            chain = Some(buffer);
        }
        if let Some(first) = chain {
            self.transmit.queue.post_chain(first);
        }
        Ok(())
    }

    /// Returns whether so many buffers are free; if not, the device is told to interrupt when there
    /// are some.
    fn has_transmit_buffers(&mut self, wanted: usize) -> bool {
        self.wanted = wanted;
        if self.transmit.queue.free_count() >= wanted {
            return true;
        }
        self.collect_sent();
        if self.transmit.queue.free_count() >= wanted {
            return true;
        }
        // A device that has not been shown the frames would never make room.
        self.flush();
        self.await_room();
        self.has_room()
    }

    /// Returns whether what last found no room has it now.
    fn has_room(&self) -> bool {
        self.transmit.queue.free_count() >= self.wanted
    }

    /// Asks for an interrupt when half of the frames under way are sent; collects them if they are.
    fn await_room(&mut self) {
        let half = self.transmit.queue.outstanding().div_ceil(2);
        if self.transmit.queue.arm(half) {
            self.collect_sent();
        }
    }

    /// Frees the buffers of frames that were sent.
    fn collect_sent(&mut self) {
        for _ in 0..QUEUE_LEN_MAX {
            match self.transmit.queue.take_used() {
                Ok(Some(used)) => self.transmit.queue.give_back(used.buffer),
                Ok(None) => break,
                Err(violation) => return self.restart(violation),
            }
        }
        self.transmit.queue.disarm();
    }

    /// Shows the device all queued frames, with at most one notification.
    pub fn flush(&mut self) {
        if !self.given_up {
            self.transmit.publish(&mut self.transport);
        }
    }

    /// Handles the receive interrupt; the next one comes when [`receive`](Self::receive) has
    /// returned `None`.
    pub fn rx_interrupt(&mut self) {
        self.receive.queue.disarm();
        self.received = true;
    }

    /// Handles the transmit interrupt.
    pub fn tx_interrupt(&mut self) {
        self.collect_sent();
        // An interrupt from before the queue was full announces nothing.
        if self.full && !self.has_room() {
            self.await_room();
        }
    }

    /// Finds what device and driver may have missed of each other: see [`Virtqueue::look_again`].
    ///
    /// To be called before the processor waits, and now and then while it does not.
    ///
    /// [`Virtqueue::look_again`]: super::virtqueue::Virtqueue::look_again
    pub fn look_again(&mut self) {
        if self.given_up {
            return;
        }
        self.receive.look_again(&mut self.transport);
        self.transmit.look_again(&mut self.transport);
        self.received |= self.receive.queue.has_used();
        if self.full {
            self.tx_interrupt();
        }
    }

    /// Returns what the core must be told, each thing once.
    pub fn poll_event(&mut self) -> Option<Event> {
        if core::mem::take(&mut self.received) {
            return Some(Event::NicReceive);
        }
        if self.full && (self.given_up || self.has_room()) {
            self.full = false;
            return Some(Event::NicTransmit);
        }
        None
    }

    /// Returns whether [`poll_event`](Self::poll_event) would return something.
    #[must_use]
    pub fn has_event(&self) -> bool {
        self.received || self.full && (self.given_up || self.has_room())
    }

    /// Sets the device up anew after it broke the protocol; frames under way are lost.
    fn restart(&mut self, violation: Violation) {
        self.counters.resets += 1;
        if self.counters.resets > RESETS_MAX {
            return self.give_up(format_args!(
                "{violation}, reset {RESETS_MAX} times in vain"
            ));
        }
        log::error!("nic: {violation}; resetting the device");
        if let Err(error) = self.transport.reset() {
            return self.give_up(format_args!("{error}"));
        }
        self.receive.queue.reset();
        self.transmit.queue.reset();
        let agreed = self.transport.negotiate(self.features, 0);
        let started = agreed.and_then(|_| self.start());
        if let Err(error) = started {
            self.give_up(format_args!("{error}"));
        }
    }

    fn give_up(&mut self, reason: fmt::Arguments<'_>) {
        log::error!("nic: given up: {reason}; this host is off the network until it reboots");
        self.given_up = true;
        self.transport.fail();
        // Best effort: a device that ignores this ignored the reset before, too.
        let _ = self.transport.reset();
    }
}

#[cfg(test)]
mod tests;
