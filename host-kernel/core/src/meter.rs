//! Meters: how much of a rate was used, in one word each.
//!
//! A token bucket kept as a point in time (the generic cell rate algorithm, ITU-T I.371 annex A):
//! whatever is taken moves the time at which it will have been earned into the future. Nothing has
//! to be refilled, and a meter nobody asks costs nothing.

use crate::time::Time;

/// Nanoseconds in a second.
const SECOND_NS: u64 = 1_000_000_000;

/// What was taken of one rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Meter {
    /// When everything taken so far has been earned.
    earned_at: Time,
}

impl Meter {
    /// Returns the time still to pass until everything taken has been earned, in nanoseconds.
    #[must_use]
    pub const fn debt_ns(&self, now: Time) -> u64 {
        self.earned_at.since_ns(now)
    }

    /// Returns when the debt will have come down to `debt_ns`.
    #[must_use]
    pub const fn when_down_to(&self, debt_ns: u64) -> Time {
        Time::from_ns(self.earned_at.as_ns().saturating_sub(debt_ns))
    }

    /// Takes what it costs `cost_ns` to earn.
    pub fn take_ns(&mut self, cost_ns: u64, now: Time) {
        self.earned_at = self.earned_at.max(now).plus_ns(cost_ns);
    }

    /// Takes `units` of a rate of `per_second`, which is not 0. Rounds against the taker, so no
    /// rate is ever exceeded in the long run.
    pub fn take(&mut self, units: u64, per_second: u64, now: Time) {
        let cost_ns = units.saturating_mul(SECOND_NS).div_ceil(per_second.max(1));
        self.take_ns(cost_ns, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_kept_in_the_long_run_whatever_the_burst() {
        const BURST_NS: u64 = SECOND_NS / 10;
        for per_second in [1, 7, 1000, 333_333] {
            let mut meter = Meter::default();
            let mut taken = 0;
            for tick in 0..200_000 {
                let now = Time::from_ns(tick * 100_000);
                if meter.debt_ns(now) < BURST_NS {
                    meter.take(1, per_second, now);
                    taken += 1;
                }
            }
            let earned = 20 * per_second.min(10_000);
            let burst = per_second / 10 + 1;
            assert!(taken <= earned + burst, "{taken} at {per_second}");
            assert!(taken + taken / 20 + 1 >= earned, "{taken} at {per_second}");
        }
    }

    #[test]
    fn a_rest_earns_no_more_than_the_burst() {
        let mut meter = Meter::default();
        meter.take(5, 10, Time::from_ns(0));
        assert_eq!(meter.debt_ns(Time::from_ns(0)), SECOND_NS / 2);
        assert_eq!(meter.debt_ns(Time::from_ns(SECOND_NS)), 0);
        assert_eq!(
            meter.when_down_to(SECOND_NS / 10),
            Time::from_ns(400_000_000)
        );
        meter.take(1, 10, Time::from_ns(5 * SECOND_NS));
        assert_eq!(meter.debt_ns(Time::from_ns(5 * SECOND_NS)), SECOND_NS / 10);
    }
}
