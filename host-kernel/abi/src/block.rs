//! Block devices: volumes of 4 KiB blocks, and the rings by which a guest works on them.
//!
//! A VM has up to [`VOLUMES_MAX`] volumes, which its registers list
//! ([`VirtualRegisters::volumes`](crate::registers::VirtualRegisters::volumes)). The guest fills
//! requests and advances `submitted`, then makes the hypercall `block_submit`; the kernel takes them
//! and advances `taken`. When a disk is done with one, in whatever order, the kernel fills a
//! completion with the request's tag, advances `completed` and raises
//! [`interrupt::BLOCK`](crate::shared::interrupt::BLOCK); the guest advances `reaped` when it has
//! read it. At most [`BLOCK_RING_LEN`] requests are taken and not reaped at a time: what is
//! submitted beyond waits in the ring. Indices count up and wrap at 2^32; the slot is the index
//! modulo [`BLOCK_RING_LEN`].

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Bytes in a block.
pub const BLOCK_LEN: usize = 4096;

/// Requests and completions in the rings, a power of two.
pub const BLOCK_RING_LEN: u32 = 16;

/// Most volumes of a VM.
pub const VOLUMES_MAX: usize = 4;

/// Longest name of a volume in bytes.
pub const VOLUME_NAME_MAX: usize = 24;

/// Bytes of a volume's key: two of AES-256, for XTS.
pub const VOLUME_KEY_LEN: usize = 64;

/// Values of [`BlockRequest::operation`].
pub mod operation {
    /// Fill the buffer from the block.
    pub const READ: u32 = 1;
    /// Write the buffer to the block.
    pub const WRITE: u32 = 2;
    /// Make durable all writes to the volume that were complete before; block and address are
    /// ignored.
    pub const FLUSH: u32 = 3;
}

/// What a guest asks of a volume.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct BlockRequest {
    /// One of [`operation`].
    pub operation: u32,
    /// Which of the VM's volumes, from 0.
    pub volume: u32,
    /// The block, from 0.
    pub block: u64,
    /// Guest address of a buffer of [`BLOCK_LEN`] bytes. What is written is copied when the request
    /// is taken; what is read is there when it is complete.
    pub address: u64,
    /// Comes back with the completion.
    pub tag: u64,
}

const _: () = assert!(size_of::<BlockRequest>() == 32);

/// What became of a request.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct BlockCompletion {
    /// The request's tag.
    pub tag: u64,
    /// 0, or a negated [`Errno`](crate::errno::Errno): `NotFound` for a volume the VM has not,
    /// `Invalid` for an operation or block there is not, `Io` if the disk failed, `OutOfMemory` if
    /// there was none for the buffer.
    pub result: i32,
    /// Zero.
    pub reserved: u32,
}

const _: () = assert!(size_of::<BlockCompletion>() == 16);

/// The rings, part of the shared page.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct BlockRings {
    /// Guest: requests submitted.
    pub submitted: u32,
    /// Kernel: requests taken.
    pub taken: u32,
    /// Kernel: completions written.
    pub completed: u32,
    /// Guest: completions read.
    pub reaped: u32,
    /// The requests.
    pub requests: [BlockRequest; BLOCK_RING_LEN as usize],
    /// The completions.
    pub completions: [BlockCompletion; BLOCK_RING_LEN as usize],
}

const _: () = assert!(size_of::<BlockRings>() == 16 + 48 * BLOCK_RING_LEN as usize);
const _: () = assert!(BLOCK_RING_LEN.is_power_of_two());

/// A volume as its VM sees it in its registers; no blocks means none.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct VolumeInfo {
    /// Its blocks.
    pub blocks: u64,
    /// Its name, padded with zeros.
    pub name: [u8; VOLUME_NAME_MAX],
}

const _: () = assert!(size_of::<VolumeInfo>() == 32);

/// A volume as the supervisor gives it to a VM.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct VolumeConfig {
    /// Its first block in the partition for volumes.
    pub start: u64,
    /// What the VM is told.
    pub info: VolumeInfo,
    /// The key it is encrypted with.
    pub key: [u8; VOLUME_KEY_LEN],
}

const _: () = assert!(size_of::<VolumeConfig>() == 104);

impl core::fmt::Debug for VolumeConfig {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("VolumeConfig")
            .field("start", &self.start)
            .field("info", &self.info)
            .finish_non_exhaustive()
    }
}

/// What block devices have, and did since boot; all zero on a host without a disk for them.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct BlockStatus {
    /// Blocks of the partition for the supervisor's store.
    pub store_blocks: u64,
    /// Blocks of the partition for volumes.
    pub volume_blocks: u64,
    /// Blocks read.
    pub reads: u64,
    /// Blocks written.
    pub writes: u64,
    /// Flushes.
    pub flushes: u64,
    /// Requests that a disk failed.
    pub errors: u64,
}

const _: () = assert!(size_of::<BlockStatus>() == 48);
