//! Steps of transfers: their blocks are requested, and read or written again if that fails.
//!
//! Blocks are requested in order, as many at a time as one disk can take in one piece, until the
//! disks have no room; work on contents is done in steps, so that no VM waits long for another one's
//! pages.

use super::Pager;
use super::transfer::{Kind, Progress, Transfer, tag};
use crate::kernel::Kernel;
use crate::machine::disk::{DISK_FRAMES_MAX, DiskCompletion, DiskFull, DiskOperation, DiskRequest};
use crate::machine::{FrameId, Machine};
use denali_abi::convert::usize_to_u64;
use denali_abi::end::EndReason;

/// Blocks sealed or opened in one step.
pub(super) const STEP_BLOCKS: usize = 16;

/// How far the blocks of a transfer are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blocks {
    /// Some are still to be moved; this is how the transfer goes on until then.
    OnTheWay(Progress),
    /// Some could not be moved, and no disk works on others.
    Failed,
    /// All were moved.
    Moved,
}

impl Kernel {
    /// Takes note of what a disk has done for a transfer.
    pub(crate) fn transfer_done(&mut self, done: DiskCompletion) {
        let Some(pager) = &mut self.pager else {
            return;
        };
        if done.result.is_err() {
            pager.stats.disk_errors += 1;
        }
        pager.transfers.complete(done);
    }

    /// Takes one step of one transfer.
    pub(super) fn step_transfer(&mut self, machine: &mut dyn Machine) {
        let Some(pager) = &mut self.pager else {
            return;
        };
        let Some((index, mut transfer)) = pager.transfers.take_runnable() else {
            return;
        };
        let progress = match (transfer.abandoned, transfer.kind) {
            (true, _) => Ok(self.abandon_step(&mut transfer)),
            (false, Kind::Leave) => self.leave_step(index, &mut transfer, machine),
            (false, Kind::Enter) => self.enter_step(index, &mut transfer, machine),
            (false, Kind::PageOut) => self.page_out_step(index, &mut transfer, machine),
            (false, Kind::PageIn) => self.page_in_step(index, &mut transfer, machine),
        };
        let (id, kind) = (transfer.vm, transfer.kind);
        if let Some(pager) = &mut self.pager {
            pager.transfers.put_back(index, transfer, progress);
        }
        if progress == Ok(Progress::Over) && !kind.is_whole() {
            self.pages_moved(id);
            self.hand_out_held(id, machine);
            self.serve_waiting(machine);
        }
    }

    /// Waits for what is under way for a VM that ended, then frees everything.
    fn abandon_step(&mut self, transfer: &mut Transfer) -> Progress {
        if transfer.is_under_way() {
            return Progress::Waits;
        }
        self.frames.give_back_all(&mut transfer.frames, None);
        if let Some(pager) = &mut self.pager
            && transfer.kind.is_whole()
        {
            pager.give_back(transfer.extent);
        }
        Progress::Over
    }

    /// Requests what blocks of a transfer are ready. Returns how far all of them are.
    pub(super) fn move_blocks(
        &mut self,
        index: u32,
        transfer: &mut Transfer,
        machine: &mut dyn Machine,
    ) -> Result<Blocks, DiskFull> {
        if let Some(pager) = &mut self.pager {
            pager.request(index, transfer, machine)?;
        }
        Ok(if !transfer.pages.is_empty() {
            Blocks::OnTheWay(Progress::More)
        } else if transfer.is_under_way() {
            Blocks::OnTheWay(Progress::Waits)
        } else if transfer.has_failed() {
            Blocks::Failed
        } else if transfer.is_moved() {
            Blocks::Moved
        } else {
            Blocks::OnTheWay(Progress::Waits)
        })
    }

    /// Has blocks that failed read once more, or ends the VM if that was tried often enough.
    pub(super) fn read_again(
        &mut self,
        transfer: &mut Transfer,
        machine: &mut dyn Machine,
    ) -> Progress {
        if transfer.retry() {
            return Progress::More;
        }
        self.give_up(transfer, EndReason::DiskError, 0, machine)
    }
}

impl Pager {
    /// Requests blocks of a transfer as far as they are ready and the disks have room.
    fn request(
        &mut self,
        index: u32,
        transfer: &mut Transfer,
        machine: &mut dyn Machine,
    ) -> Result<(), DiskFull> {
        let operation = transfer.kind.operation();
        let is_complete = transfer.pages.is_empty() && transfer.map.is_empty();
        while let Some((first, length, place)) = transfer.next_request(&self.stripe, is_complete) {
            let run = transfer.blocks.iter().skip(first).take(length);
            let mut frames = [FrameId(0); DISK_FRAMES_MAX];
            for (to, block) in frames.iter_mut().zip(run) {
                *to = block.frame;
            }
            let first = u32::try_from(first).unwrap_or(u32::MAX);
            let request = DiskRequest {
                tag: tag(index, first),
                disk: place.disk,
                operation,
                block: place.block,
                frames: frames.get(..length).unwrap_or_default(),
            };
            machine.disk_submit(&request)?;
            transfer.requested(first, length);
            match operation {
                DiskOperation::Read => self.stats.blocks_read += usize_to_u64(length),
                _ => self.stats.blocks_written += usize_to_u64(length),
            }
        }
        Ok(())
    }
}
