//! Requests on their way: from a ring to a disk, and back.

use super::cipher::{Cipher, Key};
use super::ring::BlockRing;
use super::volume::{Guest, Place};
use super::{BLOCK_LEN, BlockLayer};
use crate::fault::Fault;
use crate::kernel::Kernel;
use crate::machine::disk::{DiskCompletion, DiskOperation, DiskRequest};
use crate::machine::{FaultAccess, FrameId, Machine};
use crate::memory::address_space::GuestView;
use crate::net::ring::RingViolation;
use crate::vm::VmId;
use denali_abi::block::{BlockRequest, operation};
use denali_abi::convert::{u32_to_usize, usize_to_u64};
use denali_abi::end::EndReason;
use denali_abi::errno::Errno;
use denali_abi::shared::interrupt::BLOCK;

/// Tags of requests that are not the pager's.
const TAG: u32 = 1 << 31;

/// A request that has a slot.
#[derive(Debug)]
pub(super) struct Job {
    /// Whose it is; `None` if that has ended.
    pub(super) vm: Option<VmId>,
    /// The block on the disk; for a flush, the first of the volume.
    pub(super) place: Place,
    operation: DiskOperation,
    /// The block in the volume.
    block: u64,
    key: Key,
    address: u64,
    tag: u64,
}

/// How far a VM's ring was worked on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// A request was taken.
    Taken,
    /// There is none.
    Empty,
    /// There is one, and it has to wait for others to be done.
    NoSlot,
    /// There is one, and the page of its buffer at this address is on swap.
    OnSwap(u64),
    /// It broke the contract and ended.
    Ended,
}

impl Kernel {
    /// Takes what a VM's block ring holds, as far as there are slots; the rest waits its turn.
    ///
    /// # Errors
    ///
    /// The address of a page on swap: the call is to be made again when it is there.
    pub(crate) fn block_submit(
        &mut self,
        caller: VmId,
        machine: &mut dyn Machine,
    ) -> Result<(), u64> {
        let Some(layer) = &mut self.block else {
            return Ok(());
        };
        let contended = !layer.waiting.is_empty();
        let Some(guest) = layer.guests.get_mut(&caller.index()) else {
            return Ok(());
        };
        if guest.is_waiting {
            return Ok(());
        }
        if contended {
            self.wait_for_slot(caller);
            return Ok(());
        }
        loop {
            match self.block_step(caller, machine) {
                Step::Taken => {}
                Step::OnSwap(address) => return Err(address),
                Step::NoSlot => {
                    self.wait_for_slot(caller);
                    return Ok(());
                }
                Step::Empty | Step::Ended => return Ok(()),
            }
        }
    }

    /// Takes note of what the disks have done, for volumes and for the pager.
    pub(crate) fn disks_done(&mut self, machine: &mut dyn Machine) {
        while let Some(done) = machine.disk_completion() {
            if done.tag & TAG == 0 {
                self.transfer_done(done);
            } else {
                let since = machine.now();
                if let Some(vm) = self.block_done(done, machine) {
                    self.charge_since(vm, since, machine);
                }
            }
        }
        self.resubmit_parked(machine);
        self.serve_waiting(machine);
    }

    fn wait_for_slot(&mut self, id: VmId) {
        if let Some(layer) = &mut self.block
            && let Some(guest) = layer.guests.get_mut(&id.index())
        {
            guest.is_waiting = true;
            layer.waiting.push_back(id);
        }
    }

    /// Lets VMs that wait for slots take turns, a block each.
    pub(crate) fn serve_waiting(&mut self, machine: &mut dyn Machine) {
        // Those in a row who go on waiting.
        let mut unserved = 0;
        while let Some(layer) = &mut self.block
            && !layer.free.is_empty()
            && unserved < layer.waiting.len()
            && let Some(id) = layer.waiting.pop_front()
        {
            if let Some(guest) = layer.guests.get_mut(&id.index()) {
                guest.is_waiting = false;
            }
            let since = machine.now();
            let step = self.block_step(id, machine);
            if let Step::OnSwap(address) = step {
                self.page_in(id, address, machine);
            }
            let has_to_wait = matches!(step, Step::NoSlot | Step::OnSwap(_));
            if has_to_wait || step == Step::Taken {
                self.wait_for_slot(id);
            }
            unserved = if has_to_wait { unserved + 1 } else { 0 };
            self.charge_since(id, since, machine);
        }
    }

