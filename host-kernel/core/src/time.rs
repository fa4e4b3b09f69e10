//! Monotonic time and durations, in nanoseconds since boot. The core has no clock of its own: time
//! is an argument.

use core::num::NonZeroU64;

/// A point in monotonic time, in nanoseconds since boot, up to 584 years.
///
/// Kept plus one, so that [`Option<Time>`] takes no more room.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(NonZeroU64);

const _: () = assert!(size_of::<Option<Time>>() == 8);

impl Default for Time {
    fn default() -> Self {
        Self::from_ns(0)
    }
}

impl core::fmt::Debug for Time {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Time({} ns)", self.as_ns())
    }
}

impl Time {
    /// Returns the point `ns` nanoseconds after boot.
    #[must_use]
    pub const fn from_ns(ns: u64) -> Self {
        Self(NonZeroU64::MIN.saturating_add(ns))
    }

    /// Returns nanoseconds since boot.
    #[must_use]
    pub const fn as_ns(self) -> u64 {
        self.0.get() - 1
    }

    /// Returns the point `ns` nanoseconds later, or the end of time.
    #[must_use]
    pub const fn plus_ns(self, ns: u64) -> Self {
        Self(self.0.saturating_add(ns))
    }

    /// Returns the nanoseconds since `earlier`, or 0 if it is later.
    #[must_use]
    pub const fn since_ns(self, earlier: Self) -> u64 {
        self.0.get().saturating_sub(earlier.0.get())
    }
}
