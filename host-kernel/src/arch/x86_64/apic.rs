//! The local APIC: one-shot timer, end of interrupt; the 8259s are silenced.
//!
//! The timer compares with the time-stamp counter where CPUID offers that, and counts down
//! otherwise. Registers are MSRs in x2APIC mode, else memory (SDM vol. 3A §11).

use super::clock::Clock;
use super::cpu::{Features, read_msr, write_msr};
use super::paging::Paging;
use super::port::outb;
use core::ops::Range;
use denali_kernel_core::time::Time;
use host_kernel::drivers::dma::DeviceMemory;

/// Vectors for devices.
pub(crate) const DEVICE_VECTORS: Range<u8> = 0x40..0x50;

const TIMER_VECTOR: u8 = 0xef;
const SPURIOUS_VECTOR: u8 = 0xff;

const IA32_APIC_BASE: u32 = 0x1b;
const IA32_TSC_DEADLINE: u32 = 0x6e0;
const X2APIC_MSR_BASE: u32 = 0x800;
const APIC_ENABLE: u64 = 1 << 11;
const X2APIC_ENABLE: u64 = 1 << 10;
const APIC_ADDRESS: u64 = 0x000f_ffff_ffff_f000;

const REGISTER_ID: u32 = 0x20;
const REGISTER_TASK_PRIORITY: u32 = 0x80;
const REGISTER_EOI: u32 = 0xb0;
const REGISTER_SPURIOUS: u32 = 0xf0;
const REGISTER_TIMER: u32 = 0x320;
const REGISTER_LINT0: u32 = 0x350;
const REGISTER_LINT1: u32 = 0x360;
const REGISTER_ERROR: u32 = 0x370;
const REGISTER_INITIAL_COUNT: u32 = 0x380;
const REGISTER_CURRENT_COUNT: u32 = 0x390;
const REGISTER_DIVIDE: u32 = 0x3e0;

const MASKED: u32 = 1 << 16;
const DELIVER_NMI: u32 = 4 << 8;
const TSC_DEADLINE_MODE: u32 = 2 << 17;
const SOFTWARE_ENABLE: u32 = 1 << 8;
const DIVIDE_BY_16: u32 = 0b0011;

const CALIBRATION_NS: u64 = 10_000_000;

/// How the timer counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Timer {
    /// Fires when the time-stamp counter passes a value.
    TscDeadline,
    /// Counts down at this many ticks per second.
    CountDown { hz: u64 },
}

/// The local APIC of this CPU.
#[derive(Debug)]
pub(crate) struct Apic {
    /// `None` in x2APIC mode.
    registers: Option<DeviceMemory>,
    timer: Timer,
    /// When the timer fires next.
    armed: Option<Time>,
}

impl Apic {
    /// Switches the APIC on and calibrates its timer.
    pub(crate) fn enable(features: &Features, paging: &mut Paging, clock: &Clock) -> Self {
        silence_pic();
        let base = read_msr(IA32_APIC_BASE) | APIC_ENABLE;
        let registers = if features.x2apic {
            write_msr(IA32_APIC_BASE, base | X2APIC_ENABLE);
            None
        } else {
            write_msr(IA32_APIC_BASE, base);
            let registers = paging.map_registers(base & APIC_ADDRESS, 4096);
            Some(registers.expect("the APIC lies in the device map, which is new"))
        };
        let timer = Timer::CountDown { hz: 1 };
        let mut apic = Self {
            registers,
            timer,
            armed: None,
        };
        apic.write(REGISTER_TASK_PRIORITY, 0);
        apic.write(REGISTER_LINT0, MASKED);
        apic.write(REGISTER_LINT1, DELIVER_NMI);
        apic.write(REGISTER_ERROR, MASKED);
        apic.write(
            REGISTER_SPURIOUS,
            SOFTWARE_ENABLE | u32::from(SPURIOUS_VECTOR),
        );
        apic.timer = apic.start_timer(features, clock);
        apic
    }

    /// Returns the id that devices send messages to.
    pub(crate) fn id(&self) -> u8 {
        let id = self.read(REGISTER_ID);
        let id = if self.registers.is_some() {
            id >> 24
        } else {
            id
        };
        u8::try_from(id).expect("the boot CPU's id is below 255")
    }

    /// Returns a word for the boot log.
    pub(crate) fn describe(&self) -> (&'static str, &'static str) {
        let mode = if self.registers.is_some() {
            "xAPIC"
        } else {
            "x2APIC"
        };
        let timer = match self.timer {
            Timer::TscDeadline => "TSC-deadline",
            Timer::CountDown { .. } => "one-shot",
        };
        (mode, timer)
    }

