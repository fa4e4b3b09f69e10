//! A hash table from addresses to ports that allocates only when told to.
//!
//! Open addressing with linear probing, at most half full, deletion by shifting back (Knuth 1998,
//! vol. 3 §6.4, algorithm R), so a lookup costs the same however many VMs there are. Room is made
//! when a VM is connected; learning an address while frames pass never allocates.

use alloc::vec::Vec;
use core::num::NonZeroU16;
use denali_abi::convert::u64_to_usize;
use denali_abi::errno::Errno;

/// Keys of 48 bits or fewer to ports.
#[derive(Debug, Default)]
pub struct Table {
    /// Empty or a power of two long.
    slots: Vec<Option<Slot>>,
    used: usize,
}

/// A key of 48 bits and the index of a VM, in ten bytes: there are two to four for each entry.
#[derive(Clone, Copy, Debug)]
struct Slot {
    key: [u16; 3],
    vm_high_plus_one: NonZeroU16,
    vm_low: u16,
}

/// Most bytes that an entry takes: a table is at least a quarter full when it has just grown.
pub const ENTRY_BYTES_MAX: usize = 4 * size_of::<Option<Slot>>();

const _: () = assert!(ENTRY_BYTES_MAX == 40);

impl Slot {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "keys have 48 bits, and a number is cut into halves"
    )]
    const fn new(key: u64, vm: u32) -> Self {
        Self {
            key: [key as u16, (key >> 16) as u16, (key >> 32) as u16],
            vm_high_plus_one: NonZeroU16::MIN.saturating_add((vm >> 16) as u16),
            vm_low: vm as u16,
        }
    }

    fn key(self) -> u64 {
        let [low, middle, high] = self.key.map(u64::from);
        high << 32 | middle << 16 | low
    }

    fn vm(self) -> u32 {
        (u32::from(self.vm_high_plus_one.get()) - 1) << 16 | u32::from(self.vm_low)
    }
}

/// The table has no room: [`Table::reserve`] was not called for this entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableFull;

impl Table {
    /// Makes room for `entries` entries in all.
    ///
    /// # Errors
    ///
    /// [`Errno::OutOfMemory`]; the table is as before.
    pub fn reserve(&mut self, entries: usize) -> Result<(), Errno> {
        const SLOTS_MIN: usize = 8;
        let wanted = entries.saturating_mul(2).max(SLOTS_MIN);
        if wanted <= self.slots.len() {
            return Ok(());
        }
        let len = wanted
            .checked_next_power_of_two()
            .ok_or(Errno::OutOfMemory)?;
        let mut slots = Vec::new();
        slots
            .try_reserve_exact(len)
            .map_err(|_| Errno::OutOfMemory)?;
        slots.resize(len, None);
        let mut grown = Self { slots, used: 0 };
        for slot in self.slots.iter().flatten() {
            grown
                .insert(slot.key(), slot.vm())
                .map_err(|TableFull| Errno::OutOfMemory)?;
        }
        *self = grown;
        Ok(())
    }

    /// Returns the port of `key`.
    #[must_use]
    pub fn get(&self, key: u64) -> Option<u32> {
        let (_, slot) = self.probe(key)?;
        slot.map(Slot::vm)
    }

    /// Sets the port of `key`.
    ///
    /// # Errors
    ///
    /// [`TableFull`] if `key` is new and no room was reserved for it.
    pub fn insert(&mut self, key: u64, vm: u32) -> Result<(), TableFull> {
        let (at, occupant) = self.probe(key).ok_or(TableFull)?;
        if occupant.is_none() {
            if (self.used + 1) * 2 > self.slots.len() {
                return Err(TableFull);
            }
            self.used += 1;
        }
        *self.slots.get_mut(at).ok_or(TableFull)? = Some(Slot::new(key, vm));
        Ok(())
    }

    /// Removes `key` and returns its port.
    pub fn remove(&mut self, key: u64) -> Option<u32> {
        let (mut hole, occupant) = self.probe(key)?;
        let removed = occupant?.vm();
        self.used -= 1;
        let mask = self.slots.len() - 1;
        let mut at = hole;
        for _ in 0..self.slots.len() {
            at = (at + 1) & mask;
            let Some(next) = self.slots.get(at).copied().flatten() else {
                break;
            };
            // An entry may move to the hole unless its home lies cyclically behind the hole.
            let from_home = at.wrapping_sub(self.home(next.key())) & mask;
            if from_home >= at.wrapping_sub(hole) & mask {
                self.set(hole, Some(next));
                hole = at;
            }
        }
        self.set(hole, None);
        Some(removed)
    }

    fn set(&mut self, at: usize, value: Option<Slot>) {
        if let Some(slot) = self.slots.get_mut(at) {
            *slot = value;
        }
    }

    /// Returns where `key` is, or the free slot where it would go; `None` if nothing was reserved.
    fn probe(&self, key: u64) -> Option<(usize, Option<Slot>)> {
        let mask = self.slots.len().checked_sub(1)?;
        let home = self.home(key);
        (0..self.slots.len()).find_map(|step| {
            let at = (home + step) & mask;
            match self.slots.get(at).copied()? {
                Some(slot) if slot.key() != key => None,
                found => Some((at, found)),
            }
        })
    }

    /// Returns where the search for `key` starts (multiplicative hashing, Knuth vol. 3 §6.4).
    fn home(&self, key: u64) -> usize {
        const GOLDEN_RATIO: u64 = 0x9e37_79b9_7f4a_7c15;
        let bits = self.slots.len().trailing_zeros();
        u64_to_usize(
            key.wrapping_mul(GOLDEN_RATIO)
                .checked_shr(64 - bits)
                .unwrap_or(0),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::test_frames::Random;
    use std::collections::BTreeMap;

    #[test]
    fn it_agrees_with_a_model_through_inserts_and_removals() {
        let mut random = Random(0x5eed_0002);
        let mut table = Table::default();
        let mut model = BTreeMap::new();
        table.reserve(300).unwrap();
        for step in 0..200_000_u32 {
            let key = random.next() % 300;
            if random.next().is_multiple_of(2) {
                table.insert(key, step).unwrap();
                model.insert(key, step);
            } else {
                assert_eq!(table.remove(key), model.remove(&key));
            }
            let probe = random.next() % 300;
            assert_eq!(table.get(probe), model.get(&probe).copied());
        }
        assert_eq!(table.used, model.len());
    }

    #[test]
    fn nothing_is_inserted_without_reserved_room() {
        let mut table = Table::default();
        assert_eq!(table.get(1), None);
        assert_eq!(table.insert(1, 1), Err(TableFull));
        table.reserve(4).unwrap();
        for key in 0..4 {
            table.insert(key, 9).unwrap();
        }
        assert_eq!(table.insert(4, 9), Err(TableFull));
        assert_eq!(table.insert(3, 8), Ok(()));
        table.reserve(5).unwrap();
        assert_eq!(table.insert(4, 7), Ok(()));
        assert_eq!((table.get(3), table.get(4)), (Some(8), Some(7)));
    }
}
