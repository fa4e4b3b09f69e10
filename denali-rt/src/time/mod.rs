//! Time: a monotonic clock and a wall clock, both read without crossing, and sleep.

pub mod wheel;

pub use crate::thread::{sleep, sleep_until};
pub use core::time::Duration;
pub use wheel::{TimerKey, Wheel};

use core::ops::{Add, AddAssign, Sub, SubAssign};

/// A point in monotonic time, in nanoseconds since the host booted. In a VM that was restored or
/// cloned the clock goes on where it stood when that was saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// A point that is never reached.
    pub const MAX: Self = Self(u64::MAX);

    /// Returns the current time.
    #[must_use]
    pub fn now() -> Self {
        Self(clock::monotonic_ns())
    }

    /// Returns the point `ns` nanoseconds after the host booted.
    #[must_use]
    pub const fn from_ns(ns: u64) -> Self {
        Self(ns)
    }

    /// Returns nanoseconds since the host booted.
    #[must_use]
    pub const fn as_ns(self) -> u64 {
        self.0
    }

    /// Returns the time since this point, or zero if it lies ahead.
    #[must_use]
    pub fn elapsed(self) -> Duration {
        Self::now() - self
    }

    /// Returns the time from `earlier` to this point, or zero if `earlier` is later.
    #[must_use]
    pub const fn duration_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// Returns the point `duration` later, or `None` if it cannot be represented.
    #[must_use]
    pub fn checked_add(self, duration: Duration) -> Option<Self> {
        let ns = u64::try_from(duration.as_nanos()).ok()?;
        self.0.checked_add(ns).map(Self)
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    /// Returns the point `duration` later, [`Instant::MAX`] at most.
    fn add(self, duration: Duration) -> Self {
        self.checked_add(duration).unwrap_or(Self::MAX)
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

impl Sub<Duration> for Instant {
    type Output = Self;

    /// Returns the point `duration` earlier, boot at the earliest.
    fn sub(self, duration: Duration) -> Self {
        let ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_sub(ns))
    }
}

impl SubAssign<Duration> for Instant {
    fn sub_assign(&mut self, duration: Duration) {
        *self = *self - duration;
    }
}

impl Sub for Instant {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        self.duration_since(earlier)
    }
}

/// Returns the wall-clock time since the Unix epoch (1970-01-01 00:00 UTC).
#[must_use]
pub fn wall() -> Duration {
    clock::wall()
}

/// The clocks of a guest: the time-stamp counter and the kernel's parameters for it.
#[cfg(denali)]
mod clock {
    use crate::registers;
    use core::time::Duration;
    use denali_abi::registers::ClockParameters;

    pub(super) fn monotonic_ns() -> u64 {
        read(|clock| clock.monotonic_ns(registers::time_stamp_counter()))
    }

    pub(super) fn wall() -> Duration {
        Duration::from_nanos(read(|clock| {
            let now_ns = clock.monotonic_ns(registers::time_stamp_counter());
            now_ns.wrapping_add(clock.wall_offset_ns)
        }))
    }

    /// Reads counter and parameters that belong together: in between the VM may have been saved, and
    /// restored on a host that counts from elsewhere.
    fn read(value: impl Fn(&ClockParameters) -> u64) -> u64 {
        loop {
            let generation = registers::resume_generation();
            let read = value(&registers::clock());
            if generation == registers::resume_generation() {
                return read;
            }
        }
    }
}

/// The clocks of the developer's machine, for tests.
#[cfg(not(denali))]
mod clock {
    use core::time::Duration;
    use std::sync::OnceLock;
    use std::time::{Instant, SystemTime, UNIX_EPOCH};

    pub(super) fn monotonic_ns() -> u64 {
        static START: OnceLock<Instant> = OnceLock::new();
        let since = START.get_or_init(Instant::now).elapsed();
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }

    pub(super) fn wall() -> Duration {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_stops_at_both_ends_of_time() {
        assert_eq!(Instant::from_ns(5) + Duration::MAX, Instant::MAX);
        assert_eq!(Instant::from_ns(5).checked_add(Duration::MAX), None);
        assert_eq!(
            Instant::from_ns(5) - Duration::from_secs(1),
            Instant::from_ns(0)
        );
        assert_eq!(Instant::from_ns(5) - Instant::from_ns(9), Duration::ZERO);
        assert_eq!(
            Instant::from_ns(9) - Instant::from_ns(5),
            Duration::from_nanos(4)
        );
    }

    #[test]
    fn the_monotonic_clock_does_not_run_backwards() {
        let earlier = Instant::now();
        assert!(Instant::now() >= earlier);
    }
}
