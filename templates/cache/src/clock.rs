//! Time as the cache counts it: whole seconds, and when an item expires.

use denali_rt::time;

/// Longest expiry that counts from now, in seconds; a larger one is Unix time.
const RELATIVE_MAX: i64 = 60 * 60 * 24 * 30;

/// A point in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Seconds of monotonic time, at least 1. All that the store knows of time.
    pub tick: u32,
    /// Seconds since 1970, which clients may name an expiry in.
    pub unix: u64,
}

impl Moment {
    /// Returns the present.
    pub fn now() -> Self {
        let seconds = time::Instant::now().as_ns() / 1_000_000_000;
        let tick = u32::try_from(seconds + 1).unwrap_or(u32::MAX);
        Self {
            tick,
            unix: time::wall().as_secs(),
        }
    }
}

/// When an item expires: the tick from which on it is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Expiry(u32);

impl Expiry {
    /// Not before it is evicted.
    pub const NEVER: Self = Self(u32::MAX);

    /// Before it was stored.
    pub const PAST: Self = Self(0);

    /// Returns what a client means by `seconds`: 0 is never, a negative number is at once, up to 30
    /// days count from now, and anything larger is Unix time.
    pub fn requested(seconds: i64, now: Moment) -> Self {
        let ahead = match seconds {
            0 => return Self::NEVER,
            1..=RELATIVE_MAX => seconds,
            _ => seconds.saturating_sub(i64::try_from(now.unix).unwrap_or(i64::MAX)),
        };
        match u32::try_from(ahead) {
            Ok(0) | Err(_) if ahead <= 0 => Self::PAST,
            ahead => Self(now.tick.saturating_add(ahead.unwrap_or(u32::MAX))),
        }
    }

    /// Returns whether the time has come.
    pub fn is_past(self, tick: u32) -> bool {
        self != Self::NEVER && self.0 <= tick
    }

    /// Returns the seconds that are left, or `None` for [`NEVER`](Self::NEVER).
    pub fn remaining(self, tick: u32) -> Option<u32> {
        (self != Self::NEVER).then(|| self.0.saturating_sub(tick))
    }

    /// Returns the tick from which on the item is gone.
    pub fn tick(self) -> u32 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Moment = Moment {
        tick: 100,
        unix: 1_700_000_000,
    };

    #[test]
    fn an_expiry_counts_from_now_up_to_thirty_days() {
        for (seconds, expiry) in [
            (0, Expiry::NEVER),
            (1, Expiry(101)),
            (RELATIVE_MAX, Expiry(100 + 2_592_000)),
            (RELATIVE_MAX + 1, Expiry::PAST),
            (1_700_000_000, Expiry::PAST),
            (1_700_000_010, Expiry(110)),
            (-1, Expiry::PAST),
            (i64::MIN, Expiry::PAST),
            (i64::MAX, Expiry::NEVER),
        ] {
            assert_eq!(Expiry::requested(seconds, NOW), expiry, "{seconds}");
        }
    }

    #[denali_rt::test]
    fn time_passes_while_the_vm_waits() {
        let before = Moment::now();
        denali_rt::thread::sleep(core::time::Duration::from_secs(1));
        let after = Moment::now();
        assert!(after.tick > before.tick && after.unix > before.unix);
    }

    #[test]
    fn an_item_is_gone_from_its_tick_on() {
        let expiry = Expiry::requested(5, NOW);
        assert!(!expiry.is_past(104) && expiry.is_past(105));
        assert_eq!(expiry.remaining(103), Some(2));
        assert!(!Expiry::NEVER.is_past(u32::MAX));
        assert_eq!(Expiry::NEVER.remaining(7), None);
    }
}
