//! Paging: VMs that do not fit into memory wait on disks.
//!
//! ```text
//!               pressure, nobody needs it           packet, alarm, gatekeeper
//!   in memory ────────────────────────► leaving ─► out ─────────────────────► entering ─► in memory
//! ```
//!
//! A VM leaves whole: page tables go at once, pages that say nothing new are dropped, all others are
//! sealed and written one behind the other. What is left is its descriptor. It comes back the same
//! way, in one sequential read. Memory is promised to nobody then but the supervisor and images:
//! what a VM may use up to its limit is backed by its extent of swap space.
//!
//! | file        | holds                                                          |
//! |-------------|----------------------------------------------------------------|
//! | `birth`     | VMs that are registered and have never run                      |
//! | `transfer`  | one VM on its way, and requests to disks                        |
//! | `leaving`   | from memory to swap                                             |
//! | `entering`  | from swap to memory                                             |
//! | `pressure`  | when memory is short: who waits, who goes                       |
//! | `calling`   | who is wanted back: packets, alarms, the gatekeeper             |
//! | `pool`      | frames held for VMs that are not in memory                      |
//!
//! On a host without disks there is no `Pager`, and nothing of this happens.

pub(crate) mod birth;
mod calling;
mod entering;
mod leaving;
mod pool;
mod pressure;
pub(crate) mod transfer;

use crate::block::partition::Part;
use crate::kernel::Kernel;
use crate::machine::{FrameId, Space};
use crate::random::Generator;
use crate::swap::BLOCK_LEN;
use crate::swap::extent::{Extent, Extents};
use crate::swap::map::{extent_blocks, map_blocks};
use crate::swap::seal::{Seal, Sealer};
use crate::swap::stripe::Stripe;
use crate::time::Time;
use crate::vm::VmId;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use denali_abi::control::PagingStatus;
use denali_abi::errno::Errno;
use denali_abi::latency::Latencies;
use pool::Pool;
use pressure::Marks;
use transfer::{Transfer, Transfers};

/// Frames a VM is given room for besides those it left with: it will touch new ones.
const GROWTH_FRAMES: u32 = 4;

/// Where the frames of a VM are that has none.
pub const NOWHERE: FrameId = FrameId(u32::MAX);

/// The address space of a VM that has none.
pub const NO_SPACE: Space = Space {
    root: NOWHERE,
    context: NOWHERE,
};

/// Where a VM is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Residence {
    /// In memory.
    In,
    /// On its way to swap; its frames belong to a transfer.
    Leaving,
    /// On swap.
    Out,
    /// On its way from swap; its frames belong to a transfer, or already to it.
    Entering,
}

/// Whether a VM that is not admitted is wanted back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nobody wants it.
    Asleep,
    /// It waits for the gatekeeper.
    Queued,
    /// The gatekeeper admitted it, and it comes as soon as it can.
    Admitted,
}

/// What a VM does when it is back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resume {
    /// It runs on.
    Ready,
    /// It goes on waiting in idle-with-timeout.
    Idle,
}

/// All there is to know about a VM's part of swap space.
#[derive(Clone, Copy, Debug)]
pub struct Swap {
    /// The first of its blocks; how many they are follows from the VM's memory limit.
    pub start: u64,
    /// How many of them hold pages; the map follows.
    pub entries: u32,
    /// Page tables it needs besides its root.
    pub tables: u32,
    /// The seal of the first block of its map.
    pub root: Seal,
    /// Frames it asked the gatekeeper for, if it waits there.
    pub asked: u32,
    /// When it last became idle, was called or came in.
    pub since: Time,
    /// When the hand last passed it, in milliseconds since boot modulo 2^32.
    pub passed_ms: u32,
    /// When the packet came that it was called for, until it sends a frame.
    pub called: Option<Time>,
    /// Where it is.
    pub residence: Residence,
    /// Whether it is wanted.
    pub standing: Standing,
    /// How it goes on.
    pub resume: Resume,
}

