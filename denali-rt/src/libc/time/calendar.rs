//! Dates: the proleptic Gregorian calendar in UTC.

use super::super::errno::{self, EOVERFLOW};
use super::super::memory::{In, Out, Text};
use crate::sync::GuestCell;
use core::ffi::{c_int, c_long};

/// A date and a time of day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Tm {
    /// Seconds, 0 to 60.
    pub tm_sec: c_int,
    /// Minutes, 0 to 59.
    pub tm_min: c_int,
    /// Hours, 0 to 23.
    pub tm_hour: c_int,
    /// Day of the month, 1 to 31.
    pub tm_mday: c_int,
    /// Month, 0 to 11.
    pub tm_mon: c_int,
    /// Year minus 1900.
    pub tm_year: c_int,
    /// Day of the week, Sunday is 0.
    pub tm_wday: c_int,
    /// Day of the year, 0 to 365.
    pub tm_yday: c_int,
    /// Whether daylight saving applies: never.
    pub tm_isdst: c_int,
    /// Seconds east of Greenwich: 0.
    pub tm_gmtoff: c_long,
    /// The zone's name.
    pub tm_zone: Zone,
}

/// The name of a time zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Zone(Text);

impl Default for Zone {
    fn default() -> Self {
        Self(Text::of(c"UTC"))
    }
}

const DAY: i64 = 24 * 60 * 60;

/// Days from 0000-03-01 to 1970-01-01.
const EPOCH_DAYS: i64 = 719_468;

/// Days in 400 years.
const ERA: i64 = 146_097;

/// Returns the days from the Unix epoch to a day (Hinnant, "chrono-compatible low-level date
/// algorithms"); `month` from 0, `day` from 1.
pub(super) fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month < 2 { year - 1 } else { year };
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 10) % 12) + 2) / 5 + day - 1;
    let day_of_era = of_era * 365 + of_era / 4 - of_era / 100 + of_year;
    year.div_euclid(400) * ERA + day_of_era - EPOCH_DAYS
}

/// Returns year, month from 0 and day from 1 of the day that many days after the Unix epoch.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + EPOCH_DAYS;
    let of_era = days.rem_euclid(ERA);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = (from_march + 2) % 12;
    let year = year_of_era + days.div_euclid(ERA) * 400;
    (if month < 2 { year + 1 } else { year }, month, day)
}

/// Returns the date of a time since the Unix epoch; nothing if the year fits no `int`.
pub(super) fn date(time: i64) -> Option<Tm> {
    let (days, second) = (time.div_euclid(DAY), time.rem_euclid(DAY));
    let (year, month, day) = civil_from_days(days);
    let int = |number: i64| c_int::try_from(number).ok();
    Some(Tm {
        tm_sec: int(second % 60)?,
        tm_min: int(second / 60 % 60)?,
        tm_hour: int(second / 3600)?,
        tm_mday: int(day)?,
        tm_mon: int(month)?,
        tm_year: int(year - 1900)?,
        tm_wday: int((days + 4).rem_euclid(7))?,
        tm_yday: int(days - days_from_civil(year, 0, 1))?,
        ..Tm::default()
    })
}

/// Returns the time of a date whose fields may be out of range.
pub(super) fn time_of(date: &Tm) -> i64 {
    let month = i64::from(date.tm_mon);
    let year = i64::from(date.tm_year) + 1900 + month.div_euclid(12);
    let first = days_from_civil(year, month.rem_euclid(12), 1);
    let days = first + i64::from(date.tm_mday) - 1;
    let minutes = i64::from(date.tm_hour) * 60 + i64::from(date.tm_min);
    days * DAY + minutes * 60 + i64::from(date.tm_sec)
}

/// Tells the date of a time; null if its year fits no `int`.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn gmtime_r(time: In<i64>, result: Out<Tm>) -> Out<Tm> {
    match time.read().and_then(date) {
        Some(date) => {
            result.write(date);
            result
        }
        None => {
            errno::set(EOVERFLOW);
            Out::NULL
        }
    }
}

/// Like [`gmtime_r`].
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn localtime_r(time: In<i64>, result: Out<Tm>) -> Out<Tm> {
    gmtime_r(time, result)
}

/// The date of [`gmtime`].
static SHARED: GuestCell<Tm> = GuestCell::new(Tm {
    tm_sec: 0,
    tm_min: 0,
    tm_hour: 0,
    tm_mday: 1,
    tm_mon: 0,
    tm_year: 70,
    tm_wday: 4,
    tm_yday: 0,
    tm_isdst: 0,
    tm_gmtoff: 0,
    tm_zone: Zone(Text::of(c"UTC")),
});

/// Like [`gmtime_r`], into a place that all callers share.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn gmtime(time: In<i64>) -> Out<Tm> {
    let place = SHARED.with(|shared| Out::from_raw(core::ptr::from_mut(shared)));
    gmtime_r(time, place)
}

/// Like [`gmtime`].
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn localtime(time: In<i64>) -> Out<Tm> {
    gmtime(time)
}

/// Returns the time of a date, and brings the date's fields into their ranges.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn timegm(date_in: Out<Tm>) -> i64 {
    let time = date_in.read().map(|date| time_of(&date));
    match time.and_then(|time| Some((time, date(time)?))) {
        Some((time, date)) => {
            date_in.write(date);
            time
        }
        None => {
            errno::set(EOVERFLOW);
            -1
        }
    }
}

/// Like [`timegm`].
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn mktime(date: Out<Tm>) -> i64 {
    timegm(date)
}

/// Does nothing: the zone is UTC.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn tzset() {}
