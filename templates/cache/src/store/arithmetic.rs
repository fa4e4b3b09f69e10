//! Values that are numbers: decimal, unsigned, 64 bits.

use super::{Draft, ItemId, KEY_MAX, Refused, Store};

/// Digits of the largest number.
const DIGITS_MAX: usize = 20;

/// Longest value that can be a number, with spaces and zeros around it.
const NUMBER_LEN_MAX: usize = 32;

/// Which way to count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// Up, from the largest number on to 0.
    #[default]
    Up,
    /// Down, not below 0.
    Down,
}

/// Why a value could not be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArithmeticError {
    /// It is not a number.
    NotNumeric,
    /// There is no memory for the new value.
    Refused(Refused),
}

impl Store {
    /// Adds to the number an item holds, or subtracts from it. Returns the new number, and the
    /// item, which may be another one. A shorter number is padded with spaces at its end.
    ///
    /// # Errors
    ///
    /// [`ArithmeticError`]; the item is unchanged then.
    pub fn count(
        &mut self,
        id: ItemId,
        direction: Direction,
        delta: u64,
        cas: Option<u64>,
        tick: u32,
    ) -> Result<(u64, ItemId), ArithmeticError> {
        let old = self.number(id).ok_or(ArithmeticError::NotNumeric)?;
        let new = match direction {
            Direction::Up => old.wrapping_add(delta),
            Direction::Down => old.saturating_sub(delta),
        };
        let mut digits = [b' '; NUMBER_LEN_MAX];
        let len = write_decimal(new, &mut digits);
        let item = self.item(id);
        let (key_len, value_len, pins) = (item.key_len(), item.value_len(), item.pins);
        if len <= value_len && pins == 0 {
            let mut cursor = self.arena.cursor(id.0, key_len);
            self.arena.write(&mut cursor, &digits[..value_len]);
            let cas = self.new_cas(cas);
            self.item_mut(id).cas = cas;
            self.bump(id, tick);
            return Ok((new, id));
        }
        let id = self.replace_value(id, &digits[..len.max(value_len)], cas, tick)?;
        Ok((new, id))
    }

    /// Removes the value of an item and the client's flags, but keeps the item. Returns it, which
    /// may be another one.
    ///
    /// # Errors
    ///
    /// [`ArithmeticError::Refused`]; the item is unchanged then.
    pub fn empty(
        &mut self,
        id: ItemId,
        cas: Option<u64>,
        tick: u32,
    ) -> Result<ItemId, ArithmeticError> {
        let id = self.replace_value(id, b"", cas, tick)?;
        self.item_mut(id).flags = 0;
        Ok(id)
    }

    /// Puts an item with another value into the place of one.
    fn replace_value(
        &mut self,
        id: ItemId,
        value: &[u8],
        cas: Option<u64>,
        tick: u32,
    ) -> Result<ItemId, ArithmeticError> {
        let item = self.item_mut(id);
        let (key_len, flags, expiry) = (item.key_len(), item.flags, item.expiry);
        item.pins += 1;
        let mut key = [0; KEY_MAX];
        self.copy_out(id.0, &mut key[..key_len]);
        let draft = self.draft(&key[..key_len], value.len(), flags, expiry, tick);
        self.item_mut(id).pins -= 1;
        let mut draft: Draft = draft.map_err(ArithmeticError::Refused)?;
        self.fill(&mut draft, value);
        self.remove(id);
        let (_, new) = self.link(draft, cas, tick);
        self.item_mut(new).mark_fetched();
        Ok(new)
    }

    /// Returns the number an item holds: leading spaces, digits, and nothing but what a space
    /// separates from them.
    fn number(&self, id: ItemId) -> Option<u64> {
        if self.item(id).value_len() > NUMBER_LEN_MAX {
            return None;
        }
        let mut text = [0; NUMBER_LEN_MAX];
        let mut len = 0;
        self.read_all(id, |piece| {
            text[len..len + piece.len()].copy_from_slice(piece);
            len += piece.len();
        });
        let text = text[..len].trim_ascii_start();
        let digits = text.split(u8::is_ascii_whitespace).next()?;
        crate::protocol::number(digits)
    }
}

/// Writes a number in decimal, and returns how many digits it has.
pub fn write_decimal(mut number: u64, target: &mut [u8]) -> usize {
    let mut digits = [0; DIGITS_MAX];
    let mut first = DIGITS_MAX;
    loop {
        first -= 1;
        digits[first] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    let len = DIGITS_MAX - first;
    target[..len].copy_from_slice(&digits[first..]);
    len
}
