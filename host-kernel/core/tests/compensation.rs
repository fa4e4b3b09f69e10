//! Idle compensation in figures: who gave up its quantum early runs ahead of those who never do.

#![expect(clippy::print_stdout, reason = "figures")]

mod host;

use denali_abi::hypercall::{Hypercall, NO_DEADLINE};
use denali_kernel_core::machine::{Exit, Machine};
use denali_kernel_core::policy::scheduler::{QUANTUM_NS, SLICE_NS_MIN};
use denali_kernel_core::{Next, VmId};
use host::Host;

const HOGS: u32 = 9;

/// Waits of the service that are looked at.
const WAITS: usize = 200;

/// How long the service computes for a request, and how long until the next comes.
const REQUEST_NS: u64 = 1_000_000;
const PAUSE_NS: u64 = 25_000_000;

/// Lets a service that idles early run beside hogs. Returns how long it waited for the CPU each time,
/// sorted, and how much of it the hogs got in thousandths.
fn waits(policies: &str) -> (Vec<u64>, u64) {
    let mut host = Host::boot(2048, policies);
    let image = host.create_image().expect("there is room");
    let service = host.create_vm(image, 1);
    for number in 0..HOGS {
        host.create_vm(image, 2 + number);
    }
    host.call(host.supervisor, Hypercall::IdleWithTimeout, &[NO_DEADLINE]);
    let began = host.machine.now();
    let (mut waits, mut due, mut served_ns) = (Vec::new(), None, 0);
    while waits.len() < WAITS {
        let now = host.machine.now();
        let Next::Run { vm, until, .. } = host.next() else {
            panic!("hogs are ready")
        };
        if vm == service {
            waits.extend(due.map(|due| now.as_ns() - due));
            host.machine.advance(REQUEST_NS);
            served_ns += REQUEST_NS;
            let deadline = host.machine.now().as_ns() + PAUSE_NS;
            host.call(service, Hypercall::IdleWithTimeout, &[deadline]);
            due = Some(deadline);
        } else {
            host.machine.advance(until.since_ns(now));
            host.kernel.handle(vm, Exit::Interrupted, &mut host.machine);
        }
    }
    let total_ns = host.machine.now().since_ns(began);
    waits.sort_unstable();
    (waits, 1000 - served_ns * 1000 / total_ns)
}

#[test]
fn who_idles_early_waits_for_a_slice_and_not_for_nine_quanta() {
    for policies in ["scheduler=round-robin", "scheduler=fair"] {
        let (waits, hogs_share) = waits(policies);
        let [median, p99, worst] = [50, 99, 100].map(|part| waits[(waits.len() - 1) * part / 100]);
        println!(
            "{policies}: waits median {median} ns, p99 {p99} ns, worst {worst} ns; \
             hogs get {hogs_share}/1000"
        );
        assert!(median <= SLICE_NS_MIN, "{policies}: {median} ns");
        if policies == "scheduler=fair" {
            assert!(worst <= SLICE_NS_MIN, "{policies}: {worst} ns");
        } else {
            // Once a quantum is used up, round-robin lets it queue behind everybody: once in ten.
            assert!(waits[waits.len() * 8 / 10] <= SLICE_NS_MIN, "{waits:?}");
            assert!(
                worst <= u64::from(HOGS) * QUANTUM_NS,
                "{policies}: {worst} ns"
            );
        }
        assert!(hogs_share >= 950, "{policies}: hogs get {hogs_share}/1000");
    }
}

#[test]
fn a_hog_that_pretends_to_idle_gains_nothing() {
    for policies in ["scheduler=round-robin", "scheduler=fair"] {
        let mut host = Host::boot(2048, policies);
        let image = host.create_image().expect("there is room");
        let vms: Vec<VmId> = (1..=2)
            .map(|number| host.create_vm(image, number))
            .collect();
        host.call(host.supervisor, Hypercall::IdleWithTimeout, &[NO_DEADLINE]);
        let mut got = [0; 2];
        for _ in 0..4000 {
            let now = host.machine.now();
            match host.next() {
                Next::Run { vm, until, .. } => {
                    // The pretender idles for a moment shortly before its slice is over.
                    let pretends = vm == vms[0];
                    let slice_ns = until.since_ns(now);
                    let ran_ns = if pretends {
                        slice_ns * 9 / 10
                    } else {
                        slice_ns
                    };
                    host.machine.advance(ran_ns);
                    got[usize::from(!pretends)] += ran_ns;
                    if pretends {
                        let deadline = host.machine.now().as_ns() + 1000;
                        host.call(vm, Hypercall::IdleWithTimeout, &[deadline]);
                    } else {
                        host.kernel.handle(vm, Exit::Interrupted, &mut host.machine);
                    }
                }
                Next::Idle { until } => host.machine.idle_until(until),
            }
        }
        let [pretender, honest] = got;
        println!("{policies}: the pretender got {pretender} ns, the honest hog {honest} ns");
        assert!(pretender <= honest * 11 / 10, "{policies}: {got:?}");
    }
}
