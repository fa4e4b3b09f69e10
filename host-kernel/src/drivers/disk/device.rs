//! One virtio block device: requests as indirect descriptor tables, one for each slot of its queue.

use super::{DISK_REQUESTS_MAX, TIMEOUT_NS};
use crate::drivers::dma::DeviceMemory;
use crate::drivers::pci::{DeviceId, Function};
use crate::drivers::virtio::{self, Doorbell, Transport, VirtioError};
use crate::drivers::virtqueue::{
    Buffers, DESCRIPTOR_NEXT, DESCRIPTOR_WRITE, Direction, QUEUE_BYTES, Suppression, Used,
    Violation, Virtqueue,
};
use crate::drivers::{Configuration, Platform};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::fmt;
use denali_abi::convert::{u32_to_usize, usize_to_u64};
use denali_kernel_core::machine::{
    DISK_FRAMES_MAX, DiskCompletion, DiskError, DiskFull, DiskInfo, DiskOperation, DiskRequest,
    FrameId, Writable,
};
use denali_kernel_core::time::Time;

const VENDOR: u16 = 0x1af4;
const DEVICE_MODERN: u16 = 0x1042;
const DEVICE_TRANSITIONAL: u16 = 0x1001;

// Features (§5.2.3).
const FEATURE_SEGMENTS_MAX: u64 = 1 << 2;
const FEATURE_READ_ONLY: u64 = 1 << 5;
const FEATURE_BLOCK_SIZE: u64 = 1 << 6;
const FEATURE_FLUSH: u64 = 1 << 9;

// `virtio_blk_config` (§5.2.4).
const CAPACITY_SECTORS: usize = 0;
const SEGMENTS_MAX: usize = 12;
const BLOCK_SIZE: usize = 20;
const CONFIGURATION_BYTES: usize = 24;

// Request types and the status of success (§5.2.6).
const READ: u32 = 0;
const WRITE: u32 = 1;
const FLUSH: u32 = 4;
const STATUS_OK: u8 = 0;
/// What the status says until the device has written it.
const STATUS_NONE: u8 = 0xff;

const SECTORS_PER_BLOCK: u64 = 8;
const BLOCK_BYTES: u32 = 4096;
const FRAME_BYTES: u64 = 4096;

// A slot: the request's header, its status, and the table of its descriptors.
const HEADER_BYTES: u32 = 16;
const STATUS: usize = 16;
const TABLE: usize = 32;
const DESCRIPTOR_BYTES: usize = 16;
const DESCRIPTORS_MAX: usize = DISK_FRAMES_MAX + 2;
const SLOT_BYTES: usize = TABLE + DESCRIPTOR_BYTES * DESCRIPTORS_MAX;

/// Contiguous memory that a disk takes.
pub(in crate::drivers) const DMA_BYTES: usize =
    QUEUE_BYTES + SLOT_BYTES * DISK_REQUESTS_MAX as usize;

/// After this many resets a device is given up.
const RESETS_MAX: u32 = 8;

/// Returns whether a function is a virtio block device.
pub(super) fn is_disk(id: DeviceId) -> bool {
    id.vendor == VENDOR && matches!(id.device, DEVICE_MODERN | DEVICE_TRANSITIONAL)
}

/// Why a disk cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OpenError {
    Virtio(VirtioError),
    NoMemory,
    SegmentsMax(u32),
    BlockSize(u32),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Virtio(error) => error.fmt(f),
            Self::NoMemory => write!(f, "no {DMA_BYTES} contiguous bytes for its queue"),
            Self::SegmentsMax(most) => {
                write!(f, "takes {most} pieces a request, not {DISK_FRAMES_MAX}")
            }
            Self::BlockSize(bytes) => write!(f, "blocks of {bytes} bytes, not of {BLOCK_BYTES}"),
        }
    }
}

impl From<VirtioError> for OpenError {
    fn from(error: VirtioError) -> Self {
        Self::Virtio(error)
    }
}

/// What became of a submission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Submission {
    /// A completion follows.
    UnderWay,
    /// It is complete at once.
    Done(Result<(), DiskError>),
}

