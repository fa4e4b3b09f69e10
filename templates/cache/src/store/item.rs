//! What is known of an item besides its bytes.

use super::arena::{Arena, HEAD_BYTES, Link};
use crate::clock::Expiry;

/// Whether the store still knows an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the making, or replaced while somebody was still reading it.
    Outside,
    /// In the index and in the order of use.
    Linked,
}

/// An item: the first block of a chain. Its contents are its key, directly followed by its value.
#[derive(Debug)]
pub struct Item {
    /// Changes whenever the item does.
    pub cas: u64,
    /// The block with the rest of the contents.
    pub(super) rest: Link,
    /// The next item of the same bucket.
    pub(super) chain: Link,
    /// The next item in the order of use that was used more recently.
    pub(super) newer: Link,
    /// The next item in the order of use that was used less recently.
    pub(super) older: Link,
    pub(super) hash: u32,
    /// How often everything had been flushed when it was stored.
    pub(super) epoch: u32,
    pub(super) value_len: u32,
    /// The client's own flags.
    pub flags: u32,
    /// When it expires.
    pub expiry: Expiry,
    /// When it was last used.
    pub accessed: u32,
    /// How many are reading it, and so keep its blocks.
    pub(super) pins: u16,
    pub(super) key_len: u8,
    marks: u8,
    pub(super) bytes: [u8; HEAD_BYTES],
}

const LINKED: u8 = 1 << 0;
const FETCHED: u8 = 1 << 1;
const STALE: u8 = 1 << 2;
const WON: u8 = 1 << 3;

impl Item {
    /// Makes an item outside the store, without contents.
    pub(super) fn new(key_len: u8, value_len: u32, flags: u32, expiry: Expiry) -> Self {
        Self {
            cas: 0,
            rest: None,
            chain: None,
            newer: None,
            older: None,
            hash: 0,
            epoch: 0,
            value_len,
            flags,
            expiry,
            accessed: 0,
            pins: 0,
            key_len,
            marks: 0,
            bytes: [0; HEAD_BYTES],
        }
    }

    /// Returns the length of the key in bytes.
    pub fn key_len(&self) -> usize {
        usize::from(self.key_len)
    }

    /// Returns the length of the value in bytes.
    pub fn value_len(&self) -> usize {
        self.value_len as usize
    }

    /// Returns the length of key and value together in bytes.
    pub fn len(&self) -> usize {
        self.key_len() + self.value_len()
    }

    /// Returns how many blocks of memory it takes.
    pub fn blocks(&self) -> usize {
        Arena::blocks_for(self.len())
    }

    /// Returns whether it has been read since it was stored.
    pub fn is_fetched(&self) -> bool {
        self.marks & FETCHED != 0
    }

    /// Returns whether it has been invalidated, and is kept until somebody brings a new one.
    pub fn is_stale(&self) -> bool {
        self.marks & STALE != 0
    }

    /// Returns whether a client has been told to bring a new one.
    pub fn is_won(&self) -> bool {
        self.marks & WON != 0
    }

    pub(super) fn place(&self) -> Place {
        if self.marks & LINKED != 0 {
            Place::Linked
        } else {
            Place::Outside
        }
    }

    pub(super) fn set_place(&mut self, place: Place) {
        match place {
            Place::Linked => self.marks |= LINKED,
            Place::Outside => self.marks &= !LINKED,
        }
    }

    pub(super) fn mark_fetched(&mut self) {
        self.marks |= FETCHED;
    }

    /// Marks it stale; the next to ask wins the right to bring a new one.
    pub(super) fn mark_stale(&mut self) {
        self.marks = self.marks & !WON | STALE;
    }

    /// Notes that a client has been told to bring a new one.
    pub fn mark_won(&mut self) {
        self.marks |= WON;
    }
}
