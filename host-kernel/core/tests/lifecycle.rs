//! The life of VMs: running, faulting, waiting, ending, and what becomes of what they had.

mod host;

use denali_abi::control::{VmConfig, VmState};
use denali_abi::convert::usize_to_u64;
use denali_abi::end::EndReason;
use denali_abi::hypercall::{Hypercall, NO_DEADLINE};
use denali_abi::layout::{
    GUEST_END, IMAGE_BASE, INITIAL_STACK_TOP, LARGE_STACKS_BASE, PAGE_SIZE, REGISTERS_ADDRESS,
    SHARED_ADDRESS, SMALL_STACKS_BASE,
};
use denali_abi::registers::STOP_DEADLINE_OFFSET;
use denali_abi::shared::interrupt;
use denali_kernel_core::machine::{Exit, FaultAccess, Machine};
use denali_kernel_core::policy::scheduler::QUANTUM_NS;
use denali_kernel_core::time::Time;
use denali_kernel_core::trace::Event;
use denali_kernel_core::{Next, VmId};
use host::{DATA, Host, LIMIT, SCRATCH, header};

fn host() -> (Host, u64) {
    let mut host = Host::boot(2048, "");
    let image = host.create_image().expect("there is room");
    (host, image)
}

/// Returns reason and detail of a VM's end, from its status.
fn end_of(host: &mut Host, vm: VmId) -> (EndReason, u64) {
    let end = host.status(vm).expect("the descriptor stays").end;
    (
        EndReason::from_code(end.reason).expect("it ended"),
        end.detail,
    )
}

#[test]
fn each_kind_of_page_starts_as_the_image_says() {
    let (mut host, image) = host();
    let vm = host.create_vm(image, 1);
    for (address, expected) in [
        (IMAGE_BASE, b'T'),
        (IMAGE_BASE + PAGE_SIZE, b'R'),
        (DATA, b'D'),
        (DATA + PAGE_SIZE, 0),
        (header().end_address(), 0),
        (SHARED_ADDRESS, 0),
        (INITIAL_STACK_TOP - 1, 0),
        (LARGE_STACKS_BASE + PAGE_SIZE, 0),
        (GUEST_END - 1, 0),
    ] {
        let mut byte = [1];
        assert!(host.read(vm, address, &mut byte), "{address:#x}");
        assert_eq!(byte, [expected], "{address:#x}");
    }
    host.audit();
}

#[test]
fn data_is_private_and_text_is_shared() {
    let (mut host, image) = host();
    let first = host.create_vm(image, 1);
    let second = host.create_vm(image, 2);
    host.write(first, DATA, b"mine");
    let mut bytes = [0; 4];
    host.read(second, DATA, &mut bytes);
    assert_eq!(&bytes, b"DDDD");
    let before = host.status(second).unwrap().resident_pages;
    let free = host.kernel.frames().free();
    host.read(second, IMAGE_BASE, &mut bytes);
    assert_eq!(host.status(second).unwrap().resident_pages, before);
    assert_eq!(host.kernel.frames().free(), free);
    host.audit();
}

#[test]
fn each_forbidden_access_has_its_reason() {
    use FaultAccess::{Execute, Read, Write};
    let (mut host, image) = host();
    let cases = [
        (0, Read, EndReason::BadAddress),
        (REGISTERS_ADDRESS - 1, Write, EndReason::BadAddress),
        (SHARED_ADDRESS + PAGE_SIZE, Read, EndReason::BadAddress),
        (IMAGE_BASE - 1, Read, EndReason::BadAddress),
        (GUEST_END, Read, EndReason::BadAddress),
        (u64::MAX, Execute, EndReason::BadAddress),
        (0xffff_8000_0000_0000, Write, EndReason::BadAddress),
        (REGISTERS_ADDRESS, Write, EndReason::AccessViolation),
        (IMAGE_BASE, Write, EndReason::AccessViolation),
        (IMAGE_BASE + PAGE_SIZE, Write, EndReason::AccessViolation),
        (IMAGE_BASE + PAGE_SIZE, Execute, EndReason::AccessViolation),
        (DATA, Execute, EndReason::AccessViolation),
        (INITIAL_STACK_TOP - 8, Execute, EndReason::AccessViolation),
        (SMALL_STACKS_BASE, Write, EndReason::StackOverflow),
        (
            INITIAL_STACK_TOP + PAGE_SIZE - 1,
            Write,
            EndReason::StackOverflow,
        ),
        (LARGE_STACKS_BASE, Read, EndReason::StackOverflow),
    ];
    for (number, (address, access, reason)) in (1..).zip(cases) {
        let vm = host.create_vm(image, number);
        let exit = Exit::PageFault {
            address,
            access,
            present: false,
        };
        host.kernel.handle(vm, exit, &mut host.machine);
        assert_eq!(
            end_of(&mut host, vm),
            (reason, address),
            "{access:?} at {address:#x}"
        );
        host.audit();
    }
}

