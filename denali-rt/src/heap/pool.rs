//! The pool of socket buffers.
//!
//! Buffers of one size lie side by side in *slabs* of whole pages, so that small ones that are taken
//! one after the other share pages, and none shares a page with anything else. What is free is used
//! again first, without a crossing; the kernel gets it back once the heap has been quiet.
//!
//! ```text
//! slab of 16 KiB buffers  | taken | taken | free | free |
//! slab of  2 KiB buffers  |t|t|t|f|t|f|f|f|f|…            two of them to a page
//! ```
//!
//! What is here only counts; it never touches a buffer.

use alloc::vec::Vec;
use core::ops::Range;
use denali_abi::convert::u64_to_usize;
use denali_abi::layout::PAGE_SIZE;

/// Bytes of a slab: sixteen pages.
pub(super) const SLAB_BYTES: usize = 64 * 1024;

/// The smallest buffer in bytes.
const BUFFER_MIN: usize = 1024;

/// Sizes of buffers: powers of two from [`BUFFER_MIN`] to a slab.
const SIZES: usize = 7;

/// Where slabs come from.
pub(super) trait Slabs {
    /// Returns the address of [`SLAB_BYTES`] on whole pages that have been written, or read as zero;
    /// `None` without memory.
    fn acquire(&mut self) -> Option<usize>;

    /// Takes the slab at `start` back.
    fn give_up(&mut self, start: usize);

    /// Gives the pages of a part of a slab that nobody uses back to the kernel; they read as zero.
    fn vacate(&mut self, pages: Range<usize>);
}

/// What the pool holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Buffers that are taken.
    pub(super) buffers: usize,
    /// Their bytes.
    pub(super) bytes: usize,
    /// Slabs they lie in.
    pub(super) slabs: usize,
    /// Bytes that were freed since the start.
    pub(super) freed: u64,
}

/// The pool.
#[derive(Debug)]
pub(super) struct Pool<S> {
    source: S,
    /// By address.
    slabs: Vec<Slab>,
    /// For each size, where the slabs with a free buffer start; the last is used first.
    with_room: [Vec<usize>; SIZES],
    counts: Counts,
}

/// Buffers of one size side by side. A bit stands for a buffer, the lowest for the first.
#[derive(Debug)]
struct Slab {
    start: usize,
    size: Size,
    taken: u64,
    /// Those that may hold pages though they are free.
    soiled: u64,
}

/// A size of buffers: `BUFFER_MIN << self.0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Size(usize);

impl Size {
    /// Returns the smallest size that holds `len` bytes.
    fn holding(len: usize) -> Option<Self> {
        let bytes = len.max(BUFFER_MIN).checked_next_power_of_two()?;
        (bytes <= SLAB_BYTES).then(|| Self((bytes / BUFFER_MIN).ilog2() as usize))
    }

    const fn bytes(self) -> usize {
        BUFFER_MIN << self.0
    }

    /// Returns the bits of all buffers of a slab.
    const fn all(self) -> u64 {
        u64::MAX >> (64 - SLAB_BYTES / self.bytes())
    }
}

/// Returns how many bytes a buffer for `len` bytes has; `None` if the pool has none so large.
pub(super) fn buffer_len(len: usize) -> Option<usize> {
    Size::holding(len).map(Size::bytes)
}

impl Slab {
    fn is_full(&self) -> bool {
        self.taken == self.size.all()
    }

    /// Returns the addresses of buffers by their numbers.
    fn addresses(&self, buffers: Range<u32>) -> Range<usize> {
        let address = |buffer: u32| self.start + buffer as usize * self.size.bytes();
        address(buffers.start)..address(buffers.end)
    }

    /// Gives the whole pages of free buffers back to the kernel.
    fn vacate(&mut self, source: &mut impl Slabs) {
        let page = u64_to_usize(PAGE_SIZE);
        let mut free = self.size.all() & !self.taken;
        while free != 0 {
            let first = free.trailing_zeros();
            let count = (free >> first).trailing_ones();
            let run = (u64::MAX >> (64 - count)) << first;
            if self.soiled & run != 0 {
                let bytes = self.addresses(first..first + count);
                let pages = bytes.start.next_multiple_of(page)..bytes.end / page * page;
                if pages.start < pages.end {
                    source.vacate(pages);
                }
                self.soiled &= !run;
            }
            free &= !run;
        }
    }
}

impl<S: Slabs> Pool<S> {
    /// Makes an empty pool.
    pub(super) const fn new(source: S) -> Self {
        Self {
            source,
            slabs: Vec::new(),
            with_room: [const { Vec::new() }; SIZES],
            counts: Counts {
                buffers: 0,
                bytes: 0,
                slabs: 0,
                freed: 0,
            },
        }
    }

    /// Returns what the pool holds.
    pub(super) fn counts(&self) -> Counts {
        Counts {
            slabs: self.slabs.len(),
            ..self.counts
        }
    }