    /// Takes the next request of a VM's ring.
    fn block_step(&mut self, id: VmId, machine: &mut dyn Machine) -> Step {
        let Some(next) = self.with_block_ring(id, machine, |ring, view| ring.next(view)) else {
            return Step::Ended;
        };
        let Some(request) = next else {
            return Step::Empty;
        };
        let Some(layer) = &self.block else {
            return Step::Empty;
        };
        let guest = layer.guests.get(&id.index());
        let inherits = guest.is_some_and(|guest| layer.inherits_requests(guest));
        if layer.free.is_empty() || inherits && !cfg!(sabotage = "overtake-requests") {
            return Step::NoSlot;
        }
        if request.operation != operation::FLUSH
            && let Some(address) =
                self.first_away(id, request.address, usize_to_u64(BLOCK_LEN), machine)
        {
            return Step::OnSwap(address);
        }
        if self
            .with_block_ring(id, machine, |ring, view| ring.take(view))
            .is_none()
        {
            return Step::Ended;
        }
        match self.block_begin(id, &request, machine) {
            Ok(()) => Step::Taken,
            Err(Refused::Told(errno)) => {
                if self.block_complete(id, request.tag, Err(errno), machine) {
                    Step::Taken
                } else {
                    Step::Ended
                }
            }
            Err(Refused::Ends(at)) => {
                self.end_vm(id, EndReason::RingViolation, at, machine);
                Step::Ended
            }
        }
    }

    /// Gives a request a slot and the disk its work.
    fn block_begin(
        &mut self,
        id: VmId,
        request: &BlockRequest,
        machine: &mut dyn Machine,
    ) -> Result<(), Refused> {
        let layer = self.block.as_ref().ok_or(Errno::NotFound)?;
        let guest = layer.guests.get(&id.index()).ok_or(Errno::NotFound)?;
        let (operation, block) = match request.operation {
            operation::READ => (DiskOperation::Read, request.block),
            operation::WRITE => (DiskOperation::Write, request.block),
            operation::FLUSH => (DiskOperation::Flush, 0),
            _ => return Err(Errno::Invalid.into()),
        };
        let (volume, place) = guest.locate(request.volume, block)?;
        let job = Job {
            vm: Some(id),
            place,
            operation,
            block,
            key: volume.key,
            address: request.address,
            tag: request.tag,
        };
        let slot = layer.free.last().map(|&index| u32_to_usize(index));
        let slot = slot.and_then(|index| layer.slots.get(index));
        let frame = slot.ok_or(Errno::OutOfMemory)?.frame;
        match operation {
            DiskOperation::Read => self.reserve_buffer(id, request.address, machine)?,
            DiskOperation::Write => self.copy_block_in(id, &job, frame, machine)?,
            DiskOperation::Flush => {}
        }
        let layer = self.block.as_mut().ok_or(Errno::NotFound)?;
        let index = layer.free.pop().ok_or(Errno::OutOfMemory)?;
        let slot = layer.slots.get_mut(u32_to_usize(index));
        slot.ok_or(Errno::OutOfMemory)?.job = Some(job);
        if let Some(guest) = layer.guests.get_mut(&id.index()) {
            guest.under_way += 1;
        }
        if !layer.submit(index, machine) {
            layer.parked.push_back(index);
        }
        Ok(())
    }

    /// Copies what a guest writes, encrypts the copy and puts it into a slot's frame.
    fn copy_block_in(
        &mut self,
        id: VmId,
        job: &Job,
        slot: FrameId,
        machine: &mut dyn Machine,
    ) -> Result<(), Refused> {
        let mut block = [0; BLOCK_LEN];
        let mut view = self.view(id, machine).ok_or(Errno::NotFound)?;
        view.copy_in(job.address, &mut block)?;
        Cipher::new(&job.key).encrypt(job.block, &mut block);
        machine.write_frame(slot, 0, &block);
        Ok(())
    }

    /// Sees to it that there is memory behind a buffer that is to be read into.
    fn reserve_buffer(
        &mut self,
        id: VmId,
        address: u64,
        machine: &mut dyn Machine,
    ) -> Result<(), Refused> {
        let mut view = self.view(id, machine).ok_or(Errno::NotFound)?;
        let last = address.saturating_add(usize_to_u64(BLOCK_LEN) - 1);
        for at in [address, last] {
            view.fault_in(at, FaultAccess::Write)
                .map_err(|fault| (fault, at))?;
        }
        Ok(())
    }