#[test]
fn exceptions_end_the_vm_alone() {
    let (mut host, image) = host();
    let victim = host.create_vm(image, 100);
    host.write(victim, SCRATCH, b"alive");
    for vector in 0..32 {
        let vm = host.create_vm(image, 1);
        host.kernel
            .handle(vm, Exit::Exception { vector, code: 5 }, &mut host.machine);
        assert_eq!(host.state(vm), Some(VmState::Ended), "vector {vector}");
        host.control(Hypercall::VmDestroy, &[vm.raw()])
            .expect("it ended");
    }
    let mut bytes = [0; 5];
    assert!(host.read(victim, SCRATCH, &mut bytes));
    assert_eq!(&bytes, b"alive");
    host.audit();
}

#[test]
fn appetite_ends_the_vm_at_its_limit_and_harms_nobody() {
    let (mut host, image) = host();
    let glutton = host.create_vm(image, 1);
    let other = host.create_vm(image, 2);
    let mut address = SCRATCH;
    while host.write(glutton, address, b"x") {
        address += PAGE_SIZE;
    }
    assert_eq!(
        end_of(&mut host, glutton),
        (EndReason::OutOfMemory, address)
    );
    assert_eq!(
        host.status(glutton).unwrap().resident_pages,
        1,
        "the console is kept"
    );
    for page in 0..u64::from(LIMIT) - 20 {
        assert!(host.write(other, SCRATCH + page * PAGE_SIZE, b"x"));
    }
    host.audit();
}

#[test]
fn exit_codes_are_sign_extended() {
    let (mut host, image) = host();
    let vm = host.create_vm(image, 1);
    host.call(vm, Hypercall::Terminate, &[0xdead_0000_ffff_ffff]);
    assert_eq!(end_of(&mut host, vm), (EndReason::Terminated, u64::MAX));
}

#[test]
fn the_supervisor_hears_of_every_end() {
    let (mut host, image) = host();
    let vm = host.create_vm(image, 1);
    assert_eq!(
        host.call(host.supervisor, Hypercall::IdleWithTimeout, &[u64::MAX]),
        None
    );
    host.call(vm, Hypercall::Terminate, &[0]);
    assert_eq!(host.state(host.supervisor), Some(VmState::Ready));
    let space = host.space(host.supervisor);
    assert_eq!(
        host.machine.take_result(space),
        Some(i64::from(interrupt::CONTROL))
    );
}

#[test]
fn a_deadline_wakes_with_the_timer_bit() {
    let (mut host, image) = host();
    let vm = host.create_vm(image, 1);
    host.call(host.supervisor, Hypercall::IdleWithTimeout, &[u64::MAX]);
    assert_eq!(host.call(vm, Hypercall::IdleWithTimeout, &[5_000]), None);
    let now = host.machine.now();
    assert_eq!(
        host.kernel.next(now, &mut host.machine),
        Next::Idle {
            until: Some(Time::from_ns(5_000))
        }
    );
    host.machine.idle_until(Some(Time::from_ns(5_000)));
    let next = host.next();
    assert!(
        matches!(next, Next::Run { vm: woken, .. } if woken == vm),
        "{next:?}"
    );
    let space = host.space(vm);
    assert_eq!(
        host.machine.take_result(space),
        Some(i64::from(interrupt::TIMER))
    );
    assert_eq!(host.kernel.stats().idle_ns, 5_000 - now.as_ns());
    host.audit();
}