const _: () = assert!(size_of::<Swap>() <= 72, "it is part of every descriptor");

impl Swap {
    /// Returns the blocks of a VM with a memory limit of `limit` pages.
    #[must_use]
    pub const fn extent(&self, limit: u32) -> Extent {
        Extent {
            start: self.start,
            blocks: extent_blocks(limit),
        }
    }

    /// Returns how many pages of the VM are on swap and not in memory.
    #[must_use]
    pub const fn pages_out(&self) -> u32 {
        match self.residence {
            Residence::In => 0,
            Residence::Leaving | Residence::Out | Residence::Entering => self.entries,
        }
    }

    /// Returns how many blocks are read when the VM comes back.
    pub(crate) const fn blocks(&self) -> u32 {
        self.entries + map_blocks(self.entries)
    }

    /// Returns how many frames that takes: blocks, root, tables, and fixed frames that are all zero.
    pub(crate) const fn frames_needed(&self) -> u32 {
        self.blocks() + 1 + self.tables + 2
    }
}

/// Returns milliseconds since boot, as far as 32 bits hold them: 49 days.
#[expect(
    clippy::cast_possible_truncation,
    reason = "differences are what counts"
)]
pub(crate) const fn milliseconds(time: Time) -> u32 {
    (time.as_ns() / 1_000_000) as u32
}

/// What paging did since boot.
#[derive(Clone, Copy, Debug, Default)]
pub struct PagingStats {
    /// VMs that left memory.
    pub departures: u64,
    /// VMs that came back.
    pub arrivals: u64,
    /// Blocks written.
    pub blocks_written: u64,
    /// Blocks read.
    pub blocks_read: u64,
    /// Pages dropped because they held nothing new.
    pub pages_dropped: u64,
    /// Times a VM had to wait for memory.
    pub stalls: u64,
    /// Requests to disks that failed.
    pub disk_errors: u64,
    /// Blocks of extents that are not used any more after a failed write.
    pub blocks_retired: u64,
    /// VMs that ended because what was read was not what was written.
    pub corrupt: u64,
    /// VMs that were woken by a packet or an alarm.
    pub wakes: u64,
    /// Sum of the times from their calls to their return, in nanoseconds.
    pub wake_ns: u64,
    /// Frames for VMs not in memory that were dropped because the pool was full.
    pub held_dropped: u64,
    /// VMs refused because swap space was full.
    pub swap_full: u64,
    /// Faults that waited for a disk.
    pub faults: u64,
    /// Pages read for them, those read ahead included.
    pub page_ins: u64,
    /// Pages of busy VMs sent out one by one.
    pub page_outs: u64,
    /// VMs kept before the gate because those in memory fault too often.
    pub gate_closed: u64,
    /// From the first packet for a VM on swap to the first frame it sends.
    pub wake_latency: Latencies,
}

/// The pager of a host with disks.
#[derive(Debug)]
pub(crate) struct Pager {
    stripe: Stripe,
    extents: Extents,
    sealer: Sealer,
    marks: Marks,
    transfers: Transfers,
    pool: Pool,
    /// VMs in memory, first the one that would be looked at next to make room.
    hand: VecDeque<VmId>,
    /// New VMs that were not admitted and still have frames.
    newcomers: VecDeque<VmId>,
    /// VMs that wait for memory to go on.
    stalled: VecDeque<VmId>,
    /// Admitted VMs that are to be brought in.
    admitted: VecDeque<VmId>,
    /// Frames that VMs in the gatekeeper's queue need.
    wanted: u32,
    /// The most that one of them needs, or one that waited before.
    asked_max: u32,
    /// How many they are.
    queued: u32,
    /// Frames that the supervisor needs at once.
    demand: u32,
    /// Whether somebody was called since the last work.
    called: bool,
    /// Since when the first of them waits.
    queued_since: Option<Time>,
    buffer: Box<[u8; BLOCK_LEN]>,
    /// Bytes of all arguments that VMs without frames begin with, at their cost.
    birth_bytes: usize,
    pub(crate) stats: PagingStats,
}

