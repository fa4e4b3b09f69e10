//! Storing: an item is drafted, filled as its bytes arrive, and put in its place when complete.
//!
//! The draft lies in the store's own memory, so that a value on its way takes no other.

use super::arena::{Arena, BlockId, Cursor};
use super::item::{Item, Place};
use super::{Expiry, ItemId, Store};

/// An item in the making. It has to be given back, by [`Store::put`] or [`Store::discard`].
#[derive(Debug)]
#[must_use = "a draft holds memory of the store until it is put or discarded"]
pub struct Draft {
    id: BlockId,
    cursor: Cursor,
    left: usize,
}

impl Draft {
    /// Returns how many bytes of the value are still missing.
    pub fn left(&self) -> usize {
        self.left
    }
}

/// Why there is no draft.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It is longer than items may be.
    TooLarge,
    /// No memory can be freed for it.
    NoMemory,
}

/// What to do with the value of a draft.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Store it.
    #[default]
    Set,
    /// Store it if there is none yet.
    Add,
    /// Store it if there is one already.
    Replace,
    /// Append it to the one there is.
    Append,
    /// Prepend it to the one there is.
    Prepend,
}

/// How to put a draft.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Put {
    /// What to do with the value.
    pub mode: Mode,
    /// The change the client has seen last: nothing is stored over a later one.
    pub compare: Option<u64>,
    /// Stores a value over a later change, but marks it stale.
    pub stale_if_later: bool,
    /// Stores what is to be appended or prepended even if there is nothing to join it with.
    pub vivify: bool,
    /// The number this change gets, instead of the next one.
    pub cas: Option<u64>,
}

/// What became of a draft.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutOutcome {
    /// It is stored, with this number.
    Stored { cas: u64 },
    /// The mode forbids it.
    NotStored,
    /// There is a later change.
    Exists,
    /// There is nothing to compare with.
    NotFound,
    /// There is no draft of what it would be together with what there is.
    Refused(Refused),
}

impl Store {
    /// Makes a draft, evicting other items if it has to.
    ///
    /// # Errors
    ///
    /// [`Refused`] if there is no place for such an item.
    pub fn draft(
        &mut self,
        key: &[u8],
        value_len: usize,
        flags: u32,
        expiry: Expiry,
        tick: u32,
    ) -> Result<Draft, Refused> {
        self.flush_if_due(tick);
        let len = key.len().checked_add(value_len).ok_or(Refused::TooLarge)?;
        let key_len = u8::try_from(key.len()).map_err(|_| Refused::TooLarge)?;
        let stored_len = u32::try_from(value_len).map_err(|_| Refused::TooLarge)?;
        if len > self.item_len_max {
            return Err(Refused::TooLarge);
        }
        if !self.make_room(Arena::blocks_for(len), tick) {
            return Err(Refused::NoMemory);
        }
        let mut item = Item::new(key_len, stored_len, flags, expiry);
        item.hash = self.index.hash(key);
        let id = self.arena.take(item, len);
        let mut cursor = self.arena.cursor(id, 0);
        self.arena.write(&mut cursor, key);
        Ok(Draft {
            id,
            cursor,
            left: value_len,
        })
    }

    /// Adds bytes to the value of a draft; more than are missing are ignored.
    pub fn fill(&mut self, draft: &mut Draft, bytes: &[u8]) {
        let bytes = &bytes[..bytes.len().min(draft.left)];
        self.arena.write(&mut draft.cursor, bytes);
        draft.left -= bytes.len();
    }

    /// Drops a draft.
    pub fn discard(&mut self, draft: Draft) {
        self.arena.give_back(draft.id);
    }

