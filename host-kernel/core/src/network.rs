//! Frames on their way: from rings and the NIC through the switch to rings and the NIC.
//!
//! A crossing moves as many frames as the queue discipline's budget allows. A frame the NIC has no
//! room for stays in its sender's ring until the NIC reports room.

use crate::delivery::Parcel;
use crate::fault::Fault;
use crate::kernel::Kernel;
use crate::machine::{Machine, Offload};
use crate::memory::address_space::GuestView;
use crate::net::offload;
use crate::net::refusal::Refusal;
use crate::net::ring::{Outgoing, RingState, RingViolation, Room};
use crate::net::switch::Destination;
use crate::policy::queue::{self, Full, Verdict};
use crate::time::Time;
use crate::vm::VmId;
use alloc::boxed::Box;
use core::fmt;
use denali_abi::convert::u32_to_usize;
use denali_abi::end::EndReason;
use denali_abi::net::{FRAME_LEN_MAX, RING_LEN, SUPER_LEN_MAX};
use denali_abi::shared::interrupt::TRANSMIT;

/// Frames taken from the NIC per event; the machine reports the rest again.
///
/// Half a VM's receive ring: a burst for one VM waits in the NIC while the VM empties its ring,
/// instead of being dropped because there is no room in it.
pub(crate) const RECEIVE_BATCH_MAX: usize = u32_to_usize(RING_LEN) / 2;

/// Bytes after which none is taken any more, for the same reason.
const RECEIVE_BYTES: usize = RECEIVE_BATCH_MAX * FRAME_LEN_MAX;

/// Frames for all VMs from the wire per event: each costs a delivery to every VM.
const BROADCASTS_MAX: usize = 4;

/// Where a frame lies between two rings. Taken while in use, so that its user may use the kernel.
#[derive(Default)]
pub(crate) struct Staging(Option<Box<[u8]>>);

impl fmt::Debug for Staging {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Staging(..)")
    }
}

impl Staging {
    fn take(&mut self) -> Box<[u8]> {
        self.0
            .take()
            .unwrap_or_else(|| alloc::vec![0; SUPER_LEN_MAX].into_boxed_slice())
    }
}

/// How far a transmit ring was drained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Drained {
    /// It is empty.
    All,
    /// The rest waits for the NIC.
    AwaitsNic,
    /// The rest waits for the guest's next crossing.
    Partly,
    /// The rest waits until the VM's rate lets it send again.
    Limited(Time),
    /// The rest waits for the page at this address, which is on swap.
    OnSwap(u64),
    /// The guest broke the rules and ended.
    Ended,
}

/// Why nothing was done with a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missed {
    /// The VM ended.
    Ended,
    /// The page at this address is on swap.
    OnSwap(u64),
}

/// On what occasion a VM sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It crossed into the kernel.
    Crossing,
    /// The NIC has room, and it is the VM's turn.
    Resumed,
}

/// What becomes of the next frame of a VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Permission {
    Send,
    /// Its turn is over.
    TurnOver,
    /// Its rate is used up until then.
    Limited(Time),
}

/// What became of a frame that a VM sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sent {
    Done,
    /// To everybody: work enough for one crossing.
    ToAll,
    AwaitsNic,
    AwaitsPeer,
}

impl Kernel {
    /// Sends what the transmit ring of `id` holds, within its budget.
    pub(crate) fn drain_transmit(&mut self, id: VmId, machine: &mut dyn Machine) -> Drained {
        self.drain_turn(id, Turn::Crossing, machine)
    }

