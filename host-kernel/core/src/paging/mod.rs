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
//! | `transfer`  | VMs and pages on their way, and how far they are                |
//! | `moving`    | the steps of a transfer: requests to disks, and trying again    |
//! | `leaving`   | from memory to swap                                             |
//! | `entering`  | from swap to memory                                             |
//! | `pages`     | single pages from swap, for VMs in memory                       |
//! | `trimming`  | single pages of busy VMs to swap                                |
//! | `pressure`  | when memory is short: who waits, who goes                       |
//! | `calling`   | who is wanted back: packets, alarms, the gatekeeper             |
//! | `load`      | how much VMs wait for pages                                     |
//! | `pool`      | frames held for VMs that are not in memory                      |
//!
//! On a host without disks there is no `Pager`, and nothing of this happens.

pub(crate) mod birth;
mod calling;
mod entering;
mod leaving;
mod load;
mod moving;
mod pages;
mod pool;
mod pressure;
mod stats;
pub(crate) mod transfer;
mod trimming;

use crate::block::partition::Part;
use crate::machine::{FrameId, Space};
use crate::policy::WorkingSets;
use crate::random::Generator;
use crate::swap::BLOCK_LEN;
use crate::swap::directory::Directory;
use crate::swap::extent::{Extent, Extents};
use crate::swap::map::{extent_blocks, map_blocks};
use crate::swap::seal::{Seal, Sealer};
use crate::swap::stripe::Stripe;
use crate::time::Time;
use crate::vm::VmId;
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use core::num::NonZeroU32;
use denali_abi::errno::Errno;
pub(crate) use leaving::is_fixed;
use load::LoadMeter;
use pool::Pool;
use pressure::Marks;
pub use stats::PagingStats;
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

/// Pages a VM cannot be without: context, registers, shared page, console.
const FIXED_PAGES: u32 = 4;

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
    /// Pages in its map.
    pub entries: u32,
    /// How many of them were in memory when it left: its working set.
    pub resident: u32,
    /// Page tables it needs besides its root.
    pub tables: u16,
    /// How many pages that were in memory lie behind the map in a row.
    pub first: u8,
    /// Bad places that its map had before.
    pub map_moved: u8,
    /// The seal of the first block of its map.
    pub root: Seal,
    /// Frames it asked the gatekeeper for, if it waits there.
    pub asked: u32,
    /// When it last became idle, was called or came in.
    pub since: Time,
    /// When the hand last passed it, in milliseconds since boot modulo 2^32.
    pub passed_ms: u32,
    /// When the packet came that it was called for, in microseconds modulo 2^32, until it sends a
    /// frame.
    pub called_us: Option<NonZeroU32>,
    /// How long it took from that packet to that frame last time, in microseconds.
    pub wake_us: u32,
    /// Where it is.
    pub residence: Residence,
    /// Whether it is wanted.
    pub standing: Standing,
    /// How it goes on.
    pub resume: Resume,
    /// What it waits for while it is in memory.
    pub wait: Wait,
}

/// What a VM in memory waits for, besides memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Nothing.
    Nothing,
    /// Pages on their way between memory and swap.
    Page,
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

    /// Returns how many pages come back with the VM.
    pub(crate) fn pages_to_enter(&self, working_sets: WorkingSets) -> u32 {
        match working_sets {
            WorkingSets::On => self.resident,
            WorkingSets::Off => self.resident.min(FIXED_PAGES),
        }
    }

    /// Returns how many of them are read with the map.
    pub(crate) fn first_blocks(&self, working_sets: WorkingSets) -> u32 {
        u32::from(self.first).min(self.pages_to_enter(working_sets))
    }

    /// Returns how many frames it takes to bring the VM in: blocks, root, tables, and fixed frames
    /// that are all zero.
    pub(crate) fn frames_to_enter(&self, working_sets: WorkingSets) -> u32 {
        let pages = self.pages_to_enter(working_sets);
        pages + map_blocks(self.entries) + 1 + u32::from(self.tables) + 2
    }

    /// Returns how many frames it will have soon: its working set, however it comes in.
    pub(crate) fn frames_needed(&self) -> u32 {
        self.frames_to_enter(WorkingSets::On)
    }
}

/// Returns microseconds since boot, as far as 32 bits hold them: 71 minutes.
#[expect(
    clippy::cast_possible_truncation,
    reason = "differences are what counts"
)]
const fn microseconds(time: Time) -> u32 {
    (time.as_ns() / 1_000) as u32
}

/// Returns milliseconds since boot, as far as 32 bits hold them: 49 days.
#[expect(
    clippy::cast_possible_truncation,
    reason = "differences are what counts"
)]
pub(crate) const fn milliseconds(time: Time) -> u32 {
    (time.as_ns() / 1_000_000) as u32
}

/// A VM under the hand.
#[derive(Clone, Copy, Debug)]
struct Passed {
    vm: VmId,
    /// Its CPU time, in units of [`trimming::VIRTUAL_UNIT_BITS`], when its pages were last looked at.
    looked: u32,
}

