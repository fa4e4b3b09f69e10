//! A hierarchical timing wheel: timers by the thousand, most of them cancelled before they fire.
//!
//! Varghese & Lauck 1987, scheme 7, with a tick of one nanosecond, so that every deadline is
//! exact. Level *l* has 64 slots of 64^*l* ns each. A timer lies on the level of the highest base-64
//! digit in which its deadline differs from the wheel's own time, in the slot of that digit. Since
//! all higher digits agree, the first occupied slot of the first occupied level holds the earliest
//! timer, and slots never wrap around. As the wheel's time enters a slot, its timers move down.
//!
//! Inserting and cancelling take constant time. A timer moves at most ten times before it fires.

use crate::time::Instant;
use alloc::vec::Vec;
use core::cell::Cell;
use core::num::NonZeroU32;

/// Bits of a deadline that one level looks at.
const LEVEL_BITS: u32 = 6;

/// Slots of a level.
const LEVEL_SLOTS: usize = 1 << LEVEL_BITS;

/// Levels it takes to cover 64 bits.
const LEVELS: usize = 11;

/// Names a timer of one wheel. A key of a timer that fired or was cancelled names nothing, also
/// after its place has been used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimerKey {
    index: u32,
    generation: u32,
}

/// Timers, each with a deadline and a value.
///
/// An empty wheel takes no heap; the first timer allocates the slots (2.75 KiB).
#[derive(Debug)]
pub struct Wheel<T> {
    /// No timer is due before this time but those that were overdue when inserted.
    elapsed: u64,
    /// One bit per slot that holds timers.
    occupied: [u64; LEVELS],
    /// First timer of each slot, level by level.
    slots: Vec<Link>,
    entries: Vec<Entry<T>>,
    free: Link,
    len: usize,
    /// The earliest deadline, as long as it is known.
    earliest: Cell<Option<u64>>,
}

/// The index of an entry plus one.
type Link = Option<NonZeroU32>;

#[derive(Debug)]
struct Entry<T> {
    deadline: u64,
    value: Option<T>,
    generation: u32,
    slot: u32,
    previous: Link,
    next: Link,
}

