//! The life of a VM: woken, put to sleep, ended, destroyed, admitted.
//!
//! Every change of state goes through here, so that table, scheduler, gatekeeper, alarms, switch
//! and promises always tell the same story.

use super::creation::Entrance;
use super::interrupt::{self, Taken};
use super::{End, Vm, VmId, WakeOn};
use crate::kernel::Kernel;
use crate::machine::{Machine, Position};
use crate::paging::{NO_SPACE, NOWHERE};
use crate::policy::gatekeeper::{Occasion, Request};
use crate::time::Time;
use crate::trace::{Event, Name};
use alloc::boxed::Box;
use core::mem::offset_of;
use denali_abi::control::VmState;
use denali_abi::end::{EndReason, EndRecord};
use denali_abi::errno::Errno;
use denali_abi::shared::SharedPage;
use denali_abi::shared::interrupt::{CONTROL, TIMER};

/// Waiting VMs admitted at one go; the next VM that ends brings the next ones.
const ADMISSIONS_MAX: usize = 64;

impl Kernel {
    /// Adds interrupts to a VM's pending mask, and wakes it if it waits for one.
    pub(crate) fn raise(&mut self, id: VmId, bits: u32, machine: &mut dyn Machine) {
        let Some(vm) = self.vms.get_mut(id) else {
            return;
        };
        if !vm.is_active() {
            return;
        }
        self.decision_due = true;
        interrupt::post(vm.shared, bits, machine);
        let Some(at_deadline) = vm
            .wake_on
            .at_deadline()
            .filter(|_| vm.state == VmState::Idle)
        else {
            return;
        };
        let mut mask = match interrupt::take_for_idle(vm, machine) {
            Taken::ByUpcall => 0,
            Taken::Mask(mask) => mask,
        };
        if vm
            .deadline
            .is_some_and(|deadline| deadline <= machine.now())
        {
            mask |= at_deadline;
        }
        machine.set_result(vm.space, i64::from(mask));
        self.wake(id);
    }

    /// Lets a VM wait for an interrupt or, if there is one, the deadline, which means what `wake_on`
    /// says.
    pub(crate) fn idle(
        &mut self,
        id: VmId,
        deadline: Option<Time>,
        wake_on: WakeOn,
        machine: &mut dyn Machine,
    ) {
        let Some(vm) = self.vms.get_mut(id) else {
            return;
        };
        machine.set_result(vm.space, i64::from(wake_on.at_deadline().unwrap_or(TIMER)));
        vm.wake_on = wake_on;
        if let Some(swap) = &mut vm.swap {
            swap.since = machine.now();
        }
        self.sleep(id, deadline);
        self.end_freshness(id, machine);
    }

    /// Makes an idle VM runnable. What its wait returned is in its registers already.
    pub(crate) fn wake(&mut self, id: VmId) {
        let Some(vm) = self.vms.get_mut(id) else {
            return;
        };
        if vm.state != VmState::Idle {
            return;
        }
        if let Some(deadline) = vm.deadline.take()
            && !cfg!(sabotage = "forget-alarms")
        {
            self.alarms.cancel(deadline, id);
        }
        vm.state = VmState::Ready;
        self.become_ready(id);
    }

    /// Ends a VM: frees all it had but its descriptor and console, and tells the supervisor.
    pub(crate) fn end_vm(
        &mut self,
        id: VmId,
        reason: EndReason,
        detail: u64,
        machine: &mut dyn Machine,
    ) {
        let Some(vm) = self.vms.get_mut(id) else {
            return;
        };
        // Only who runs has a running thread to blame.
        let ran = vm.state == VmState::Ready;
        match vm.state {
            VmState::Ended => return,
            VmState::Ready => self.cease_ready(id),
            VmState::Dormant => self.policies.gatekeeper.leave(id),
            VmState::Idle | VmState::Paging => {}
        }
        self.forget_paged(id, machine.now());
        let Some(vm) = self.vms.get_mut(id) else {
            return;
        };
        vm.state = VmState::Ended;
        self.policies.scheduler.leave(id);
        if let Some(deadline) = vm.deadline.take() {
            self.alarms.cancel(deadline, id);
        }
        let is_in = vm.space != NO_SPACE;
        let position = if is_in {
            machine.position(vm.space)
        } else {
            Position::default()
        };
        let mut end = Box::new(End::default());
        end.record = EndRecord {
            reason: reason.code(),
            reserved: 0,
            detail,
            rip: position.rip,
            rsp: position.rsp,
        };
        if ran && !matches!(reason, EndReason::Terminated | EndReason::Stopped) {
            machine.read_frame(vm.shared, offset_of!(SharedPage, thread), &mut end.thread);
        }
        vm.end = Some(end);
        let name = Name(vm.name);
        self.trace.record(Event::VmEnded {
            vm: id,
            name,
            reason,
            detail,
            position,
        });
        if is_in {
            machine.drop_space(vm.space);
        }
        self.keep_console(id);
        let Some(vm) = self.vms.get_mut(id) else {
            return;
        };
        if let Some(image) = self.images.get_mut(vm.image) {
            image.users -= 1;
        }
        if vm.awaits_nic {
            self.nic_waiters.retain(|&waiter| waiter != id);
        }
        self.switch.disconnect(id.index());
        if let Some(layer) = &mut self.block {
            layer.forget(id);
        }
        self.stats.vms_ended += 1;
        match self.supervisor_vm() {
            Some(supervisor) if supervisor == id => self.restart_supervisor(machine),
            Some(supervisor) => self.raise(supervisor, CONTROL, machine),
            None => {}
        }
        self.admit_waiting();
    }

