//! When memory is short: who waits, and who goes.
//!
//! *Spare* frames are free and promised to nobody. Below `low` VMs are sent out until there are
//! `high`, besides what those need who wait to come in. Below `min` a VM that wants memory waits, so
//! that what the kernel needs for its own work is always there. First go those that idle, by the
//! replacement policy's choice; if nobody does, working sets do not fit together, and one that
//! waits for memory goes to the end of the gatekeeper's queue; if nobody waits but somebody stands
//! before the gate for long, it is the turn of whoever was in longest.

use super::{Pager, Residence, Standing, Swap, milliseconds, trimming};
use crate::kernel::Kernel;
use crate::machine::Machine;
use crate::policy::replacement::{Candidate, Judgement};
use crate::time::Time;
use crate::vm::{Vm, VmId};
use denali_abi::control::VmState;
use denali_abi::errno::Errno;

/// VMs sent out at one go.
const VICTIMS_MAX: usize = 4;

/// VMs that the hand moves over at one go.
const STEPS_MAX: usize = 64;

/// VMs whose pages are looked at at one go.
const LOOKS_MAX: u32 = 2;

/// How long somebody stands before the gate until a busy VM has to make room, in nanoseconds.
const PATIENCE_NS: u64 = 500_000_000;

/// Returns whether a VM lives and has memory that it may lose.
fn is_in(vm: &Vm) -> bool {
    let is_in = |swap: Swap| swap.residence == Residence::In;
    vm.is_active() && vm.swap.is_some_and(is_in)
}

/// What the hand found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    /// This VM is to leave.
    Vm(VmId),
    /// Pages of one are on their way.
    Pages,
}

/// Numbers of spare frames at which something happens.
#[derive(Clone, Copy, Debug)]
pub(super) struct Marks {
    pub(super) min: u32,
    pub(super) low: u32,
    pub(super) high: u32,
    /// Most frames that are made free for those who wait to come in.
    pub(super) wanted_max: u32,
}

impl Marks {
    pub(super) fn for_host(frames: u32) -> Self {
        let low = (frames / 64).max(64);
        Self {
            min: low / 2,
            low,
            high: 2 * low,
            wanted_max: frames / 4,
        }
    }
}

impl Pager {
    /// Lets a VM wait for the gatekeeper.
    pub(super) fn queue(&mut self, swap: &mut Swap, frames: u32, now: Time) {
        swap.standing = Standing::Queued;
        swap.asked = frames;
        self.wanted += frames;
        self.asked_max = self.asked_max.max(frames);
        self.queued += 1;
        self.queued_since.get_or_insert(now);
    }

    /// Takes a VM out of the count of those that wait.
    pub(super) fn unqueue(&mut self, swap: &mut Swap, now: Time) {
        self.wanted -= swap.asked;
        self.queued -= 1;
        self.queued_since = (self.queued > 0).then_some(now);
        if self.queued == 0 {
            self.asked_max = 0;
        }
    }

    /// Returns whether [`Kernel::work`] has something to do now.
    pub(crate) fn has_work(&self) -> bool {
        self.called || self.transfers.has_work()
    }

    fn missing(&self, spare: u32, mark: u32) -> bool {
        // Room for some of them, and for the largest.
        let most = self.marks.wanted_max.max(self.asked_max);
        let wanted = self.wanted.min(most) + self.demand;
        let short = spare + self.transfers.frames_leaving() < mark + wanted;
        short || self.is_short_of_entries
    }
}

impl Kernel {
    /// Moves VMs between memory and swap for a bounded time. Call it before each
    /// [`Kernel::next`].
    pub fn work(&mut self, machine: &mut dyn Machine) {
        let Some(pager) = &mut self.pager else {
            return;
        };
        pager.called = false;
        self.measure_load(machine.now());
        self.step_transfer(machine);
        self.admit(machine);
        self.make_room(machine);
        self.unstall();
    }

    /// Returns the frames that are promised and not yet taken.
    pub(crate) fn unclaimed(&self) -> u32 {
        let supervisor = self.supervisor_vm().and_then(|id| self.vms.get(id));
        let its = supervisor.map_or(0, |vm| vm.promised.saturating_sub(vm.frames.count()));
        its + self.image_pages.saturating_sub(self.frames.of_images())
    }

