//! How old a response is, and how old it may get (RFC 9111 §4.2).

use super::directives::Directives;
use crate::http::{Fields, parse_date};

/// Longest time that a response counts as fresh without saying so, in seconds: a day.
const HEURISTIC_MAX: u64 = 24 * 60 * 60;

/// A point in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Moment {
    /// Seconds of monotonic time.
    pub(crate) tick: u64,
    /// Seconds since 1970.
    pub(crate) unix: u64,
}

/// Statuses whose responses may be stored without saying so (RFC 9110 §15.1), but for 206.
pub(super) fn is_heuristically_cacheable(status: u16) -> bool {
    matches!(
        status,
        200 | 203 | 204 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501
    )
}

/// Returns for how many seconds a response is fresh in a shared cache (§4.2.1).
pub(super) fn lifetime(status: u16, fields: &Fields, directives: &Directives, now: Moment) -> u64 {
    if let Some(seconds) = directives.s_maxage.or(directives.max_age) {
        return seconds;
    }
    let date = date_of(fields, "date").unwrap_or(now.unix);
    if fields.has("expires") {
        // One that is no date is in the past (§5.3).
        return date_of(fields, "expires").map_or(0, |expires| expires.saturating_sub(date));
    }
    match date_of(fields, "last-modified") {
        Some(modified) if is_heuristically_cacheable(status) => {
            (date.saturating_sub(modified) / 10).min(HEURISTIC_MAX)
        }
        _ => 0,
    }
}

/// Returns how old a response was when it came, in seconds (§4.2.3). It was asked for `delay`
/// seconds before.
pub(super) fn initial_age(fields: &Fields, now: Moment, delay: u64) -> u64 {
    let apparent = date_of(fields, "date").map_or(0, |date| now.unix.saturating_sub(date));
    let told = fields
        .text("age")
        .and_then(|age| age.trim().parse::<u64>().ok());
    apparent.max(told.unwrap_or(0).saturating_add(delay))
}

fn date_of(fields: &Fields, name: &str) -> Option<u64> {
    parse_date(fields.text(name)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Moment = Moment {
        tick: 100,
        unix: 784_111_777,
    };

    fn lifetime_of(pairs: &[(&str, &str)]) -> u64 {
        let mut fields = Fields::default();
        pairs
            .iter()
            .for_each(|(name, value)| fields.push(name, value.as_bytes()));
        lifetime(200, &fields, &Directives::of(&fields), NOW)
    }

    #[test]
    fn the_strictest_source_that_is_meant_for_us_counts() {
        let (date, later) = (
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:50:07 GMT",
        );
        let long_ago = "Sun, 06 Nov 1994 08:33:00 GMT";
        for (fields, expected) in [
            (
                &[
                    ("Cache-Control", "s-maxage=5, max-age=9"),
                    ("Expires", later),
                ][..],
                5,
            ),
            (&[("Cache-Control", "max-age=9"), ("Expires", later)], 9),
            (&[("Expires", later), ("Date", date)], 30),
            (&[("Expires", later)], 30),
            (&[("Expires", "0"), ("Last-Modified", long_ago)], 0),
            (&[("Last-Modified", long_ago), ("Date", date)], 99),
            (
                &[("Last-Modified", "Sun, 06 Nov 1970 08:33:00 GMT")],
                HEURISTIC_MAX,
            ),
            (&[], 0),
        ] {
            assert_eq!(lifetime_of(fields), expected, "{fields:?}");
        }
    }

    #[test]
    fn the_age_is_the_larger_of_what_is_told_and_what_is_seen() {
        let mut fields = Fields::default();
        fields.push("Date", b"Sun, 06 Nov 1994 08:49:30 GMT");
        assert_eq!(initial_age(&fields, NOW, 2), 7);
        fields.push("Age", b"20");
        assert_eq!(initial_age(&fields, NOW, 2), 22);
        fields.set("Age", b"18446744073709551615");
        assert_eq!(initial_age(&fields, NOW, 2), u64::MAX);
    }
}
