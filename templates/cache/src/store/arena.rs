//! The memory of the store: blocks of one size, so that any free ones will do for any item.
//!
//! An item is a chain of blocks: the first holds what is known of it and the beginning of its
//! bytes, the others the rest. There is no fragmentation, hence what is used and what is free is
//! exact, and evicting items always makes the room it promises. Blocks come in segments, which are
//! asked of the heap as they are needed and then kept.

use super::item::Item;
use alloc::vec::Vec;
use core::num::NonZeroU32;

/// Length of a block in bytes.
pub const BLOCK_LEN: usize = 128;

/// Bytes of an item's contents that its first block holds.
pub const HEAD_BYTES: usize = 68;

/// Bytes of an item's contents that each further block holds.
pub const BODY_BYTES: usize = BLOCK_LEN - 5;

/// Blocks in a segment.
pub const SEGMENT_BLOCKS: usize = 256;

const _: () = assert!(size_of::<Block>() == BLOCK_LEN);

/// Names a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockId(NonZeroU32);

/// A block that follows another one, if any does.
pub type Link = Option<BlockId>;

impl BlockId {
    /// Returns the name of the block with this number, counted from 0.
    fn from_index(index: usize) -> Self {
        let number = u32::try_from(index + 1).expect("fewer than 2^32 blocks, 512 GiB");
        Self(NonZeroU32::new(number).expect("one more than an index is not zero"))
    }

    fn index(self) -> usize {
        self.0.get() as usize - 1
    }
}

/// What a block is used for.
#[derive(Debug)]
enum Block {
    Free { next: Link },
    Head(Item),
    Body { next: Link, bytes: [u8; BODY_BYTES] },
}

/// A place in the contents of an item.
#[derive(Clone, Copy, Debug)]
pub struct Cursor {
    block: Link,
    offset: usize,
}

/// All blocks.
#[derive(Debug)]
pub struct Arena {
    segments: Vec<Vec<Block>>,
    segments_max: usize,
    /// The first of the blocks that have been used and are free again.
    free: Link,
    free_len: usize,
    /// Blocks that have been used at least once.
    touched: usize,
}

impl Arena {
    /// Makes an arena that will not grow beyond `segments_max` segments.
    pub fn new(segments_max: usize) -> Self {
        // Reserved now and touched as it fills, so that the arena never moves its table.
        let segments = Vec::with_capacity(segments_max);
        Self {
            segments,
            segments_max,
            free: None,
            free_len: 0,
            touched: 0,
        }
    }

    /// Returns how many blocks an item with contents of `len` bytes takes.
    pub fn blocks_for(len: usize) -> usize {
        1 + len.saturating_sub(HEAD_BYTES).div_ceil(BODY_BYTES)
    }

    /// Returns how many blocks there may be.
    pub fn limit(&self) -> usize {
        self.segments_max * SEGMENT_BLOCKS
    }

    /// Returns how many blocks there are in memory.
    pub fn capacity(&self) -> usize {
        self.segments.len() * SEGMENT_BLOCKS
    }

    /// Returns how many blocks hold something.
    pub fn used(&self) -> usize {
        self.touched - self.free_len
    }

    /// Sees to it that `blocks` can be taken. Returns false if the arena would have to grow beyond
    /// its limit for that.
    pub fn prepare(&mut self, blocks: usize) -> bool {
        while self.capacity() - self.used() < blocks {
            if self.segments.len() == self.segments_max {
                return false;
            }
            let mut segment = Vec::new();
            if segment.try_reserve_exact(SEGMENT_BLOCKS).is_err() {
                // Somebody else has the memory: what there is has to do from now on.
                self.segments_max = self.segments.len();
                return false;
            }
            self.segments.push(segment);
        }
        true
    }

    /// Takes blocks for an item with contents of `len` bytes, for which there is room.
    pub fn take(&mut self, mut item: Item, len: usize) -> BlockId {
        let mut next = None;
        for _ in 1..Self::blocks_for(len) {
            next = Some(self.take_block(Block::Body {
                next,
                bytes: [0; BODY_BYTES],
            }));
        }
        item.rest = next;
        self.take_block(Block::Head(item))
    }

    fn take_block(&mut self, block: Block) -> BlockId {
        if let Some(id) = self.free {
            let place = self.block_mut(id);
            let Block::Free { next } = *place else {
                unreachable!("the list of free blocks")
            };
            *place = block;
            self.free = next;
            self.free_len -= 1;
            return id;
        }
        let id = BlockId::from_index(self.touched);
        self.segments[self.touched / SEGMENT_BLOCKS].push(block);
        self.touched += 1;
        id
    }

