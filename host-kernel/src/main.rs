//! The isolation kernel on bare metal: brings the machine up, then lets the core decide.

#![no_std]
#![no_main]

extern crate alloc;
// Gives `memcpy` and its kin to the compiler's output.
extern crate denali_freestanding as _;

mod arch;
mod cell;
mod guest_memory;
mod heap;
mod log;
mod machine;
mod panic;
mod platform;
mod serial;

use ::log::{error, info, warn};
use alloc::vec::Vec;
use arch::paging::Isolation;
use arch::{Apic, Clock, Loader, Paging, World, cpu};
use denali_kernel_core::heap as heap_budget;
use denali_kernel_core::kernel::{Boot, Handled, Kernel, Next, VMS_MAX};
use denali_kernel_core::machine::{Event, FrameId, Machine};
use denali_kernel_core::memory::FrameRange;
use host_kernel::boot_info::{BootInfo, PhysicalRange};
use host_kernel::drivers::disk::Disks;
use host_kernel::drivers::nic::Nic;
use host_kernel::measures::{self, CpuProfile, Measure, Measures, Request, Status};
use machine::{DISK_VECTORS, NIC_VECTORS, Pc};
use platform::BootPlatform;

/// Events delivered between two decisions, so that a flood of them does not starve VMs.
const EVENT_BATCH_MAX: usize = 64;

/// Firmware and loaders live there.
const LOW_MEMORY: PhysicalRange = PhysicalRange {
    start: 0,
    end: 1 << 20,
};

/// The order of bring-up, then the run loop.
fn kernel_main(loader: Loader, tables: u64) -> ! {
    log::start();
    info!(
        "Denali {} on {}",
        env!("CARGO_PKG_VERSION"),
        cpu::Brand::detect()
    );
    arch::load_tables();
    let features = cpu::Features::detect();
    features.protect();
    report_protections(&features);

    let mut boot = read_boot_info(loader, tables);
    let module = boot.module;
    let measures = take_measures(&boot.command_line);
    let isolation = if measures.has(Measure::PageTableIsolation) {
        Isolation::On
    } else {
        Isolation::Off
    };
    let mut paging = Paging::enable(&mut boot, &features, isolation);
    let heap = take_heap(&mut boot);
    heap::start(heap);
    let clock = Clock::start(&features);
    log::use_clock(clock);
    let apic = Apic::enable(&features, &mut paging, &clock);
    report_time(&clock, &apic);
    info!("vector state: {}", arch::enable_guests(&features, &paging));
    let mut platform = BootPlatform {
        paging: &mut paging,
        boot: &mut boot,
        apic: &apic,
    };
    let nic = probe_nic(&mut platform);
    let disks = Disks::probe(&mut platform, &DISK_VECTORS);

    let world = World::new(paging.root(), &features, measures);
    let mut pc = Pc {
        features,
        clock,
        paging,
        apic,
        world,
        nic,
        has_queued: false,
        disks,
        nmis_seen: 0,
    };
    let memory = frame_ranges(&boot);
    let mut kernel = Kernel::new(
        &Boot {
            heap_bytes: heap.length(),
            memory: &memory,
            command_line: &boot.command_line,
        },
        &mut pc,
    );
    start_supervisor(&mut kernel, module, &mut pc);
    log::end_boot();
    run(kernel, pc)
}

#[inline(never)]
fn run(mut kernel: Kernel, mut pc: Pc) -> ! {
    loop {
        for _ in 0..EVENT_BATCH_MAX {
            let Some(event) = pc.poll_event() else { break };
            kernel.deliver(event, &mut pc);
            // Those who got frames make room for more before there are more.
            if event == Event::NicReceive {
                break;
            }
        }
        kernel.work(&mut pc);
        let now = pc.now();
        match kernel.next(now, &mut pc) {
            Next::Run { vm, space, until } => {
                let mut exit = pc.run(space, until);
                while kernel.handle_or_resume(vm, exit, &mut pc) == Handled::Resume
                    && !pc.has_event()
                {
                    exit = pc.resume(space, until);
                }
            }
            Next::Idle { until } => pc.idle_until(until),
        }
        report(&mut kernel, &mut pc);
    }
}

/// Logs what happened to VMs, and non-maskable interrupts: whoever operates the machine sends one to
/// have the kernel audit itself.
fn report(kernel: &mut Kernel, pc: &mut Pc) {
    while let Some(event) = kernel.take_trace() {
        panic::remember(event);
        if event.is_warning() {
            warn!("{event}");
        } else {
            info!("{event}");
        }
    }
    let nmis = arch::idt::nmi_count();
    if nmis != pc.nmis_seen {
        warn!("{} non-maskable interrupts", nmis - pc.nmis_seen);
        pc.nmis_seen = nmis;
        match kernel.audit(pc) {
            Ok(()) => info!("audit: every invariant holds"),
            Err(error) => error!("audit: {error}"),
        }
    }
}

