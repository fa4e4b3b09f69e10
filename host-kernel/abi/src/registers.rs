//! Virtual registers: the page the kernel writes and the guest reads without crossing.

use crate::ABI_VERSION;
use crate::block::{VOLUMES_MAX, VolumeInfo};
use crate::net::NetworkConfig;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Longest arguments of a VM in bytes.
pub const ARGUMENTS_MAX: usize = 3072;

/// Longest name of a VM in bytes.
pub const NAME_MAX: usize = 32;

/// How to turn the time-stamp counter into nanoseconds.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct ClockParameters {
    /// The counter's value at monotonic time `monotonic_base_ns`.
    pub tsc_base: u64,
    /// Nanoseconds per tick as a 32.32 fixed-point number.
    pub ns_per_tick: u64,
    /// Monotonic time at `tsc_base` in nanoseconds since boot.
    pub monotonic_base_ns: u64,
    /// Wall-clock time (Unix epoch) minus monotonic time, in nanoseconds.
    pub wall_offset_ns: u64,
}

impl ClockParameters {
    /// Returns the monotonic time in nanoseconds when the counter reads `tsc`.
    ///
    /// Counter values before `tsc_base` count as `tsc_base`, so the clock never runs backwards.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "584 years of nanoseconds fit"
    )]
    pub const fn monotonic_ns(&self, tsc: u64) -> u64 {
        let ticks = tsc.saturating_sub(self.tsc_base) as u128;
        let elapsed = (ticks * self.ns_per_tick as u128) >> 32;
        self.monotonic_base_ns.wrapping_add(elapsed as u64)
    }
}

/// The page at [`REGISTERS_ADDRESS`](crate::layout::REGISTERS_ADDRESS).
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct VirtualRegisters {
    /// The kernel's [`ABI_VERSION`].
    pub abi_version: u32,
    /// Counts restores and clones of this VM; random state must be renewed when it changes.
    pub resume_generation: u32,
    /// This VM's id.
    pub vm_id: u64,
    /// Memory limit in pages. Everything the VM makes the kernel allocate counts: pages, page
    /// tables and the kernel's per-VM frames.
    pub memory_pages: u32,
    /// Pages in use now, kept up to date by the kernel.
    pub resident_pages: u32,
    /// Ticks of the time-stamp counter per second.
    pub cpu_hz: u64,
    /// First address behind the image: start of the heap.
    pub heap_start: u64,
    /// The clock.
    pub clock: ClockParameters,
    /// The virtual Ethernet.
    pub network: NetworkConfig,
    /// Random bytes, different for every VM ever created.
    pub seed: [u8; 32],
    /// The VM's name, padded with zeros.
    pub name: [u8; NAME_MAX],
    /// Bytes used of `arguments`.
    pub arguments_len: u32,
    /// Zero.
    pub reserved: u32,
    /// Boot arguments: bytes whose meaning the creator and the service agree on.
    pub arguments: [u8; ARGUMENTS_MAX],
    /// Until when the VM may end by itself, in nanoseconds since boot; 0 if nobody asked it to.
    pub stop_deadline_ns: u64,
    /// Its volumes; the rest have no blocks.
    pub volumes: [VolumeInfo; VOLUMES_MAX],
}

const _: () = assert!(size_of::<VirtualRegisters>() <= 4096);
const _: () = assert!(
    ABI_VERSION == 2,
    "a new version is a reason to look at every layout here"
);

/// Byte offset of [`VirtualRegisters::resident_pages`], which changes while the VM runs.
pub const RESIDENT_PAGES_OFFSET: usize = core::mem::offset_of!(VirtualRegisters, resident_pages);

/// Byte offset of [`VirtualRegisters::stop_deadline_ns`], which changes while the VM runs.
pub const STOP_DEADLINE_OFFSET: usize = core::mem::offset_of!(VirtualRegisters, stop_deadline_ns);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_counts_and_never_runs_backwards() {
        let clock = ClockParameters {
            tsc_base: 1_000,
            ns_per_tick: 1 << 31,
            monotonic_base_ns: 5,
            wall_offset_ns: 0,
        };
        assert_eq!(clock.monotonic_ns(0), 5);
        assert_eq!(clock.monotonic_ns(1_000), 5);
        assert_eq!(clock.monotonic_ns(3_000), 1_005);
    }
}
