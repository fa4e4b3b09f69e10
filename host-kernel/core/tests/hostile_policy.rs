//! Policies that answer at random must not break isolation, nor stop anybody for good.

mod host;

use denali_abi::control::{VmConfig, VmState};
use denali_abi::convert::u64_to_usize;
use denali_abi::hypercall::Hypercall;
use denali_kernel_core::machine::Machine;
use denali_kernel_core::policy::gatekeeper::{Gatekeeper, Request, Verdict};
use denali_kernel_core::policy::queue::{self, Full, QueueDiscipline};
use denali_kernel_core::policy::scheduler::{Choice, QUANTUM_NS, SLICE_NS_MIN, Scheduler};
use denali_kernel_core::{Next, VmId};
use host::seeds::seed;
use host::{Host, Random, SCRATCH};

/// Answers anything, among it ids that never existed.
#[derive(Debug)]
struct Whim(Random);

impl Whim {
    fn id(&mut self) -> Option<VmId> {
        let raw = match self.0.below(4) {
            0 => self.0.next(),
            1 => self.0.below(8) << 32 | self.0.below(64),
            _ => self.0.below(64),
        };
        VmId::from_raw(raw)
    }
}

impl Gatekeeper for Whim {
    fn arrive(&mut self, _: Request, _: u32) -> Verdict {
        match self.0.below(3) {
            0 => Verdict::Refuse,
            1 => Verdict::Wait,
            _ => Verdict::Admit,
        }
    }

    fn leave(&mut self, _: VmId) {}

    fn next(&mut self, _: u32) -> Option<VmId> {
        self.id()
    }
}

impl Scheduler for Whim {
    fn ready(&mut self, _: VmId) {}

    fn block(&mut self, _: VmId) {}

    fn leave(&mut self, _: VmId) {}

    fn charge(&mut self, _: VmId, _: u64) {}

    fn yield_now(&mut self, _: VmId) {}

    fn pick(&mut self) -> Option<Choice> {
        let slice_ns = self.0.next() >> self.0.below(64);
        self.id().map(|vm| Choice { vm, slice_ns })
    }
}

impl QueueDiscipline for Whim {
    fn transmit_budget(&mut self, _: u32) -> u32 {
        u32::try_from(self.0.next() >> 32).expect("small")
    }

    fn on_full(&mut self, _: Full) -> queue::Verdict {
        if self.0.below(2) == 0 {
            queue::Verdict::Keep
        } else {
            queue::Verdict::Drop
        }
    }
}

#[test]
fn whims_cost_speed_only() {
    let seed = seed(1);
    let mut host = Host::boot_with(4096, "", |policies| {
        policies.gatekeeper = Box::new(Whim(Random(seed)));
        policies.scheduler = Box::new(Whim(Random(seed + 1)));
        policies.queue = Box::new(Whim(Random(seed + 2)));
    });
    let mut random = Random(seed + 3);
    let image = host.create_image().expect("there is room");
    let mut vms = Vec::new();
    for number in 1..400 {
        let pages = 20 + u32::try_from(random.below(300)).expect("small");
        let config = VmConfig {
            memory_pages: pages,
            ..Host::config(image, number)
        };
        vms.extend(host.create(&config));
        let victim = vms[u64_to_usize(random.below(vms.len() as u64))];
        match (random.below(4), host.state(victim)) {
            (0, Some(VmState::Ready)) => {
                host.call(victim, Hypercall::Terminate, &[0]);
            }
            (1, Some(VmState::Ready)) => {
                host.call(victim, Hypercall::IdleWithTimeout, &[number.into()]);
            }
            (2, Some(VmState::Ready)) => {
                host.write(victim, SCRATCH + random.below(1 << 20), b"x");
            }
            (3, Some(_)) => {
                host.control(Hypercall::VmStop, &[victim.raw()])
                    .expect("it exists");
            }
            _ => {}
        }
        let now = host.machine.now();
        if let Next::Run { vm, until, .. } = host.kernel.next(now, &mut host.machine) {
            assert_eq!(host.state(vm), Some(VmState::Ready));
            let slice = until.since_ns(now);
            assert!(slice <= QUANTUM_NS, "a slice of {slice} ns");
            host.machine.advance(slice.max(1));
        }
        host.audit();
    }
    assert!(host.kernel.stats().scheduler_refused > 0);
    assert!(host.kernel.stats().gatekeeper_refused > 0);
}

/// Never picks anybody.
#[derive(Debug)]
struct Idler;

impl Scheduler for Idler {
    fn ready(&mut self, _: VmId) {}

    fn block(&mut self, _: VmId) {}

    fn leave(&mut self, _: VmId) {}

    fn charge(&mut self, _: VmId, _: u64) {}

    fn yield_now(&mut self, _: VmId) {}

    fn pick(&mut self) -> Option<Choice> {
        None
    }
}

#[test]
fn a_scheduler_that_picks_nobody_stops_nobody() {
    let mut host = Host::boot_with(2048, "", |policies| policies.scheduler = Box::new(Idler));
    let image = host.create_image().expect("there is room");
    for number in 1..10 {
        host.create_vm(image, number);
    }
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..10 {
        let now = host.machine.now();
        let Next::Run { vm, until, .. } = host.kernel.next(now, &mut host.machine) else {
            panic!("all are ready")
        };
        assert_eq!(until.since_ns(now), SLICE_NS_MIN);
        seen.insert(vm);
        host.machine.advance(SLICE_NS_MIN);
    }
    assert_eq!(seen.len(), 10);
}
