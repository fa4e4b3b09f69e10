//! Monotonic time from the time-stamp counter, wall-clock time from the RTC.

use super::cpu::{self, Features};
use super::port::{inb, outb};
use denali_abi::registers::ClockParameters;
use denali_kernel_core::time::Time;
use host_kernel::calibration::{Measurement, counter_hz};

/// Ticks of the 8254 per second.
const PIT_HZ: u64 = 1_193_182;
/// 10 ms.
const PIT_TICKS_MIN: u16 = 11_932;
/// What a time-stamp counter of 20 GHz counts in that time: a working PIT is done long before.
const PIT_ELAPSED_MAX: u64 = 200_000_000;

/// If nothing tells the frequency; the boot log says so.
const GUESSED_HZ: u64 = 1_000_000_000;

/// Where the frequency of the time-stamp counter is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// CPUID leaf 15h.
    Cpuid,
    /// The hypervisor's leaf 4000_0010h.
    Hypervisor,
    /// Measured against the 8254.
    Pit,
    /// CPUID leaf 16h, the nominal frequency.
    Nominal,
    /// A guess.
    Guess,
}

/// The clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    parameters: ClockParameters,
    hz: u64,
    source: Source,
}

impl Clock {
    /// Finds the frequency and reads the wall clock; monotonic time starts here.
    pub(crate) fn start(features: &Features) -> Self {
        let (hz, source) = frequency(features);
        let parameters = ClockParameters {
            tsc_base: cpu::timestamp(),
            ns_per_tick: (1_000_000_000 << 32) / hz,
            monotonic_base_ns: 0,
            wall_offset_ns: 0,
        };
        let mut clock = Self {
            parameters,
            hz,
            source,
        };
        let wall_ns = wall_seconds().unwrap_or(0).saturating_mul(1_000_000_000);
        clock.parameters.wall_offset_ns = wall_ns.saturating_sub(clock.now().as_ns());
        clock
    }

    /// Returns the monotonic time.
    pub(crate) fn now(&self) -> Time {
        Time::from_ns(self.parameters.monotonic_ns(cpu::timestamp()))
    }

    /// Returns what guests need to read the same clock.
    pub(crate) fn parameters(&self) -> ClockParameters {
        self.parameters
    }

    /// Returns ticks per second.
    pub(crate) fn hz(&self) -> u64 {
        self.hz
    }

    /// Returns how the frequency was found.
    pub(crate) fn source(&self) -> Source {
        self.source
    }

    /// Returns the first value of the counter at which `time` has come.
    pub(crate) fn timestamp_at(&self, time: Time) -> u64 {
        let ticks = (u128::from(time.as_ns()) << 32) / u128::from(self.parameters.ns_per_tick);
        u64::try_from(ticks)
            .unwrap_or(u64::MAX)
            .saturating_add(self.parameters.tsc_base + 1)
    }
}

fn frequency(features: &Features) -> (u64, Source) {
    let last_leaf = cpu::cpuid(0, 0).eax;
    if last_leaf >= 0x15 {
        let leaf = cpu::cpuid(0x15, 0);
        if leaf.eax != 0 && leaf.ebx != 0 && leaf.ecx != 0 {
            let hz = u64::from(leaf.ecx) * u64::from(leaf.ebx) / u64::from(leaf.eax);
            return (hz, Source::Cpuid);
        }
    }
    if features.hypervisor && cpu::cpuid(0x4000_0000, 0).eax >= 0x4000_0010 {
        let khz = u64::from(cpu::cpuid(0x4000_0010, 0).eax);
        if khz != 0 {
            return (khz * 1000, Source::Hypervisor);
        }
    }
    if let Some(hz) = counter_hz(PIT_HZ, measure_by_pit) {
        return (hz, Source::Pit);
    }
    if last_leaf >= 0x16 {
        let mhz = u64::from(cpu::cpuid(0x16, 0).eax & 0xffff);
        if mhz != 0 {
            return (mhz * 1_000_000, Source::Nominal);
        }
    }
    (GUESSED_HZ, Source::Guess)
}

/// Counts ticks of the time-stamp counter while channel 0 of the 8254 counts down; `None` if it
/// does not.
fn measure_by_pit() -> Option<Measurement> {
    // Channel 0, both bytes, mode 0: counts down once. Its interrupt is masked.
    outb(0x43, 0x30);
    outb(0x40, 0xff);
    outb(0x40, 0xff);
    let mut last = cpu::timestamp();
    let first = read_pit();
    let start = cpu::timestamp();
    let mut longest_gap = start.saturating_sub(last);
    last = start;
    while last.saturating_sub(start) < PIT_ELAPSED_MAX {
        let counted = first.wrapping_sub(read_pit());
        let now = cpu::timestamp();
        longest_gap = longest_gap.max(now.saturating_sub(last));
        last = now;
        if counted >= PIT_TICKS_MIN {
            return Some(Measurement {
                elapsed: now.saturating_sub(start),
                counted: u64::from(counted),
                longest_gap,
            });
        }
    }
    None
}

fn read_pit() -> u16 {
    // Latch channel 0, so that both bytes are of one moment.
    outb(0x43, 0x00);
    let low = inb(0x40);
    u16::from_le_bytes([low, inb(0x40)])
}

/// Reads the RTC as seconds since the Unix epoch; `None` if it does not answer sensibly.
fn wall_seconds() -> Option<u64> {
    const ATTEMPTS_MAX: usize = 16;
    // Two equal readings mean that no update came between.
    let mut last = None;
    for _ in 0..ATTEMPTS_MAX {
        let reading = read_rtc()?;
        if last == Some(reading) {
            return host_kernel::wall_clock::unix_seconds(reading);
        }
        last = Some(reading);
    }
    None
}

fn read_rtc() -> Option<host_kernel::wall_clock::RtcReading> {
    const UPDATE_IN_PROGRESS: u8 = 0x80;
    const POLLS_MAX: u32 = 100_000;
    (0..POLLS_MAX).find(|_| read_cmos(0x0a) & UPDATE_IN_PROGRESS == 0)?;
    Some(host_kernel::wall_clock::RtcReading {
        second: read_cmos(0),
        minute: read_cmos(2),
        hour: read_cmos(4),
        day: read_cmos(7),
        month: read_cmos(8),
        year: read_cmos(9),
        format: read_cmos(0x0b),
    })
}

fn read_cmos(register: u8) -> u8 {
    // Bit 7 keeps NMIs enabled when clear.
    outb(0x70, register);
    inb(0x71)
}
