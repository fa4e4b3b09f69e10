//! How a disk is divided: a table in its first block.
//!
//! A disk without a table is swap space as a whole. One whose table is damaged, of another version
//! or at odds with the disk is used for nothing: it may hold what somebody wants back.

use crate::block::BLOCK_LEN;
use core::fmt;
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

/// What a table begins with.
pub const PARTITION_MAGIC: [u8; 8] = *b"DENALI\x1aP";

/// The version of the table; a kernel refuses others.
pub const PARTITION_VERSION: u32 = 1;

/// Most partitions of a disk.
pub const PARTITIONS_MAX: usize = 8;

/// Values of [`Partition::kind`].
pub mod kind {
    /// Swap space; nothing in it outlives the kernel.
    pub const SWAP: u32 = 1;
    /// The supervisor's store.
    pub const STORE: u32 = 2;
    /// Volumes of services.
    pub const VOLUMES: u32 = 3;
}

/// A part of a disk.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Partition {
    /// One of [`kind`].
    pub kind: u32,
    /// Zero.
    pub reserved: u32,
    /// Its first block, from 1: the table has the block before.
    pub start: u64,
    /// Its blocks.
    pub blocks: u64,
}

const _: () = assert!(size_of::<Partition>() == 24);

/// The table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct PartitionTable {
    /// [`PARTITION_MAGIC`].
    pub magic: [u8; 8],
    /// [`PARTITION_VERSION`].
    pub version: u32,
    /// How many of the partitions there are.
    pub count: u32,
    /// The partitions, none overlapping another.
    pub partitions: [Partition; PARTITIONS_MAX],
    /// Zero.
    pub reserved: u32,
    /// CRC-32 (IEEE 802.3) of all before.
    pub checksum: u32,
}

const TABLE_LEN: usize = size_of::<PartitionTable>();
const CHECKED_LEN: usize = core::mem::offset_of!(PartitionTable, checksum);
const _: () = assert!(TABLE_LEN <= 512, "one sector is written in one piece");

/// Why a disk with a table is used for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartitionError {
    /// The table is of another version.
    Version(u32),
    /// The checksum is wrong.
    Checksum,
    /// A partition is of no known kind, overlaps another or reaches beyond the disk.
    Layout,
}

impl fmt::Display for PartitionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(version) => write!(
                f,
                "partition table of version {version}, not {PARTITION_VERSION}"
            ),
            Self::Checksum => f.write_str("partition table is damaged"),
            Self::Layout => f.write_str("partition table does not fit the disk"),
        }
    }
}

impl core::error::Error for PartitionError {}

impl PartitionTable {
    /// Returns a table of the given partitions, as many as there is room for.
    #[must_use]
    pub fn new(partitions: &[Partition]) -> Self {
        let mut table = Self {
            magic: PARTITION_MAGIC,
            version: PARTITION_VERSION,
            count: 0,
            partitions: [Partition::default(); PARTITIONS_MAX],
            reserved: 0,
            checksum: 0,
        };
        for (place, partition) in table.partitions.iter_mut().zip(partitions) {
            *place = *partition;
            table.count += 1;
        }
        table.checksum = table.sum();
        table
    }

    /// Reads the first block of a disk of `blocks` blocks. `None` if there is no table.
    ///
    /// # Errors
    ///
    /// The disk has one, and must not be used.
    pub fn read(block: &[u8; BLOCK_LEN], blocks: u64) -> Result<Option<Self>, PartitionError> {
        let mut table = Self::new_zeroed();
        for (place, byte) in table.as_mut_bytes().iter_mut().zip(block) {
            *place = *byte;
        }
        if table.magic != PARTITION_MAGIC {
            return Ok(None);
        }
        if table.version != PARTITION_VERSION {
            return Err(PartitionError::Version(table.version));
        }
        if table.checksum != table.sum() {
            return Err(PartitionError::Checksum);
        }
        if table.fits(blocks) {
            Ok(Some(table))
        } else {
            Err(PartitionError::Layout)
        }
    }

