//! Upcalls: pending interrupts delivered into the middle of whatever a VM does.
//!
//! Where the frame goes and what it says is decided here ([`denali_abi::upcall`] is the contract).
//! It is written as the guest itself would write it, page by page through the kernel's own alias, so
//! a bad stack ends the VM as if it had touched it; a bad entry ends it when it gets there. The kernel
//! keeps nothing of an upcall: a guest may nest them as deep as its stack is.

use super::{Vm, VmId, interrupt};
use crate::fault::Fault;
use crate::kernel::Kernel;
use crate::machine::{Machine, Position};
use crate::time::Time;
use core::num::NonZeroU32;
use denali_abi::convert::usize_to_u64;
use denali_abi::errno::Errno;
use denali_abi::layout::{GUEST_END, IMAGE_BASE};
use denali_abi::upcall::{RED_ZONE, STACK_LEN, UpcallFrame};
use zerocopy::IntoBytes;

/// Frames lie at multiples of this.
const FRAME_ALIGNMENT: u64 = 16;

/// Where a VM wants its interrupts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upcall {
    entry: NonZeroU32,
    /// 0 means the stack that was interrupted.
    stack_top: u32,
}

const _: () = assert!(size_of::<Option<Upcall>>() == 8);

/// The VM cannot run now: its upcall could not be delivered, so it was ended, or waits for the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotNow;

impl Upcall {
    /// Returns what a guest registers with these arguments; `None` if it wants no upcalls.
    ///
    /// # Errors
    ///
    /// [`Errno::BadAddress`] for an entry that no image can hold or a stack outside of the address
    /// space, [`Errno::Invalid`] for a stack that is not aligned to 16 bytes or has no entry.
    pub fn from_arguments(entry: u64, stack_top: u64) -> Result<Option<Self>, Errno> {
        let narrow = |address: u64, end: u64| {
            let inside = address == 0 || (IMAGE_BASE..end).contains(&address);
            let narrow = u32::try_from(address).map_err(|_| Errno::BadAddress)?;
            inside.then_some(narrow).ok_or(Errno::BadAddress)
        };
        let entry = NonZeroU32::new(narrow(entry, GUEST_END)?);
        let stack_top = narrow(stack_top, GUEST_END + 1)?;
        let is_aligned = u64::from(stack_top).is_multiple_of(FRAME_ALIGNMENT);
        match entry {
            _ if !is_aligned => Err(Errno::Invalid),
            None if stack_top != 0 => Err(Errno::Invalid),
            None => Ok(None),
            Some(entry) => Ok(Some(Self { entry, stack_top })),
        }
    }

    /// Returns the arguments with which a guest registers this.
    pub(crate) fn arguments(upcall: Option<Self>) -> (u64, u64) {
        let both = |it: Self| (u64::from(it.entry.get()), u64::from(it.stack_top));
        upcall.map_or((0, 0), both)
    }

    /// Returns where the frame goes when the guest was interrupted with this stack pointer, which
    /// may be anything: so may be the answer.
    const fn frame_address(self, rsp: u64) -> u64 {
        let top = self.stack_top as u64;
        let is_nested = rsp <= top && top - rsp < STACK_LEN;
        let end = if top == 0 || is_nested {
            rsp.wrapping_sub(RED_ZONE)
        } else {
            top
        };
        end.wrapping_sub(usize_to_u64(size_of::<UpcallFrame>())) & !(FRAME_ALIGNMENT - 1)
    }
}

impl Kernel {
    /// Registers an upcall, or ends that.
    pub(crate) fn register_upcall(
        &mut self,
        caller: VmId,
        entry: u64,
        stack_top: u64,
    ) -> Result<u64, Errno> {
        let upcall = Upcall::from_arguments(entry, stack_top)?;
        self.vms.get_mut(caller).ok_or(Errno::NotFound)?.upcall = upcall;
        Ok(0)
    }

    /// Returns whether a VM is to get an upcall for what is pending now.
    pub(crate) fn is_upcall_due(&self, id: VmId, machine: &dyn Machine) -> bool {
        let takes_upcalls = |vm: &&Vm| vm.upcall.is_some();
        let vm = self.vms.get(id).filter(takes_upcalls);
        vm.is_some_and(|vm| interrupt::state(vm.shared, machine).is_deliverable())
    }

