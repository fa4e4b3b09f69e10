//! Frames between VMs, from and to the wire, and rings that lie.

use super::Simulation;
use crate::host::{SCRATCH, network};
use core::mem::offset_of;
use denali_abi::control::VmState;
use denali_abi::hypercall::Hypercall;
use denali_abi::layout::{PAGE_SIZE, SHARED_ADDRESS};
use denali_abi::net::{Descriptor, RING_LEN};
use denali_abi::shared::SharedPage;
use denali_kernel_core::machine::Event;
use zerocopy::IntoBytes;

/// Where guests keep the buffers of their rings.
const TX_BUFFER: u64 = SCRATCH;
const RX_BUFFER: u64 = SCRATCH + PAGE_SIZE;

impl Simulation {
    /// Sends a frame to another VM, to everybody or to the wire; sometimes with a forged source.
    pub(super) fn transmit(&mut self) {
        let Some(vm) = self.ready() else { return };
        let Some(to) = self.any() else { return };
        let model = self.vms[&vm];
        let destination = match self.random.below(8) {
            0 => [0xff; 6],
            1 => [0x52, 0x55, 10, 90, 0, 2],
            _ => network(self.vms[&to].number).mac,
        };
        let own = network(model.number);
        let forged = self.random.below(8) == 0;
        let source = if forged { [2, 9, 9, 9, 9, 9] } else { own.mac };
        let frame = ipv4_frame(destination, source, own.address);
        let slot = model.tx_produced % RING_LEN;
        let descriptor = Descriptor {
            address: TX_BUFFER,
            length: u32::try_from(frame.len()).expect("small"),
            ..Descriptor::default()
        };
        let at = SHARED_ADDRESS + offset_of!(SharedPage, tx) as u64 + u64::from(slot) * 16;
        let produced = model.tx_produced.wrapping_add(1);
        let index_at = SHARED_ADDRESS + offset_of!(SharedPage, tx_produced) as u64;
        let written = self.host.write(vm, TX_BUFFER, &frame)
            && self.host.write(vm, at, descriptor.as_bytes())
            && self.host.write(vm, index_at, &produced.to_le_bytes());
        if !written {
            return;
        }
        self.model(vm).tx_produced = produced;
        let sent = self.host.kernel.vm(vm).expect("it is there").counters;
        self.host.call(vm, Hypercall::NetworkNotify, &[]);
        let now = self.host.kernel.vm(vm).expect("not destroyed").counters;
        let mut consumed = [0; 4];
        let consumed_at = SHARED_ADDRESS + offset_of!(SharedPage, tx_consumed) as u64;
        // Frames behind one that waits for the NIC, or for the VM's rate, are not looked at.
        if self.host.read(vm, consumed_at, &mut consumed)
            && u32::from_le_bytes(consumed) == produced
            && forged
        {
            assert!(now.tx_refused > sent.tx_refused, "{vm} forged its source");
        }
        while let Some(frame) = self.host.machine.take_sent() {
            assert_ne!(frame[6..12], [2, 9, 9, 9, 9, 9], "a forged frame left");
            self.frames_seen += 1;
        }
    }

    pub(super) fn post_buffers(&mut self) {
        let Some(vm) = self.ready() else { return };
        let model = self.vms[&vm];
        let filled_at = SHARED_ADDRESS + offset_of!(SharedPage, rx_filled) as u64;
        let mut filled = [0; 4];
        if !self.host.read(vm, filled_at, &mut filled) {
            return;
        }
        let posted = u32::from_le_bytes(filled).wrapping_add(RING_LEN);
        for index in model.rx_posted..posted {
            let descriptor = Descriptor {
                address: RX_BUFFER,
                length: 1514,
                ..Descriptor::default()
            };
            let slot = u64::from(index % RING_LEN);
            let at = SHARED_ADDRESS + offset_of!(SharedPage, rx) as u64 + slot * 16;
            if !self.host.write(vm, at, descriptor.as_bytes()) {
                return;
            }
        }
        let index_at = SHARED_ADDRESS + offset_of!(SharedPage, rx_posted) as u64;
        if self.host.write(vm, index_at, &posted.to_le_bytes()) {
            self.model(vm).rx_posted = posted;
        }
    }

    /// Frames come from the wire, for one VM, for nobody or for all.
    pub(super) fn arrive(&mut self) {
        let Some(to) = self.any() else { return };
        let destination = match self.random.below(8) {
            0 => [0xff; 6],
            1 => [2, 1, 1, 1, 1, 1],
            _ => network(self.vms[&to].number).mac,
        };
        let frame = ipv4_frame(destination, [0x52, 0x55, 10, 90, 0, 2], [10, 90, 0, 2]);
        let before = self
            .host
            .kernel
            .vm(to)
            .map(|vm| (vm.counters.rx_frames, vm.state));
        self.host.machine.arrive(&frame);
        self.host
            .kernel
            .deliver(Event::NicReceive, &mut self.host.machine);
        let Some(vm) = self.host.kernel.vm(to) else {
            return;
        };
        if let Some((received, VmState::Idle)) = before
            && vm.counters.rx_frames > received
        {
            assert_eq!(
                vm.state,
                VmState::Ready,
                "{to} sleeps with a frame in its ring"
            );
        }
    }

    pub(super) fn lie_about_rings(&mut self) {
        let Some(vm) = self.ready() else { return };
        let offset = self.random.below(64 / 4) * 4;
        let value = u32::try_from(self.random.next() >> 32).expect("small");
        self.host
            .write(vm, SHARED_ADDRESS + offset, &value.to_le_bytes());
        self.host.call(vm, Hypercall::NetworkNotify, &[]);
        // Its rings are no more what the model thinks.
        self.host
            .control(Hypercall::VmStop, &[vm.raw()])
            .expect("it exists");
    }
}

/// An IPv4 frame with an unknown protocol and a little payload.
fn ipv4_frame(destination: [u8; 6], source: [u8; 6], from: [u8; 4]) -> Vec<u8> {
    let mut frame = Vec::new();
    frame.extend_from_slice(&destination);
    frame.extend_from_slice(&source);
    frame.extend_from_slice(&[8, 0, 0x45, 0, 0, 28, 0, 0, 0, 0, 64, 253, 0, 0]);
    frame.extend_from_slice(&from);
    frame.extend_from_slice(&[10, 90, 0, 2]);
    frame.extend_from_slice(b"datagram");
    frame
}
