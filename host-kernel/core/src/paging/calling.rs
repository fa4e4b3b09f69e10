//! Who is wanted back: by a packet, by an alarm, or because it was never let in.
//!
//! Whoever is called stands before the gatekeeper, which admits it when its working set fits: what
//! it had in memory when it left. Nobody is called twice.

use super::birth::{Birth, FIRST_FRAMES, frames_wanted};
use super::{Residence, Standing, Swap, microseconds};
use crate::kernel::Kernel;
use crate::machine::Machine;
use crate::net::answer;
use crate::net::ethernet::Mac;
use crate::policy::gatekeeper::{Occasion, Request, Verdict};
use crate::time::Time;
use crate::trace::Event;
use crate::vm::{FIXED_FRAMES, Vm, VmId};
use core::num::NonZeroU32;
use denali_abi::control::VmState;
use denali_abi::errno::Errno;

/// VMs admitted at one go.
const ADMISSIONS_MAX: usize = 16;

impl Kernel {
    /// Gives a new VM with a memory limit of `limit` pages its part of swap space, and asks the
    /// gatekeeper.
    pub(crate) fn reserve(
        &mut self,
        id: VmId,
        limit: u32,
        now: Time,
    ) -> Result<(VmState, Option<Swap>), Errno> {
        self.demand(FIXED_FRAMES)?;
        let available = self.available();
        let pager = self.pager.as_deref_mut().ok_or(Errno::OutOfMemory)?;
        let mut swap = pager.reserve(limit, now)?;
        let frames = limit.min(FIRST_FRAMES);
        let request = Request {
            vm: id,
            frames,
            occasion: Occasion::New,
        };
        match self.policies.gatekeeper.arrive(request, available) {
            Verdict::Admit => Ok((VmState::Ready, Some(swap))),
            Verdict::Wait => {
                pager.count_closed(self.policies.gatekeeper.reason());
                pager.queue(&mut swap, frames, now);
                Ok((VmState::Dormant, Some(swap)))
            }
            Verdict::Refuse => {
                pager.give_back(swap.extent(limit));
                Err(Errno::OutOfMemory)
            }
        }
    }

    /// Gives a new VM that nobody has called yet its part of swap space.
    pub(crate) fn reserve_asleep(
        &mut self,
        limit: u32,
        now: Time,
    ) -> Result<(VmState, Option<Swap>), Errno> {
        let pager = self.pager.as_deref_mut().ok_or(Errno::Invalid)?;
        let swap = pager.reserve(limit, now)?;
        Ok((VmState::Dormant, Some(swap)))
    }

    /// Puts a VM that was just created where the hand finds it.
    pub(crate) fn keep_track(&mut self, id: VmId) {
        let Some((vm, pager)) = self.vms.get(id).zip(self.pager.as_deref_mut()) else {
            return;
        };
        match (vm.swap, vm.state) {
            (None, _) => {
                pager.present.insert(id.index());
            }
            (Some(_), VmState::Dormant) if vm.birth == Birth::Ahead => {}
            (Some(_), VmState::Dormant) => pager.newcomers.push_back(id),
            (Some(_), _) => pager.note_present(id),
        }
    }

    /// Calls a VM back that is not in memory, if nobody has yet.
    pub(crate) fn call_back(&mut self, id: VmId, now: Time) {
        let sleeps = |vm: &Vm| {
            let asleep = |swap: Swap| {
                swap.standing == Standing::Asleep
                    && matches!(swap.residence, Residence::Leaving | Residence::Out)
            };
            vm.state == VmState::Dormant && vm.swap.is_some_and(asleep)
        };
        if !self.vms.get(id).is_some_and(sleeps) {
            return;
        }
        let available = self.available();
        let frames = self.vms.get(id).map_or(0, frames_wanted);
        let vm = self.vms.get_mut(id).and_then(|vm| {
            vm.counters.wakes = vm.counters.wakes.saturating_add(1);
            vm.swap.as_mut()
        });
        let Some((swap, pager)) = vm.zip(self.pager.as_deref_mut()) else {
            return;
        };
        let request = Request {
            vm: id,
            frames,
            occasion: Occasion::Return,
        };
        swap.since = now;
        pager.called = true;
        pager.stats.wakes += 1;
        match self.policies.gatekeeper.arrive(request, available) {
            Verdict::Admit => {
                swap.standing = Standing::Admitted;
                // While it leaves it is not yet out; it comes when it is.
                if swap.residence == Residence::Out {
                    pager.admitted.push_back(id);
                }
            }
            Verdict::Wait => {
                pager.count_closed(self.policies.gatekeeper.reason());
                pager.queue(swap, frames, now);
            }
            Verdict::Refuse => {
                pager.stats.held_dropped += pager.pool.take(id.index()).len() as u64;
                self.stats.gatekeeper_refused += 1;
            }
        }
    }

