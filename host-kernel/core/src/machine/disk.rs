//! Disks as the core sees them: blocks of 4 KiB, whole frames, many requests at a time.
//!
//! A request names frames of the frame table. They belong to the device from
//! [`Machine::disk_submit`](super::Machine::disk_submit) to the completion of the same tag,
//! whatever its result: a frame that is read into must not be touched, one that is written from
//! must not change. Requests that are under way at the same time are done in any order, so whoever
//! needs an order waits for the completion; what must survive a power cut waits for a
//! [`DiskOperation::Flush`] after it.

use super::FrameId;

/// Most frames of one request: 256 KiB.
pub const DISK_FRAMES_MAX: usize = 64;

/// One disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskInfo {
    /// Capacity in blocks of 4 KiB; a remainder at the end is not used.
    pub blocks: u64,
    /// Whether it can be written.
    pub writable: Writable,
}

/// Whether a disk can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writable {
    /// It can.
    Yes,
    /// Every write is answered with [`DiskError::ReadOnly`].
    No,
}

/// What a disk is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskOperation {
    /// Fill the frames from consecutive blocks.
    Read,
    /// Write the frames to consecutive blocks.
    Write,
    /// Make durable all writes that were complete before; takes no frames, the block is ignored.
    Flush,
}

/// A request to a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskRequest<'a> {
    /// Comes back with the completion; must not be under way already.
    pub tag: u32,
    /// Which disk, below the length of [`Machine::disks`](super::Machine::disks).
    pub disk: u8,
    /// What to do.
    pub operation: DiskOperation,
    /// The first block.
    pub block: u64,
    /// One frame a block, at most [`DISK_FRAMES_MAX`].
    pub frames: &'a [FrameId],
}

impl DiskRequest<'_> {
    /// Checks the request against the disk it is for; all machines answer alike.
    ///
    /// # Errors
    ///
    /// The [`DiskError`] to complete the request with.
    pub fn check(&self, disk: Option<&DiskInfo>) -> Result<(), DiskError> {
        let disk = disk.ok_or(DiskError::OutOfRange)?;
        let count = self.frames.len();
        if self.operation == DiskOperation::Flush {
            return if count == 0 {
                Ok(())
            } else {
                Err(DiskError::OutOfRange)
            };
        }
        let blocks = u64::try_from(count).unwrap_or(u64::MAX);
        let end = self.block.checked_add(blocks);
        let inside = end.is_some_and(|end| end <= disk.blocks);
        if count == 0 || count > DISK_FRAMES_MAX || !inside {
            Err(DiskError::OutOfRange)
        } else if self.operation == DiskOperation::Write && disk.writable == Writable::No {
            Err(DiskError::ReadOnly)
        } else {
            Ok(())
        }
    }
}

/// No more requests fit; nothing was taken. As requests are under way then, an
/// [`Event::DiskDone`](super::Event::DiskDone) follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskFull;

/// Why a request failed. The frames of a failed read hold anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskError {
    /// The device says it could not do it.
    Device,
    /// The device did not answer, and was reset.
    Timeout,
    /// The device broke the protocol and was reset, or has been given up.
    Broken,
    /// A write to a disk that cannot be written.
    ReadOnly,
    /// No such disk or block, too many frames or none.
    OutOfRange,
}

/// The end of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskCompletion {
    /// The request's tag.
    pub tag: u32,
    /// What became of it.
    pub result: Result<(), DiskError>,
}
