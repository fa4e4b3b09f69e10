//! What goes wrong, and whether all of it heals.

use super::Simulation;
use crate::host::{Host, SCRATCH, header};
use denali_abi::control::{CAP_WHOLE, Limits, VmConfig, VmState, WEIGHT_MAX, vm_flags};
use denali_abi::convert::u64_to_usize;
use denali_abi::errno::Errno;
use denali_abi::hypercall::Hypercall;
use denali_abi::image::ImageHeader;
use denali_abi::layout::PAGE_SIZE;
use denali_kernel_core::machine::{Event, Exit, Machine};
use denali_kernel_core::{Next, VmId};
use std::collections::BTreeSet;
use zerocopy::IntoBytes;

/// Longest leap of the clock: a machine that was paused for an hour.
const LEAP_NS_MAX: u64 = 3_600_000_000_000;

/// Turns within which a healthy host has let everybody run.
const HEALING_TURNS: usize = 400;

impl Simulation {
    /// Breaks something outside the guests, or asks the kernel for something it has not.
    pub(super) fn break_something(&mut self) {
        match self.random.below(8) {
            0 | 1 => {
                let room = u64_to_usize(self.random.below(6));
                self.host.machine.set_transmit_room(room);
            }
            2 => self.restore_nic(),
            3 => {
                // Reported, but nothing happened.
                let event = [Event::NicReceive, Event::NicTransmit];
                let event = event[u64_to_usize(self.random.below(2))];
                let (kernel, machine) = (&mut self.host.kernel, &mut self.host.machine);
                kernel.deliver(event, machine);
            }
            4 => {
                let leap = LEAP_NS_MAX >> self.random.below(32);
                self.host.machine.advance(self.random.below(leap));
            }
            5 => self.change_limits(),
            6 => self.ask_for_the_gone(),
            _ => self.deploy(),
        }
    }

    /// Lets the NIC take frames again.
    fn restore_nic(&mut self) {
        self.host.machine.set_transmit_room(usize::MAX);
        let (kernel, machine) = (&mut self.host.kernel, &mut self.host.machine);
        kernel.deliver(Event::NicTransmit, machine);
    }

    fn change_limits(&mut self) {
        let Some(vm) = self.any() else { return };
        let limits = Limits {
            cpu_weight: self.small(WEIGHT_MAX + 50),
            cpu_cap: self.small(CAP_WHOLE + 50),
            packet_rate: self.random.below(2000),
            byte_rate: self.random.next() >> self.random.below(64),
        };
        let supervisor = self.host.supervisor;
        self.host.write(supervisor, SCRATCH, limits.as_bytes());
        let set = self.host.control(Hypercall::VmLimits, &[vm.raw(), SCRATCH]);
        let expected = if limits.is_valid() {
            Ok(0)
        } else {
            Err(Errno::Invalid)
        };
        assert_eq!(set, expected, "{limits:?}");
    }

    /// Names VMs and images that are gone or never were.
    fn ask_for_the_gone(&mut self) {
        let Some(vm) = self.any() else { return };
        let gone = vm.raw() + (1 << 32) * (1 + self.random.below(5));
        let calls = [
            Hypercall::VmStop,
            Hypercall::VmDestroy,
            Hypercall::VmStatus,
            Hypercall::VmLimits,
            Hypercall::ConsoleRead,
            Hypercall::ImageDestroy,
        ];
        let call = calls[u64_to_usize(self.random.below(6))];
        let answer = self.host.control(call, &[gone, SCRATCH, SCRATCH, 64]);
        assert_eq!(answer, Err(Errno::NotFound), "{call:?} {gone:#x}");
    }

