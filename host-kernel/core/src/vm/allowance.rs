//! What a VM may take of CPU and network, and what it took.
//!
//! Limits bind whatever the policies decide: a scheduler shares the CPU among those who may run, a
//! cap says who may. All meters start empty, so a VM may begin with a burst.

use crate::meter::Meter;
use crate::time::Time;
use denali_abi::control::{CAP_WHOLE, Limits};
use denali_abi::convert::usize_to_u64;

/// The time within which a cap is kept, in nanoseconds: a VM that idled may use the CPU whole until
/// it has taken as much as its cap gives in this time.
pub const CAP_PERIOD_NS: u64 = 100_000_000;

/// The burst of frames, as the time in which the rate gives as much, in nanoseconds.
pub const BURST_NS: u64 = 100_000_000;

/// The meters of one direction.
#[derive(Clone, Copy, Debug, Default)]
struct Traffic {
    packets: Meter,
    bytes: Meter,
}

/// The limits of one VM and its meters.
#[derive(Clone, Copy, Debug)]
pub struct Allowance {
    limits: Limits,
    cpu: Meter,
    transmit: Traffic,
    receive: Traffic,
}

const _: () = assert!(size_of::<Allowance>() == 64);

impl Allowance {
    /// Returns limits of which nothing was taken yet.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            cpu: Meter::default(),
            transmit: Traffic::default(),
            receive: Traffic::default(),
        }
    }

    /// Returns the limits.
    #[must_use]
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Returns for how many nanoseconds the VM may run now; all of them without a cap.
    #[must_use]
    pub fn cpu_left_ns(&self, now: Time) -> u64 {
        if self.limits.cpu_cap == 0 {
            return u64::MAX;
        }
        let free_ns = CAP_PERIOD_NS.saturating_sub(self.cpu.debt_ns(now));
        free_ns * u64::from(self.limits.cpu_cap) / u64::from(CAP_WHOLE)
    }

    /// Takes note that the VM ran for `ran_ns` until `now`. Returns when it may run again if its cap
    /// is used up: with half a period earned, so that it is worth a world switch.
    pub fn charge_cpu(&mut self, ran_ns: u64, now: Time) -> Option<Time> {
        if self.limits.cpu_cap == 0 {
            return None;
        }
        let began = Time::from_ns(now.as_ns().saturating_sub(ran_ns));
        let whole = ran_ns.saturating_mul(u64::from(CAP_WHOLE));
        self.cpu
            .take_ns(whole / u64::from(self.limits.cpu_cap), began);
        let used_up = self.cpu.debt_ns(now) >= CAP_PERIOD_NS && !cfg!(sabotage = "ignore-caps");
        used_up.then(|| self.cpu.when_down_to(CAP_PERIOD_NS / 2))
    }

    /// Returns whether the VM may send a frame now.
    ///
    /// # Errors
    ///
    /// When it may again.
    pub fn may_transmit(&self, now: Time) -> Result<(), Time> {
        self.transmit.may_pass(now)
    }

    /// Takes note of a frame sent.
    pub fn charge_transmit(&mut self, length: usize, now: Time) {
        self.transmit.charge(length, &self.limits, now);
    }

    /// Takes note of a frame for the VM. Returns whether it may have it.
    pub fn take_receive(&mut self, length: usize, now: Time) -> bool {
        let may = self.receive.may_pass(now).is_ok();
        if may {
            self.receive.charge(length, &self.limits, now);
        }
        may
    }

    /// Returns whether frames are limited at all.
    #[must_use]
    pub const fn limits_frames(&self) -> bool {
        self.limits.packet_rate != 0 || self.limits.byte_rate != 0
    }
}

impl Traffic {
    fn may_pass(&self, now: Time) -> Result<(), Time> {
        let more = |meter: Meter| {
            let used_up = meter.debt_ns(now) >= BURST_NS && !cfg!(sabotage = "ignore-rates");
            used_up.then(|| meter.when_down_to(BURST_NS - 1))
        };
        match more(self.packets).max(more(self.bytes)) {
            None => Ok(()),
            Some(time) => Err(time),
        }
    }

    fn charge(&mut self, length: usize, limits: &Limits, now: Time) {
        if limits.packet_rate != 0 {
            self.packets.take(1, limits.packet_rate, now);
        }
        if limits.byte_rate != 0 {
            self.bytes.take(usize_to_u64(length), limits.byte_rate, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cap_is_kept_in_the_long_run() {
        for cap in [1, 10, 250, 500, 999] {
            let limits = Limits {
                cpu_cap: cap,
                ..Limits::default()
            };
            let mut allowance = Allowance::new(limits);
            let mut now = Time::from_ns(0);
            let mut ran_ns = 0;
            while now.as_ns() < 20_000_000_000 {
                let slice_ns = allowance.cpu_left_ns(now).clamp(100_000, 10_000_000);
                now = now.plus_ns(slice_ns);
                ran_ns += slice_ns;
                if let Some(until) = allowance.charge_cpu(slice_ns, now) {
                    assert!(until > now);
                    now = until;
                }
            }
            let due_ns = now.as_ns() / 1000 * u64::from(cap);
            let error = ran_ns.abs_diff(due_ns) * 100 / due_ns;
            assert!(
                error <= 2,
                "{ran_ns} ns instead of {due_ns} ns with {cap}/1000"
            );
        }
    }

    #[test]
    fn both_rates_bind_and_say_until_when() {
        let limits = Limits {
            packet_rate: 1000,
            byte_rate: 10_000,
            ..Limits::default()
        };
        let mut allowance = Allowance::new(limits);
        let now = Time::from_ns(5);
        assert_eq!(allowance.may_transmit(now), Ok(()));
        allowance.charge_transmit(1000, now);
        let until = Time::from_ns(6);
        assert_eq!(allowance.may_transmit(now), Err(until));
        assert_eq!(allowance.may_transmit(until), Ok(()));
        assert!(allowance.take_receive(1500, now), "directions are apart");
        assert!(!allowance.take_receive(60, now));
    }

    #[test]
    fn without_limits_everything_goes() {
        let mut allowance = Allowance::new(Limits::default());
        let now = Time::from_ns(0);
        assert_eq!(allowance.charge_cpu(u64::MAX, now), None);
        assert_eq!(allowance.cpu_left_ns(now), u64::MAX);
        for _ in 0..10_000 {
            assert!(allowance.take_receive(1514, now));
        }
        assert!(!allowance.limits_frames());
    }
}
