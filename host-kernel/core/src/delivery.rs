//! Handing one frame on, to a VM's ring or to the NIC: whole where whoever gets it takes it so, else
//! with its checksum computed, or cut into segments, on the kernel's copy.

use crate::kernel::Kernel;
use crate::machine::{Machine, NicFull, Offload};
use crate::net::offload::{self, Wish};
use crate::net::ring::Delivery;
use crate::net::switch::{Audience, Destination};
use crate::network::Missed;
use crate::vm::{Vm, VmId};
use denali_abi::control::VmState;
use denali_abi::net::{FRAME_LEN_MAX, flags};
use denali_abi::shared::interrupt::RECEIVE;

/// A frame on its way.
#[derive(Debug)]
pub(crate) struct Parcel<'a> {
    /// The kernel's copy.
    pub(crate) frame: &'a mut [u8],
    /// What is left to do.
    pub(crate) offload: Offload,
    /// How many of its segments have been handed on, if it has to be cut here.
    pub(crate) segments_sent: u16,
}

impl Parcel<'_> {
    /// Computes the checksum if that is all that is left to do.
    pub(crate) fn finish(&mut self) {
        if self.is_super() {
            return;
        }
        if self.offload.flags & flags::CHECKSUM_PARTIAL != 0 {
            offload::finish(self.frame);
        }
        self.offload = Offload::default();
    }

    pub(crate) const fn is_super(&self) -> bool {
        self.offload.segment_size != 0
    }

    const fn wish(&self) -> Wish {
        Wish {
            flags: self.offload.flags,
            segment_size: self.offload.segment_size,
        }
    }

    /// Hands the segments on that are left; stops at the first that is not taken.
    fn cut(&mut self, mut hand_on: impl FnMut(&[u8]) -> bool) -> bool {
        let mut segment = [0; FRAME_LEN_MAX];
        let count = offload::segments(self.frame, &self.offload);
        while usize::from(self.segments_sent) < count {
            let nth = usize::from(self.segments_sent);
            let length = offload::cut(self.frame, &self.offload, nth, &mut segment);
            if !hand_on(segment.get(..length).unwrap_or_default()) {
                return false;
            }
            self.segments_sent += 1;
        }
        true
    }
}

/// Whether a VM takes a frame now.
enum Readiness {
    Ready(VmId),
    /// It is held until the VM is back.
    Asleep(VmId),
    Closed,
}

impl Kernel {
    /// Hands a frame to the NIC, which gets all of it or, if it is cut here, what there is room for.
    pub(crate) fn transmit(
        &mut self,
        parcel: &mut Parcel<'_>,
        machine: &mut dyn Machine,
    ) -> Result<(), NicFull> {
        let done_by_nic = parcel.offload.flags & !machine.nic_offloads() == 0;
        if !done_by_nic && parcel.is_super() {
            let stats = &mut self.stats;
            let all = parcel.cut(|segment| {
                let sent = machine.nic_transmit(segment, Offload::default()).is_ok();
                stats.nic_tx_frames += u64::from(sent);
                sent
            });
            return if all { Ok(()) } else { Err(NicFull) };
        }
        if !done_by_nic {
            parcel.finish();
        }
        machine.nic_transmit(parcel.frame, parcel.offload)?;
        self.stats.nic_tx_frames += 1;
        Ok(())
    }

    /// Sends a frame of the kernel's own, to a VM or to the wire. Returns whether it went.
    pub(crate) fn answer(&mut self, frame: &[u8], machine: &mut dyn Machine) -> bool {
        match self.switch.route_answer(frame) {
            Destination::Vm(to) => self.deliver_from_wire(to, frame, machine),
            Destination::Wire => {
                let sent = machine.nic_transmit(frame, Offload::default()).is_ok();
                self.stats.nic_tx_frames += u64::from(sent);
                sent
            }
            Destination::AllVms { audience, .. } => self.broadcast(audience, None, frame, machine),
            Destination::Nowhere => false,
        }
    }

    /// Delivers a frame to every VM of an audience but one; returns whether any took it.
    pub(crate) fn broadcast(
        &mut self,
        audience: Audience,
        except: Option<u32>,
        frame: &[u8],
        machine: &mut dyn Machine,
    ) -> bool {
        let mut taken = false;
        let mut index = 0;
        // Who sleeps on swap is not woken by what is meant for many.
        while let Some(id) = self.next_present(index) {
            index = id.index() + 1;
            if except != Some(id.index()) && self.switch.hears(id.index(), audience) {
                taken |= self.deliver_from_wire(id.index(), frame, machine);
            }
        }
        taken
    }

    /// Delivers a frame that can wait nowhere, and counts it if it is lost.
    pub(crate) fn deliver_from_wire(
        &mut self,
        to: u32,
        frame: &[u8],
        machine: &mut dyn Machine,
    ) -> bool {
        let delivered = self.deliver_frame(to, frame, machine);
        if !delivered {
            self.count_dropped(to);
        }
        delivered
    }

