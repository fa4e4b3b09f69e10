//! Changes of records: what a transaction says.

use crate::log::{PAYLOAD_LEN, TRANSACTION_BLOCKS_MAX};
use crate::{Error, KEY_LEN_MAX, VALUE_LEN_MAX};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// The records, by key.
pub(crate) type Records = BTreeMap<Vec<u8>, Vec<u8>>;

const PUT: u8 = 1;
const REMOVE: u8 = 2;

/// Bytes of a change besides key and value.
const OVERHEAD: usize = 7;

/// Most bytes of a transaction.
pub(crate) const TRANSACTION_LEN_MAX: usize = TRANSACTION_BLOCKS_MAX * PAYLOAD_LEN;

const _: () = assert!(OVERHEAD + KEY_LEN_MAX + 1 + VALUE_LEN_MAX <= TRANSACTION_LEN_MAX);

/// Changes to be made all at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    changes: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

impl Changes {
    /// Returns no changes.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            changes: Vec::new(),
        }
    }

    /// Sets the record `key` to `value`.
    pub fn put(&mut self, key: &[u8], value: &[u8]) -> &mut Self {
        self.changes.push((key.to_vec(), Some(value.to_vec())));
        self
    }

    /// Removes the record `key`, if there is one.
    pub fn remove(&mut self, key: &[u8]) -> &mut Self {
        self.changes.push((key.to_vec(), None));
        self
    }

    /// Returns whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        self.changes
            .iter()
            .map(|(key, value)| (key.as_slice(), value.as_deref()))
    }

    /// Returns the bytes of a transaction.
    pub(crate) fn encode(&self) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        for (key, value) in self.iter() {
            encode(key, value, &mut bytes)?;
        }
        if bytes.len() > TRANSACTION_LEN_MAX {
            return Err(Error::TooLong);
        }
        Ok(bytes)
    }

    /// Reads the bytes of a transaction.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut changes = Self::new();
        let mut rest = bytes;
        while let Some((&kind, behind)) = rest.split_first() {
            let (key_len, behind) = behind.split_first_chunk::<2>()?;
            let (value_len, behind) = behind.split_first_chunk::<4>()?;
            let key_len = usize::from(u16::from_le_bytes(*key_len));
            let value_len = usize::try_from(u32::from_le_bytes(*value_len)).ok()?;
            let (key, behind) = behind.split_at_checked(key_len)?;
            let (value, behind) = behind.split_at_checked(value_len)?;
            match kind {
                PUT => changes.put(key, value),
                REMOVE => changes.remove(key),
                _ => return None,
            };
            rest = behind;
        }
        Some(changes)
    }

    /// Returns the changes that undo these.
    pub(crate) fn undone(&self, records: &Records) -> Self {
        let before = |(key, _): (&[u8], _)| (key.to_vec(), records.get(key).cloned());
        Self {
            changes: self.iter().map(before).collect(),
        }
    }

    pub(crate) fn apply(self, records: &mut Records) {
        for (key, value) in self.changes {
            match value {
                Some(value) => records.insert(key, value),
                None => records.remove(&key),
            };
        }
    }
}

/// Returns transactions that make these records of nothing.
pub(crate) fn snapshot(records: &Records) -> Result<Vec<Vec<u8>>, Error> {
    let mut transactions = Vec::new();
    let mut bytes = Vec::new();
    for (key, value) in records {
        if bytes.len() + OVERHEAD + key.len() + value.len() > TRANSACTION_LEN_MAX {
            transactions.push(core::mem::take(&mut bytes));
        }
        encode(key, Some(value), &mut bytes)?;
    }
    if !bytes.is_empty() {
        transactions.push(bytes);
    }
    Ok(transactions)
}

fn encode(key: &[u8], value: Option<&[u8]>, bytes: &mut Vec<u8>) -> Result<(), Error> {
    let length = value.map_or(0, <[u8]>::len);
    // One byte more than a user's key: the kind of record.
    if key.len() > KEY_LEN_MAX + 1 || length > VALUE_LEN_MAX {
        return Err(Error::TooLong);
    }
    let key_len = u16::try_from(key.len()).map_err(|_| Error::TooLong)?;
    let value_len = u32::try_from(length).map_err(|_| Error::TooLong)?;
    bytes.push(if value.is_some() { PUT } else { REMOVE });
    bytes.extend_from_slice(&key_len.to_le_bytes());
    bytes.extend_from_slice(&value_len.to_le_bytes());
    bytes.extend_from_slice(key);
    bytes.extend_from_slice(value.unwrap_or_default());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_read_as_they_were_written_and_nothing_else_is() {
        let mut changes = Changes::new();
        changes.put(b"a", b"one").remove(b"b").put(b"", &[7; 300]);
        let bytes = changes.encode().unwrap();
        assert_eq!(Changes::decode(&bytes), Some(changes));
        for cut in [1, 5, 8, bytes.len() - 1] {
            assert_eq!(Changes::decode(&bytes[..cut]), None, "{cut}");
        }
        assert_eq!(Changes::decode(&[9, 0, 0, 0, 0, 0, 0]), None);
    }

    #[test]
    fn what_is_too_long_is_refused() {
        let mut changes = Changes::new();
        changes.put(&[0; KEY_LEN_MAX + 2], b"");
        assert_eq!(changes.encode(), Err(Error::TooLong));
        let mut changes = Changes::new();
        changes.put(b"a", &alloc::vec![0; VALUE_LEN_MAX + 1]);
        assert_eq!(changes.encode(), Err(Error::TooLong));
    }
}