#[test]
fn a_slice_ends_at_the_next_alarm() {
    let (mut host, image) = host();
    let vm = host.create_vm(image, 1);
    host.call(vm, Hypercall::IdleWithTimeout, &[QUANTUM_NS / 2]);
    let next = host.next();
    let Next::Run {
        vm: supervisor,
        until,
        ..
    } = next
    else {
        panic!("{next:?}")
    };
    assert_eq!(
        (supervisor, until),
        (host.supervisor, Time::from_ns(QUANTUM_NS / 2))
    );
}

#[test]
fn an_endless_loop_gets_its_share_and_no_more() {
    let (mut host, image) = host();
    let vms = [
        host.supervisor,
        host.create_vm(image, 1),
        host.create_vm(image, 2),
    ];
    for _ in 0..300 {
        let next = host.next();
        let Next::Run { vm, space, until } = next else {
            panic!("{next:?}")
        };
        let exit = host.machine.run(space, until);
        host.kernel.handle(vm, exit, &mut host.machine);
    }
    for vm in vms {
        let used = host.kernel.vm(vm).unwrap().counters.cpu_ns;
        assert_eq!(used, 100 * QUANTUM_NS, "{vm}");
    }
}

#[test]
fn the_supervisor_begins_anew_after_a_pause_and_nobody_notices() {
    let (mut host, image) = host();
    let vm = host.create_vm(image, 1);
    host.write(vm, SCRATCH, b"alive");
    let first = host.supervisor;
    for expected_pause_ns in [1, 2, 4, 8, 16, 32, 64, 64].map(|s| s * 1_000_000_000) {
        let ended = host.kernel.supervisor_vm().expect("there is one");
        let exit = Exit::PageFault {
            address: 0,
            access: FaultAccess::Read,
            present: false,
        };
        host.kernel.handle(ended, exit, &mut host.machine);
        let now = host.machine.now();
        let begun = host.kernel.supervisor_vm().expect("there is one");
        assert_ne!(begun, ended);
        assert_eq!(host.state(begun), Some(VmState::Idle));
        host.audit();
        let next = host.kernel.next(now, &mut host.machine);
        assert!(
            matches!(next, Next::Run { vm: other, .. } if other == vm),
            "{next:?}"
        );
        host.machine.advance(expected_pause_ns - 1);
        host.next();
        assert_eq!(host.state(begun), Some(VmState::Idle));
        host.machine.advance(1);
        host.next();
        assert_eq!(host.state(begun), Some(VmState::Ready));
    }
    assert_eq!(host.state(first), None);
    host.supervisor = host.kernel.supervisor_vm().expect("there is one");
    let mut registers = [0; 8];
    assert!(host.read(host.supervisor, REGISTERS_ADDRESS, &mut registers));
    let mut bytes = [0; 5];
    assert!(host.read(vm, SCRATCH, &mut bytes));
    assert_eq!(&bytes, b"alive");
    assert!(
        host.status(vm).is_ok(),
        "it controls the VMs of its predecessor"
    );
    assert_eq!(host.kernel.stats().supervisor_restarts, 8);
}

#[test]
fn an_end_does_not_wake_a_supervisor_before_its_time() {
    let (mut host, image) = host();
    let vm = host.create_vm(image, 1);
    host.call(host.supervisor, Hypercall::Terminate, &[1]);
    host.call(vm, Hypercall::Terminate, &[0]);
    let supervisor = host.kernel.supervisor_vm().expect("there is one");
    assert_eq!(host.state(supervisor), Some(VmState::Idle));
    host.machine.advance(1_000_000_000);
    host.next();
    host.supervisor = supervisor;
    let pending = host.call(supervisor, Hypercall::IdleWithTimeout, &[u64::MAX]);
    assert_eq!(
        pending,
        Some(i64::from(interrupt::CONTROL)),
        "it learns of it later"
    );
}

