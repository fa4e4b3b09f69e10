//! The end of the kernel: says why, then halts, or resets if the command line says so.

use crate::arch::cpu;
use crate::cell::KernelCell;
use crate::log::write_raw;
use core::fmt::{self, Write as _};
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, Ordering};
use denali_kernel_core::trace::Event;
use heapless::Deque;

/// Trace events printed.
const TRACE_TAIL: usize = 16;

static TRACE: KernelCell<Deque<Event, TRACE_TAIL>> = KernelCell::new(Deque::new());
static RESET: AtomicBool = AtomicBool::new(false);
static PANICKING: AtomicBool = AtomicBool::new(false);

/// Has a panic reset the machine instead of halting it (`panic=reboot`).
pub(crate) fn reset_on_panic() {
    RESET.store(true, Ordering::Relaxed);
}

/// Remembers an event for the record of a panic.
pub(crate) fn remember(event: Event) {
    let mut trace = TRACE.borrow();
    if trace.is_full() {
        trace.pop_front();
    }
    // There is room: the oldest made it.
    let _ = trace.push_back(event);
}

struct Output;

impl fmt::Write for Output {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        write_raw(text.as_bytes());
        Ok(())
    }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    if PANICKING.swap(true, Ordering::Relaxed) {
        write_raw(b"denali: panic while panicking\n");
        cpu::halt();
    }
    let _ = writeln!(Output, "\ndenali: kernel panic: {}", info.message());
    if let Some(location) = info.location() {
        let _ = writeln!(Output, "  at {location}");
    }
    let _ = writeln!(Output, "{}", cpu::ControlRegisters::read());
    if let Some(trace) = TRACE.try_borrow() {
        for event in trace.iter() {
            let _ = writeln!(Output, "  before: {event}");
        }
    }
    if RESET.load(Ordering::Relaxed) {
        write_raw(b"denali: resetting\n");
        cpu::reset();
    }
    write_raw(b"denali: halted; reset the machine to go on (panic=reboot does so by itself)\n");
    cpu::halt();
}
