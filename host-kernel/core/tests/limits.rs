//! Weights, caps and rates, set at creation and at run time, whatever the policies.

mod host;
mod world;

use denali_abi::control::{CAP_WHOLE, Limits, VmConfig, WEIGHT_MAX};
use denali_abi::errno::Errno;
use denali_abi::hypercall::{Hypercall, NO_DEADLINE};
use denali_kernel_core::machine::{Exit, Machine};
use denali_kernel_core::{Next, VmId};
use host::{Host, SCRATCH};
use world::{Kind, World};
use zerocopy::IntoBytes;

/// CPU hogs beside a service.
const HOGS: u32 = 3;

const SECOND_NS: u64 = 1_000_000_000;

const BOTH: [&str; 2] = [
    "scheduler=round-robin queue=drop-tail",
    "scheduler=fair queue=drr",
];

fn weight(cpu_weight: u32) -> Limits {
    Limits {
        cpu_weight,
        ..Limits::default()
    }
}

fn cap(cpu_cap: u32) -> Limits {
    Limits {
        cpu_cap,
        ..Limits::default()
    }
}

fn assert_near(value: u64, due: u64, percent: u64) {
    let error = value.abs_diff(due) * 100;
    assert!(error <= due * percent, "{value} instead of {due}");
}

fn set(host: &mut Host, vm: u64, limits: Limits) -> Result<u64, Errno> {
    host.write(host.supervisor, SCRATCH, limits.as_bytes());
    host.control(Hypercall::VmLimits, &[vm, SCRATCH])
}

#[test]
fn busy_vms_share_by_weight() {
    let guests = [100, 300, 600].map(|part| (Kind::Cpu, weight(part)));
    let mut world = World::new("scheduler=fair", 1, &guests);
    world.run(10 * SECOND_NS);
    for (guest, due) in [SECOND_NS, 3 * SECOND_NS, 6 * SECOND_NS]
        .into_iter()
        .enumerate()
    {
        assert_near(world.charged_ns(guest), due, 2);
    }
}

#[test]
fn a_cap_holds_on_an_idle_host_too() {
    for policies in BOTH {
        let mut world = World::new(policies, 1, &[(Kind::Cpu, cap(250))]);
        world.run(10 * SECOND_NS);
        world.host.audit();
        assert_near(world.charged_ns(0), 10 * SECOND_NS / 4, 3);
    }
}

#[test]
fn a_cap_holds_for_those_who_sleep_and_wake_and_for_the_kernels_work() {
    for policies in BOTH {
        for kind in [Kind::Timers, Kind::Console, Kind::Pages, Kind::Packets] {
            let mut world = World::new(policies, 1, &[(kind, cap(100))]);
            world.run(SECOND_NS);
            world.host.audit();
            let got_ns = world.charged_ns(0);
            assert!(got_ns < SECOND_NS / 10 + 15_000_000, "{kind:?}: {got_ns}");
        }
    }
}

#[test]
fn what_a_capped_vm_leaves_goes_to_the_others() {
    for policies in BOTH {
        let guests = [(Kind::Cpu, cap(100)), (Kind::Cpu, Limits::default())];
        let mut world = World::new(policies, 1, &guests);
        world.run(10 * SECOND_NS);
        assert_near(world.charged_ns(0), SECOND_NS, 3);
        assert_near(world.charged_ns(1), 9 * SECOND_NS, 3);
    }
}

#[test]
fn rates_hold_for_a_sender_that_sleeps_and_one_that_spins() {
    let by_packets = Limits {
        packet_rate: 1000,
        ..Limits::default()
    };
    let by_bytes = Limits {
        byte_rate: 1514 * 500,
        ..Limits::default()
    };
    for policies in BOTH {
        for kind in [Kind::Sender, Kind::Packets] {
            for (limits, due) in [(by_packets, 1000), (by_bytes, 500)] {
                let mut world = World::new(policies, 1, &[(kind, limits)]);
                world.run(2 * SECOND_NS);
                world.host.audit();
                // A tenth of a second's worth goes at once.
                assert_near(world.sent(0), due * 2 + due / 10, 3);
            }
        }
    }
}

#[test]
fn a_sender_beyond_its_rate_sleeps() {
    let limits = Limits {
        packet_rate: 100,
        ..Limits::default()
    };
    let mut world = World::new(BOTH[1], 1, &[(Kind::Sender, limits)]);
    world.run(2 * SECOND_NS);
    let used_ns = world.charged_ns(0);
    assert!(used_ns < SECOND_NS / 20, "{used_ns} ns for 200 frames");
}