    /// Delivers what is pending to a VM that is about to run, if it takes upcalls now. Returns when
    /// its timer wants it next.
    pub(crate) fn deliver_upcall(
        &mut self,
        id: VmId,
        now: Time,
        machine: &mut dyn Machine,
    ) -> Result<Option<Time>, NotNow> {
        let Some(vm) = self.vms.get(id) else {
            return Err(NotNow);
        };
        let Some(upcall) = vm.upcall else {
            return Ok(None);
        };
        let (space, shared) = (vm.space, vm.shared);
        let mut state = interrupt::state(shared, machine);
        let mut timer = state.timer_ns.map(|ns| vm.host_time(ns.get(), machine));
        if timer.is_some_and(|timer| timer <= now) {
            timer = None;
            state.pending |= interrupt::expire_timer(shared, machine);
        }
        if !state.is_deliverable() {
            return Ok(timer);
        }
        let interrupted = machine.interrupted(space);
        let frame = UpcallFrame {
            pending: u64::from(state.pending),
            ..interrupted
        };
        let address = upcall.frame_address(interrupted.rsp);
        let written = self
            .view(id, machine)
            .map(|mut view| view.copy_out(address, frame.as_bytes()));
        match written {
            Some(Err((Fault::OnSwap, at))) => {
                self.await_page(id, at, machine);
                return Err(NotNow);
            }
            Some(Err((fault, at))) => {
                self.end_vm(id, fault.into(), at, machine);
                return Err(NotNow);
            }
            Some(Ok(())) | None => {}
        }
        interrupt::delivered(shared, machine);
        let position = Position {
            rip: u64::from(upcall.entry.get()),
            rsp: address,
        };
        machine.divert(space, position);
        if let Some(vm) = self.vms.get_mut(id) {
            vm.counters.upcalls = vm.counters.upcalls.saturating_add(1);
        }
        Ok(timer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use denali_abi::layout::INITIAL_STACK_TOP;

    #[test]
    fn only_what_a_guest_can_have_is_registered() {
        for bad in [1, IMAGE_BASE - 1, GUEST_END + 1, 1 << 47, u64::MAX] {
            let (entry, stack) = (IMAGE_BASE, INITIAL_STACK_TOP);
            assert_eq!(Upcall::from_arguments(bad, stack), Err(Errno::BadAddress));
            assert_eq!(Upcall::from_arguments(entry, bad), Err(Errno::BadAddress));
        }
        let (entry, stack) = (IMAGE_BASE, INITIAL_STACK_TOP - 8);
        assert_eq!(Upcall::from_arguments(entry, stack), Err(Errno::Invalid));
        assert_eq!(Upcall::from_arguments(0, GUEST_END), Err(Errno::Invalid));
        assert_eq!(Upcall::from_arguments(0, 0), Ok(None));
        assert!(matches!(
            Upcall::from_arguments(entry, GUEST_END),
            Ok(Some(_))
        ));
    }

    #[test]
    fn the_frame_leaves_the_red_zone_alone_on_the_interrupted_stack() {
        let of = |stack_top| {
            let upcall = Upcall::from_arguments(IMAGE_BASE, stack_top);
            upcall.expect("good").expect("registered")
        };
        let here = of(0);
        for rsp in [INITIAL_STACK_TOP, INITIAL_STACK_TOP - 7, 0x1234_5678] {
            let address = here.frame_address(rsp);
            assert!(address.is_multiple_of(16));
            assert!((176..192).contains(&(rsp - address)), "{rsp:#x}");
        }
        let top = INITIAL_STACK_TOP;
        let own = of(top);
        assert_eq!(own.frame_address(0x0100_0000), top - 48);
        assert_eq!(own.frame_address(top + 16), top - 48);
        assert_eq!(own.frame_address(top - STACK_LEN), top - 48);
        assert_eq!(own.frame_address(top), top - 176);
        assert_eq!(own.frame_address(top - 4096), top - 4096 - 176);
        // Far outside of what a guest can have, whatever it was.
        for rsp in [0, 8, 127, 1 << 63, u64::MAX] {
            assert!(here.frame_address(rsp) >= 1 << 62, "{rsp:#x}");
        }
    }
}