    /// Brings in VMs that were admitted, and asks the gatekeeper for more.
    pub(super) fn admit(&mut self, machine: &mut dyn Machine) {
        for _ in 0..ADMISSIONS_MAX {
            let Some(pager) = &mut self.pager else {
                return;
            };
            if !pager.transfers.has_room() {
                return;
            }
            if let Some(id) = pager.admitted.pop_front() {
                let out = |vm: &Vm| vm.swap.is_some_and(|swap| swap.residence == Residence::Out);
                if self.vms.get(id).is_some_and(out) && !self.enter(id, machine) {
                    let now = machine.now();
                    if self.keeps_turn(id, now) {
                        return;
                    }
                    self.send_back(id, now);
                }
            } else if !self.admit_next(machine) {
                return;
            }
        }
    }

    /// Lets an admitted VM wait in its turn if only room for what is known of its pages is missing,
    /// which the gatekeeper knows nothing of. Returns whether it is so.
    fn keeps_turn(&mut self, id: VmId, now: Time) -> bool {
        let Some(pager) = &mut self.pager else {
            return false;
        };
        if pager.is_short_of_entries {
            pager.admitted.push_front(id);
            pager.queued_since.get_or_insert(now);
        }
        pager.is_short_of_entries
    }

    /// Puts a VM back into the gatekeeper's queue that was admitted while it did not fit.
    fn send_back(&mut self, id: VmId, now: Time) {
        self.stats.gatekeeper_refused += 1;
        let frames = self.vms.get(id).map_or(0, frames_wanted);
        let swap = self.vms.get_mut(id).and_then(|vm| vm.swap.as_mut());
        let Some((swap, pager)) = swap.zip(self.pager.as_deref_mut()) else {
            return;
        };
        let request = Request {
            vm: id,
            frames,
            occasion: Occasion::Return,
        };
        match self.policies.gatekeeper.arrive(request, 0) {
            Verdict::Wait => pager.queue(swap, frames, now),
            // The policy insists: it is tried again when something has changed.
            Verdict::Admit | Verdict::Refuse => pager.admitted.push_back(id),
        }
    }

    /// Lets the gatekeeper name somebody from its queue. Returns whether it did.
    fn admit_next(&mut self, machine: &mut dyn Machine) -> bool {
        let available = self.available();
        let Some(id) = self.policies.gatekeeper.next(available) else {
            return false;
        };
        let Some((vm, pager)) = self.vms.get_mut(id).zip(self.pager.as_deref_mut()) else {
            self.stats.gatekeeper_refused += 1;
            return true;
        };
        let waits = vm.state == VmState::Dormant;
        let Some(swap) = vm
            .swap
            .as_mut()
            .filter(|swap| waits && swap.standing == Standing::Queued)
        else {
            self.stats.gatekeeper_refused += 1;
            return true;
        };
        let now = machine.now();
        pager.unqueue(swap, now);
        swap.standing = Standing::Admitted;
        match swap.residence {
            Residence::Out => pager.admitted.push_back(id),
            Residence::Leaving | Residence::Entering => {}
            // It was never sent away.
            Residence::In => {
                swap.standing = Standing::Asleep;
                swap.since = now;
                pager.note_present(id);
                vm.state = VmState::Ready;
                self.become_ready(id);
                self.trace.record(Event::VmAdmitted { vm: id });
            }
        }
        true
    }

