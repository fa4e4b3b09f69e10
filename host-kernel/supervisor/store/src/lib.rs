//! A store that survives power cuts at every instant: records by key, and blobs by digest.
//!
//! ```text
//! block 0, 1          two equal superblocks: format version, generation
//! area 0, area 1      the log: one is in use, the other free
//! the rest            blobs, in extents
//! ```
//!
//! *Records* are small, and all are in memory. A [`Changes`] is applied as a whole or not at all: it
//! is one transaction, appended to the log and flushed. Each block of the log proves itself by a
//! digest, and names the digest of the block before, so what a cut left behind of a transaction is
//! never taken for a part of a later one. When an area is full the records are written to the other
//! one, flushed, and only then do the superblocks name it.
//!
//! *Blobs* are written and flushed before the transaction that names them, into blocks that no
//! transaction names; their digest is their name, so what comes back is what was stored, or
//! [`Error::Corrupt`].
//!
//! The device may tear a write between sectors of 512 bytes, and reorder all writes between two
//! flushes. `tests/power_cuts.rs` does both at every point of random histories.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod blob;
mod changes;
mod layout;
mod log;
mod store;

pub use blob::Digest;
pub use changes::Changes;
pub use store::{Opened, Store, Usage};

use core::fmt;

/// Bytes in a block.
pub const BLOCK_LEN: usize = 4096;

/// Contents of a block.
pub type Contents = [u8; BLOCK_LEN];

/// Longest key of a record in bytes.
pub const KEY_LEN_MAX: usize = 255;

/// Longest value of a record in bytes.
pub const VALUE_LEN_MAX: usize = 64 * 1024;

/// A device of blocks.
pub trait Device {
    /// Returns how many blocks it has.
    fn blocks(&self) -> u64;

    /// Reads a block.
    ///
    /// # Errors
    ///
    /// [`IoError`] if the device fails.
    fn read(&mut self, block: u64, contents: &mut Contents) -> Result<(), IoError>;

    /// Writes a block, at some time before the end of the next [`flush`](Self::flush).
    ///
    /// # Errors
    ///
    /// [`IoError`] if the device fails.
    fn write(&mut self, block: u64, contents: &Contents) -> Result<(), IoError>;

    /// Makes durable all that was written.
    ///
    /// # Errors
    ///
    /// [`IoError`] if the device fails.
    fn flush(&mut self) -> Result<(), IoError>;
}

impl<D: Device + ?Sized> Device for alloc::boxed::Box<D> {
    fn blocks(&self) -> u64 {
        (**self).blocks()
    }

    fn read(&mut self, block: u64, contents: &mut Contents) -> Result<(), IoError> {
        (**self).read(block, contents)
    }

    fn write(&mut self, block: u64, contents: &Contents) -> Result<(), IoError> {
        (**self).write(block, contents)
    }

    fn flush(&mut self) -> Result<(), IoError> {
        (**self).flush()
    }
}

/// The device failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IoError;

/// What a store cannot do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The device failed.
    Io,
    /// The device is smaller than the smallest store.
    TooSmall,
    /// The store has another format.
    Version(u32),
    /// What is on the device is no store, or its key is another one.
    Foreign,
    /// A block is not what was written: which one.
    Corrupt(u64),
    /// There is no room.
    Full,
    /// A key, value or transaction is too long.
    TooLong,
    /// An earlier change failed, and what is on the device is not known: open it again.
    Failed,
}

impl From<IoError> for Error {
    fn from(_: IoError) -> Self {
        Self::Io
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io => f.write_str("the disk failed"),
            Self::TooSmall => f.write_str("the partition is too small for a store"),
            Self::Version(version) => write!(f, "the store has format {version}"),
            Self::Foreign => f.write_str("there is no store, or it has another host's key"),
            Self::Corrupt(block) => write!(f, "block {block} of the store is damaged"),
            Self::Full => f.write_str("the store is full"),
            Self::TooLong => f.write_str("too long for the store"),
            Self::Failed => f.write_str("the store failed before"),
        }
    }
}

impl core::error::Error for Error {}