#[test]
fn frames_beyond_its_rate_do_not_reach_a_vm() {
    let limits = Limits {
        packet_rate: 20,
        ..Limits::default()
    };
    let mut world = World::new(BOTH[1], 1, &[(Kind::Server, limits)]);
    world.run(2 * SECOND_NS);
    let vm = world.host.kernel.vm(world.vm(0)).expect("it lives");
    assert!(vm.counters.rx_frames <= 43, "{}", vm.counters.rx_frames);
    assert!(vm.counters.rx_dropped >= 150, "{}", vm.counters.rx_dropped);
}

#[test]
fn who_waits_for_the_nic_sends_in_turn_by_bytes() {
    let guests = [(Kind::Packets, Limits::default()); 4];
    let mut world = World::new("queue=drr", 1, &guests);
    world.run(SECOND_NS);
    let sent = [0, 1, 2, 3].map(|guest| world.sent(guest));
    for frames in sent {
        // The first crossing of all, when nobody waited, sent a batch.
        assert!(frames.abs_diff(sent[0]) <= 32, "{sent:?}");
    }
    // A gigabit a second is 81,274 of the longest frames.
    assert_near(sent.iter().sum(), 81_274, 2);
}

#[test]
fn a_service_that_idled_runs_at_once_when_it_wakes() {
    for policies in BOTH {
        let mut host = Host::boot(2048, policies);
        let image = host.create_image().expect("there is room");
        let service = host.create_vm(image, 1);
        for number in 0..HOGS {
            host.create_vm(image, 2 + number);
        }
        host.call(host.supervisor, Hypercall::IdleWithTimeout, &[NO_DEADLINE]);
        let mut asleep_until = None;
        let (mut woken, mut late) = (0, 0);
        for _ in 0..400 {
            let now = host.machine.now();
            let Next::Run { vm, until, .. } = host.kernel.next(now, &mut host.machine) else {
                panic!("hogs are ready")
            };
            let due = asleep_until.is_some_and(|deadline| deadline <= now.as_ns());
            late += u32::from(due && vm != service);
            if vm == service {
                woken += 1;
                host.machine.advance(200_000);
                let deadline = host.machine.now().as_ns() + 15_000_000;
                host.call(vm, Hypercall::IdleWithTimeout, &[deadline]);
                asleep_until = Some(deadline);
            } else {
                host.machine.advance(until.since_ns(now));
                host.kernel.handle(vm, Exit::Interrupted, &mut host.machine);
            }
        }
        assert!(woken >= 50, "{woken} times with {policies}");
        // Round-robin lets it queue once it has used a quantum, after fifty times.
        let quanta = if policies == BOTH[0] { 2 * HOGS } else { 0 };
        assert!(late <= quanta, "{late} late of {woken} with {policies}");
        host.audit();
    }
}

#[test]
fn limits_change_at_run_time_and_are_shown() {
    let mut host = Host::boot(2048, "");
    let image = host.create_image().expect("there is room");
    let limits = Limits {
        cpu_weight: 7,
        cpu_cap: 500,
        packet_rate: 1,
        byte_rate: 2,
    };
    let config = VmConfig {
        limits,
        ..Host::config(image, 1)
    };
    let vm = host.create(&config).expect("sound limits");
    assert_eq!(host.status(vm).expect("it lives").limits, limits);
    assert_eq!(set(&mut host, vm.raw(), Limits::default()), Ok(0));
    assert_eq!(host.status(vm).expect("it lives").limits, Limits::default());
    host.audit();
}

#[test]
fn limits_out_of_range_are_refused() {
    let mut host = Host::boot(2048, "");
    let image = host.create_image().expect("there is room");
    let vm = host.create_vm(image, 1);
    let wrong = [weight(WEIGHT_MAX + 1), cap(CAP_WHOLE + 1)];
    for (number, limits) in (2..).zip(wrong) {
        assert_eq!(set(&mut host, vm.raw(), limits), Err(Errno::Invalid));
        let config = VmConfig {
            limits,
            ..Host::config(image, number)
        };
        assert_eq!(host.create(&config), Err(Errno::Invalid));
    }
    let nobody = VmId::from_raw(1 << 32 | 900).expect("an id").raw();
    assert_eq!(
        set(&mut host, nobody, Limits::default()),
        Err(Errno::NotFound)
    );
    let refused = host.call(vm, Hypercall::VmLimits, &[vm.raw(), SCRATCH]);
    assert_eq!(refused, Some(-i64::from(Errno::NotPermitted.code())));
    host.audit();
}

#[test]
fn a_new_cap_ends_a_pause() {
    let guests = [(Kind::Cpu, cap(10)), (Kind::Cpu, cap(10))];
    let mut world = World::new("", 1, &guests);
    world.run(2 * SECOND_NS);
    let before_ns = world.charged_ns(0);
    world.set_limits(0, Limits::default(), 1);
    world.run(SECOND_NS);
    assert_near(world.charged_ns(0) - before_ns, SECOND_NS, 2);
    world.host.audit();
}