/// A request that the device has, or will have with the next flush.
#[derive(Clone, Copy, Debug)]
struct UnderWay {
    tag: u32,
    since: Time,
    /// Bytes the device has to write besides the status.
    read_bytes: u32,
}

/// One disk.
#[derive(Debug)]
pub(super) struct Device {
    function: Function,
    transport: Transport,
    queue: Virtqueue,
    doorbell: Doorbell,
    slots: DeviceMemory,
    under_way: Vec<Option<UnderWay>>,
    features: u64,
    info: DiskInfo,
    /// When the oldest request may have taken too long; early rather than late.
    deadline: Option<Time>,
    /// The queue is to be looked at.
    interrupted: bool,
    resets: u32,
    /// Reset too often: every request fails.
    given_up: bool,
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = self.info.blocks / 256;
        let access = match self.info.writable {
            Writable::Yes => "writable",
            Writable::No => "read-only",
        };
        let (function, count) = (self.function, self.queue.count());
        write!(
            f,
            "virtio-blk at {function}, {mib} MiB, {access}, {count} requests"
        )
    }
}

impl Device {
    /// Sets a device up.
    pub(super) fn open(
        platform: &mut dyn Platform,
        function: Function,
        vector: u8,
    ) -> Result<Self, OpenError> {
        let mut transport = Transport::open(function, platform)?;
        let features = transport.negotiate(
            virtio::FEATURE_VERSION_1 | virtio::FEATURE_INDIRECT_DESCRIPTORS,
            virtio::FEATURE_EVENT_INDEX
                | virtio::FEATURE_ACCESS_PLATFORM
                | FEATURE_SEGMENTS_MAX
                | FEATURE_READ_ONLY
                | FEATURE_BLOCK_SIZE
                | FEATURE_FLUSH,
        )?;
        let info = read_info(transport.configuration(), features)?;
        function
            .enable_msix(platform, &[vector])
            .map_err(VirtioError::from)?;
        let offered = transport.queue_size_max(0);
        // A chain must not be longer than the queue, even as a table (§2.7.5.3.1).
        if usize::from(offered) < DESCRIPTORS_MAX {
            return Err(OpenError::SegmentsMax(u32::from(offered.saturating_sub(2))));
        }
        let count = 1 << offered.min(DISK_REQUESTS_MAX).ilog2();
        let memory = platform.take_dma(DMA_BYTES).ok_or(OpenError::NoMemory)?;
        let (rings, slots) = memory.split_at(QUEUE_BYTES);
        let tables = Buffers {
            physical: slots.physical() + usize_to_u64(TABLE),
            length: BUFFER_BYTES,
            count,
            direction: Direction::Tables,
        };
        let mut device = Self {
            function,
            queue: Virtqueue::new(rings, tables, Suppression::of(features)),
            doorbell: Doorbell::default(),
            slots,
            transport,
            under_way: alloc::vec![None; usize::from(count)],
            features,
            info,
            deadline: None,
            interrupted: false,
            resets: 0,
            given_up: false,
        };
        device.start()?;
        Ok(device)
    }

    fn start(&mut self) -> Result<(), VirtioError> {
        let (count, addresses) = (self.queue.count(), self.queue.addresses());
        self.doorbell = self.transport.connect(0, count, addresses, 0)?;
        self.transport.start();
        // Nothing was posted yet, so there is nothing to miss.
        let _ = self.queue.arm(1);
        Ok(())
    }

    /// Returns what the disk is.
    pub(super) const fn info(&self) -> DiskInfo {
        self.info
    }

