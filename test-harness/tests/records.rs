//! The kernel's own world: what it says when that breaks, by non-maskable interrupts, machine checks,
//! a stack at its end, an instruction pointer that is nowhere; and what is left of many lives.

use denali_build::qmp::Monitor;
use object::{Object as _, ObjectSymbol as _};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use test_harness::containment::{kernel_of, monitor_of};
use test_harness::gdb::{Debugger, Register};
use test_harness::host::Host;
use test_harness::{facts, lives, suite, wait};

/// Non-maskable interrupts of the storm.
const NMIS: u32 = 2_000;

/// An address that is canonical and never mapped.
const NOWHERE: u64 = 0xffff_9fff_ffff_f000;

/// Lives of VMs; `cargo run -p test-harness --bin lifecycles` counts more.
const LIVES: u64 = 2_000;

/// Bytes of the kernel's stack: `KERNEL_STACK_SIZE` of `kernel.ld`.
const STACK_BYTES: u64 = 64 << 10;

fn main() -> ExitCode {
    suite::run(
        || (),
        &facts![
            a_storm_of_nmis_disturbs_nobody_and_each_has_the_kernel_audit_itself,
            a_machine_check_ends_with_a_record,
            a_stack_at_its_end_is_a_double_fault_with_a_record,
            an_instruction_nowhere_is_a_page_fault_with_a_record,
            two_thousand_lives_leave_nothing_behind,
        ],
    )
}

fn monitor(host: &Host) -> Monitor {
    Monitor::connect(&monitor_of(&host.status())).expect("QEMU's monitor")
}

/// Waits until a kernel's log has all these words, and returns it.
fn wait_for_log(path: &Path, words: &[&str]) -> String {
    wait::until(&format!("{words:?} in the kernel's log"), || {
        let log = fs::read(path).unwrap_or_default();
        let log = String::from_utf8_lossy(&log).into_owned();
        words.iter().all(|word| log.contains(word)).then_some(log)
    })
}

fn a_storm_of_nmis_disturbs_nobody_and_each_has_the_kernel_audit_itself((): &()) {
    let host = Host::up(&[]);
    let mut monitor = monitor(&host);
    for nth in 0..NMIS {
        monitor.human("nmi").expect("QEMU injects it");
        if nth % 500 == 0 {
            assert!(host.status().host.is_some(), "no answer after {nth}");
        }
    }
    let status = host.status();
    assert!(status.host.is_some(), "no answer after the storm");
    let words = ["non-maskable interrupts", "every invariant holds"];
    let log = wait_for_log(&status.serial_log, &words);
    assert!(!log.contains("broken invariant"), "{log}");
}

fn a_machine_check_ends_with_a_record((): &()) {
    let host = Host::up(&[]);
    let log = host.status().serial_log;
    // Bank 0, valid and uncorrected (Intel SDM vol. 3B §16.3.2.2), a machine check in progress.
    let order = "mce 0 0 0xb200000000000000 0x4 0 0";
    monitor(&host).human(order).expect("QEMU injects it");
    wait_for_log(&log, &["kernel panic: machine check", "rip", "halted"]);
}

fn a_stack_at_its_end_is_a_double_fault_with_a_record((): &()) {
    let host = Host::up(&[]);
    let status = host.status();
    let kernel = fs::read(kernel_of(&status).expect("a kernel")).expect("its file");
    let kernel = object::File::parse(&*kernel).expect("an ELF file");
    let top = kernel
        .symbol_by_name("kernel_stack_top")
        .expect("kernel.ld has it");
    break_ring_0(&host, Register::Rsp, top.address() - STACK_BYTES);
    let words = ["kernel panic: double fault", "stack overflow?", "halted"];
    wait_for_log(&status.serial_log, &words);
}

fn an_instruction_nowhere_is_a_page_fault_with_a_record((): &()) {
    let host = Host::up(&[]);
    let log = host.status().serial_log;
    break_ring_0(&host, Register::Rip, NOWHERE);
    let cr2 = format!("cr2 {NOWHERE:#x}");
    wait_for_log(&log, &["kernel panic: page fault", &cr2, "halted"]);
}

fn two_thousand_lives_leave_nothing_behind((): &()) {
    lives::run(&kernel(), LIVES).expect("nothing is left of them");
}

/// Returns the kernel that hosts boot.
fn kernel() -> PathBuf {
    kernel_of(&Host::up(&[]).status()).expect("a host has a kernel")
}

/// Sets a register while the kernel runs: most of the time it waits for something to do.
fn break_ring_0(host: &Host, register: Register, value: u64) {
    let mut monitor = monitor(host);
    wait::until("the kernel to run", || {
        let mut debugger = Debugger::stop(&mut monitor).expect("QEMU has a debugger");
        let in_kernel = debugger.register(Register::Rip).expect("an address") > NOWHERE;
        if in_kernel {
            debugger
                .set_register(register, value)
                .expect("QEMU sets it");
        }
        debugger.go_on().expect("QEMU goes on");
        in_kernel.then_some(())
    });
}
