//! VMs that wait for room in the NIC, and go on when there is.

use crate::kernel::Kernel;
use crate::machine::Machine;
use crate::network::{Drained, Turn};
use crate::vm::VmId;
use denali_abi::shared::interrupt::TRANSMIT;

/// Turns given per event beyond one for each VM that waits for the NIC: as many as it has room for.
const RESUMED_TURNS_MAX: usize = 256;

/// Where a VM begins to wait for the NIC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Front,
    Back,
}

impl Kernel {
    /// Sends on for the VMs that waited for room in the NIC, each at its own expense.
    pub(crate) fn resume_transmit(&mut self, machine: &mut dyn Machine) {
        let takes_turns = self.policies.queue.takes_turns();
        let turns = if takes_turns {
            self.nic_waiters.len() + RESUMED_TURNS_MAX
        } else {
            self.nic_waiters.len()
        };
        for _ in 0..turns {
            let Some(id) = self.nic_waiters.pop_front() else {
                return;
            };
            let waiting = self
                .vms
                .get_mut(id)
                .filter(|vm| vm.is_active() && vm.awaits_nic);
            let Some(vm) = waiting else { continue };
            vm.awaits_nic = false;
            let since = machine.now();
            let drained = self.drain_turn(id, Turn::Resumed, machine);
            self.charge_since(id, since, machine);
            match drained {
                Drained::AwaitsNic => return,
                Drained::Partly if takes_turns => self.await_nic(id, Place::Back),
                // Its next crossing waits for the page.
                Drained::Partly | Drained::Limited(_) | Drained::OnSwap(_) => {
                    self.raise(id, TRANSMIT, machine);
                }
                Drained::All | Drained::Ended => {}
            }
        }
        // There is room, so the NIC will not ask again: whoever still waits has to.
        while let Some(id) = self.nic_waiters.pop_front() {
            if let Some(vm) = self.vms.get_mut(id) {
                vm.awaits_nic = false;
            }
            self.raise(id, TRANSMIT, machine);
        }
    }

    /// Decides where a VM waits that found no room in the NIC.
    pub(crate) fn place_to_wait(&mut self, id: VmId, turn: Turn) -> Place {
        let waiting = self.nic_waiters.len();
        let queue = self.policies.queue.as_mut();
        let first = match turn {
            // A turn that was cut short goes on when there is room.
            Turn::Resumed => queue.takes_turns(),
            Turn::Crossing => {
                let waits = self.vms.get(id).is_some_and(|vm| vm.awaits_nic);
                !waits && queue.goes_first(id.index(), waiting)
            }
        };
        if first { Place::Front } else { Place::Back }
    }

    /// Lets a VM wait for the NIC, unless it does.
    pub(crate) fn await_nic(&mut self, id: VmId, place: Place) {
        let Some(vm) = self.vms.get_mut(id).filter(|vm| vm.is_active()) else {
            return;
        };
        if !vm.awaits_nic {
            vm.awaits_nic = true;
            match place {
                Place::Front => self.nic_waiters.push_front(id),
                Place::Back => self.nic_waiters.push_back(id),
            }
        }
    }
}