    /// Takes a buffer of at least `len` bytes and returns its address; `None` without memory, or for
    /// one larger than any. It has [`buffer_len`] bytes.
    pub(super) fn take(&mut self, len: usize) -> Option<usize> {
        let size = Size::holding(len)?;
        if self.with_room[size.0].is_empty() {
            self.add_slab(size)?;
        }
        let start = *self.with_room[size.0].last()?;
        let index = self.slab_of(start)?;
        let slab = self.slabs.get_mut(index)?;
        let buffer = (!slab.taken).trailing_zeros();
        slab.taken |= 1 << buffer;
        slab.soiled |= 1 << buffer;
        if slab.is_full() {
            self.with_room[size.0].pop();
        }
        self.counts.buffers += 1;
        self.counts.bytes += size.bytes();
        Some(start + buffer as usize * size.bytes())
    }

    /// Takes a buffer back. Returns whether there is one at `address`.
    pub(super) fn free(&mut self, address: usize) -> bool {
        let Some(index) = self.slab_of(address) else {
            return false;
        };
        let Some(slab) = self.slabs.get_mut(index) else {
            return false;
        };
        let bit = 1 << ((address - slab.start) / slab.size.bytes());
        assert!(slab.taken & bit != 0, "a buffer is freed twice");
        if slab.is_full() {
            // `add_slab` has seen to the capacity.
            self.with_room[slab.size.0].push(slab.start);
        }
        slab.taken &= !bit;
        self.counts.buffers -= 1;
        self.counts.bytes -= slab.size.bytes();
        self.counts.freed += slab.size.bytes() as u64;
        true
    }

    /// Returns whether a buffer of the pool lies at `address`.
    pub(super) fn holds(&self, address: usize) -> bool {
        self.slab_of(address).is_some()
    }

    /// Gives back what nobody uses: slabs without a taken buffer, and the pages of other free ones.
    pub(super) fn trim(&mut self) {
        let source = &mut self.source;
        self.slabs.retain_mut(|slab| {
            if slab.taken == 0 {
                source.give_up(slab.start);
            } else {
                slab.vacate(source);
            }
            slab.taken != 0
        });
        if self.slabs.is_empty() {
            self.slabs = Vec::new();
            self.with_room = [const { Vec::new() }; SIZES];
            return;
        }
        let slabs = &self.slabs;
        for starts in &mut self.with_room {
            starts.retain(|start| slabs.binary_search_by_key(start, |slab| slab.start).is_ok());
        }
    }

    /// Adds a slab of buffers of one size.
    fn add_slab(&mut self, size: Size) -> Option<()> {
        let start = self.source.acquire().or_else(|| {
            self.trim();
            self.source.acquire()
        })?;
        let alike = self.slabs.iter().filter(|slab| slab.size == size).count();
        let starts = &mut self.with_room[size.0];
        // Room for all slabs of this size, so that freeing a buffer allocates nothing.
        if self.slabs.try_reserve(1).is_err() || starts.try_reserve(alike + 1).is_err() {
            self.source.give_up(start);
            return None;
        }
        let index = self.slabs.partition_point(|slab| slab.start < start);
        self.slabs.insert(
            index,
            Slab {
                start,
                size,
                taken: 0,
                soiled: 0,
            },
        );
        self.with_room[size.0].push(start);
        Some(())
    }

