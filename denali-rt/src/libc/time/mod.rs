//! `time.h`, and `gettimeofday` of `sys/time.h`. The only time zone is UTC.
//!
//! | file          | what                               |
//! |---------------|------------------------------------|
//! | `calendar.rs` | dates                              |
//! | `format.rs`   | dates as text                      |

mod calendar;
mod format;

pub use calendar::{Tm, gmtime, gmtime_r, localtime, localtime_r, mktime, timegm, tzset};
pub use format::{asctime, asctime_r, ctime, ctime_r, strftime};

use super::errno::{self, EINVAL, Errno};
use super::memory::{In, Out};
use crate::thread;
use crate::time::{Duration, Instant, wall};
use core::ffi::{c_int, c_long};

/// Seconds and nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct TimeSpec {
    /// Whole seconds.
    pub tv_sec: i64,
    /// Nanoseconds, 0 to 999,999,999.
    pub tv_nsec: c_long,
}

/// Seconds and microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct TimeVal {
    /// Whole seconds.
    pub tv_sec: i64,
    /// Microseconds, 0 to 999,999.
    pub tv_usec: c_long,
}

/// Since the Unix epoch.
pub const CLOCK_REALTIME: c_int = 0;

/// Since the host booted.
pub const CLOCK_MONOTONIC: c_int = 1;

const CLOCK_PROCESS_CPUTIME_ID: c_int = 2;
const CLOCK_THREAD_CPUTIME_ID: c_int = 3;
const CLOCK_MONOTONIC_RAW: c_int = 4;
const CLOCK_REALTIME_COARSE: c_int = 5;
const CLOCK_MONOTONIC_COARSE: c_int = 6;
const CLOCK_BOOTTIME: c_int = 7;

const TIMER_ABSTIME: c_int = 1;

/// Ticks of [`clock`] in a second.
const CLOCKS_PER_SEC: u64 = 1_000_000;

impl From<Duration> for TimeSpec {
    fn from(duration: Duration) -> Self {
        Self {
            tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: duration.subsec_nanos().into(),
        }
    }
}

impl From<Duration> for TimeVal {
    fn from(duration: Duration) -> Self {
        Self {
            tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
            tv_usec: duration.subsec_micros().into(),
        }
    }
}

impl TimeSpec {
    /// Returns it as a duration.
    pub(super) fn duration(self) -> Result<Duration, Errno> {
        let nanos = u32::try_from(self.tv_nsec)
            .ok()
            .filter(|ns| *ns < 1_000_000_000);
        match (u64::try_from(self.tv_sec), nanos) {
            (Ok(seconds), Some(nanos)) => Ok(Duration::new(seconds, nanos)),
            _ => Err(Errno(EINVAL)),
        }
    }

    /// Returns it, a time of `clock`, as a point in monotonic time.
    pub(super) fn deadline(self, clock: c_int) -> Result<Instant, Errno> {
        let time = self.duration()?;
        let now = now(clock)?;
        Ok(Instant::now() + time.saturating_sub(now))
    }
}

impl TimeVal {
    /// Returns it as a duration.
    pub(super) fn duration(self) -> Result<Duration, Errno> {
        let nanos = self.tv_usec.checked_mul(1000).ok_or(Errno(EINVAL))?;
        TimeSpec {
            tv_sec: self.tv_sec,
            tv_nsec: nanos,
        }
        .duration()
    }
}

/// Returns what a clock says.
pub(super) fn now(clock: c_int) -> Result<Duration, Errno> {
    match clock {
        CLOCK_REALTIME | CLOCK_REALTIME_COARSE => Ok(wall()),
        CLOCK_MONOTONIC | CLOCK_MONOTONIC_RAW | CLOCK_MONOTONIC_COARSE | CLOCK_BOOTTIME
        // The VM's time, which is what its only process has had at most.
        | CLOCK_PROCESS_CPUTIME_ID | CLOCK_THREAD_CPUTIME_ID => {
            Ok(Duration::from_nanos(Instant::now().as_ns()))
        }
        _ => Err(Errno(EINVAL)),
    }
}

/// Tells what a clock says.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn clock_gettime(clock: c_int, result: Out<TimeSpec>) -> c_int {
    errno::answer(now(clock).map(|now| {
        result.write(now.into());
        0
    }))
}

/// Tells how fine a clock is.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn clock_getres(clock: c_int, result: Out<TimeSpec>) -> c_int {
    errno::answer(now(clock).map(|_| {
        result.write(Duration::from_nanos(1).into());
        0
    }))
}

/// Tells the time since the Unix epoch.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn gettimeofday(result: Out<TimeVal>, _zone: Out<u8>) -> c_int {
    result.write(wall().into());
    0
}

/// Returns the seconds since the Unix epoch, and stores them unless `result` is null.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn time(result: Out<i64>) -> i64 {
    let seconds = TimeSpec::from(wall()).tv_sec;
    result.write(seconds);
    seconds
}

/// Returns the time the VM's host has been up, in microseconds.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn clock() -> c_long {
    let ticks = Instant::now().as_ns() / (1_000_000_000 / CLOCKS_PER_SEC);
    c_long::try_from(ticks).unwrap_or(-1)
}

/// Returns the difference of two times in seconds.
#[cfg_attr(denali, unsafe(no_mangle))]
#[expect(clippy::cast_precision_loss, reason = "as C libraries do")]
pub extern "C" fn difftime(later: i64, earlier: i64) -> f64 {
    later.wrapping_sub(earlier) as f64
}

/// Waits; nothing ends a sleep early.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn nanosleep(time: In<TimeSpec>, _left: Out<TimeSpec>) -> c_int {
    errno::answer(sleep(CLOCK_MONOTONIC, 0, time).map(|()| 0))
}

/// Waits for a time, or until one if the flag says so. Returns 0 or an error number.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn clock_nanosleep(
    clock: c_int,
    flags: c_int,
    time: In<TimeSpec>,
    _left: Out<TimeSpec>,
) -> c_int {
    errno::code(sleep(clock, flags, time))
}

fn sleep(clock: c_int, flags: c_int, time: In<TimeSpec>) -> Result<(), Errno> {
    let time = time.read().ok_or(Errno(errno::EFAULT))?;
    let deadline = if flags & TIMER_ABSTIME != 0 {
        time.deadline(clock)?
    } else {
        now(clock)?;
        Instant::now() + time.duration()?
    };
    thread::sleep_until(deadline);
    Ok(())
}

#[cfg(test)]
mod tests;
