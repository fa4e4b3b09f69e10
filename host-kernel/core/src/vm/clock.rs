//! A VM's own clock: the host's, or one that goes on where it stood when the VM was saved.
//!
//! How far it is ahead lies in the page of virtual registers, which the kernel alone writes: it is
//! looked at while the VM is in memory, and costs one that sleeps nothing.

use super::Vm;
use crate::machine::Machine;
use crate::time::Time;
use core::mem::offset_of;
use denali_abi::registers::{ClockParameters, VirtualRegisters};
use zerocopy::IntoBytes;

/// Where the base of the monotonic clock lies.
const BASE_OFFSET: usize =
    offset_of!(VirtualRegisters, clock) + offset_of!(ClockParameters, monotonic_base_ns);

impl Vm {
    /// Returns the time at which the clock of this VM, which is in memory, shows `guest_ns`.
    pub(crate) fn host_time(&self, guest_ns: u64, machine: &dyn Machine) -> Time {
        Time::from_ns(guest_ns.saturating_sub_signed(self.clock_ahead_ns(machine)))
    }

    /// Returns what the clock of this VM, which is in memory, shows at a time.
    pub(crate) fn guest_ns(&self, time: Time, machine: &dyn Machine) -> u64 {
        let ahead_ns = self.clock_ahead_ns(machine);
        time.as_ns().saturating_add_signed(ahead_ns)
    }

    /// Lets the clock of this VM, which is in memory, show `guest_ns` now, and the right wall-clock
    /// time.
    pub(crate) fn set_clock(&self, guest_ns: u64, machine: &mut dyn Machine) {
        let ahead_ns = guest_ns.wrapping_sub(machine.now().as_ns());
        let host = machine.clock();
        let clock = ClockParameters {
            monotonic_base_ns: host.monotonic_base_ns.wrapping_add(ahead_ns),
            wall_offset_ns: host.wall_offset_ns.wrapping_sub(ahead_ns),
            ..host
        };
        let at = offset_of!(VirtualRegisters, clock);
        machine.write_frame(self.registers, at, clock.as_bytes());
    }

    fn clock_ahead_ns(&self, machine: &dyn Machine) -> i64 {
        let mut base = [0; size_of::<u64>()];
        machine.read_frame(self.registers, BASE_OFFSET, &mut base);
        let ahead_ns = u64::from_le_bytes(base).wrapping_sub(machine.clock().monotonic_base_ns);
        ahead_ns.cast_signed()
    }
}