#[test]
fn fifo_lets_vms_wait_for_memory_in_order() {
    let mut host = Host::boot(512, "gatekeeper=fifo");
    let image = host.create_image().expect("there is room");
    let large = |number| VmConfig {
        memory_pages: 300,
        ..Host::config(image, number)
    };
    let first = host.create(&large(1)).expect("there is room");
    let second = host.create(&large(2)).expect("it may wait");
    let small = host.create_vm(image, 3);
    assert_eq!(host.state(first), Some(VmState::Ready));
    assert_eq!(host.state(second), Some(VmState::Dormant));
    assert_eq!(
        host.state(small),
        Some(VmState::Dormant),
        "nobody overtakes"
    );
    host.audit();
    host.call(first, Hypercall::Terminate, &[0]);
    assert_eq!(host.state(second), Some(VmState::Ready));
    assert_eq!(host.state(small), Some(VmState::Ready));
    host.audit();
    host.control(Hypercall::VmStop, &[second.raw()]).unwrap();
    host.audit();
}

#[test]
fn a_vm_stopped_while_it_waits_is_never_admitted() {
    let mut host = Host::boot(512, "gatekeeper=fifo");
    let image = host.create_image().expect("there is room");
    let large = |number| VmConfig {
        memory_pages: 300,
        ..Host::config(image, number)
    };
    let first = host.create(&large(1)).expect("there is room");
    let second = host.create(&large(2)).expect("it may wait");
    // Also if it was to be asked: it could not hear it.
    let deadline = 1_000_000_000;
    host.control(Hypercall::VmStop, &[second.raw(), deadline])
        .unwrap();
    host.call(first, Hypercall::Terminate, &[0]);
    assert_eq!(host.state(second), Some(VmState::Ended));
    host.audit();
}

#[test]
fn a_vm_is_asked_to_stop_and_told_until_when() {
    let (mut host, image) = host();
    let vm = host.create_vm(image, 1);
    let stop_deadline = |host: &mut Host| {
        let mut bytes = [0; 8];
        let address = REGISTERS_ADDRESS + usize_to_u64(STOP_DEADLINE_OFFSET);
        assert!(host.read(vm, address, &mut bytes));
        u64::from_le_bytes(bytes)
    };
    assert_eq!(stop_deadline(&mut host), 0);
    host.call(vm, Hypercall::IdleWithTimeout, &[NO_DEADLINE]);
    let deadline = 5_000_000_000;
    let asked = host.control(Hypercall::VmStop, &[vm.raw(), deadline]);
    assert_eq!((asked, host.state(vm)), (Ok(0), Some(VmState::Ready)));
    let space = host.space(vm);
    let result = host.machine.take_result(space);
    assert_eq!(result, Some(i64::from(interrupt::STOP)));
    assert_eq!(stop_deadline(&mut host), deadline);
    // The supervisor ends it when its patience does.
    host.control(Hypercall::VmStop, &[vm.raw()]).unwrap();
    assert_eq!(host.state(vm), Some(VmState::Ended));
    let again = host.control(Hypercall::VmStop, &[vm.raw(), deadline]);
    assert_eq!(again, Ok(0), "one that has ended stays as it is");
    host.audit();
}

#[test]
fn the_trace_tells_the_story() {
    let (mut host, image) = host();
    while host.kernel.take_trace().is_some() {}
    let vm = host.create_vm(image, 1);
    host.control(Hypercall::VmStop, &[vm.raw()]).unwrap();
    host.control(Hypercall::VmDestroy, &[vm.raw()]).unwrap();
    let created = host.kernel.take_trace().expect("created");
    assert!(
        created.to_string().contains("(service) created"),
        "{created}"
    );
    let ended = host.kernel.take_trace().expect("ended");
    assert!(
        ended.to_string().contains("(service) ended: stopped"),
        "{ended}"
    );
    assert!(!ended.is_warning());
    assert_eq!(host.kernel.take_trace(), Some(Event::VmDestroyed { vm }));
    assert_eq!(host.kernel.take_trace(), None);
}
