//! Very many services in virtual time: registered, some of them asked once, then asked as Zipf's law
//! has it. What they cost and who comes and goes is printed, to compare with a machine.
//!
//! ```console
//! $ cargo test -p denali-kernel-core --test scale -- --nocapture                      # a sample
//! $ DENALI_VMS=1000000 DENALI_FRAMES=262144 DENALI_TOUCH=10000 DENALI_REQUESTS=5000 \
//!       cargo test -p denali-kernel-core --test scale -- --nocapture                  # a million
//! ```
//!
//! `DENALI_PAGES` sets how many pages a service writes (16), `DENALI_KERNEL` the kernel's command line.

#![expect(clippy::print_stdout, reason = "the figures are the result")]

mod host;
mod servers;

use denali_abi::control::vm_flags;
use denali_kernel_core::machine::Machine;
use servers::{Plan, World, Zipf};
use std::time::{Duration, Instant};

/// Slope of Zipf's law.
const ALPHA: f64 = 1.0;

/// Parts in which services are made, each of them measured.
const PARTS: u32 = 10;

fn number(name: &str, default: u32) -> u32 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

/// Returns the memory of this process in bytes: the kernel's heap, and what the fake machine holds.
fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages = status.split(' ').nth(1).expect("a second field");
    pages.parse::<u64>().expect("a number") * 4096
}

/// Registers all, and tells what each took.
fn register(world: &mut World, vms: u32) {
    for part in 0..PARTS {
        let count = vms / PARTS + u32::from(part < vms % PARTS);
        let (begun, before) = (Instant::now(), memory());
        world.add(count);
        println!(
            "{count} registered, {:.1} us each, {} bytes each",
            begun.elapsed().as_secs_f64() * 1e6 / f64::from(count),
            memory().saturating_sub(before) / u64::from(count)
        );
    }
}

/// Does something and tells who came and went meanwhile.
fn watch(world: &mut World, name: &str, requests: u32, run: impl FnOnce(&mut World) -> f64) {
    let stats = |world: &World| world.host.kernel.paging_stats().expect("there are disks");
    let (before, begun) = (stats(world), Instant::now());
    let rate = run(world);
    let after = stats(world);
    println!(
        "{name}: {requests} answers, {rate:.0} a second of virtual time; {} came in, {} left, \
         {} blocks read, {} written; {:.1} s",
        after.arrivals - before.arrivals,
        after.departures - before.departures,
        after.blocks_read - before.blocks_read,
        after.blocks_written - before.blocks_written,
        begun.elapsed().as_secs_f64()
    );
}

/// Tells how long nobody runs when a frame for everybody comes.
fn broadcast(world: &mut World) {
    let mut frame = vec![0xff; 6];
    frame.extend_from_slice(&[0x52, 0x55, 10, 90, 0, 2, 8, 0, 0x45]);
    frame.resize(60, 0);
    world.host.machine.arrive(&frame);
    let begun = Instant::now();
    world.turn();
    println!("a broadcast: {:.1} ms", begun.elapsed().as_secs_f64() * 1e3);
}

#[test]
fn services_that_never_ran_cost_no_frame_and_any_of_them_answers() {
    let vms = number("DENALI_VMS", 20_000);
    let touch = number("DENALI_TOUCH", 500).min(vms);
    let requests = number("DENALI_REQUESTS", 500);
    let mut world = World::new(Plan {
        frames: number("DENALI_FRAMES", 8192),
        line: std::env::var("DENALI_KERNEL").unwrap_or_default(),
        vms,
        flags: vm_flags::DORMANT,
        pages: number("DENALI_PAGES", 16).into(),
        pages_a_request: 8,
        clients: 32,
    });
    let free = world.host.host_status().frames_free;
    register(&mut world, vms);
    assert_eq!(world.host.host_status().frames_free, free);

    let mut order: Vec<u32> = (0..vms).collect();
    for index in 0..order.len() {
        let other = world.random.below(u64::from(vms));
        order.swap(index, usize::try_from(other).expect("an index"));
    }
    let mut order = order.into_iter().take(touch as usize);
    watch(&mut world, "each once", touch, |world| {
        world.ask(touch, |_| order.next())
    });
    let zipf = Zipf::new(vms, ALPHA);
    watch(&mut world, "Zipf, alpha 1", requests, |world| {
        world.load(&zipf, requests)
    });
    broadcast(&mut world);
    let begun = Instant::now();
    world.host.audit();
    println!("audit: {:.1} s", begun.elapsed().as_secs_f64());
    let lasted = Duration::from_nanos(world.host.machine.now().as_ns());
    println!("{:.0} s of virtual time in all", lasted.as_secs_f64());
}
