//! Which hypercalls return without another decision, and that nothing is lost by that.

mod host;

use denali_abi::hypercall::{Hypercall, NO_DEADLINE};
use denali_abi::layout::IMAGE_BASE;
use denali_kernel_core::VmId;
use denali_kernel_core::kernel::{Handled, Next};
use denali_kernel_core::machine::Exit;
use host::{DATA, Host};

fn host(vms: u32) -> (Host, Vec<VmId>) {
    let mut host = Host::boot(2048, "");
    let image = host.create_image().expect("there is room");
    let vms = (1..=vms)
        .map(|number| host.create_vm(image, number))
        .collect();
    host.call(host.supervisor, Hypercall::IdleWithTimeout, &[NO_DEADLINE]);
    while host.kernel.take_trace().is_some() {}
    (host, vms)
}

/// Runs whoever is next until it makes this hypercall. Returns who that was, what becomes of it, and
/// the result.
fn call(host: &mut Host, call: Hypercall, arguments: [u64; 6]) -> (VmId, Handled, Option<i64>) {
    let Next::Run { vm, space, .. } = host.next() else {
        panic!("nobody runs")
    };
    host.machine.advance(1000);
    let number = call.number();
    let exit = Exit::Hypercall { number, arguments };
    let handled = host.kernel.handle_or_resume(vm, exit, &mut host.machine);
    (vm, handled, host.machine.take_result(space))
}

#[test]
fn what_concerns_nobody_else_returns_at_once_and_is_charged_in_the_end() {
    let (mut host, vms) = host(1);
    let calls = [
        (Hypercall::Yield, [0; 6], 0),
        (Hypercall::ConsoleWrite, [DATA, 9, 0, 0, 0, 0], 9),
        (Hypercall::Random, [DATA, 8, 0, 0, 0, 0], 8),
        (Hypercall::NetworkNotify, [0; 6], 0),
        (Hypercall::VmNext, [0; 6], -1),
        (Hypercall::IdleWithTimeout, [1, 0, 0, 0, 0, 0], 4),
    ];
    for (number, arguments, result) in calls {
        let (_, handled, got) = call(&mut host, number, arguments);
        assert_eq!(
            (handled, got),
            (Handled::Resume, Some(result)),
            "{number:?}"
        );
    }
    host.next();
    let cpu_ns = host.kernel.vm(vms[0]).expect("it lives").counters.cpu_ns;
    assert_eq!(cpu_ns, 6000);
    host.audit();
}

#[test]
fn what_others_or_interrupts_wait_for_is_decided_upon() {
    let (mut host, _) = host(2);
    let (first, handled, _) = call(&mut host, Hypercall::Yield, [0; 6]);
    assert_eq!(handled, Handled::Decide);
    let (second, handled, _) = call(&mut host, Hypercall::Yield, [0; 6]);
    assert_eq!(handled, Handled::Decide);
    assert_ne!(first, second, "each gives way to the other");
    let entry = [IMAGE_BASE, 0, 0, 0, 0, 0];
    let (_, handled, _) = call(&mut host, Hypercall::RegisterUpcall, entry);
    assert_eq!(handled, Handled::Decide);
    let waits = [NO_DEADLINE, 0, 0, 0, 0, 0];
    let (_, handled, result) = call(&mut host, Hypercall::IdleWithTimeout, waits);
    assert_eq!(handled, Handled::Decide);
    assert!(result.is_some(), "what the wait will return");
    let (_, handled, _) = call(&mut host, Hypercall::Terminate, [0; 6]);
    assert_eq!(handled, Handled::Decide);
}
