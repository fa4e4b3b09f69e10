//! One host, some guests that all want to harm it, and one that must not notice.

use crate::host::{Host, Random, SCRATCH, header, name};
use crate::input::{HEAP_PAGES, address, descriptor, frame, index, length, said};
use core::mem::offset_of;
use core::ops::Add;
use denali_abi::control::{Limits, VmConfig, VmState};
use denali_abi::convert::usize_to_u64;
use denali_abi::errno::Errno;
use denali_abi::hypercall::Hypercall;
use denali_abi::layout::{IMAGE_BASE, PAGE_SIZE, SHARED_ADDRESS};
use denali_abi::net::{NetworkConfig, RING_LEN, addressing};
use denali_abi::shared::SharedPage;
use denali_kernel_core::machine::{Event, Exit, FaultAccess, Machine};
use denali_kernel_core::{Next, VmId};
use zerocopy::IntoBytes;

/// Frames of the host: scarce, so that all ways out of memory are taken.
const FRAMES: u32 = 1024;

/// Guests at a time.
const GUESTS: usize = 12;

/// Of 256 reads of guest memory, how many are told something else.
const LIES_OF_256: u8 = 2;

/// Calls between audits of all counts, and of everything.
const COUNTS_EVERY: u64 = 64;
const AUDIT_EVERY: u64 = 5_000;

/// Where the victim keeps its secret, and what it is.
const SECRET_AT: u64 = SCRATCH + 5 * PAGE_SIZE + 7;
const SECRET: &[u8] = b"nobody may know this";

/// The policies campaigns go through.
const COMMAND_LINES: [&str; 4] = [
    "",
    "scheduler=round-robin queue=drop-tail",
    "gatekeeper=fifo",
    "gatekeeper=fifo scheduler=round-robin",
];

/// What happened.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    /// Hypercalls made.
    pub(crate) calls: u64,
    /// Those with a result.
    pub(crate) answered: u64,
    /// Those with an error.
    pub(crate) refused: u64,
    /// Guests that the kernel ended.
    pub(crate) ended: u64,
    /// Page faults and other exceptions.
    pub(crate) faults: u64,
    /// Frames that went out, and that came in.
    pub(crate) sent: u64,
    pub(crate) arrived: u64,
    /// Audits of everything.
    pub(crate) audits: u64,
}

impl Add for Counts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            calls: self.calls + other.calls,
            answered: self.answered + other.answered,
            refused: self.refused + other.refused,
            ended: self.ended + other.ended,
            faults: self.faults + other.faults,
            sent: self.sent + other.sent,
            arrived: self.arrived + other.arrived,
            audits: self.audits + other.audits,
        }
    }
}

/// A host under attack.
pub(crate) struct Campaign {
    host: Host,
    random: Random,
    victim: VmId,
    guests: Vec<VmId>,
    images: Vec<u64>,
    number: u32,
    counts: Counts,
    next_audit: u64,
}