    /// Takes note of a completion and returns whose it is.
    fn block_done(&mut self, done: DiskCompletion, machine: &mut dyn Machine) -> Option<VmId> {
        let layer = self.block.as_mut()?;
        let index = done.tag & !TAG;
        let slot = layer.slots.get_mut(u32_to_usize(index))?;
        let job = slot.job.take()?;
        let frame = slot.frame;
        layer.free.push(index);
        match (done.result, job.operation) {
            (Err(_), _) => layer.stats.errors += 1,
            (Ok(()), DiskOperation::Read) => layer.stats.reads += 1,
            (Ok(()), DiskOperation::Write) => layer.stats.writes += 1,
            (Ok(()), DiskOperation::Flush) => layer.stats.flushes += 1,
        }
        let id = job.vm?;
        let guest = layer.guests.get_mut(&id.index())?;
        guest.under_way = guest.under_way.saturating_sub(1);
        let mut result = done.result.map_err(|_| Errno::Io);
        if job.operation == DiskOperation::Read && result.is_ok() {
            let mut block = [0; BLOCK_LEN];
            machine.read_frame(frame, 0, &mut block);
            // What was never written reads as zeros.
            if block != [0; BLOCK_LEN] {
                Cipher::new(&job.key).decrypt(job.block, &mut block);
            }
            let mut view = self.view(id, machine)?;
            match view.copy_out(job.address, &block).map_err(Refused::from) {
                Ok(()) => {}
                Err(Refused::Told(errno)) => result = Err(errno),
                Err(Refused::Ends(at)) => {
                    self.end_vm(id, EndReason::RingViolation, at, machine);
                    return None;
                }
            }
        }
        self.block_complete(id, job.tag, result, machine)
            .then_some(id)
    }

    /// Tells a VM what became of a request. Returns whether it lives on.
    fn block_complete(
        &mut self,
        id: VmId,
        tag: u64,
        result: Result<(), Errno>,
        machine: &mut dyn Machine,
    ) -> bool {
        let code = result.map_or_else(|errno| -errno.code(), |()| 0);
        let told = self.with_block_ring(id, machine, |ring, view| ring.complete(view, tag, code));
        if told.is_some() {
            self.raise(id, BLOCK, machine);
        }
        told.is_some()
    }

    fn resubmit_parked(&mut self, machine: &mut dyn Machine) {
        while let Some(layer) = &mut self.block
            && let Some(index) = layer.parked.pop_front()
        {
            if !layer.submit(index, machine) {
                layer.parked.push_front(index);
                return;
            }
        }
    }

    /// Works on a VM's block ring; a violation ends the VM and returns `None`.
    fn with_block_ring<T>(
        &mut self,
        id: VmId,
        machine: &mut dyn Machine,
        work: impl FnOnce(&mut BlockRing, &mut GuestView<'_>) -> Result<T, RingViolation>,
    ) -> Option<T> {
        let guest = |kernel: &Self| {
            let layer = kernel.block.as_ref()?;
            layer.guests.get(&id.index()).map(|guest| guest.ring)
        };
        let mut ring = guest(self)?;
        let mut view = self.view(id, machine)?;
        let result = work(&mut ring, &mut view);
        if let Some(guest) = self.block_guest(id) {
            guest.ring = ring;
        }
        match result {
            Ok(value) => Some(value),
            Err(_violation) => {
                self.end_vm(id, EndReason::RingViolation, 0, machine);
                None
            }
        }
    }

    fn block_guest(&mut self, id: VmId) -> Option<&mut Guest> {
        self.block.as_mut()?.guests.get_mut(&id.index())
    }
}

impl BlockLayer {
    /// Gives the disk the request of a slot; returns whether it has room.
    fn submit(&self, index: u32, machine: &mut dyn Machine) -> bool {
        let slot = self.slots.get(u32_to_usize(index));
        let Some((slot, job)) = slot.and_then(|slot| Some((slot, slot.job.as_ref()?))) else {
            return true;
        };
        let frames = [slot.frame];
        let request = DiskRequest {
            tag: TAG | index,
            disk: job.place.disk,
            operation: job.operation,
            block: job.place.block,
            frames: match job.operation {
                DiskOperation::Flush => &[],
                DiskOperation::Read | DiskOperation::Write => &frames,
            },
        };
        machine.disk_submit(&request).is_ok()
    }
}

/// What is wrong with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refused {
    /// The guest is told.
    Told(Errno),
    /// The guest named an address that is not its own, and ends.
    Ends(u64),
}

impl From<Errno> for Refused {
    fn from(errno: Errno) -> Self {
        Self::Told(errno)
    }
}

impl From<(Fault, u64)> for Refused {
    fn from((fault, at): (Fault, u64)) -> Self {
        match fault {
            Fault::OutOfMemory => Self::Told(Errno::OutOfMemory),
            Fault::OnSwap => Self::Told(Errno::Busy),
            Fault::BadAddress | Fault::AccessViolation | Fault::StackOverflow => Self::Ends(at),
        }
    }
}