impl<T> Wheel<T> {
    /// Makes an empty wheel.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            elapsed: 0,
            occupied: [0; LEVELS],
            slots: Vec::new(),
            entries: Vec::new(),
            free: None,
            len: 0,
            earliest: Cell::new(None),
        }
    }

    /// Returns the number of timers.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Returns whether there are no timers.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Sets a timer. One whose deadline is past fires at the next [`expire`](Self::expire).
    pub fn insert(&mut self, deadline: Instant, value: T) -> TimerKey {
        if self.slots.is_empty() {
            self.slots.resize(LEVELS * LEVEL_SLOTS, None);
        }
        let deadline = deadline.as_ns();
        if self.is_empty()
            || self
                .earliest
                .get()
                .is_some_and(|earliest| deadline < earliest)
        {
            self.earliest.set(Some(deadline));
        }
        let link = self.allocate(deadline, value);
        self.link(link);
        self.len += 1;
        let index = index_of(link);
        TimerKey {
            index: link.get() - 1,
            generation: self.entries[index].generation,
        }
    }

    /// Takes a timer out and returns its value, or `None` if it fired or was cancelled before.
    pub fn cancel(&mut self, key: TimerKey) -> Option<T> {
        let entry = self.entries.get(usize_from(key.index))?;
        if entry.generation != key.generation || entry.value.is_none() {
            return None;
        }
        let link = NonZeroU32::new(key.index + 1)?;
        self.remove(link)
    }

    /// Returns the exact deadline of the timer that fires next.
    ///
    /// Takes constant time unless the earliest timer was removed since the last call; then the
    /// timers of one slot are compared.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        if self.earliest.get().is_none() {
            let slot = self.first_slot()?;
            let mut earliest: Option<u64> = None;
            let mut link = self.slots[slot];
            while let Some(current) = link {
                let entry = &self.entries[index_of(current)];
                earliest = Some(earliest.map_or(entry.deadline, |e| e.min(entry.deadline)));
                link = entry.next;
            }
            self.earliest.set(earliest);
        }
        self.earliest.get().map(Instant::from_ns)
    }

    /// Takes out a timer whose deadline is at or before `now`, the earliest first, and returns its
    /// value.
    pub fn expire(&mut self, now: Instant) -> Option<T> {
        let now = now.as_ns();
        loop {
            let Some(slot) = self.first_slot() else {
                self.elapsed = self.elapsed.max(now);
                return None;
            };
            let start = self.slot_start(slot);
            if start > now {
                self.elapsed = self.elapsed.max(now);
                return None;
            }
            self.elapsed = start;
            if slot < LEVEL_SLOTS {
                return self.slots[slot].and_then(|first| self.remove(first));
            }
            self.move_down(slot);
        }
    }

    /// Spreads the timers of a slot that the wheel's time has entered over lower levels.
    fn move_down(&mut self, slot: usize) {
        self.occupied[slot / LEVEL_SLOTS] &= !(1 << (slot % LEVEL_SLOTS));
        let mut link = self.slots[slot].take();
        while let Some(current) = link {
            link = self.entries[index_of(current)].next;
            self.link(current);
        }
    }

    /// Returns the slot that holds the earliest timer.
    fn first_slot(&self) -> Option<usize> {
        let level = self.occupied.iter().position(|bits| *bits != 0)?;
        Some(level * LEVEL_SLOTS + usize_from(self.occupied[level].trailing_zeros()))
    }

    /// Returns the time at which a slot begins.
    fn slot_start(&self, slot: usize) -> u64 {
        let shift = level_shift(slot / LEVEL_SLOTS);
        let above = u64::MAX.checked_shl(shift + LEVEL_BITS).unwrap_or(0);
        let digit = denali_abi::convert::usize_to_u64(slot % LEVEL_SLOTS);
        (self.elapsed & above) | (digit << shift)
    }

    /// Returns the slot a deadline belongs to at the wheel's present time.
    fn slot_of(&self, deadline: u64) -> usize {
        let due = deadline.max(self.elapsed);
        let level = usize_from((due ^ self.elapsed).max(1).ilog2() / LEVEL_BITS);
        let digit = (due >> level_shift(level)) % denali_abi::convert::usize_to_u64(LEVEL_SLOTS);
        level * LEVEL_SLOTS + denali_abi::convert::u64_to_usize(digit)
    }

    /// Puts an entry at the head of the slot it belongs to.
    fn link(&mut self, link: NonZeroU32) {
        let slot = self.slot_of(self.entries[index_of(link)].deadline);
        let next = self.slots[slot].replace(link);
        if let Some(next) = next {
            self.entries[index_of(next)].previous = Some(link);
        }
        let entry = &mut self.entries[index_of(link)];
        entry.slot = u32_from(slot);
        entry.previous = None;
        entry.next = next;
        self.occupied[slot / LEVEL_SLOTS] |= 1 << (slot % LEVEL_SLOTS);
    }

    /// Takes an entry out of its slot, frees it and returns its value.
    fn remove(&mut self, link: NonZeroU32) -> Option<T> {
        let entry = &mut self.entries[index_of(link)];
        let (slot, previous, next) = (usize_from(entry.slot), entry.previous, entry.next);
        let (deadline, value) = (entry.deadline, entry.value.take());
        entry.generation = entry.generation.wrapping_add(1);
        entry.next = self.free.replace(link);
        if let Some(next) = next {
            self.entries[index_of(next)].previous = previous;
        }
        match previous {
            Some(previous) => self.entries[index_of(previous)].next = next,
            None => self.slots[slot] = next,
        }
        if self.slots[slot].is_none() {
            self.occupied[slot / LEVEL_SLOTS] &= !(1 << (slot % LEVEL_SLOTS));
        }
        self.len -= 1;
        if self.earliest.get() == Some(deadline) {
            self.earliest.set(None);
        }
        value
    }

    /// Returns a free entry, filled in but for its links.
    fn allocate(&mut self, deadline: u64, value: T) -> NonZeroU32 {
        if let Some(link) = self.free {
            let entry = &mut self.entries[index_of(link)];
            self.free = entry.next;
            entry.deadline = deadline;
            entry.value = Some(value);
            return link;
        }
        let entry = Entry {
            deadline,
            value: Some(value),
            generation: 0,
            slot: 0,
            previous: None,
            next: None,
        };
        self.entries.push(entry);
        let count = u32::try_from(self.entries.len()).expect("memory ends before 2^32 timers");
        NonZeroU32::new(count).expect("one was just pushed")
    }
}

impl<T> Default for Wheel<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// Returns the lowest bit of a deadline that `level` looks at.
fn level_shift(level: usize) -> u32 {
    u32_from(level) * LEVEL_BITS
}

fn index_of(link: NonZeroU32) -> usize {
    usize_from(link.get() - 1)
}

const fn usize_from(value: u32) -> usize {
    denali_abi::convert::u32_to_usize(value)
}

fn u32_from(slot: usize) -> u32 {
    u32::try_from(slot).expect("slots and levels are below 1,024")
}

#[cfg(test)]
mod tests;
