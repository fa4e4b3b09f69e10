//! Extents: who has which blocks of swap space.
//!
//! Best fit over the free ranges, which join again when they are freed. Extents are as long as
//! their VMs' memory limits, and the limits on a host are few and much alike: what one VM leaves
//! fits the next one. Taking and freeing cost O(log n) in the number of free ranges, of which there
//! is at most one more than there are extents.

use alloc::collections::{BTreeMap, BTreeSet};

/// Consecutive blocks of swap space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The first block.
    pub start: u64,
    /// How many; above zero.
    pub blocks: u32,
}

const _: () = assert!(size_of::<Extent>() == 16);

/// The free blocks.
#[derive(Debug)]
pub struct Extents {
    total: u64,
    free: u64,
    by_start: BTreeMap<u64, u64>,
    by_length: BTreeSet<(u64, u64)>,
}

impl Extents {
    /// Makes a space of `total` blocks, all free.
    #[must_use]
    pub fn new(total: u64) -> Self {
        let mut extents = Self {
            total,
            free: 0,
            by_start: BTreeMap::new(),
            by_length: BTreeSet::new(),
        };
        if total > 0 {
            extents.add(0, total);
        }
        extents
    }

    /// Returns the number of blocks there are, those of retired extents included.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.total
    }

    /// Returns the number of free blocks.
    #[must_use]
    pub const fn free(&self) -> u64 {
        self.free
    }

    /// Takes an extent of `blocks` blocks: from the shortest free range that is long enough.
    ///
    /// Returns `None` if there is none.
    pub fn take(&mut self, blocks: u32) -> Option<Extent> {
        let wanted = u64::from(blocks);
        let &(length, start) = self.by_length.range((wanted, 0)..).next()?;
        if wanted == 0 {
            return None;
        }
        self.remove(start, length);
        if length > wanted {
            self.add(start + wanted, length - wanted);
        }
        Some(Extent { start, blocks })
    }

    /// Frees an extent.
    ///
    /// # Panics
    ///
    /// If part of it is free: the kernel frees an extent once.
    pub fn give_back(&mut self, extent: Extent) {
        let (mut start, mut length) = (extent.start, u64::from(extent.blocks));
        if let Some((&before, &long)) = self.by_start.range(..start).next_back() {
            assert!(before + long <= start, "an extent is freed once");
            if before + long == start {
                self.remove(before, long);
                (start, length) = (before, length + long);
            }
        }
        if let Some((&behind, &long)) = self.by_start.range(start..).next() {
            assert!(start + length <= behind, "an extent is freed once");
            if start + length == behind {
                self.remove(behind, long);
                length += long;
            }
        }
        self.add(start, length);
    }

    fn add(&mut self, start: u64, length: u64) {
        self.by_start.insert(start, length);
        self.by_length.insert((length, start));
        self.free += length;
    }

    fn remove(&mut self, start: u64, length: u64) {
        self.by_start.remove(&start);
        self.by_length.remove(&(length, start));
        self.free -= length;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn a_full_space_is_an_answer_and_recovers() {
        let mut extents = Extents::new(100);
        let first = extents.take(60).expect("free");
        assert_eq!(extents.take(41), None);
        let second = extents.take(40).expect("free");
        assert_eq!((extents.free(), extents.take(1)), (0, None));
        extents.give_back(first);
        extents.give_back(second);
        assert_eq!(extents.take(100).map(|extent| extent.start), Some(0));
    }

    #[test]
    fn ten_thousand_of_mixed_sizes_come_and_go_without_overlap_or_loss() {
        let mut extents = Extents::new(1 << 22);
        let mut held: Vec<Extent> = Vec::new();
        let mut state = 1_u32;
        let mut next = |below: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) % below
        };
        for _ in 0..50_000 {
            if held.len() < 5_000 || next(2) == 0 && held.len() < 10_000 {
                held.extend(extents.take(64 << next(4)));
            } else {
                let at = next(u32::try_from(held.len()).expect("few"));
                extents.give_back(held.swap_remove(at as usize));
            }
        }
        let used: u64 = held.iter().map(|extent| u64::from(extent.blocks)).sum();
        assert_eq!(used + extents.free(), extents.total());
        held.sort_by_key(|extent| extent.start);
        let apart = |pair: &[Extent]| pair[0].start + u64::from(pair[0].blocks) <= pair[1].start;
        assert!(held.windows(2).all(apart));
        // What mixed sizes cost: no more free ranges than a quarter of the extents.
        assert!(
            extents.by_start.len() * 4 < held.len(),
            "{}",
            extents.by_start.len()
        );
        for extent in held {
            extents.give_back(extent);
        }
        assert_eq!(extents.by_start.len(), 1);
    }
}
