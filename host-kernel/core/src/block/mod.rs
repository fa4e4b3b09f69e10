//! Block devices: volumes on disks, for guests and for the supervisor's store.
//!
//! ```text
//! guest's ring ─► checked, copied, encrypted ─► slot ─► disk ─► slot ─► decrypted ─► guest, BLOCK
//! ```
//!
//! The supervisor decides which blocks of the partition are whose volume, and gives the key; the
//! kernel holds every block of every request against the volumes of the VM that asks, and never
//! lets two living VMs have the same block. Guests' memory is never shown to a device: each request
//! goes through a frame of the kernel's own, a *slot*. There is a fixed number of them, and VMs that
//! wait for one take turns.
//!
//! | file         | holds                                                         |
//! |--------------|---------------------------------------------------------------|
//! | `partition`  | which part of which disk is for what                           |
//! | `volume`     | volumes: whose they are, and which block of a disk is meant    |
//! | `ring`       | the rings in guests' memory                                   |
//! | `cipher`     | encryption at rest                                            |
//! | `transfer`   | requests on their way                                          |
//!
//! On a host without a disk for it there is no `BlockLayer`, and no VM has a volume.

pub mod cipher;
pub mod partition;
pub mod ring;
mod transfer;
mod volume;

use crate::kernel::Kernel;
use crate::machine::{FrameId, Machine};
use crate::memory::frame::{Fill, FrameList, FrameTable, FrameUse, Owner};
use crate::vm::VmId;
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use denali_abi::block::{BLOCK_LEN, BlockStatus};
use partition::{Part, Partitions};
use transfer::Job;
use volume::Guest;
pub(crate) use volume::infos;

/// Requests under way at a time, over all VMs.
const SLOTS: u32 = 32;

/// The owner of the slots' frames.
pub(crate) const SLOTS_OWNER: Owner = Owner::Transfer((1 << 30) - 1);

/// A place for a request under way.
#[derive(Debug)]
struct Slot {
    frame: FrameId,
    job: Option<Job>,
}

/// Everything about block devices.
#[derive(Debug)]
pub(crate) struct BlockLayer {
    store: Option<Part>,
    volumes: Option<Part>,
    slots: Vec<Slot>,
    /// Every frame of the slots.
    pub(crate) frames: FrameList,
    /// Slots without a job.
    free: Vec<u32>,
    /// Slots whose request the disk had no room for.
    parked: VecDeque<u32>,
    /// VMs that wait for a slot.
    waiting: VecDeque<VmId>,
    /// VMs with volumes, by index.
    guests: BTreeMap<u32, Guest>,
    stats: BlockStatus,
}

impl BlockLayer {
    /// Makes the layer for a host with a disk for it.
    pub(crate) fn new(
        partitions: &Partitions,
        frames: &mut FrameTable,
        machine: &mut dyn Machine,
    ) -> Option<Box<Self>> {
        let Partitions { store, volumes, .. } = *partitions;
        store.or(volumes)?;
        let mut list = FrameList::new();
        let mut slots = Vec::new();
        for _ in 0..SLOTS {
            let taken = frames.take(SLOTS_OWNER, FrameUse::Block, &mut list, Fill::Zero, machine);
            let Some(frame) = taken else { break };
            slots.push(Slot { frame, job: None });
        }
        let blocks = |part: Option<Part>| part.map_or(0, |part| part.blocks);
        Some(Box::new(Self {
            store,
            volumes,
            free: (0..list.count()).collect(),
            slots,
            frames: list,
            parked: VecDeque::new(),
            waiting: VecDeque::new(),
            guests: BTreeMap::new(),
            stats: BlockStatus {
                store_blocks: blocks(store),
                volume_blocks: blocks(volumes),
                ..BlockStatus::default()
            },
        }))
    }

    /// Returns whether a VM has to stay in memory: requests of it are under way, or wait.
    pub(crate) fn holds(&self, id: VmId) -> bool {
        let its = self.guests.get(&id.index());
        its.is_some_and(|guest| guest.vm == id && (guest.under_way > 0 || guest.is_waiting))
    }

    /// Returns the indices of a VM with volumes.
    pub(crate) fn ring_of(&mut self, id: VmId) -> Option<&mut ring::BlockRing> {
        let its = self.guests.get_mut(&id.index());
        its.filter(|guest| guest.vm == id)
            .map(|guest| &mut guest.ring)
    }
}

impl Kernel {
    /// Returns what the supervisor is told of block devices.
    pub(crate) fn block_status(&self) -> BlockStatus {
        let layer = self.block.as_ref();
        layer.map_or_else(BlockStatus::default, |layer| layer.stats)
    }
}