    /// Queues a request that was checked ([`DiskRequest::check`]).
    pub(super) fn submit(
        &mut self,
        request: &DiskRequest<'_>,
        now: Time,
    ) -> Result<Submission, DiskFull> {
        if self.given_up {
            return Ok(Submission::Done(Err(DiskError::Broken)));
        }
        let is_flush = request.operation == DiskOperation::Flush;
        if is_flush && self.features & FEATURE_FLUSH == 0 {
            // Without the feature every write is durable when it completes (§5.2.6.2).
            return Ok(Submission::Done(Ok(())));
        }
        let slot = self.queue.take_free().ok_or(DiskFull)?;
        let descriptors = self.write_slot(slot, request);
        self.queue.post(slot, descriptors * 16);
        let bytes = u32::try_from(request.frames.len()).unwrap_or(0) * BLOCK_BYTES;
        let is_read = request.operation == DiskOperation::Read;
        if let Some(entry) = self.under_way.get_mut(usize::from(slot)) {
            *entry = Some(UnderWay {
                tag: request.tag,
                since: now,
                read_bytes: if is_read { bytes } else { 0 },
            });
        }
        self.deadline.get_or_insert(now.plus_ns(TIMEOUT_NS));
        Ok(Submission::UnderWay)
    }

    /// Writes header, status and table of a request; returns the number of descriptors.
    fn write_slot(&mut self, slot: u16, request: &DiskRequest<'_>) -> u32 {
        let start = slot_offset(slot);
        let (kind, access) = match request.operation {
            DiskOperation::Read => (READ, DESCRIPTOR_WRITE),
            DiskOperation::Write => (WRITE, 0),
            DiskOperation::Flush => (FLUSH, 0),
        };
        let sector = match request.operation {
            DiskOperation::Flush => 0,
            DiskOperation::Read | DiskOperation::Write => request.block * SECTORS_PER_BLOCK,
        };
        self.slots.write_u32(start, kind);
        self.slots.write_u32(start + 4, 0);
        self.slots.write_u64(start + 8, sector);
        self.slots.write_u8(start + STATUS, STATUS_NONE);
        let physical = self.slots.physical() + usize_to_u64(start);
        self.describe(start, 0, (physical, HEADER_BYTES), DESCRIPTOR_NEXT);
        let mut count = 1;
        // Neighbouring frames are one piece.
        let mut run: Option<(u64, u32)> = None;
        for &FrameId(frame) in request.frames {
            let at = u64::from(frame) * FRAME_BYTES;
            run = match run {
                Some((start, bytes)) if start + u64::from(bytes) == at => {
                    Some((start, bytes + BLOCK_BYTES))
                }
                before => {
                    if let Some(piece) = before {
                        self.describe(start, count, piece, access | DESCRIPTOR_NEXT);
                        count += 1;
                    }
                    Some((at, BLOCK_BYTES))
                }
            };
        }
        if let Some(piece) = run {
            self.describe(start, count, piece, access | DESCRIPTOR_NEXT);
            count += 1;
        }
        let status = (physical + usize_to_u64(STATUS), 1);
        self.describe(start, count, status, DESCRIPTOR_WRITE);
        u32::from(count) + 1
    }

    fn describe(&mut self, start: usize, nth: u16, (physical, bytes): (u64, u32), flags: u16) {
        let at = start + TABLE + DESCRIPTOR_BYTES * usize::from(nth);
        self.slots.write_u64(at, physical);
        self.slots.write_u32(at + 8, bytes);
        self.slots.write_u16(at + 12, flags);
        self.slots.write_u16(at + 14, nth + 1);
    }

    /// Shows the device all queued requests.
    pub(super) fn flush(&mut self) {
        if !self.given_up {
            let notify = self.queue.publish();
            self.transport.ring(self.doorbell, notify);
        }
    }

    pub(super) const fn interrupt(&mut self) {
        self.interrupted = true;
    }

    /// Finds what device and driver may have missed of each other.
    pub(super) fn look_again(&mut self) {
        if !self.given_up {
            let notify = self.queue.look_again();
            self.transport.ring(self.doorbell, notify);
            self.interrupted |= self.queue.has_used();
        }
    }

    pub(super) const fn has_event(&self) -> bool {
        self.interrupted
    }

    /// Takes the next completion; after `None` the next one interrupts.
    pub(super) fn completion(&mut self) -> Result<Option<DiskCompletion>, Violation> {
        loop {
            if let Some(used) = self.queue.take_used()? {
                return Ok(self.complete(used));
            }
            if self.queue.outstanding() == 0 {
                self.deadline = None;
            }
            if !self.queue.arm(1) {
                self.interrupted = false;
                return Ok(None);
            }
        }
    }

