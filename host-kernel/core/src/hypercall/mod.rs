//! Hypercalls: one typed decode, one match.
//!
//! A guest's small mistake is an [`Errno`] in its result register; a number that means nothing ends
//! it. `guest.rs` holds what every VM may ask for, `control.rs` and
//! `checkpoint.rs` what only the supervisor may.

mod checkpoint;
mod control;
mod guest;

use crate::fault::Fault;
use crate::kernel::{Handled, Kernel};
use crate::machine::Machine;
use crate::vm::VmId;
use denali_abi::end::EndReason;
use denali_abi::errno::Errno;
use denali_abi::hypercall::Hypercall;

/// What a hypercall gives its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// This result.
    Value(u64),
    /// Nothing: it ended, or waits and gets its result later.
    Nothing,
}

impl Kernel {
    /// Carries out a hypercall and sets its result; says whether the caller may go on at once, as far
    /// as the call is concerned.
    pub(crate) fn hypercall(
        &mut self,
        caller: VmId,
        number: u64,
        arguments: [u64; 6],
        machine: &mut dyn Machine,
    ) -> Handled {
        let Some(call) = Hypercall::from_number(number) else {
            if cfg!(sabotage = "tolerate-numbers") {
                return Handled::Decide;
            }
            self.end_vm(caller, EndReason::BadHypercall, number, machine);
            return Handled::Decide;
        };
        let result = self.dispatch(caller, call, arguments, machine);
        // What the supervisor lacks may be on its way out of memory.
        if result == Err(Errno::OutOfMemory)
            && call.is_control()
            && self.supervisor_vm() == Some(caller)
            && self.is_demanded()
            && let Some(space) = self.vms.get(caller).map(|vm| vm.space)
            && self.stall(caller, machine)
        {
            machine.repeat_call(space, number);
            return Handled::Decide;
        }
        let value = match result {
            Ok(Reply::Nothing) => return Handled::Decide,
            Ok(Reply::Value(value)) => i64::try_from(value).unwrap_or(i64::MAX),
            Err(errno) => -i64::from(errno.code()),
        };
        let Some(vm) = self.vms.get(caller).filter(|vm| vm.is_active()) else {
            return Handled::Decide;
        };
        machine.set_result(vm.space, value);
        match call {
            // What is pending is delivered from now on.
            Hypercall::RegisterUpcall => Handled::Decide,
            // Somebody else is to run, if there is somebody else, or the caller's own upcall.
            Hypercall::Yield if self.ready_vms > 1 || self.is_upcall_due(caller, machine) => {
                Handled::Decide
            }
            _ => Handled::Resume,
        }
    }

    fn dispatch(
        &mut self,
        caller: VmId,
        call: Hypercall,
        arguments: [u64; 6],
        machine: &mut dyn Machine,
    ) -> Result<Reply, Errno> {
        let permitted = self.supervisor_vm() == Some(caller) || cfg!(sabotage = "open-control");
        if call.is_control() && !permitted {
            return Err(Errno::NotPermitted);
        }
        let [first, second, third, fourth, ..] = arguments;
        let value = match call {
            Hypercall::IdleWithTimeout => return Ok(self.idle_with_timeout(caller, first, machine)),
            Hypercall::Terminate => return Ok(self.terminate(caller, first, machine)),
            Hypercall::Yield => self.yield_now(caller),
            Hypercall::NetworkNotify => return Ok(self.network_notify(caller, machine)),
            Hypercall::ConsoleWrite => self.console_write(caller, first, second, machine)?,
            Hypercall::Random => self.random(caller, first, second, machine)?,
            Hypercall::ReleaseMemory => self.release_memory(caller, first, second, machine)?,
            Hypercall::RegisterUpcall => self.register_upcall(caller, first, second)?,
            Hypercall::BlockSubmit => return Ok(self.submit_blocks(caller, machine)),
            Hypercall::ImageCreate => self.image_create(caller, first, machine)?,
            Hypercall::ImageWrite => {
                self.image_write(caller, [first, second, third, fourth], machine)?
            }
            Hypercall::ImageDestroy => self.image_destroy(first)?,
            Hypercall::VmCreate => self.vm_create(caller, first, machine)?,
            Hypercall::VmStop => self.vm_stop(caller, first, second, machine)?,
            Hypercall::VmDestroy => self.vm_destroy(first)?,
            Hypercall::VmStatus => self.vm_status(caller, first, second, machine)?,
            Hypercall::VmNext => self.vm_next(first)?,
            Hypercall::ConsoleRead => {
                self.console_read(caller, [first, second, third, fourth], machine)?
            }
            Hypercall::HostStatus => self.host_status(caller, first, machine)?,
            Hypercall::VmLimits => self.vm_limits(caller, first, second, machine)?,
            Hypercall::StoreOpen => self.store_open(caller, first, machine)?,
            Hypercall::ImageRead => self.image_read(caller, [first, second, third], machine)?,
            Hypercall::VmFreeze => self.vm_freeze(caller, first)?,
            Hypercall::VmThaw => self.vm_thaw(caller, first, second, machine)?,
            Hypercall::VmSave => self.vm_save(caller, first, second, machine)?,
            Hypercall::PageRead => self.page_read(caller, [first, second, third], machine)?,
            Hypercall::VmSucceed => self.vm_succeed(first)?,
            Hypercall::PageWrite => self.page_write(caller, [first, second, third], machine)?,
        };
        Ok(Reply::Value(value))
    }

    /// Copies from the caller's memory.
    pub(crate) fn copy_in(
        &mut self,
        caller: VmId,
        address: u64,
        buffer: &mut [u8],
        machine: &mut dyn Machine,
    ) -> Result<(), Errno> {
        let mut view = self.view(caller, machine).ok_or(Errno::NotFound)?;
        view.copy_in(address, buffer)
            .map_err(|(fault, _)| errno_of(fault))
    }

    /// Copies to the caller's memory.
    fn copy_out(
        &mut self,
        caller: VmId,
        address: u64,
        bytes: &[u8],
        machine: &mut dyn Machine,
    ) -> Result<(), Errno> {
        let mut view = self.view(caller, machine).ok_or(Errno::NotFound)?;
        view.copy_out(address, bytes)
            .map_err(|(fault, _)| errno_of(fault))
    }
}

/// Returns whether a hypercall may take frames.
pub(crate) const fn needs_memory(number: u64) -> bool {
    match Hypercall::from_number(number) {
        Some(call) => !matches!(
            call,
            Hypercall::IdleWithTimeout
                | Hypercall::Terminate
                | Hypercall::Yield
                | Hypercall::ReleaseMemory
        ),
        None => false,
    }
}

/// Returns the error for an argument the caller could not have touched itself.
const fn errno_of(fault: Fault) -> Errno {
    match fault {
        Fault::BadAddress | Fault::AccessViolation | Fault::StackOverflow => Errno::BadAddress,
        Fault::OutOfMemory => Errno::OutOfMemory,
        Fault::OnSwap => Errno::Busy,
    }
}
