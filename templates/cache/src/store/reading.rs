//! Reading the value of an item, piece by piece.
//!
//! A large value leaves in pieces, with pauses in which its item may be replaced or evicted. While
//! it is being read its blocks stay as they are.

use super::arena::{BlockId, Cursor};
use super::item::Place;
use super::{ItemId, Store};

/// A value that is being read. It has to be ended by [`Store::end_reading`].
#[derive(Debug)]
#[must_use = "the item's memory is kept until the reading is ended"]
pub struct Reading {
    id: BlockId,
    cursor: Cursor,
    left: usize,
}

impl Reading {
    /// Returns how many bytes have not been read yet.
    pub fn left(&self) -> usize {
        self.left
    }
}

impl Store {
    /// Hands the whole value of an item to `sink`, piece by piece.
    pub fn read_all(&self, id: ItemId, mut sink: impl FnMut(&[u8])) {
        let item = self.item(id);
        let mut left = item.value_len();
        let mut cursor = self.arena.cursor(id.0, item.key_len());
        while left > 0 {
            let piece = self.arena.piece(cursor);
            let len = piece.len().min(left);
            sink(&piece[..len]);
            self.arena.advance(&mut cursor, len);
            left -= len;
        }
    }

    /// Begins to read the value of an item.
    pub fn begin_reading(&mut self, id: ItemId) -> Reading {
        let item = self.arena.item_mut(id.0);
        item.pins += 1;
        let (offset, left) = (item.key_len(), item.value_len());
        Reading {
            id: id.0,
            cursor: self.arena.cursor(id.0, offset),
            left,
        }
    }

    /// Hands up to `len` bytes to `sink`, piece by piece.
    pub fn read(&self, reading: &mut Reading, len: usize, mut sink: impl FnMut(&[u8])) {
        let mut wanted = len.min(reading.left);
        while wanted > 0 {
            let piece = self.arena.piece(reading.cursor);
            let len = piece.len().min(wanted);
            sink(&piece[..len]);
            self.arena.advance(&mut reading.cursor, len);
            reading.left -= len;
            wanted -= len;
        }
    }

    /// Ends a reading. An item that the store no longer holds is freed by its last reader.
    pub fn end_reading(&mut self, reading: Reading) {
        let item = self.arena.item_mut(reading.id);
        item.pins -= 1;
        if item.pins == 0 && item.place() == Place::Outside {
            self.arena.give_back(reading.id);
        }
    }
}
