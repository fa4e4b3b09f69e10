//! A table of descriptors behind ids that are never used twice.
//!
//! An id is an index and a generation. The generation of a slot grows each time it is emptied, so a
//! stale id finds nothing, even after the slot is taken again.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::marker::PhantomData;
use core::num::NonZeroU64;
use denali_abi::convert::u32_to_usize;
use denali_abi::errno::Errno;

/// Generations stay below 2^31, so that an id is a positive result of a hypercall.
const GENERATION_MAX: u32 = i32::MAX.cast_unsigned();

/// An index and a generation in one word: `generation << 32 | index + 1`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Handle(NonZeroU64);

impl Handle {
    /// Returns the handle of slot `index` in its `generation`.
    #[must_use]
    pub const fn new(index: u32, generation: u32) -> Self {
        let low = match NonZeroU64::new(index as u64 + 1) {
            Some(low) => low,
            None => NonZeroU64::MIN,
        };
        Self(low.saturating_add((generation as u64) << 32))
    }

    /// Returns the handle written as `raw`, if it is one.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "the low half is looked at")]
    pub const fn from_raw(raw: u64) -> Option<Self> {
        if raw as u32 == 0 {
            return None;
        }
        match NonZeroU64::new(raw) {
            Some(raw) => Some(Self(raw)),
            None => None,
        }
    }

    /// Returns the handle as the number guests see.
    #[must_use]
    pub const fn raw(self) -> u64 {
        self.0.get()
    }

    /// Returns the index of the slot.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "the low half is the index")]
    pub const fn index(self) -> u32 {
        (self.raw() as u32).wrapping_sub(1)
    }

    /// Returns the generation of the slot.
    #[must_use]
    pub const fn generation(self) -> u32 {
        (self.raw() >> 32) as u32
    }
}

/// A typed [`Handle`].
pub trait Key: Copy {
    /// Wraps a handle.
    fn from_handle(handle: Handle) -> Self;
    /// Unwraps it.
    fn handle(self) -> Handle;
}

/// Declares an id type around a [`Handle`].
macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name($crate::vm::table::Handle);

        impl $name {
            /// Returns the id a guest names as `raw`, if it has the form of one.
            #[must_use]
            pub const fn from_raw(raw: u64) -> Option<Self> {
                match $crate::vm::table::Handle::from_raw(raw) {
                    Some(handle) => Some(Self(handle)),
                    None => None,
                }
            }

            /// Returns the id as the number guests see: above zero, below 2^63.
            #[must_use]
            pub const fn raw(self) -> u64 {
                self.0.raw()
            }

            /// Returns the index in the table.
            #[must_use]
            pub const fn index(self) -> u32 {
                self.0.index()
            }
        }

        impl $crate::vm::table::Key for $name {
            fn from_handle(handle: $crate::vm::table::Handle) -> Self {
                Self(handle)
            }

            fn handle(self) -> $crate::vm::table::Handle {
                self.0
            }
        }

        impl core::fmt::Debug for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                write!(f, "{}.{}", self.0.index(), self.0.generation())
            }
        }
    };
}
pub(crate) use id_type;

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handle({}.{})", self.index(), self.generation())
    }
}

/// One place in the table.
#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    value: Option<Box<T>>,
}

/// Bytes of a place, without what the box holds.
pub const SLOT_BYTES: usize = size_of::<Slot<u64>>();

/// A table of at most `limit` values.
#[derive(Debug)]
pub struct Table<K, T> {
    slots: Vec<Slot<T>>,
    vacant: Vec<u32>,
    limit: u32,
    len: u32,
    key: PhantomData<K>,
}

impl<K: Key, T> Table<K, T> {
    /// Makes an empty table.
    #[must_use]
    pub const fn new(limit: u32) -> Self {
        Self {
            slots: Vec::new(),
            vacant: Vec::new(),
            limit,
            len: 0,
            key: PhantomData,
        }
    }

    /// Returns how many values are in it.
    #[must_use]
    pub const fn len(&self) -> u32 {
        self.len
    }

    /// Returns whether it is empty.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns how many values it can hold.
    #[must_use]
    pub const fn limit(&self) -> u32 {
        self.limit
    }

    /// Lets it hold at most `limit` values from now on, if it could hold more.
    pub fn lower_limit(&mut self, limit: u32) {
        self.limit = self.limit.min(limit);
    }

    /// Returns the id the next [`Table::insert`] will use.
    ///
    /// # Errors
    ///
    /// [`Errno::TableFull`].
    pub fn next_id(&self) -> Result<K, Errno> {
        if let Some(&index) = self.vacant.last() {
            let generation = self.slots[u32_to_usize(index)].generation;
            return Ok(K::from_handle(Handle::new(index, generation)));
        }
        match u32::try_from(self.slots.len()) {
            Ok(index) if index < self.limit => Ok(K::from_handle(Handle::new(index, 0))),
            _ => Err(Errno::TableFull),
        }
    }