    pub(crate) fn drain_turn(
        &mut self,
        id: VmId,
        turn: Turn,
        machine: &mut dyn Machine,
    ) -> Drained {
        let mut buffer = self.staging.take();
        let budget = queue::budget(self.policies.queue.as_mut(), id.index());
        let contended = !self.nic_waiters.is_empty();
        self.policies.queue.begin_turn(id.index(), contended);
        let waits = turn == Turn::Crossing && contended && self.policies.queue.takes_turns();
        let features = self.policies.net_offload.features();
        let mut drained = Drained::Partly;
        for nth in 0..budget {
            let next = self.with_ring(id, machine, |ring, view| {
                ring.next_transmit(view, &mut buffer, features)
            });
            let outgoing = match next {
                Err(Missed::Ended) => return Drained::Ended,
                Err(Missed::OnSwap(address)) => {
                    drained = Drained::OnSwap(address);
                    break;
                }
                Ok(None) => {
                    self.policies.queue.ring_empty(id.index());
                    drained = Drained::All;
                    break;
                }
                Ok(Some(outgoing)) => outgoing,
            };
            let length = outgoing.frame_len();
            let is_first = nth == 0 && !self.policies.queue.takes_turns();
            match self.permission(id, length, is_first, machine) {
                Permission::Send => {}
                Permission::TurnOver => break,
                Permission::Limited(until) => {
                    drained = Drained::Limited(until);
                    break;
                }
            }
            let frame = buffer.get_mut(..length).unwrap_or_default();
            let sent = self.send(id, frame, &outgoing, waits, machine);
            match sent {
                Sent::Done | Sent::ToAll => {}
                Sent::AwaitsNic => {
                    drained = Drained::AwaitsNic;
                    break;
                }
                Sent::AwaitsPeer => break,
            }
            // A frame to others can end them, never its sender.
            if let Some(vm) = self.vms.get_mut(id) {
                vm.ring.consume(outgoing);
                if vm.allowance.limits_frames() {
                    vm.allowance.charge_transmit(length, machine.now());
                }
            }
            if sent == Sent::ToAll {
                break;
            }
        }
        self.staging.0 = Some(buffer);
        match self.with_ring(id, machine, |ring, view| ring.finish_transmit(view)) {
            Err(_) => return Drained::Ended,
            Ok(Room::Regained) => self.raise(id, TRANSMIT, machine),
            Ok(Room::AsBefore) => {}
        }
        if drained == Drained::AwaitsNic {
            let place = self.place_to_wait(id, turn);
            self.await_nic(id, place);
        }
        drained
    }

    /// Decides whether the next frame of a VM may be sent now, or the first one of a turn with a
    /// policy that gives none.
    fn permission(
        &mut self,
        id: VmId,
        length: usize,
        is_first: bool,
        machine: &mut dyn Machine,
    ) -> Permission {
        if let Some(vm) = self.vms.get(id).filter(|vm| vm.allowance.limits_frames())
            && let Err(until) = vm.allowance.may_transmit(machine.now())
        {
            return Permission::Limited(until);
        }
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        if self.policies.queue.may_send(id.index(), length) || is_first {
            Permission::Send
        } else {
            Permission::TurnOver
        }
    }

    /// Moves frames from the NIC to the VMs they are for, at the expense of who gets one.
    pub(crate) fn receive(&mut self, machine: &mut dyn Machine) {
        let mut buffer = self.staging.take();
        let (mut broadcasts, mut bytes) = (0, 0);
        for _ in 0..RECEIVE_BATCH_MAX {
            if broadcasts == BROADCASTS_MAX || bytes > RECEIVE_BYTES {
                break;
            }
            let Some(received) = machine.nic_receive(&mut buffer) else {
                break;
            };
            self.stats.nic_rx_frames += 1;
            bytes += received.length;
            let frame = buffer.get_mut(..received.length).unwrap_or_default();
            let delivered = match offload::accept(frame, received.offload) {
                Ok(offload) => {
                    let mut parcel = Parcel {
                        frame,
                        offload,
                        segments_sent: 0,
                    };
                    self.deliver_received(&mut parcel, &mut broadcasts, machine)
                }
                Err(_refusal) => false,
            };
            if !delivered {
                self.stats.nic_dropped += 1;
            }
        }
        self.staging.0 = Some(buffer);
    }

    /// Hands a frame from the wire to whom it is for; returns whether anybody took it.
    fn deliver_received(
        &mut self,
        parcel: &mut Parcel<'_>,
        broadcasts: &mut usize,
        machine: &mut dyn Machine,
    ) -> bool {
        match self.switch.route_received(parcel.frame) {
            Destination::Vm(to) => {
                let since = machine.now();
                let delivered = self.deliver_parcel(to, parcel, machine);
                if !delivered {
                    self.count_dropped(to);
                }
                if let Some(id) = self.vms.id_at(to) {
                    self.charge_since(id, since, machine);
                }
                delivered
            }
            // TCP has no groups.
            _ if parcel.is_super() => false,
            Destination::AllVms { audience, .. } => {
                *broadcasts += 1;
                parcel.finish();
                self.broadcast(audience, None, parcel.frame, machine)
            }
            Destination::Wire | Destination::Nowhere => self.ask_supervisor(parcel.frame, machine),
        }
    }

    /// Sends one frame of a VM to wherever the switch lets it. If the VM `waits` behind others, no
    /// frame goes to the NIC.
    fn send(
        &mut self,
        from: VmId,
        frame: &mut [u8],
        outgoing: &Outgoing,
        waits: bool,
        machine: &mut dyn Machine,
    ) -> Sent {
        let prepared = offload::prepare(frame, outgoing.wish());
        let prepared = self.switch.record(prepared);
        let checked = prepared.and_then(|offload| {
            let destination = self.check_transmit(from, frame, offload)?;
            Ok((destination, offload))
        });
        let Ok((destination, offload)) = checked else {
            self.count(from, |counters| counters.tx_refused += 1);
            return Sent::Done;
        };
        let mut parcel = Parcel {
            frame,
            offload,
            segments_sent: outgoing.segments_sent(),
        };
        let sent = self.send_to(destination, from, &mut parcel, waits, machine);
        if matches!(sent, Sent::AwaitsNic | Sent::AwaitsPeer)
            && let Some(vm) = self.vms.get_mut(from)
        {
            vm.ring.keep_rest(parcel.segments_sent);
        }
        sent
    }