    /// Gives the blocks of an item back.
    pub fn give_back(&mut self, id: BlockId) {
        let mut link = Some(id);
        while let Some(id) = link {
            let free = self.free;
            let block = core::mem::replace(self.block_mut(id), Block::Free { next: free });
            link = match block {
                Block::Head(item) => item.rest,
                Block::Body { next, .. } => next,
                Block::Free { .. } => unreachable!("a block of an item"),
            };
            self.free = Some(id);
            self.free_len += 1;
        }
    }

    /// Returns an item.
    pub fn item(&self, id: BlockId) -> &Item {
        match self.block(id) {
            Block::Head(item) => item,
            _ => unreachable!("the first block of an item"),
        }
    }

    /// Returns an item, to change it.
    pub fn item_mut(&mut self, id: BlockId) -> &mut Item {
        match self.block_mut(id) {
            Block::Head(item) => item,
            _ => unreachable!("the first block of an item"),
        }
    }

    /// Returns the item whose first block has this number, if it is one.
    pub fn item_at(&self, index: usize) -> Option<(BlockId, &Item)> {
        let block = self
            .segments
            .get(index / SEGMENT_BLOCKS)?
            .get(index % SEGMENT_BLOCKS)?;
        match block {
            Block::Head(item) => Some((BlockId::from_index(index), item)),
            _ => None,
        }
    }

    /// Returns how many blocks have been used at least once.
    pub fn touched(&self) -> usize {
        self.touched
    }

    /// Returns the place `offset` bytes into the contents of an item.
    pub fn cursor(&self, id: BlockId, offset: usize) -> Cursor {
        let mut cursor = Cursor {
            block: Some(id),
            offset: 0,
        };
        self.advance(&mut cursor, offset);
        cursor
    }

    /// Returns the contents from a place to the end of its block. Empty only at the very end.
    pub fn piece(&self, cursor: Cursor) -> &[u8] {
        let Some(id) = cursor.block else { return &[] };
        let bytes: &[u8] = match self.block(id) {
            Block::Head(item) => &item.bytes,
            Block::Body { bytes, .. } => bytes,
            Block::Free { .. } => unreachable!("a block of an item"),
        };
        &bytes[cursor.offset..]
    }

    /// Moves a place on by `len` bytes.
    pub fn advance(&self, cursor: &mut Cursor, mut len: usize) {
        while let Some(id) = cursor.block {
            let (block_len, next) = match self.block(id) {
                Block::Head(item) => (HEAD_BYTES, item.rest),
                Block::Body { next, .. } => (BODY_BYTES, *next),
                Block::Free { .. } => unreachable!("a block of an item"),
            };
            let left = block_len - cursor.offset;
            if len < left {
                cursor.offset += len;
                return;
            }
            len -= left;
            *cursor = Cursor {
                block: next,
                offset: 0,
            };
        }
    }

    /// Writes at a place, and moves it on.
    pub fn write(&mut self, cursor: &mut Cursor, mut source: &[u8]) {
        while let (Some(id), false) = (cursor.block, source.is_empty()) {
            let bytes: &mut [u8] = match self.block_mut(id) {
                Block::Head(item) => &mut item.bytes,
                Block::Body { bytes, .. } => bytes,
                Block::Free { .. } => unreachable!("a block of an item"),
            };
            let target = &mut bytes[cursor.offset..];
            let len = target.len().min(source.len());
            let (now, later) = source.split_at(len);
            target[..len].copy_from_slice(now);
            source = later;
            self.advance(cursor, len);
        }
    }

    /// Copies `len` bytes from one item to another, and moves both places on.
    pub fn copy(&mut self, from: &mut Cursor, to: &mut Cursor, mut len: usize) {
        let mut bytes = [0; BODY_BYTES];
        while len > 0 {
            let piece = self.piece(*from);
            let now = piece.len().min(len);
            bytes[..now].copy_from_slice(&piece[..now]);
            self.advance(from, now);
            self.write(to, &bytes[..now]);
            len -= now;
        }
    }

    fn block(&self, id: BlockId) -> &Block {
        &self.segments[id.index() / SEGMENT_BLOCKS][id.index() % SEGMENT_BLOCKS]
    }

    fn block_mut(&mut self, id: BlockId) -> &mut Block {
        &mut self.segments[id.index() / SEGMENT_BLOCKS][id.index() % SEGMENT_BLOCKS]
    }
}
