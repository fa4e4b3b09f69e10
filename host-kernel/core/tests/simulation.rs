//! A host with thousands of VMs, driven at random from one seed, audited as it goes.
//!
//! `DENALI_SEED=n cargo test -p denali-kernel-core --test simulation` repeats a run.

mod host;

use core::mem::offset_of;
use denali_abi::control::{VmConfig, VmState};
use denali_abi::convert::u64_to_usize;
use denali_abi::errno::Errno;
use denali_abi::hypercall::Hypercall;
use denali_abi::layout::{GUEST_END, IMAGE_BASE, PAGE_SIZE, SHARED_ADDRESS};
use denali_abi::net::{Descriptor, RING_LEN};
use denali_abi::shared::SharedPage;
use denali_kernel_core::machine::{Event, Exit, FaultAccess, Machine};
use denali_kernel_core::{Next, VmId};
use host::{Host, LIMIT, Random, SCRATCH, network, seed};
use std::collections::BTreeMap;
use zerocopy::IntoBytes;

/// Frames of the host: room for some 2,000 VMs that use little.
const FRAMES: u32 = 65_536;

/// VMs that live at the same time, at most.
const VMS: usize = 2_500;

/// VMs created before the run.
const VMS_AT_START: u32 = 2_000;

/// Steps of the run. Each has a cheap audit, each [`AUDIT_EVERY`]th a full one.
const STEPS: u32 = 24_000;

/// Steps between full audits.
const AUDIT_EVERY: u32 = 2_000;

/// Where guests keep the buffers of their rings.
const TX_BUFFER: u64 = SCRATCH;
const RX_BUFFER: u64 = SCRATCH + PAGE_SIZE;

/// What the simulation knows of a VM.
#[derive(Clone, Copy, Debug, Default)]
struct Model {
    number: u32,
    tx_produced: u32,
    rx_posted: u32,
    /// The page it wrote its secret to.
    secret_at: Option<u64>,
}

struct Simulation {
    host: Host,
    random: Random,
    image: u64,
    vms: BTreeMap<VmId, Model>,
    next_number: u32,
    frames_seen: u64,
}

impl Simulation {
    fn new(seed: u64) -> Self {
        let mut host = Host::boot(FRAMES, "gatekeeper=fifo");
        let image = host.create_image().expect("there is room");
        let vms = BTreeMap::new();
        Self {
            host,
            random: Random(seed),
            image,
            vms,
            next_number: 1,
            frames_seen: 0,
        }
    }

    fn step(&mut self) {
        match self.random.below(32) {
            0..4 => self.create(),
            4..6 => self.destroy(),
            6..9 => self.touch(),
            9..12 => self.keep_secret(),
            12..14 => self.idle(),
            14..17 => self.transmit(),
            17..20 => self.post_buffers(),
            20..23 => self.arrive(),
            23 => self.lie_about_rings(),
            24 => self.fault(),
            25 => self.release(),
            26 => self.garble_hypercall(),
            27 => self.stop(),
            28 => self.crash_supervisor(),
            _ => self.run(),
        }
        while self.host.kernel.take_trace().is_some() {}
        self.host.supervisor = self.host.kernel.supervisor_vm().expect("there is one");
        if self.host.state(self.host.supervisor) == Some(VmState::Idle) {
            self.host.machine.advance(64_000_000_000);
            self.host.next();
        }
    }

    /// Returns some VM in the state `Ready`.
    fn ready(&mut self) -> Option<VmId> {
        let from = self.random.below(self.vms.len().max(1) as u64);
        let from = u64_to_usize(from);
        let mut near = self.vms.keys().skip(from).take(50);
        near.find(|&&vm| self.host.state(vm) == Some(VmState::Ready))
            .copied()
    }

    /// Returns some VM in any state.
    fn any(&mut self) -> Option<VmId> {
        let from = self.random.below(self.vms.len().max(1) as u64);
        self.vms.keys().nth(u64_to_usize(from)).copied()
    }

    fn create(&mut self) {
        if self.vms.len() >= VMS {
            return self.destroy();
        }
        let number = self.next_number;
        self.next_number += 1;
        let memory_pages = match self.random.below(20) {
            0 => 2000,
            _ => 16 + u32::try_from(self.random.below(u64::from(LIMIT))).expect("small"),
        };
        let config = VmConfig {
            memory_pages,
            ..Host::config(self.image, number)
        };
        match self.host.create(&config) {
            Ok(vm) => {
                self.vms.insert(
                    vm,
                    Model {
                        number,
                        ..Model::default()
                    },
                );
            }
            Err(errno) => assert!(matches!(errno, Errno::OutOfMemory | Errno::TableFull)),
        }
    }

    fn destroy(&mut self) {
        let Some(vm) = self.any() else { return };
        match self.host.control(Hypercall::VmDestroy, &[vm.raw()]) {
            Ok(_) => {
                self.vms.remove(&vm);
            }
            Err(errno) => assert_eq!(errno, Errno::Busy),
        }
    }

    fn stop(&mut self) {
        if let Some(vm) = self.any() {
            self.host
                .control(Hypercall::VmStop, &[vm.raw()])
                .expect("it exists");
        }
    }

    /// Touches a fresh page, which must be zero, and one of text, which must be the image's.
    fn touch(&mut self) {
        let Some(vm) = self.ready() else { return };
        let mut byte = [1];
        let page = 16 + self.random.below(4000);
        if self.host.read(vm, SCRATCH + page * PAGE_SIZE, &mut byte) {
            let untouched = self.vms[&vm].secret_at != Some(SCRATCH + page * PAGE_SIZE);
            assert!(byte == [0] || !untouched, "{vm} sees {byte:?}");
        }
        if self.host.state(vm) == Some(VmState::Ready) && self.host.read(vm, IMAGE_BASE, &mut byte)
        {
            assert_eq!(byte, *b"T");
        }
    }

