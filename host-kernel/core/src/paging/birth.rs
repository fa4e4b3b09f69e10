//! VMs that are registered and have never run.
//!
//! Such a VM is its descriptor, its places in the switch and in swap space, and nothing else: no
//! frame is its own and nothing is written. What it begins with are its arguments, which all such VMs
//! of one image have in common. Its frames are made when it is let in; what was sent to it
//! before is handed out when it first waits, for only then can it have buffers and listen.

use super::{GROWTH_FRAMES, Residence, Swap};
use crate::kernel::Kernel;
use crate::machine::Machine;
use crate::trace::Event;
use crate::vm::creation::BootData;
use crate::vm::image::ImageId;
use crate::vm::{Vm, VmId};
use alloc::vec::Vec;
use denali_abi::control::VmState;

/// Frames a new VM asks for, if its limit is not less: what a small service has touched when it
/// begins to wait for its first client.
pub(super) const FIRST_FRAMES: u32 = 48;

/// Most bytes of the heap for arguments of VMs that have not begun.
const BYTES_MAX: usize = 128 * 1024;

/// How much CPU time a VM that has begun and waits for nothing is left without frames, in
/// nanoseconds: its own, for on a busy host a beginner gets little of it.
const FRESH_NS: u64 = 500_000_000;

/// Bytes that arguments cost besides their contents.
const OVERHEAD: usize = 64;

/// Where a VM is in the beginning of its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Birth {
    /// It has never run and has nothing but its descriptor.
    Ahead,
    /// It began from that and has not waited for anything yet.
    Fresh,
    /// It has been in memory.
    Over,
}

/// Returns how many frames a VM that is not in memory asks for.
pub(super) fn frames_wanted(vm: &Vm) -> u32 {
    if vm.birth == Birth::Ahead {
        return vm.memory_pages.min(FIRST_FRAMES);
    }
    vm.swap
        .map_or(0, |swap| swap.frames_needed() + GROWTH_FRAMES)
}

impl Kernel {
    /// Lets a new VM begin later, without frames until then, if it waits for the gatekeeper or for a
    /// packet and there is room for what it begins with.
    pub(crate) fn birth_of(
        &mut self,
        image: ImageId,
        boot: &BootData<'_>,
        swap: Option<&mut Swap>,
        state: VmState,
    ) -> Birth {
        let arguments = boot.arguments;
        // Volumes are given when it is created, and requests need the VM's frames.
        let may_wait = state == VmState::Dormant && boot.volumes.is_empty();
        let waits = swap.filter(|_| may_wait);
        let image = self.images.get_mut(image);
        let Some(((swap, image), pager)) = waits.zip(image).zip(self.pager.as_deref_mut()) else {
            return Birth::Over;
        };
        if image.unborn == 0 {
            let cost = arguments.len() + OVERHEAD;
            let fits = pager.birth_bytes + cost <= BYTES_MAX;
            if !fits || image.birth.try_reserve_exact(arguments.len()).is_err() {
                return Birth::Over;
            }
            image.birth.extend_from_slice(arguments);
            pager.birth_bytes += cost;
        } else if image.birth != arguments {
            return Birth::Over;
        }
        image.unborn += 1;
        swap.residence = Residence::Out;
        Birth::Ahead
    }

    /// Counts one VM of an image fewer that has not begun.
    pub(crate) fn forget_birth(&mut self, image: ImageId) {
        let image = self.images.get_mut(image);
        let Some((image, pager)) = image.zip(self.pager.as_deref_mut()) else {
            return;
        };
        image.unborn -= 1;
        if image.unborn == 0 {
            pager.birth_bytes -= image.birth.len() + OVERHEAD;
            image.birth = Vec::new();
        }
    }

    /// Makes the frames of a VM that was let in and has never run, and lets it run. Returns whether
    /// there is memory for it.
    pub(super) fn bring_forth(&mut self, id: VmId, machine: &mut dyn Machine) -> bool {
        let spare = self.spare();
        let Some((vm, pager)) = self.vms.get_mut(id).zip(self.pager.as_deref_mut()) else {
            return true;
        };
        if frames_wanted(vm).saturating_add(pager.marks.min) > spare {
            return false;
        }
        vm.birth = Birth::Fresh;
        let name = vm.image;
        let Some(image) = self.images.get_mut(name) else {
            return true;
        };
        let (header, arguments) = (*image.header(), core::mem::take(&mut image.birth));
        let boot = BootData {
            arguments: &arguments,
            volumes: &[],
        };
        self.furnish(id, &header, &boot, machine);
        if let Some(image) = self.images.get_mut(name) {
            image.birth = arguments;
        }
        self.forget_birth(name);
        let now = machine.now();
        let Some((vm, pager)) = self.vms.get_mut(id).zip(self.pager.as_deref_mut()) else {
            return true;
        };
        vm.state = VmState::Ready;
        if let Some(swap) = &mut vm.swap {
            pager.arrived(id, swap, now);
        }
        self.become_ready(id);
        self.trace.record(Event::VmAdmitted { vm: id });
        true
    }

    /// Returns whether frames for a VM are held because it has just begun. It gets them when it
    /// first waits, and if it never does, with the first one that comes after it has run for a while.
    pub(crate) fn is_held_fresh(&mut self, id: VmId, machine: &mut dyn Machine) -> bool {
        let Some(vm) = self.vms.get(id).filter(|vm| vm.birth == Birth::Fresh) else {
            return false;
        };
        let is_late = vm.counters.cpu_ns > FRESH_NS;
        if is_late {
            self.end_freshness(id, machine);
        }
        !is_late
    }

    /// Hands out what is held for a VM that is no beginner any more.
    pub(crate) fn end_freshness(&mut self, id: VmId, machine: &mut dyn Machine) {
        if let Some(vm) = self.vms.get_mut(id).filter(|vm| vm.birth == Birth::Fresh) {
            vm.birth = Birth::Over;
            self.hand_out_held(id, machine);
        }
    }

    /// Takes the promises of a VM back that is not created after all and stands in no queue.
    pub(crate) fn unpromise(&mut self, id: VmId, limit: u32, swap: Option<Swap>) {
        self.switch.disconnect(id.index());
        if let Some((swap, pager)) = swap.zip(self.pager.as_deref_mut()) {
            pager.give_back(swap.extent(limit));
        }
    }
}
