//! Striping: one row of blocks over several disks.
//!
//! Chunks of [`CHUNK_BLOCKS`] go round the disks, so neighbouring extents lie on different disks
//! while a small VM lies on one or two. Parts of different size count as the smallest of them.

use crate::block::partition::Part;
use crate::machine::disk::DISK_FRAMES_MAX;
use alloc::vec::Vec;
use denali_abi::convert::{u64_to_usize, usize_to_u64};

/// Blocks in a chunk: as many as one request can carry.
pub const CHUNK_BLOCKS: u64 = DISK_FRAMES_MAX as u64;

/// Where a block lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// On which disk.
    pub disk: u8,
    /// At which block of it.
    pub block: u64,
    /// How many blocks of the row follow on it, this one included.
    pub run: u64,
}

/// The parts of disks that hold swap space.
#[derive(Debug)]
pub struct Stripe {
    /// Disk and first block of each.
    parts: Vec<(u8, u64)>,
    chunks_per_part: u64,
}

impl Stripe {
    /// Stripes over parts of disks.
    #[must_use]
    pub fn over(parts: &[Part]) -> Self {
        let smallest = parts.iter().map(|part| part.blocks).min().unwrap_or(0);
        Self {
            parts: parts.iter().map(|part| (part.disk, part.start)).collect(),
            chunks_per_part: smallest / CHUNK_BLOCKS,
        }
    }

    /// Returns the number of disks.
    #[must_use]
    pub fn disks(&self) -> u32 {
        u32::try_from(self.parts.len()).unwrap_or(u32::MAX)
    }

    /// Returns the number of blocks in the row.
    #[must_use]
    pub fn blocks(&self) -> u64 {
        let per_part = self.chunks_per_part.saturating_mul(CHUNK_BLOCKS);
        per_part.saturating_mul(usize_to_u64(self.parts.len()))
    }

    /// Returns where a block of the row lies; `None` behind its end.
    #[must_use]
    pub fn locate(&self, block: u64) -> Option<Place> {
        if block >= self.blocks() {
            return None;
        }
        let (chunk, offset) = (block / CHUNK_BLOCKS, block % CHUNK_BLOCKS);
        let count = usize_to_u64(self.parts.len());
        let &(disk, start) = self.parts.get(u64_to_usize(chunk.checked_rem(count)?))?;
        Some(Place {
            disk,
            block: start + chunk.checked_div(count)? * CHUNK_BLOCKS + offset,
            run: CHUNK_BLOCKS - offset,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn part(disk: u8, start: u64, blocks: u64) -> Part {
        Part {
            disk,
            start,
            blocks,
        }
    }

    #[test]
    fn every_block_has_a_place_of_its_own_inside_its_part() {
        let stripe = Stripe::over(&[part(0, 0, 1000), part(2, 100, 700)]);
        assert_eq!(stripe.blocks(), 2 * 640);
        let mut seen = BTreeSet::new();
        for block in 0..stripe.blocks() {
            let place = stripe.locate(block).expect("inside");
            let inside = match place.disk {
                0 => place.block + place.run <= 640,
                2 => place.block >= 100 && place.block + place.run <= 740,
                _ => false,
            };
            assert!(inside, "{place:?}");
            assert!(seen.insert((place.disk, place.block)));
            let next = stripe.locate(block + 1);
            if place.run > 1 {
                assert_eq!(
                    next.map(|next| (next.disk, next.block)),
                    Some((place.disk, place.block + 1))
                );
            }
        }
        assert_eq!(stripe.locate(stripe.blocks()), None);
    }

    #[test]
    fn without_disks_there_is_no_space() {
        assert_eq!(Stripe::over(&[]).blocks(), 0);
        assert_eq!(Stripe::over(&[part(0, 0, 63)]).blocks(), 0);
        assert_eq!(Stripe::over(&[]).locate(0), None);
    }
}
