//! The fair scheduler under test: shares, caps, compensation.

use super::*;

fn vm(index: u64) -> VmId {
    VmId::from_raw(index + 1).expect("not zero")
}

fn index(vm: VmId) -> usize {
    u32_to_usize(vm.index())
}

/// Lets everybody picked run its slice until `total_ns` are used; returns what each VM got.
fn compete<const N: usize>(scheduler: &mut Fair, total_ns: u64) -> [u64; N] {
    let mut got = [0; N];
    while got.iter().sum::<u64>() < total_ns {
        let Choice { vm, slice_ns } = scheduler.pick().expect("somebody is ready");
        scheduler.charge(vm, slice_ns);
        got[index(vm)] += slice_ns;
    }
    got
}

#[test]
fn busy_vms_share_in_proportion_to_their_weights() {
    let mut scheduler = Fair::default();
    let weights = [100, 200, 50, 650];
    for (number, weight) in (0..).zip(weights) {
        scheduler.set_weight(vm(number), weight);
        scheduler.ready(vm(number));
    }
    let got: [u64; 4] = compete(&mut scheduler, 100_000_000_000);
    for (got_ns, weight) in got.into_iter().zip(weights) {
        let due_ns = 100_000_000 * u64::from(weight);
        assert!(
            got_ns.abs_diff(due_ns) <= 2 * QUANTUM_NS,
            "{got_ns} of {due_ns}"
        );
    }
}

#[test]
fn a_new_weight_counts_from_now_on() {
    let mut scheduler = Fair::default();
    for number in 0..2 {
        scheduler.ready(vm(number));
    }
    let _before: [u64; 2] = compete(&mut scheduler, 10_000_000_000);
    scheduler.set_weight(vm(1), 300);
    let [one, three] = compete(&mut scheduler, 40_000_000_000);
    assert!(one.abs_diff(10_000_000_000) <= 2 * QUANTUM_NS, "{one}");
    assert!(three.abs_diff(30_000_000_000) <= 2 * QUANTUM_NS, "{three}");
}

#[test]
fn a_heavier_weight_does_not_make_the_past_longer() {
    let mut scheduler = Fair::default();
    for number in 0..2 {
        scheduler.ready(vm(number));
    }
    scheduler.set_weight(vm(1), 1);
    // A kernel that was busy for it for a second, at a hundredth of the usual weight.
    scheduler.charge(vm(1), 1_000_000_000);
    scheduler.set_weight(vm(1), 100);
    let [other, _] = compete(&mut scheduler, 1_000_000_000 + 2 * QUANTUM_NS);
    assert!(other <= 1_000_000_000 + QUANTUM_NS, "{other} ns alone");
}

#[test]
fn who_idled_runs_at_once_when_it_wakes() {
    let mut scheduler = Fair::default();
    for number in 0..10 {
        scheduler.ready(vm(number));
    }
    scheduler.block(vm(9));
    let _hogs: [u64; 10] = compete(&mut scheduler, 1_000_000_000);
    scheduler.ready(vm(9));
    assert_eq!(scheduler.pick().map(|choice| choice.vm), Some(vm(9)));
}

#[test]
fn a_long_sleep_buys_one_quantum_and_no_more() {
    let mut scheduler = Fair::default();
    for number in 0..2 {
        scheduler.ready(vm(number));
    }
    scheduler.block(vm(1));
    let _alone: [u64; 2] = compete(&mut scheduler, 1_000_000_000_000);
    scheduler.ready(vm(1));
    let [awake, sleeper] = compete(&mut scheduler, 1_000_000_000);
    assert!(
        sleeper.saturating_sub(awake) <= 2 * QUANTUM_NS,
        "{sleeper} against {awake}"
    );
}

#[test]
fn sleepers_in_turn_do_not_starve_a_busy_vm() {
    let mut scheduler = Fair::default();
    scheduler.ready(vm(0));
    let mut got_ns = [0_u64; 10];
    for round in 0..100_000_u64 {
        let sleeper = vm(1 + round % 9);
        scheduler.ready(sleeper);
        let Choice { vm, .. } = scheduler.pick().expect("somebody is ready");
        scheduler.charge(vm, 1_000_000);
        got_ns[index(vm)] += 1_000_000;
        scheduler.block(sleeper);
    }
    let busy_ns = got_ns[0];
    assert!(busy_ns >= 9_900_000_000, "got {busy_ns} ns of its tenth");
}

#[test]
fn a_new_vm_begins_without_credit() {
    let mut scheduler = Fair::default();
    scheduler.ready(vm(0));
    let mut newcomers_ns = 0;
    for number in 1..1000 {
        let newcomer = VmId::from_raw(number << 32 | 2).expect("not zero");
        scheduler.ready(newcomer);
        let Choice { vm, slice_ns } = scheduler.pick().expect("somebody is ready");
        scheduler.charge(vm, slice_ns);
        newcomers_ns += if vm == newcomer { slice_ns } else { 0 };
        scheduler.leave(newcomer);
    }
    assert!(
        newcomers_ns <= 510 * QUANTUM_NS,
        "{newcomers_ns} ns of half"
    );
}

#[test]
fn who_yields_lets_the_next_go_first() {
    let mut scheduler = Fair::default();
    scheduler.ready(vm(0));
    scheduler.yield_now(vm(0));
    assert_eq!(scheduler.pick().map(|choice| choice.vm), Some(vm(0)));
    scheduler.ready(vm(1));
    scheduler.yield_now(vm(0));
    assert_eq!(scheduler.pick().map(|choice| choice.vm), Some(vm(1)));
}

#[test]
fn who_left_is_not_picked_nor_remembered() {
    let mut scheduler = Fair::default();
    scheduler.ready(vm(0));
    scheduler.leave(vm(0));
    scheduler.charge(vm(0), 5);
    scheduler.yield_now(vm(0));
    assert_eq!(scheduler.pick(), None);
    let heir = VmId::from_raw(1 << 32 | 1).expect("not zero");
    scheduler.ready(heir);
    scheduler.leave(vm(0));
    assert_eq!(scheduler.pick().map(|choice| choice.vm), Some(heir));
}