    /// Returns which slab an address lies in.
    fn slab_of(&self, address: usize) -> Option<usize> {
        let behind = self.slabs.partition_point(|slab| slab.start <= address);
        let index = behind.checked_sub(1)?;
        let slab = self.slabs.get(index)?;
        (address - slab.start < SLAB_BYTES).then_some(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, BTreeSet};

    const PAGE: usize = 4096;

    /// Slabs that remember which of their pages hold memory.
    #[derive(Debug, Default)]
    struct FakeSlabs {
        live: BTreeSet<usize>,
        resident: BTreeSet<usize>,
        taken: BTreeMap<usize, usize>,
        limit: usize,
    }

    impl FakeSlabs {
        /// Returns the numbers of the pages of `bytes`.
        fn pages(bytes: &Range<usize>) -> Range<usize> {
            bytes.start / PAGE..bytes.end.div_ceil(PAGE)
        }

        fn drop_pages(&mut self, bytes: &Range<usize>) {
            for (start, len) in &self.taken {
                let is_apart = start + len <= bytes.start || bytes.end <= *start;
                assert!(is_apart, "{start:#x} is in use within {bytes:x?}");
            }
            self.resident
                .retain(|page| !Self::pages(bytes).contains(page));
        }
    }

    impl Slabs for FakeSlabs {
        fn acquire(&mut self) -> Option<usize> {
            // Slabs lie apart, as the heap puts them.
            let place = |number: usize| (1 << 20) + number * (SLAB_BYTES + PAGE);
            let start = (0..self.limit)
                .map(place)
                .find(|start| !self.live.contains(start))?;
            self.live.insert(start);
            Some(start)
        }

        fn give_up(&mut self, start: usize) {
            assert!(self.live.remove(&start));
            self.drop_pages(&(start..start + SLAB_BYTES));
        }

        fn vacate(&mut self, pages: Range<usize>) {
            assert!(pages.start.is_multiple_of(PAGE) && pages.end.is_multiple_of(PAGE));
            let is_within =
                |start: &usize| *start <= pages.start && pages.end <= start + SLAB_BYTES;
            assert!(self.live.iter().any(is_within), "{pages:x?}");
            self.drop_pages(&pages);
        }
    }

    fn pool(limit: usize) -> Pool<FakeSlabs> {
        Pool::new(FakeSlabs {
            limit,
            ..FakeSlabs::default()
        })
    }

    /// Takes a buffer and fills it.
    fn take(pool: &mut Pool<FakeSlabs>, len: usize) -> Option<usize> {
        let address = pool.take(len)?;
        let bytes = address..address + buffer_len(len).unwrap();
        let source = &mut pool.source;
        for (start, len) in &source.taken {
            assert!(start + len <= bytes.start || bytes.end <= *start, "overlap");
        }
        assert!(
            source
                .live
                .iter()
                .any(|slab| { *slab <= bytes.start && bytes.end <= slab + SLAB_BYTES })
        );
        source.resident.extend(FakeSlabs::pages(&bytes));
        source.taken.insert(address, bytes.len());
        Some(address)
    }

    fn free(pool: &mut Pool<FakeSlabs>, address: usize) {
        pool.source.taken.remove(&address).unwrap();
        assert!(pool.free(address));
    }

    fn check_counts(pool: &Pool<FakeSlabs>) {
        let (counts, source) = (pool.counts(), &pool.source);
        assert_eq!(counts.buffers, source.taken.len());
        assert_eq!(counts.bytes, source.taken.values().sum::<usize>());
        assert_eq!(counts.slabs, source.live.len());
    }

    #[test]
    fn random_use_never_overlaps_and_a_trim_leaves_only_what_is_taken() {
        for seed in 1..=30_u64 {
            let mut pool = pool(200);
            let mut state = seed;
            let mut random = |below: usize| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                usize::try_from(state >> 33).unwrap() % below
            };
            for step in 0..4_000 {
                let growing = step % 1_000 < 600;
                if random(10) < if growing { 7 } else { 3 } {
                    let size = random(SIZES);
                    let len = 1 + random(BUFFER_MIN << size);
                    take(&mut pool, len);
                } else if !pool.source.taken.is_empty() {
                    let which = random(pool.source.taken.len());
                    let address = *pool.source.taken.keys().nth(which).unwrap();
                    free(&mut pool, address);
                }
                if random(100) == 0 {
                    pool.trim();
                    let taken = pool.source.taken.iter();
                    let pages =
                        taken.flat_map(|(start, len)| FakeSlabs::pages(&(*start..start + len)));
                    let pages: BTreeSet<_> = pages.collect();
                    assert_eq!(pool.source.resident, pages, "seed {seed}");
                }
                check_counts(&pool);
            }
            let addresses: Vec<_> = pool.source.taken.keys().copied().collect();
            addresses
                .into_iter()
                .for_each(|address| free(&mut pool, address));
            pool.trim();
            check_counts(&pool);
            assert!(pool.source.live.is_empty() && pool.source.resident.is_empty());
        }
    }

    #[test]
    fn sequential_buffers_share_pages_and_the_freed_ones_are_used_first() {
        let mut pool = pool(8);
        let addresses: Vec<_> = (0..64).map(|_| take(&mut pool, 1024).unwrap()).collect();
        assert_eq!(pool.source.resident.len(), 16);
        assert!(addresses.windows(2).all(|pair| pair[1] == pair[0] + 1024));
        free(&mut pool, addresses[9]);
        assert_eq!(take(&mut pool, 1000), Some(addresses[9]));
        assert_eq!(pool.counts().slabs, 1);
        take(&mut pool, 1024).unwrap();
        assert_eq!(pool.counts().slabs, 2);
    }

    #[test]
    fn without_memory_empty_slabs_of_other_sizes_serve() {
        let mut pool = pool(1);
        let small = take(&mut pool, 2048).unwrap();
        assert_eq!(take(&mut pool, 4096), None);
        free(&mut pool, small);
        let large = take(&mut pool, SLAB_BYTES).unwrap();
        assert_eq!(take(&mut pool, SLAB_BYTES), None);
        assert!(pool.holds(large + SLAB_BYTES - 1) && !pool.holds(large + SLAB_BYTES));
        free(&mut pool, large);
        assert_eq!(pool.counts().slabs, 1, "kept until the pool is trimmed");
        pool.trim();
        assert_eq!(pool.counts().slabs, 0);
    }

    #[test]
    fn only_buffers_are_the_pools() {
        let mut pool = pool(2);
        assert_eq!(pool.take(SLAB_BYTES + 1), None);
        assert_eq!((buffer_len(0), buffer_len(1025)), (Some(1024), Some(2048)));
        assert_eq!(buffer_len(SLAB_BYTES + 1), None);
        assert!(!pool.free(4096));
        let address = pool.take(1).unwrap();
        assert!(!pool.holds(address - 1) && pool.holds(address));
    }
}
