//! Upcalls: what is delivered when and where, and what a hostile guest can make of it.

mod host;

use denali_abi::control::VmState;
use denali_abi::end::EndReason;
use denali_abi::errno::Errno;
use denali_abi::hypercall::{Hypercall, NO_DEADLINE};
use denali_abi::layout::{
    GUEST_END, IMAGE_BASE, INITIAL_STACK_TOP, PAGE_SIZE, REGISTERS_ADDRESS, SHARED_ADDRESS,
    SMALL_STACKS_BASE,
};
use denali_abi::shared::{SharedPage, interrupt};
use denali_abi::upcall::UpcallFrame;
use denali_kernel_core::VmId;
use denali_kernel_core::kernel::{Handled, Next};
use denali_kernel_core::machine::{Exit, Machine, Position};
use denali_kernel_core::policy::scheduler::{QUANTUM_NS, SLICE_NS_MIN};
use host::{DATA, Host, SCRATCH};
use std::mem::offset_of;
use zerocopy::{FromZeros, IntoBytes};

const ENABLED: u64 = SHARED_ADDRESS + offset_of!(SharedPage, interrupts_enabled) as u64;
const PENDING: u64 = SHARED_ADDRESS + offset_of!(SharedPage, pending) as u64;
const TIMER: u64 = SHARED_ADDRESS + offset_of!(SharedPage, timer_ns) as u64;

/// Where the guests of these tests take upcalls.
const ENTRY: u64 = IMAGE_BASE + 64;

/// Where they are interrupted.
const INTERRUPTED: Position = Position {
    rip: IMAGE_BASE + 32,
    rsp: INITIAL_STACK_TOP - 0x1008,
};

/// A host whose supervisor waits, so that the one VM is next whenever it is ready.
fn host() -> (Host, VmId) {
    let mut host = Host::boot(1024, "");
    let image = host.create_image().expect("there is room");
    let vm = host.create_vm(image, 1);
    host.call(
        host.supervisor,
        Hypercall::IdleWithTimeout,
        &[NO_DEADLINE, 0],
    );
    let space = host.space(vm);
    host.machine.set_position(space, INTERRUPTED);
    (host, vm)
}

fn register(host: &mut Host, vm: VmId, stack_top: u64) {
    let result = host.call(vm, Hypercall::RegisterUpcall, &[ENTRY, stack_top]);
    assert_eq!(result, Some(0));
}

fn word(host: &mut Host, vm: VmId, address: u64) -> u32 {
    let mut bytes = [0; 4];
    assert!(host.read(vm, address, &mut bytes));
    u32::from_le_bytes(bytes)
}

fn set(host: &mut Host, vm: VmId, address: u64, value: u32) {
    assert!(host.write(vm, address, &value.to_le_bytes()));
}

/// Lets the kernel decide; the VM must be next. Returns the frame if it got an upcall.
fn dispatch(host: &mut Host, vm: VmId) -> Option<UpcallFrame> {
    let next = host.next();
    assert!(matches!(next, Next::Run { vm: chosen, .. } if chosen == vm));
    let space = host.space(vm);
    let Position { rip, rsp } = host.machine.position(space);
    if rip != ENTRY {
        return None;
    }
    let mut frame = UpcallFrame::new_zeroed();
    assert!(host.read(vm, rsp, frame.as_mut_bytes()));
    Some(frame)
}

fn end_of(host: &Host, vm: VmId) -> (Option<EndReason>, u64) {
    let end = host
        .kernel
        .vm(vm)
        .expect("not destroyed")
        .end
        .as_deref()
        .expect("it ended")
        .record;
    (EndReason::from_code(end.reason), end.detail)
}

#[test]
fn all_that_is_pending_comes_in_one_batch_once_enabled() {
    let (mut host, vm) = host();
    register(&mut host, vm, 0);
    let both = interrupt::RECEIVE | interrupt::TRANSMIT;
    set(&mut host, vm, PENDING, both);
    assert_eq!(dispatch(&mut host, vm), None);
    set(&mut host, vm, ENABLED, 1);
    let frame = dispatch(&mut host, vm).expect("an upcall");
    assert_eq!(frame.pending, u64::from(both));
    assert_eq!((frame.rip, frame.rsp), (INTERRUPTED.rip, INTERRUPTED.rsp));
    assert_eq!(word(&mut host, vm, ENABLED), 0);
    assert_eq!(word(&mut host, vm, PENDING), 0);
    let at = host.machine.position(host.space(vm)).rsp;
    assert!(at.is_multiple_of(16) && at + 48 + 128 <= INTERRUPTED.rsp);
    // Once, and not again before the guest says so.
    set(&mut host, vm, PENDING, both);
    let space = host.space(vm);
    host.machine.set_position(space, INTERRUPTED);
    assert_eq!(dispatch(&mut host, vm), None);
    assert_eq!(host.kernel.vm(vm).unwrap().counters.upcalls, 1);
    host.audit();
}

