//! Dates as HTTP (RFC 9110 §5.6.7) and the Common Log Format write them.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use denali_rt::sync::Mutex;

const SECONDS_PER_DAY: u64 = 86_400;

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Returns a date of HTTP.
pub fn imf_fixdate(unix_seconds: u64) -> String {
    const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    let days = unix_seconds / SECONDS_PER_DAY;
    let (year, month, day) = civil(days);
    let (weekday, month) = (WEEKDAYS[(days % 7) as usize], MONTHS[month]);
    format!("{weekday}, {day:02} {month} {year} {} GMT", time_of_day(unix_seconds))
}

/// Returns the present date of HTTP, which is written once a second.
pub fn now() -> Arc<str> {
    static LAST: Mutex<Option<(u64, Arc<str>)>> = Mutex::new(None);
    let second = denali_rt::time::wall().as_secs();
    let mut last = LAST.lock();
    match &*last {
        Some((written, date)) if *written == second => Arc::clone(date),
        _ => {
            let date: Arc<str> = imf_fixdate(second).into();
            *last = Some((second, Arc::clone(&date)));
            date
        }
    }
}

/// Returns the present date for the access log.
pub fn log_now() -> String {
    let unix_seconds = denali_rt::time::wall().as_secs();
    let (year, month, day) = civil(unix_seconds / SECONDS_PER_DAY);
    format!("{day:02}/{}/{year}:{} +0000", MONTHS[month], time_of_day(unix_seconds))
}

/// Returns the seconds since 1970 of a date in any of the three forms of HTTP.
pub fn parse(text: &str) -> Option<u64> {
    let mut words = [""; 6];
    let all = text.split([' ', ',', '-']).filter(|word| !word.is_empty());
    for (count, word) in all.enumerate() {
        *words.get_mut(count)? = word;
    }
    let (day, month, year, time) = match words {
        // IMF-fixdate, and RFC 850 with two digits of the year.
        [_, day, month, year, time, "GMT"] => (day, month, year, time),
        // asctime of C.
        [_, month, day, time, year, ""] => (day, month, year, time),
        _ => return None,
    };
    let year = match (year.len(), year.parse::<u64>().ok()?) {
        (2, year @ 70..) => 1900 + year,
        (2, year) => 2000 + year,
        (4, year @ 1970..) => year,
        _ => return None,
    };
    let month = MONTHS.iter().position(|name| *name == month)?;
    let day = day.parse().ok().filter(|day| (1..=31).contains(day))?;
    let mut seconds = 0;
    for part in time.split(':') {
        seconds = seconds * 60 + part.parse::<u64>().ok().filter(|part| *part < 61)?;
    }
    Some(days(year, month, day) * SECONDS_PER_DAY + seconds)
}

fn time_of_day(unix_seconds: u64) -> String {
    let second = unix_seconds % SECONDS_PER_DAY;
    format!("{:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60)
}

/// Returns year, month (from 0) and day (from 1) of a day counted from 1 January 1970.
///
/// Years start in March, so that the leap day is the last of its year (Hinnant, *chrono-compatible
/// low-level date algorithms*).
fn civil(days: u64) -> (u64, usize, u64) {
    let days = days + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = (march_month + 2) % 12;
    let year = year_of_era + era * 400 + u64::from(month < 2);
    (year, month as usize, day)
}

/// Returns the days from 1 January 1970 to a day since then: the inverse of [`civil`].
fn days(year: u64, month: usize, day: u64) -> u64 {
    let march_month = (month as u64 + 10) % 12;
    let year = if march_month >= 10 { year - 1 } else { year };
    let (era, year_of_era) = (year / 400, year % 400);
    let day_of_year = (153 * march_month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    (era * 146_097 + day_of_era).saturating_sub(719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, date) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (4_107_542_399, "Sun, 28 Feb 2100 23:59:59 GMT"),
        ] {
            assert_eq!(imf_fixdate(seconds), date);
            assert_eq!(parse(date), Some(seconds), "{date}");
        }
    }

    #[test]
    fn old_forms_are_understood_and_nonsense_is_not() {
        for date in ["Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"] {
            assert_eq!(parse(date), Some(784_111_777), "{date}");
        }
        for text in [
            "",
            "yesterday",
            "Sun, 06 Nov 1994 08:49:37 CET",
            "Sun, 06 Now 1994 08:49:37 GMT",
            "Sun, 32 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 99:49:37 GMT",
            "Sun, 06 Nov 1 08:49:37 GMT",
            "a b c d e f g",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