    pub(crate) fn count_dropped(&mut self, to: u32) {
        if let Some(id) = self.vms.id_at(to) {
            self.count(id, |counters| counters.rx_dropped += 1);
        }
    }

    /// Puts a frame of which nothing is left to do into a VM's receive ring and wakes it; returns
    /// whether there was room.
    pub(crate) fn deliver_frame(
        &mut self,
        to: u32,
        frame: &[u8],
        machine: &mut dyn Machine,
    ) -> bool {
        match self.readiness(to, frame.len(), machine) {
            Readiness::Ready(id) => self.put_whole(id, frame, machine),
            Readiness::Asleep(id) => self.hold(id, frame, machine),
            Readiness::Closed => false,
        }
    }

    /// Puts a frame into a VM's receive ring and wakes it; returns whether there was room for it, or
    /// for what was left of its segments.
    pub(crate) fn deliver_parcel(
        &mut self,
        to: u32,
        parcel: &mut Parcel<'_>,
        machine: &mut dyn Machine,
    ) -> bool {
        // A frame that was begun to be cut is paid for, and goes on so.
        let begun = parcel.segments_sent > 0;
        let length = if begun { 0 } else { parcel.frame.len() };
        let id = match self.readiness(to, length, machine) {
            Readiness::Ready(id) => id,
            Readiness::Asleep(id) if parcel.is_super() => {
                return parcel.cut(|segment| self.hold(id, segment, machine));
            }
            Readiness::Asleep(id) => {
                parcel.finish();
                return self.hold(id, parcel.frame, machine);
            }
            Readiness::Closed => return false,
        };
        let delivery = if begun {
            Some(Delivery::NoBuffer)
        } else {
            self.put(id, parcel.frame, parcel.wish(), machine)
        };
        match delivery {
            Some(Delivery::Filled) => true,
            Some(_) if parcel.is_super() => {
                parcel.cut(|segment| self.put_whole(id, segment, machine))
            }
            Some(Delivery::Unsuited) => {
                parcel.finish();
                self.put_whole(id, parcel.frame, machine)
            }
            Some(Delivery::NoBuffer) | None => false,
        }
    }

    /// Returns whether a VM takes a frame of `length` bytes now, which then counts for its rate; of 0
    /// bytes nothing is counted.
    fn readiness(&mut self, to: u32, length: usize, machine: &mut dyn Machine) -> Readiness {
        let short = self.is_short();
        let Some(id) = self.vms.id_at(to) else {
            return Readiness::Closed;
        };
        let away = |vm: &Vm| vm.state == VmState::Dormant && vm.swap.is_some();
        if self.vms.get(id).is_some_and(away) || self.is_held_fresh(id, machine) {
            return Readiness::Asleep(id);
        }
        let Some(vm) = self.vms.get_mut(id) else {
            return Readiness::Closed;
        };
        let limited = length > 0 && vm.allowance.limits_frames();
        if !vm.is_active()
            || vm.swap.is_some() && short
            || limited && !vm.allowance.take_receive(length, machine.now())
        {
            return Readiness::Closed;
        }
        Readiness::Ready(id)
    }

    /// Puts one frame of which nothing is left to do into a VM's ring; returns whether it is there.
    fn put_whole(&mut self, id: VmId, frame: &[u8], machine: &mut dyn Machine) -> bool {
        self.put(id, frame, Wish::default(), machine) == Some(Delivery::Filled)
    }

    /// Puts one frame into a VM's ring; `None` if the VM ended over it. If the page of its buffer is on
    /// swap, the frame is held until it is there, once nothing is left to do with it.
    fn put(
        &mut self,
        id: VmId,
        frame: &[u8],
        left: Wish,
        machine: &mut dyn Machine,
    ) -> Option<Delivery> {
        if self.vms.get(id).is_some_and(Vm::is_frozen) {
            return Some(Delivery::NoBuffer);
        }
        let held = if self.holds_for(id) {
            Err(Missed::OnSwap(0))
        } else {
            self.with_ring(id, machine, |ring, view| ring.deliver(view, frame, left))
        };
        let delivery = match held {
            Ok(delivery) => delivery,
            Err(Missed::Ended) => return None,
            Err(Missed::OnSwap(_)) if left.flags != 0 => return Some(Delivery::Unsuited),
            Err(Missed::OnSwap(address)) => {
                if address != 0 {
                    self.page_in(id, address, machine);
                }
                return Some(if self.hold_more(id, frame) {
                    Delivery::Filled
                } else {
                    Delivery::NoBuffer
                });
            }
        };
        if delivery == Delivery::Filled {
            self.count(id, |counters| counters.rx_frames += 1);
            self.raise(id, RECEIVE, machine);
        }
        Some(delivery)
    }
}