#[test]
fn who_yields_alone_is_told_what_is_pending() {
    let (mut host, vm) = host();
    register(&mut host, vm, 0);
    assert_eq!(dispatch(&mut host, vm), None);
    set(&mut host, vm, PENDING, interrupt::RECEIVE);
    while host.kernel.take_trace().is_some() {}
    let yields = || Exit::Hypercall {
        number: Hypercall::Yield.number(),
        arguments: [0; 6],
    };
    let handled = host
        .kernel
        .handle_or_resume(vm, yields(), &mut host.machine);
    assert_eq!(handled, Handled::Resume);
    set(&mut host, vm, ENABLED, 1);
    let handled = host
        .kernel
        .handle_or_resume(vm, yields(), &mut host.machine);
    assert_eq!(handled, Handled::Decide);
    assert!(dispatch(&mut host, vm).is_some());
}

#[test]
fn who_registered_nothing_or_no_longer_is_left_alone() {
    let (mut host, vm) = host();
    set(&mut host, vm, PENDING, interrupt::RECEIVE);
    set(&mut host, vm, ENABLED, 1);
    assert_eq!(dispatch(&mut host, vm), None);
    register(&mut host, vm, 0);
    assert_eq!(host.call(vm, Hypercall::RegisterUpcall, &[0, 0]), Some(0));
    assert_eq!(dispatch(&mut host, vm), None);
}

#[test]
fn bits_the_kernel_does_not_know_are_no_interrupt() {
    let (mut host, vm) = host();
    register(&mut host, vm, 0);
    set(&mut host, vm, ENABLED, u32::MAX);
    set(&mut host, vm, PENDING, 0xffff_ff80);
    assert_eq!(dispatch(&mut host, vm), None);
    set(&mut host, vm, PENDING, u32::MAX);
    let frame = dispatch(&mut host, vm).expect("an upcall");
    assert_eq!(frame.pending, 0x7f);
}

#[test]
fn a_registered_stack_is_used_from_its_top_and_nests() {
    let (mut host, vm) = host();
    let top = SMALL_STACKS_BASE + 5 * 0x1_0000;
    register(&mut host, vm, top);
    for depth in 1..4 {
        set(&mut host, vm, ENABLED, 1);
        set(&mut host, vm, PENDING, interrupt::RECEIVE);
        let space = host.space(vm);
        let before = host.machine.position(space);
        host.machine
            .set_position(space, Position { rip: 0, ..before });
        let frame = dispatch(&mut host, vm).expect("an upcall");
        assert_eq!(frame.rsp, before.rsp);
        let at = host.machine.position(space).rsp;
        assert_eq!(at, top - 48 - (depth - 1) * 176);
    }
    host.audit();
}

#[test]
fn the_timer_ends_the_slice_and_is_delivered_then() {
    let (mut host, vm) = host();
    register(&mut host, vm, 0);
    set(&mut host, vm, ENABLED, 1);
    let due = host.machine.now().plus_ns(QUANTUM_NS / 2);
    assert!(host.write(vm, TIMER, &due.as_ns().to_le_bytes()));
    let Next::Run { until, space, .. } = host.next() else {
        panic!("nobody runs")
    };
    assert_eq!(until, due);
    let exit = host.machine.run(space, until);
    assert_eq!(exit, Exit::Interrupted);
    host.kernel.handle(vm, exit, &mut host.machine);
    let frame = dispatch(&mut host, vm).expect("an upcall");
    assert_eq!(frame.pending, u64::from(interrupt::TIMER));
    assert_eq!(word(&mut host, vm, TIMER), 0);
}

#[test]
fn a_timer_storm_costs_its_vm_no_more_than_the_shortest_slices() {
    let (mut host, vm) = host();
    register(&mut host, vm, 0);
    for due in [host.machine.now().as_ns() + 1, 1, u64::MAX] {
        set(&mut host, vm, ENABLED, 1);
        assert!(host.write(vm, TIMER, &due.to_le_bytes()));
        let now = host.machine.now();
        let Next::Run { until, .. } = host.next() else {
            panic!("nobody runs")
        };
        assert!(until.since_ns(now) >= SLICE_NS_MIN);
        assert!(until.since_ns(now) <= QUANTUM_NS);
    }
}

#[test]
fn a_masked_timer_waits_in_the_pending_mask() {
    let (mut host, vm) = host();
    register(&mut host, vm, 0);
    assert!(host.write(vm, TIMER, &1_u64.to_le_bytes()));
    host.machine.advance(1);
    assert_eq!(dispatch(&mut host, vm), None);
    assert_eq!(word(&mut host, vm, PENDING), interrupt::TIMER);
    assert_eq!(word(&mut host, vm, TIMER), 0);
}

