//! Ten thousand VMs on memory for a hundred, from one seed, on disks that lie.

mod host;

use core::mem::offset_of;
use denali_abi::control::VmState;
use denali_abi::convert::{u64_to_usize, usize_to_u64};
use denali_abi::end::EndReason;
use denali_abi::hypercall::Hypercall;
use denali_abi::layout::{PAGE_SIZE, SHARED_ADDRESS};
use denali_abi::net::Descriptor;
use denali_abi::shared::SharedPage;
use denali_kernel_core::machine::Machine;
use denali_kernel_core::machine::fake::DiskFault;
use denali_kernel_core::paging::{Residence, Standing};
use denali_kernel_core::trace::Event;
use denali_kernel_core::{Next, VmId};
use host::{Host, Random, SCRATCH, network};
use zerocopy::IntoBytes;

/// Frames of the host: a hundredth of what the VMs have.
const FRAMES: u32 = 4096;

/// VMs that are created.
const VMS: u32 = 10_000;

/// Frames that arrive for VMs after that.
const ARRIVALS: u32 = 20_000;

/// Steps between full audits.
const AUDIT_EVERY: u32 = 5_000;

/// Receive buffers a guest posts each time it runs.
const BUFFERS: u32 = 4;

/// Where a guest keeps its secret, behind its receive buffers.
const SECRET_AT: u64 = SCRATCH + 16 * PAGE_SIZE;

/// What the simulation knows of a VM.
#[derive(Clone, Copy, Debug, Default)]
struct Model {
    number: u32,
    /// How often its secret changed; 0 if it has none yet.
    version: u64,
    posted: u32,
}

struct Simulation {
    host: Host,
    random: Random,
    /// By the index of the VM.
    models: Vec<Model>,
    ended: u32,
}

impl Simulation {
    fn new(seed: u64, command_line: &str) -> Self {
        let mut host = Host::boot_with_disks(FRAMES, command_line, 2, 1 << 20);
        host.machine.fake_disks().set_seed(seed);
        host.machine.fake_disks().set_latency_ns(20_000, 500_000);
        Self {
            host,
            random: Random(seed),
            models: vec![Model::default(); u64_to_usize(u64::from(VMS)) + 2],
            ended: 0,
        }
    }

    fn secret(model: &Model) -> [u8; 16] {
        let mut secret = [0xab; 16];
        secret[..4].copy_from_slice(&model.number.to_le_bytes());
        secret[8..].copy_from_slice(&model.version.to_le_bytes());
        secret
    }

    /// What a guest does when it runs: looks whether its secret is what it was, changes it at times,
    /// posts receive buffers and waits.
    fn run_guest(&mut self, vm: VmId) {
        let index = u64_to_usize(u64::from(vm.index()));
        let model = self.models[index];
        if model.version > 0 {
            let mut found = [0; 16];
            if !self.host.read(vm, SECRET_AT, &mut found) {
                return;
            }
            assert_eq!(found, Self::secret(&model), "{vm}");
        }
        let mut next = model;
        if model.version == 0 || self.random.below(4) == 0 {
            next.version += 1;
            if !self.host.write(vm, SECRET_AT, &Self::secret(&next)) {
                return;
            }
            self.models[index] = next;
        }
        let filled_at = SHARED_ADDRESS + usize_to_u64(offset_of!(SharedPage, rx_filled));
        let mut filled = [0; 4];
        if !self.host.read(vm, filled_at, &mut filled) {
            return;
        }
        next.posted = u32::from_le_bytes(filled).wrapping_add(BUFFERS);
        for nth in model.posted..next.posted {
            let descriptor = Descriptor {
                address: SCRATCH + u64::from(nth % BUFFERS) * PAGE_SIZE,
                length: 2048,
                ..Descriptor::default()
            };
            let slot = u64::from(nth % denali_abi::net::RING_LEN) * 16;
            let at = SHARED_ADDRESS + usize_to_u64(offset_of!(SharedPage, rx)) + slot;
            if !self.host.write(vm, at, descriptor.as_bytes()) {
                return;
            }
        }
        let posted_at = SHARED_ADDRESS + usize_to_u64(offset_of!(SharedPage, rx_posted));
        if !self.host.write(vm, posted_at, &next.posted.to_le_bytes()) {
            return;
        }
        self.models[index] = next;
        let deadline = match self.random.below(8) {
            0 => self.host.machine.now().as_ns() + self.random.below(2_000_000_000),
            _ => u64::MAX,
        };
        self.host.call(vm, Hypercall::IdleWithTimeout, &[deadline]);
    }

