//! The heap: talc on memory that the kernel provides on first touch.
//!
//! | file        | what                                                  |
//! |-------------|-------------------------------------------------------|
//! | `pages.rs`  | where the memory comes from and goes to               |
//! | `trim.rs`   | what lies free in between goes back, too              |
//! | `pool.rs`   | the pool of socket buffers                            |
//! | `slabs.rs`  | the pool of a guest, whose slabs lie in the heap      |
//! | `global.rs` | the allocator of a guest                              |
//! | `untouched.rs` | zero bytes that cost no memory until written       |

#![cfg_attr(
    any(denali, test),
    expect(unsafe_code, reason = "implements the global allocator")
)]

#[cfg(denali)]
mod global;
#[cfg(any(denali, test))]
mod pages;
#[cfg(any(denali, test))]
mod pool;
#[cfg(denali)]
mod slabs;
#[cfg(any(denali, test))]
mod trim;
#[cfg(denali)]
mod untouched;

#[cfg(test)]
mod fake;

use crate::time::Instant;
use alloc::vec::Vec;
#[cfg(any(denali, test))]
use denali_abi::convert::u64_to_usize;
#[cfg(any(denali, test))]
use denali_abi::layout::PAGE_SIZE;

/// What the heap holds, at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Allocations alive.
    pub allocations: usize,
    /// Their bytes, as they were asked for.
    pub allocated_bytes: usize,
    /// The most bytes that were ever allocated at once.
    pub peak_bytes: usize,
    /// Bytes free for the next allocations without growing the heap.
    pub free_bytes: usize,
    /// The pieces these lie in.
    pub free_pieces: usize,
    /// Pages the heap spans; those never touched do not count as the VM's.
    pub pages: u64,
    /// Pages that have gone back to the kernel since the start.
    pub released_pages: u64,
    /// Socket buffers that are taken from the pool.
    pub pool_buffers: usize,
    /// Their bytes.
    pub pool_bytes: usize,
    /// Pages the pool spans, which are among the heap's allocations.
    pub pool_pages: usize,
}

/// Returns what the heap holds; all zero outside of a VM, where the heap is not ours.
#[must_use]
pub fn stats() -> Stats {
    #[cfg(denali)]
    {
        global::stats()
    }
    #[cfg(not(denali))]
    {
        Stats::default()
    }
}

/// Returns a buffer of at least `len` bytes for a socket, or `None` without memory. In a VM it comes
/// from the pool, may hold what an earlier connection left in it, and costs memory where it is
/// written; it may be longer than asked for.
pub(crate) fn buffer(len: usize) -> Option<Vec<u8>> {
    #[cfg(denali)]
    {
        slabs::buffer(len)
    }
    #[cfg(not(denali))]
    {
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(len).ok()?;
        bytes.resize(len, 0);
        Some(bytes)
    }
}

/// Gives the whole pages among `bytes`, whose contents are lost, back to the kernel until they are
/// written again. Does nothing outside of a VM.
pub(crate) fn vacate(bytes: &mut [u8]) {
    #[cfg(denali)]
    {
        untouched::vacate(bytes);
    }
    #[cfg(not(denali))]
    {
        let _ = bytes;
    }
}

/// Returns whether there is memory for a few small objects, for an interface that has an error to
/// give, and makes objects that have none. Nobody takes it before an interrupt.
pub(crate) fn has_room() -> bool {
    const SMALL: usize = 2048;
    let mut bytes = Vec::<u8>::new();
    let has_room = bytes.try_reserve_exact(SMALL).is_ok();
    // Otherwise the compiler may take it that it succeeds, and do without.
    core::hint::black_box(&mut bytes);
    has_room
}

/// Returns how many bytes can still be allocated; as many as there can be outside of a VM.
pub(crate) fn left() -> usize {
    #[cfg(denali)]
    {
        global::left()
    }
    #[cfg(not(denali))]
    {
        usize::MAX
    }
}

/// Whether the heap has given memory back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    not(denali),
    expect(dead_code, reason = "outside of a VM there is nothing to give back")
)]
pub(crate) enum Tidied {
    /// It has just done so.
    Now,
    /// It will then, if nothing more is freed.
    Later(Instant),
    /// It has nothing worth it.
    Never,
}

/// Gives free memory back to the kernel if the heap has been quiet. To be called when the VM is about
/// to idle. Does nothing outside of a VM.
pub(crate) fn tidy(now: Instant) -> Tidied {
    #[cfg(denali)]
    {
        global::tidy(now)
    }
    #[cfg(not(denali))]
    {
        let _ = now;
        Tidied::Never
    }
}

/// What [`Stats`] are made of.
#[cfg(any(denali, test))]
struct Counts {
    counters: talc::base::Counters,
    peak: usize,
    extent: u64,
    released: u64,
    pool: pool::Counts,
}

#[cfg(any(denali, test))]
impl Stats {
    fn of(counts: &Counts) -> Self {
        Self {
            allocations: counts.counters.allocation_count,
            allocated_bytes: counts.counters.allocated_bytes,
            peak_bytes: counts.peak,
            free_bytes: counts.counters.available_bytes,
            free_pieces: counts.counters.fragment_count,
            pages: counts.extent,
            released_pages: counts.released,
            pool_buffers: counts.pool.buffers,
            pool_bytes: counts.pool.bytes,
            pool_pages: counts.pool.slabs * pool::SLAB_BYTES / u64_to_usize(PAGE_SIZE),
        }
    }
}
