//! Dates as text, in C's locale.

use super::super::errno::{self, EINVAL};
use super::super::memory::{In, Out, Text};
use super::calendar::{Tm, date};
use crate::sync::GuestCell;
use core::ffi::c_int;
use core::fmt::{self, Write};

const DAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// A buffer; what does not fit is an error.
struct Buffer {
    place: Out<u8>,
    room: usize,
    used: usize,
}

impl Write for Buffer {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if text.len() > self.room - self.used {
            return Err(fmt::Error);
        }
        let mut place = self.place.add(self.used);
        place.slice(text.len()).copy_from_slice(text.as_bytes());
        self.used += text.len();
        Ok(())
    }
}

/// Writes a date as the format says. Returns the length, 0 if it does not fit.
///
/// Known: `%a %A %b %B %c %C %d %D %e %F %g %G %h %H %I %j %m %M %n %p %r %R %s %S %t %T %u %U %V %w
/// %W %x %X %y %Y %z %Z %%`; the modifiers `E` and `O` change nothing in C's locale.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn strftime(to: Out<u8>, len: usize, format: Text, date: In<Tm>) -> usize {
    let (Some(date), Some(room)) = (date.read(), len.checked_sub(1)) else {
        return 0;
    };
    let mut buffer = Buffer {
        place: to,
        room,
        used: 0,
    };
    match write(&mut buffer, format.bytes(), &date) {
        Ok(()) => {
            to.add(buffer.used).write(0);
            buffer.used
        }
        Err(fmt::Error) => 0,
    }
}

fn write(buffer: &mut Buffer, format: &[u8], date: &Tm) -> fmt::Result {
    let mut bytes = format.iter();
    while let Some(byte) = bytes.next() {
        let conversion = match byte {
            b'%' => match bytes.next() {
                Some(b'E' | b'O') => bytes.next(),
                next => next,
            },
            _ => {
                write_byte(buffer, *byte)?;
                continue;
            }
        };
        match conversion {
            Some(conversion) => convert(buffer, *conversion, date)?,
            None => return buffer.write_str("%"),
        }
    }
    Ok(())
}

/// Writes a byte that may be a part of a character.
fn write_byte(buffer: &mut Buffer, byte: u8) -> fmt::Result {
    if buffer.used == buffer.room {
        return Err(fmt::Error);
    }
    buffer.place.add(buffer.used).write(byte);
    buffer.used += 1;
    Ok(())
}

fn name(names: &'static [&'static str], place: c_int) -> &'static str {
    let place = usize::try_from(place).ok();
    place
        .and_then(|place| names.get(place))
        .copied()
        .unwrap_or("?")
}