impl Campaign {
    /// Boots a host with a victim.
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let mut host = Host::boot(FRAMES, random.pick(&COMMAND_LINES));
        let image = host.create_image().expect("there is room");
        let victim = host.create_vm(image, 1);
        assert!(host.write(victim, SECRET_AT, SECRET));
        let deadline = [u64::MAX];
        host.call(victim, Hypercall::IdleWithTimeout, &deadline);
        let shared = host.kernel.vm(victim).expect("it sleeps").shared;
        host.machine.lie(LIES_OF_256, random.next() | 1, shared);
        Self {
            host,
            random,
            victim,
            guests: Vec::new(),
            images: vec![image],
            number: 2,
            counts: Counts::default(),
            next_audit: AUDIT_EVERY,
        }
    }

    /// Returns what happened so far.
    pub(crate) const fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Does something.
    pub(crate) fn step(&mut self) {
        match self.random.below(64) {
            0..28 => self.guest_call(),
            28..44 => self.rings(),
            44..48 => self.fault(),
            48..52 => self.arrive(),
            52..60 => self.control_call(),
            _ => self.time(),
        }
        self.check_wire();
        while self.host.kernel.take_trace().is_some() {}
        self.host.supervisor = self.host.kernel.supervisor_vm().expect("there is one");
        if self.host.state(self.host.supervisor) == Some(VmState::Idle) {
            // It ended, by a lie, and starts anew after a while.
            self.host.machine.advance(64_000_000_000);
            self.host.next();
        }
        if self.counts.calls.is_multiple_of(COUNTS_EVERY) {
            assert_eq!(self.host.kernel.audit_counts(), Ok(()));
            self.replace_ended();
        }
        if self.counts.calls >= self.next_audit {
            self.next_audit = self.counts.calls + AUDIT_EVERY;
            self.audit();
        }
    }

    /// Audits for the last time and returns what happened.
    pub(crate) fn finish(mut self) -> Counts {
        self.audit();
        self.counts
    }

    fn audit(&mut self) {
        self.counts.audits += 1;
        self.host.audit();
        let mut secret = [0; SECRET.len()];
        let space = self.host.space(self.victim);
        let read = self.host.machine.guest_read(space, SECRET_AT, &mut secret);
        assert_eq!((read, &secret[..]), (Ok(()), SECRET));
        for &vm in &self.guests {
            let mut text = [b'T'; 2];
            if self.host.state(vm) != Some(VmState::Ended) {
                let space = self.host.space(vm);
                let read = self.host.machine.guest_read(space, IMAGE_BASE, &mut text);
                assert!(read.is_err() || text == *b"TT", "{vm} runs other text");
            }
        }
    }

    /// Every frame on the wire is from a VM that may send it.
    fn check_wire(&mut self) {
        while let Some(frame) = self.host.machine.take_sent() {
            self.counts.sent += 1;
            let mut vms = Vec::new();
            let mut next = Some(0);
            while let Some(vm) = next.and_then(|index| self.host.kernel.next_vm(index)) {
                next = vm.id.index().checked_add(1);
                vms.push(vm.network.offered(0));
            }
            let sender = vms.iter().find(|vm| vm.mac == frame[6..12]);
            let sender = sender.unwrap_or_else(|| panic!("from nobody: {frame:x?}"));
            if sender.addressing == addressing::STATIC && frame[12..14] == [8, 0] {
                assert_eq!(frame[26..30], sender.address, "{frame:x?}");
            }
        }
    }

    fn ready(&mut self) -> Option<VmId> {
        for _ in 0..4 {
            if self.guests.is_empty() {
                break;
            }
            let vm = self.random.pick(&self.guests);
            if self.host.state(vm) == Some(VmState::Ready) {
                return Some(vm);
            }
        }
        None
    }

    /// Makes a call, and checks that what comes back is a result or a known error.
    fn call(&mut self, vm: VmId, number: u64, arguments: &[u64; 6]) -> Option<i64> {
        self.counts.calls += 1;
        let result = self.host.call_number(vm, number, arguments);
        match result {
            Some(0..) => self.counts.answered += 1,
            Some(error) => {
                self.counts.refused += 1;
                let code = i32::try_from(-error).expect("errors are small");
                assert!(Errno::from_code(code).is_some(), "{error}");
            }
            None => {}
        }
        result
    }

    fn any_call(&mut self, among: fn(Hypercall) -> bool) -> Hypercall {
        loop {
            let call = self.random.pick(&Hypercall::ALL);
            if among(call) {
                return call;
            }
        }
    }

    fn guest_call(&mut self) {
        let Some(vm) = self.ready() else {
            return self.time();
        };
        let call = self.any_call(|call| !call.is_control());
        let number = match self.random.below(64) {
            0 => self.random.next(),
            1 => call.number() + self.random.below(0x200),
            _ => call.number(),
        };
        if call == Hypercall::Terminate && !self.random.once_in(32) {
            return;
        }
        let mut arguments = [(); 6].map(|()| length(&mut self.random));
        match call {
            Hypercall::IdleWithTimeout => {
                let now = self.host.machine.now().as_ns();
                let later = now + self.random.below(10_000_000);
                arguments[0] = self.random.pick(&[0, now, later, later, u64::MAX]);
            }
            Hypercall::ReleaseMemory => {
                let address = address(&mut self.random);
                arguments[0] = address - address % self.random.pick(&[1, PAGE_SIZE, PAGE_SIZE]);
                arguments[1] = self.random.pick(&[0, 1, 5, 4097, arguments[1]]);
            }
            _ => arguments[0] = address(&mut self.random),
        }
        let _answer = self.call(vm, number, &arguments);
    }

    /// Writes indices, descriptors and frames, then crosses.
    fn rings(&mut self) {
        let Some(vm) = self.ready() else {
            return self.time();
        };
        let own = self
            .host
            .kernel
            .vm(vm)
            .expect("it is there")
            .network
            .offered(0);
        let other = self.random.pick(&self.guests);
        let other = self
            .host
            .kernel
            .vm(other)
            .map_or(own, |vm| vm.network.offered(0));
        let mut shared = SharedView::read(&mut self.host, vm);
        for _ in 0..=self.random.below(6) {
            let slot = shared.tx_consumed.wrapping_add(self.random.small(8)) % RING_LEN;
            let descriptor = descriptor(&mut self.random);
            let tx = self.random.below(3) > 0;
            let ring = if tx {
                offset_of!(SharedPage, tx)
            } else {
                offset_of!(SharedPage, rx)
            };
            let slot = if tx {
                slot
            } else {
                self.random.small(RING_LEN)
            };
            let at = SHARED_ADDRESS + usize_to_u64(ring) + u64::from(slot) * 16;
            let in_heap =
                (SCRATCH..SCRATCH + (HEAP_PAGES - 1) * PAGE_SIZE).contains(&descriptor.address);
            let frame = frame(&mut self.random, &own, &other);
            let written = !(tx && in_heap) || self.host.write(vm, descriptor.address, &frame);
            if !written || !self.host.write(vm, at, descriptor.as_bytes()) {
                return;
            }
        }
        shared.tx_produced = index(&mut self.random, shared.tx_consumed);
        shared.rx_posted = index(&mut self.random, shared.rx_filled);
        if !shared.write(&mut self.host, vm) {
            return;
        }
        let deadline = self.host.machine.now().as_ns() + 1_000_000;
        let call = self
            .random
            .pick(&[Hypercall::NetworkNotify, Hypercall::IdleWithTimeout]);
        let answer = self.call(vm, call.number(), &[deadline; 6]);
        assert!(answer.is_none_or(|answer| answer >= 0), "it can only end");
    }

    fn fault(&mut self) {
        let Some(vm) = self.ready() else {
            return self.time();
        };
        self.counts.faults += 1;
        let access = [FaultAccess::Read, FaultAccess::Write, FaultAccess::Execute];
        let exit = if self.random.once_in(16) {
            Exit::Exception {
                vector: self.random.next().to_le_bytes()[0],
                code: self.random.next(),
            }
        } else {
            Exit::PageFault {
                address: address(&mut self.random),
                access: self.random.pick(&access),
                present: self.random.once_in(2),
            }
        };
        let (kernel, machine) = (&mut self.host.kernel, &mut self.host.machine);
        kernel.handle(vm, exit, machine);
    }

    fn arrive(&mut self) {
        let wire = NetworkConfig {
            mac: [0x52, 0x55, 10, 90, 0, 2],
            address: [10, 90, 0, 2],
            ..NetworkConfig::default()
        };
        let Some(to) = self.guests.last() else { return };
        let other = self
            .host
            .kernel
            .vm(*to)
            .map_or(wire, |vm| vm.network.offered(0));
        for _ in 0..=self.random.below(3) {
            self.counts.arrived += 1;
            let frame = frame(&mut self.random, &wire, &other);
            self.host
                .machine
                .arrive_with(&frame, said(&mut self.random));
        }
        let (kernel, machine) = (&mut self.host.kernel, &mut self.host.machine);
        kernel.deliver(Event::NicReceive, machine);
    }

    /// The supervisor asks for something, with arguments that are nearly right.
    fn control_call(&mut self) {
        let call = self.any_call(Hypercall::is_control);
        // No campaign without victim.
        let mut arguments = [(); 6].map(|()| length(&mut self.random));
        let vm = match (self.guests.is_empty(), self.random.below(8)) {
            (true, _) | (_, 0) => self.random.next(),
            (_, 1) => u64::from(self.random.half()),
            _ => self.random.pick(&self.guests).raw(),
        };
        let image = self.random.pick(&self.images);
        arguments[0] = match call {
            Hypercall::ImageWrite | Hypercall::ImageDestroy => image,
            Hypercall::ImageCreate | Hypercall::VmCreate | Hypercall::HostStatus => {
                address(&mut self.random)
            }
            _ => vm,
        };
        if VmId::from_raw(arguments[0]) == Some(self.victim) {
            return;
        }
        for argument in &mut arguments[1..3] {
            if self.random.once_in(2) {
                *argument = address(&mut self.random);
            }
        }
        let supervisor = self.host.supervisor;
        let bytes = match call {
            Hypercall::ImageCreate => header().as_bytes().to_vec(),
            Hypercall::VmCreate => Host::config(image, self.number).as_bytes().to_vec(),
            _ => Limits {
                cpu_weight: self.random.small(20_000),
                cpu_cap: self.random.small(1_200),
                packet_rate: length(&mut self.random),
                byte_rate: length(&mut self.random),
            }
            .as_bytes()
            .to_vec(),
        };
        let at = arguments[usize::from(call == Hypercall::VmLimits)];
        let is_ours = (SCRATCH..SCRATCH + HEAP_PAGES * PAGE_SIZE).contains(&at);
        if is_ours && !self.host.write(supervisor, at, &bytes) {
            // A lie ended it on the way.
            return;
        }
        let result = self.call(supervisor, call.number(), &arguments);
        if call == Hypercall::ImageCreate {
            self.images
                .extend(result.and_then(|id| u64::try_from(id).ok()));
        }
        let Self { host, guests, .. } = self;
        guests.retain(|&vm| host.state(vm).is_some());
    }

    /// Lets time pass, the NIC fill up and empty, and whoever is next run.
    fn time(&mut self) {
        let leap = self
            .random
            .pick(&[100, 1_000_000, 100_000_000, 64_000_000_000]);
        self.host.machine.advance(self.random.below(leap));
        let room = self.random.pick(&[0, 1, 5, usize::MAX]);
        self.host.machine.set_transmit_room(room);
        let (kernel, machine) = (&mut self.host.kernel, &mut self.host.machine);
        if self.random.once_in(2) {
            kernel.deliver(Event::NicTransmit, machine);
        }
        if let Next::Run { vm, .. } = kernel.next(machine.now(), machine) {
            machine.advance(self.random.below(1_000_000));
            kernel.handle(vm, Exit::Interrupted, machine);
        }
    }

    /// Puts new guests in the place of those that ended, and of all when memory is short.
    fn replace_ended(&mut self) {
        let mut vms = Vec::new();
        let mut next = Some(0);
        while let Some(vm) = next.and_then(|index| self.host.kernel.next_vm(index)) {
            next = vm.id.index().checked_add(1);
            if vm.id != self.victim && vm.id != self.host.supervisor {
                vms.push((vm.id, vm.state));
            }
        }
        let crowded = vms.len() > GUESTS + 8;
        for (vm, state) in vms {
            if state != VmState::Ended && !crowded {
                continue;
            }
            self.counts.ended += u64::from(state == VmState::Ended);
            let raw = [vm.raw()];
            let stopped = self.host.control(Hypercall::VmStop, &raw);
            stopped
                .and(self.host.control(Hypercall::VmDestroy, &raw))
                .expect("it exists");
            self.guests.retain(|&guest| guest != vm);
        }
        for image in self.images.split_off(self.images.len().min(3)) {
            if self.host.control(Hypercall::ImageDestroy, &[image]) == Err(Errno::Busy) {
                self.images.push(image);
            }
        }
        while self.guests.len() < GUESTS {
            self.number += 1;
            let config = VmConfig {
                memory_pages: 24 + self.random.small(16),
                name: name("guest"),
                ..Host::config(self.images[0], self.number)
            };
            match self.host.create(&config) {
                Ok(vm) => self.guests.push(vm),
                Err(_) => break,
            }
        }
    }
}

/// The indices of a shared page.
struct SharedView {
    tx_produced: u32,
    tx_consumed: u32,
    rx_posted: u32,
    rx_filled: u32,
}

impl SharedView {
    fn read(host: &mut Host, vm: VmId) -> Self {
        let mut bytes = [0; 16];
        let at = SHARED_ADDRESS + usize_to_u64(offset_of!(SharedPage, tx_produced));
        host.read(vm, at, &mut bytes);
        let word = |at: usize| {
            u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        Self {
            tx_produced: word(0),
            tx_consumed: word(4),
            rx_posted: word(8),
            rx_filled: word(12),
        }
    }

    fn write(&self, host: &mut Host, vm: VmId) -> bool {
        let at = SHARED_ADDRESS + usize_to_u64(offset_of!(SharedPage, tx_produced));
        host.write(vm, at, &self.tx_produced.to_le_bytes())
            && host.write(vm, at + 8, &self.rx_posted.to_le_bytes())
    }
}