#[test]
fn idling_returns_what_no_upcall_tells() {
    let (mut host, vm) = host();
    register(&mut host, vm, 0);
    set(&mut host, vm, PENDING, interrupt::RECEIVE);
    let masked = host.call(vm, Hypercall::IdleWithTimeout, &[NO_DEADLINE]);
    assert_eq!(masked, Some(i64::from(interrupt::RECEIVE)));
    set(&mut host, vm, PENDING, interrupt::RECEIVE);
    set(&mut host, vm, ENABLED, 1);
    let enabled = host.call(vm, Hypercall::IdleWithTimeout, &[NO_DEADLINE]);
    assert_eq!(enabled, Some(0));
    let frame = dispatch(&mut host, vm).expect("an upcall");
    assert_eq!(frame.pending, u64::from(interrupt::RECEIVE));
}

#[test]
fn a_bad_stack_ends_the_vm_with_what_is_wrong_with_it() {
    let cases = [
        (0, EndReason::BadAddress),
        (100, EndReason::BadAddress),
        (1 << 47, EndReason::BadAddress),
        (0xffff_8000_0000_1000, EndReason::BadAddress),
        (u64::MAX, EndReason::BadAddress),
        (GUEST_END + PAGE_SIZE, EndReason::BadAddress),
        (REGISTERS_ADDRESS + 1024, EndReason::AccessViolation),
        (IMAGE_BASE + 1024, EndReason::AccessViolation),
        (IMAGE_BASE + PAGE_SIZE + 1024, EndReason::AccessViolation),
        (SMALL_STACKS_BASE + 1024, EndReason::StackOverflow),
        (
            SMALL_STACKS_BASE + PAGE_SIZE + 150,
            EndReason::StackOverflow,
        ),
    ];
    for (rsp, reason) in cases {
        let (mut host, vm) = host();
        register(&mut host, vm, 0);
        set(&mut host, vm, ENABLED, 1);
        set(&mut host, vm, PENDING, interrupt::RECEIVE);
        let space = host.space(vm);
        host.machine
            .set_position(space, Position { rsp, ..INTERRUPTED });
        let next = host.next();
        assert_eq!(host.state(vm), Some(VmState::Ended), "{rsp:#x}");
        assert_eq!(end_of(&host, vm).0, Some(reason), "{rsp:#x}");
        // Its end woke the supervisor.
        assert!(matches!(next, Next::Run { vm, .. } if vm == host.supervisor));
        host.audit();
    }
}

#[test]
fn a_frame_across_two_pages_is_whole_or_the_vm_ends() {
    let (mut host, vm) = host();
    register(&mut host, vm, 0);
    set(&mut host, vm, ENABLED, 1);
    set(&mut host, vm, PENDING, interrupt::RECEIVE);
    let space = host.space(vm);
    let rsp = SCRATCH + 5 * PAGE_SIZE + 128 + 16;
    host.machine
        .set_position(space, Position { rsp, ..INTERRUPTED });
    let frame = dispatch(&mut host, vm).expect("an upcall");
    assert_eq!((frame.rip, frame.rsp), (INTERRUPTED.rip, rsp));
    host.audit();
}

#[test]
fn nesting_without_end_runs_into_the_guard() {
    let (mut host, vm) = host();
    register(&mut host, vm, 0);
    for _ in 0..16 * 4096 / 176 {
        if host.state(vm) != Some(VmState::Ready) {
            break;
        }
        set(&mut host, vm, ENABLED, 1);
        set(&mut host, vm, PENDING, interrupt::TIMER);
        host.next();
    }
    assert_eq!(end_of(&host, vm).0, Some(EndReason::StackOverflow));
    host.audit();
}

#[test]
fn an_upcall_without_memory_left_for_its_stack_ends_the_vm() {
    let (mut host, vm) = host();
    register(&mut host, vm, GUEST_END);
    for page in 0..u64::from(host::LIMIT) {
        let resident = host.kernel.vm(vm).unwrap().frames.count();
        if resident + 1 >= host::LIMIT {
            break;
        }
        assert!(host.write(vm, SCRATCH + page * PAGE_SIZE, &[1]));
    }
    set(&mut host, vm, ENABLED, 1);
    set(&mut host, vm, PENDING, interrupt::RECEIVE);
    host.next();
    let (reason, detail) = end_of(&host, vm);
    assert_eq!(reason, Some(EndReason::OutOfMemory));
    assert_eq!(detail, GUEST_END - 48);
    host.audit();
}

#[test]
fn what_no_guest_can_have_is_not_registered() {
    let (mut host, vm) = host();
    let bad = [
        1,
        REGISTERS_ADDRESS,
        GUEST_END + 1,
        0x0000_8000_0000_0000,
        0xffff_ffff_8000_0000,
        u64::MAX,
    ];
    for address in bad {
        for arguments in [[address, 0], [ENTRY, address], [address, address]] {
            let result = host.call(vm, Hypercall::RegisterUpcall, &arguments);
            let refused = -i64::from(Errno::BadAddress.code());
            assert_eq!(result, Some(refused), "{arguments:x?}");
        }
    }
    let misaligned = host.call(vm, Hypercall::RegisterUpcall, &[ENTRY, DATA + 8]);
    assert_eq!(misaligned, Some(-i64::from(Errno::Invalid.code())));
    assert_eq!(host.kernel.vm(vm).unwrap().upcall, None);
}