    /// Writes its own number to a page, and finds it there the next time.
    fn keep_secret(&mut self) {
        let Some(vm) = self.ready() else { return };
        let model = self.vms[&vm];
        let secret = u64::from(model.number).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        if let Some(at) = model.secret_at {
            let mut found = [0; 8];
            if self.host.read(vm, at, &mut found) {
                assert_eq!(u64::from_le_bytes(found), secret, "{vm}");
            }
            return;
        }
        let at = SCRATCH + (16 + self.random.below(4000)) * PAGE_SIZE;
        if self.host.write(vm, at, &secret.to_le_bytes()) {
            self.model(vm).secret_at = Some(at);
        }
    }

    fn idle(&mut self) {
        let Some(vm) = self.ready() else { return };
        let deadline = match self.random.below(3) {
            0 => u64::MAX,
            1 => self.random.next(),
            _ => self.host.machine.now().as_ns() + self.random.below(50_000_000),
        };
        self.host.call(vm, Hypercall::IdleWithTimeout, &[deadline]);
    }

    /// Sends a frame to another VM, to everybody or to the wire; sometimes with a forged source.
    fn transmit(&mut self) {
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
        if forged {
            assert_eq!(
                now.tx_refused,
                sent.tx_refused + 1,
                "{vm} forged its source"
            );
        }
        while let Some(frame) = self.host.machine.take_sent() {
            assert_ne!(frame[6..12], [2, 9, 9, 9, 9, 9], "a forged frame left");
            self.frames_seen += 1;
        }
    }

    fn post_buffers(&mut self) {
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
    fn arrive(&mut self) {
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

    fn lie_about_rings(&mut self) {
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

    fn fault(&mut self) {
        let Some(vm) = self.ready() else { return };
        let access = match self.random.below(3) {
            0 => FaultAccess::Read,
            1 => FaultAccess::Write,
            _ => FaultAccess::Execute,
        };
        let address = match self.random.below(3) {
            0 => self.random.next(),
            1 => self.random.below(GUEST_END),
            _ => self.random.below(IMAGE_BASE + 8 * PAGE_SIZE),
        };
        let exit = match self.random.below(8) {
            0 => Exit::Exception {
                vector: u8::try_from(self.random.below(256)).expect("small"),
                code: 0,
            },
            _ => Exit::PageFault {
                address,
                access,
                present: false,
            },
        };
        self.host.kernel.handle(vm, exit, &mut self.host.machine);
    }

    fn release(&mut self) {
        let Some(vm) = self.ready() else { return };
        let page = 16 + self.random.below(4000);
        let pages = self.random.below(100);
        let at = SCRATCH + page * PAGE_SIZE;
        let released = self.host.call(vm, Hypercall::ReleaseMemory, &[at, pages]);
        assert!(released.is_some_and(|released| released >= 0));
        let model = self.model(vm);
        if model
            .secret_at
            .is_some_and(|secret| (at..at + pages * PAGE_SIZE).contains(&secret))
        {
            model.secret_at = None;
        }
    }

    /// Any hypercall with any arguments that do not move the model's pages.
    fn garble_hypercall(&mut self) {
        let Some(vm) = self.ready() else { return };
        let call = Hypercall::ALL[u64_to_usize(self.random.below(17))];
        if matches!(call, Hypercall::ReleaseMemory | Hypercall::Random) {
            return;
        }
        let arguments = [(); 6].map(|()| self.random.next() >> self.random.below(64));
        self.host.call(vm, call, &arguments);
    }

    fn crash_supervisor(&mut self) {
        if self.random.below(20) == 0 {
            self.host
                .call(self.host.supervisor, Hypercall::Terminate, &[1]);
        }
    }

    /// Runs whoever is next, for a slice.
    fn run(&mut self) {
        let now = self.host.machine.now();
        match self.host.kernel.next(now, &mut self.host.machine) {
            Next::Run { vm, space, until } => {
                let exit = self.host.machine.run(space, until);
                self.host.kernel.handle(vm, exit, &mut self.host.machine);
            }
            Next::Idle { until } => self.host.machine.idle_until(until),
        }
    }

    fn model(&mut self, vm: VmId) -> &mut Model {
        self.vms.get_mut(&vm).expect("the model knows every VM")
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

#[test]
fn every_invariant_holds_at_every_step() {
    let mut simulation = Simulation::new(seed(1));
    for _ in 0..VMS_AT_START {
        simulation.create();
    }
    for step in 0..STEPS {
        simulation.step();
        let counts = simulation.host.kernel.audit_counts();
        assert_eq!(counts, Ok(()), "at step {step}");
        if step % AUDIT_EVERY == 0 {
            simulation.host.audit();
        }
    }
    simulation.host.audit();
    let stats = simulation.host.kernel.stats();
    println!("{} VMs, {stats:?}", simulation.vms.len());
    assert!(simulation.frames_seen > 0 && stats.nic_rx_frames > 0 && stats.vms_ended > 0);
    while let Some((&vm, _)) = simulation.vms.iter().next() {
        simulation
            .host
            .control(Hypercall::VmStop, &[vm.raw()])
            .expect("it exists");
        simulation
            .host
            .control(Hypercall::VmDestroy, &[vm.raw()])
            .expect("it ended");
        simulation.vms.remove(&vm);
    }
    simulation.host.audit();
    let status = simulation.host.host_status();
    assert_eq!(status.vms, 1, "the supervisor is left");
    assert_eq!(
        status.frames_committed,
        u64::from(LIMIT + 2 * host::CONTENT_PAGES)
    );
}
