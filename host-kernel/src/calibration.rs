//! How fast the time-stamp counter counts, measured against a timer of known frequency.
//!
//! On a machine that others share, a hypervisor or an emulator may take the CPU away in the middle
//! of a measurement, and what was counted then means nothing. So each measurement says how long the
//! longest gap between two of its looks at the timer was: no error can be larger than that. The
//! first measurement with a small gap is good enough; if there is none, the best one must do.

/// One measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measurement {
    /// Ticks of the time-stamp counter.
    pub elapsed: u64,
    /// Ticks of the timer in the same time, at least 1.
    pub counted: u64,
    /// The most ticks of the time-stamp counter between two looks at the timer.
    pub longest_gap: u64,
}

/// Most measurements of a disturbed machine.
pub const MEASUREMENTS_MAX: usize = 20;

/// Measurements in a row without a result after which the timer counts as broken.
const FAILURES_MAX: usize = 3;

/// A gap is small if it is at most this part of the measurement.
const GAP_PART: u64 = 200;

impl Measurement {
    fn is_undisturbed(&self) -> bool {
        self.longest_gap <= self.elapsed / GAP_PART
    }

    /// Returns the error bound in millionths of the measurement.
    fn error_ppm(&self) -> u128 {
        u128::from(self.longest_gap) * 1_000_000 / u128::from(self.elapsed.max(1))
    }
}

/// Returns ticks of the time-stamp counter per second, at least 1, by the first measurement that
/// nothing disturbed, or else the least disturbed of [`MEASUREMENTS_MAX`]; `None` if the timer does
/// not count, that is, if `measure` has no result again and again. `timer_hz` is the timer's
/// frequency.
pub fn counter_hz(timer_hz: u64, mut measure: impl FnMut() -> Option<Measurement>) -> Option<u64> {
    let mut best: Option<Measurement> = None;
    let mut failures = 0;
    for _ in 0..MEASUREMENTS_MAX {
        let Some(measurement) = measure() else {
            failures += 1;
            if failures == FAILURES_MAX {
                break;
            }
            continue;
        };
        failures = 0;
        if best.is_none_or(|best| measurement.error_ppm() < best.error_ppm()) {
            best = Some(measurement);
        }
        if measurement.is_undisturbed() {
            break;
        }
    }
    let Measurement {
        elapsed, counted, ..
    } = best?;
    let hz = u128::from(elapsed) * u128::from(timer_hz) / u128::from(counted.max(1));
    Some(u64::try_from(hz).unwrap_or(u64::MAX).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    const TIMER_HZ: u64 = 1_000_000;

    /// 10 ms of a counter at 1 GHz, but for what disturbed it.
    fn measurement(elapsed: u64, longest_gap: u64) -> Measurement {
        Measurement {
            elapsed,
            counted: 10_000,
            longest_gap,
        }
    }

    #[test]
    fn one_undisturbed_measurement_is_enough() {
        let mut measurements = 0;
        let hz = counter_hz(TIMER_HZ, || {
            measurements += 1;
            Some(measurement(10_000_000, 3_000))
        });
        assert_eq!((hz, measurements), (Some(1_000_000_000), 1));
    }

    #[test]
    fn a_measurement_during_which_the_cpu_was_away_does_not_count() {
        let seen = [
            measurement(55_000_000, 45_000_000),
            measurement(4_000_000, 2_000_000),
            measurement(10_000_000, 3_000),
        ];
        let mut rest = seen.iter().copied();
        assert_eq!(counter_hz(TIMER_HZ, || rest.next()), Some(1_000_000_000));
    }

    #[test]
    fn on_a_machine_that_is_always_disturbed_the_best_one_counts() {
        let seen: Vec<_> = (0..MEASUREMENTS_MAX as u64)
            .map(|nth| measurement(10_000_000 + nth * 1_000_000, 100_000 + nth * 1_000_000))
            .collect();
        let mut rest = seen.into_iter();
        assert_eq!(counter_hz(TIMER_HZ, || rest.next()), Some(1_000_000_000));
        assert_eq!(rest.next(), None, "no more than that many");
    }

    #[test]
    fn a_timer_that_stands_still_tells_nothing() {
        let mut measurements = 0;
        let hz = counter_hz(TIMER_HZ, || {
            measurements += 1;
            None
        });
        assert_eq!((hz, measurements), (None, FAILURES_MAX));
    }

    #[test]
    fn one_measurement_without_a_result_is_followed_by_another() {
        let mut seen = [None, Some(measurement(10_000_000, 3_000))].into_iter();
        let hz = counter_hz(TIMER_HZ, || seen.next().flatten());
        assert_eq!(hz, Some(1_000_000_000));
    }
}