impl Kernel {
    /// Returns what the supervisor is told of paging.
    pub(crate) fn paging_status(&self) -> PagingStatus {
        let Some(pager) = &self.pager else {
            return PagingStatus::default();
        };
        let (swap_blocks, swap_free) = pager.space();
        let stats = pager.stats;
        PagingStatus {
            swap_blocks,
            swap_free,
            departures: stats.departures,
            arrivals: stats.arrivals,
            wakes: stats.wakes,
            wake_ns: stats.wake_ns,
            stalls: stats.stalls,
            disk_errors: stats.disk_errors,
            corrupt: stats.corrupt,
            frames_dropped: stats.held_dropped,
            refused: stats.swap_full,
            faults: stats.faults,
            page_ins: stats.page_ins,
            page_outs: stats.page_outs,
            blocks_read: stats.blocks_read,
            blocks_written: stats.blocks_written,
            pages_dropped: stats.pages_dropped,
            gate_closed: stats.gate_closed,
            wake_latency: stats.wake_latency,
        }
    }
}

impl Pager {
    /// Takes note of a VM that is in memory from now on.
    fn arrived(&mut self, id: VmId, swap: &mut Swap, now: Time) {
        self.stats.arrivals += 1;
        self.stats.wake_ns += now.since_ns(swap.since);
        self.hand.push_back(id);
        swap.residence = Residence::In;
        swap.standing = Standing::Asleep;
        swap.since = now;
    }

    /// Makes a pager for a host with `frames` frames, if it has disks to page to.
    pub(crate) fn new(frames: u32, random: &mut Generator, swap: &[Part]) -> Option<Box<Self>> {
        let stripe = Stripe::over(swap);
        let extents = Extents::new(stripe.blocks());
        (extents.total() > 0).then(|| {
            Box::new(Self {
                stripe,
                extents,
                sealer: Sealer::new(random),
                marks: Marks::for_host(frames),
                transfers: Transfers::default(),
                pool: Pool::for_host(frames),
                hand: VecDeque::new(),
                newcomers: VecDeque::new(),
                stalled: VecDeque::new(),
                admitted: VecDeque::new(),
                wanted: 0,
                asked_max: 0,
                queued: 0,
                demand: 0,
                called: false,
                queued_since: None,
                buffer: Box::new([0; BLOCK_LEN]),
                birth_bytes: 0,
                stats: PagingStats::default(),
            })
        })
    }

    /// Reserves swap space for a VM with a memory limit of `pages`.
    ///
    /// # Errors
    ///
    /// [`Errno::OutOfMemory`] if swap space is full.
    pub(crate) fn reserve(&mut self, pages: u32, now: Time) -> Result<Swap, Errno> {
        let Some(extent) = self.extents.take(extent_blocks(pages)) else {
            self.stats.swap_full += 1;
            return Err(Errno::OutOfMemory);
        };
        Ok(Swap {
            start: extent.start,
            entries: 0,
            tables: 0,
            root: Seal::default(),
            asked: 0,
            since: now,
            passed_ms: milliseconds(now),
            called: None,
            residence: Residence::In,
            standing: Standing::Asleep,
            resume: Resume::Ready,
        })
    }

    /// Frees an extent.
    pub(crate) fn give_back(&mut self, extent: Extent) {
        self.extents.give_back(extent);
    }

    /// Returns the frames that must be left over however large a VM is.
    pub(crate) fn reserve_frames(&self, limit: u32) -> u32 {
        map_blocks(limit).saturating_add(self.marks.high)
    }

    /// Returns the transfers under way, by index.
    pub(crate) fn transfers(&self) -> impl Iterator<Item = (u32, &Transfer)> {
        self.transfers.iter()
    }

    /// Returns the blocks of swap space, and how many of them are free.
    pub(crate) const fn space(&self) -> (u64, u64) {
        (self.extents.total(), self.extents.free())
    }
}