    /// Holds a frame for a VM that is not in memory and calls it, or answers in its place. Returns
    /// whether the frame was taken.
    pub(crate) fn hold(&mut self, id: VmId, frame: &[u8], machine: &mut dyn Machine) -> bool {
        let Some((vm, pager)) = self.vms.get_mut(id).zip(self.pager.as_deref_mut()) else {
            return false;
        };
        let address = self.switch.address_of(id.index());
        if let Some(reply) = answer::to_question(frame, Mac(vm.network.mac), address) {
            return self.answer(reply.frame(), machine);
        }
        if pager.pool.hold(id.index(), frame).is_err() {
            pager.stats.held_dropped += 1;
            return false;
        }
        let now = machine.now();
        if let Some(swap) = &mut vm.swap {
            swap.called_us = swap.called_us.or(NonZeroU32::new(microseconds(now)));
        }
        self.call_back(id, now);
        true
    }

    /// Returns whether frames are held for a VM, behind which others must stay.
    pub(crate) fn holds_for(&self, id: VmId) -> bool {
        self.pager
            .as_ref()
            .is_some_and(|pager| pager.pool.holds_for(id.index()))
    }

    /// Holds a frame for a VM in memory, until a page of it is there. Returns whether there is room.
    pub(crate) fn hold_more(&mut self, id: VmId, frame: &[u8]) -> bool {
        let Some(pager) = &mut self.pager else {
            return false;
        };
        // Without a page on its way nobody would hand it out.
        let is_held = pager.moves_pages(id) && pager.pool.hold(id.index(), frame).is_ok();
        pager.stats.held_dropped += u64::from(!is_held);
        is_held
    }

    /// Takes note that a VM sent a frame: how long it took since it was called for.
    pub(crate) fn answered(&mut self, id: VmId, machine: &mut dyn Machine) {
        let swap = self.vms.get_mut(id).and_then(|vm| vm.swap.as_mut());
        if let Some((swap, pager)) = swap.zip(self.pager.as_deref_mut())
            && let Some(called) = swap.called_us.take()
        {
            swap.wake_us = microseconds(machine.now()).wrapping_sub(called.get());
            pager
                .stats
                .wake_latency
                .count(u64::from(swap.wake_us) * 1000);
        }
    }

    /// Delivers what was held for a VM that is in memory again.
    pub(super) fn hand_out_held(&mut self, id: VmId, machine: &mut dyn Machine) {
        let Some(pager) = &mut self.pager else {
            return;
        };
        for frame in pager.pool.take(id.index()) {
            self.deliver_from_wire(id.index(), &frame, machine);
        }
    }

    /// Returns the first VM from `index` on that hears what is meant for many: all but those that
    /// sleep on swap.
    pub(crate) fn next_present(&self, index: u32) -> Option<VmId> {
        let Some(pager) = self.pager.as_deref() else {
            return self.vms.next_from(index);
        };
        let mut present = pager.present.range(index..);
        present.find_map(|&index| self.vms.id_at(index))
    }

    /// Forgets a VM that ended: what is held for it, its place in queues, its blocks.
    pub(crate) fn forget_paged(&mut self, id: VmId, now: Time) {
        let Some((vm, pager)) = self.vms.get_mut(id).zip(self.pager.as_deref_mut()) else {
            return;
        };
        let limit = vm.memory_pages;
        pager.present.remove(&id.index());
        let Some(mut swap) = vm.swap.take() else {
            return;
        };
        let unborn = (vm.birth == Birth::Ahead).then_some(vm.image);
        vm.birth = Birth::Over;
        pager.stats.held_dropped += pager.pool.take(id.index()).len() as u64;
        if swap.standing == Standing::Queued {
            pager.unqueue(&mut swap, now);
            self.policies.gatekeeper.leave(id);
        }
        match swap.residence {
            Residence::In => pager.abandon_pages(id, swap.extent(limit)),
            Residence::Out => pager.give_back(swap.extent(limit)),
            // Disks may still work on it.
            Residence::Leaving | Residence::Entering => pager.transfers.abandon(id),
        }
        if let Some(image) = unborn {
            self.forget_birth(image);
        }
    }
}