    /// Has the timer interrupt at `until` or before.
    ///
    /// A timer that fires earlier anyway is left alone: programming it costs more than the one
    /// interrupt too many, since most slices end before their time.
    pub(crate) fn arm(&mut self, until: Time, clock: &Clock) {
        if self.armed.is_some_and(|armed| armed <= until) {
            return;
        }
        self.armed = Some(until);
        match self.timer {
            Timer::TscDeadline => write_msr(IA32_TSC_DEADLINE, clock.timestamp_at(until).max(1)),
            Timer::CountDown { hz } => {
                let wait_ns = until.since_ns(clock.now());
                let ticks = u128::from(wait_ns) * u128::from(hz) / 1_000_000_000 + 1;
                let count = u32::try_from(ticks).unwrap_or(u32::MAX);
                self.write(REGISTER_INITIAL_COUNT, count);
            }
        }
    }

    /// Stops the timer.
    pub(crate) fn disarm(&mut self) {
        if self.armed.take().is_none() {
            return;
        }
        match self.timer {
            Timer::TscDeadline => write_msr(IA32_TSC_DEADLINE, 0),
            Timer::CountDown { .. } => self.write(REGISTER_INITIAL_COUNT, 0),
        }
    }

    /// Returns whether `vector` is the timer's.
    pub(crate) const fn is_timer(vector: u8) -> bool {
        vector == TIMER_VECTOR
    }

    /// Ends the interrupt `vector` towards the APIC.
    pub(crate) fn end_of_interrupt(&mut self, vector: u8) {
        if Self::is_timer(vector) {
            self.armed = None;
        }
        // A spurious interrupt is not in service (SDM vol. 3A §11.9).
        if vector != SPURIOUS_VECTOR {
            self.write(REGISTER_EOI, 0);
        }
    }

    fn start_timer(&mut self, features: &Features, clock: &Clock) -> Timer {
        if features.tsc_deadline {
            self.write(REGISTER_TIMER, TSC_DEADLINE_MODE | u32::from(TIMER_VECTOR));
            // The mode must be visible before the first deadline (SDM vol. 3A §11.5.4.1).
            self.read(REGISTER_TIMER);
            return Timer::TscDeadline;
        }
        self.write(REGISTER_DIVIDE, DIVIDE_BY_16);
        self.write(REGISTER_TIMER, MASKED | u32::from(TIMER_VECTOR));
        self.write(REGISTER_INITIAL_COUNT, u32::MAX);
        let start = clock.now();
        while clock.now().since_ns(start) < CALIBRATION_NS {
            core::hint::spin_loop();
        }
        let counted = u64::from(u32::MAX - self.read(REGISTER_CURRENT_COUNT));
        let elapsed_ns = clock.now().since_ns(start).max(1);
        self.write(REGISTER_INITIAL_COUNT, 0);
        self.write(REGISTER_TIMER, u32::from(TIMER_VECTOR));
        Timer::CountDown {
            hz: (counted * 1_000_000_000 / elapsed_ns).max(1),
        }
    }

    fn read(&self, register: u32) -> u32 {
        match &self.registers {
            Some(registers) => registers.read_u32(denali_abi::convert::u32_to_usize(register)),
            None => (read_msr(X2APIC_MSR_BASE + register / 16) & 0xffff_ffff) as u32,
        }
    }

    fn write(&mut self, register: u32, value: u32) {
        match &mut self.registers {
            Some(registers) => {
                registers.write_u32(denali_abi::convert::u32_to_usize(register), value);
            }
            None => write_msr(X2APIC_MSR_BASE + register / 16, u64::from(value)),
        }
    }
}

/// Moves the two 8259s off the exceptions' vectors and masks every line.
fn silence_pic() {
    const COMMANDS: [(u16, u8); 10] = [
        (0x20, 0x11), // start initialisation, expect ICW4
        (0xa0, 0x11),
        (0x21, 0x20), // vectors 20h and 28h
        (0xa1, 0x28),
        (0x21, 0x04), // the slave is on line 2
        (0xa1, 0x02),
        (0x21, 0x01), // 8086 mode
        (0xa1, 0x01),
        (0x21, 0xff), // all masked
        (0xa1, 0xff),
    ];
    for (port, value) in COMMANDS {
        outb(port, value);
    }
}