    /// Returns the frames that are free and promised to nobody.
    pub(crate) fn spare(&self) -> u32 {
        self.frames.free().saturating_sub(self.unclaimed())
    }

    /// Returns the frames that the gatekeeper may give away.
    pub(crate) fn available(&self) -> u32 {
        match &self.pager {
            Some(pager) => self.spare().saturating_sub(pager.marks.low),
            None => self.commit.available(),
        }
    }

    /// Checks that `frames` more can be promised at once; else remembers that they are needed.
    pub(crate) fn demand(&mut self, frames: u32) -> Result<(), Errno> {
        let spare = self.spare();
        match &mut self.pager {
            Some(pager) if spare < frames.saturating_add(pager.marks.min) => {
                pager.demand = frames;
                Err(Errno::OutOfMemory)
            }
            _ => Ok(()),
        }
    }

    /// Returns whether the supervisor's call failed for want of frames that may become free.
    pub(crate) fn is_demanded(&self) -> bool {
        self.pager.as_ref().is_some_and(|pager| pager.demand > 0)
    }

    /// Returns whether VMs that want memory have to wait for it.
    pub(crate) fn is_short(&self) -> bool {
        let min = self.pager.as_ref().map_or(0, |pager| pager.marks.min);
        min > 0 && self.spare() < min
    }

    /// Lets a VM that wants memory wait until there is some. Returns whether it waits: not if
    /// nothing can become free.
    pub(crate) fn stall(&mut self, id: VmId, machine: &mut dyn Machine) -> bool {
        self.make_room(machine);
        self.force_out(Some(id), machine.now(), machine);
        let is_supervisor = self.supervisor_vm() == Some(id);
        let Some(pager) = &mut self.pager else {
            return false;
        };
        let is_ready = self
            .vms
            .get(id)
            .is_some_and(|vm| vm.state == VmState::Ready);
        if !is_ready || pager.transfers.frames_leaving() == 0 {
            pager.demand = 0;
            return false;
        }
        pager.stats.stalls += 1;
        if is_supervisor {
            pager.stalled.push_front(id);
        } else {
            pager.stalled.push_back(id);
        }
        self.cease_ready(id);
        if let Some(vm) = self.vms.get_mut(id) {
            vm.state = VmState::Paging;
        }
        true
    }

    /// Lets the first of those that wait for memory go on, if there is some.
    fn unstall(&mut self) {
        let spare = self.spare();
        let Some(pager) = &mut self.pager else {
            return;
        };
        if pager.stalled.is_empty() || spare < pager.marks.min + pager.demand {
            return;
        }
        let Some(id) = pager.stalled.pop_front() else {
            return;
        };
        pager.demand = 0;
        // Others may follow.
        pager.called |= !pager.stalled.is_empty();
        if let Some(vm) = self
            .vms
            .get_mut(id)
            .filter(|vm| vm.state == VmState::Paging)
        {
            vm.state = VmState::Ready;
            self.become_ready(id);
        }
    }

    /// Sends VMs out until memory is not short.
    fn make_room(&mut self, machine: &mut dyn Machine) {
        self.send_newcomers_out(machine);
        let spare = self.spare();
        let Some(pager) = &self.pager else {
            return;
        };
        if !pager.missing(spare, pager.marks.low) {
            return;
        }
        for _ in 0..VICTIMS_MAX {
            let spare = self.spare();
            let Some(pager) = &self.pager else { return };
            if !pager.transfers.has_room() || !pager.missing(spare, pager.marks.high) {
                return;
            }
            let now = machine.now();
            match self.victim(now, machine) {
                Some(Victim::Vm(id)) => {
                    self.leave(id, machine);
                }
                Some(Victim::Pages) => {}
                None => {
                    self.force_out(None, now, machine);
                    return;
                }
            }
        }
    }

    /// Sends out new VMs that the gatekeeper lets wait.
    fn send_newcomers_out(&mut self, machine: &mut dyn Machine) {
        while let Some(pager) = &mut self.pager
            && pager.transfers.has_room()
            && let Some(id) = pager.newcomers.pop_front()
        {
            let waits = |vm: &Vm| vm.state == VmState::Dormant;
            if self.vms.get(id).is_some_and(waits) {
                self.leave(id, machine);
            }
        }
    }