    fn complete(&mut self, used: Used) -> Option<DiskCompletion> {
        let status = self.slots.read_u8(slot_offset(used.buffer) + STATUS);
        let entry = self.under_way.get_mut(usize::from(used.buffer));
        let UnderWay {
            tag, read_bytes, ..
        } = entry?.take()?;
        self.queue.give_back(used.buffer);
        // The length counts the status, too, for most devices.
        let whole = read_bytes == 0 || (read_bytes..=read_bytes + 1).contains(&used.length);
        let result = if status == STATUS_OK && whole {
            Ok(())
        } else {
            Err(DiskError::Device)
        };
        Some(DiskCompletion { tag, result })
    }

    pub(super) const fn deadline(&self) -> Option<Time> {
        self.deadline
    }

    /// Returns whether the oldest request has taken too long.
    pub(super) fn is_hung(&mut self, now: Time) -> bool {
        if self.deadline.is_none_or(|deadline| now < deadline) {
            return false;
        }
        let oldest = self.under_way.iter().flatten().map(|it| it.since).min();
        self.deadline = oldest.map(|since| since.plus_ns(TIMEOUT_NS));
        self.deadline.is_some_and(|deadline| now >= deadline)
    }

    /// Resets the device and ends everything under way with `error`.
    pub(super) fn abort(
        &mut self,
        error: DiskError,
        ports: &mut dyn Configuration,
        ready: &mut VecDeque<DiskCompletion>,
    ) {
        self.resets += 1;
        log::error!(
            "disk at {}: reset {} of {RESETS_MAX}",
            self.function,
            self.resets
        );
        let reset = self.transport.reset();
        if reset.is_err() {
            self.function.take_bus(ports);
        }
        let result = Err(error);
        let lost = self.under_way.iter_mut().filter_map(Option::take);
        for UnderWay { tag, .. } in lost {
            ready.push_back(DiskCompletion { tag, result });
        }
        self.queue.reset();
        self.deadline = None;
        self.interrupted = false;
        let restarted = reset
            .and_then(|()| self.transport.negotiate(self.features, 0))
            .and_then(|_| self.start());
        if self.resets >= RESETS_MAX || restarted.is_err() {
            log::error!("disk at {}: given up until the host reboots", self.function);
            self.given_up = true;
            self.transport.fail();
        }
    }
}

/// What the queue takes for the length of a table.
const BUFFER_BYTES: u32 = 32 + 16 * (64 + 2);
const _: () = assert!(u32_to_usize(BUFFER_BYTES) == SLOT_BYTES);

fn slot_offset(slot: u16) -> usize {
    SLOT_BYTES * usize::from(slot)
}

fn read_info(configuration: &DeviceMemory, features: u64) -> Result<DiskInfo, OpenError> {
    if configuration.length() < CONFIGURATION_BYTES {
        return Err(VirtioError::NoStructure("device configuration").into());
    }
    if features & FEATURE_SEGMENTS_MAX != 0 {
        let most = configuration.read_u32(SEGMENTS_MAX);
        if u32_to_usize(most) < DISK_FRAMES_MAX {
            return Err(OpenError::SegmentsMax(most));
        }
    }
    if features & FEATURE_BLOCK_SIZE != 0 {
        let bytes = configuration.read_u32(BLOCK_SIZE);
        if !BLOCK_BYTES.is_multiple_of(bytes) {
            return Err(OpenError::BlockSize(bytes));
        }
    }
    let low = u64::from(configuration.read_u32(CAPACITY_SECTORS));
    let high = u64::from(configuration.read_u32(CAPACITY_SECTORS + 4));
    Ok(DiskInfo {
        blocks: (high << 32 | low) / SECTORS_PER_BLOCK,
        writable: if features & FEATURE_READ_ONLY == 0 {
            Writable::Yes
        } else {
            Writable::No
        },
    })
}
