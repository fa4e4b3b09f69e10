//! What paging did, and what the supervisor is told of it.

use super::Pager;
use crate::kernel::Kernel;
use crate::policy::gatekeeper::Reason;
use crate::swap::directory::Directory;
use crate::vm::VmId;
use denali_abi::control::PagingStatus;
use denali_abi::latency::Latencies;

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

impl Pager {
    /// Counts a VM that waits before the gate, if it does so because others fault too much.
    pub(super) fn count_closed(&mut self, reason: Reason) {
        self.stats.gate_closed += u64::from(reason == Reason::Faults);
    }
}

impl Kernel {
    /// Returns how many pages of a VM are on swap and not in memory.
    pub(crate) fn pages_away(&self, id: VmId) -> u32 {
        let swap = self.vms.get(id).and_then(|vm| vm.swap);
        let pager = self.pager.as_ref();
        let known = pager.and_then(|pager| pager.directories.get(&id.index()));
        let absent = known.map_or(0, Directory::absent);
        swap.map_or(0, |swap| swap.pages_out()) + absent
    }

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