    /// Returns the partitions.
    pub fn iter(&self) -> impl Iterator<Item = &Partition> {
        let count = usize::try_from(self.count).unwrap_or(usize::MAX);
        self.partitions.iter().take(count)
    }

    fn fits(&self, blocks: u64) -> bool {
        let known = [kind::SWAP, kind::STORE, kind::VOLUMES];
        let inside = |part: &Partition| {
            let end = part.start.checked_add(part.blocks);
            known.contains(&part.kind) && part.start > 0 && end.is_some_and(|end| end <= blocks)
        };
        let apart = |one: &Partition, other: &Partition| {
            one.start + one.blocks <= other.start || other.start + other.blocks <= one.start
        };
        self.iter().all(inside)
            && self
                .iter()
                .enumerate()
                .all(|(nth, one)| self.iter().take(nth).all(|other| apart(one, other)))
    }

    fn sum(&self) -> u32 {
        crc32(self.as_bytes().get(..CHECKED_LEN).unwrap_or_default())
    }
}

/// Returns the CRC-32 of `bytes` (IEEE 802.3 §3.2.9, bits in reverse).
#[must_use]
pub fn crc32(bytes: &[u8]) -> u32 {
    let mut sum = u32::MAX;
    for byte in bytes {
        sum ^= u32::from(*byte);
        for _ in 0..8 {
            let carry = sum & 1;
            sum = (sum >> 1) ^ (carry * 0xedb8_8320);
        }
    }
    !sum
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCKS: u64 = 1000;

    fn part(kind: u32, start: u64, blocks: u64) -> Partition {
        Partition {
            kind,
            start,
            blocks,
            ..Partition::default()
        }
    }

    fn block(table: &PartitionTable) -> [u8; BLOCK_LEN] {
        let mut block = [0; BLOCK_LEN];
        block[..TABLE_LEN].copy_from_slice(table.as_bytes());
        block
    }

    #[test]
    fn the_checksum_is_that_of_everybody() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn a_table_is_read_as_it_was_written() {
        let table = PartitionTable::new(&[
            part(kind::STORE, 1, 99),
            part(kind::SWAP, 600, 400),
            part(kind::VOLUMES, 100, 500),
        ]);
        assert_eq!(
            PartitionTable::read(&block(&table), BLOCKS),
            Ok(Some(table))
        );
        assert_eq!(table.iter().count(), 3);
        assert_eq!(PartitionTable::read(&[0; BLOCK_LEN], BLOCKS), Ok(None));
        assert_eq!(PartitionTable::read(&[0xa5; BLOCK_LEN], BLOCKS), Ok(None));
    }

    #[test]
    fn a_table_that_is_wrong_is_never_taken_for_none() {
        let sound = PartitionTable::new(&[part(kind::STORE, 1, 99)]);
        let mut other = sound;
        other.version = 2;
        let read = |table: &PartitionTable| PartitionTable::read(&block(table), BLOCKS);
        assert_eq!(read(&other), Err(PartitionError::Version(2)));
        for byte in 12..TABLE_LEN {
            let mut bytes = block(&sound);
            bytes[byte] ^= 4;
            let damaged = PartitionTable::read(&bytes, BLOCKS);
            assert_eq!(damaged, Err(PartitionError::Checksum), "{byte}");
        }
        for wrong in [
            &[part(9, 1, 9)][..],
            &[part(kind::STORE, 0, 9)],
            &[part(kind::STORE, 1, BLOCKS)],
            &[part(kind::STORE, 2, u64::MAX)],
            &[part(kind::STORE, 1, 10), part(kind::SWAP, 10, 10)],
        ] {
            let table = PartitionTable::new(wrong);
            assert_eq!(read(&table), Err(PartitionError::Layout), "{wrong:?}");
        }
    }
}