    /// Moves the hand until it finds an idle VM to send out, the first that the policy gives up, else
    /// the longest idle; or a busy one of which pages go.
    ///
    /// It moves [`STEPS_MAX`] VMs at most, so that the longest idle is one of those: what is done
    /// between two turns of guests must not grow with the number of guests.
    fn victim(&mut self, now: Time, machine: &mut dyn Machine) -> Option<Victim> {
        let mut longest: Option<(u64, VmId)> = None;
        let turns = self.pager.as_ref().map_or(0, |pager| pager.hand.len());
        let mut looks = LOOKS_MAX;
        for _ in 0..turns.min(STEPS_MAX) {
            let pager = self.pager.as_deref_mut()?;
            let mut passed = pager.hand.pop_front()?;
            let id = passed.vm;
            let Some(vm) = self.vms.get_mut(id).filter(|vm| is_in(vm)) else {
                continue;
            };
            let is_busy = vm.state != VmState::Idle;
            // What a disk is about to fill stays where it is.
            let is_held = self.block.as_ref().is_some_and(|layer| layer.holds(id));
            let is_held = is_held || vm.is_frozen();
            let is_due = is_busy && !is_held && looks > 0 && trimming::is_due(vm, passed.looked);
            if is_due {
                passed.looked = trimming::virtual_time(vm.counters.cpu_ns);
                looks -= 1;
            }
            pager.hand.push_back(passed);
            if is_due && self.trim(id, machine) {
                return Some(Victim::Pages);
            }
            let stays = |vm: &Vm| is_busy || is_held || vm.awaits_nic;
            let Some(vm) = self.vms.get_mut(id).filter(|vm| !stays(vm)) else {
                continue;
            };
            let frames = vm.frames.count();
            let Some(swap) = &mut vm.swap else { continue };
            let passed = core::mem::replace(&mut swap.passed_ms, milliseconds(now));
            let idle_ns = now.since_ns(swap.since);
            let candidate = Candidate {
                vm: id,
                idle_ns,
                passed_ns: u64::from(milliseconds(now).wrapping_sub(passed)) * 1_000_000,
                frames,
            };
            if self.policies.replacement.judge(&candidate) == Judgement::Go {
                return Some(Victim::Vm(id));
            }
            if longest.is_none_or(|(most, _)| idle_ns > most) {
                longest = Some((idle_ns, id));
            }
        }
        longest.map(|(_, id)| Victim::Vm(id))
    }

    /// Sends out a VM that does not idle, if that is the only way on: for `wanting`, which needs its
    /// memory, or for those who wait too long. It is called back at once.
    fn force_out(&mut self, wanting: Option<VmId>, now: Time, machine: &mut dyn Machine) {
        let Some(pager) = &mut self.pager else {
            return;
        };
        if pager.transfers.frames_leaving() > 0 {
            return;
        }
        let (vms, moves) = (&self.vms, &pager.moves);
        let late = pager
            .queued_since
            .is_some_and(|since| now.since_ns(since) > PATIENCE_NS);
        let stalled = |id: &VmId| {
            let vm = vms.get(*id);
            vm.is_some_and(|vm| vm.state == VmState::Paging && vm.swap.is_some())
                && !moves.contains_key(id)
        };
        let stays = |id: &VmId| {
            let swap = vms.get(*id).and_then(|vm| vm.swap);
            let long = |swap: Swap| late && now.since_ns(swap.since) > PATIENCE_NS;
            swap.is_some_and(|swap| {
                swap.residence == Residence::In
                    && !moves.contains_key(id)
                    && (wanting.is_some() || long(swap))
            })
        };
        let last_stalled = pager.stalled.iter().rev().copied().find(stalled);
        let others = pager.hand.iter().map(|passed| passed.vm);
        let others = others.filter(|&id| Some(id) != wanting);
        let Some(id) = last_stalled.or_else(|| others.into_iter().find(stays)) else {
            return;
        };
        pager.queued_since = pager.queued_since.map(|_| now);
        if self.leave(id, machine) {
            self.call_back(id, now);
        }
    }
}
