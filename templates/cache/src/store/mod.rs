//! The store: items by key, the least recently used ones evicted when the memory is full.
//!
//! Pure: no clock, no randomness, no network. Time is an argument of whoever needs it.
//!
//! | file            | what                                                    |
//! |-----------------|---------------------------------------------------------|
//! | `arena.rs`      | the memory, as blocks of one size                        |
//! | `item.rs`       | what is known of an item                                 |
//! | `index.rs`      | items by key                                             |
//! | `lru.rs`        | items by last use                                        |
//! | `put.rs`        | storing: drafts, and on which condition they come in     |
//! | `arithmetic.rs` | adding and subtracting                                   |
//! | `reading.rs`    | the bytes of an item, also of one that is just replaced  |

mod arena;
mod arithmetic;
mod index;
mod item;
mod lru;
mod put;
mod reading;
#[cfg(all(test, not(denali)))]
mod tests;

pub use arena::{BLOCK_LEN, SEGMENT_BLOCKS};
pub use arithmetic::{ArithmeticError, Direction, write_decimal};
pub use item::Item;
pub use put::{Draft, Mode, Put, PutOutcome, Refused};
pub use reading::Reading;

use crate::clock::Expiry;
use arena::{Arena, BlockId};
use index::Index;
use item::Place;
use lru::Lru;

/// Longest key in bytes.
pub const KEY_MAX: usize = 250;

/// Bytes of memory that a segment takes, its share of the index and the allocator's notes included.
pub const SEGMENT_LEN: usize = SEGMENT_BLOCKS * (BLOCK_LEN + size_of::<arena::Link>()) + 64;

/// Blocks that each new item looks at for items that have expired.
const SWEEP_BLOCKS: usize = 4;

/// Names an item that the store holds. Good until the store is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ItemId(BlockId);

/// How large the store may get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Segments of memory.
    pub segments_max: usize,
    /// Longest key and value together in bytes.
    pub item_len_max: usize,
}

/// What has happened in the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Items there are, those included that have expired unseen.
    pub items: u64,
    /// Items there have been.
    pub items_total: u64,
    /// Items that made room while they were still good.
    pub evicted: u64,
    /// Of these, items that nobody had read.
    pub evicted_unfetched: u64,
    /// Items that made room because they had expired or been flushed.
    pub reclaimed: u64,
    /// Items found, when asked for, to have expired.
    pub found_expired: u64,
    /// Items found, when asked for, to have been flushed.
    pub found_flushed: u64,
}

/// The items.
#[derive(Debug)]
pub struct Store {
    arena: Arena,
    index: Index,
    lru: Lru,
    item_len_max: usize,
    cas_last: u64,
    /// How often everything has been flushed.
    epoch: u32,
    /// When everything is to be flushed.
    flush_at: Option<u32>,
    /// The block to be looked at next for an expired item.
    swept: usize,
    counters: Counters,
}

impl Store {
    /// Makes an empty store. The seed should be unpredictable for its clients.
    pub fn new(limits: Limits, seed: [u64; 2]) -> Self {
        let arena = Arena::new(limits.segments_max);
        Self {
            index: Index::new(arena.limit(), seed),
            arena,
            lru: Lru::default(),
            item_len_max: limits.item_len_max,
            cas_last: 0,
            epoch: 0,
            flush_at: None,
            swept: 0,
            counters: Counters::default(),
        }
    }

    /// Returns what has happened.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Returns bytes of memory: those that hold something, and those there may be at most.
    pub fn bytes(&self) -> (usize, usize) {
        (
            self.arena.used() * BLOCK_LEN,
            self.arena.limit() * BLOCK_LEN,
        )
    }

    /// Returns blocks: those that hold something, those in memory, and those there may be at most.
    pub fn blocks(&self) -> (usize, usize, usize) {
        (self.arena.used(), self.arena.capacity(), self.arena.limit())
    }

    /// Returns the number of buckets of the index.
    pub fn buckets(&self) -> usize {
        self.index.len()
    }

    /// Returns when the item least recently used was used last.
    pub fn oldest_access(&self) -> Option<u32> {
        self.lru.oldest().map(|id| self.arena.item(id).accessed)
    }

