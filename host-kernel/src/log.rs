//! The log: lines on the serial port, with the time since boot.
//!
//! The last of them also stay in a ring in memory, for a debugger and for hosts without a serial
//! port, and those from before the first VM ran for ever, for the supervisor.

use crate::arch::Clock;
use crate::cell::KernelCell;
use crate::serial;
use core::fmt::{self, Write as _};
use log::{Level, LevelFilter, Log, Metadata, Record};

const RING_BYTES: usize = 16 * 1024;

/// Longest report of the boot in bytes: thrice what there is to say.
const BOOT_BYTES_MAX: usize = 8 * 1024;

static STATE: KernelCell<State> = KernelCell::new(State {
    clock: None,
    ring: [0; RING_BYTES],
    written: 0,
    boot: [0; BOOT_BYTES_MAX],
    boot_len: None,
});

struct State {
    /// `None` until it runs; lines are stamped 0 before.
    clock: Option<Clock>,
    ring: [u8; RING_BYTES],
    /// Bytes ever written; the next goes to this index modulo the ring's length.
    written: usize,
    /// The first bytes that were written, until `boot_len` says how many of them are the report.
    boot: [u8; BOOT_BYTES_MAX],
    boot_len: Option<usize>,
}

struct Sink;

/// Installs the log.
pub(crate) fn start() {
    serial::start();
    if log::set_logger(&Sink).is_ok() {
        log::set_max_level(LevelFilter::Info);
    }
}

/// Stamps lines with `clock` from now on.
pub(crate) fn use_clock(clock: Clock) {
    STATE.borrow().clock = Some(clock);
}

/// Keeps what was written so far for ever, as the report of the boot.
pub(crate) fn end_boot() {
    let mut state = STATE.borrow();
    state.boot_len = Some(state.written);
}

/// Copies the report of the boot from `position` on, and returns how many bytes that is.
pub(crate) fn boot_report(position: usize, buffer: &mut [u8]) -> usize {
    let Some(state) = STATE.try_borrow() else {
        return 0;
    };
    let length = state.boot_len.unwrap_or(0).min(BOOT_BYTES_MAX);
    let report = state.boot.get(position..length).unwrap_or_default();
    let places = report.iter().zip(buffer);
    places.map(|(from, to)| *to = *from).count()
}

/// Writes bytes as they are.
pub(crate) fn write_raw(bytes: &[u8]) {
    match STATE.try_borrow() {
        Some(mut state) => state.write(bytes),
        // Only a panic inside this module gets here.
        None => serial::write(bytes),
    }
}

impl State {
    fn write(&mut self, bytes: &[u8]) {
        serial::write(bytes);
        if self.boot_len.is_none() {
            self.report(bytes);
        }
        for &byte in bytes {
            self.ring[self.written % RING_BYTES] = byte;
            self.written = self.written.wrapping_add(1);
        }
    }

    /// Adds to the report of the boot what is about to be written.
    #[cold]
    fn report(&mut self, bytes: &[u8]) {
        let places = self.boot.get_mut(self.written..).unwrap_or_default();
        let pairs = places.iter_mut().zip(bytes);
        pairs.for_each(|(place, byte)| *place = *byte);
    }
}

impl fmt::Write for State {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.write(text.as_bytes());
        Ok(())
    }
}

impl Log for Sink {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        let Some(mut state) = STATE.try_borrow() else {
            return;
        };
        let now_us = state.clock.map_or(0, |clock| clock.now().as_ns() / 1000);
        let level = match record.level() {
            Level::Error => "error: ",
            Level::Warn => "warning: ",
            Level::Info | Level::Debug | Level::Trace => "",
        };
        let (seconds, fraction) = (now_us / 1_000_000, now_us % 1_000_000);
        // The state's writer never fails; a `Display` that does leaves a short line.
        let _ = writeln!(
            state,
            "[{seconds:5}.{fraction:06}] denali: {level}{}",
            record.args()
        );
    }

    fn flush(&self) {}
}
