//! What every VM may ask for.

use super::Reply;
use crate::console;
use crate::kernel::Kernel;
use crate::machine::Machine;
use crate::network::Drained;
use crate::vm::interrupt::{self, Taken};
use crate::vm::{VmId, WakeOn};
use denali_abi::convert::{u64_to_usize, usize_to_u64};
use denali_abi::end::EndReason;
use denali_abi::errno::Errno;
use denali_abi::hypercall::{CONSOLE_WRITE_MAX, Hypercall, NO_DEADLINE, RANDOM_MAX};
use denali_abi::shared::interrupt::{TIMER, TRANSMIT};

/// Bytes of the console copied at a time.
const CONSOLE_CHUNK: usize = 512;

impl Kernel {
    /// Sends what the transmit ring holds and waits.
    pub(super) fn idle_with_timeout(
        &mut self,
        caller: VmId,
        deadline_ns: u64,
        machine: &mut dyn Machine,
    ) -> Reply {
        let drained = self.drain_transmit(caller, machine);
        match drained {
            Drained::Ended => return Reply::Nothing,
            Drained::OnSwap(at) => {
                return self.again_with_page(caller, Hypercall::IdleWithTimeout, at, machine);
            }
            _ => {}
        }
        let Some(vm) = self.vms.get(caller) else {
            return Reply::Nothing;
        };
        let mut mask = match interrupt::take_for_idle(vm, machine) {
            Taken::ByUpcall => return Reply::Value(0),
            Taken::Mask(mask) => mask,
        };
        if drained == Drained::Partly {
            mask |= TRANSMIT;
        }
        let mut deadline = (deadline_ns != NO_DEADLINE).then(|| vm.host_time(deadline_ns, machine));
        if deadline.is_some_and(|deadline| deadline <= machine.now()) {
            mask |= TIMER;
        }
        let mut wake_on = WakeOn::Interrupt;
        if let Drained::Limited(until) = drained
            && deadline.is_none_or(|deadline| until < deadline)
        {
            (deadline, wake_on) = (Some(until), WakeOn::Rate);
        }
        if mask != 0 {
            return Reply::Value(u64::from(mask));
        }
        self.idle(caller, deadline, wake_on, machine);
        Reply::Nothing
    }

    /// Takes what the block ring holds.
    pub(super) fn submit_blocks(&mut self, caller: VmId, machine: &mut dyn Machine) -> Reply {
        match self.block_submit(caller, machine) {
            Ok(()) => Reply::Value(0),
            Err(at) => self.again_with_page(caller, Hypercall::BlockSubmit, at, machine),
        }
    }

    /// Has the caller make its call again when the page at `address` is there.
    fn again_with_page(
        &mut self,
        caller: VmId,
        call: Hypercall,
        address: u64,
        machine: &mut dyn Machine,
    ) -> Reply {
        if let Some(vm) = self.vms.get(caller) {
            machine.repeat_call(vm.space, call.number());
        }
        self.await_page(caller, address, machine);
        Reply::Nothing
    }

    /// Ends the caller with an exit code.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "an exit code is the low 32 bits"
    )]
    pub(super) fn terminate(
        &mut self,
        caller: VmId,
        code: u64,
        machine: &mut dyn Machine,
    ) -> Reply {
        let code = i64::from((code as u32).cast_signed()).cast_unsigned();
        self.end_vm(caller, EndReason::Terminated, code, machine);
        Reply::Nothing
    }

    /// Gives the rest of the caller's quantum to others.
    pub(super) fn yield_now(&mut self, caller: VmId) -> u64 {
        // Alone there is nobody to give it to.
        if self.ready_vms > 1 {
            self.policies.scheduler.yield_now(caller);
        }
        0
    }

    /// Sends what the transmit ring holds.
    pub(super) fn network_notify(&mut self, caller: VmId, machine: &mut dyn Machine) -> Reply {
        match self.drain_transmit(caller, machine) {
            Drained::Ended => Reply::Nothing,
            Drained::OnSwap(at) => {
                self.again_with_page(caller, Hypercall::NetworkNotify, at, machine)
            }
            Drained::All | Drained::AwaitsNic | Drained::Partly | Drained::Limited(_) => {
                Reply::Value(0)
            }
        }
    }

    /// Appends to the caller's console.
    pub(super) fn console_write(
        &mut self,
        caller: VmId,
        address: u64,
        length: u64,
        machine: &mut dyn Machine,
    ) -> Result<u64, Errno> {
        let bounded = length.min(CONSOLE_WRITE_MAX);
        let length = if cfg!(sabotage = "trust-length") {
            length
        } else {
            bounded
        };
        let is_supervisor = self.supervisor_vm() == Some(caller);
        let mut chunk = [0; CONSOLE_CHUNK];
        let mut taken = 0;
        while taken < length {
            let room = usize_to_u64(CONSOLE_CHUNK).min(length - taken);
            let part = chunk.get_mut(..u64_to_usize(room)).unwrap_or_default();
            let at = address.checked_add(taken).ok_or(Errno::BadAddress)?;
            self.copy_in(caller, at, part, machine)?;
            let vm = self.vms.get_mut(caller).ok_or(Errno::NotFound)?;
            console::append(vm.console, vm.counters.console_written, part, machine);
            vm.counters.console_written += room;
            if is_supervisor {
                machine.log(part);
            }
            taken += room;
        }
        Ok(taken)
    }

    /// Fills the caller's memory with random bytes.
    pub(super) fn random(
        &mut self,
        caller: VmId,
        address: u64,
        length: u64,
        machine: &mut dyn Machine,
    ) -> Result<u64, Errno> {
        let length = length.min(RANDOM_MAX);
        let mut bytes = [0; u64_to_usize(RANDOM_MAX)];
        let part = bytes.get_mut(..u64_to_usize(length)).unwrap_or_default();
        self.random.fill(part);
        self.copy_out(caller, address, part, machine)?;
        Ok(length)
    }

    /// Takes back pages of heap and stacks.
    pub(super) fn release_memory(
        &mut self,
        caller: VmId,
        address: u64,
        pages: u64,
        machine: &mut dyn Machine,
    ) -> Result<u64, Errno> {
        self.view(caller, machine)
            .ok_or(Errno::NotFound)?
            .release(address, pages)
    }
}