    /// Returns the item with a key, unless it has expired.
    pub fn find(&mut self, key: &[u8], tick: u32) -> Option<ItemId> {
        self.flush_if_due(tick);
        let id = self.index.find(&self.arena, key)?;
        let item = self.arena.item(id);
        match (item.epoch == self.epoch, item.expiry.is_past(tick)) {
            (true, false) => return Some(ItemId(id)),
            (true, true) => self.counters.found_expired += 1,
            (false, _) => self.counters.found_flushed += 1,
        }
        self.unlink(id);
        None
    }

    /// Returns an item.
    pub fn item(&self, id: ItemId) -> &Item {
        self.arena.item(id.0)
    }

    /// Returns an item, to change it.
    pub fn item_mut(&mut self, id: ItemId) -> &mut Item {
        self.arena.item_mut(id.0)
    }

    /// Notes that an item was used.
    pub fn bump(&mut self, id: ItemId, tick: u32) {
        self.lru.bump(&mut self.arena, id.0);
        let item = self.arena.item_mut(id.0);
        item.accessed = tick;
        item.mark_fetched();
    }

    /// Removes an item.
    pub fn remove(&mut self, id: ItemId) {
        self.unlink(id.0);
    }

    /// Marks an item as stale, which changes it.
    pub fn invalidate(&mut self, id: ItemId, cas: Option<u64>) {
        let cas = self.new_cas(cas);
        let item = self.arena.item_mut(id.0);
        item.mark_stale();
        item.cas = cas;
    }

    /// Forgets everything at once.
    pub fn flush(&mut self) {
        self.flush_at = None;
        // What was stored before this is freed when it is found, or when its memory is needed.
        self.epoch += 1;
    }

    /// Forgets at `tick` everything stored until then.
    pub fn flush_at(&mut self, tick: u32) {
        self.flush_at = Some(tick);
    }

    fn flush_if_due(&mut self, tick: u32) {
        if self.flush_at.is_some_and(|due| due <= tick) {
            self.flush();
        }
    }

    /// Returns the number of the next change, the one that is wished for if one is.
    fn new_cas(&mut self, wished: Option<u64>) -> u64 {
        match wished {
            Some(cas) => {
                self.cas_last = self.cas_last.max(cas);
                cas
            }
            None => {
                self.cas_last += 1;
                self.cas_last
            }
        }
    }

    fn is_live(&self, item: &Item, tick: u32) -> bool {
        item.epoch == self.epoch && !item.expiry.is_past(tick)
    }

    /// Sees to it that `blocks` can be taken, by growing as long as that is allowed, then by
    /// evicting. Returns false if all that could be evicted is being read or made.
    fn make_room(&mut self, blocks: usize, tick: u32) -> bool {
        self.sweep(tick);
        while !self.arena.prepare(blocks) {
            if blocks > self.arena.limit() || !self.evict(tick) {
                return false;
            }
        }
        let buckets = self.arena.capacity();
        self.index.grow(&mut self.arena, buckets);
        self.index.len() > 0
    }

    /// Evicts the item not used for longest of those nobody is reading. Returns whether there was.
    fn evict(&mut self, tick: u32) -> bool {
        let mut link = self.lru.oldest();
        while let Some(id) = link {
            let item = self.arena.item(id);
            if item.pins == 0 {
                if self.is_live(item, tick) {
                    self.counters.evicted += 1;
                    self.counters.evicted_unfetched += u64::from(!item.is_fetched());
                } else {
                    self.counters.reclaimed += 1;
                }
                self.unlink(id);
                return true;
            }
            link = item.newer;
        }
        false
    }

    /// Frees items that have expired among the next few blocks, so that all are looked at now and
    /// then, without a pause at any time.
    fn sweep(&mut self, tick: u32) {
        for _ in 0..SWEEP_BLOCKS {
            self.swept = if self.swept < self.arena.touched() {
                self.swept
            } else {
                0
            };
            if let Some((id, item)) = self.arena.item_at(self.swept)
                && item.place() == Place::Linked
                && !self.is_live(item, tick)
            {
                self.counters.reclaimed += 1;
                self.unlink(id);
            }
            self.swept += 1;
        }
    }

    /// Takes an item out of index and order, and frees it unless it is being read.
    fn unlink(&mut self, id: BlockId) {
        self.index.remove(&mut self.arena, id);
        self.lru.remove(&mut self.arena, id);
        self.counters.items -= 1;
        let item = self.arena.item_mut(id);
        item.set_place(Place::Outside);
        if item.pins == 0 {
            self.arena.give_back(id);
        }
    }
}
