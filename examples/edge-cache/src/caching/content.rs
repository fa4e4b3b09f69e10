//! Bodies in memory, and the account that it comes from.
//!
//! A body lies in blocks, so that large ones need no memory in one piece.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;
use core::sync::atomic::{AtomicUsize, Ordering};

/// Bytes of a block.
pub(crate) const BLOCK_LEN: usize = 8 * 1024;

/// What a block takes beside its bytes.
const BLOCK_OVERHEAD: usize = 64;

/// How many bytes responses take, and how many they may.
#[derive(Debug)]
pub(crate) struct Ledger {
    used: AtomicUsize,
    limit: usize,
}

impl Ledger {
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        let used = AtomicUsize::new(0);
        Arc::new(Self { used, limit })
    }

    /// Returns the bytes taken now.
    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Returns the most that may be taken.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// Takes `len` bytes, if they are there.
    pub(crate) fn charge(self: &Arc<Self>, len: usize) -> Option<Charge> {
        let taken = |used: usize| used.checked_add(len).filter(|used| *used <= self.limit);
        let order = Ordering::Relaxed;
        self.used.fetch_update(order, order, taken).ok()?;
        Some(Charge {
            ledger: Arc::clone(self),
            len,
        })
    }
}

/// Bytes taken, until dropped.
#[derive(Debug)]
pub(crate) struct Charge {
    ledger: Arc<Ledger>,
    len: usize,
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.ledger.used.fetch_sub(self.len, Ordering::Relaxed);
    }
}

#[derive(Debug)]
struct Block {
    bytes: Vec<u8>,
    _charge: Charge,
}

/// A body.
#[derive(Debug, Default)]
pub(crate) struct Content {
    blocks: Vec<Block>,
    len: usize,
}

impl Content {
    /// Returns its length in bytes.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Adds bytes; `reserve` finds memory for a block. Returns how many found room.
    pub(crate) fn push(
        &mut self,
        mut bytes: &[u8],
        mut reserve: impl FnMut(usize) -> Option<Charge>,
    ) -> usize {
        let wanted = bytes.len();
        while !bytes.is_empty() {
            let has_room = self
                .blocks
                .last()
                .is_some_and(|block| block.bytes.len() < BLOCK_LEN);
            if !has_room && self.add_block(&mut reserve).is_none() {
                break;
            }
            if let Some(block) = self.blocks.last_mut() {
                let len = bytes.len().min(BLOCK_LEN - block.bytes.len());
                block.bytes.extend_from_slice(&bytes[..len]);
                self.len += len;
                bytes = &bytes[len..];
            }
        }
        wanted - bytes.len()
    }

    /// Gives back what the last block does not need.
    pub(crate) fn shrink(&mut self) {
        if let Some(block) = self.blocks.last_mut() {
            block.bytes.shrink_to_fit();
        }
    }

    /// Returns the bytes of a range, piece by piece. What lies outside is left out.
    pub(crate) fn pieces(&self, range: Range<usize>) -> impl Iterator<Item = &[u8]> {
        self.blocks
            .iter()
            .enumerate()
            .filter_map(move |(index, block)| {
                let offset = index * BLOCK_LEN;
                let start = range.start.saturating_sub(offset);
                let end = range.end.saturating_sub(offset).min(block.bytes.len());
                block
                    .bytes
                    .get(start..end)
                    .filter(|piece| !piece.is_empty())
            })
    }

    fn add_block(&mut self, reserve: &mut impl FnMut(usize) -> Option<Charge>) -> Option<()> {
        let charge = reserve(BLOCK_LEN + BLOCK_OVERHEAD)?;
        let mut bytes = Vec::new();
        // Where the allocator has no piece of this size, the body is too long.
        bytes.try_reserve_exact(BLOCK_LEN).ok()?;
        self.blocks.push(Block {
            bytes,
            _charge: charge,
        });
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;

    #[test]
    fn what_goes_in_comes_out_of_any_range() {
        let ledger = Ledger::new(1 << 20);
        let mut random = Random::new(5);
        let mut content = Content::default();
        let mut bytes = Vec::new();
        for _ in 0..40 {
            let more: Vec<u8> = (0..random.below(3_000)).map(|_| random.byte()).collect();
            assert_eq!(content.push(&more, |len| ledger.charge(len)), more.len());
            bytes.extend_from_slice(&more);
        }
        content.shrink();
        assert_eq!(content.len(), bytes.len());
        for _ in 0..500 {
            let start = random.below(bytes.len());
            let end = start + random.below(bytes.len() + 1 - start);
            let pieces: Vec<_> = content.pieces(start..end).collect();
            assert_eq!(pieces.concat(), bytes[start..end]);
        }
        drop(content);
        assert_eq!(ledger.used(), 0);
    }

    #[test]
    fn a_body_that_finds_no_memory_says_how_much_of_it_did() {
        let ledger = Ledger::new(2 * (BLOCK_LEN + BLOCK_OVERHEAD));
        let mut content = Content::default();
        let pushed = content.push(&alloc::vec![1; 3 * BLOCK_LEN], |len| ledger.charge(len));
        assert_eq!((pushed, content.len()), (2 * BLOCK_LEN, 2 * BLOCK_LEN));
    }
}