    /// Puts `value` into the table under [`Table::next_id`].
    ///
    /// # Errors
    ///
    /// [`Errno::TableFull`].
    pub fn insert(&mut self, value: T) -> Result<K, Errno> {
        let id = self.next_id()?;
        match self.vacant.pop() {
            Some(index) => self.slots[u32_to_usize(index)].value = Some(Box::new(value)),
            None => self.slots.push(Slot {
                generation: 0,
                value: Some(Box::new(value)),
            }),
        }
        self.len += 1;
        Ok(id)
    }

    /// Takes a value out. Its id is not used again; a slot without ids left stays empty.
    pub fn remove(&mut self, id: K) -> Option<Box<T>> {
        let handle = id.handle();
        let slot = self.slots.get_mut(u32_to_usize(handle.index()))?;
        if slot.generation != handle.generation() {
            return None;
        }
        let value = slot.value.take()?;
        self.len -= 1;
        if slot.generation < GENERATION_MAX {
            slot.generation += 1;
            self.vacant.push(handle.index());
        }
        Some(value)
    }

    /// Returns the value with this id.
    #[must_use]
    pub fn get(&self, id: K) -> Option<&T> {
        let handle = id.handle();
        let slot = self.slots.get(u32_to_usize(handle.index()))?;
        if slot.generation != handle.generation() && !cfg!(sabotage = "stale-handles") {
            return None;
        }
        slot.value.as_deref()
    }

    /// Returns the value with this id, to change it.
    pub fn get_mut(&mut self, id: K) -> Option<&mut T> {
        let handle = id.handle();
        let slot = self.slots.get_mut(u32_to_usize(handle.index()))?;
        if slot.generation != handle.generation() {
            return None;
        }
        slot.value.as_deref_mut()
    }

    /// Returns whether this id finds a value.
    #[must_use]
    pub fn contains(&self, id: K) -> bool {
        self.get(id).is_some()
    }

    /// Returns the id of the value at `index`.
    #[must_use]
    pub fn id_at(&self, index: u32) -> Option<K> {
        let slot = self.slots.get(u32_to_usize(index))?;
        slot.value.as_ref()?;
        Some(K::from_handle(Handle::new(index, slot.generation)))
    }

    /// Returns the first id at or behind `index`.
    #[must_use]
    pub fn next_from(&self, index: u32) -> Option<K> {
        let end = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        (index..end).find_map(|index| self.id_at(index))
    }

    /// Returns every id and value, by index.
    pub fn iter(&self) -> impl Iterator<Item = (K, &T)> {
        (0_u32..).zip(&self.slots).filter_map(|(index, slot)| {
            let value = slot.value.as_deref()?;
            Some((K::from_handle(Handle::new(index, slot.generation)), value))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vm::VmId;

    #[test]
    fn a_stale_id_finds_nothing_in_a_slot_taken_again() {
        let mut table: Table<VmId, u32> = Table::new(4);
        let first = table.insert(1).expect("room");
        assert_eq!(table.remove(first).as_deref(), Some(&1));
        let second = table.insert(2).expect("room");
        assert_eq!(first.index(), second.index());
        assert_eq!(table.get(first), None);
        assert_eq!(table.get(second), Some(&2));
        assert!(table.remove(first).is_none());
    }

    #[test]
    fn the_limit_is_an_answer() {
        let mut table: Table<VmId, u32> = Table::new(2);
        let first = table.insert(1).expect("room");
        table.insert(2).expect("room");
        assert_eq!(table.insert(3).err(), Some(Errno::TableFull));
        table.remove(first);
        assert!(table.insert(3).is_ok());
    }

    #[test]
    fn ids_survive_the_way_through_a_guest() {
        let handle = Handle::new(5, GENERATION_MAX);
        assert_eq!(Handle::from_raw(handle.raw()), Some(handle));
        assert!(i64::try_from(handle.raw()).is_ok());
        assert_eq!(Handle::from_raw(0), None);
        assert_eq!(Handle::from_raw(7 << 32), None);
    }

    #[test]
    fn walking_skips_empty_slots() {
        let mut table: Table<VmId, u32> = Table::new(8);
        let ids: Vec<_> = (0..4)
            .filter_map(|value| table.insert(value).ok())
            .collect();
        table.remove(ids[1]);
        assert_eq!(table.next_from(1), Some(ids[2]));
        assert_eq!(table.next_from(4), None);
        assert_eq!(table.iter().count(), 3);
    }
}
