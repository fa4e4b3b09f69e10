//! VMs that are registered and have never run.
//!
//! Such a VM is its descriptor, its places in the switch and in swap space, and nothing else: no
//! frame is its own and nothing is written. What it begins with are its arguments, which VMs of one
//! image share while they are equal. Its frames are made when it is let in; what was sent to it
//! before is handed out when it first waits, for only then can it have buffers and listen.

use super::{GROWTH_FRAMES, Residence, Standing, Swap};
use crate::kernel::Kernel;
use crate::machine::Machine;
use crate::trace::Event;
use crate::vm::image::ImageId;
use crate::vm::{Vm, VmId};
use alloc::sync::Arc;
use alloc::vec::Vec;
use denali_abi::control::VmState;

/// Frames a new VM asks for, if its limit is not less: what a small service has touched when it
/// begins to wait for its first client.
pub(super) const FIRST_FRAMES: u32 = 48;

/// Most bytes of the heap for arguments of VMs that have not begun.
const BYTES_MAX: usize = 128 * 1024;

/// How long a VM that has begun and waits for nothing is left without frames, in nanoseconds.
const FRESH_NS: u64 = 500_000_000;

/// Bytes that arguments cost besides their contents.
const OVERHEAD: usize = 64;

/// What a VM begins with.
#[derive(Debug, PartialEq, Eq)]
pub struct Birth {
    arguments: Vec<u8>,
}

impl Birth {
    fn cost(&self) -> usize {
        self.arguments.len() + OVERHEAD
    }
}

/// Returns how many frames a VM that is not in memory asks for.
pub(super) fn frames_wanted(vm: &Vm) -> u32 {
    if vm.birth.is_some() {
        return vm.memory_pages.min(FIRST_FRAMES);
    }
    vm.swap
        .map_or(0, |swap| swap.frames_needed() + GROWTH_FRAMES)
}

impl Kernel {
    /// Returns what a new VM begins with if it needs no frames yet: it waits for the gatekeeper or
    /// for a packet, and there is room for its arguments.
    pub(crate) fn birth_of(
        &mut self,
        image: ImageId,
        arguments: &[u8],
        swap: Option<&mut Swap>,
        state: VmState,
    ) -> Option<Arc<Birth>> {
        let swap = swap.filter(|_| state == VmState::Dormant)?;
        let pager = self.pager.as_deref_mut()?;
        let image = self.images.get_mut(image)?;
        let last = image.birth.as_ref();
        let birth = match last.filter(|birth| birth.arguments == arguments) {
            Some(birth) => Arc::clone(birth),
            None => {
                let mut copy = Vec::new();
                copy.try_reserve_exact(arguments.len()).ok()?;
                copy.extend_from_slice(arguments);
                let birth = Birth { arguments: copy };
                if pager.birth_bytes + birth.cost() > BYTES_MAX {
                    return None;
                }
                pager.birth_bytes += birth.cost();
                let birth = Arc::new(birth);
                let replaced = image.birth.replace(Arc::clone(&birth));
                self.forget_birth(replaced);
                birth
            }
        };
        swap.residence = Residence::Out;
        Some(birth)
    }

    /// Gives back what a VM or an image kept for a birth.
    pub(crate) fn forget_birth(&mut self, birth: Option<Arc<Birth>>) {
        if let Some(birth) = birth.and_then(Arc::into_inner)
            && let Some(pager) = &mut self.pager
        {
            pager.birth_bytes -= birth.cost();
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
        let header = self.images.get(vm.image).map(|image| *image.header());
        let Some((birth, header)) = vm.birth.take().zip(header) else {
            return true;
        };
        self.furnish(id, &header, &birth.arguments, machine);
        self.forget_birth(Some(birth));
        let now = machine.now();
        let Some((vm, pager)) = self.vms.get_mut(id).zip(self.pager.as_deref_mut()) else {
            return true;
        };
        vm.state = VmState::Ready;
        vm.is_fresh = true;
        pager.hand.push_back(id);
        if let Some(swap) = &mut vm.swap {
            pager.stats.arrivals += 1;
            pager.stats.wake_ns += now.since_ns(swap.since);
            swap.residence = Residence::In;
            swap.standing = Standing::Asleep;
            swap.since = now;
        }
        self.become_ready(id);
        self.trace.record(Event::VmAdmitted { vm: id });
        true
    }

    /// Returns whether frames for a VM are held because it has just begun. It gets them when it
    /// first waits, and if it never does, with the first one that comes after a while.
    pub(crate) fn is_held_fresh(&mut self, id: VmId, machine: &mut dyn Machine) -> bool {
        let Some(vm) = self.vms.get(id).filter(|vm| vm.is_fresh) else {
            return false;
        };
        let since = vm.swap.map_or(vm.counters.created, |swap| swap.since);
        let is_late = machine.now().since_ns(since) > FRESH_NS;
        if is_late {
            self.end_freshness(id, machine);
        }
        !is_late
    }

    /// Hands out what is held for a VM that is no beginner any more.
    pub(crate) fn end_freshness(&mut self, id: VmId, machine: &mut dyn Machine) {
        if let Some(vm) = self.vms.get_mut(id).filter(|vm| vm.is_fresh) {
            vm.is_fresh = false;
            self.hand_out_held(id, machine);
        }
    }

    /// Takes the promises of a VM back that is not created after all and stands in no queue.
    pub(crate) fn unpromise(&mut self, id: VmId, swap: Option<Swap>) {
        self.switch.disconnect(id.index());
        if let Some((swap, pager)) = swap.zip(self.pager.as_deref_mut()) {
            pager.give_back(swap.extent);
        }
    }
}