impl Passed {
    /// Puts a VM under the hand whose pages nobody has looked at.
    const fn new(vm: VmId) -> Self {
        Self { vm, looked: 0 }
    }
}

/// Single pages of a VM on their way.
#[derive(Clone, Copy, Debug, Default)]
struct Moves {
    transfers: u32,
    /// Its extent, if it ended: nobody may have it while a disk works on it.
    orphan: Option<Extent>,
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
    hand: VecDeque<Passed>,
    /// The indices of those that hear what is meant for many: nobody who sleeps is looked at.
    present: BTreeSet<u32>,
    /// What is known of the pages on swap of VMs in memory, by their indices.
    pub(crate) directories: BTreeMap<u32, Directory>,
    /// Most entries in all of them, about.
    entries_max: u64,
    /// How many there were when they were last counted, and how many room was given to since.
    entries_counted: u64,
    entries_let_in: u64,
    /// Whether somebody could not come in for want of room for entries.
    is_short_of_entries: bool,
    /// VMs with single pages on their way.
    moves: BTreeMap<VmId, Moves>,
    load: LoadMeter,
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

impl Pager {
    /// Lets the hand find a VM, and what is meant for many.
    fn note_present(&mut self, id: VmId) {
        self.hand.push_back(Passed::new(id));
        self.present.insert(id.index());
    }

    /// Returns whether a VM hears what is meant for many.
    pub(crate) fn is_present(&self, id: VmId) -> bool {
        self.present.contains(&id.index())
    }

    /// Takes note of a VM that is in memory from now on.
    fn arrived(&mut self, id: VmId, swap: &mut Swap, now: Time) {
        self.stats.arrivals += 1;
        self.stats.wake_ns += now.since_ns(swap.since);
        self.note_present(id);
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
                present: BTreeSet::new(),
                directories: BTreeMap::new(),
                entries_max: u64::from(frames),
                entries_counted: 0,
                entries_let_in: 0,
                is_short_of_entries: false,
                moves: BTreeMap::new(),
                load: LoadMeter::default(),
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
            resident: 0,
            tables: 0,
            first: 0,
            map_moved: 0,
            root: Seal::default(),
            asked: 0,
            since: now,
            passed_ms: milliseconds(now),
            called_us: None,
            wake_us: 0,
            residence: Residence::In,
            standing: Standing::Asleep,
            resume: Resume::Ready,
            wait: Wait::Nothing,
        })
    }

    /// Frees an extent.
    pub(crate) fn give_back(&mut self, extent: Extent) {
        self.extents.give_back(extent);
    }

    /// Returns whether there is memory for `more` entries of directories; forgets what lies on swap
    /// and in memory alike where that helps.
    fn has_entries_for(&mut self, more: u32) -> bool {
        self.entries_let_in += u64::from(more);
        let bound = self.entries_counted + self.entries_let_in;
        if bound <= self.entries_max {
            return true;
        }
        let cost: u64 = self.directories.values().map(Directory::cost).sum();
        self.entries_counted = cost;
        self.entries_let_in = u64::from(more);
        let mut over = (cost + u64::from(more)).saturating_sub(self.entries_max);
        if over > 0 {
            self.directories.retain(|_, directory| {
                let stays = over == 0 || directory.absent() > 0 || directory.moving() > 0;
                over = if stays {
                    over
                } else {
                    over.saturating_sub(directory.cost())
                };
                stays
            });
        }
        over == 0
    }

    /// Returns whether single pages of a VM are on their way.
    fn moves_pages(&self, id: VmId) -> bool {
        self.moves.contains_key(&id)
    }

    /// Begins to move pages of a VM.
    fn begin_pages(&mut self, transfer: Box<Transfer>) {
        self.moves.entry(transfer.vm).or_default().transfers += 1;
        self.transfers.add(transfer);
    }

    /// Takes note that pages of a VM were moved.
    fn end_pages(&mut self, id: VmId) {
        let Some(moves) = self.moves.get_mut(&id) else {
            return;
        };
        moves.transfers -= 1;
        if moves.transfers > 0 {
            return;
        }
        let orphan = moves.orphan;
        self.moves.remove(&id);
        if let Some(extent) = orphan {
            self.give_back(extent);
        }
    }

    /// Frees the extent of a VM that ended in memory, once no disk works on it any more.
    fn abandon_pages(&mut self, id: VmId, extent: Extent) {
        self.directories.remove(&id.index());
        match self.moves.get_mut(&id) {
            Some(moves) => {
                moves.orphan = Some(extent);
                self.transfers.abandon(id);
            }
            None => self.give_back(extent),
        }
    }

    /// Returns the blocks of extents whose VMs ended while a disk works on them.
    pub(crate) fn orphaned_blocks(&self) -> u64 {
        let orphans = self.moves.values().filter_map(|moves| moves.orphan);
        orphans.map(|extent| u64::from(extent.blocks)).sum()
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