fn convert(buffer: &mut Buffer, conversion: u8, date: &Tm) -> fmt::Result {
    let year = i64::from(date.tm_year) + 1900;
    let short = |name: &'static str| name.get(..3).unwrap_or(name);
    let hour = match date.tm_hour % 12 {
        0 => 12,
        hour => hour,
    };
    match conversion {
        b'a' => buffer.write_str(short(name(&DAYS, date.tm_wday))),
        b'A' => buffer.write_str(name(&DAYS, date.tm_wday)),
        b'b' | b'h' => buffer.write_str(short(name(&MONTHS, date.tm_mon))),
        b'B' => buffer.write_str(name(&MONTHS, date.tm_mon)),
        b'c' => write(buffer, b"%a %b %e %H:%M:%S %Y", date),
        b'C' => write!(buffer, "{:02}", year.div_euclid(100)),
        b'd' => write!(buffer, "{:02}", date.tm_mday),
        b'D' | b'x' => write(buffer, b"%m/%d/%y", date),
        b'e' => write!(buffer, "{:2}", date.tm_mday),
        b'F' => write(buffer, b"%Y-%m-%d", date),
        b'g' => write!(buffer, "{:02}", iso_week(date).0.rem_euclid(100)),
        b'G' => write!(buffer, "{}", iso_week(date).0),
        b'H' => write!(buffer, "{:02}", date.tm_hour),
        b'I' => write!(buffer, "{hour:02}"),
        b'j' => write!(buffer, "{:03}", date.tm_yday + 1),
        b'm' => write!(buffer, "{:02}", date.tm_mon + 1),
        b'M' => write!(buffer, "{:02}", date.tm_min),
        b'n' => buffer.write_str("\n"),
        b'p' => buffer.write_str(if date.tm_hour < 12 { "AM" } else { "PM" }),
        b'r' => write(buffer, b"%I:%M:%S %p", date),
        b'R' => write(buffer, b"%H:%M", date),
        b's' => write!(buffer, "{}", super::calendar::time_of(date)),
        b'S' => write!(buffer, "{:02}", date.tm_sec),
        b't' => buffer.write_str("\t"),
        b'T' | b'X' => write(buffer, b"%H:%M:%S", date),
        b'u' => write!(buffer, "{}", (date.tm_wday + 6) % 7 + 1),
        b'U' => write!(buffer, "{:02}", (date.tm_yday + 7 - date.tm_wday) / 7),
        b'V' => write!(buffer, "{:02}", iso_week(date).1),
        b'w' => write!(buffer, "{}", date.tm_wday),
        b'W' => write!(
            buffer,
            "{:02}",
            (date.tm_yday + 7 - (date.tm_wday + 6) % 7) / 7
        ),
        b'y' => write!(buffer, "{:02}", year.rem_euclid(100)),
        b'Y' => write!(buffer, "{year}"),
        b'z' => buffer.write_str("+0000"),
        b'Z' => buffer.write_str("UTC"),
        b'%' => buffer.write_str("%"),
        _ => Err(fmt::Error),
    }
}

/// Returns the year that a date's week belongs to, and the number of the week (ISO 8601).
fn iso_week(date: &Tm) -> (i64, c_int) {
    let year = i64::from(date.tm_year) + 1900;
    let week = (date.tm_yday - (date.tm_wday + 6) % 7 + 10) / 7;
    match week {
        0 => (year - 1, weeks_in(year - 1)),
        53 if weeks_in(year) == 52 => (year + 1, 1),
        week => (year, week),
    }
}

/// Returns the number of weeks of a year: 53 if its first or last day is a Thursday.
fn weeks_in(year: i64) -> c_int {
    let is_thursday = |days: i64| (days + 4).rem_euclid(7) == 4;
    let first = super::calendar::days_from_civil(year, 0, 1);
    let last = super::calendar::days_from_civil(year, 11, 31);
    if is_thursday(first) || is_thursday(last) {
        53
    } else {
        52
    }
}

/// Length of a text of [`asctime_r`] with its NUL.
const ASCTIME_LEN: usize = 26;

/// Writes a date as `Thu Jan  1 00:00:00 1970` and a line end; null for one that does not fit.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn asctime_r(date: In<Tm>, to: Out<u8>) -> Out<u8> {
    if strftime(to, ASCTIME_LEN, Text::of(c"%a %b %e %H:%M:%S %Y\n"), date) == 0 {
        errno::set(EINVAL);
        return Out::NULL;
    }
    to
}

/// The text of [`asctime`].
static SHARED: GuestCell<[u8; ASCTIME_LEN]> = GuestCell::new([0; ASCTIME_LEN]);

/// Like [`asctime_r`], into a place that all callers share.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn asctime(date: In<Tm>) -> Out<u8> {
    let place = SHARED.with(|shared| Out::from_raw(shared.as_mut_ptr()));
    asctime_r(date, place)
}

/// Writes a time like [`asctime_r`].
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn ctime_r(time: In<i64>, to: Out<u8>) -> Out<u8> {
    match time.read().and_then(date) {
        Some(date) => asctime_r(In::from_ref(&date), to),
        None => Out::NULL,
    }
}

/// Writes a time like [`asctime`].
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn ctime(time: In<i64>) -> Out<u8> {
    match time.read().and_then(date) {
        Some(date) => asctime(In::from_ref(&date)),
        None => Out::NULL,
    }
}
