//! An hour of virtual time: services come, answer, are paged and go, and nothing is left of them.

mod host;

use denali_abi::control::{VmConfig, VmState};
use denali_abi::hypercall::Hypercall;
use denali_abi::layout::PAGE_SIZE;
use denali_kernel_core::machine::Machine;
use denali_kernel_core::trace::Event;
use denali_kernel_core::{Next, VmId};
use host::seeds::seed;
use host::{Host, Random, SCRATCH, network};

/// Frames of the host: some sixty services fit.
const FRAMES: u32 = 4096;

/// Services at a time, at most.
const SERVICES_MAX: usize = 400;

const HOUR_NS: u64 = 3_600_000_000_000;

/// Between two things that happen.
const EVERY_NS: u64 = 60_000_000;

/// Pages a service writes when it is asked.
const PAGES: u64 = 30;

struct Churn {
    host: Host,
    random: Random,
    image: u64,
    services: Vec<(VmId, u32)>,
    next_number: u32,
}

impl Churn {
    fn new(seed: u64) -> Self {
        let mut host = Host::boot_with_disks(FRAMES, "", 2, 1 << 16);
        host.machine.fake_disks().set_latency_ns(100_000, 8_000_000);
        let image = host.create_image().expect("there is room");
        Self {
            host,
            random: Random(seed),
            image,
            services: Vec::new(),
            next_number: 1,
        }
    }

    fn deploy(&mut self) {
        if self.services.len() >= SERVICES_MAX {
            return;
        }
        let number = self.next_number % 60_000 + 1;
        self.next_number += 1;
        let config = VmConfig {
            memory_pages: 96,
            ..Host::config(self.image, number)
        };
        if let Ok(vm) = self.host.create(&config) {
            self.services.push((vm, number));
        }
    }

    fn remove(&mut self, nth: usize) {
        let (vm, _) = self.services.swap_remove(nth);
        // One that ended by itself is gone already.
        let _ = self.host.control(Hypercall::VmStop, &[vm.raw(), 0]);
        let removed = self.host.control(Hypercall::VmDestroy, &[vm.raw()]);
        assert!(removed.is_ok(), "{vm}: {removed:?}");
    }

    fn happen(&mut self) {
        let Some(services) = self.services.len().checked_sub(1) else {
            return self.deploy();
        };
        let drawn = self.random.below(services as u64 + 1);
        let nth = usize::try_from(drawn).expect("few");
        match self.random.below(16) {
            0 | 1 => self.deploy(),
            2 => self.remove(nth),
            _ => self.host.machine.arrive(&frame_to(self.services[nth].1)),
        }
    }

    /// Lets the loop turn until `end`; whoever runs writes its pages and waits.
    fn run_until(&mut self, end: u64) {
        while self.host.machine.now().as_ns() < end {
            match self.host.round() {
                Next::Run { vm, .. } if vm == self.host.supervisor => {
                    self.host.compute(vm, 2_000_000);
                }
                Next::Run { vm, .. } => self.serve(vm),
                Next::Idle { until } => self.host.machine.idle_until(until),
            }
            while let Some(event) = self.host.kernel.take_trace() {
                let stopped = |event: &Event| format!("{event}").contains("stopped");
                let ended = matches!(event, Event::VmEnded { .. });
                assert!(!ended || stopped(&event), "{event}");
            }
        }
    }

    fn serve(&mut self, vm: VmId) {
        self.host.machine.advance(200_000);
        for page in 0..PAGES {
            let at = SCRATCH + page * PAGE_SIZE;
            if !self.host.write(vm, at, &vm.raw().to_le_bytes()) {
                return;
            }
        }
        self.host.call(vm, Hypercall::IdleWithTimeout, &[u64::MAX]);
    }

    /// Removes everybody and returns what is free then: frames, and blocks of swap space.
    fn empty(&mut self) -> (u64, u64) {
        while !self.services.is_empty() {
            self.remove(0);
        }
        let now = self.host.machine.now().as_ns();
        self.run_until(now + 1_000_000_000);
        self.host.audit();
        let (_, swap_free) = self.host.kernel.swap_space();
        (self.host.host_status().frames_free, swap_free)
    }
}

fn frame_to(number: u32) -> Vec<u8> {
    let mut frame = network(number).mac.to_vec();
    frame.extend_from_slice(&[0x52, 0x55, 10, 90, 0, 2, 8, 0, 0x45]);
    frame.resize(60, 0);
    frame
}

#[test]
fn an_hour_of_churn_leaves_nothing_behind() {
    let seed = seed(1);
    let mut churn = Churn::new(seed);
    // What is made once is made.
    churn.deploy();
    churn.run_until(1_000_000_000);
    let before = churn.empty();
    let mut minute = 0;
    while churn.host.machine.now().as_ns() < HOUR_NS {
        churn.happen();
        let now = churn.host.machine.now().as_ns();
        churn.run_until(now + EVERY_NS);
        if now / 60_000_000_000 > minute {
            minute = now / 60_000_000_000;
            churn.host.audit();
        }
    }
    let asleep = |&(vm, _): &(VmId, u32)| churn.host.state(vm) == Some(VmState::Dormant);
    let sleepers = churn
        .services
        .iter()
        .copied()
        .filter(|it| asleep(it))
        .count();
    let stats = churn.host.kernel.paging_stats().expect("there are disks");
    println!(
        "seed {seed}: {} made, {} there, {sleepers} of them asleep, {stats:?}",
        churn.next_number,
        churn.services.len()
    );
    assert!(
        stats.departures > 1000 && stats.arrivals > 1000,
        "{stats:?}"
    );
    assert_eq!(churn.empty(), before, "what is left of them");
}