    fn send_to(
        &mut self,
        destination: Destination,
        from: VmId,
        parcel: &mut Parcel<'_>,
        waits: bool,
        machine: &mut dyn Machine,
    ) -> Sent {
        let index = from.index();
        match destination {
            Destination::Nowhere => {
                self.count(from, |counters| counters.tx_refused += 1);
                return Sent::Done;
            }
            Destination::Vm(to) => {
                let delivered = self.deliver_parcel(to, parcel, machine);
                let full = Full::Peer { from: index, to };
                if !delivered && self.keeps(full) && self.vms.id_at(to).is_some() {
                    return Sent::AwaitsPeer;
                }
                if !delivered {
                    self.count_dropped(to);
                }
            }
            Destination::Wire if waits => return Sent::AwaitsNic,
            Destination::Wire => {
                if self.transmit(parcel, machine).is_err() && self.keeps(Full::Nic { from: index })
                {
                    return Sent::AwaitsNic;
                }
            }
            Destination::AllVms { wire: true, .. } if waits => return Sent::AwaitsNic,
            Destination::AllVms { .. } if !self.policies.queue.may_flood(index, machine.now()) => {
                self.count(from, |counters| counters.tx_refused += 1);
                return Sent::Done;
            }
            Destination::AllVms {
                audience,
                except,
                wire,
            } => {
                parcel.finish();
                // The wire first: if it has to wait, nobody here has heard the frame yet.
                if wire
                    && self.transmit(parcel, machine).is_err()
                    && self.keeps(Full::Nic { from: index })
                {
                    return Sent::AwaitsNic;
                }
                self.broadcast(audience, except, parcel.frame, machine);
                self.count_sent(from, machine);
                return Sent::ToAll;
            }
        }
        self.count_sent(from, machine);
        Sent::Done
    }

    fn keeps(&mut self, full: Full) -> bool {
        queue::verdict(self.policies.queue.as_mut(), full) == Verdict::Keep
    }

    /// Works on a VM's ring; a violation ends the VM. If a page is on swap, nothing was done.
    pub(crate) fn with_ring<T>(
        &mut self,
        id: VmId,
        machine: &mut dyn Machine,
        work: impl FnOnce(&mut RingState, &mut GuestView<'_>) -> Result<T, RingViolation>,
    ) -> Result<T, Missed> {
        let mut view = self.view(id, machine).ok_or(Missed::Ended)?;
        let mut ring = view.vm.ring;
        let result = work(&mut ring, &mut view);
        let fault = view.fault;
        if let (Err(_), Some((Fault::OnSwap, at))) = (&result, fault) {
            return Err(Missed::OnSwap(at));
        }
        view.vm.ring = ring;
        match result {
            Ok(value) => Ok(value),
            Err(_violation) => {
                let (reason, detail) = match fault {
                    Some((Fault::OutOfMemory, at)) => (EndReason::OutOfMemory, at),
                    Some((_, at)) => (EndReason::RingViolation, at),
                    None => (EndReason::RingViolation, 0),
                };
                self.end_vm(id, reason, detail, machine);
                Err(Missed::Ended)
            }
        }
    }

    pub(crate) fn count(&mut self, id: VmId, add: impl FnOnce(&mut crate::vm::Counters)) {
        if let Some(vm) = self.vms.get_mut(id) {
            add(&mut vm.counters);
        }
    }

    fn count_sent(&mut self, from: VmId, machine: &mut dyn Machine) {
        self.count(from, |counters| counters.tx_frames += 1);
        if self.pager.is_some() {
            self.answered(from, machine);
        }
    }

    /// Asks the switch about a frame that a VM sends, and lets the supervisor say who it is.
    fn check_transmit(
        &mut self,
        from: VmId,
        frame: &[u8],
        offload: Offload,
    ) -> Result<Destination, Refusal> {
        if offload.segment_size != 0 {
            return self.switch.check_super_segment(from.index(), frame);
        }
        let answer = self.switch.check_transmit(from.index(), frame);
        let unknown = matches!(answer, Err(Refusal::ArpSender | Refusal::Ipv4Source));
        if unknown && self.adopt_supervisor_address(from, frame) {
            return self.switch.check_transmit(from.index(), frame);
        }
        answer
    }
}
