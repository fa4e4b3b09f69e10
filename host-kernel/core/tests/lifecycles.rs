//! Lives of VMs, one after the other by the million: in the end everything is as before the first.
//!
//! ```console
//! $ cargo test -p denali-kernel-core --test lifecycles                              # 200,000 lives
//! $ DENALI_LIVES=100000000 cargo test -p denali-kernel-core --test lifecycles       # 10^8
//! ```

mod host;

use core::mem::offset_of;
use denali_abi::control::{HostStatus, VmConfig, VmState};
use denali_abi::convert::u64_to_usize;
use denali_abi::hypercall::{Hypercall, NO_DEADLINE};
use denali_abi::layout::{PAGE_SIZE, SHARED_ADDRESS};
use denali_abi::net::Descriptor;
use denali_abi::shared::SharedPage;
use denali_kernel_core::VmId;
use denali_kernel_core::machine::{Event, Exit, Machine};
use host::seeds::{count, run_all, seeds};
use host::{Host, Random, SCRATCH, network};
use zerocopy::IntoBytes;

/// Lives on one host.
const LIVES_OF_A_HOST: u64 = 20_000;

/// Lives of the normal run.
const LIVES: u64 = 200_000;

/// VMs that live at the same time.
const CROWD: u64 = 8;

/// Crowds between two audits.
const CROWDS_AUDITED: u64 = 50;

/// What may not change: frames, promises, VMs and images.
fn accounts(host: &mut Host) -> [u64; 4] {
    let HostStatus {
        frames_free,
        frames_committed,
        vms,
        images,
        ..
    } = host.host_status();
    [frames_free, frames_committed, vms, images]
}

/// Lets a VM use something of what it has.
fn live(host: &mut Host, random: &mut Random, vm: VmId, number: u32) {
    match random.below(6) {
        0 => {
            for page in 0..random.below(40) {
                if !host.write(vm, SCRATCH + page * PAGE_SIZE, &[1]) {
                    return;
                }
            }
        }
        1 => {
            let deadline = host.machine.now().as_ns() + random.below(1_000_000_000);
            host.call(vm, Hypercall::IdleWithTimeout, &[deadline]);
        }
        2 => {
            let length = random.below(5000);
            host.call(vm, Hypercall::ConsoleWrite, &[SCRATCH, length]);
        }
        3 => send(host, vm, number),
        4 => {
            host.call(vm, Hypercall::IdleWithTimeout, &[NO_DEADLINE]);
            let addresses = [[0xff; 6], [0x52, 0x55, 10, 90, 0, 2]].concat();
            let frame = [&addresses[..], &[8, 6], &[0; 46]].concat();
            host.machine.arrive(&frame);
            host.kernel.deliver(Event::NicReceive, &mut host.machine);
        }
        _ => {}
    }
}

/// Sends a frame, which the NIC has no room for now and then.
fn send(host: &mut Host, vm: VmId, number: u32) {
    let own = network(number);
    let mut frame = [[0x52, 0x55, 10, 90, 0, 2], own.mac].concat();
    frame.extend([8, 0, 0x45, 0, 0, 28, 0, 0, 0, 0, 64, 253, 0, 0]);
    frame.extend(own.address);
    frame.resize(60, 0);
    let descriptor = Descriptor {
        address: SCRATCH,
        length: 60,
        ..Descriptor::default()
    };
    let tx = SHARED_ADDRESS + offset_of!(SharedPage, tx) as u64;
    let produced = SHARED_ADDRESS + offset_of!(SharedPage, tx_produced) as u64;
    let room = if number.is_multiple_of(3) { 0 } else { 8 };
    host.machine.set_transmit_room(room);
    let written = host.write(vm, SCRATCH, &frame)
        && host.write(vm, tx, descriptor.as_bytes())
        && host.write(vm, produced, &1_u32.to_le_bytes());
    if written {
        host.call(vm, Hypercall::NetworkNotify, &[]);
    }
    while host.machine.take_sent().is_some() {}
}

/// Ends a VM, in one of the ways there are, and frees it.
fn end(host: &mut Host, random: &mut Random, vm: VmId) {
    let ready = host.state(vm) == Some(VmState::Ready);
    match random.below(4) {
        0 if ready => {
            host.call(vm, Hypercall::Terminate, &[0]);
        }
        1 if ready => {
            let fault = Exit::Exception { vector: 6, code: 0 };
            host.kernel.handle(vm, fault, &mut host.machine);
        }
        2 if ready => {
            host.call_number(vm, 231, &[]);
        }
        _ => {
            host.control(Hypercall::VmStop, &[vm.raw()])
                .expect("it exists");
        }
    }
    host.control(Hypercall::VmDestroy, &[vm.raw()])
        .expect("it ended");
    while host.kernel.take_trace().is_some() {}
}

fn run(seed: u64) {
    let gatekeeper = ["", "gatekeeper=fifo"][u64_to_usize(seed % 2)];
    let mut random = Random(seed);
    let mut host = Host::boot(2048, gatekeeper);
    let image = host.create_image().expect("there is room");
    // The supervisor and the image have all their pages after the first crowd.
    let mut before = None;
    for crowd in 0..LIVES_OF_A_HOST / CROWD {
        let mut vms = Vec::new();
        for place in 1..=CROWD {
            let number = u32::try_from(crowd * CROWD + place).expect("a small number");
            let pages = 16 + u32::try_from(random.below(48)).expect("a small number");
            let config = VmConfig {
                memory_pages: pages,
                ..Host::config(image, number)
            };
            let vm = host.create(&config).expect("there is room");
            live(&mut host, &mut random, vm, number);
            vms.push(vm);
        }
        while !vms.is_empty() {
            let place = u64_to_usize(random.below(vms.len() as u64));
            end(&mut host, &mut random, vms.swap_remove(place));
        }
        if crowd % CROWDS_AUDITED == 0 {
            host.audit();
            let now = accounts(&mut host);
            assert_eq!(*before.get_or_insert(now), now, "after {crowd} crowds");
        }
    }
    host.audit();
}

#[test]
fn nothing_is_left_of_lives_that_are_over() {
    let hosts = count("DENALI_LIVES", LIVES).div_ceil(LIVES_OF_A_HOST);
    let repeat = "DENALI_LIVES=1 cargo test -p denali-kernel-core --test lifecycles";
    run_all(seeds(hosts), repeat, run, |(), ()| ());
}
