//! Blobs: where they lie, and which blocks are free.

use crate::layout::Layout;
use crate::{BLOCK_LEN, Error};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// The SHA-256 of a blob, which is its name.
pub type Digest = [u8; 32];

/// Most extents of a blob; a store as shattered as that is full.
const EXTENTS_MAX: usize = 1024;

/// Blocks in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) start: u64,
    pub(crate) blocks: u64,
}

/// Where a blob lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Placement {
    /// Its length in bytes.
    pub(crate) length: u64,
    pub(crate) extents: Vec<Extent>,
}

/// Returns how many blocks so many bytes take.
pub(crate) fn blocks_of(length: u64) -> u64 {
    length.div_ceil(u64::try_from(BLOCK_LEN).unwrap_or(u64::MAX))
}

impl Placement {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let words = self.extents.iter().flat_map(|it| [it.start, it.blocks]);
        core::iter::once(self.length)
            .chain(words)
            .flat_map(u64::to_le_bytes)
            .collect()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (words, rest) = bytes.as_chunks::<8>();
        let mut words = words.iter().map(|word| u64::from_le_bytes(*word));
        let length = words.next().filter(|_| rest.is_empty())?;
        let mut extents = Vec::new();
        while let Some(start) = words.next() {
            let blocks = words.next()?;
            extents.push(Extent { start, blocks });
        }
        let sum: u64 = extents.iter().map(|extent| extent.blocks).sum();
        (sum == blocks_of(length)).then_some(Self { length, extents })
    }

    /// Returns its blocks in order.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = u64> {
        let blocks = |it: &Extent| it.start..it.start.saturating_add(it.blocks);
        self.extents.iter().flat_map(blocks)
    }
}

/// The blocks that no blob has: rows by their starts, none next to another.
#[derive(Clone, Debug, Default)]
pub(crate) struct Free {
    rows: BTreeMap<u64, u64>,
}

impl Free {
    pub(crate) fn all(layout: &Layout) -> Self {
        let row = (layout.blobs, layout.end - layout.blobs);
        Self {
            rows: core::iter::once(row).collect(),
        }
    }

    pub(crate) fn blocks(&self) -> u64 {
        self.rows.values().sum()
    }

    /// Takes the blocks of a placement out; `None` if one of them is not free.
    pub(crate) fn claim(&mut self, placement: &Placement) -> Option<()> {
        for extent in &placement.extents {
            let (&start, &blocks) = self.rows.range(..=extent.start).next_back()?;
            let (end, wanted_end) = (start + blocks, extent.start.checked_add(extent.blocks)?);
            if wanted_end > end || extent.blocks == 0 {
                return None;
            }
            self.rows.remove(&start);
            self.insert(start, extent.start - start);
            self.insert(wanted_end, end - wanted_end);
        }
        Some(())
    }

    /// Takes blocks for so many bytes: one row if there is one long enough, else several.
    pub(crate) fn take(&mut self, length: u64) -> Result<Placement, Error> {
        let mut missing = blocks_of(length);
        let mut extents = Vec::new();
        if self.blocks() < missing {
            return Err(Error::Full);
        }
        let fits = self.rows.iter().find(|(_, blocks)| **blocks >= missing);
        if let Some((&start, _)) = fits.filter(|_| missing > 0) {
            extents.push(Extent {
                start,
                blocks: missing,
            });
            missing = 0;
        }
        let mut rows = self.rows.iter();
        while missing > 0
            && let Some((&start, &blocks)) = rows.next()
        {
            let blocks = blocks.min(missing);
            extents.push(Extent { start, blocks });
            missing -= blocks;
        }
        if extents.len() > EXTENTS_MAX {
            return Err(Error::Full);
        }
        let placement = Placement { length, extents };
        self.claim(&placement).ok_or(Error::Full)?;
        Ok(placement)
    }

    pub(crate) fn give_back(&mut self, placement: &Placement) {
        for extent in &placement.extents {
            let (mut start, mut blocks) = (extent.start, extent.blocks);
            if let Some((&before, &length)) = self.rows.range(..start).next_back()
                && before + length == start
            {
                self.rows.remove(&before);
                (start, blocks) = (before, blocks + length);
            }
            if let Some(length) = self.rows.remove(&(start + blocks)) {
                blocks += length;
            }
            self.insert(start, blocks);
        }
    }

    fn insert(&mut self, start: u64, blocks: u64) {
        if blocks > 0 {
            self.rows.insert(start, blocks);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_taken_split_and_joined() {
        let layout = Layout::of_device(1024).unwrap();
        let mut free = Free::all(&layout);
        let total = free.blocks();
        let block = BLOCK_LEN as u64;
        let taken: Vec<Placement> = (0..10).map(|_| free.take(20 * block).unwrap()).collect();
        assert!(taken.iter().all(|placement| placement.extents.len() == 1));
        for placement in taken.iter().step_by(2) {
            free.give_back(placement);
        }
        let rest = free.rows.values().next_back().copied().unwrap();
        let scattered = free.take((rest + 30) * block).unwrap();
        assert!(scattered.extents.len() > 1);
        assert_eq!(
            Placement::decode(&scattered.encode()),
            Some(scattered.clone())
        );
        assert_eq!(free.claim(&scattered), None);
        free.give_back(&scattered);
        for placement in taken.iter().skip(1).step_by(2) {
            free.give_back(placement);
        }
        assert_eq!((free.blocks(), free.rows.len()), (total, 1));
        assert_eq!(free.take((total + 1) * block), Err(Error::Full));
    }
}