    /// Puts a draft in its place, or drops it.
    pub fn put(&mut self, draft: Draft, put: Put, tick: u32) -> PutOutcome {
        let key_len = self.arena.item(draft.id).key_len();
        let mut key = [0; super::KEY_MAX];
        self.copy_out(draft.id, &mut key[..key_len]);
        let old = self.find(&key[..key_len], tick);
        let stale = match self.admits(old, put, tick) {
            Ok(stale) => stale,
            Err(outcome) => {
                self.discard(draft);
                return outcome;
            }
        };
        let draft = match (put.mode, old) {
            (Mode::Append | Mode::Prepend, Some(old)) => {
                let joined = self.join(old, &draft, put.mode, &key[..key_len], tick);
                self.discard(draft);
                match joined {
                    Ok(joined) => joined,
                    Err(refused) => return PutOutcome::Refused(refused),
                }
            }
            _ => draft,
        };
        if let Some(old) = old {
            self.remove(old);
        }
        let (cas, id) = self.link(draft, put.cas, tick);
        if stale {
            self.item_mut(id).mark_stale();
        }
        PutOutcome::Stored { cas }
    }

    /// Decides whether a put may go ahead, and whether its value is stale at once.
    fn admits(&mut self, old: Option<ItemId>, put: Put, tick: u32) -> Result<bool, PutOutcome> {
        let Some(old) = old else {
            return match put.mode {
                Mode::Add => Ok(false),
                Mode::Set | Mode::Replace if put.compare.is_some() => Err(PutOutcome::NotFound),
                Mode::Set => Ok(false),
                Mode::Append | Mode::Prepend if put.vivify => Ok(false),
                Mode::Replace | Mode::Append | Mode::Prepend => Err(PutOutcome::NotStored),
            };
        };
        if put.mode == Mode::Add {
            // Whoever tries to add it has a use for it.
            self.bump(old, tick);
            return Err(PutOutcome::NotStored);
        }
        let current = self.item(old).cas;
        match put.compare {
            Some(seen) if seen == current => Ok(false),
            Some(seen) if put.stale_if_later && seen < current && put.mode.replaces() => Ok(true),
            Some(_) => Err(PutOutcome::Exists),
            None => Ok(false),
        }
    }

    /// Drafts the value of an item together with that of a draft.
    fn join(
        &mut self,
        old: ItemId,
        draft: &Draft,
        mode: Mode,
        key: &[u8],
        tick: u32,
    ) -> Result<Draft, Refused> {
        let item = self.item(old);
        let (old_len, flags, expiry) = (item.value_len(), item.flags, item.expiry);
        let new_len = self.arena.item(draft.id).value_len();
        // Making room must not evict the very item that is to be joined.
        self.item_mut(old).pins += 1;
        let joined = self.draft(key, old_len + new_len, flags, expiry, tick);
        self.item_mut(old).pins -= 1;
        let mut joined = joined?;
        let mut first = (old.0, old_len);
        let mut second = (draft.id, new_len);
        if mode == Mode::Prepend {
            core::mem::swap(&mut first, &mut second);
        }
        for (id, len) in [first, second] {
            let mut from = self.arena.cursor(id, key.len());
            self.arena.copy(&mut from, &mut joined.cursor, len);
            joined.left -= len;
        }
        Ok(joined)
    }

    /// Makes a complete draft an item of the store. Returns the number of this change, and the item.
    pub(super) fn link(&mut self, draft: Draft, cas: Option<u64>, tick: u32) -> (u64, ItemId) {
        let cas = self.new_cas(cas);
        let item = self.arena.item_mut(draft.id);
        item.cas = cas;
        item.epoch = self.epoch;
        item.accessed = tick;
        item.set_place(Place::Linked);
        self.index.insert(&mut self.arena, draft.id);
        self.lru.push(&mut self.arena, draft.id);
        self.counters.items += 1;
        self.counters.items_total += 1;
        (cas, ItemId(draft.id))
    }

    /// Fills `bytes` from the beginning of an item's contents.
    pub(super) fn copy_out(&self, id: BlockId, bytes: &mut [u8]) {
        let mut cursor = self.arena.cursor(id, 0);
        let mut done = 0;
        while done < bytes.len() {
            let piece = self.arena.piece(cursor);
            let len = piece.len().min(bytes.len() - done);
            bytes[done..done + len].copy_from_slice(&piece[..len]);
            self.arena.advance(&mut cursor, len);
            done += len;
        }
    }
}

impl Mode {
    /// Returns whether the new value takes the place of the old one.
    fn replaces(self) -> bool {
        matches!(self, Self::Set | Self::Replace)
    }
}
