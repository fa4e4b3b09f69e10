//! Hosts driven at random from a seed, audited as they go.
//!
//! One has thousands of VMs; thousands of others are small, so that everything runs out, and break down
//! in ways of their own ([`faults`]): and all of them heal when the faults stop.
//!
//! ```console
//! $ cargo test -p denali-kernel-core --test simulation                              # 4,000 seeds
//! $ DENALI_SEEDS=1000000 cargo test -p denali-kernel-core --test simulation small   # a million
//! $ DENALI_SEED=n DENALI_SEEDS=1 cargo test -p denali-kernel-core --test simulation small # one again
//! ```

mod faults;
#[path = "../host/mod.rs"]
mod host;
mod traffic;

use denali_abi::control::{VmConfig, VmState};
use denali_abi::convert::u64_to_usize;
use denali_abi::errno::Errno;
use denali_abi::hypercall::Hypercall;
use denali_abi::layout::{GUEST_END, IMAGE_BASE, PAGE_SIZE};
use denali_kernel_core::machine::{Exit, FaultAccess, Machine};
use denali_kernel_core::{Next, VmId};
use host::seeds::{count, run_all, seed, seeds};
use host::{Host, LIMIT, Random, SCRATCH};
use std::collections::BTreeMap;

/// How large a host is, and how long it runs.
#[derive(Clone, Copy, Debug)]
struct Scale {
    /// Frames of memory.
    frames: u32,
    /// VMs that live at the same time, at most.
    vms: usize,
    /// VMs created before the run.
    vms_at_start: u32,
    /// Steps of the run. Each has a cheap audit.
    steps: u32,
    /// Steps between full audits.
    audit_every: u32,
}

/// Room for some 2,000 VMs that use little.
const LARGE: Scale = Scale {
    frames: 65_536,
    vms: 2_500,
    vms_at_start: 2_000,
    steps: 24_000,
    audit_every: 2_000,
};

/// Room for hardly ten.
const SMALL: Scale = Scale {
    frames: 1_024,
    vms: 24,
    vms_at_start: 8,
    steps: 500,
    audit_every: 50,
};

/// Small hosts simulated in the normal run.
const SEEDS: u64 = 4_000;

/// The policies that small hosts go through.
const POLICIES: [&str; 4] = [
    "",
    "scheduler=round-robin queue=drop-tail",
    "gatekeeper=fifo",
    "gatekeeper=fifo scheduler=round-robin",
];

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
    vms_max: usize,
    breaks_down: bool,
}

impl Simulation {
    fn new(seed: u64, scale: Scale, policies: &str) -> Self {
        let mut host = Host::boot(scale.frames, policies);
        let image = host.create_image().expect("there is room");
        let mut simulation = Self {
            host,
            random: Random(seed),
            image,
            vms: BTreeMap::new(),
            next_number: 1,
            frames_seen: 0,
            vms_max: scale.vms,
            breaks_down: false,
        };
        for _ in 0..scale.vms_at_start {
            simulation.create();
        }
        simulation
    }

    /// Does something, `scale.steps` times, and checks every invariant.
    fn run_steps(&mut self, scale: Scale) {
        for step in 0..scale.steps {
            self.step();
            let counts = self.host.kernel.audit_counts();
            assert_eq!(counts, Ok(()), "at step {step}");
            if step % scale.audit_every == 0 {
                self.host.audit();
            }
        }
        self.host.audit();
    }

    fn step(&mut self) {
        if self.breaks_down && self.random.below(4) == 0 {
            self.break_something();
        }
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
        if self.vms.len() >= self.vms_max {
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
            Err(errno) => assert!(matches!(
                errno,
                Errno::OutOfMemory | Errno::TableFull | Errno::TooLarge
            )),
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

    /// Ends and frees every VM; nothing may be left but the supervisor.
    fn tear_down(&mut self) {
        while let Some((&vm, _)) = self.vms.iter().next() {
            let raw = [vm.raw()];
            self.host
                .control(Hypercall::VmStop, &raw)
                .expect("it exists");
            self.host
                .control(Hypercall::VmDestroy, &raw)
                .expect("it ended");
            self.vms.remove(&vm);
        }
        self.host.audit();
        let status = self.host.host_status();
        assert_eq!(status.vms, 1, "the supervisor is left");
        // It may use a twelfth of the host if that is more than its image asks for.
        let supervisor = u64::from(LIMIT).max(status.frames_total / 12);
        let images = u64::from(2 * host::CONTENT_PAGES);
        assert_eq!(status.frames_committed, supervisor + images);
    }
}

#[test]
fn every_invariant_holds_at_every_step() {
    let mut simulation = Simulation::new(seed(1), LARGE, "gatekeeper=fifo");
    simulation.run_steps(LARGE);
    let stats = simulation.host.kernel.stats();
    println!("{} VMs, {stats:?}", simulation.vms.len());
    assert!(simulation.frames_seen > 0 && stats.nic_rx_frames > 0 && stats.vms_ended > 0);
    simulation.tear_down();
}

#[test]
fn small_hosts_break_down_and_heal() {
    let seeds = seeds(count("DENALI_SEEDS", SEEDS));
    let repeat = "DENALI_SEEDS=1 cargo test -p denali-kernel-core --test simulation small";
    let run = |seed| {
        let policies = POLICIES[u64_to_usize(seed % 4)];
        let mut simulation = Simulation::new(seed, SMALL, policies);
        simulation.breaks_down = true;
        simulation.run_steps(SMALL);
        simulation.breaks_down = false;
        simulation.heal();
        simulation.tear_down();
    };
    run_all(seeds, repeat, run, |(), ()| ());
}
