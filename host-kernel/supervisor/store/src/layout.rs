//! Where things lie, and the superblocks that say so.

use crate::{BLOCK_LEN, Contents, Error};
use sha2::{Digest as _, Sha256};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

/// What a superblock begins with.
const MAGIC: [u8; 8] = *b"DENALI\x1aS";

/// The version of the format.
pub(crate) const VERSION: u32 = 1;

/// Superblocks, at the start of the device.
pub(crate) const SUPERBLOCKS: u64 = 2;

/// The smallest and the largest area of the log in blocks.
const AREA_MIN: u64 = 8;
const AREA_MAX: u64 = 4096;

/// One part in so many is for each area.
const AREA_PART: u64 = 16;

/// The smallest device in blocks.
const DEVICE_MIN: u64 = SUPERBLOCKS + 2 * AREA_MIN + 8;

/// Where things lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Blocks of each area of the log.
    pub(crate) area: u64,
    /// The first block for blobs.
    pub(crate) blobs: u64,
    /// Behind the last block for blobs.
    pub(crate) end: u64,
}

impl Layout {
    pub(crate) fn of_device(blocks: u64) -> Result<Self, Error> {
        if blocks < DEVICE_MIN {
            return Err(Error::TooSmall);
        }
        let area = (blocks / AREA_PART).clamp(AREA_MIN, AREA_MAX);
        Ok(Self {
            area,
            blobs: SUPERBLOCKS + 2 * area,
            end: blocks,
        })
    }

    /// Returns the first block of the area of a generation.
    pub(crate) const fn area_start(&self, generation: u64) -> u64 {
        SUPERBLOCKS + generation % 2 * self.area
    }
}

/// A superblock: one sector, so it is written as a whole or not at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct Superblock {
    magic: [u8; 8],
    version: u32,
    reserved: u32,
    /// Tells this store from one that was here before.
    pub(crate) identity: u64,
    /// Counts changes of the area, from 0.
    pub(crate) generation: u64,
    /// Blocks of the device.
    pub(crate) blocks: u64,
    /// Transactions the area had when the superblock was written: there must be as many.
    pub(crate) transactions: u64,
    digest: [u8; 32],
}

const DIGESTED: usize = core::mem::offset_of!(Superblock, digest);
const _: () = assert!(size_of::<Superblock>() <= 512);

/// What a block that should be a superblock is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Superblock(Superblock),
    /// Never written.
    Blank,
    Damaged,
}

impl Superblock {
    pub(crate) fn new(identity: u64, generation: u64, blocks: u64, transactions: u64) -> Self {
        let mut superblock = Self {
            magic: MAGIC,
            version: VERSION,
            reserved: 0,
            identity,
            generation,
            blocks,
            transactions,
            digest: [0; 32],
        };
        superblock.digest = superblock.digest_of();
        superblock
    }

    /// Reads what should be a superblock.
    pub(crate) fn read(contents: &Contents) -> Result<Found, Error> {
        if contents.iter().all(|byte| *byte == 0) {
            return Ok(Found::Blank);
        }
        let mut found = Self::new_zeroed();
        for (place, byte) in found.as_mut_bytes().iter_mut().zip(contents) {
            *place = *byte;
        }
        if found.magic != MAGIC {
            return Ok(Found::Damaged);
        }
        if found.version != VERSION {
            return Err(Error::Version(found.version));
        }
        Ok(if found.digest == found.digest_of() {
            Found::Superblock(found)
        } else {
            Found::Damaged
        })
    }

    pub(crate) fn contents(&self) -> Contents {
        let mut contents = [0; BLOCK_LEN];
        for (place, byte) in contents.iter_mut().zip(self.as_bytes()) {
            *place = *byte;
        }
        contents
    }

    fn digest_of(&self) -> [u8; 32] {
        let bytes = self.as_bytes().get(..DIGESTED).unwrap_or_default();
        Sha256::digest(bytes).into()
    }
}
