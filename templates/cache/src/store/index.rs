//! Finds items by key: linear hashing (Litwin 1980) with chains through the items themselves.
//!
//! The table grows bucket by bucket, each new one sharing the items of one old one, so that growing
//! never moves everything at once and never needs the memory of two tables.

use super::arena::{Arena, BlockId, Link};
use alloc::vec::Vec;

/// Buckets that are allocated together.
const GROUP: usize = 256;

/// The buckets.
#[derive(Debug)]
pub struct Index {
    groups: Vec<Vec<Link>>,
    seed: [u64; 2],
}

impl Index {
    /// Makes an index for at most `buckets_max` buckets. The seed keeps clients from choosing keys
    /// that all fall into the same one.
    pub fn new(buckets_max: usize, seed: [u64; 2]) -> Self {
        Self {
            groups: Vec::with_capacity(buckets_max.div_ceil(GROUP)),
            seed,
        }
    }

    /// Returns the number of buckets.
    pub fn len(&self) -> usize {
        self.groups.len() * GROUP
    }

    /// Grows to `buckets`, as far as there is memory: fewer only make the chains longer.
    pub fn grow(&mut self, arena: &mut Arena, buckets: usize) {
        while self.len() < buckets {
            let mut group = Vec::new();
            if group.try_reserve_exact(GROUP).is_err() {
                return;
            }
            let old_len = self.len();
            group.resize(GROUP, None);
            self.groups.push(group);
            if old_len > 0 {
                (old_len..old_len + GROUP).for_each(|bucket| self.split_into(arena, bucket));
            }
        }
    }

    /// Moves to a new bucket the items that belong there, from the bucket that had them so far.
    fn split_into(&mut self, arena: &mut Arena, new: usize) {
        let old = bucket(new as u32, new);
        let mut link = core::mem::take(self.bucket_mut(old));
        while let Some(id) = link {
            let item = arena.item_mut(id);
            let target = bucket(item.hash, new + 1);
            link = core::mem::replace(&mut item.chain, *self.bucket_mut(target));
            *self.bucket_mut(target) = Some(id);
        }
    }

    /// Returns the hash of a key.
    pub fn hash(&self, key: &[u8]) -> u32 {
        let mut state = self.seed[0] ^ key.len() as u64;
        for chunk in key.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            state = fold(state ^ u64::from_le_bytes(word), self.seed[1] | 1);
        }
        // The golden ratio, so that the low bits depend on all of them.
        fold(state, 0x9e37_79b9_7f4a_7c15) as u32
    }

    /// Returns the item with a key.
    pub fn find(&self, arena: &Arena, key: &[u8]) -> Link {
        let hash = self.hash(key);
        let mut link = self.first(hash)?;
        loop {
            let item = arena.item(link);
            if item.hash == hash && has_key(arena, link, key) {
                return Some(link);
            }
            link = item.chain?;
        }
    }

    /// Adds an item whose hash is set.
    pub fn insert(&mut self, arena: &mut Arena, id: BlockId) {
        let item = arena.item_mut(id);
        let len = self.len();
        let place = self.bucket_mut(bucket(item.hash, len));
        item.chain = place.replace(id);
    }

    /// Removes an item.
    pub fn remove(&mut self, arena: &mut Arena, id: BlockId) {
        let (hash, next) = (arena.item(id).hash, arena.item(id).chain);
        if self.first(hash) == Some(id) {
            let len = self.len();
            *self.bucket_mut(bucket(hash, len)) = next;
            return;
        }
        let mut link = self.first(hash);
        while let Some(before) = link {
            link = arena.item(before).chain;
            if link == Some(id) {
                arena.item_mut(before).chain = next;
                return;
            }
        }
    }

    fn first(&self, hash: u32) -> Link {
        if self.groups.is_empty() {
            return None;
        }
        let bucket = bucket(hash, self.len());
        self.groups[bucket / GROUP][bucket % GROUP]
    }

    fn bucket_mut(&mut self, bucket: usize) -> &mut Link {
        &mut self.groups[bucket / GROUP][bucket % GROUP]
    }
}

/// Returns the bucket of a hash among `len`: its low bits, one fewer where there is none yet.
fn bucket(hash: u32, len: usize) -> usize {
    let span = len.next_power_of_two();
    let bucket = hash as usize & (span - 1);
    if bucket < len {
        bucket
    } else {
        bucket - span / 2
    }
}

fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

fn has_key(arena: &Arena, id: BlockId, mut key: &[u8]) -> bool {
    if arena.item(id).key_len() != key.len() {
        return false;
    }
    let mut cursor = arena.cursor(id, 0);
    while !key.is_empty() {
        let piece = arena.piece(cursor);
        let len = piece.len().min(key.len());
        if piece[..len] != key[..len] {
            return false;
        }
        key = &key[len..];
        arena.advance(&mut cursor, len);
    }
    true
}