    /// Deploys an image that nobody keeps: sound or not, written whole or not, run or not.
    fn deploy(&mut self) {
        let supervisor = self.host.supervisor;
        let mut header = header();
        if self.random.below(4) == 0 {
            self.garble_header(&mut header);
        }
        self.host.write(supervisor, SCRATCH, header.as_bytes());
        let Ok(image) = self.host.control(Hypercall::ImageCreate, &[SCRATCH]) else {
            return;
        };
        for page in 0..self.random.below(5) {
            let write = [image, page * PAGE_SIZE, SCRATCH, PAGE_SIZE];
            let written = self.host.control(Hypercall::ImageWrite, &write);
            assert!(
                written.is_ok() || page >= header.content_pages(),
                "{written:?}"
            );
        }
        if self.random.below(2) == 0 {
            // A stranger, or one that takes the place of another and gives it back as it goes.
            let elder = self.any().filter(|_| self.random.below(2) == 0);
            let (number, flags) = match elder.and_then(|vm| self.vms.get(&vm)) {
                Some(model) => (model.number, vm_flags::SUCCESSOR),
                None => (60_000 + self.small(5_000), 0),
            };
            let config = VmConfig {
                memory_pages: 16 + self.small(64),
                flags,
                ..Host::config(image, number)
            };
            if let Ok(vm) = self.host.create(&config) {
                if self.random.below(2) == 0 {
                    let succeeded = self.host.control(Hypercall::VmSucceed, &[vm.raw()]);
                    assert_eq!(succeeded, Ok(0));
                }
                let busy = self.host.control(Hypercall::ImageDestroy, &[image]);
                assert_eq!(busy, Err(Errno::Busy));
                let busy = self.host.control(Hypercall::VmDestroy, &[vm.raw()]);
                assert_eq!(busy, Err(Errno::Busy));
                for call in [Hypercall::VmStop, Hypercall::VmDestroy] {
                    self.host.control(call, &[vm.raw()]).expect("it exists");
                }
            }
        }
        let destroyed = self.host.control(Hypercall::ImageDestroy, &[image]);
        assert_eq!(destroyed, Ok(0));
    }

    fn garble_header(&mut self, header: &mut ImageHeader) {
        let bytes = header.as_mut_bytes();
        let at = u64_to_usize(self.random.below(bytes.len() as u64));
        bytes[at] ^= 1 << self.random.below(8);
    }

    /// Checks that once nothing breaks any more everybody runs who wants to.
    pub(super) fn heal(&mut self) {
        self.restore_nic();
        // What a cap took may be seconds; it is forgotten with the cap.
        let unlimited = Limits::default();
        let supervisor = self.host.supervisor;
        self.host.write(supervisor, SCRATCH, unlimited.as_bytes());
        for vm in self.vms.keys() {
            let set = self.host.control(Hypercall::VmLimits, &[vm.raw(), SCRATCH]);
            assert_eq!(set, Ok(0));
        }
        let waits = |host: &Host, vm: VmId| host.state(vm) == Some(VmState::Ready);
        let vms = self.vms.keys().copied();
        let mut waiting: BTreeSet<_> = vms.filter(|&vm| waits(&self.host, vm)).collect();
        for _ in 0..HEALING_TURNS {
            let (kernel, machine) = (&mut self.host.kernel, &mut self.host.machine);
            match kernel.next(machine.now(), machine) {
                Next::Run { vm, until, .. } => {
                    waiting.remove(&vm);
                    let now = machine.now();
                    machine.advance(until.since_ns(now));
                    kernel.handle(vm, Exit::Interrupted, machine);
                }
                Next::Idle { until } => machine.idle_until(until),
            }
        }
        assert!(waiting.is_empty(), "{waiting:?} never ran");
        self.host.audit();
    }

    fn small(&mut self, end: u32) -> u32 {
        u32::try_from(self.random.below(end.into())).expect("below a small number")
    }

    /// Any hypercall with any arguments that do not move the model's pages.
    pub(super) fn garble_hypercall(&mut self) {
        let Some(vm) = self.ready() else { return };
        let call = Hypercall::ALL[u64_to_usize(self.random.below(Hypercall::ALL.len() as u64))];
        if matches!(call, Hypercall::ReleaseMemory | Hypercall::Random) {
            return;
        }
        let arguments = [(); 6].map(|()| self.random.next() >> self.random.below(64));
        self.host.call(vm, call, &arguments);
    }

    pub(super) fn crash_supervisor(&mut self) {
        if self.random.below(20) == 0 {
            self.host
                .call(self.host.supervisor, Hypercall::Terminate, &[1]);
        }
    }
}