    /// Frees all frames of a VM that ended but its console, whose frame is promised from now on.
    fn keep_console(&mut self, id: VmId) {
        let Some(vm) = self.vms.get_mut(id) else {
            return;
        };
        self.frames.give_back_all(&mut vm.frames, Some(vm.console));
        let kept = vm.frames.count();
        if vm.is_promised {
            self.commit.release(vm.promised - kept);
        } else if self.commit.promise(kept).is_err() {
            self.frames.give_back_all(&mut vm.frames, None);
            vm.console = NOWHERE;
        }
        vm.is_promised = true;
        vm.promised = vm.frames.count();
    }

    /// Frees what is left of an ended VM.
    pub(crate) fn destroy_vm(&mut self, id: VmId) -> Result<(), Errno> {
        match self.vms.get(id).map(|vm| vm.state) {
            None => return Err(Errno::NotFound),
            Some(VmState::Ended) => {}
            Some(VmState::Ready | VmState::Idle | VmState::Dormant | VmState::Paging) => {
                return Err(Errno::Busy);
            }
        }
        if let Some(mut vm) = self.vms.remove(id) {
            if !cfg!(sabotage = "leak-frames") {
                self.frames.give_back_all(&mut vm.frames, None);
            }
            if !cfg!(sabotage = "leak-promises") {
                self.commit.release(vm.promised);
            }
            self.trace.record(Event::VmDestroyed { vm: id });
        }
        self.admit_waiting();
        Ok(())
    }

    /// Starts a VM that was just put into the table.
    pub(crate) fn begin(&mut self, id: VmId, entrance: Entrance) {
        self.keep_track(id);
        let Some(vm) = self.vms.get_mut(id) else {
            return;
        };
        if vm.state == VmState::Dormant {
            let reason = self.policies.gatekeeper.reason();
            self.trace.record(Event::VmWaits { vm: id, reason });
            return;
        }
        if matches!(entrance, Entrance::PrivilegedAt(_)) {
            vm.wake_on = WakeOn::Deadline;
        }
        self.become_ready(id);
        if let Entrance::PrivilegedAt(time) = entrance {
            self.sleep(id, Some(time));
        }
    }

    /// Lets a VM whose state is [`VmState::Ready`] compete for the CPU, once its cap allows it.
    pub(crate) fn become_ready(&mut self, id: VmId) {
        self.decision_due = true;
        if let Some(until) = self.vms.get(id).and_then(|vm| vm.capped_until) {
            self.capped.set(until, id);
        } else {
            self.ready_vms += 1;
            self.policies.scheduler.ready(id);
        }
    }

    /// Takes a VM whose state is [`VmState::Ready`] out of the competition for the CPU.
    pub(crate) fn cease_ready(&mut self, id: VmId) {
        self.decision_due = true;
        if let Some(until) = self.vms.get(id).and_then(|vm| vm.capped_until) {
            self.capped.cancel(until, id);
        } else {
            self.ready_vms -= 1;
            self.policies.scheduler.block(id);
        }
    }

    /// Keeps a VM that has used up its cap from running before `until`.
    pub(crate) fn cap(&mut self, id: VmId, until: Time) {
        let cappable = |vm: &&Vm| !vm.is_frozen();
        let vm = self.vms.get(id).filter(cappable);
        let Some(is_ready) = vm.map(|vm| vm.state == VmState::Ready) else {
            return;
        };
        if is_ready {
            self.cease_ready(id);
        }
        if let Some(vm) = self.vms.get_mut(id) {
            vm.capped_until = Some(until);
        }
        if is_ready {
            self.become_ready(id);
        }
    }

    /// Lets a VM that had used up its cap run again, unless it is frozen.
    pub(crate) fn uncap(&mut self, id: VmId) {
        if !self.vms.get(id).is_some_and(Vm::is_frozen) {
            self.lift_cap(id);
        }
    }

    /// Lets a VM run again, whatever kept it from that.
    pub(crate) fn lift_cap(&mut self, id: VmId) {
        let Some(vm) = self.vms.get_mut(id) else {
            return;
        };
        let is_ready = vm.state == VmState::Ready;
        if let Some(until) = vm.capped_until.take()
            && is_ready
        {
            self.capped.cancel(until, id);
            self.become_ready(id);
        }
    }

    fn sleep(&mut self, id: VmId, deadline: Option<Time>) {
        let Some(vm) = self.vms.get_mut(id) else {
            return;
        };
        vm.state = VmState::Idle;
        vm.deadline = deadline;
        self.cease_ready(id);
        if let Some(deadline) = deadline {
            self.alarms.set(deadline, id);
        }
    }

    /// Admits VMs that waited, as far as the gatekeeper names them and memory can be promised.
    pub(crate) fn admit_waiting(&mut self) {
        // With a pager VMs are admitted when there is time to bring them in.
        if self.pager.is_some() {
            return;
        }
        for _ in 0..ADMISSIONS_MAX {
            let Some(id) = self.policies.gatekeeper.next(self.commit.available()) else {
                return;
            };
            let waiting = self
                .vms
                .get_mut(id)
                .filter(|vm| vm.state == VmState::Dormant);
            let Some(vm) = waiting else {
                self.stats.gatekeeper_refused += 1;
                continue;
            };
            let frames = vm.memory_pages - vm.promised;
            if self.commit.promise(frames).is_err() {
                self.stats.gatekeeper_refused += 1;
                let request = Request {
                    vm: id,
                    frames,
                    occasion: Occasion::New,
                };
                // It goes back into the queue; an answer to admit it cannot be followed.
                let _answer = self.policies.gatekeeper.arrive(request, 0);
                return;
            }
            vm.promised = vm.memory_pages;
            vm.state = VmState::Ready;
            self.become_ready(id);
            self.trace.record(Event::VmAdmitted { vm: id });
        }
    }
}