fn report_protections(features: &cpu::Features) {
    info!("protections: {features}");
    for name in features.missing() {
        warn!("this CPU lacks {name}: a bug in the kernel would cost more");
    }
    if !features.invariant_tsc && !features.hypervisor {
        warn!("the time-stamp counter may change its rate: clocks may be wrong");
    }
}

/// Decides what to do about leaks of this CPU, does what is done once, and says what covers what.
fn take_measures(command_line: &str) -> Measures {
    let request = Request::parse(command_line, |unknown| error!("{unknown}"));
    let cpu = &mut cpu::ThisCpu;
    let measures = measures::decide(&CpuProfile::read(cpu), request);
    measures::apply(&measures, cpu);
    arch::entry_guard::install(&measures);
    info!("measures {measures}");
    for measure in measures.refused() {
        error!("measures={measure}=on is ignored: this CPU, or the host's, does not offer it");
    }
    for finding in measures.findings() {
        match finding.status {
            Status::NotAffected => {}
            Status::Covered(_) => info!("{finding}"),
            Status::Open(_) => warn!("{finding}"),
        }
    }
    if let Some(note) = measures.threads_note() {
        warn!("{note}");
    }
    measures
}

/// Reads the loader's tables and applies what of the command line is the machine half's.
fn read_boot_info(loader: Loader, tables: u64) -> BootInfo {
    let memory = guest_memory::BootMemory;
    let read = match loader {
        Loader::Pvh => BootInfo::from_pvh(tables, &memory),
        Loader::Multiboot2 => BootInfo::from_multiboot2(tables, &memory),
    };
    let mut boot = read.unwrap_or_else(|error| panic!("cannot boot: {error}"));
    if boot
        .command_line
        .split_ascii_whitespace()
        .any(|word| word == "panic=reboot")
    {
        panic::reset_on_panic();
    }
    boot.reserve(LOW_MEMORY);
    boot.reserve(arch::paging::kernel_image());
    let bytes: u64 = boot.memory.iter().map(|range| range.length()).sum();
    info!(
        "loaded by {loader:?}; {} MiB of RAM free; command line: {:?}",
        bytes >> 20,
        boot.command_line.as_str(),
    );
    boot
}

/// Takes the heap: 1/24 of memory, or what as many VMs need as the word `vms=` of the command line
/// says. The VM of the supervisor comes on top.
fn take_heap(boot: &mut BootInfo) -> PhysicalRange {
    const HEAP_BYTES_MIN: u64 = 2 << 20;
    let ram: u64 = boot.memory.iter().map(|range| range.length()).sum();
    let mut words = boot.command_line.split_ascii_whitespace();
    let vms = words.find_map(|word| word.strip_prefix("vms="));
    let asked = vms.map_or(0, |number| {
        number.parse::<u32>().unwrap_or_else(|_| {
            error!("vms={number} is ignored: it takes a number");
            0
        })
    });
    let needed = match asked.min(VMS_MAX) {
        0 => 0,
        vms => heap_budget::bytes(ram / 4096, u64::from(vms) + 1),
    };
    let bytes = (ram / 24).max(HEAP_BYTES_MIN).max(needed);
    let bytes = bytes.next_multiple_of(4096);
    match boot.take(bytes, 4096, u64::MAX) {
        Some(region) => region,
        None => panic!(
            "no {} KiB of contiguous RAM for the heap: add memory",
            bytes >> 10
        ),
    }
}

fn report_time(clock: &Clock, apic: &Apic) {
    let (mode, timer) = apic.describe();
    let mhz = clock.hz() / 1_000_000;
    info!(
        "clock: {mhz} MHz by {:?}, {mode} with {timer} timer",
        clock.source()
    );
}

fn probe_nic(platform: &mut BootPlatform<'_>) -> Option<Nic> {
    match Nic::probe(platform, NIC_VECTORS) {
        Ok(Some(nic)) => {
            let [a, b, c, d, e, f] = nic.mac();
            info!("nic: virtio-net {a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}");
            Some(nic)
        }
        Ok(None) => {
            warn!("nic: no virtio network device; VMs reach only each other");
            None
        }
        Err(error) => {
            error!("nic: {error}; VMs reach only each other");
            None
        }
    }
}

/// Lists what is left of memory as frames for the core.
fn frame_ranges(boot: &BootInfo) -> Vec<FrameRange> {
    let frame = |address: u64| u32::try_from(address / 4096).unwrap_or(u32::MAX);
    let ranges = boot.memory.iter();
    ranges
        .map(|range| FrameRange {
            start: FrameId(frame(range.start)),
            count: frame(range.end) - frame(range.start),
        })
        .collect()
}

fn start_supervisor(kernel: &mut Kernel, module: Option<PhysicalRange>, pc: &mut Pc) {
    let Some(module) = module else {
        panic!("no boot module: give the supervisor as QEMU's -initrd or GRUB's module2");
    };
    match kernel.start_supervisor(guest_memory::module(module), pc) {
        Ok(vm) => info!(
            "supervisor: vm {vm}, {} KiB of boot module",
            module.length() >> 10
        ),
        Err(error) => panic!("cannot start the supervisor: {error}"),
    }
}