    /// Once round the kernel's loop; whoever is to run does what guests do.
    fn turn(&mut self) {
        match self.host.round() {
            Next::Run { vm, .. } if vm == self.host.supervisor => self.host.compute(vm, 20_000),
            Next::Run { vm, .. } => self.run_guest(vm),
            Next::Idle { until } => self.host.machine.idle_until(until),
        }
        while let Some(event) = self.host.kernel.take_trace() {
            if let Event::VmEnded { reason, .. } = event {
                assert!(
                    matches!(reason, EndReason::DiskError | EndReason::SwapCorrupt),
                    "{event}"
                );
                self.ended += 1;
            }
        }
    }

    fn create(&mut self, image: u64) {
        for number in 1..=VMS {
            let vm = self.host.create_vm(image, number);
            self.models[u64_to_usize(u64::from(vm.index()))].number = number;
            self.turn();
            if number % 1000 == 0 {
                assert_eq!(self.host.kernel.audit_counts(), Ok(()));
            }
        }
    }

    /// Lets the loop turn until nobody is on the way and nobody is wanted.
    fn settle(&mut self) {
        for _ in 0..200_000 {
            self.turn();
            let pending = self.host.machine.fake_disks().under_way();
            if pending == 0 && self.everybody_rests() {
                return;
            }
        }
        panic!("no rest: {:?}", self.host.kernel.paging_stats());
    }

    fn everybody_rests(&self) -> bool {
        let kernel = &self.host.kernel;
        let mut next = Some(0);
        while let Some(vm) = next.and_then(|index| kernel.next_vm(index)) {
            next = vm.id.index().checked_add(1);
            let moves = vm.swap.is_some_and(|swap| {
                swap.standing != Standing::Asleep
                    || matches!(swap.residence, Residence::Leaving | Residence::Entering)
            });
            if moves || vm.swap.is_some() && vm.state == VmState::Ready {
                return false;
            }
        }
        true
    }

    fn arrive_for_somebody(&mut self) {
        // Zipf with exponent 1, near enough: the logarithm of the rank is uniform.
        let octaves = 64 - u64::from(VMS).leading_zeros();
        let octave = self.random.below(u64::from(octaves));
        let rank = self.random.below(1 << (octave + 1));
        let number = 1 + u32::try_from(rank % u64::from(VMS)).expect("few");
        self.host.machine.arrive(&frame_to(network(number).mac));
    }
}

fn frame_to(mac: [u8; 6]) -> Vec<u8> {
    let mut frame = mac.to_vec();
    frame.extend_from_slice(&[0x52, 0x55, 10, 90, 0, 2]);
    frame.extend_from_slice(&[8, 0, 0x45, 0, 0, 28, 0, 0, 0, 0, 64, 253, 0, 0]);
    frame.extend_from_slice(&[10, 90, 0, 2, 10, 90, 0, 3]);
    frame.extend_from_slice(b"datagram");
    frame
}

fn run(command_line: &str, number: u64) -> Simulation {
    let mut simulation = Simulation::new(number, command_line);
    let image = simulation.host.create_image().expect("there is room");
    simulation.create(image);
    simulation.settle();
    simulation.host.audit();
    let disks = simulation.host.machine.fake_disks();
    disks.set_odds(DiskFault::Error, 400);
    disks.set_odds(DiskFault::Flip, 2000);
    disks.set_odds(DiskFault::Torn, 3000);
    disks.set_odds(DiskFault::Stale, 3000);
    disks.set_odds(DiskFault::Misdirected, 3000);
    disks.set_odds(DiskFault::Slow, 500);
    for arrival in 0..ARRIVALS {
        simulation.arrive_for_somebody();
        for _ in 0..3 {
            simulation.turn();
        }
        if arrival % AUDIT_EVERY == 0 {
            simulation.host.audit();
        }
    }
    let disks = simulation.host.machine.fake_disks();
    for fault in DiskFault::ALL {
        disks.set_odds(fault, 0);
    }
    simulation.settle();
    simulation.host.audit();
    simulation
}

#[test]
fn ten_thousand_come_and_go_and_lose_nothing() {
    for policy in [
        "replacement=ws-clock",
        "replacement=clock gatekeeper=working-set",
        "working-set=off cluster=64",
    ] {
        let mut simulation = run(policy, 1);
        let stats = simulation
            .host
            .kernel
            .paging_stats()
            .expect("there are disks");
        let faults = simulation.host.machine.fake_disks().faults();
        println!(
            "{policy}: {} ended of {faults} faults, {stats:?}",
            simulation.ended
        );
        assert!(stats.arrivals > 10_000 && faults > 50 && stats.disk_errors > 20);
        assert!(u64::from(simulation.ended) < faults);
        // Everybody who lives has what it had.
        for number in 1..=VMS {
            simulation
                .host
                .machine
                .arrive(&frame_to(network(number).mac));
            for _ in 0..3 {
                simulation.turn();
            }
        }
        simulation.settle();
        simulation.host.audit();
    }
}
